"""An NVIDIA GPU is on the PCI bus.

What it finds
    Whether this machine has an NVIDIA display controller at all, and whether another maker's GPU is there instead.

Why it matters
    Without a device nothing else about drivers or CUDA can be true, and the plan is one for the CPU.

How it is decided
    PCI functions of vendor 10de and class 03xx in /sys/bus/pci/devices: at least one passes. None, and no other sign
    of a GPU, skips: a machine without a GPU is not a broken one. GPUs that the driver lists while the bus is hidden,
    as in some sandboxes, pass as well. GPUs of AMD or Intel are named: gpusetup does not serve them.

What to do
    A card that should be there: seating, auxiliary power, the slot's settings in the firmware (above-4G decoding),
    and in a virtual machine whether the host passes it through. `lspci -nn -d 10de:` shows what the kernel sees.

Sources
    PCI Code and ID Assignment Specification, class 03; Linux sysfs-bus-pci (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Check, Verdict, bus_ids, counted, evidence, has_gpu, on_bus

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("pci.gpu_present")


def evaluate(machine: Machine) -> Finding:
    """Pass with a device, skip without one."""
    found = on_bus(machine)
    if found:
        return _SAY.passed(
            f"{counted(len(found), 'NVIDIA GPU')} on the PCI bus: {bus_ids(found)}.", *evidence(machine, "pci.gpu")
        )
    if machine.host.is_wsl:
        return _SAY.skipped("Under WSL the GPU is reached through Windows and is not on the PCI bus.")
    if machine.gpus:
        return _SAY.passed(
            f"{counted(len(machine.gpus), 'NVIDIA GPU')} listed; the PCI bus was not read or is hidden here."
        )
    if has_gpu(machine):
        return _SAY.unknown(
            "Something shows that a GPU is here, and the PCI bus does not.",
            *evidence(machine, "gpu.sign", "pci.devices"),
        )
    if machine.other_gpus:
        others = ", ".join(f"{one.vendor} {one.pci_device_id}" for one in machine.other_gpus)
        return _SAY.skipped(
            f"No NVIDIA GPU. There is another maker's GPU, which gpusetup does not serve: {others}.",
            *(Evidence("pci.other", one.pci_device_id, source=one.pci_bus_id) for one in machine.other_gpus),
        )
    return _SAY.skipped("No NVIDIA GPU is on this machine.", *evidence(machine, "pci.devices"))


CHECK = Check("pci.gpu_present", "instant", evaluate)
