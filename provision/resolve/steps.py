"""What the steps that admit more have in common: which builds a step admits, which steps pay, how one is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from ..records import Unlock
from .candidates import preference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .candidates import Candidate
    from .choose import Outcome
    from .situation import Situation

T = TypeVar("T")


_BEYOND_CHANGE: Final = frozenset(("no-code-for-gpu", "not-asked-for", "platform-not-published", "publication-unknown"))
"""Rules that neither driver, kernel module, MIG nor system can satisfy."""


def may_be_held(outcome: Outcome) -> bool:
    """Whether a change of the box could admit the build; asked once, before each change asks for its own rules."""
    if not outcome.against or not outcome.pythons or outcome.last_resort:
        return False
    for no in outcome.against:  # noqa: SIM110 - any() over a generator takes twice as long, and this is the hot loop
        if no.rule in _BEYOND_CHANGE:
            return False
    return True


def is_held_by(outcome: Outcome, rules: frozenset[str]) -> bool:
    """Whether nothing but these rules keeps a build away that would fit."""
    if not outcome.against or not outcome.pythons or outcome.last_resort:
        return False
    for no in outcome.against:  # noqa: SIM110 - as above
        if no.rule not in rules:
            return False
    return True


def best_held_by(situation: Situation, newer: Sequence[Outcome], rules: frozenset[str]) -> Candidate | None:
    """The preferred of the builds that only these rules reject."""
    fitting = [outcome.candidate for outcome in newer if is_held_by(outcome, rules)]
    cuda = situation.driver.driver_cuda_version
    return min(fitting, key=lambda candidate: preference(candidate, cuda), default=None)


def paying_steps(steps: list[tuple[T, Candidate]]) -> list[tuple[T, Candidate]]:
    """Of steps in ascending order those that admit a newer torch than every smaller one."""
    paying: list[tuple[T, Candidate]] = []
    for step in steps:
        if not paying or step[1].release_order < paying[-1][1].release_order:
            paying.append(step)
    return paying


def unlock(change: str, found: str, needed: str, candidate: Candidate) -> Unlock:
    """The change of one thing, with the build that it gives."""
    return Unlock(change, found, needed, candidate.release.version, candidate.variant.name)
