"""The build that most machines of a fleet can run, and who gets which wheel of it (PURE)."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from packaging.version import Version

from ..documents.fleet import SharedBuild, SharedWheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..records import Build
    from .members import Name, Profile

    #: CUDA by the name of the variant.
    Variants = Mapping[str, tuple[int, int]]


@cache
def version_of(torch: str) -> Version:
    """The version to compare by, parsed once for all machines."""
    return Version(torch)


def cuda_of(profiles: Sequence[Profile]) -> dict[str, tuple[int, int]]:
    """CUDA of every variant that is spoken of, as a build says it or as its name does; (0, 0) for the CPU."""
    known = {
        build.variant: tuple(build.cuda_runtime_version or (0, 0))
        for profile in profiles
        for builds in profile.fits.values()
        for build in builds[:1]
    }
    return {variant: (cuda[0], cuda[1]) for variant, cuda in known.items()}


def newness_of(name: Name, variants: Variants) -> tuple[Version, tuple[int, int]]:
    """Torch, then CUDA: the order in which builds are newer; a variant that no build has is read from its name."""
    torch, variant = name
    digits = variant.removeprefix("cu")
    guess = (int(digits[:-1]), int(digits[-1])) if digits.isdecimal() and len(digits) > 1 else (0, 0)
    return version_of(torch), variants.get(variant, guess)


def widest_build(profiles: Sequence[Profile], variants: Variants) -> tuple[Name | None, int]:
    """The newest of the builds that most machines can run, and how many can.

    Within a torch the preference of a single machine holds for the many: what the fewest would run by minor version
    compatibility where another would be native, then the higher CUDA.
    """
    counts: Counter[Name] = Counter()
    for profile in profiles:
        for name in profile.fits:
            counts[name] += len(profile.names)
    if not counts:
        return None, 0
    reach = max(counts.values())
    most = [name for name, count in counts.items() if count == reach]
    # A CPU build and a CUDA build never stand in for each other; of equally large groups that with GPUs counts.
    most = [name for name in most if name[1] != "cpu"] or most
    newest = max(version_of(torch) for torch, _ in most)
    rivals = [name for name in most if version_of(name[0]) == newest]
    return max(rivals, key=lambda name: (-_demoted(name, rivals, profiles, variants), variants[name[1]])), reach


def _demoted(name: Name, rivals: Sequence[Name], profiles: Sequence[Profile], variants: Variants) -> int:
    """Machines that put another build of the torch with a lower CUDA before this one: that one is native there."""
    lower = [rival for rival in rivals if variants[rival[1]] < variants[name[1]]]
    return sum(
        len(profile.names)
        for profile in profiles
        if name in profile.places
        and any(profile.places.get(rival, len(profile.places)) < profile.places[name] for rival in lower)
    )


def shared_build(name: Name, profiles: Sequence[Profile]) -> SharedBuild:
    """The build for all who can run it, with the wheels that they get; the first wheel serves most machines."""
    sharing = [profile for profile in profiles if name in profile.fits]
    taken = _on_pythons(name, sharing)
    wheels: dict[tuple[str, str, str], list[str]] = {}
    for profile, build in zip(sharing, taken, strict=True):
        wheels.setdefault((build.wheel_tag, build.python, build.index), []).extend(profile.names)
    pythons = {build.python for build in taken}
    return SharedBuild(
        torch=name[0],
        variant=name[1],
        cuda_runtime_version=taken[0].cuda_runtime_version,
        machines=sum(len(profile.names) for profile in sharing),
        python=pythons.pop() if len(pythons) == 1 else None,
        wheels=tuple(
            SharedWheel(*wheel, machines=tuple(names))
            for wheel, names in sorted(wheels.items(), key=lambda item: -len(item[1]))
        ),
    )


def _on_pythons(name: Name, sharing: Sequence[Profile]) -> list[Build]:
    """For each profile the build on its Python: as few different ones as a greedy choice finds, the liked first."""
    left = dict(enumerate(sharing))
    taken: dict[int, Build] = {}
    while left:
        reach, liked = Counter[str](), Counter[str]()
        for profile in left.values():
            for place, build in enumerate(profile.fits[name]):
                reach[build.python] += len(profile.names)
                liked[build.python] += 0 if place else len(profile.names)
        best = max(reach, key=lambda python: (reach[python], liked[python], _python_order(python)))
        for number, profile in list(left.items()):
            mine = next((build for build in profile.fits[name] if build.python == best), None)
            if mine is not None:
                taken[number] = mine
                del left[number]
    return [taken[number] for number in range(len(sharing))]


def _python_order(python: str) -> tuple[bool, int]:
    """Newer is later; free-threaded builds come before the others."""
    minor = python.rstrip("t").rpartition(".")[2]
    return not python.endswith("t"), int(minor) if minor.isdecimal() else 0
