"""The machines of a fleet with what the resolver says of each, and in groups that it judged alike (PURE)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..documents.fleet import GpuCount, Reason, RowError
from ..errors import ExitCode
from ..plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..errors import GpusetupError
    from ..records import Build, Machine, Rejection, Resolution, Unlock

    #: torch and variant: what machines of different platforms and Pythons can share.
    Name = tuple[str, str]

LONGEST_NAME: Final = 64

CPU_ONLY: Final = Reason("cpu-plan", "no NVIDIA GPU", "an NVIDIA GPU")
HAS_GPU: Final = Reason("not-a-cpu-plan", "an NVIDIA GPU", "a machine without one, or --cpu")

_NOT_FOR_FLEETS: Final = frozenset(("forward-compatibility", "gpu"))
"""Changes that lift one box and no fleet: a package in front of a driver, GPUs that stay unused."""


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
