"""The choice: every candidate judged by every rule, what fits in the order of preference, and what would unlock more.

Preference, in this order: the newest torch (`newest-torch`), a CUDA that the driver implements before one that relies
on minor version compatibility (`native-cuda`), the higher CUDA (`highest-cuda`), the Python asked for, the host's,
another one that is there (`preferred-python`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ..records import GpuLeftOut, Rejection, Resolution
from .bans import driver_branch
from .candidates import Catalogue, preference
from .changes import applied
from .mixed import groups_of, served, unlocks_by_leaving_out
from .notes import notes_of
from .rules import BUILD_RULES, LAST_RESORT_RULES, PYTHON_RULES, READS
from .situation import situate
from .unlocks import unlocks_of
from .why_not import builds_meant, reasons_beyond_rules
from .wishes import builds_asked_about

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..matrix import Matrix
    from ..records import Build, Machine, Request, Unlock
    from .candidates import Candidate
    from .devices import Device
    from .mixed import Group
    from .rules import BuildRule
    from .situation import Situation

    Column = tuple[tuple[Rejection, ...], ...]
    OnPythons = tuple[tuple[str, ...], tuple[Rejection, ...]]


T = TypeVar("T")

MAX_KEPT: Final = 1024
"""Verdicts and columns that a catalogue keeps; a fleet has far fewer, and a hostile list cannot fill the memory."""


class Outcome(NamedTuple):
    """What the rules say about one candidate; a tuple, because eighty of them are made per machine."""

    candidate: Candidate
    against: tuple[Rejection, ...]
    """Reasons against the build itself."""
    pythons: tuple[str, ...]
    """Pythons that it would fit on, the preferred first, the build itself aside."""
    against_pythons: tuple[Rejection, ...]
    """Reasons against the other Pythons."""
    last_resort: tuple[Rejection, ...] = ()
    """Reasons that hold only while another build fits; kept for builds that do not fit too: no unlock promises them."""

    @property
    def fits(self) -> bool:
        """Whether it could be installed."""
        return not self.against and bool(self.pythons)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything of a resolution that the situation alone decides."""

    chosen: Candidate | None
    builds: tuple[Build, ...]
    rejections: tuple[Rejection, ...]
    unlocks: tuple[Unlock, ...]
    firm: frozenset[int]
    """Places in the catalogue of the builds that fit and whose facts are all read."""


class Served(NamedTuple):
    """The GPUs of a box that a plan is for, and what the rules say about them."""

    situation: Situation
    verdict: Verdict
    groups: tuple[Group, ...] = ()
    """All kinds of GPUs of a mixed box; empty where there is one kind."""
    kept: tuple[Group, ...] = ()

    @property
    def left_out(self) -> tuple[Group, ...]:
        """The kinds that no build serves together with the others."""
        return tuple(group for group in self.groups if group not in self.kept)


def resolve(machine: Machine, request: Request, matrix: Matrix, *, catalogue: Catalogue | None = None) -> Resolution:
    """The builds that fit the machine and the request, best first, with the reasons against all others.

    Pure. Whoever plans many machines passes one catalogue of the matrix: machines that are alike are then judged once.
    UsageError when a word of the request is not understood.
    """
    catalogue = catalogue or Catalogue(matrix)
    plan = _serve(machine, request, catalogue)
    situation, verdict, chosen = plan.situation, plan.verdict, plan.verdict.chosen
    stay = [device for group in plan.kept for device in group.devices]
    left_out = tuple(
        out
        for group in plan.left_out
        for out in _left_out(
            situate(_only(machine, group.devices), request, catalogue),
            situate(_only(machine, [*stay, *group.devices]), request, catalogue),
            chosen,
        )
    )
    unlocks = tuple(_promises(plan, machine, request)) if left_out else verdict.unlocks
    if chosen and verdict.firm and len(plan.groups) > 1:

        def best(common: frozenset[int], gone: Sequence[Group]) -> Candidate | None:
            if not left_out and not situation.driver.forward:
                return _best(situation, common)
            # GPUs that were left out may stay when others go, and a compatibility package may serve those that stay.
            staying = [device for group in plan.groups if group not in gone for device in group.devices]
            return _serve(_only(machine, staying), request, plan.situation.catalogue).verdict.chosen

        by_leaving_out = unlocks_by_leaving_out(plan.kept, chosen, best)
        unlocks = (*unlocks, *by_leaving_out) if by_leaving_out else unlocks
    meant = builds_meant(matrix, builds_asked_about(request)) if request.why_not else frozenset()
    more = reasons_beyond_rules(situation, meant, verdict.builds, preferred_by)
    return Resolution(
        candidates=verdict.builds,
        # The very tuple of the verdict where nothing is added: fleets group machines that were judged alike by it.
        rejections=(*verdict.rejections, *more) if more else verdict.rejections,
        unlocks=unlocks,
        assumptions=situation.assumptions,
        notes=notes_of(machine, situation, chosen, verdict.builds[0] if verdict.builds else None, left_out),
        gpus_left_out=left_out,
        asked_about=meant,
    )


