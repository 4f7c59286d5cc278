"""The checks run over the facts, and what is made of their findings. Pure but for the clock that is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..plain_text import plain
from ..records import CheckResult, Finding
from .base import PROBLEMS, Check, Level
from .facts import Context, Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ..records import Machine

__all__ = [
    "PROBLEMS",
    "Check",
    "Context",
    "Facts",
    "Level",
    "all_checks",
    "checks_for",
    "core_checks",
    "explain",
    "lead",
    "run_checks",
]


def all_checks() -> tuple[Check, ...]:
    """Every check, in the order in which a report ranks causes."""
    return checks_for("deep")


def core_checks() -> tuple[Check, ...]:
    """Those that decide whether a GPU can be used: what a plan needs, quick to load."""
    from .core import CHECKS

    return CHECKS


def checks_for(level: Level) -> tuple[Check, ...]:
    """Every check whose facts that level gathers."""
    from .catalogue import checks_up_to

    return checks_up_to(level)


def run_checks(
    facts: Facts | Machine, checks: Sequence[Check] | None = None, *, clock: Callable[[], float] = lambda: 0.0
) -> tuple[CheckResult, ...]:
    """One result for every check (all without a choice), in order; one that raises becomes a result of status crashed.

    `clock` gives seconds (time.perf_counter); without one every duration is 0.
    """
    facts = facts if isinstance(facts, Facts) else Facts(facts)
    timed = []
    for check in all_checks() if checks is None else checks:
        started = clock()
        timed.append((check, _evaluate(check, facts), clock() - started))
    problems = {finding.id: finding for _, finding, _ in timed if finding.status in PROBLEMS}
    return tuple(
        CheckResult(
            id=check.id,
            component=check.component,
            status=finding.status,
            happened=finding.happened,
            evidence=finding.evidence,
            safe=finding.safe,
            risky=finding.risky,
            leads=_explained(check, facts, finding, problems) if finding.status in PROBLEMS else (),
            duration_s=duration_s,
        )
        for check, finding, duration_s in timed
    )


def _explained(check: Check, facts: Facts, finding: Finding, problems: Mapping[str, Finding]) -> tuple[str, ...]:
    """Ids of the problems that this one explains."""
    try:
        return tuple(one for one in check.leads if one in problems and check.explains(facts, finding, problems[one]))
    except Exception:  # noqa: BLE001 -- as below; a symptom that is told beside its cause does no harm
        return ()


def _evaluate(check: Check, facts: Facts) -> Finding:
    try:
        return check.evaluate(facts)
    except Exception as err:  # noqa: BLE001 -- one broken check must not hide what the others found
        said = plain(f"{type(err).__name__}: {err}")
        return Finding(check.id, "crashed", f"This check is broken and found nothing ({said}).")


def lead(
    findings: Sequence[Finding | CheckResult], checks: Sequence[Check] | None = None
) -> tuple[str | None, tuple[str, ...]]:
    """Id of the finding that leads the report, and the ids that it explains; (None, ()) when nothing is wrong.

    A failure that no other failure explains leads; failures before warnings, then in the order of the checks.
    """
    checks = all_checks() if checks is None else checks
    problems = {finding.id: finding.status for finding in findings if finding.status in PROBLEMS}
    known = {check.id: check.leads for check in checks}
    known |= {finding.id: finding.leads for finding in findings if isinstance(finding, CheckResult)}
    explained = {one for found in problems for one in known.get(found, ())}
    causes = [found for found in problems if found not in explained]
    if not causes:
        return (next(iter(problems)), ()) if problems else (None, ())
    order = {check.id: place for place, check in enumerate(checks)}
    first = min(causes, key=lambda found: (problems[found] == "warn", order.get(found, len(order))))
    return first, _folded(first, problems, known)


def _folded(cause: str, problems: Collection[str], known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Problems that the cause explains, directly or through another, in the order of the checks."""
    reached: set[str] = set()
    waiting = [cause]
    while waiting:
        for one in known.get(waiting.pop(), ()):
            if one in problems and one not in reached and one != cause:
                reached.add(one)
                waiting.append(one)
    return tuple(check for check in known if check in reached)


def explain(check_id: str) -> str | None:
    """The page of a check, None for an id that no check has."""
    return next((check.page for check in all_checks() if check.id == check_id), None)
