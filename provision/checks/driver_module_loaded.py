"""Check driver.module_loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check, on_bus, passed_through
from .remedies import KERNEL_LOG, install_driver, rebuild_initramfs, see_driver_steps

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_BEYOND_MODULE = {"version-mismatch", "gpu-lost", "no-permission", "failed", "timed-out", "crashed"}
"""Ends of asking NVML that only a loaded module brings about."""


@check(
    "driver.module_loaded",
    level="instant",
    leads=(
        "pci.driver_binding",
        "pci.count_vs_nvml",
        "driver.kmd_umd_match",
        "driver.device_nodes",
        "driver.nvml_init",
        "driver.uvm",
        "cuda.libcuda",
        "cuda.init",
        "fabric.manager",
        "sys.services",
    ),
)
def module_loaded(facts: Facts, say: Verdict) -> Finding:
    """The vendor's kernel module is loaded.

    What it finds
        A GPU without the kernel module `nvidia`: no driver installed, a driver built for another kernel, or a module
        that was refused (Secure Boot) or not loaded.

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
    if why := _not_asked(facts):
        return say.skipped(why)
    version = facts.machine.driver.kernel_module_version if facts.machine.driver else None
    modules = facts.texts("driver.modules")
    if version or "nvidia" in (modules or ()):
        return say.passed(
            f"The kernel module nvidia {version or ''} is loaded.".replace("  ", " "),
            *facts.evidence("driver.module_version", "driver.kernel_module"),
        )
    if any(gpu.in_nvml for gpu in facts.machine.gpus):
        return say.skipped("The driver answers; its kernel module can't be seen from here.")
    if modules is None and facts.nvml_outcome != "driver-not-loaded":
        return say.unknown("Whether the kernel module is loaded was not read.", *facts.evidence("driver.modules"))
    if facts.nvml_outcome in _BEYOND_MODULE and not on_bus(facts):
        return say.skipped("The driver's library got as far as its kernel module, which can't be seen from here.")
    return _missing(say, facts)


def _not_asked(facts: Facts) -> str | None:
    """Why this box needs no such module; None where it does."""
    gpus = facts.machine.gpus
    if not facts.has_gpu:
        return "No NVIDIA GPU is on this machine."
    if facts.machine.host.is_wsl:
        return "Under WSL the kernel driver is that of Windows."
    if gpus and len(passed_through(facts)) == len(gpus):
        return "All GPUs are kept for virtual machines; no module is needed here."
    if facts.machine.host.l4t is not None and not any(gpu.pci_bus_id for gpu in gpus):
        return "The GPU of a Jetson's chip has a driver of its own, which is part of its system."
    return None


def _missing(say: Verdict, facts: Facts) -> Finding:
    shown = facts.evidence("driver.module_version", "driver.modules", "driver.nvml_library", "nvml.init")
    if facts.machine.host.container:
        return say.failed(
            "A GPU is here and no NVIDIA kernel module is loaded. A container uses the driver of its host.",
            *shown,
            safe=("gpusetup driver plan    (on the host of this container)",),
        )
    has_library = facts.evidence("driver.nvml_library") and facts.reading("driver.nvml_library")
    is_installed = bool(has_library and has_library.failure is None)
    what = (
        "its libraries are installed, its kernel module is not loaded"
        if is_installed
        else "no NVIDIA driver is installed"
    )
    if is_installed and facts.value("driver.modinfo_version") is not None:
        return say.failed(
            f"A GPU is here and cannot be used: {what}, although the running kernel has it on disk.",
            *shown,
            *facts.evidence("driver.modinfo_filename"),
            safe=("modinfo nvidia | head", KERNEL_LOG),
            risky=("sudo modprobe nvidia", *rebuild_initramfs(facts.machine)),
        )
    return say.failed(
        f"A GPU is here and cannot be used: {what}.",
        *shown,
        safe=(*(("sudo modprobe nvidia", KERNEL_LOG) if is_installed else ()), *see_driver_steps(facts.machine)),
        risky=install_driver(facts.machine),
    )


CHECKS = (module_loaded,)
