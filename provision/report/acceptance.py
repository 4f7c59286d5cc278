"""An acceptance as lines: verdict last, figures with their bars before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import figure, gib, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..acceptance import Acceptance, AcceptedDevice, Criterion
    from ..records import Scalar
    from .style import Style


def render_acceptance(acceptance: Acceptance, style: Style) -> str:
    """Workload, throughput, quality, criteria, verdict."""
    return "\n".join([*acceptance_lines(acceptance, style), verdict_line(acceptance, style)])


def acceptance_lines(acceptance: Acceptance, style: Style) -> Iterator[str]:
    """Everything but the verdict."""
    workload = acceptance.workload
    if workload is not None:
        yield from style.block("workload", f"{workload.preset}: {workload.task}")
        yield style.row(
            "",
            f"{workload.parameters / 1e6:.3g} M parameters",
            f"{workload.steps} steps",
            f"batch {workload.batch} x {workload.sequence} tokens",
            workload.precision,
            f"seed {workload.seed}",
        )
    yield from _throughput_lines(acceptance, style)
    yield from _quality_lines(acceptance, style)
    for note in acceptance.notes:
        yield from style.block("note", note)
    for criterion in acceptance.criteria:
        yield _criterion_line(criterion, style)


def verdict_word(acceptance: Acceptance) -> str:
    """accepted, degraded or rejected; a verdict reached on the CPU says so."""
    return f"{acceptance.verdict} (cpu)" if acceptance.device_class == "cpu" else acceptance.verdict


def verdict_line(acceptance: Acceptance, style: Style) -> str:
    """The last line."""
    tone = {"accepted": "good", "degraded": "warn", "rejected": "bad"}[acceptance.verdict]
    return style.row("verdict", style.paint(verdict_word(acceptance), tone))  # type: ignore[arg-type]


def _throughput_lines(acceptance: Acceptance, style: Style) -> Iterator[str]:
    rate = acceptance.throughput
    if rate is None or rate.samples_per_s is None:
        yield style.row("speed", "not measured")
        return
    yield style.row(
        "speed",
        figure(rate.samples_per_s, "samples/s"),
        figure(rate.tokens_per_s, "tokens/s") if rate.tokens_per_s is not None else "",
        "" if rate.comparable else "(not comparable between machines)",
    )
    steps = rate.step_time_s
    if steps is not None:
        yield style.row(
            "step",
            f"p50 {seconds(steps.p50)}",
            f"p90 {seconds(steps.p90)}",
            f"p99 {seconds(steps.p99)}",
            f"cv {100 * rate.cv:.0f} %" if rate.cv is not None else "",
            f"({rate.warmup_steps} warm-up steps out)",
        )


def _quality_lines(acceptance: Acceptance, style: Style) -> Iterator[str]:
    quality = acceptance.quality
    if quality is None:
        yield style.row("quality", "not measured")
    else:
        losses = quality.first_loss, quality.last_loss
        yield style.row(
            "quality",
            f"held-out accuracy {figure(quality.accuracy)}",
            f"(chance {figure(quality.chance)})",
            f"loss {figure(losses[0])} -> {figure(losses[1])}" if None not in losses else "",  # type: ignore[arg-type]
        )
    for device in acceptance.device:
        yield style.row("device", device.name or device.kind, *_memory(device))


def _memory(device: AcceptedDevice) -> Iterator[str]:
    if device.threads is not None:
        yield f"{device.threads} thread{'' if device.threads == 1 else 's'}"
    if device.peak_allocated_bytes is not None:
        yield f"peak {gib(device.peak_allocated_bytes)} allocated"
    if device.peak_rss_bytes is not None:
        yield f"peak {gib(device.peak_rss_bytes)} resident"


def _criterion_line(criterion: Criterion, style: Style) -> str:
    return style.row(
        style.mark("pass" if criterion.passed else "fail"),
        f"{criterion.id:<14}",
        _value(criterion.measured),
        f"(bar {_value(criterion.bar)})" if criterion.bar != criterion.measured else "",
        criterion.unit or "",
    )


def _value(value: Scalar) -> str:
    if value is None:
        return "not known"
    return figure(value) if isinstance(value, float) else str(value)
