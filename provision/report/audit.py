"""An audit as lines: drift first, then what could not be read; what agrees is counted only."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..audit.model import AuditData, AuditRow
    from .style import Style


def render_audit(data: AuditData, style: Style) -> str:
    """The sources, the rows that differ, those that could not be read, and a count as the last line."""
    lines = [line for text in _sources(data) for line in style.block("asked", text)]
    for row in data.rows:
        if row.verdict == "drift":
            lines += _drift(row, style)
    lines += _left_out(data, "not-readable", "unread", style)
    lines += _left_out(data, "not-looked-at", "unseen", style)
    counts = data.summary
    state = "fail" if counts.drift else "warn" if counts.not_readable or counts.not_looked_at else "pass"
    total = counts.same + counts.drift + counts.not_readable + counts.not_looked_at
    words = f"{counts.same} same, {counts.drift} drift"
    words += f", {counts.not_readable} not readable, {counts.not_looked_at} not looked at"
    lines += style.block(style.mark(state), f"revision {data.matrix.revision}: {total} rows, {words}")
    return "\n".join(lines)


def _sources(data: AuditData) -> Iterator[str]:
    """One line per source and answer: projects and variants that it answered alike stand together."""
    for name, group in itertools.groupby(data.sources, key=lambda source: source.name.partition(",")[0]):
        answers: dict[str, list[str]] = {}
        for source in group:
            answers.setdefault(source.answer, []).append(source.name.partition(", ")[2] or source.project)
        yield f"{name}: " + "; ".join(f"{' '.join(names)} {answer}" for answer, names in answers.items())


def _drift(row: AuditRow, style: Style) -> list[str]:
    lines = style.block(style.paint("drift", "bad"), row.place)
    lines += style.wrapped(f"matrix  {row.matrix or 'says nothing'}")
    lines += style.wrapped(f"index   {row.index or 'nothing'}")
    return lines + (style.wrapped(f"why     {row.why}") if row.why else [])


def _left_out(data: AuditData, verdict: str, label: str, style: Style) -> list[str]:
    """Rows without a verdict, those with one reason together."""
    reasons: dict[str, list[str]] = {}
    for row in data.rows:
        if row.verdict == verdict:
            reasons.setdefault(row.why or "", []).append(row.place)
    lines: list[str] = []
    for why, places in reasons.items():
        more = f" and {len(places) - 1} more rows" if len(places) > 1 else ""
        lines += style.block(label, f"{places[0]}{more}: {why}")
    return lines
