"""What many machines have in common: the build that all can run, who holds newer ones back, what would help (PURE).

Everything here rests on what the resolver says of each machine alone; machines that it judged alike are handled once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from .documents.fleet import (
    FleetChange,
    FleetData,
    FleetRow,
    FleetSummary,
    GpuCount,
    HeldBack,
    Lift,
    Reason,
    Refusal,
    Remark,
    RowError,
    SharedBuild,
    SharedWheel,
)
from .errors import ExitCode
from .plain_text import plain
from .records import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .errors import GpusetupError
    from .records import Build, Machine, MatrixIdentity, Rejection, Request, Resolution, Unlock

    #: torch and variant: what machines of different platforms and Pythons can share.
    Name = tuple[str, str]

MOST_FOUND: Final = 16
"""Different values that are shown of what machines have."""
MOST_REMARKS: Final = 100
MOST_COUNTED: Final = 10_000
"""Different assumptions and notes that are counted; the most frequent are shown."""
MOST_LIFTS: Final = 8
MOST_SHOWN: Final = 5
"""Machines that a finding names."""
LONGEST_NAME: Final = 64

CPU_ONLY: Final = Reason("cpu-plan", "no NVIDIA GPU", "an NVIDIA GPU")
HAS_GPU: Final = Reason("not-a-cpu-plan", "an NVIDIA GPU", "a machine without one, or --cpu")


@dataclass(frozen=True, slots=True)
class Member:
    """One file or line of a fleet: a machine with what the resolver says of it, or why there is nothing."""

    name: str
    source: str
    gpus: tuple[GpuCount, ...] = ()
    driver: str | None = None
    resolution: Resolution | None = None
    """None: it could not be read, or its GPU can't be used; then `error` says so."""
    error: RowError | None = None

    @property
    def is_machine(self) -> bool:
        """Whether it could be read."""
        return self.error is None or self.error.exit_code != ExitCode.BAD_INPUT


def member_of(
    machine: Machine,
    name: str,
    source: str,
    *,
    resolution: Resolution | None = None,
    error: GpusetupError | None = None,
    rejections: Sequence[Rejection] = (),
) -> Member:
    """The member that a machine becomes; `rejections` are the reasons to show where no build fits."""
    driver = machine.driver.driver_version if machine.driver else None
    counts = Counter([gpu.name or gpu.pci_device_id or "GPU without a name" for gpu in machine.gpus])
    return Member(
        name=plain(machine.host.hostname or "", longest=LONGEST_NAME) or name,
        source=source,
        gpus=tuple([GpuCount(plain(gpu, longest=LONGEST_NAME), count) for gpu, count in counts.items()]),
        driver=str(driver) if driver else None,
        resolution=resolution,
        error=row_error(error, rejections) if error else None,
    )


def row_error(error: GpusetupError, rejections: Sequence[Rejection] = ()) -> RowError:
    """The error of planning one machine alone, as its row shows it."""
    reasons = tuple(Reason(no.rule, no.found, no.needs) for no in rejections)
    return RowError(error.code, int(error.exit_code), error.happened, reasons, error.do)


_NOT_FOR_FLEETS: Final = frozenset(("forward-compatibility", "gpu"))
"""Changes that lift one box and no fleet: a package in front of a driver, GPUs that stay unused."""


class Fits:
    """The builds that fit, shared by all profiles with the same ones."""

    __slots__ = ("builds", "places")

    def __init__(self, candidates: Sequence[Build]) -> None:
        self.builds: dict[Name, list[Build]] = {}
        """Per build one for each Python, the preferred first; the preferred build first."""
        for build in candidates:
            self.builds.setdefault((build.torch, build.variant), []).append(build)
        self.places: dict[Name, int] = {name: place for place, name in enumerate(self.builds)}


