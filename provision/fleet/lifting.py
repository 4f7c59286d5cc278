"""What keeps a fleet from newer builds, and the changes that would lift it (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..documents.fleet import FleetChange, HeldBack, Lift, Refusal
from .sharing import newness_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .members import Name, Profile
    from .sharing import Variants

MOST_FOUND: Final = 16
"""Different values that are shown of what machines have."""
MOST_LIFTS: Final = 8


def is_rival(name: Name, base: Name, variants: Variants) -> bool:
    """Whether a build is newer and of the same kind."""
    return (name[1] == "cpu") == (base[1] == "cpu") and newness_of(name, variants) > newness_of(base, variants)


def targets_of(base: Name, profiles: Sequence[Profile], variants: Variants) -> list[Name]:
    """Best plans of some machine that are newer than what is shared, the newest first."""
    best = {next(iter(profile.fits)) for profile in profiles if profile.fits}
    rivals = [name for name in best if is_rival(name, base, variants)]
    return sorted(rivals, key=lambda name: newness_of(name, variants), reverse=True)


def held_back(base: Name, targets: Sequence[Name], profiles: Sequence[Profile]) -> Iterator[HeldBack]:
    """Who keeps all from each target; where all can run it, on whom it would not be native."""
    for target in targets:
        refusals = refusals_of(target, profiles)
        able = sum(len(profile.names) for profile in profiles if target in profile.fits)
        yield HeldBack(*target, machines=able, refusals=refusals or _not_native(base, target, profiles))


def refusals_of(name: Name, profiles: Sequence[Profile]) -> tuple[Refusal, ...]:
    """The machines that can't run the build, by rule, the rule of most machines first."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    machines: dict[tuple[str, str], dict[str, None]] = {}
    for profile in profiles:
        if name in profile.fits:
            continue
        for reason in profile.against(name):
            key = (reason.rule, reason.needs)
            found.setdefault(key, {})[reason.found] = None
            machines.setdefault(key, {}).update(dict.fromkeys(profile.names))
    made = [Refusal(*key, tuple(found[key])[:MOST_FOUND], tuple(names)) for key, names in machines.items()]
    return tuple(sorted(made, key=lambda refusal: -len(refusal.machines)))


def _not_native(base: Name, target: Name, profiles: Sequence[Profile]) -> tuple[Refusal, ...]:
    """All machines can run it, and some would rely on minor version compatibility where the shared build is native."""
    names = [name for p in profiles if p.places[base] < p.places[target] for name in p.names]
    found = "a driver that would run it by minor version compatibility"
    return (Refusal("native-cuda", f"a driver that implements CUDA of {target[1]}", (found,), tuple(names)),)


def lifts_of(base: Name, targets: Sequence[Name], profiles: Sequence[Profile], variants: Variants) -> tuple[Lift, ...]:
    """Steps that pay: each lifts all machines to a newer build than a step with fewer machines does."""
    given = {(unlock.torch, unlock.variant) for profile in profiles for unlock in profile.unlocks}
    names = {*targets, *(n for n in given if is_rival(n, base, variants))}
    if any(base not in profile.fits for profile in profiles):
        names.add(base)
    lifts = [lift for name in names if (lift := _lift(name, profiles)).machines]
    lifts.sort(key=lambda lift: newness_of((lift.torch, lift.variant), variants), reverse=True)
    lifts.sort(key=lambda lift: (lift.machines, not lift.is_enough))
    paying: list[Lift] = []
    for lift in lifts:
        newness = newness_of((lift.torch, lift.variant), variants)
        rivals = [known for known in paying if known.is_enough or not lift.is_enough]
        # To leave machines out for the sake of another variant of a torch that all could share does not pay.
        if all(newness > newness_of((known.torch, known.variant), variants) for known in rivals) and not (
            not lift.is_enough and any(known.torch == lift.torch for known in rivals)
        ):
            paying.append(lift)
    return tuple(paying[:MOST_LIFTS])


def _lift(name: Name, profiles: Sequence[Profile]) -> Lift:
    """The machines that can't run the build, with the change of each that admits it."""
    machines: dict[tuple[str | None, str | None], list[str]] = {}
    found: dict[tuple[str | None, str | None], dict[str, None]] = {}
    for profile in profiles:
        if name in profile.fits:
            continue
        unlock = profile.unlock_of(name)
        key = (unlock.change, unlock.to) if unlock else (None, None)
        machines.setdefault(key, []).extend(profile.names)
        found.setdefault(key, {}).update({unlock.from_: None} if unlock else {})
    changes = [FleetChange(c, tuple(found[c, to])[:MOST_FOUND], to, tuple(n)) for (c, to), n in machines.items()]
    return Lift(
        torch=name[0],
        variant=name[1],
        machines=sum(len(names) for names in machines.values()),
        is_enough=(None, None) not in machines,
        changes=tuple(sorted(changes, key=lambda change: -len(change.machines))),
    )
