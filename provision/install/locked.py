"""`install --locked`: which build a given lock is for, and where this machine gets its files from.

Nothing is resolved. A file is known by its name and its hash, so where it comes from is a matter of reach, not of
trust: a source that this machine is configured for is taken first, the address that the lock states else. What stands
in for an address in an example (`https://INDEX/...`) and a path of the machine that the lock was made on are none here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.version import Version

from ..errors import GpusetupError, InstallError, NoBuildError
from ..records import Evidence
from .addresses import local_path
from .availability import tag_order
from .lock import parse_lock, read_target
from .lookup import default_index
from .offers import ask_projects, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ..records import Build, Rejection
    from .configuration import Location, PackageConfiguration
    from .fetching import Fetcher
    from .lock import Lock, LockedWheel, Target
    from .offers import Offer

_PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_-]*|.*[<>{}$].*|.*\.(invalid|example)", re.DOTALL)
"""Hosts of addresses that are written to be replaced: a word in capitals, <index>, ${INDEX}, RFC 2606 names."""


# --- which build ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """A lock and the build that it is for."""

    lock: Lock
    build: Build

    @property
    def digest(self) -> str:
        """Identity of what it installs: every file by its hash."""
        identity = [(wheel.name, wheel.version, wheel.sha256) for wheel in self.lock.wheels]
        return hashlib.sha256(repr((self.build.python, identity)).encode()).hexdigest()


def given_lock(
    text: str, where: str, candidates: Sequence[Build], rejections: Sequence[Rejection], *, platforms: Sequence[str]
) -> Given:
    """The lock of a text with the candidate that it is for.

    InputError when it is no lock, InstallError when its build is none of the plan's candidates or a file of it does
    not run on a machine with these platform tags.
    """
    target = read_target(text, where)
    candidates = [build for build in candidates if build.kind == candidates[0].kind]
    fitting = [build for build in candidates if target is None or _is_for(build, target)]
    if not fitting:
        raise _no_candidate(_named(target), target, candidates, rejections)
    failure: GpusetupError | None = None
    found = None
    for python in dict.fromkeys(build.python for build in fitting):
        try:
            lock = parse_lock(text, where, tag_order(python, platforms))
        except InstallError as err:  # a lock that does not say for which Python it is may be for the next one
            failure = failure or err
            continue
        torch = lock.wheel("torch")
        found = found or f"torch {torch.version if torch else 'not in it'}"
        for build in fitting:
            if build.python == python and torch is not None and _is_build(torch.version, build, target):
                return Given(lock, build)
    if failure is not None and found is None:
        raise failure
    raise _no_candidate(found, target, candidates, rejections)


def _is_for(build: Build, target: Target) -> bool:
    return (build.torch, build.variant, build.python) == (target.torch, target.variant, target.python)


def _is_build(version: str, build: Build, target: Target | None) -> bool:
    """Whether a torch of that version is the build; without a label it is only where the build publishes so."""
    if Version(version).local is not None:
        return Version(version) == Version(f"{build.torch}+{build.variant}")
    return Version(version) == Version(build.torch) and (
        target is not None or build.is_unlabelled or build.is_general_index_default
    )


def _named(target: Target | None) -> str | None:
    return f"torch {target.torch}+{target.variant} for Python {target.python}" if target else None


def _no_candidate(
    found: str | None, target: Target | None, candidates: Sequence[Build], rejections: Sequence[Rejection]
) -> InstallError:
    best = candidates[0]
    evidence = [Evidence("lock", found, source="lock", needs=f"torch {best.local_version} for Python {best.python}")]
    if target is not None:
        refused = [r for r in rejections if (r.torch, r.variant) == (target.torch, target.variant)]
        refused = [r for r in refused if r.python in {None, target.python}] or refused
        evidence += [Evidence(r.rule, r.found, source=r.source, needs=r.needs) for r in refused[:3]]
    why = "this machine cannot run what it installs" if len(evidence) > 1 else "the plan has no such build"
    return InstallError(
        f"The lock is not one of this plan: {why}.",
        code="lock-mismatch",
        evidence=tuple(evidence),
        do=("make a lock on a machine like this one: gpusetup install", "see what fits here: gpusetup plan --top 5"),
    )


# --- where its files are --------------------------------------------------------------------------


def is_placeholder(address: str) -> bool:
    """Whether an address is written to be replaced."""
    host = urlsplit(address).netloc.rpartition("@")[2].partition(":")[0]
    return urlsplit(address).scheme != "file" and bool(_PLACEHOLDER.fullmatch(host))


def rebased(
    given: Given,
    configuration: PackageConfiguration,
    fetcher: Fetcher,
    *,
    folder: Path | None,
    builtin: Callable[[], Location | None],
) -> Lock:
    """The lock with addresses that this machine reaches; nothing is asked where the stated ones will do.

    `folder` is that of the lock: files beside it are taken. NoBuildError names every file that no source holds.
    """
    may_look = not configuration.offline
    own = configuration.locations
    if configuration.torch_index is not None and not configuration.no_index:
        own = (configuration.variant_index(given.build.index, given.build.variant), *own)
    if not may_look:
        own = tuple(location for location in own if local_path(location.secret_url))
    beside = {wheel.filename: path for wheel in given.lock.wheels if (path := _beside(wheel, folder))}
    open_ones = [wheel for wheel in given.lock.wheels if wheel.filename not in beside]
    found = _found(open_ones, own, fetcher) if own else {}
    is_cut_off = configuration.no_index or configuration.offline
    lost = [wheel for wheel in open_ones if wheel.filename not in found and (is_cut_off or not _is_address(wheel.url))]
    asked = own
    if lost and not is_cut_off:
        variant = configuration.variant_index(given.build.index, given.build.variant)
        default = default_index(configuration, builtin)
        general = tuple(item for item in (variant, default) if item is not None and item not in own)
        found |= _found(lost, general, fetcher)
        lost = [wheel for wheel in lost if wheel.filename not in found]
        asked = (*own, *general)
    if lost:
        raise _not_found(lost, asked)
    wheels = tuple(
        replace(wheel, url=beside[wheel.filename].as_uri(), index=None)
        if wheel.filename in beside
        else found.get(wheel.filename, wheel)
        for wheel in given.lock.wheels
    )
    return replace(given.lock, wheels=wheels)


def _beside(wheel: LockedWheel, folder: Path | None) -> Path | None:
    """The file in the folder of the lock, or under it where the lock says so with an address inside that folder."""
    if folder is None:
        return None
    places = [folder / wheel.filename]
    stated = local_path(wheel.url)
    if stated is not None and stated.resolve().is_relative_to(folder.resolve()):
        places.append(stated)
    return next((path for path in places if path.is_file()), None)


def _is_address(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"} and not is_placeholder(url)


def _found(wheels: Sequence[LockedWheel], locations: Sequence[Location], fetcher: Fetcher) -> dict[str, LockedWheel]:
    """Each file, by its name, at the first source that holds it with its hash."""
    offers = ask_projects(locations, dict.fromkeys(wheel.name for wheel in wheels), fetcher)
    places = {wheel.filename: _place(wheel, offers[wheel.name]) for wheel in wheels}
    return {name: wheel for name, wheel in places.items() if wheel is not None}


def _place(wheel: LockedWheel, offers: Sequence[Offer]) -> LockedWheel | None:
    for offer in offers:
        file = offer.file(wheel.filename)
        # A page without hashes is believed here: the installer holds the file to the hash of the lock.
        if file is not None and digest_of(file, size_bytes=wheel.size_bytes) in {None, wheel.sha256}:
            index = offer.location.url if offer.location.source.kind == "index" else None
            return replace(wheel, url=file.url, index=index)
    return None


def _not_found(lost: Sequence[LockedWheel], asked: Sequence[Location]) -> NoBuildError:
    names = ", ".join(dict.fromkeys(location.source.name or location.url for location in asked)) or "no source"
    return NoBuildError(
        f"No package source of this machine holds {lost[0].filename}"
        + (f" and {len(lost) - 1} more files of the lock." if len(lost) > 1 else " of the lock."),
        code="not-in-sources",
        evidence=tuple(
            Evidence(wheel.filename, "not found", source=names, needs=f"sha256 {wheel.sha256}") for wheel in lost[:10]
        ),
        do=(
            "name a source that holds them: index-url or find-links in pip's configuration, --torch-index for torch",
            "or put the files beside the lock",
        ),
    )