class Profile:
    """Machines that the resolver judged alike."""

    __slots__ = ("_against", "_first", "fits", "names", "places", "unlocks")

    def __init__(self, first: Member, fits: Fits) -> None:
        self._first = first
        self._against: dict[Name, tuple[Reason, ...]] = {}
        self.names: list[str] = []
        found = first.resolution.unlocks if first.resolution else ()
        self.unlocks: tuple[Unlock, ...] = tuple(unlock for unlock in found if unlock.change not in _NOT_FOR_FLEETS)
        self.fits = fits.builds
        self.places = fits.places

    def learn(self, wanted: frozenset[Name]) -> None:
        """Keep why these builds do not fit: nobody asks about the hundred others."""
        resolution = self._first.resolution
        found: dict[Name, list[Rejection]] = {}
        for no in resolution.rejections if resolution else ():
            name = (no.torch, no.variant)
            if name in wanted and name not in self.fits:
                found.setdefault(name, []).append(no)
        if not found or not resolution:
            return
        pythons = {no.python for no in resolution.rejections if no.python}
        pythons |= {build.python for build in resolution.candidates}
        self._against = {name: _weighty(against, pythons) for name, against in found.items()}

    def against(self, name: Name) -> tuple[Reason, ...]:
        """Why a build that was learned about does not fit these machines."""
        error = self._first.error
        if error is not None and self._first.resolution is None:
            return (Reason(error.id, "no usable GPU", "a GPU that can be used"),)
        kind = HAS_GPU if name[1] == "cpu" else CPU_ONLY
        return self._against.get(name) or (kind,)

    def unlock_of(self, name: Name) -> Unlock | None:
        """The change that admits exactly this build."""
        return next((unlock for unlock in self.unlocks if (unlock.torch, unlock.variant) == name), None)


def _weighty(against: Sequence[Rejection], pythons: set[str]) -> tuple[Reason, ...]:
    """The reasons, each once; what speaks against one Python only where it is so for all that the machine has."""
    refused = {no.python for no in against if no.python}
    kept = [no for no in against if no.python is None or refused == pythons]
    return tuple(dict.fromkeys(Reason(no.rule, no.found, no.needs) for no in kept))


def survey(entries: Iterable[Member], request: Request, matrix: MatrixIdentity, remarks: Remarks) -> FleetData:
    """The document of a fleet."""
    members = _with_own_names(entries)
    machines = [member for member in members if member.is_machine]
    profiles = profiles_of(machines)
    variants = _cuda_of(profiles)
    counts = Counter[str]()
    ends = Counter(member.error.exit_code if member.error else 0 for member in members)
    base, reach = _base(profiles, variants)
    for profile in profiles:
        for torch in {torch for torch, _ in profile.fits}:
            counts[torch] += len(profile.names)
    everywhere = [torch for torch, count in counts.items() if count == len(machines)]
    shared = _shared(base, profiles) if base else None
    is_common = shared is not None and reach == len(machines)
    targets = _targets(base, profiles, variants) if base else []
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
        common_torch=max(everywhere, key=_version, default=None),
        largest_group=None if is_common else shared,
        outside=_refusals(base, profiles) if base and not is_common else (),
        held_back_by=tuple(_held_back(base, targets, profiles)) if base else (),
        lifts=_lifts(base, targets, profiles, variants) if base else (),
        machines=tuple(_row(member) for member in members),
        assumptions=remarks.assumptions(),
        notes=remarks.notes(),
        request=request,
        matrix=matrix,
    )


def profiles_of(machines: Iterable[Member]) -> list[Profile]:
    """The machines in groups that the resolver judged alike, in the order in which they first come."""
    profiles: dict[tuple[object, ...], Profile] = {}
    fits: dict[tuple[int, ...], Fits] = {}
    for member in machines:
        key = _key_of(member)
        if key not in profiles:
            candidates = member.resolution.candidates if member.resolution else ()
            same = tuple(map(id, candidates))
            if same not in fits:
                fits[same] = Fits(candidates)
            profiles[key] = Profile(member, fits[same])
        profiles[key].names.append(member.name)
    return list(profiles.values())


def _key_of(member: Member) -> tuple[object, ...]:
    """Equal for machines that were judged alike.

    Identity is enough: one catalogue hands out the same builds and tuples; where it does not, groups are smaller.
    """
    resolution, error = member.resolution, member.error
    if resolution is not None:
        return id(resolution.candidates), id(resolution.rejections), id(resolution.unlocks)
    return (error.id, error.happened) if error else ()