def _serve(machine: Machine, request: Request, catalogue: Catalogue) -> Served:
    """The whole box where a build fits all of it, else its most capable part that a build fits."""
    situation = situate(machine, request, catalogue)
    verdict = _verdict(situation)
    if len(situation.gpus.boards) < 2:  # noqa: PLR2004  one kind of GPU is served or not
        return Served(situation, verdict)
    groups = groups_of(
        situation.gpus.devices,
        lambda some: _verdict(situate(_only(machine, some), request, catalogue)).firm,
        is_windows_driver=situation.driver.is_windows,
    )
    kept = groups if verdict.firm else served(groups) or groups
    if len(kept) == len(groups):
        return Served(situation, verdict, groups, groups)
    part = situate(_only(machine, [device for group in kept for device in group.devices]), request, catalogue)
    return Served(replace(part, assumptions=situation.assumptions), _verdict(part), groups, kept)


def _promises(plan: Served, machine: Machine, request: Request) -> Iterator[Unlock]:
    """The unlocks of the GPUs that stay, with what they give to the whole box: GPUs left out may come back."""
    newest: dict[str, int] = {}
    for step in plan.verdict.unlocks:
        changed = applied(machine, request, step)
        after = _serve(*changed, plan.situation.catalogue).verdict if changed else None
        if after is None or plan.verdict.chosen is None:
            yield step
        elif after.chosen and after.firm:
            limit = newest.get(step.change, plan.verdict.chosen.release_order)
            if after.chosen.release_order < limit:
                newest[step.change] = after.chosen.release_order
                yield replace(step, torch=after.chosen.release.version, variant=after.chosen.variant.name)


def _verdict(situation: Situation) -> Verdict:
    """The verdict of a situation, kept for machines that are alike."""
    known, key = situation.catalogue.verdicts, situation.key
    verdict = known.get(key)
    if verdict is None:
        verdict = _kept(known, key, decide(situation))
    return verdict


def _only(machine: Machine, devices: Sequence[Device]) -> Machine:
    """The machine with some of its GPUs."""
    places = {device.place for device in devices}
    return replace(machine, gpus=tuple(gpu for place, gpu in enumerate(machine.gpus) if place in places))


def _left_out(alone: Situation, together: Situation, chosen: Candidate | None) -> list[GpuLeftOut]:
    """Why GPUs are not served by the build that was chosen for the others: alone, else together with those."""
    if chosen is None:
        return []
    outcomes = (judge(alone, chosen), judge(together, chosen))
    reason = next(no for some in outcomes for no in (*some.against, *some.last_resort, *some.against_pythons))
    return [
        GpuLeftOut(device.index, device.label, reason.rule, reason.found, reason.needs, reason.source)
        for device in alone.gpus.devices
    ]


def _best(situation: Situation, places: frozenset[int]) -> Candidate:
    """The preferred one of some builds."""
    candidates = situation.catalogue.candidates(situation.platform, is_cpu=situation.is_cpu)
    return min(
        (candidates[place] for place in places),
        key=lambda candidate: preference(candidate, situation.driver.driver_cuda_version),
    )


def decide(situation: Situation) -> Verdict:
    """Every candidate judged, those that fit in order, and what would admit more."""
    outcomes = judge_all(situation)
    fitting = [outcome for outcome in outcomes if outcome.fits]
    firm = [outcome for outcome in fitting if not outcome.last_resort]
    chosen = sorted(
        firm or fitting, key=lambda outcome: preference(outcome.candidate, situation.driver.driver_cuda_version)
    )
    rejections = [reason for outcome in outcomes for reason in _reasons(outcome, has_firm=bool(firm))]
    return Verdict(
        chosen=chosen[0].candidate if chosen else None,
        builds=tuple(_builds(situation, chosen)),
        rejections=(*rejections, *_less_preferred(situation, chosen)),
        unlocks=unlocks_of(situation, outcomes, chosen[0] if chosen else None),
        firm=frozenset(outcome.candidate.order for outcome in firm),
    )


