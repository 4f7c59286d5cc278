"""Builds that somebody asks about by name (--why-not), those that fit and those of the other kind included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError
from ..records import Evidence, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..matrix import Matrix
    from ..records import Build
    from .situation import Situation
    from .wishes import BuildWish


def builds_meant(matrix: Matrix, wishes: Sequence[BuildWish]) -> frozenset[tuple[str, str]]:
    """Torch and variant of every build that is asked about; UsageError for a word that means none."""
    builds = [(release.version, variant.name) for release in matrix.releases for variant in release.variants]
    for wish in wishes:
        if not any(wish.means(*build) for build in builds):
            names = sorted({variant for _, variant in builds})
            raise UsageError(
                f"--why-not {wish.text!r}: the matrix has no such build.",
                evidence=(Evidence("torch", f"{matrix.releases[0].version} to {matrix.releases[-1].version}"),),
                do=(f"one of its variants: {', '.join(names)}", "gpusetup matrix show"),
            )
    return frozenset(build for build in builds if any(wish.means(*build) for wish in wishes))


def reasons_beyond_rules(
    situation: Situation,
    meant: frozenset[tuple[str, str]],
    fitting: Sequence[Build],
    preference: Callable[[Build, Build], str],
) -> tuple[Rejection, ...]:
    """Why builds were not chosen that no rule rejects: they fit and stand behind, or are of the other kind."""
    if not meant:
        return ()
    reasons = []
    chosen = fitting[0] if fitting else None
    seen: set[tuple[str, str]] = set()
    for build in fitting:
        name = (build.torch, build.variant)
        if chosen and name in meant - seen and name != (chosen.torch, chosen.variant):
            needs = f"to come before torch {chosen.local_version}, which fits too"
            rule = preference(chosen, build)
            reasons.append(Rejection(*name, rule, f"torch {build.local_version} fits", needs, "preference"))
        seen.add(name)
    for torch, variant in sorted(meant):
        if (variant == "cpu") is not situation.is_cpu:
            reasons.append(_other_kind(situation, torch, variant))
    return tuple(reasons)


def _other_kind(situation: Situation, torch: str, variant: str) -> Rejection:
    if situation.is_cpu:
        found = "a CPU build was asked for, or no NVIDIA GPU is there"
        return Rejection(torch, variant, "cpu-plan", found, "a GPU, and no --cpu", "machine")
    return Rejection(
        torch, variant, "gpu-plan", "a GPU that can be used", "--cpu, which asks for a CPU build", "machine"
    )
