"""Checks of how the GPUs mend their memory: gpu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check, counted
from .gpu_answers import answers, fact, named, number, shown
from .log_lines import explains_memory
from .remedies import HAVE_IT_EXCHANGED, look_at, reset_gpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Finding, Gpu
    from .base import Facts, Verdict
    from .gpu_answers import Answers

_NO_REMAPPING = "No GPU here swaps rows of its memory for spares."


def _remapping(facts: Facts, name: str) -> Answers:
    """Of boards that can have something to remap: the call succeeds with zeros on others too."""
    return answers(facts, name, [gpu for gpu in facts.gpus if _can_remap(facts, gpu)])


def _can_remap(facts: Facts, gpu: Gpu) -> bool:
    if gpu.compute_capability is not None and facts.matrix is not None and facts.value(fact(gpu, "ecc_mode")) is None:
        repair = facts.matrix.faults.memory_repair_of(gpu.compute_capability)
        return bool(repair and repair.has_row_remapping and repair.has_containment)
    return True


@check(
    "gpu.remap_failed",
    level="quick",
    needs=("nvml",),
    leads=(
        "gpu.sram_ecc",
        "gpu.ecc_unc_volatile",
        "gpu.ecc_unc_aggregate",
        "gpu.remap_pending",
        "gpu.remap_uncorrectable",
        "gpu.remap_spares",
    ),
)
def remap_failed(facts: Facts, say: Verdict) -> Finding:
    """No GPU failed to swap a broken row of its memory for a spare one.

    What it finds
        GPUs whose memory broke where no spare row was left, or whose repair could not be recorded.

    Why it matters
        The broken row stays in use: programs on this GPU get uncorrectable errors until the board is exchanged.

    How it is decided
        nvmlDeviceGetRemappedRows, failureOccurred: set fails. Boards without error correction have nothing to remap.

    What to do
        Reset the GPU once. When the flag stays, take the board out of use and have it exchanged.

    Sources
        NVIDIA, GPU memory error management (row remapping); NVIDIA/DCGM dcgmlib/dcgm_errors.h; NVIDIA, Xid 64
        (read 2026-11).
    """
    failed = _remapping(facts, "remapped_rows_failed")
    sick = failed.saying(True)  # noqa: FBT003  the value that NVML told
    if sick:
        return say.failed(
            f"A broken row of memory could not be swapped for a spare one on {named(sick)}.",
            *shown(facts, sick, "remapped_rows_failed", *_COUNTS, needs="false"),
            safe=(look_at(facts.machine, sick, "ROW_REMAPPER"), HAVE_IT_EXCHANGED),
            risky=reset_gpus(facts.machine, sick),
        )
    return failed.rest(say, f"No swap of a row failed on {counted(len(failed.told), 'GPU')}.", lacking=_NO_REMAPPING)


_COUNTS = ("remapped_rows_uncorrected", "remapped_rows_corrected")


@check(
    "gpu.remap_pending",
    level="quick",
    needs=("nvml",),
    leads=("gpu.remap_uncorrectable", "gpu.ecc_unc_aggregate", "kernel.xid_app"),
    explains=explains_memory,
)
def remap_pending(facts: Facts, say: Verdict) -> Finding:
    """No repair of GPU memory waits for a reset.

    What it finds
        GPUs that have found a broken row and swap it at their next reset.

    Why it matters
        Until then the row is in use or its page is taken away, and a program can be ended by the next error.

    How it is decided
        nvmlDeviceGetRemappedRows, isPending: set fails. Boards without error correction have nothing to remap.

    What to do
        Drain the GPU and reset it while nothing uses it, or restart the machine.

    Sources
        NVIDIA, GPU memory error management (row remapping); NVIDIA, Xid 63; leptonai/gpud remapped-rows
        (read 2026-11).
    """
    pending = _remapping(facts, "remapped_rows_pending")
    sick = pending.saying(True)  # noqa: FBT003  the value that NVML told
    if sick:
        return say.failed(
            f"A repair of memory waits for a reset of {named(sick)}.",
            *shown(facts, sick, "remapped_rows_pending", *_COUNTS, needs="false"),
            safe=(look_at(facts.machine, sick, "ROW_REMAPPER"),),
            risky=reset_gpus(facts.machine, sick),
        )
    return pending.rest(say, f"No repair waits on {counted(len(pending.told), 'GPU')}.", lacking=_NO_REMAPPING)


_MOST_REMAPPED = 512


@check("gpu.remap_uncorrectable", level="quick", needs=("nvml",))
def remap_uncorrectable(facts: Facts, say: Verdict) -> Finding:
    """No rows of GPU memory were swapped because of uncorrectable errors.

    What it finds
        Boards that had to swap rows after errors that they could not correct.

    Why it matters
        Each is a cell that broke in use. A few are within the design; hundreds are a board at its end.

    How it is decided
        nvmlDeviceGetRemappedRows, rows swapped for uncorrectable errors: more than 0 warns, 512 or more fails.

    What to do
        Watch it; at the limit have the board exchanged.

    Sources
        NVIDIA/DCGM, hardware limits; NVIDIA, GPU memory error management (read 2026-11).
    """
    rows = _remapping(facts, "remapped_rows_uncorrected")
    worn = rows.where(lambda count: count >= _MOST_REMAPPED)
    if worn:
        return say.failed(
            f"{_MOST_REMAPPED} rows of memory or more were swapped after uncorrectable errors, on {named(worn)}.",
            *shown(facts, worn, *_COUNTS, needs=f"less than {_MOST_REMAPPED}"),
            safe=(look_at(facts.machine, worn, "ROW_REMAPPER"), HAVE_IT_EXCHANGED),
            risky=("take the board out of use and have it exchanged",),
        )
    some = rows.where(lambda count: count > 0)
    if some:
        total = int(sum(number(facts, gpu, "remapped_rows_uncorrected") or 0 for gpu in some))
        were = "row of memory was" if total == 1 else "rows of memory were"
        return say.warned(
            f"{total} {were} swapped after uncorrectable errors, on {named(some)}.",
            *shown(facts, some, *_COUNTS),
            safe=(look_at(facts.machine, some, "ROW_REMAPPER"), "check again later: growth is what counts"),
        )
    return rows.rest(
        say,
        f"No row was swapped after an uncorrectable error on {counted(len(rows.told), 'GPU')}.",
        lacking=_NO_REMAPPING,
    )


@check("gpu.remap_spares", level="quick", needs=("nvml",))
def remap_spares(facts: Facts, say: Verdict) -> Finding:
    """Every bank of GPU memory has spare rows left.

    What it finds
        Memory banks that have used up their spare rows, or nearly so.

    Why it matters
        The next broken row of such a bank can't be swapped, and the board is then to be exchanged.

    How it is decided
        nvmlDeviceGetRowRemapperHistogram: a bank with none left, or with few ("low"), warns (our proposal).

    What to do
        Plan an exchange of the board.

    Sources
        NVIDIA, GPU memory error management (bank remap availability); microsoft/superbenchmark (read 2026-11).
    """
    none, low = _remapping(facts, "row_remap_banks_none"), _remapping(facts, "row_remap_banks_low")
    for banks, left in ((none, "no spare row left"), (low, "few spare rows left")):
        sick = banks.where(lambda count: count > 0)
        if sick:
            total = int(sum(number(facts, gpu, banks.name) or 0 for gpu in sick))
            return say.warned(
                f"{counted(total, 'memory bank')} with {left} on {named(sick)}.",
                *shown(facts, sick, banks.name, "row_remap_banks_none", "row_remap_banks_low", needs=0),
                safe=(look_at(facts.machine, sick, "ROW_REMAPPER"), HAVE_IT_EXCHANGED),
            )
    return none.rest(
        say,
        f"Every memory bank has spare rows on {counted(len(none.told), 'GPU')}.",
        lacking="No GPU here tells of spare rows.",
    )


_MOST_RETIRED, _MANY_RETIRED, _MOST_DOUBLE = 63, 10, 15
_RECENT_S = 7 * 24 * 3600.0


@check("gpu.retired_pages", level="quick", needs=("nvml",))
def retired_pages(facts: Facts, say: Verdict) -> Finding:
    """Few pages of GPU memory were retired, and none waits to be.

    What it finds
        Boards before Ampere (compute capability below 8.0) that had to give up pages of their memory.

    Why it matters
        A board can retire 64 pages. One near its limit will soon end programs with errors it can't put away.

    How it is decided
        nvmlDeviceGetRetiredPages: 63 or more fails; more than 15 after double-bit errors, of which one in the last
        seven days, fails; so does a page that waits for a restart. 10 or more warn, and more than 15 after double-bit
        errors of longer ago.

    What to do
        Restart the machine, or reset the GPU, so that a waiting page is put away. At the limit have the board
        exchanged.

    Sources
        NVIDIA/DCGM common/DcgmGPUHardwareLimits.h (63, 15); facebookresearch/gcm (10); NVIDIA, Dynamic Page Retirement
        (read 2026-11).
    """
    double = answers(facts, "retired_pages_double_bit")
    pending = answers(facts, "retired_pages_pending").saying(True)  # noqa: FBT003  the value that NVML told
    worn = tuple(gpu for gpu in double.gpus if _retired(facts, gpu) >= _MOST_RETIRED)
    fresh = tuple(gpu for gpu in double.where(lambda count: count > _MOST_DOUBLE) if _is_recent(facts, gpu))
    if worn or fresh:
        sick = _union(worn, fresh)
        retired = (
            f"{_MOST_RETIRED} pages of memory or more were retired"
            if worn
            else f"More than {_MOST_DOUBLE} pages of memory broke and were retired, one in the last seven days,"
        )
        return say.failed(
            f"{retired} on {named(sick)}.",
            *shown(facts, sick, *_PAGES),
            safe=(look_at(facts.machine, sick, "PAGE_RETIREMENT"), HAVE_IT_EXCHANGED),
            risky=("take the board out of use and have it exchanged",),
        )
    if pending:
        return say.failed(
            f"A page of memory waits for a restart to be retired on {named(pending)}.",
            *shown(facts, pending, "retired_pages_pending", *_PAGES, needs="false"),
            safe=(look_at(facts.machine, pending, "PAGE_RETIREMENT"),),
            risky=reset_gpus(facts.machine, pending),
        )
    many = tuple(gpu for gpu in double.gpus if _retired(facts, gpu) >= _MANY_RETIRED)
    if many:
        return say.warned(
            f"{_MANY_RETIRED} pages of memory or more were retired on {named(many)}; the board can retire 64.",
            *shown(facts, many, *_PAGES),
            safe=(look_at(facts.machine, many, "PAGE_RETIREMENT"), "check again later: growth is what counts"),
        )
    return double.rest(
        say,
        f"Few pages of memory are retired, or none, on {counted(len(double.told), 'GPU')}.",
        lacking="No GPU here retires pages: newer ones swap rows.",
    )


_PAGES = ("retired_pages_double_bit", "retired_pages_single_bit")


def _retired(facts: Facts, gpu: Gpu) -> float:
    return sum(number(facts, gpu, name) or 0 for name in _PAGES)


def _is_recent(facts: Facts, gpu: Gpu) -> bool:
    times, now = facts.value(fact(gpu, "retired_pages_double_bit_times_s")), facts.context.now
    if not isinstance(times, tuple) or now is None:
        return False
    return any(isinstance(one, (int, float)) and 0 <= now - one <= _RECENT_S for one in times)


def _union(first: Sequence[Gpu], second: Sequence[Gpu]) -> tuple[Gpu, ...]:
    return tuple(sorted({gpu.index: gpu for gpu in (*first, *second)}.values(), key=lambda gpu: gpu.index))


CHECKS = (remap_failed, remap_pending, remap_uncorrectable, remap_spares, retired_pages)
