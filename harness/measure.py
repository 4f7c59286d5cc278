"""Pure arithmetic on what was recorded: step times, losses, predictions, CPU counters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence

from .contract import HostLoad, Quality, StepTime, Throughput

WARMUP_SHARE = 0.1
WARMUP_LEAST = 5
WARMUP_MOST = 50


def warmup_steps(steps: int) -> int:
    """Steps before the window: a tenth of all, at least 5 and at most 50, and never the last one."""
    return max(0, min(max(WARMUP_LEAST, min(WARMUP_MOST, int(steps * WARMUP_SHARE))), steps - 1))


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile with linear interpolation between neighbours; share 0.5 is the median. Needs a value."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def variation(values: Sequence[float]) -> Optional[float]:
    """Sample standard deviation over mean; None for fewer than two values or a mean of zero."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    if mean == 0:
        return None
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) / mean


@dataclass(frozen=True)
class Interval:
    """What happened between the two edges of the window."""

    seconds: float
    samples: int
    tokens: int
    """Real tokens, padding excluded."""
    step_times_s: tuple[float, ...]
    data_wait_s: float


def throughput(
    interval: Interval, *, planned_steps: int, executed_steps: int, warmup: int, incomparable: Optional[str]
) -> Throughput:
    """Rates of the window: its samples and real tokens over its one wall-clock interval.

    Refuses the rates when the executed steps are not the planned ones or the window is empty.
    """
    refusal = None
    if executed_steps != planned_steps:
        refusal = f"{executed_steps} steps were executed and {planned_steps} were planned, so there is no rate"
    elif not interval.step_times_s or interval.seconds <= 0:
        refusal = "no step is left after the warm-up, so there is no rate"
    if refusal:
        return Throughput(comparable=False, reason=refusal, warmup_steps=min(warmup, executed_steps))
    return Throughput(
        comparable=incomparable is None,
        reason=incomparable,
        samples_per_s=interval.samples / interval.seconds,
        tokens_per_s=interval.tokens / interval.seconds,
        step_time_s=StepTime(*(percentile(interval.step_times_s, share) for share in (0.5, 0.9, 0.99))),
        cv=variation(interval.step_times_s),
        warmup_steps=warmup,
        data_wait_share=interval.data_wait_s / interval.seconds,
        window_s=interval.seconds,
    )


def smoothed_ends(losses: Sequence[float]) -> tuple[Optional[float], Optional[float]]:
    """Mean of the first and of the last tenth of the losses (at least one); None without losses."""
    if not losses:
        return None, None
    count = max(1, len(losses) // 10)
    return sum(losses[:count]) / count, sum(losses[-count:]) / count


def macro_f1(predicted: Sequence[int], labels: Sequence[int], classes: int) -> float:
    """Mean over the classes of F1; a class that neither occurs nor is predicted counts 0."""
    total = 0.0
    for kind in range(classes):
        hits = sum(1 for guess, label in zip(predicted, labels) if guess == label == kind)
        both = sum(1 for guess in predicted if guess == kind) + sum(1 for label in labels if label == kind)
        total += 2 * hits / both if both else 0.0
    return total / classes


def quality(
    predicted: Sequence[int], labels: Sequence[int], classes: int, losses: Sequence[float], eval_loss: float
) -> Quality:
    """What the predictions on held-out messages are worth. Needs at least one label."""
    first, last = smoothed_ends([loss for loss in losses if math.isfinite(loss)])
    majority = max(sum(1 for label in labels if label == kind) for kind in range(classes))
    return Quality(
        accuracy=sum(1 for guess, label in zip(predicted, labels) if guess == label) / len(labels),
        macro_f1=macro_f1(predicted, labels, classes),
        eval_loss=eval_loss if math.isfinite(eval_loss) else None,
        first_loss=first,
        last_loss=last,
        chance=1 / classes,
        majority_baseline=majority / len(labels),
        samples=len(labels),
    )


def host_load(
    before: Optional[Sequence[int]], after: Optional[Sequence[int]], own_s: float, ticks_per_s: int, cores: int
) -> HostLoad:
    """Shares of the host's CPU time that others used. Samples are the `cpu` line of /proc/stat as numbers.

    user nice system idle iowait irq softirq steal guest guest_nice, in ticks; guest time is already within user.
    """
    if before is None or after is None or len(before) < 8 or len(after) < 8:
        return HostLoad(cores=cores)
    spent = [late - early for early, late in zip(before[:8], after[:8])]
    total = sum(spent)
    if total <= 0:
        return HostLoad(cores=cores)
    busy = total - spent[3] - spent[4] - spent[7]
    foreign = max(0.0, busy - own_s * ticks_per_s)
    return HostLoad(foreign_share=foreign / total, steal_share=spent[7] / total, cores=cores)