class Remarks:
    """Counts the assumptions and notes of the machines as they come."""

    def __init__(self) -> None:
        self._assumptions: Counter[str] = Counter()
        self._notes: Counter[tuple[str, str]] = Counter()

    def add(self, resolution: Resolution) -> None:
        """Those of one more machine. Hostile files may hold ever new ones: past a bound only known ones are counted."""
        for text in resolution.assumptions:
            if text in self._assumptions or len(self._assumptions) < MOST_COUNTED:
                self._assumptions[text] += 1
        for note in resolution.notes:
            key = (note.id, note.happened)
            if key in self._notes or len(self._notes) < MOST_COUNTED:
                self._notes[key] += 1

    def assumptions(self) -> tuple[Remark, ...]:
        """The most frequent first."""
        return tuple(Remark(None, text, count) for text, count in self._assumptions.most_common(MOST_REMARKS))

    def notes(self) -> tuple[Remark, ...]:
        """The most frequent first."""
        return tuple(Remark(id_, text, count) for (id_, text), count in self._notes.most_common(MOST_REMARKS))


# --- rows


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


# --- the build that is shared


@cache
def _version(torch: str) -> Version:
    return Version(torch)


def _cuda_of(profiles: Sequence[Profile]) -> dict[str, tuple[int, int]]:
    """CUDA of every variant that is spoken of, as a build says it or as its name does; (0, 0) for the CPU."""
    known = {
        build.variant: tuple(build.cuda_runtime_version or (0, 0))
        for profile in profiles
        for builds in profile.fits.values()
        for build in builds[:1]
    }
    return {variant: (cuda[0], cuda[1]) for variant, cuda in known.items()}


def _newness(name: Name, variants: Mapping[str, tuple[int, int]]) -> tuple[Version, tuple[int, int]]:
    torch, variant = name
    digits = variant.removeprefix("cu")
    guess = (int(digits[:-1]), int(digits[-1])) if digits.isdecimal() and len(digits) > 1 else (0, 0)
    return _version(torch), variants.get(variant, guess)


def _base(profiles: Sequence[Profile], variants: Mapping[str, tuple[int, int]]) -> tuple[Name | None, int]:
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
    newest = max(_version(torch) for torch, _ in most)
    rivals = [name for name in most if _version(name[0]) == newest]
    return max(rivals, key=lambda name: (-_demoted(name, rivals, profiles, variants), variants[name[1]])), reach


def _demoted(
    name: Name, rivals: Sequence[Name], profiles: Sequence[Profile], variants: Mapping[str, tuple[int, int]]
) -> int:
    """Machines that put another build of the torch with a lower CUDA before this one: that one is native there."""
    lower = [rival for rival in rivals if variants[rival[1]] < variants[name[1]]]
    return sum(
        len(profile.names)
        for profile in profiles
        if name in profile.places
        and any(profile.places.get(rival, len(profile.places)) < profile.places[name] for rival in lower)
    )


def _shared(name: Name, profiles: Sequence[Profile]) -> SharedBuild:
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


# --- what holds it back


