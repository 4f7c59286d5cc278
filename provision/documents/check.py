"""The `data` of check/1 and how it comes from the results of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import Evidence, FindingStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import CheckResult


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do: `safe` changes nothing or can be undone, `risky` changes the machine."""

    safe: tuple[str, ...] = ()
    risky: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """How many checks ended in each state."""

    pass_: int = 0
    warn: int = 0
    fail: int = 0
    skip: int = 0
    unknown: int = 0
    crashed: int = 0
    timed_out: int = 0
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check with its result."""

    id: str
    component: str
    status: FindingStatus
    happened: str
    evidence: tuple[Evidence, ...]
    do: Remedy
    leads: tuple[str, ...]
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class CheckData:
    """Data of check/1."""

    level: str
    summary: CheckSummary
    checks: tuple[CheckRow, ...]
    cause: str | None


def check_data(results: Sequence[CheckResult], *, cause: str | None, level: str) -> CheckData:
    """The document of one pass over the checks."""
    rows = tuple(
        CheckRow(
            id=result.id,
            component=result.component,
            status=result.status,
            happened=result.happened,
            evidence=result.evidence,
            do=Remedy(result.safe, result.risky),
            leads=result.leads,
            duration_s=result.duration_s,
        )
        for result in results
    )
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    summary = CheckSummary(
        pass_=counts.get("pass", 0),
        warn=counts.get("warn", 0),
        fail=counts.get("fail", 0),
        skip=counts.get("skip", 0),
        unknown=counts.get("unknown", 0),
        crashed=counts.get("crashed", 0),
        timed_out=counts.get("timed-out", 0),
        suppressed=counts.get("suppressed", 0),
    )
    return CheckData(level, summary, rows, cause)
