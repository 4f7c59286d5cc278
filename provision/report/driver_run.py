"""A run of driver steps as lines: each step with its state, what would take them back, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import seconds

if TYPE_CHECKING:
    from ..drivers.records import DriverRun, RunStep
    from .style import Style

_MARKS = {"done": "pass", "failed": "fail", "running": "warn", "undoing": "warn"}
_WORDS = {"passed-over": "done already", "undoing": "half taken back", "undone": "taken back"}
_VERDICTS = {
    "finished": ("pass", "all steps are done"),
    "waiting-for-reboot": ("warn", "waiting for a restart of the machine"),
    "stopped": ("warn", "stopped between two actions"),
    "running": ("warn", "broken off"),
    "failed": ("fail", "stopped at a step that failed"),
    "undone": ("pass", "taken back"),
    "rehearsed": ("pass", "rehearsed; nothing has been changed"),
}


def render_driver_run(run: DriverRun, style: Style) -> str:
    """The steps and how they stand."""
    width = max((len(step.id) for step in run.steps), default=0)
    is_waiting = run.state == "waiting-for-reboot"
    lines = [_step_line(step, width, style, is_waiting=is_waiting) for step in run.steps]
    for step in run.steps:
        if step.said and step.state != "failed":  # the finding says why a step failed
            lines += style.block("note", f"{step.id}: {step.said}")
    if run.journal is not None:
        lines.append(style.row("journal", style.path(run.journal)))
    if run.take_back:
        lines.append(style.row("undo", "gpusetup driver undo, which does:"))
        lines += [f"  {line}" for line in run.take_back]
    if run.go_on is not None:
        first = "restart the machine, then: " if run.needs_reboot else ""
        lines.append(style.row("next", f"{first}{run.go_on}"))
    mark, verdict = _VERDICTS[run.state]
    lines.append(style.row(style.mark(mark), verdict))
    return "\n".join(lines)


def _step_line(step: RunStep, width: int, style: Style, *, is_waiting: bool) -> str:
    took = seconds(step.seconds) if step.seconds else ""
    words = "waits for the restart" if is_waiting and step.state == "running" else _WORDS.get(step.state, step.state)
    return style.row(style.mark(_MARKS.get(step.state, "skip")), step.id.ljust(width), words, took)
