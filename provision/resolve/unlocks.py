"""The smallest change of one thing that would admit a newer torch: driver, kernel module, Python, system, request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bans import site_ban
from .candidates import preference, python_name, python_tag
from .driver_unlocks import compatibility_package, newer_driver, older_driver, other_module
from .rules import macos_name
from .steps import best_held_by, is_held_by, may_be_held, paying_steps, unlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Unlock
    from .candidates import Candidate
    from .choose import Outcome
    from .situation import Situation


def unlocks_of(situation: Situation, outcomes: Sequence[Outcome], best: Outcome | None) -> tuple[Unlock, ...]:
    """Per thing that could change the steps that pay, smallest first: each admits a newer torch than the last."""
    limit = best.candidate.release_order if best else None
    newer = [outcome for outcome in outcomes if limit is None or outcome.candidate.release_order < limit]
    if not newer:
        return ()
    # What a change of the box alone could admit: builds with few reasons against them and none that no change mends.
    near = [outcome for outcome in newer if may_be_held(outcome)]
    older = older_driver(situation, near) if situation.gpus.dropped else []
    return (
        *older,
        *newer_driver(situation, near),
        *compatibility_package(situation, near),
        *other_module(situation, near),
        *_instances(situation, near),
        *_python(situation, newer),
        *_system(situation, near),
        *_request(situation, newer),
    )


def _instances(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    if not situation.gpus.split_to_nothing:
        return []
    best = best_held_by(situation, newer, frozenset(("mig-without-instance",)))
    return [unlock("mig", "no instance", "one compute instance, or MIG off", best)] if best else []


def _request(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """What dropping one of the options that ask for versions would admit."""
    wishes, cuda = situation.wishes, situation.driver.driver_cuda_version
    unlocks = []
    if not (wishes.torch or wishes.cuda or wishes.transformers):
        return []
    asked = [outcome.candidate for outcome in newer if is_held_by(outcome, frozenset(("not-asked-for",)))]
    by_torch = [c for c in asked if not wishes.cuda or wishes.cuda.allows(c.variant.name, c.cuda)]
    by_cuda = [c for c in asked if not wishes.torch or wishes.torch.allows(c.release.version)]
    for option, wish, fitting in (("torch", wishes.torch, by_torch), ("cuda", wishes.cuda, by_cuda)):
        if wish and fitting:
            best = min(fitting, key=lambda candidate: preference(candidate, cuda))
            unlocks.append(unlock(option, f"--{option} {wish.text}", f"without --{option}", best))
    if wishes.transformers:
        hidden = [outcome.candidate for outcome in newer if not (outcome.against or outcome.last_resort)]
        free = [c for c in hidden if any(_pairs_with(situation, c, python) for python in situation.pythons)]
        if free:
            best = min(free, key=lambda candidate: preference(candidate, cuda))
            text = f"--transformers {wishes.transformers.text}"
            unlocks.append(unlock("transformers", text, "without --transformers", best))
    return unlocks


def _pairs_with(situation: Situation, candidate: Candidate, python: str) -> bool:
    has_wheel = candidate.wheels is not None and python_tag(python) in candidate.wheels.pythons
    is_free = site_ban(situation, candidate, situation.driver.driver_version, python) is None
    return has_wheel and is_free and situation.catalogue.has_pair(candidate, python, None)


def _python(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    current = situation.pythons[0] if situation.pythons else None
    wish, cuda = situation.wishes.transformers, situation.driver.driver_cuda_version
    best: dict[str, Candidate] = {}
    for outcome in newer:
        candidate = outcome.candidate
        if outcome.pythons or outcome.last_resort or candidate.wheels is None:
            continue
        if any(no.rule != "python-unknown" for no in outcome.against):
            continue
        for tag in candidate.wheels.pythons:
            python = python_name(tag)
            known = best.get(python)
            if tag.endswith("t") or (known and known.release_order < candidate.release_order):
                continue
            is_better = known is None or preference(candidate, cuda) < preference(known, cuda)
            is_free = site_ban(situation, candidate, situation.driver.driver_version, python) is None
            if is_better and is_free and situation.catalogue.has_pair(candidate, python, wish):
                best[python] = candidate
    paying = paying_steps(sorted(best.items(), key=lambda step: _distance(current, step[0])))
    if current is None:
        paying = paying[-1:]
    return [unlock("python", current or "unknown", python, candidate) for python, candidate in paying]


def _distance(current: str | None, python: str) -> tuple[int, int]:
    """How far a Python is from the current one; of two equally far ones the newer is nearer."""
    minor = int(python.split(".")[1])
    if current is None or not current[:1].isdigit():
        return (0, -minor)
    return (abs(minor - int(current.rstrip("t").split(".")[1])), -minor)


def _system(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    if situation.system.macos is not None:
        return _macos(situation, newer)
    rules = frozenset(("glibc-too-old", "musl-libc"))
    steps = [
        (outcome.candidate.glibc, outcome.candidate)
        for outcome in newer
        if outcome.candidate.glibc and is_held_by(outcome, rules)
    ]
    steps.sort(key=lambda step: (step[0], preference(step[1], situation.driver.driver_cuda_version)))
    found = "musl" if situation.system.is_musl else f"glibc {situation.system.glibc}"
    return [unlock("os", found, f"glibc {glibc}", candidate) for glibc, candidate in paying_steps(steps)]


def _macos(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    rules = frozenset(("macos-too-old",))
    steps = [
        (outcome.candidate.wheels.macos, outcome.candidate)
        for outcome in newer
        if outcome.candidate.wheels and outcome.candidate.wheels.macos and is_held_by(outcome, rules)
    ]
    steps.sort(key=lambda step: (step[0], preference(step[1], None)))
    found = macos_name(situation.system.macos or ())
    return [unlock("os", found, macos_name(needed), candidate) for needed, candidate in paying_steps(steps)]
