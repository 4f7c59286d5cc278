"""Checks of how the bus is set up: expected GPUs and memory windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Check, bus_ids, check, counted, from_a_warning_too
from .log_lines import lines, told

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_MIB = 1024 * 1024


@check("pci.count_vs_expected", level="instant", leads=("pci.count_vs_nvml",))
def count_vs_expected(facts: Facts, say: Verdict) -> Finding:
    """The machine has as many GPUs as it should have.

    What it finds
        GPUs that are missing from the bus altogether, so that neither the driver nor NVML misses them.

    Why it matters
        A GPU that the firmware never found leaves no error anywhere: the box looks well with one less.

    How it is decided
        The number of NVIDIA GPUs that are listed, without those kept for virtual machines, against the number that was
        given (--require-gpu=N, an expectation file). Any difference fails. Nobody said a number: skipped.

    What to do
        Missing: look at seating, auxiliary power, the slot's settings in the firmware (above-4G decoding); rescan the
        bus; in a virtual machine see whether the host passes it through. More than expected: correct the number.

    Sources
        Azure NHC, azure_gpu_count; linux, sysfs-bus-pci (read 2026-11).
    """
    expected = facts.context.expected_gpus
    if expected is None:
        return say.skipped("Nobody said how many GPUs this machine should have.")
    found = tuple(gpu for gpu in facts.machine.gpus if gpu.kernel_driver != "vfio-pci")
    figure = Evidence("gpus", len(found), source="PCI bus and driver", needs=expected)
    if len(found) == expected:
        return say.passed(f"{counted(len(found), 'GPU')}, as expected.", figure)
    if len(found) > expected:
        return say.failed(
            f"{counted(len(found), 'GPU')}, where {expected} are expected.",
            figure,
            *facts.evidence("pci.gpu"),
            safe=("correct the number that is expected, or remove the GPU that is not meant for this machine",),
        )
    return say.failed(
        f"{counted(len(found), 'GPU')} here, {expected} expected.",
        figure,
        *facts.evidence("pci.gpu", "pci.not_granted"),
        safe=("lspci -nn -d 10de:", "check seating, riser and auxiliary power of the missing board"),
        risky=("echo 1 | sudo tee /sys/bus/pci/rescan", "switch the machine off and on"),
    )


@check(
    "pci.bar_assigned",
    level="instant",
    needs=("gpu",),
    not_on=("wsl", "jetson", "paste"),
    leads=(
        "pci.count_vs_nvml",
        "pci.driver_binding",
        "driver.device_nodes",
        "driver.nvml_init",
        "driver.module_loaded",
        "kernel.xid_fatal",
    ),
)
def bar_assigned(facts: Facts, say: Verdict) -> Finding:
    """Every GPU has addresses for its registers and its memory.

    What it finds
        GPUs for whose memory windows (BAR 0 and BAR 1) the firmware or the hypervisor left no room.

    Why it matters
        The driver refuses such a GPU: "This PCI I/O region assigned to your NVIDIA device is invalid". Large GPUs want
        tens of gigabytes of addresses above 4 GiB.

    How it is decided
        The file `resource` of the PCI function: a window without an address fails, and so does the driver's line about
        an invalid region, unless NVML answers for that GPU. GPUs kept for virtual machines and virtual functions are
        left out.

    What to do
        Firmware: enable above-4G decoding (and resizable BAR), raise the size of MMIO above 4G. Linux: pci=realloc.
        Virtual machine: a larger 64-bit window (OVMF: X-PciMmio64Mb) and host-phys-bits=on.

    Sources
        Linux, sysfs-bus-pci and linux/ioport.h; open-gpu-kernel-modules nv-pci.c; KubeVirt issue 11093 (read 2026-11).
    """
    gpus = tuple(gpu for gpu in facts.machine.gpus if facts.was_looked_at(f"pci.{gpu.pci_bus_id}.bar0_bytes"))
    refused = tuple(
        line for line in lines(facts, "bar_invalid") if not any(g.in_nvml and g.pci_bus_id == line.device for g in gpus)
    )
    without = tuple(gpu for gpu in gpus if _has_no_window(facts, gpu))
    if not without and (not refused or (gpus and all(gpu.in_nvml for gpu in gpus))):
        if not gpus:
            return say.unknown("The memory windows of the GPUs could not be read from sysfs.")
        return say.passed(f"{counted(len(gpus), 'GPU')} with addresses for all memory windows.")
    where = bus_ids(without) or ", ".join(dict.fromkeys(line.device or "a GPU" for line in refused))
    names = tuple(f"pci.{gpu.pci_bus_id}.bar{number}_bytes" for gpu in without for number in (0, 1))
    unassigned = tuple(
        line for line in lines(facts, "bar_unassigned") if any(g.pci_bus_id == line.device for g in gpus)
    )
    is_guest = facts.is_any("vm")
    safe = (
        ("on the host: a larger 64-bit MMIO window for this machine (OVMF: opt/ovmf/X-PciMmio64Mb), host-phys-bits=on",)
        if is_guest
        else ("firmware setup: above-4G decoding on, resizable BAR on, more MMIO above 4G",)
    )
    return say.failed(
        f"No addresses for the memory of {where}: the {'hypervisor' if is_guest else 'firmware'} left too little room.",
        *facts.evidence(*names),
        *told((*refused, *unassigned)),
        safe=(*safe, f"sudo lspci -vvs {(without[0].pci_bus_id if without else refused[0].device) or ''}".strip()),
        risky=("add pci=realloc to the kernel's command line, then sudo reboot",),
    )


def _has_no_window(facts: Facts, gpu: Gpu) -> bool:
    name = f"pci.{gpu.pci_bus_id}"
    if gpu.in_nvml or gpu.kernel_driver == "vfio-pci" or facts.flag(f"{name}.is_virtual_function"):
        return False
    return 0 in (facts.number(f"{name}.bar0_bytes"), facts.number(f"{name}.bar1_bytes"))


_SMALL_WINDOW = 256 * _MIB


@check(
    "pci.bar1_size",
    level="quick",
    needs=("gpu",),
    not_on=("wsl", "jetson", "vgpu-guest"),
    leads=("kernel.xid_fatal", "pci.count_vs_nvml", "driver.nvml_init"),
    explains=from_a_warning_too,
)
def bar1_size(facts: Facts, say: Verdict) -> Finding:
    """The window through which others reach a GPU's memory is as large as the memory, where that matters.

    What it finds
        Data-centre boards whose BAR 1 is smaller than their memory, and Blackwell cards that do not start behind a
        window of 256 MiB.

    Why it matters
        GPUDirect and copies between GPUs over PCIe map memory through it. Some Blackwell cards were listed as "No
        devices were found" until resizable BAR and above-4G decoding were on.

    How it is decided
        NVML's size of BAR 1 against its size of the memory, for boards of the class data_center of the matrix: smaller
        warns (our proposal). Cards for desktops have 256 MiB by habit and pass, and so do small boards for servers
        before Ampere: 256 MiB is all that a T4 has. A Blackwell GPU that NVML does not list, with 256 MiB in sysfs,
        warns.

    What to do
        Firmware setup: resizable BAR and above-4G decoding on, compatibility support module (CSM) off.

    Sources
        NVML, nvmlDeviceGetBAR1MemoryInfo; open-gpu-kernel-modules issues 862 and 872 (read 2026-11).
    """
    advice = ("firmware setup: resizable BAR on, above-4G decoding on, CSM off",)
    dark = tuple(gpu for gpu in facts.machine.gpus if _is_dark_blackwell(facts, gpu))
    if dark:
        return say.warned(
            f"{bus_ids(dark)} (Blackwell) did not start, and its memory window has only 256 MiB.",
            *facts.evidence(*(f"pci.{gpu.pci_bus_id}.bar1_bytes" for gpu in dark)),
            safe=advice,
        )
    sizes = {gpu: facts.number(f"gpu.{gpu.index}.bar1_total_bytes") for gpu in facts.gpus}
    known = {gpu: size for gpu, size in sizes.items() if size}
    if not known:
        return say.unknown("NVML did not tell the size of BAR 1.") if sizes else say.skipped("NVML lists no GPU.")
    small = tuple(
        gpu for gpu, size in known.items() if _has_large_window(facts, gpu) and size < (gpu.memory_bytes or 0) * 0.9
    )
    if small:
        gpu = small[0]
        return say.warned(
            f"BAR 1 of {bus_ids(small)} has {known[gpu] / _MIB:.0f} MiB for {(gpu.memory_bytes or 0) / _MIB:.0f} MiB of"
            " memory.",
            *facts.evidence(*(f"gpu.{one.index}.bar1_total_bytes" for one in small)),
            safe=advice,
        )
    return say.passed("BAR 1 of every GPU has the size that its kind of board needs.")


_SMALL_BY_DESIGN = frozenset({(6, 1), (7, 5)})
"""Compute capabilities whose boards for servers may have a window of 256 MiB and no more: P4, T4."""


def _has_large_window(facts: Facts, gpu: Gpu) -> bool:
    """Whether the window of a board is made to hold its whole memory."""
    figures = facts.matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id) if facts.matrix else None
    if figures is None or figures.gpu_class != "data_center" or figures.form == "superchip":
        return False
    capability = gpu.compute_capability or figures.compute_capability
    return capability is not None and tuple(capability) not in _SMALL_BY_DESIGN and capability.major > _MAXWELL


_MAXWELL = 5


def _is_dark_blackwell(facts: Facts, gpu: Gpu) -> bool:
    if gpu.in_nvml is not False or gpu.kernel_driver == "vfio-pci" or not gpu.pci_device_id or not facts.matrix:
        return False
    figures = facts.matrix.gpu_figures(pci_device_id=gpu.pci_device_id)
    is_blackwell = figures is not None and (figures.architecture or "").lower().startswith("blackwell")
    return is_blackwell and facts.number(f"pci.{gpu.pci_bus_id}.bar1_bytes") == _SMALL_WINDOW


CHECKS: tuple[Check, ...] = (bar_assigned, bar1_size, count_vs_expected)
