"""EDGE: whether another configured source disputes a file of the resolution.

Package sources have no authority over names: whoever may write to one of several may offer a file under any name. So
every source that was configured beside the general index is asked about each project that was resolved.

- torch is bound to its source before anything is resolved; here it only must not exist elsewhere with other bytes.
- NVIDIA's libraries and triton come from torch's own source or the general index. A file that only another source holds
  is not taken: the project is bound to the first of the two that holds it, and resolved again.
- Any other project may come from where the user's configuration says. One file name with two contents ends the
  installation; a file that the general index does not have, of a project that it has, is told.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import InstallError
from ..records import Evidence, SourceConflict
from .addresses import local_path
from .lock import BOUND
from .offers import Offer, ask_projects, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .configuration import Location, PackageConfiguration
    from .fetching import Fetcher
    from .lock import Lock, LockedWheel
    from .lookup import SourceAnswer

Answer = TypeVar("Answer")

_OF_NVIDIA = re.compile(r"nvidia-.+|cuda-.+|(pytorch-)?triton")
"""Projects whose bytes belong to the CUDA that torch was built with."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of one resolution, by what they may decide."""

    torch: Location
    general: Location | None
    """None without indexes."""
    foreign: tuple[Location, ...]
    """Everything else that the user configured."""

    @property
    def named(self) -> tuple[Location, ...]:
        """The sources that the plan names: torch's own and the general index."""
        return (self.torch,) if self.general is None or self.general == self.torch else (self.torch, self.general)


def sources_of(configuration: PackageConfiguration, torch: Location, general: Location | None) -> Sources:
    """Who may decide what. Of a configuration that asks no server, the folders."""
    general = None if configuration.no_index else general
    known = {torch.secret_url, general.secret_url if general else ""}
    foreign = tuple(item for item in configuration.locations if item.secret_url not in known)
    if configuration.offline:
        foreign = tuple(item for item in foreign if local_path(item.secret_url))
    return Sources(torch, general, foreign)


# --- NVIDIA's libraries ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slipped:
    """A file that no source which the plan names holds, and the source to take the project from instead."""

    wheel: LockedWheel
    foreign: Location
    instead: Location | None


def slipped(lock: Lock, sources: Sources, fetcher: Fetcher) -> tuple[Slipped, ...]:
    """NVIDIA's libraries that come from a foreign source; asks nothing where there is no such source."""
    wheels = {wheel.name: wheel for wheel in lock.wheels if _OF_NVIDIA.fullmatch(wheel.name)}
    if not wheels or not sources.foreign or sources.general is None:
        return ()
    offers = ask_projects(sources.foreign, wheels, fetcher)
    suspects = {
        name: offer.location for name, wheel in wheels.items() for offer in offers[name] if offer.file(wheel.filename)
    }
    named = ask_projects(sources.named, suspects, fetcher)
    return tuple(
        Slipped(wheels[name], foreign, next((offer.location for offer in named[name] if offer.files), None))
        for name, foreign in suspects.items()
        if not any(_has(offer, wheels[name]) for offer in named[name])
    )


def _has(offer: Offer, wheel: LockedWheel) -> bool:
    file = offer.file(wheel.filename)
    return file is not None and digest_of(file, size_bytes=wheel.size_bytes) in {None, wheel.sha256}


def bound_instead(found: Iterable[Slipped]) -> dict[str, Location]:
    """The source that each project is bound to; InstallError where none of those that the plan names holds it."""
    bound = {}
    for item in found:
        if item.instead is None:
            wheel = item.wheel
            conflict = SourceConflict(
                wheel.name, wheel.version, wheel.filename, item.foreign.url, wheel.sha256, "", None, "other-files"
            )
            raise _refused(conflict, "comes only from a source that the plan does not name")
        bound[item.wheel.name] = item.instead
    return bound


def left_alone(found: Iterable[Slipped], lock: Lock) -> tuple[SourceConflict, ...]:
    """What is told about libraries that were bound to another source, with the files that were taken from there."""
    return tuple(
        SourceConflict(
            taken.name,
            taken.version,
            taken.filename,
            item.instead.url,
            taken.sha256,
            item.foreign.url,
            item.wheel.sha256,
            "foreign-left",
        )
        for item in found
        if (taken := lock.wheel(item.wheel.name)) and item.instead
    )


# --- everything else ------------------------------------------------------------------------------


def require_one_torch(lock: Lock, answers: Sequence[SourceAnswer], taken: Location) -> None:
    """InstallError when a source that was asked about torch holds the chosen file with other bytes."""
    torch = lock.wheel("torch")
    if torch is None:
        return
    offers = [Offer(answer.location, answer.files) for answer in answers if answer.location != taken]
    for conflict in _same_name(torch, offers, taken.url):
        raise _refused(conflict, "exists with two contents")


