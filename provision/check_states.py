"""What the states of checks mean together: which are problems, which is worst, how many there are (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import CheckResult, FindingStatus

STATES: Final[tuple[FindingStatus, ...]] = (
    "fail",
    "timed-out",
    "crashed",
    "warn",
    "unknown",
    "suppressed",
    "skip",
    "pass",
)
"""Every state, worst first. Unknown is neither good nor bad and stands between."""

BAD: Final[frozenset[FindingStatus]] = frozenset(("fail", "timed-out", "crashed"))
"""States that make a pass over the checks fail."""

PROBLEMS: Final[frozenset[FindingStatus]] = BAD | {"warn"}
"""States that somebody has to act on."""

JUDGED: Final[frozenset[FindingStatus]] = PROBLEMS | {"pass"}
"""States of a check that came to a verdict."""

_WORDS: Final[dict[FindingStatus, str]] = {
    "fail": "failed",
    "timed-out": "timed out",
    "crashed": "crashed",
    "warn": "warned",
    "unknown": "unknown",
    "suppressed": "suppressed",
    "skip": "skipped",
    "pass": "passed",
}


def count_states(results: Sequence[CheckResult]) -> dict[FindingStatus, int]:
    """How many results there are in each state, worst first; every state is a key."""
    counts = dict.fromkeys(STATES, 0)
    for result in results:
        counts[result.status] += 1
    return counts


def counted_words(results: Sequence[CheckResult]) -> str:
    """`1 failed, 2 warned, 30 passed`: what there is, worst first."""
    return ", ".join(f"{count} {_WORDS[state]}" for state, count in count_states(results).items() if count)


def is_bad(results: Sequence[CheckResult], *, is_strict: bool = False) -> bool:
    """Whether a pass over the checks failed; with `is_strict` warnings count too."""
    bad = PROBLEMS if is_strict else BAD
    return any(result.status in bad for result in results)


def by_component(results: Sequence[CheckResult]) -> dict[str, tuple[CheckResult, ...]]:
    """The results of each component, both in the order in which they came."""
    groups: dict[str, list[CheckResult]] = {}
    for result in results:
        groups.setdefault(result.component, []).append(result)
    return {component: tuple(group) for component, group in groups.items()}


def severity(result: CheckResult) -> int:
    """Place of the state in STATES: 0 is the worst."""
    return STATES.index(result.status)
