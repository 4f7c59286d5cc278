"""A machine as lines: host, driver, GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import GpuState
from .style import gib

if TYPE_CHECKING:
    from ..records import Driver, Gpu, Machine
    from .style import Style

_OS_NAMES = {
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "rhel": "RHEL",
    "rocky": "Rocky Linux",
    "almalinux": "AlmaLinux",
    "fedora": "Fedora",
    "sles": "SLES",
    "amzn": "Amazon Linux",
    "alpine": "Alpine",
}


def render_machine(machine: Machine, style: Style) -> str:
    """One line per fact, so that grep works."""
    lines = [host_line(machine, style)]
    if machine.driver is not None:
        lines.append(_driver_line(machine.driver, machine, style))
    lines += [_gpu_line(gpu, style) for gpu in machine.gpus]
    lines += [
        style.row("other", f"{gpu.vendor} {gpu.pci_device_id}", gpu.pci_bus_id, "not supported: NVIDIA only")
        for gpu in machine.other_gpus
    ]
    if not machine.gpus:
        lines.append(style.row("gpu", no_gpu_text(machine)))
    lines += style.block("state", _state(machine, style))
    return "\n".join(lines)


def no_gpu_text(machine: Machine) -> str:
    """What to say where no GPU is listed."""
    return "no NVIDIA GPU" if machine.gpu_state is GpuState.NONE else "there, but no driver lists it"


def os_text(machine: Machine) -> str:
    """Name and version of the operating system."""
    host = machine.host
    name = _OS_NAMES.get(host.os or "", host.os or host.system or "unknown system")
    return f"{name} {host.os_version or ''}".strip()


def host_line(machine: Machine, style: Style) -> str:
    """Operating system, architecture, glibc, Python, environment class."""
    host, python = machine.host, machine.python
    surroundings: list[str] = [host.container] if host.container else []
    surroundings += ["WSL"] if host.is_wsl else []
    return style.row(
        "host",
        os_text(machine),
        host.arch or "",
        f"glibc {host.glibc}" if host.glibc else "",
        f"Python {python.version}{'t' if python.is_free_threaded else ''}" if python else "",
        f"in {', '.join(surroundings)}" if surroundings else "",
    )


def _driver_line(driver: Driver, machine: Machine, style: Style) -> str:
    cuda = f"CUDA {driver.driver_cuda_version}" if driver.driver_cuda_version else ""
    module = f"{driver.kernel_module} module" if driver.kernel_module else ""
    reading = machine.reading("driver.driver_version")
    source = f"({reading.source})" if reading and reading.failure is None else ""
    return style.row("driver", str(driver.driver_version or "version not known"), cuda, module, source)


def _gpu_line(gpu: Gpu, style: Style) -> str:
    return style.row(
        f"gpu {gpu.index}",
        gpu.name or gpu.pci_device_id or "name not known",
        str(gpu.compute_capability or "capability not known"),
        gib(gpu.memory_bytes) if gpu.memory_bytes else "",
        "MIG" if gpu.mig_mode == "enabled" else "",
        gpu.pci_bus_id or "",
        "not in NVML" if gpu.in_nvml is False else "",
    )


def _state(machine: Machine, style: Style) -> str:
    texts = {
        GpuState.NONE: "no NVIDIA GPU; plans are for the CPU",
        GpuState.USABLE: "usable",
        GpuState.UNUSABLE: style.paint("unusable", "bad") + ": a GPU is there and cannot be used (gpusetup check)",
    }
    return texts[machine.gpu_state]
