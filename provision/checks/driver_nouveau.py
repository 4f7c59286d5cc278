"""The nouveau driver does not hold the GPU.

What it finds
    The kernel's own driver for NVIDIA cards, nouveau (or its successor nova), loaded where the vendor's driver should
    be.

Why it matters
    While it holds the GPU the vendor's module can't bind it, and neither NVML nor CUDA works.

How it is decided
    /sys/module/nouveau and the driver bound to each GPU. Loaded and holding a GPU, or loaded without the vendor's
    module, fails. Loaded beside a working vendor driver warns.

What to do
    Install the vendor's driver (its packages keep nouveau out), or blacklist nouveau, rebuild the initramfs, restart.

Sources
    NVIDIA Driver Installation Guide, "Disabling Nouveau" (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Check, Verdict, bus_ids, evidence, has_gpu, texts_of
from .remedies import drop_nouveau, see_driver_steps

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("driver.nouveau")
_RIVALS = ("nouveau", "nova_core")


def evaluate(machine: Machine) -> Finding:
    """Fail while nouveau keeps a GPU from the vendor's driver."""
    if not has_gpu(machine):
        return _SAY.skipped("No NVIDIA GPU is on this machine.")
    if machine.host.is_wsl:
        return _SAY.skipped("Under WSL the kernel driver is that of Windows.")
    modules = texts_of(machine, "driver.modules")
    held = tuple(gpu for gpu in machine.gpus if gpu.kernel_driver in {"nouveau", "nova", "NovaCore", "nova_core"})
    if modules is None and not held:
        return _SAY.unknown("The list of kernel modules could not be read.", *evidence(machine, "driver.modules"))
    loaded = [name for name in _RIVALS if name in (modules or ())]
    if held or (loaded and "nvidia" not in (modules or ())):
        what = f"holds {bus_ids(held)}" if held else "is loaded and the vendor's driver is not"
        return _SAY.failed(
            f"The {(loaded or ['nouveau'])[0]} driver {what}; NVML and CUDA can't work.",
            *evidence(machine, "driver.modules", "pci.gpu"),
            safe=see_driver_steps(machine),
            risky=drop_nouveau(machine),
        )
    if loaded:
        return _SAY.warned(
            f"The {loaded[0]} driver is loaded beside the vendor's; it may take the GPU at the next start.",
            *evidence(machine, "driver.modules"),
            safe=("grep -r nouveau /etc/modprobe.d",),
            risky=drop_nouveau(machine),
        )
    return _SAY.passed("nouveau is not loaded.")


CHECK = Check(
    "driver.nouveau",
    "instant",
    evaluate,
    leads=(
        "pci.driver_binding",
        "pci.count_vs_nvml",
        "driver.module_loaded",
        "driver.device_nodes",
        "driver.nvml_init",
        "driver.uvm",
    ),
)
