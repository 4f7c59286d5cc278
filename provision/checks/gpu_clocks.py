"""Checks of what holds the clocks back: gpu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted
from .gpu_answers import answers, fact, is_consumer, is_mobile, joined, named, number, shown
from .remedies import look_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..matrix.faults import ClockReason
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_IDLE, _SET_BY_SOMEBODY, _HARDWARE_SLOWDOWN = 0x1, 0x2, 0x8
_POWER_BRAKE = 0x80
_NAMED_CAUSES = 0x40 | _POWER_BRAKE
"""Hot, power brake: where one of them is told, the hardware slowdown beside it says nothing more."""


@check(
    "gpu.throttle_now",
    level="quick",
    needs=("nvml",),
    leads=("gpu.temp_core", "gpu.temp_memory", "gpu.throttle_time"),
)
def throttle_now(facts: Facts, say: Verdict) -> Finding:
    """No GPU is slowed down by heat or by its power supply.

    What it finds
        GPUs whose board lowers the clocks at this moment: too hot, or told to by the power supply or the chassis.

    Why it matters
        Clocks fall to a half or less, and with them the training of every GPU that waits for this one.

    How it is decided
        nvmlDeviceGetCurrentClocksEventReasons, by the table of the matrix: hardware slowdown, hot by hardware and
        power brake fail; warm by software warns. Idle, clocks that somebody set, sync boost and display are harmless,
        and the software power limit is normal under full load: it is only mentioned. A few moments without load may
        hide a slowdown. In a notebook all of this weighs less: a battery and little air slow healthy ones, and the
        power brake, which a battery sets, is only mentioned. A GeForce is made to warm up to its target and to slow
        down a little there, so warm by software is only mentioned, too.

    What to do
        Heat: airflow, fans, dust, the seating of the cooler. Power brake: power supplies and their redundancy, power
        caps of the chassis.

    Sources
        NVML API reference, nvmlClocksEventReasons; Azure/azurehpc-health-checks azure_gpu_clock_throttling.nhc
        (read 2026-11).
    """
    masks = answers(facts, "clock_event_reasons")
    masked = [(gpu, value) for gpu, value in masks.told if isinstance(value, int) and value & ~_IDLE]
    if masked and facts.matrix is None:
        return say.unknown("There is no table of what slows clocks, so the reasons were not judged.")
    for severity in ("fail", "warn"):
        sick = [(gpu, found) for gpu, mask in masked if (found := _reasons(facts, gpu, mask, severity))]
        if sick:
            return _slowed(facts, say, severity, sick)
    capped = tuple(gpu for gpu, mask in masked if _reasons(facts, gpu, mask, "info"))
    rows = {row.name: row for gpu, mask in masked for row in _reasons(facts, gpu, mask, "info")}
    aside = f"; {named(capped)} as is usual: {joined(list(rows))}" if capped else ""
    return masks.rest(
        say,
        f"Neither heat nor power supply slows {counted(len(masks.told), 'GPU')}{aside}.",
        *shown(facts, capped, "clock_event_reasons", "power_w", "power_limit_enforced_w"),
        lacking="No GPU here tells what holds its clocks back.",
    )


def _reasons(facts: Facts, gpu: Gpu, mask: int, severity: str) -> tuple[ClockReason, ...]:
    if facts.matrix is None:
        return ()
    rows = facts.matrix.faults.clock_reasons_of(mask)
    found = tuple(row for row in rows if _weight(row, gpu) == severity)
    return tuple(row for row in found if row.bit != _HARDWARE_SLOWDOWN or not mask & _NAMED_CAUSES)


def _weight(row: ClockReason, gpu: Gpu) -> str | None:
    """Severity of the matrix; less where a board is slowed down by design."""
    if row.severity and is_mobile(gpu):
        return "info" if row.bit == _POWER_BRAKE else _IN_NOTEBOOK[row.severity]
    return "info" if row.severity == "warn" and is_consumer(gpu) else row.severity


_IN_NOTEBOOK: dict[str, str] = {"fail": "warn", "warn": "info", "info": "info"}


def _slowed(facts: Facts, say: Verdict, severity: str, sick: Sequence[tuple[Gpu, tuple[ClockReason, ...]]]) -> Finding:
    gpus = tuple(gpu for gpu, _ in sick)
    rows = {row.bit: row for _, found in sick for row in found}
    why = joined([row.name for row in rows.values()])
    happened = f"{named(gpus)} {'is' if len(gpus) == 1 else 'are'} slowed down now: {why}."
    evidence = (
        *(Evidence(f"clock reason {row.bit:#x}", row.means, source="matrix.yaml") for row in rows.values()),
        *shown(facts, gpus, "clock_event_reasons", "temperature_c", "clock_sm_mhz", "power_w"),
    )
    safe = (
        look_at(facts.machine, gpus, "PERFORMANCE,TEMPERATURE,POWER"),
        *dict.fromkeys(row.do for row in rows.values()),
    )
    judged = say.failed if severity == "fail" else say.warned
    return judged(happened, *evidence, safe=safe)


_WARN_SHARE = 0.05
_LEAST_SPAN_S = 60.0
_NS = 1e9
_HELD_BACK = ("violation_thermal_ns", "violation_board_limit_ns")


@check("gpu.throttle_time", level="quick", needs=("nvml",))
def throttle_time(facts: Facts, say: Verdict) -> Finding:
    """Since the previous check the GPUs were not slowed down by heat or by their power supply for long.

    What it finds
        GPUs that spent a part of the time since an earlier check of this boot below their clocks, because of heat or
        of a limit of the board.

    Why it matters
        A slowdown that is not there while somebody looks still costs that share of the time.

    How it is decided
        nvmlDeviceGetViolationStatus, thermal and board limit, against an earlier check of this boot at least a minute
        ago: more than 5 % of the time warns (our proposal). Time at the software power limit is normal and not
        counted. Without an earlier check it is skipped.

    What to do
        As for gpu.throttle_now.

    Sources
        NVML API reference, nvmlDeviceGetViolationStatus, nvmlPerfPolicyType_t; leptonai/gpud hw-slowdown (read
        2026-11).
    """
    shares = {gpu: share for gpu in facts.gpus if (share := _share(facts, gpu)) is not None}
    if not shares:
        return say.skipped("There is no earlier check of this boot to compare with.")
    slow = tuple(gpu for gpu, share in shares.items() if share > _WARN_SHARE)
    if slow:
        worst = max(shares[gpu] for gpu in slow)
        return say.warned(
            f"Heat or a limit of the board slowed {named(slow)} for up to {worst:.0%} of the time since the previous"
            " check.",
            *(
                Evidence(
                    fact(gpu, "time_slowed"), round(shares[gpu] * 100, 1), "%", "nvml", f"at most {_WARN_SHARE:.0%}"
                )
                for gpu in slow
            ),
            safe=(look_at(facts.machine, slow, "PERFORMANCE,TEMPERATURE"), "look at airflow, fans and power supplies"),
        )
    return say.passed(
        f"Heat and limits of the board slowed {counted(len(shares), 'GPU')} for {max(shares.values()):.0%}."
    )


def _share(facts: Facts, gpu: Gpu) -> float | None:
    rates = [rate for name in _HELD_BACK if (rate := facts.rate(fact(gpu, name))) and rate.seconds >= _LEAST_SPAN_S]
    # Both count the same moments where a board is hot and slowed for it, so the larger counts, not their sum.
    return min(1.0, max(rate.delta / _NS / rate.seconds for rate in rates)) if rates else None


_BUSY_PERCENT = 50
_FULL_CLOCK = 0.9


@check("gpu.clock_locked", level="quick", needs=("nvml",), not_on=("wsl", "vgpu-guest"))
def clock_locked(facts: Facts, say: Verdict) -> Finding:
    """Nobody has fixed the clocks of a GPU below what they are by default.

    What it finds
        Application clocks below the default ones (`nvidia-smi -ac`), and GPUs at work whose clocks somebody locked low
        (`nvidia-smi -lgc`).

    Why it matters
        The GPU is slow, cool and without any fault. Somebody forgot a setting from a measurement.

    How it is decided
        Application clocks below the default ones warn. A GPU at least half busy, with "clocks set by somebody" as the
        only reason and less than 90 % of its application clock (else of its highest), warns (our proposal).
        Higher application clocks, and the reason by itself, are only mentioned: many boards show it by default.

    What to do
        `sudo nvidia-smi -rac` and `sudo nvidia-smi -rgc`, unless this site wants these clocks.

    Sources
        NVML API reference, nvmlDeviceGetApplicationsClock, nvmlClocksEventReasons; Azure/azurehpc-health-checks
        azure_gpu_app_clocks.nhc (read 2026-11).
    """
    low = tuple(gpu for gpu in facts.gpus if _is_set_low(facts, gpu))
    locked = tuple(gpu for gpu in facts.gpus if gpu not in low and _is_locked_low(facts, gpu))
    if low or locked:
        sick = tuple(gpu for gpu in facts.gpus if gpu in {*low, *locked})
        evidence = (
            *shown(facts, low, "clock_graphics_application_mhz", limit="clock_graphics_application_default_mhz"),
            *shown(facts, locked, "clock_graphics_mhz", "clock_event_reasons", limit="clock_graphics_max_mhz"),
        )
        return say.warned(
            f"Somebody fixed the clocks of {named(sick)} below the default.",
            *evidence,
            safe=(
                look_at(facts.machine, sick, "CLOCK"),
                "sudo nvidia-smi -rac    (if nobody wants them fixed)",
                "sudo nvidia-smi -rgc    (if nobody wants them fixed)",
            ),
        )
    if not any(number(facts, gpu, "clock_graphics_mhz") for gpu in facts.gpus):
        return say.skipped("No GPU here tells its clocks.")
    raised = tuple(gpu for gpu in facts.gpus if (_ratio(facts, gpu, "graphics") or 1) > 1)
    aside = f"; application clocks of {named(raised)} are above the default" if raised else ""
    return say.passed(f"The clocks of {counted(len(facts.gpus), 'GPU')} are not fixed below the default{aside}.")


def _ratio(facts: Facts, gpu: Gpu, kind: str) -> float | None:
    now, default = (number(facts, gpu, f"clock_{kind}_application_{which}mhz") for which in ("", "default_"))
    return now / default if now and default else None


def _is_set_low(facts: Facts, gpu: Gpu) -> bool:
    return any((ratio := _ratio(facts, gpu, kind)) is not None and ratio < 1 for kind in ("graphics", "memory"))


def _is_locked_low(facts: Facts, gpu: Gpu) -> bool:
    busy, now = number(facts, gpu, "utilization_gpu_percent"), number(facts, gpu, "clock_graphics_mhz")
    full = number(facts, gpu, "clock_graphics_application_mhz") or number(facts, gpu, "clock_graphics_max_mhz")
    if facts.value(fact(gpu, "clock_event_reasons")) != _SET_BY_SOMEBODY or not (busy and now and full):
        return False
    return busy >= _BUSY_PERCENT and now < _FULL_CLOCK * full


CHECKS = (throttle_now, throttle_time, clock_locked)
