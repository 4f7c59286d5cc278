"""The smallest change of one thing that would admit a newer torch: the driver, the Python, the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Unlock
from .candidates import python_name
from .rules import DRIVER_RULES
from .wishes import Versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..versions import DriverVersion, Glibc
    from .candidates import Candidate
    from .choose import Outcome
    from .situation import Situation


def unlocks_of(situation: Situation, outcomes: Sequence[Outcome], best: Outcome | None) -> tuple[Unlock, ...]:
    """One unlock per thing that could change, the smallest step of each; a step admits a torch newer than the choice."""
    limit = best.candidate.release_order if best else None
    newer = [outcome for outcome in outcomes if limit is None or outcome.candidate.release_order < limit]
    found = (_driver(situation, newer), _python(situation, newer), _system(situation, newer))
    return tuple(unlock for unlock in found if unlock)


def _only(outcome: Outcome, rules: frozenset[str]) -> bool:
    return bool(outcome.against) and all(no.rule in rules for no in outcome.against)


def _driver(situation: Situation, newer: Sequence[Outcome]) -> Unlock | None:
    if situation.is_tegra:
        return None
    ends = [device.architecture.last_branch for device in situation.devices if device.architecture]
    last_branch = min((branch for branch in ends if branch is not None), default=None)
    steps: list[tuple[DriverVersion, int, Candidate]] = []
    for outcome in newer:
        if outcome.pythons and not outcome.last_resort and _only(outcome, DRIVER_RULES):
            needed = _needed_driver(situation, outcome.candidate)
            if needed and (last_branch is None or needed.branch <= last_branch):
                steps.append((needed, outcome.candidate.order, outcome.candidate))
    if not steps:
        return None
    needed, _, candidate = min(steps, key=lambda step: step[:2])
    found = str(situation.driver_version) if situation.driver_version else "unknown"
    return _unlock("driver", found, str(needed), candidate)


def _needed_driver(situation: Situation, candidate: Candidate) -> DriverVersion | None:
    """The oldest driver on which the candidate would fit: its floor, PTX and the first branch of every GPU together."""
    if candidate.floors is None or candidate.cuda is None:
        return None
    matrix, windows = situation.catalogue.matrix, situation.is_windows_driver
    needed = [candidate.floors[windows]]
    if any(situation.catalogue.code_for(candidate, capability) == "ptx" for capability in situation.capabilities):
        native = matrix.native_driver(candidate.cuda, is_windows=windows)
        if native is None:
            return None
        needed.append(native)
    for device in situation.devices:
        if device.architecture and device.architecture.first_branch:
            first = matrix.first_driver(device.architecture.first_branch, is_windows=windows)
            needed += [first] if first else []
    return max(needed)


def _python(situation: Situation, newer: Sequence[Outcome]) -> Unlock | None:
    wish: Versions | None = situation.wishes.transformers
    current = situation.pythons[0] if situation.pythons else None
    steps: list[tuple[tuple[int, ...], int, str, Candidate]] = []
    for outcome in newer:
        wheels = outcome.candidate.wheels
        if outcome.pythons or outcome.last_resort or wheels is None:
            continue
        if any(no.rule != "python-unknown" for no in outcome.against):
            continue
        for tag in wheels.pythons:
            python = python_name(tag)
            if not tag.endswith("t") and situation.catalogue.has_pair(outcome.candidate, python, wish):
                steps.append((_distance(current, python), outcome.candidate.order, python, outcome.candidate))
    if not steps:
        return None
    _, _, python, candidate = min(steps, key=lambda step: step[:2])
    return _unlock("python", current or "unknown", python, candidate)


def _distance(current: str | None, python: str) -> tuple[int, int]:
    """How far a Python is from the current one; of two equally far ones the newer is nearer."""
    minor = int(python.split(".")[1])
    if current is None or not current[:1].isdigit():
        return (0, -minor)
    return (abs(minor - int(current.rstrip("t").split(".")[1])), -minor)


def _system(situation: Situation, newer: Sequence[Outcome]) -> Unlock | None:
    steps: list[tuple[Glibc, int, Candidate]] = []
    for outcome in newer:
        candidate = outcome.candidate
        rules = frozenset(("glibc-too-old", "musl-libc"))
        if outcome.pythons and not outcome.last_resort and candidate.glibc and _only(outcome, rules):
            steps.append((candidate.glibc, candidate.order, candidate))
    if not steps:
        return None
    glibc, _, candidate = min(steps, key=lambda step: step[:2])
    return _unlock("os", "musl" if situation.is_musl else f"glibc {situation.glibc}", f"glibc {glibc}", candidate)


def _unlock(change: str, found: str, needed: str, candidate: Candidate) -> Unlock:
    return Unlock(change, found, needed, candidate.release.version, candidate.variant.name)