def _is_rival(name: Name, base: Name, variants: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a build is newer and of the same kind."""
    return (name[1] == "cpu") == (base[1] == "cpu") and _newness(name, variants) > _newness(base, variants)


def _targets(base: Name, profiles: Sequence[Profile], variants: Mapping[str, tuple[int, int]]) -> list[Name]:
    """Best plans of some machine that are newer than what is shared, the newest first."""
    best = {next(iter(profile.fits)) for profile in profiles if profile.fits}
    rivals = [name for name in best if _is_rival(name, base, variants)]
    return sorted(rivals, key=lambda name: _newness(name, variants), reverse=True)


def _held_back(base: Name, targets: Sequence[Name], profiles: Sequence[Profile]) -> Iterator[HeldBack]:
    for target in targets:
        refusals = _refusals(target, profiles)
        able = sum(len(profile.names) for profile in profiles if target in profile.fits)
        yield HeldBack(*target, machines=able, refusals=refusals or _not_native(base, target, profiles))


def _refusals(name: Name, profiles: Sequence[Profile]) -> tuple[Refusal, ...]:
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


def _lifts(
    base: Name, targets: Sequence[Name], profiles: Sequence[Profile], variants: Mapping[str, tuple[int, int]]
) -> tuple[Lift, ...]:
    """Steps that pay: each lifts all machines to a newer build than a step with fewer machines does."""
    given = {(unlock.torch, unlock.variant) for profile in profiles for unlock in profile.unlocks}
    names = {*targets, *(n for n in given if _is_rival(n, base, variants))}
    if any(base not in profile.fits for profile in profiles):
        names.add(base)
    lifts = [lift for name in names if (lift := _lift(name, profiles)).machines]
    lifts.sort(key=lambda lift: _newness((lift.torch, lift.variant), variants), reverse=True)
    lifts.sort(key=lambda lift: (lift.machines, not lift.is_enough))
    paying: list[Lift] = []
    for lift in lifts:
        newness = _newness((lift.torch, lift.variant), variants)
        rivals = [known for known in paying if known.is_enough or not lift.is_enough]
        # To leave machines out for the sake of another variant of a torch that all could share does not pay.
        if all(newness > _newness((known.torch, known.variant), variants) for known in rivals) and not (
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


# --- the end of the command


def exit_code_of(fleet: FleetData) -> ExitCode:
    """7 when something could not be read, 3 when a GPU can't be used, 4 when no build fits one or all, else 0."""
    summary = fleet.summary
    if summary.unreadable:
        return ExitCode.BAD_INPUT
    if summary.without_usable_gpu:
        return ExitCode.NO_GPU
    return ExitCode.OK if fleet.common else ExitCode.NO_BUILD


def failures_of(fleet: FleetData) -> tuple[Finding, ...]:
    """One finding for each kind of failure, with the first machines that have it."""
    kinds: dict[str, list[FleetRow]] = {}
    for row in fleet.machines:
        if row.error is not None:
            kinds.setdefault(row.error.id, []).append(row)
    order = (ExitCode.BAD_INPUT, ExitCode.NO_GPU, ExitCode.NO_BUILD)
    found = [_failure(id_, rows) for id_, rows in sorted(kinds.items(), key=lambda kind: _rank(kind[1], order))]
    if fleet.common is None and fleet.summary.planned > 1:
        group = fleet.largest_group
        evidence = Evidence("machines that share a build", group.machines if group else 0, needs=fleet.summary.machines)
        happened = "No build runs on every machine of the fleet."
        found.append(Finding("no-common-build", "fail", happened, (evidence,), ("gpusetup plan, one group at a time",)))
    return tuple(found)


def _rank(rows: Sequence[FleetRow], order: Sequence[ExitCode]) -> int:
    code = rows[0].error.exit_code if rows[0].error else 0
    return order.index(ExitCode(code)) if code in order else len(order)


def _failure(id_: str, rows: Sequence[FleetRow]) -> Finding:
    errors = [(row.name, row.error) for row in rows if row.error]
    evidence = [_evidence(name, error) for name, error in errors[:MOST_SHOWN]]
    code, do = errors[0][1].exit_code, errors[0][1].do
    what = {ExitCode.BAD_INPUT: "could not be read", ExitCode.NO_GPU: "without a usable GPU"}
    says = what.get(ExitCode(code), "without a build that fits")
    shown = f"; the first {len(evidence)} are shown" if len(errors) > len(evidence) else ""
    if code == ExitCode.NO_BUILD and len(errors) > 1:
        do = ("gpusetup plan --from the file of one of them",)
    return Finding(id_, "fail", f"{len(errors)} of the fleet {says}{shown}.", tuple(evidence), do)


def _evidence(name: str, error: RowError) -> Evidence:
    if not error.reasons:
        return Evidence(name, error.happened)
    reason = error.reasons[0]
    return Evidence(name, f"{reason.rule}: {reason.found}", needs=reason.needs)
