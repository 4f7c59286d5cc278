"""Results of the checks as lines: worst first, the healthy ones counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import render_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import CheckResult, Finding
    from .style import Style

_ORDER = ("fail", "timed-out", "crashed", "warn", "unknown", "skip", "pass", "suppressed")

_PRESENCE = "pci.gpu_present"


def render_checks(results: Sequence[CheckResult], findings: Sequence[Finding], style: Style) -> str:
    """What did not pass, the cause first, each with its cure; what it explains, by name; then the count.

    Where there is no GPU to check, that is the answer, in the words of the check that looked for one.
    """
    blocks = [render_finding(finding, style) for finding in findings]
    shown = {finding.id for finding in findings}
    folded = sorted({id_ for result in results for id_ in result.leads} - shown)
    if folded:
        blocks.append("\n".join(style.wrapped(f"Explained by it: {', '.join(folded)}", indent=2)))
    if all(result.status == "skip" for result in results):
        for result in results:
            if result.id == _PRESENCE and result.id not in shown:
                blocks += style.block("gpu", result.happened)
    return "\n".join([*blocks, counts_line(results, style)])


def counts_line(results: Sequence[CheckResult], style: Style) -> str:
    """`ok  9 passed, 1 warned, 4 skipped`."""
    words = {"fail": "failed", "pass": "passed", "warn": "warned", "skip": "skipped", "unknown": "unknown"}
    counted = [
        f"{count} {words.get(status, status)}"
        for status in _ORDER
        if (count := sum(1 for result in results if result.status == status))
    ]
    is_bad = any(result.status in ("fail", "timed-out", "crashed") for result in results)
    return "\n".join(style.block(style.mark("fail" if is_bad else "pass"), ", ".join(counted)))
