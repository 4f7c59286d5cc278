"""Check pci.gpu_present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import bus_ids, check, counted, on_bus

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict


@check("pci.gpu_present", level="instant", leads=("pci.count_vs_expected",))
def gpu_present(facts: Facts, say: Verdict) -> Finding:
    """An NVIDIA GPU is on the PCI bus.

    What it finds
        Whether this machine has an NVIDIA display controller at all, and whether another maker's GPU is there
        instead.

    Why it matters
        Without a device nothing else about drivers or CUDA can be true, and the plan is one for the CPU.

    How it is decided
        PCI functions of vendor 10de and class 03xx in /sys/bus/pci/devices: at least one passes. None, and no other
        sign of a GPU, fails where GPUs are expected and else skips: a machine without a GPU is not a broken one. GPUs
        that the driver lists while the bus is hidden, as in some sandboxes, pass as well. GPUs of AMD or Intel are
        named: gpusetup does not serve them.

    What to do
        A card that should be there: seating, auxiliary power, the slot's settings in the firmware (above-4G
        decoding), and in a virtual machine whether the host passes it through. `lspci -nn -d 10de:` shows what the
        kernel sees.

    Sources
        PCI Code and ID Assignment Specification, class 03; Linux sysfs-bus-pci (read 2026-11).
    """
    found = on_bus(facts)
    if found:
        return say.passed(
            f"{counted(len(found), 'NVIDIA GPU')} on the PCI bus: {bus_ids(found)}.", *facts.evidence("pci.gpu")
        )
    if facts.machine.host.is_wsl:
        return say.skipped("Under WSL the GPU is reached through Windows and is not on the PCI bus.")
    if facts.machine.gpus:
        return say.passed(
            f"{counted(len(facts.machine.gpus), 'NVIDIA GPU')} listed; the PCI bus was not read or is hidden here."
        )
    if facts.has_gpu:
        return say.skipped(
            "The PCI bus shows no NVIDIA GPU, and something else says that one is here.",
            *facts.evidence("gpu.sign", "pci.devices"),
        )
    if wanted := facts.context.expected_gpus:
        return say.failed(
            f"No NVIDIA GPU is on the PCI bus, and {counted(wanted, 'GPU')} should be there.",
            Evidence("gpus", 0, source="/sys/bus/pci/devices", needs=wanted),
            *facts.evidence("pci.devices"),
            safe=("lspci -nn -d 10de:", "sudo journalctl --dmesg --grep 'pci|BAR' --no-pager | tail -n 40"),
        )
    if facts.machine.other_gpus:
        others = ", ".join(f"{one.vendor} {one.pci_device_id}" for one in facts.machine.other_gpus)
        return say.skipped(
            f"No NVIDIA GPU. There is another maker's GPU, which gpusetup does not serve: {others}.",
            *(Evidence("pci.other", one.pci_device_id, source=one.pci_bus_id) for one in facts.machine.other_gpus),
        )
    return say.skipped("No NVIDIA GPU is on this machine.", *facts.evidence("pci.devices"))


CHECKS = (gpu_present,)
