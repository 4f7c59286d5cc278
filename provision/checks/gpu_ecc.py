"""Checks of memory errors: gpu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..versions import ComputeCapability
from .base import check, counted
from .gpu_answers import answers, fact, is_data_center, named, number, shown
from .log_lines import explains_memory
from .remedies import HAVE_IT_EXCHANGED, look_at, reset_gpus

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_NO_ECC = "No GPU here has memory with error correction."
_PASCAL = ComputeCapability(6, 0)


@check("gpu.ecc_mode", level="quick", needs=("nvml",))
def ecc_mode(facts: Facts, say: Verdict) -> Finding:
    """Error correction is on where the board is made for it, and no change of it is waiting.

    What it finds
        Boards for servers whose error correction (ECC) somebody switched off, and a switch that waits for a reset.

    Why it matters
        Without ECC a flipped bit becomes a wrong number in a weight, and nothing says so. A switch that waits takes
        effect at some later restart, when nobody remembers it, and changes how much memory there is.

    How it is decided
        nvmlDeviceGetEccMode, current and pending: a difference warns. Off warns on boards that the matrix has as
        data center boards, of compute capability 6.0 or newer (older ones came with it off), outside of virtual GPUs.
        A GeForce, a workstation board with ECC off, or a board without ECC is as it should be.

    What to do
        `sudo nvidia-smi -e 1`, then reset the GPU while nothing uses it.

    Sources
        NVML API reference, nvmlDeviceGetEccMode; NVIDIA/DCGM dcgmlib/dcgm_errors.h (read 2026-11).
    """
    mode = answers(facts, "ecc_mode")
    waiting = tuple(gpu for gpu, now in mode.told if (facts.text(fact(gpu, "ecc_pending")) or now) != now)
    if waiting:
        return say.warned(
            f"A switch of error correction waits for a reset on {named(waiting)}.",
            *shown(facts, waiting, "ecc_mode", "ecc_pending"),
            safe=(look_at(facts.machine, waiting, "ECC"),),
            risky=reset_gpus(facts.machine, waiting),
        )
    off = tuple(gpu for gpu in mode.saying("disabled") if _is_made_for_ecc(facts, gpu))
    if off:
        return say.warned(
            f"Error correction is switched off on {named(off)}: flipped bits go unnoticed.",
            *shown(facts, off, "ecc_mode", needs="enabled"),
            safe=(look_at(facts.machine, off, "ECC"),),
            risky=("sudo nvidia-smi -e 1", *reset_gpus(facts.machine, off)),
        )
    on, without = mode.saying("enabled"), mode.saying("disabled")
    said = f"{counted(len(on), 'GPU')} with error correction on" if on else "Error correction is off, as is usual here"
    aside = f", {len(without)} with it off, as is usual for such boards" if on and without else ""
    return mode.rest(say, f"{said}{aside}.", lacking=_NO_ECC)


def _is_made_for_ecc(facts: Facts, gpu: Gpu) -> bool:
    if facts.text(fact(gpu, "virtualization_mode")) == "vgpu":
        return False
    return gpu.compute_capability is not None and gpu.compute_capability >= _PASCAL and is_data_center(facts, gpu)


@check(
    "gpu.ecc_unc_volatile",
    level="quick",
    needs=("nvml",),
    leads=(
        "gpu.ecc_unc_aggregate",
        "gpu.remap_pending",
        "gpu.remap_uncorrectable",
        "gpu.retired_pages",
        "kernel.xid_app",
    ),
    explains=explains_memory,
)
def ecc_unc_volatile(facts: Facts, say: Verdict) -> Finding:
    """No GPU had a memory error that it could not correct since its driver was loaded.

    What it finds
        Uncorrectable (double-bit) errors of GPU memory and of the memories on the chip, since the driver was loaded.

    Why it matters
        The program that read the cell was ended, or read rubbish. Until a reset the cell stays in use, and the next
        program may get it.

    How it is decided
        nvmlDeviceGetTotalEccErrors, uncorrected, volatile: more than 0 fails. The evidence tells DRAM and SRAM apart
        where the driver does.

    What to do
        Drain the GPU, reset it, then look at gpu.remap_failed and gpu.sram_ecc: they say whether the board mended
        itself or is to be exchanged.

    Sources
        NVML API reference, nvmlDeviceGetTotalEccErrors; facebookresearch/gcm (limit 0); NVIDIA, GPU memory error
        management (read 2026-11).
    """
    errors = answers(facts, "ecc_uncorrected_volatile")
    sick = errors.where(lambda count: count > 0)
    if sick:
        total = sum(number(facts, gpu, "ecc_uncorrected_volatile") or 0 for gpu in sick)
        return say.failed(
            f"{counted(int(total), 'memory error')} that could not be corrected since the driver was loaded,"
            f" on {named(sick)}.",
            *shown(
                facts,
                sick,
                "ecc_uncorrected_volatile",
                "ecc_dram_uncorrected_volatile",
                "ecc_sram_uncorrected_volatile",
                needs=0,
            ),
            safe=(look_at(facts.machine, sick, "ECC,ROW_REMAPPER,PAGE_RETIREMENT"),),
            risky=reset_gpus(facts.machine, sick),
        )
    return errors.rest(
        say,
        f"No uncorrectable error since the driver was loaded, on {counted(len(errors.told), 'GPU')}.",
        lacking=_NO_ECC,
    )


@check("gpu.ecc_unc_aggregate", level="quick", needs=("nvml",))
def ecc_unc_aggregate(facts: Facts, say: Verdict) -> Finding:
    """No GPU has a history of memory errors that it could not correct.

    What it finds
        Uncorrectable memory errors over the life of the board, and whether they go on.

    Why it matters
        One error of long ago is mended and no reason to exchange a board. A count that grows is.

    How it is decided
        nvmlDeviceGetTotalEccErrors, uncorrected, aggregate: more than 0 warns, as a lifetime counter. Growth since an
        earlier check of this boot fails.

    What to do
        Watch it. Where it grows, drain the GPU and follow gpu.ecc_unc_volatile.

    Sources
        NVML API reference, nvmlDeviceGetTotalEccErrors; Azure/azurehpc-health-checks azure_gpu_ecc.nhc (read 2026-11).
    """
    errors = answers(facts, "ecc_uncorrected_aggregate")
    growing = tuple(gpu for gpu in errors.gpus if _growth(facts, gpu, "ecc_uncorrected_aggregate") > 0)
    if growing:
        more = sum(_growth(facts, gpu, "ecc_uncorrected_aggregate") for gpu in growing)
        return say.failed(
            f"{counted(int(more), 'uncorrectable memory error')} came since the previous check, on {named(growing)}.",
            *shown(facts, growing, "ecc_uncorrected_aggregate", "ecc_uncorrected_volatile"),
            safe=(look_at(facts.machine, growing, "ECC"),),
            risky=reset_gpus(facts.machine, growing),
        )
    sick = errors.where(lambda count: count > 0)
    if sick:
        total = sum(number(facts, gpu, "ecc_uncorrected_aggregate") or 0 for gpu in sick)
        return say.warned(
            f"{counted(int(total), 'uncorrectable memory error')} in the life of {named(sick)}.",
            *shown(facts, sick, "ecc_uncorrected_aggregate", needs=0),
            safe=(
                look_at(facts.machine, sick, "ECC,ROW_REMAPPER"),
                "check again later: growth is what counts",
            ),
        )
    return errors.rest(
        say, f"No uncorrectable error in the life of {counted(len(errors.told), 'GPU')}.", lacking=_NO_ECC
    )


def _growth(facts: Facts, gpu: Gpu, name: str) -> float:
    rate = facts.rate(fact(gpu, name))
    return rate.delta if rate else 0.0


_MOST_DRAM = 20_000_000
_MOST_SRAM = 10_000
_MONTH_H = 30 * 24
_LEAST_SPAN_S = 600.0


@check("gpu.ecc_corr_rate", level="quick", needs=("nvml",))
def ecc_corr_rate(facts: Facts, say: Verdict) -> Finding:
    """Corrected memory errors are few and do not pour in.

    What it finds
        GPUs whose memory corrects errors in great numbers.

    Why it matters
        A corrected error costs nothing. Millions of them tell of a cell, a row or a board that is about to fail.

    How it is decided
        Since the driver was loaded: more than 20,000,000 in DRAM or 10,000 in SRAM warns (limits of Azure's health
        checks; Meta's is 50,000,000). Against an earlier check of this boot, at least ten minutes ago: a rate that
        brings 20,000,000 within 30 days warns (our proposal).

    What to do
        Watch the rate; plan an exchange at the vendor's limit.

    Sources
        Azure/azurehpc-health-checks azure_gpu_ecc.nhc; facebookresearch/gcm (read 2026-11).
    """
    errors = answers(facts, "ecc_corrected_volatile")
    many = tuple(gpu for gpu in errors.gpus if _is_beyond(facts, gpu))
    names = ("ecc_corrected_volatile", "ecc_dram_corrected_volatile", "ecc_sram_corrected_volatile")
    if many:
        return say.warned(
            f"Memory corrected more errors than boards in good health do, on {named(many)}.",
            *shown(facts, many, *names),
            safe=(look_at(facts.machine, many, "ECC"), HAVE_IT_EXCHANGED),
        )
    fast = tuple(gpu for gpu in errors.gpus if _per_hour(facts, gpu) * _MONTH_H > _MOST_DRAM)
    if fast:
        worst = max(_per_hour(facts, gpu) for gpu in fast)
        return say.warned(
            f"Corrected memory errors pour in, at up to {worst:,.0f} an hour, on {named(fast)}.",
            *shown(facts, fast, *names),
            safe=(look_at(facts.machine, fast, "ECC"), "check again later: the rate is what counts"),
        )
    return errors.rest(say, f"Corrected errors are few on {counted(len(errors.told), 'GPU')}.", lacking=_NO_ECC)


def _is_beyond(facts: Facts, gpu: Gpu) -> bool:
    sram = max(
        number(facts, gpu, "ecc_sram_corrected_volatile") or 0, number(facts, gpu, "sram_ecc_corrected_volatile") or 0
    )
    dram = number(facts, gpu, "ecc_dram_corrected_volatile")
    if dram is None:
        dram = number(facts, gpu, "ecc_corrected_volatile") or 0
    return dram > _MOST_DRAM or sram > _MOST_SRAM


def _per_hour(facts: Facts, gpu: Gpu) -> float:
    rate = facts.rate(fact(gpu, "ecc_corrected_volatile"))
    return rate.per_minute * 60 if rate and rate.seconds >= _LEAST_SPAN_S else 0.0


_MOST_SRAM_UNCORRECTED = 4


@check("gpu.sram_ecc", level="quick", needs=("nvml",), leads=("gpu.ecc_unc_volatile", "gpu.ecc_unc_aggregate"))
def sram_ecc(facts: Facts, say: Verdict) -> Finding:
    """The memories on the chip have no errors that it could not correct.

    What it finds
        Uncorrectable errors in caches and registers (SRAM), and the board's own verdict that there were too many.

    Why it matters
        DRAM has spare rows and mends itself; SRAM has none. Past the board's limit only an exchange helps.

    How it is decided
        nvmlDeviceGetSramEccErrorStatus: the flag for the limit fails; parity or SEC-DED errors since the driver was
        loaded fail. More than 4 over the life of the board, without the flag, warn.

    What to do
        Reset the GPU. When the flag is set, have the board exchanged.

    Sources
        NVML API reference, nvmlDeviceGetSramEccErrorStatus; NVIDIA/DCGM (SRAM Threshold Count); NVIDIA, Xid Errors;
        stas00/ml-engineering, debug.md (4 in the life of a board) (read 2026-11).
    """
    flags = answers(facts, "sram_ecc_threshold_exceeded")
    over = flags.saying(True)  # noqa: FBT003  the value that NVML told
    if over:
        return say.failed(
            f"The memories on the chip had more uncorrectable errors than the board allows, on {named(over)}.",
            *shown(facts, over, "sram_ecc_threshold_exceeded", *_SRAM_AGGREGATE, needs="false"),
            safe=(look_at(facts.machine, over, "ECC"), HAVE_IT_EXCHANGED),
            risky=("take the board out of use and have it exchanged",),
        )
    sick = tuple(gpu for gpu in flags.gpus if _sum(facts, gpu, _SRAM_VOLATILE) > 0)
    if sick:
        return say.failed(
            f"The memories on the chip had uncorrectable errors since the driver was loaded, on {named(sick)}.",
            *shown(facts, sick, *_SRAM_VOLATILE, "sram_ecc_threshold_exceeded", needs=0),
            safe=(look_at(facts.machine, sick, "ECC"),),
            risky=reset_gpus(facts.machine, sick),
        )
    worn = tuple(gpu for gpu in flags.gpus if _sum(facts, gpu, _SRAM_AGGREGATE) > _MOST_SRAM_UNCORRECTED)
    if worn:
        return say.warned(
            f"The memories on the chip had more than {_MOST_SRAM_UNCORRECTED} uncorrectable errors in the life of"
            f" {named(worn)}.",
            *shown(facts, worn, *_SRAM_AGGREGATE),
            safe=(look_at(facts.machine, worn, "ECC"), HAVE_IT_EXCHANGED),
        )
    return flags.rest(
        say,
        f"The memories on the chip are without uncorrectable errors on {counted(len(flags.told), 'GPU')}.",
        lacking="No GPU here, or not this driver, tells errors of the memories on the chip.",
    )


_SRAM_VOLATILE = ("sram_ecc_uncorrected_parity_volatile", "sram_ecc_uncorrected_secded_volatile")
_SRAM_AGGREGATE = ("sram_ecc_uncorrected_parity_aggregate", "sram_ecc_uncorrected_secded_aggregate")


def _sum(facts: Facts, gpu: Gpu, names: tuple[str, ...]) -> float:
    return sum(number(facts, gpu, name) or 0 for name in names)


CHECKS = (sram_ecc, ecc_unc_volatile, ecc_unc_aggregate, ecc_corr_rate, ecc_mode)
