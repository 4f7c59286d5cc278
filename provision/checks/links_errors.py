"""Checks of what NVLinks count: link.nvlink_errors, link.nvlink_ber."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..records import Evidence
from .base import check
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_HARD: Final = {
    "recovery": ("nvlink_recovery_errors", "nvlink_dl_recovery_errors", "nvlink_recovery_events"),
    "failed recovery": ("nvlink_recovery_failed_events",),
    "replay": ("nvlink_replay_errors", "nvlink_dl_replay_errors"),
}
_PLURALS: Final = {"recovery": "recoveries", "failed recovery": "failed recoveries", "replay": "replays"}
_CRC: Final = ("nvlink_crc_flit_errors", "nvlink_crc_data_errors", "nvlink_dl_crc_errors")
_CRC_PER_SECOND: Final = 100.0
_HOUR_S: Final = 3600.0
_LOOK: Final = ("nvidia-smi nvlink --errorcounters", KERNEL_LOG)
_RESET: Final = (
    "drain the machine and reset all GPUs that are linked together: sudo nvidia-smi --gpu-reset",
    "have bridge, baseboard and GPU looked at if the errors come back",
)


@check("link.nvlink_errors", level="quick", needs=("nvml",))
def nvlink_errors(facts: Facts, say: Verdict) -> Finding:
    """No NVLink counts replays, recoveries or checksum errors.

    What it finds
        A link that works and errs: packets sent twice, links trained anew, checksums that do not hold.

    Why it matters
        A link that has to repeat itself slows every collective, and one that recovers today is down tomorrow (Xid 74).

    How it is decided
        By growth since an earlier run of this boot. A replay or a recovery fails; when they are rarer than one an hour
        they warn (our proposal: the window of DCGM is far shorter). 100 or more checksum errors a second fail.
        Without an earlier run there are only counts since the driver was loaded: a recovery among them warns, all else
        is told and passes, because links err a little while they are trained.

    What to do
        Look for Xid 74 on the same GPU and for SXids of the switches. Reset the GPUs that are linked together, reseat
        a bridge, and have the board looked at when it goes on.

    Sources
        DCGM health limits for NVLink: 1 replay or recovery, 100 CRC errors a second (read 2026-11); NVML API
        reference, nvmlDeviceGetNvLinkErrorCounter and the NVML_FI_DEV_NVLINK fields.
    """
    totals = {
        name: total
        for gpu in facts.gpus
        for fact in (*(fact for facts_ in _HARD.values() for fact in facts_), *_CRC)
        if (total := _total(facts, name := f"gpu.{gpu.index}.{fact}")) is not None
    }
    if not totals:
        return say.skipped("No GPU here counts errors of NVLinks.")
    growing = _growth(facts)
    bad = [words for words, _, is_bad in growing if is_bad]
    slow = [words for words, _, is_bad in growing if not is_bad]
    evidence = tuple(one for _, one, _ in growing)
    if bad:
        return say.failed(f"NVLinks err at work: {', '.join(bad)}.", *evidence, safe=_LOOK, risky=_RESET)
    if slow:
        return say.warned(f"NVLinks err now and then: {', '.join(slow)}.", *evidence, safe=_LOOK)
    counted = tuple(Evidence(name, total, source="nvml") for name, total in totals.items() if total)
    if any(facts.rate(name) for name in totals):
        return say.passed("No NVLink counted a replay or recovery since the earlier run.", *counted)
    recovered = [
        f"{_times(totals[name], 'recovery')} on GPU {gpu.index}"
        for gpu in facts.gpus
        for name in _largest(totals, gpu.index, (*_HARD["recovery"], *_HARD["failed recovery"]))
    ]
    if recovered:
        return say.warned(
            f"NVLinks were trained anew since the driver was loaded: {', '.join(recovered)}.",
            *counted,
            safe=("run this check again in an hour: it then tells whether it goes on", *_LOOK),
        )
    if counted:
        return say.passed(
            "NVLinks counted a few errors since the driver was loaded; whether it goes on shows a later run.", *counted
        )
    return say.passed("No NVLink has counted an error since the driver was loaded.")


def _growth(facts: Facts) -> list[tuple[str, Evidence, bool]]:
    """Words, figure and whether it fails, of everything that grew."""
    found = []
    for gpu in facts.gpus:
        for kind, names in _HARD.items():
            # Two counters may tell of one event: the older call and the newer field.
            rates = [(rate, name) for fact in names if (rate := facts.rate(name := f"gpu.{gpu.index}.{fact}"))]
            rate, name = max(rates, key=lambda one: one[0].delta, default=(None, ""))
            if rate is None or rate.delta < 1:
                continue
            words = f"{_times(int(rate.delta), kind)} in {_span(rate.seconds)} on GPU {gpu.index}"
            per_hour = rate.delta * _HOUR_S / rate.seconds if rate.seconds > 0 else 0.0
            is_bad = rate.seconds <= _HOUR_S or per_hour >= 1.0
            found.append((words, Evidence(name, rate.delta, source="nvml", needs=0), is_bad))
        for fact in _CRC:
            rate = facts.rate(name := f"gpu.{gpu.index}.{fact}")
            if rate and rate.seconds > 0 and (per_second := rate.delta / rate.seconds) >= _CRC_PER_SECOND:
                words = f"{per_second:.0f} checksum errors a second on GPU {gpu.index}"
                evidence = Evidence(name, round(per_second, 1), "1/s", "nvml", f"below {_CRC_PER_SECOND:.0f}")
                found.append((words, evidence, True))
    return found


def _times(number: int, kind: str) -> str:
    return f"1 {kind}" if number == 1 else f"{number} {_PLURALS[kind]}"


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 2 * _HOUR_S else f"{seconds / _HOUR_S:.0f} hours"


def _total(facts: Facts, name: str) -> int | None:
    value = facts.value(name)
    counts = [one for one in value if isinstance(one, int)] if isinstance(value, tuple) else []
    return sum(counts) if counts else None


def _largest(totals: dict[str, int], index: int, names: tuple[str, ...]) -> list[str]:
    """Name of the counter of that GPU that has counted most; none when none has counted."""
    found = [name for fact in names if totals.get(name := f"gpu.{index}.{fact}")]
    return sorted(found, key=lambda name: totals[name])[-1:]


_WORST_BER: Final = 1e-12


@check("link.nvlink_ber", level="quick", needs=("nvml",))
def nvlink_ber(facts: Facts, say: Verdict) -> Finding:
    """The bit error rates of the NVLinks are low.

    What it finds
        Links from Blackwell on whose error rate after correction is high before any packet is lost.

    Why it matters
        A rising rate announces a link that will recover, replay and at last fail; it is the time to plan a repair.

    How it is decided
        A link without errors shows 1.5e-254, the least that the field can hold. An effective or symbol error rate
        above 1e-12 warns (our proposal); it never fails. What lies between passes with the figure.

    What to do
        Watch link.nvlink_errors of the same GPU. Have cable, cartridge or baseboard looked at when it grows.

    Sources
        DCGM, NVLINK_EFFECTIVE_BER_THRESHOLD and NVLINK_SYMBOL_BER_THRESHOLD with their floor of mantissa 15,
        exponent 255; nvml.h on the fields' encoding (read 2026-11).
    """
    names = [f"gpu.{gpu.index}.{fact}" for gpu in facts.gpus for fact in ("nvlink_effective_ber", "nvlink_symbol_ber")]
    worst = {name: max(rates) for name in names if (rates := _rates(facts, name))}
    if not worst:
        return say.skipped("No GPU here tells the bit error rates of its NVLinks.")
    evidence = tuple(
        Evidence(name, rate, source="nvml", needs=f"at most {_WORST_BER:g}") for name, rate in worst.items()
    )
    high = {name: rate for name, rate in worst.items() if rate > _WORST_BER}
    if high:
        name = max(high, key=lambda one: high[one])
        indexes = sorted({int(one.split(".")[1]) for one in high})
        return say.warned(
            f"NVLinks have many bit errors on GPU {', '.join(map(str, indexes))}: the worst rate is {high[name]:g}.",
            *(one for one in evidence if one.name in high),
            safe=_LOOK,
        )
    return say.passed(f"The highest bit error rate of an NVLink is {max(worst.values()):g}.", *evidence)


def _rates(facts: Facts, name: str) -> list[float]:
    value = facts.value(name)
    return [float(one) for one in value if isinstance(one, (int, float))] if isinstance(value, tuple) else []
