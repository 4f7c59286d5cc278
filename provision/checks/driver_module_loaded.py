"""The vendor's kernel module is loaded.

What it finds
    A GPU without the kernel module `nvidia`: no driver installed, a driver built for another kernel, or a module that
    was refused (Secure Boot) or not loaded.

Why it matters
    The module is the driver. Without it there are no device nodes, no NVML and no CUDA.

How it is decided
    /sys/module/nvidia/version, with a GPU on the bus that is not kept by vfio-pci. Absent fails. An answering NVML
    passes even where /sys is hidden. A library that says "driver not loaded" fails.

What to do
    `gpusetup driver plan` prints the steps for this distribution. With a driver installed, `sudo modprobe nvidia`
    either loads it or says why not.

Sources
    NVIDIA Driver Installation Guide (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Check, Verdict, evidence, has_gpu, nvml_outcome, passed_through, texts_of
from .remedies import KERNEL_LOG, install_driver, see_driver_steps

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("driver.module_loaded")


def evaluate(machine: Machine) -> Finding:
    """Pass with a loaded module or an answering driver."""
    if not has_gpu(machine):
        return _SAY.skipped("No NVIDIA GPU is on this machine.")
    if machine.host.is_wsl:
        return _SAY.skipped("Under WSL the kernel driver is that of Windows.")
    if machine.gpus and len(passed_through(machine)) == len(machine.gpus):
        return _SAY.skipped("All GPUs are kept for virtual machines; no module is needed here.")
    version = machine.driver.kernel_module_version if machine.driver else None
    modules = texts_of(machine, "driver.modules")
    if version or "nvidia" in (modules or ()):
        return _SAY.passed(
            f"The kernel module nvidia {version or ''} is loaded.".replace("  ", " "),
            *evidence(machine, "driver.module_version", "driver.kernel_module"),
        )
    if any(gpu.in_nvml for gpu in machine.gpus):
        return _SAY.skipped("The driver answers; its kernel module can't be seen from here.")
    if modules is None and nvml_outcome(machine) != "driver-not-loaded":
        return _SAY.unknown("Whether the kernel module is loaded was not read.", *evidence(machine, "driver.modules"))
    if (
        nvml_outcome(machine) not in {"driver-not-loaded", "library-not-found", "no-module", "not-asked", None}
        and not machine.gpus
    ):
        return _SAY.skipped("The kernel module can't be seen from here.")
    return _missing(machine)


def _missing(machine: Machine) -> Finding:
    facts = evidence(machine, "driver.module_version", "driver.modules", "driver.nvml_library", "nvml.init")
    if machine.host.container:
        return _SAY.failed(
            "A GPU is here and no NVIDIA kernel module is loaded. A container uses the driver of its host.",
            *facts,
            safe=("run gpusetup driver plan on the host of this container",),
        )
    has_library = evidence(machine, "driver.nvml_library") and machine.reading("driver.nvml_library")
    is_installed = bool(has_library and has_library.failure is None)
    what = (
        "its libraries are installed, its kernel module is not loaded"
        if is_installed
        else "no NVIDIA driver is installed"
    )
    return _SAY.failed(
        f"A GPU is here and cannot be used: {what}.",
        *facts,
        safe=(*see_driver_steps(machine), *((KERNEL_LOG,) if is_installed else ())),
        risky=(*(("sudo modprobe nvidia",) if is_installed else ()), *install_driver(machine)),
    )


CHECK = Check(
    "driver.module_loaded",
    "instant",
    evaluate,
    leads=(
        "pci.driver_binding",
        "pci.count_vs_nvml",
        "driver.kmd_umd_match",
        "driver.device_nodes",
        "driver.nvml_init",
        "driver.uvm",
    ),
)