def disputed(lock: Lock, sources: Sources, fetcher: Fetcher) -> tuple[SourceConflict, ...]:
    """What the sources disagree about, torch and NVIDIA's libraries aside; InstallError for one name, two contents."""
    wheels = [w for w in lock.wheels if w.name not in BOUND and not _OF_NVIDIA.fullmatch(w.name)]
    if not sources.foreign:
        return ()
    foreign = ask_projects(sources.foreign, [wheel.name for wheel in wheels], fetcher)
    shared = [wheel for wheel in wheels if any(offer.files for offer in foreign[wheel.name])]
    general = ask_projects((sources.general,) if sources.general else (), [wheel.name for wheel in shared], fetcher)
    found: list[SourceConflict] = []
    for wheel in shared:
        found += judge(wheel, foreign[wheel.name], next(iter(general[wheel.name]), None))
    for conflict in found:
        if conflict.kind == "same-file":
            raise _refused(conflict, "exists with two contents")
    return tuple(found)


def judge(wheel: LockedWheel, foreign: Sequence[Offer], general: Offer | None) -> tuple[SourceConflict, ...]:
    """What the sources disagree about one file. Without hashes on its page a source says nothing about contents."""
    offers = (*foreign, *([general] if general else []))
    holder = next((offer.location.url for offer in offers if _has(offer, wheel)), wheel.source)
    if same := _same_name(wheel, offers, holder):
        return same
    is_elsewhere = any(_has(offer, wheel) for offer in foreign)
    if general is None or not general.files or not is_elsewhere or _has(general, wheel):
        return ()
    return (
        SourceConflict(
            wheel.name, wheel.version, wheel.filename, holder, wheel.sha256, general.location.url, None, "other-files"
        ),
    )


def _same_name(wheel: LockedWheel, offers: Sequence[Offer], holder: str) -> tuple[SourceConflict, ...]:
    found = []
    for offer in offers:
        file = offer.file(wheel.filename)
        digest = digest_of(file, size_bytes=wheel.size_bytes) if file else None
        if file is None or digest is None or digest == wheel.sha256:
            continue
        digest = digest or digest_of(file)  # of another size: read now, because it is told
        found.append(
            SourceConflict(
                wheel.name, wheel.version, wheel.filename, holder, wheel.sha256, offer.location.url, digest, "same-file"
            )
        )
    return tuple(found)


def _refused(conflict: SourceConflict, happened: str) -> InstallError:
    return InstallError(
        f"{conflict.filename} {happened}; nothing was installed.",
        code="source-conflict",
        evidence=(
            Evidence("project", f"{conflict.project} {conflict.version}"),
            Evidence("taken from", conflict.source, source="sha256 " + (conflict.sha256 or "not known")),
            Evidence(
                "and" if conflict.other_sha256 else "not held by",
                conflict.other_source or "the sources that the plan names",
                source="sha256 " + conflict.other_sha256 if conflict.other_sha256 else None,
            ),
        ),
        do=("find out which of the two is right, and take the other source out of the configuration of pip or uv",),
    )


# --- beside the installation ----------------------------------------------------------------------


@dataclass(slots=True)
class Inquiry(Generic[Answer]):
    """A question that is asked while something else runs; `answer` waits for it and raises what it raised."""

    _ask: Callable[[], Answer]
    _said: list[Answer] = field(default_factory=list)
    _raised: list[BaseException] = field(default_factory=list)
    _thread: threading.Thread | None = None

    @classmethod
    def begin(cls, ask: Callable[[], Answer]) -> Inquiry[Answer]:
        """Start asking."""
        inquiry = cls(ask)
        inquiry._thread = threading.Thread(target=inquiry._run, daemon=True)
        inquiry._thread.start()
        return inquiry

    def _run(self) -> None:
        try:
            self._said.append(self._ask())
        except BaseException as err:  # noqa: BLE001 - raised again by `answer`
            self._raised.append(err)

    def answer(self) -> Answer:
        """What was found; every deadline is inside the question."""
        if self._thread is not None:
            self._thread.join()
        if self._raised:
            raise self._raised[0]
        return self._said[0]


def with_indexes(lock: Lock, sources: Sources) -> Lock:
    """The lock with the index of every file that is known to come from one: it decides under which name uv caches it.

    Known are torch's; a file under the address of an index; and all the others where there is one index only.
    """
    indexes = [item for item in (*sources.named, *sources.foreign) if item.source.kind == "index"]
    only = sources.general if not any(item.source.kind == "index" for item in sources.foreign) else None

    def index_of(wheel: LockedWheel) -> str | None:
        if wheel.name in BOUND:
            return sources.torch.url if sources.torch.source.kind == "index" else None
        under = next((item.url for item in indexes if wheel.url.startswith(item.url.rstrip("/") + "/")), None)
        if under is not None or only is None:
            return under
        is_of_folder = local_path(wheel.url) is not None and local_path(only.secret_url) is None
        return None if is_of_folder else only.url

    return replace(lock, wheels=tuple(replace(wheel, index=index_of(wheel)) for wheel in lock.wheels))
