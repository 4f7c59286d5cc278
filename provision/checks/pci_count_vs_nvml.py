"""Check pci.count_vs_nvml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import bus_ids, check, counted
from .remedies import KERNEL_LOG, reset_gpus

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict


@check("pci.count_vs_nvml", level="quick", leads=("cuda.init", "cuda.context"))
def count_vs_nvml(facts: Facts, say: Verdict) -> Finding:
    """The driver lists and answers for every GPU that the PCI bus shows.

    What it finds
        GPUs that fell off the bus, need a reset, or never started: on the bus and not in NVML, or in NVML without a
        handle.

    Why it matters
        A box of eight with seven working trains on seven without a word, or hangs when the eighth is asked for.

    How it is decided
        After NVML answered: every PCI GPU not kept by vfio-pci must be listed, and every listed one must give a
        handle and not say that it is lost. A driver that answers and lists none, where something else says that a GPU
        is here ("No devices were found"), fails too. In a container, and in a job whose batch system sets device
        rules, GPUs of the host that were not granted are left out.

    What to do
        Read the kernel log for Xid 79 (fallen off the bus). Reset the GPU when nothing uses it, else restart the
        machine; when it returns, the card, its power or its slot is at fault.

    Sources
        NVML API reference, nvmlDeviceGetHandleByIndex_v2; NVIDIA, Xid Errors (read 2026-11).
    """
    if not facts.machine.gpus and facts.has_gpu and facts.nvml_outcome == "answered":
        return say.failed(
            "The driver runs and lists no GPU: there is none on the bus, or it did not start one.",
            *facts.evidence("nvml.init", "nvml.count", "gpu.sign"),
            safe=("lspci -nn -d 10de:", KERNEL_LOG),
        )
    if not facts.machine.gpus:
        return say.skipped("No NVIDIA GPU is listed.")
    lost = tuple(gpu for gpu in facts.machine.gpus if gpu.in_nvml is False and gpu.kernel_driver != "vfio-pci")
    working = tuple(gpu for gpu in facts.machine.gpus if gpu.in_nvml)
    if facts.nvml_outcome != "answered" and not working:
        return say.skipped("The driver could not be asked; see driver.nvml_init.")
    if lost:
        return say.failed(
            f"{counted(len(lost), 'GPU')} of {len(lost) + len(working)} not usable: {_named(facts, lost)}.",
            Evidence("gpus", len(working), source="nvml", needs=len(lost) + len(working)),
            *(one for gpu in lost for one in facts.evidence(f"gpu.{gpu.index}.usable", f"gpu.{gpu.index}.handle")),
            safe=(KERNEL_LOG,),
            risky=reset_gpus(facts.machine, lost),
        )
    hidden = facts.evidence("pci.not_granted")
    whose = "container" if facts.machine.host.container else "job"
    aside = f" {counted(len(hidden), 'GPU')} of the host not granted to this {whose}." if hidden else ""
    return say.passed(f"The driver answers for {counted(len(working), 'GPU')}.{aside}", *hidden)


def _named(facts: Facts, lost: tuple[Gpu, ...]) -> str:
    def told(gpu: Gpu) -> str:
        why = facts.failure(f"gpu.{gpu.index}.usable") or "NVML does not list it"
        return f"GPU {gpu.index} ({bus_ids((gpu,))}): {why}" if gpu.pci_bus_id else f"GPU {gpu.index}: {why}"

    return "; ".join(told(gpu) for gpu in lost)


CHECKS = (count_vs_nvml,)