def judge(situation: Situation, candidate: Candidate) -> Outcome:
    """One candidate before all rules."""
    against = tuple([no for rule in BUILD_RULES if (no := rule(situation, candidate))])
    last_resort = tuple([no for rule in LAST_RESORT_RULES if (no := rule(situation, candidate))])
    return Outcome(candidate, against, *_on_pythons(situation, candidate), last_resort)


def judge_all(situation: Situation) -> list[Outcome]:
    """Every candidate as `judge` sees it; answers of a rule are kept for machines that agree on the facts it reads."""
    candidates = situation.catalogue.candidates(situation.platform, is_cpu=situation.is_cpu)
    nothing: Column = ((),) * len(candidates)
    columns = [column for rule in BUILD_RULES if (column := _column(situation, rule))]
    against = [tuple(chain.from_iterable(row)) for row in zip(*columns, strict=True)] if columns else nothing
    last = _column(situation, LAST_RESORT_RULES[0]) or nothing
    return [
        Outcome(candidate, reasons, *on_pythons, last_resort)
        for candidate, reasons, on_pythons, last_resort in zip(
            candidates, against, _python_column(situation), last, strict=True
        )
    ]


def _column(situation: Situation, rule: BuildRule) -> Column | None:
    """What one rule has against each candidate; None when it has nothing against any."""
    facts = READS[rule](situation)
    if facts is None:
        return None
    columns = situation.catalogue.columns
    key = (rule, situation.platform, situation.is_cpu, facts)
    if key not in columns:
        candidates = situation.catalogue.candidates(situation.platform, is_cpu=situation.is_cpu)
        answers = [rule(situation, candidate) for candidate in candidates]
        return _kept(columns, key, tuple([(no,) if no else () for no in answers]) if any(answers) else None)
    return columns[key]


def _python_column(situation: Situation) -> tuple[OnPythons, ...]:
    """Per candidate the Pythons that it fits on and what the rules have against the others."""
    columns, wish = situation.catalogue.python_columns, situation.wishes.transformers
    branch = driver_branch(situation, situation.driver.driver_version) if situation.catalogue.matrix.site else None
    key = (situation.platform, situation.is_cpu, situation.pythons, wish.text if wish else None, branch)
    if (known := columns.get(key)) is None:
        candidates = situation.catalogue.candidates(situation.platform, is_cpu=situation.is_cpu)
        known = _kept(columns, key, tuple([_on_pythons(situation, candidate) for candidate in candidates]))
    return known


def _on_pythons(situation: Situation, candidate: Candidate) -> OnPythons:
    fitting: list[str] = []
    against: list[Rejection] = []
    for python in situation.pythons:
        reasons = [no for rule in PYTHON_RULES if (no := rule(situation, candidate, python))]
        against += reasons
        if not reasons:
            fitting.append(python)
    return tuple(fitting), tuple(against)


def _kept(kept: dict[tuple[object, ...], T], key: tuple[object, ...], value: T) -> T:
    """The value, kept under the key; a full store starts anew."""
    if len(kept) >= MAX_KEPT:
        kept.clear()
    kept[key] = value
    return value


def preferred_by(chosen: Build, other: Build) -> str:
    """The preference by which a build that fits stands behind the chosen one."""
    if other.torch != chosen.torch:
        return "newest-torch"
    if other.variant == chosen.variant:
        return "preferred-python"
    mine, its = chosen.cuda_runtime_version, other.cuda_runtime_version
    return "native-cuda" if mine and its and its > mine else "highest-cuda"


def _builds(situation: Situation, outcomes: list[Outcome]) -> list[Build]:
    catalogue, wish = situation.catalogue, situation.wishes.transformers
    return [catalogue.build(outcome.candidate, python, wish) for outcome in outcomes for python in outcome.pythons]


def _reasons(outcome: Outcome, *, has_firm: bool) -> tuple[Rejection, ...]:
    reasons = (*outcome.against, *outcome.against_pythons)
    return (*reasons, *outcome.last_resort) if has_firm and not outcome.against else reasons


def _less_preferred(situation: Situation, chosen: list[Outcome]) -> list[Rejection]:
    """Builds of the chosen torch with a higher CUDA, which fit and stand behind the choice."""
    if not chosen:
        return []
    best = chosen[0].candidate
    return [
        Rejection(
            other.release.version,
            other.variant.name,
            "native-cuda",
            f"a driver that implements CUDA {situation.driver.driver_cuda_version}",
            f"CUDA {other.cuda}, else it relies on minor version compatibility",
            other.place,
        )
        for outcome in chosen[1:]
        if (other := outcome.candidate).release is best.release and other.cuda and best.cuda and other.cuda > best.cuda
    ]
