"""The environments behind a path as lines, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import gib

if TYPE_CHECKING:
    from ..documents.environments import EnvironmentRow, EnvironmentsData
    from .style import Style

_MARKS = {"whole": "pass", "damaged": "fail", "moved": "warn", "unfinished": "skip"}


def render_environments(data: EnvironmentsData, style: Style) -> str:
    """One line for each, what is wrong with it below, and what the path leads to last."""
    lines = [style.row("env", style.path(data.path))]
    for row in data.environments:
        lines += _lines(row, style)
    if data.removed:
        lines += style.block("removed", ", ".join(data.removed))
    if data.current:
        lines.append(style.row(style.mark("pass"), f"current: {data.current}"))
    elif data.environments:
        lines.append(style.row(style.mark("warn"), "the path leads to none of them"))
    else:
        lines.append(style.row(style.mark("skip"), "no environment that gpusetup made is here"))
    return "\n".join(lines)


def _lines(row: EnvironmentRow, style: Style) -> list[str]:
    held = [
        f"torch {row.torch}+{row.variant}" if row.torch else "",
        f"Python {row.python}" if row.python else "",
        row.backend or "",
        f"{gib(row.own_bytes)} and {gib(row.shared_bytes)} shared",
    ]
    state = f"{row.state}, current" if row.is_current else row.state
    lines = [style.row(style.mark(_MARKS[row.state]), row.name, state, *held)]
    if row.damage:
        lines += style.wrapped(row.damage)
    extra = [change.name for change in row.changes if change.expected is None]
    if extra:
        lines += style.wrapped(f"added since: {', '.join(extra)}")
    return lines
