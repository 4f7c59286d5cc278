"""The `data` of check/1 and how it comes from the results of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from ..records import Applied, Evidence, FindingStatus, Suppression

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    title: str | None = None
    """What the check is about, in one line."""
    suppressed: Suppression | None = None
    """Why it does not count, by whom and until when; null where it counts."""


@dataclass(frozen=True, slots=True)
class CheckData:
    """Data of check/1."""

    level: str
    summary: CheckSummary
    checks: tuple[CheckRow, ...]
    cause: str | None
    folded: tuple[str, ...] = ()
    """Ids that the cause explains, directly or through another."""
    environment_classes: tuple[str, ...] = ()
    """Kinds of places that switch checks off: container, wsl, jetson, ..."""
    applied: tuple[Applied, ...] = ()
    """What --fix ran or was told not to run, before the results above."""


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One check of the catalogue, as --list shows it."""

    id: str
    level: Literal["instant", "quick", "standard", "deep"]
    """What it costs: reading files, asking the driver, small kernels, minutes that disturb others."""
    component: str
    title: str


@dataclass(frozen=True, slots=True)
class CheckList:
    """Data of check-list/1."""

    checks: tuple[CatalogueRow, ...]


class Listed(Protocol):
    """What --list needs to know of a check."""

    @property
    def id(self) -> str:
        """Catalogue id."""

    @property
    def level(self) -> Literal["instant", "quick", "standard", "deep"]:
        """What it costs."""

    @property
    def component(self) -> str:
        """The part of the id before the dot."""

    @property
    def title(self) -> str:
        """One line of what it is about."""


def check_list(checks: Iterable[Listed]) -> CheckList:
    """The catalogue as rows, in the order given."""
    return CheckList(tuple(CatalogueRow(one.id, one.level, one.component, one.title) for one in checks))


def check_data(
    results: Sequence[CheckResult],
    *,
    cause: str | None,
    level: str,
    folded: Sequence[str] = (),
    environment_classes: Sequence[str] = (),
    applied: Sequence[Applied] = (),
) -> CheckData:
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
            title=result.title,
            suppressed=result.suppression,
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
    return CheckData(level, summary, rows, cause, tuple(folded), tuple(environment_classes), tuple(applied))
