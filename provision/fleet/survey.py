"""The document of a fleet (PURE)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ..documents.fleet import FleetData, FleetRow, FleetSummary
from ..errors import ExitCode
from .lifting import held_back, lifts_of, refusals_of, targets_of
from .members import profiles_of
from .sharing import cuda_of, shared_build, version_of, widest_build

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..records import MatrixIdentity, Request
    from .members import Member
    from .remarks import Remarks


def survey(entries: Iterable[Member], request: Request, matrix: MatrixIdentity, remarks: Remarks) -> FleetData:
    """The document of a fleet."""
    members = _with_own_names(entries)
    machines = [member for member in members if member.is_machine]
    profiles = profiles_of(machines)
    variants = cuda_of(profiles)
    counts = Counter[str]()
    ends = Counter(member.error.exit_code if member.error else 0 for member in members)
    base, reach = widest_build(profiles, variants)
    for profile in profiles:
        for torch in {torch for torch, _ in profile.fits}:
            counts[torch] += len(profile.names)
    everywhere = [torch for torch, count in counts.items() if count == len(machines)]
    shared = shared_build(base, profiles) if base else None
    is_common = shared is not None and reach == len(machines)
    targets = targets_of(base, profiles, variants) if base else []
    wanted = frozenset([*targets, base] if base else [])
    for profile in profiles:
        profile.learn(wanted)
    return FleetData(
        summary=FleetSummary(
            entries=len(members),
            machines=len(machines),
            planned=ends[0],
            without_build=ends[ExitCode.NO_BUILD],
            without_usable_gpu=ends[ExitCode.NO_GPU],
            unreadable=ends[ExitCode.BAD_INPUT],
        ),
        common=shared if is_common else None,
        common_torch=max(everywhere, key=version_of, default=None),
        largest_group=None if is_common else shared,
        outside=refusals_of(base, profiles) if base and not is_common else (),
        held_back_by=tuple(held_back(base, targets, profiles)) if base else (),
        lifts=lifts_of(base, targets, profiles, variants) if base else (),
        machines=tuple(_row(member) for member in members),
        assumptions=remarks.assumptions(),
        notes=remarks.notes(),
        request=request,
        matrix=matrix,
    )


def _with_own_names(entries: Iterable[Member]) -> list[Member]:
    """Every name once: a host name that comes again (localhost) is followed by its file or line."""
    seen: set[str] = set()
    members = []
    for member in entries:
        name = member.name
        if name in seen:
            name = f"{name} ({member.source})"
            member = replace(member, name=name)  # noqa: PLW2901  the same machine under its full name
        seen.add(name)
        members.append(member)
    return members


def _row(member: Member) -> FleetRow:
    build = member.resolution.chosen if member.resolution else None
    return FleetRow(
        name=member.name,
        source=member.source,
        gpus=member.gpus,
        driver=member.driver,
        torch=build.torch if build else None,
        variant=build.variant if build else None,
        python=build.python if build else None,
        wheel_tag=build.wheel_tag if build else None,
        error=member.error,
        gpus_left_out=member.resolution.gpus_left_out if member.resolution else (),
    )
