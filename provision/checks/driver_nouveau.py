"""Check driver.nouveau."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import bus_ids, check
from .remedies import drop_nouveau, install_driver, see_driver_steps

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_RIVALS = ("nouveau", "nova_core")


@check(
    "driver.nouveau",
    level="instant",
    leads=(
        "pci.driver_binding",
        "pci.count_vs_nvml",
        "driver.module_loaded",
        "driver.device_nodes",
        "driver.nvml_init",
        "driver.uvm",
        "cuda.libcuda",
        "cuda.init",
    ),
)
def nouveau(facts: Facts, say: Verdict) -> Finding:
    """The nouveau driver does not hold the GPU.

    What it finds
        The kernel's own driver for NVIDIA cards, nouveau (or its successor nova), loaded where the vendor's driver
        should be.

    Why it matters
        While it holds the GPU the vendor's module can't bind it, and neither NVML nor CUDA works.

    How it is decided
        /sys/module/nouveau and the driver bound to each GPU. Loaded and holding a GPU, or loaded without the vendor's
        module, fails. Loaded beside a working vendor driver warns.

    What to do
        Install the vendor's driver (its packages keep nouveau out), or blacklist nouveau, rebuild the initramfs,
        restart.

    Sources
        NVIDIA Driver Installation Guide, "Disabling Nouveau" (read 2026-11).
    """
    if not facts.has_gpu:
        return say.skipped("No NVIDIA GPU is on this machine.")
    if facts.machine.host.is_wsl:
        return say.skipped("Under WSL the kernel driver is that of Windows.")
    modules = facts.texts("driver.modules")
    held = tuple(gpu for gpu in facts.machine.gpus if gpu.kernel_driver in {"nouveau", "nova", "NovaCore", "nova_core"})
    if modules is None and not held:
        return say.unknown("The list of kernel modules could not be read.", *facts.evidence("driver.modules"))
    loaded = [name for name in _RIVALS if name in (modules or ())]
    if held or (loaded and "nvidia" not in (modules or ())):
        what = f"holds {bus_ids(held)}" if held else "is loaded and the vendor's driver is not"
        # What every distribution starts with: there is nothing to make room for yet.
        is_bare = bool(facts.failure("driver.nvml_library")) and facts.value("driver.modinfo_version") is None
        why = ", and no NVIDIA driver is installed" if is_bare else ""
        return say.failed(
            f"The {(loaded or ['nouveau'])[0]} driver {what}{why}; NVML and CUDA can't work.",
            *facts.evidence("driver.modules", "pci.gpu"),
            safe=see_driver_steps(facts.machine),
            risky=install_driver(facts.machine) if is_bare else drop_nouveau(facts.machine),
        )
    if loaded:
        return say.warned(
            f"The {loaded[0]} driver is loaded beside the vendor's; it may take the GPU at the next start.",
            *facts.evidence("driver.modules"),
            safe=("grep -r nouveau /etc/modprobe.d",),
            risky=drop_nouveau(facts.machine),
        )
    return say.passed("nouveau is not loaded.")


CHECKS = (nouveau,)
