"""Checks of whether CUDA starts and works: cuda.init, cuda.device_order, cuda.context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from ..spellings import normal_bus_id
from .base import Check, check, counted
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

MOST_DEVICES = 256
"""A larger count is not believed: a snapshot may say anything."""
_MPS_CODES = range(805, 811)
"""CUDA_ERROR_MPS_CONNECTION_FAILED and those after it."""
_SLOW_S = 5.0


def _meaning(facts: Facts, code: float | None) -> tuple[str, tuple[str, ...]]:
    """What a CUDA error means, for the middle of a sentence, and what to do about it."""
    row = facts.matrix.faults.cuda_error(int(code)) if facts.matrix and code is not None else None
    if row is None:
        return "", ()
    means = row.means.rstrip(".")
    return f": {means[0].lower()}{means[1:]}" if means[1:2].islower() else f": {means}", (row.do,)


@check("cuda.init", level="quick", needs=("gpu",), leads=("cuda.context",))
def init(facts: Facts, say: Verdict) -> Finding:
    """CUDA starts: cuInit succeeds and shows the GPUs.

    What it finds
        A driver that NVML answers for and CUDA can't use: no device, the NVSwitch fabric not set up (802), mixed
        releases (803), a compatibility package on a board that refuses it (804), MPS that does not answer (805 and
        after), and 999, most often a missing or broken nvidia_uvm.

    Why it matters
        nvidia-smi does not start CUDA. A machine can look healthy there while no program can use its GPUs.

    How it is decided
        A child process calls cuInit under a deadline, without making a context. An error fails, and so do a crash and
        a number of devices below that of NVML while nothing hides any. A deadline that passed is a finding of its own.
        CUDA is not started while a driver process is stuck or NVML hung; that is unknown.

    What to do
        What the error code says; causes that other checks found stand before this one.

    Sources
        CUDA driver API, CUresult; the matrix, cuda_errors (read 2026-11).
    """
    outcome = facts.text("cuda.outcome")
    if outcome is None:
        return say.skipped("Nobody started CUDA.")
    if outcome == "not-asked":
        return say.unknown(f"CUDA was {facts.why_not('cuda.init')}.")
    if outcome == "library-not-loaded":
        return say.skipped("libcuda could not be loaded; see cuda.libcuda.")
    if outcome == "failed":
        return say.unknown(f"CUDA could not be asked: {facts.why_not('cuda.init')}.")
    code = facts.number("cuda.init_code")
    shown = facts.evidence("cuda.init", "cuda.child", "cuda.library", "cuda.init_s")
    if code:
        return _refused(facts, say, int(code), shown)
    if outcome == "timed-out":
        return say.timed_out(f"CUDA does not start: {_why(facts)}.", *shown, safe=(KERNEL_LOG,))
    if outcome != "answered":
        return say.failed(f"CUDA does not start: {_why(facts)}.", *shown, safe=(KERNEL_LOG,))
    return _counted(facts, say, shown)


def _why(facts: Facts) -> str:
    return facts.failure("cuda.child") or facts.why_not("cuda.init")


def _refused(facts: Facts, say: Verdict, code: int, shown: tuple[Evidence, ...]) -> Finding:
    means, do = _meaning(facts, code)
    if code in _MPS_CODES:
        shown += facts.evidence("cuda.mps_folder", "environment.CUDA_MPS_PIPE_DIRECTORY")
        do = (
            *do,
            "pgrep -a nvidia-cuda-mps; ls -ld /tmp/nvidia-mps",
            "env -u CUDA_MPS_PIPE_DIRECTORY gpusetup check --only cuda.init",
        )
    return say.failed(f"CUDA does not start, cuInit ends with {code}{means}.", *shown, safe=(*do, KERNEL_LOG))


def _counted(facts: Facts, say: Verdict, shown: tuple[Evidence, ...]) -> Finding:
    count, seconds = facts.number("cuda.count"), facts.number("cuda.init_s")
    if count is None:
        return say.unknown(f"CUDA starts; how many devices it shows was not learned ({facts.why_not('cuda.count')}).")
    hidden = facts.was_looked_at("environment.CUDA_VISIBLE_DEVICES") or "mig" in facts.classes
    if not hidden and facts.gpus and count < len(facts.gpus):
        return say.failed(
            f"CUDA shows {counted(int(count), 'device')} of {counted(len(facts.gpus), 'GPU')} that NVML lists.",
            *facts.evidence("cuda.count", "nvml.count"),
            *_missing(facts),
            safe=("nvidia-smi --query-gpu=index,pci.bus_id,compute_mode --format=csv", KERNEL_LOG),
        )
    took = f" in {seconds:.1f} s" if seconds is not None else ""
    return say.passed(f"CUDA starts{took} and shows {counted(int(count), 'device')}.", *shown)


def _missing(facts: Facts) -> tuple[Evidence, ...]:
    known = _order(facts)
    return tuple(
        Evidence("not shown by CUDA", gpu.pci_bus_id, source="libcuda")
        for gpu in facts.gpus
        if known and gpu.pci_bus_id not in known
    )


def _order(facts: Facts) -> tuple[str, ...]:
    """Bus ids of CUDA's devices in CUDA's order."""
    count = min(facts.number("cuda.count") or 0, MOST_DEVICES)
    named = (facts.text(f"cuda.device.{index}.pci_bus_id") for index in range(int(count)))
    return tuple(filter(None, (normal_bus_id(one) if one else None for one in named)))


@check("cuda.device_order", level="quick", needs=("nvml",))
def device_order(facts: Facts, say: Verdict) -> Finding:
    """CUDA numbers the GPUs as nvidia-smi does.

    What it finds
        A box with different GPUs on which device 0 of CUDA is not GPU 0 of nvidia-smi.

    Why it matters
        CUDA puts the fastest GPU first unless CUDA_DEVICE_ORDER says PCI_BUS_ID; nvidia-smi goes by the bus. A job
        then lands on another GPU than the one that was looked at.

    How it is decided
        The bus ids of CUDA's devices in their order against those of NVML. A different order warns. Where
        CUDA_VISIBLE_DEVICES chooses or MIG is on, the numbers differ anyway and this is skipped.

    What to do
        `export CUDA_DEVICE_ORDER=PCI_BUS_ID`, or name GPUs by their UUID.

    Sources
        CUDA C++ Programming Guide, environment variables (read 2026-11).
    """
    if facts.was_looked_at("environment.CUDA_VISIBLE_DEVICES") or "mig" in facts.classes:
        return say.skipped("Devices are chosen by a variable or by MIG, so their numbers differ anyway.")
    mine, theirs = _order(facts), tuple(gpu.pci_bus_id for gpu in facts.gpus)
    if len(mine) != len(theirs) or set(mine) != set(theirs):
        return say.skipped("CUDA did not tell the bus ids of all GPUs, so there is nothing to compare.")
    if mine == theirs:
        return say.passed(f"CUDA and nvidia-smi number {counted(len(mine), 'GPU')} alike.")
    place = next(index for index, bus_id in enumerate(mine) if bus_id != theirs[index])
    return say.warned(
        f"Device {place} of CUDA is GPU {theirs.index(mine[place])} of nvidia-smi: CUDA puts the fastest first.",
        Evidence("cuda order", mine, source="libcuda"),
        Evidence("nvidia-smi order", theirs, source="nvml"),
        *facts.evidence("environment.CUDA_DEVICE_ORDER"),
        safe=("export CUDA_DEVICE_ORDER=PCI_BUS_ID", "nvidia-smi -L"),
    )


@check("cuda.context", level="standard", needs=("gpu",))
def context(facts: Facts, say: Verdict) -> Finding:
    """A program can open every GPU, write 1 MiB there and read the same back.

    What it finds
        A GPU that CUDA lists and no program can use: taken by another in exclusive mode, closed by its compute mode,
        out of memory, hanging, or giving back other bytes than were written.

    Why it matters
        Listing a GPU proves nothing: the first context is where a broken one fails.

    How it is decided
        One child process for each device makes a context, fills 1 MiB, copies it back and compares, within 20 s. An
        error or other bytes fail. A context that takes more than 5 s warns; our proposal.

    What to do
        What the error code says. Without persistence the first context waits for the GPU to start (driver.persistence).

    Sources
        NVIDIA DCGM, plugin contextcreate, for the idea (read 2026-11).
    """
    count = int(min(facts.number("cuda.count") or 0, MOST_DEVICES))
    tried = [index for index in range(count) if facts.was_looked_at(f"cuda.device.{index}.context")]
    if not tried:
        return say.skipped("No context was tried: that is done at --level standard, once CUDA starts.")
    for index in tried:
        fault = _broken(facts, say, index)
        if fault is not None:
            return fault
    seconds = {index: facts.number(f"cuda.device.{index}.context_s") or 0.0 for index in tried}
    slowest = max(seconds, key=lambda index: seconds[index])
    if seconds[slowest] > _SLOW_S:
        return say.warned(
            f"Opening device {slowest} took {seconds[slowest]:.1f} s.",
            Evidence("context_s", seconds[slowest], unit="s", source="libcuda", needs=_SLOW_S),
            safe=("nvidia-smi -q -d PERFORMANCE | head -n 40", "sudo nvidia-smi -pm 1"),
        )
    return say.passed(
        f"{counted(len(tried), 'device')} took and gave back 1 MiB; the slowest opened in {seconds[slowest]:.2f} s."
    )


def _broken(facts: Facts, say: Verdict, index: int) -> Finding | None:
    name = f"cuda.device.{index}"
    shown = facts.evidence(f"{name}.context", f"{name}.equal", f"{name}.name", f"{name}.pci_bus_id")
    if facts.flag(f"{name}.equal") is False:
        return say.failed(
            f"Device {index} gave back other bytes than were written.",
            *shown,
            safe=("use the other GPUs until this one is looked at", KERNEL_LOG),
        )
    why = facts.failure(f"{name}.context")
    if why is None:
        return None
    if facts.text(f"{name}.context_outcome") == "timed-out":
        return say.timed_out(f"Device {index} can't be opened: {why}.", *shown, safe=(KERNEL_LOG,))
    means, do = _meaning(facts, facts.number(f"{name}.context_code"))
    return say.failed(
        f"Device {index} can't be used, {why}{means}.",
        *shown,
        *facts.evidence(f"{name}.compute_mode"),
        safe=(*do, "nvidia-smi --query-compute-apps=pid,used_memory --format=csv"),
    )


CHECKS: tuple[Check, ...] = (init, device_order, context)
