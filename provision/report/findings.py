"""Findings and errors as text: what happened, the evidence, what to do, where to read more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..records import Evidence, Finding
    from .style import Style


def render_finding(finding: Finding, style: Style) -> str:
    """One finding as a block of lines; one that only informs as a single sentence."""
    if finding.status == "pass":
        return "\n".join(style.block("note", f"{finding.happened} ({finding.id})"))
    lines = [f"{style.mark(finding.status)} {style.paint(finding.id, 'strong')}"]
    lines += style.wrapped(finding.happened, indent=2)
    for item in finding.evidence:
        lines += _evidence_lines(item, style)
    for label, steps in (("do", finding.safe), ("or", finding.risky)):
        for number, step in enumerate(steps):
            lines += _labelled(label if number == 0 else "", step, style)
    lines += _labelled("more", f"gpusetup explain {finding.id}", style)
    return "\n".join(lines)


def render_findings(findings: Iterable[Finding], style: Style) -> str:
    """Findings as blocks, in the order given (the caller puts the cause first)."""
    return "\n".join(render_finding(finding, style) for finding in findings)


def _evidence_lines(item: Evidence, style: Style) -> list[str]:
    value = ", ".join(map(str, item.value)) or "none" if isinstance(item.value, tuple) else item.value
    found = "not known" if value is None else f"{value}{f' {item.unit}' if item.unit else ''}"
    source = f"  ({item.source})" if item.source else ""
    lines: list[str] = []
    parts = found.splitlines() or [""]
    parts[-1] += source
    for part in parts:
        lines += _labelled("found" if not lines else "", f"{item.name} {part}" if not lines else part, style)
    if item.needs is not None:
        lines += _labelled("needs", str(item.needs), style)
    return lines


def _labelled(label: str, text: str, style: Style) -> list[str]:
    lines = style.wrapped(text, indent=10) or [""]
    lines[0] = f"  {label:<8}" + lines[0][10:]
    return lines
