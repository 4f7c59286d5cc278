"""Check pci.driver_binding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import bus_ids, check, counted, on_bus
from .remedies import see_driver_steps

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_VENDOR = {"nvidia"}


@check(
    "pci.driver_binding",
    level="instant",
    leads=("pci.count_vs_nvml", "driver.device_nodes", "driver.nvml_init", "driver.uvm", "cuda.init"),
)
def driver_binding(facts: Facts, say: Verdict) -> Finding:
    """Every NVIDIA GPU is bound to the vendor's kernel driver.

    What it finds
        GPUs that nouveau holds, that no kernel driver holds, or that vfio-pci keeps for virtual machines.

    Why it matters
        Only a GPU bound to the kernel driver `nvidia` can be opened by NVML and CUDA.

    How it is decided
        The link /sys/bus/pci/devices/<bus id>/driver of every NVIDIA GPU. `nvidia` passes. Another driver or none
        fails. vfio-pci on some GPUs is passthrough and is only mentioned; on all of them this system has no GPU left,
        and it fails.

    What to do
        Load the vendor's module, or keep nouveau out (see driver.nouveau). A GPU given to virtual machines is used
        there; to take it back, remove its id from the vfio-pci options and restart.

    Sources
        Linux kernel documentation, driver-api/driver-model/binding and driver-api/vfio (read 2026-11).
    """
    gpus = on_bus(facts)
    if not gpus:
        return say.skipped("The PCI bus shows no NVIDIA GPU here.")
    given = tuple(gpu for gpu in gpus if gpu.kernel_driver == "vfio-pci")
    wrong = tuple(gpu for gpu in gpus if gpu.kernel_driver not in _VENDOR and gpu not in given and not gpu.in_nvml)
    if len(given) == len(gpus):
        return say.failed(
            f"All NVIDIA GPUs are kept for virtual machines (vfio-pci): {bus_ids(given)}. This system can't use them.",
            *_bound(given),
            safe=(
                "run gpusetup inside the virtual machine that has the GPU",
                "grep -r vfio-pci /etc/modprobe.d /proc/cmdline",
            ),
            risky=("remove the GPU's id from the vfio-pci options, rebuild the initramfs, sudo reboot",),
        )
    if wrong:
        holders = ", ".join(f"{gpu.pci_bus_id} is held by {gpu.kernel_driver or 'no driver'}" for gpu in wrong)
        return say.failed(
            f"{counted(len(wrong), 'GPU')} not bound to the nvidia driver: {holders}.",
            *_bound(wrong),
            safe=("lspci -nnk -d 10de:", "sudo modprobe nvidia", *see_driver_steps(facts.machine)),
        )
    aside = f" {bus_ids(given)} kept for virtual machines (vfio-pci)." if given else ""
    return say.passed(f"{counted(len(gpus) - len(given), 'GPU')} bound to the nvidia driver.{aside}", *_bound(gpus))


def _bound(gpus: tuple[Gpu, ...]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            "kernel_driver",
            gpu.kernel_driver or "none",
            source=f"/sys/bus/pci/devices/{gpu.pci_bus_id}",
            needs="nvidia",
        )
        for gpu in gpus
    )


CHECKS = (driver_binding,)
