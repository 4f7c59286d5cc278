"""Where drivers come from: distributions, package repositories with their keys, and the names of packages.

They stand at the end of matrix.yaml and are read when somebody asks for the steps of a driver: a plan of wheels never
loads this module. None means that nobody has read the fact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from . import fields
from .places import PlaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Numbers

    Sources = Callable[[dict[str, Any]], tuple[str, ...]]

TABLES: Final = ("distributions", "repositories", "driver_packages")
"""The tables of this module, the last ones of the file."""

Manager = Literal["apt", "dnf", "zypper"]
Origin = Literal["distro", "nvidia"]


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """One release of a distribution that has steps."""

    name: str
    """ubuntu 24.04, as os-release spells ID and the part of VERSION_ID that tells releases apart."""
    manager: Manager
    eol: str | None
    """End of its free support; None: nobody has read it."""
    kernel: Numbers | None
    """Kernel that it was released with; a newer one is of another kernel package (HWE)."""
    distro: str | None
    """Scheme of `driver_packages` for its own archive; None where that has no driver."""
    distro_branch: int | None
    """The one driver branch that its own archive has; None where it has several."""
    nvidia: str
    """Scheme of `driver_packages` for NVIDIA's repository."""
    nvidia_branches: tuple[int, ...] | None
    """Branches in NVIDIA's repository; None: every one that the scheme has names for, as far as anybody has read."""
    repository: str | None
    """Row of `repositories` that brings the driver; None: NVIDIA has none for it any more."""
    toolkit_repository: str
    """Row of `repositories` that brings the container toolkit."""
    key_for_modules: str
    """Public key with which DKMS signs what it builds here."""
    doubtful: str | None
    source: tuple[str, ...]

    def branches_in(self, origin: Origin) -> tuple[int, ...] | None:
        """Branches that a source has for this release; None: every one that its scheme has names for."""
        if origin == "nvidia":
            return self.nvidia_branches
        return None if self.distro_branch is None else (self.distro_branch,)


@dataclass(frozen=True, slots=True, eq=False)
class Repository:
    """A package repository and the key that signs it."""

    name: str
    address: str
    """With {arch} in it where each processor has its own."""
    key: str
    """Address of the key, with {arch} in it."""
    fingerprint: str | None
    """40 digits of the primary key; None: nobody has read all of them, and no step may trust the key."""
    arch: tuple[tuple[str, str], ...]
    """The repository's word for x86_64 and aarch64; a processor without one is not served."""
    doubtful: str | None
    source: tuple[str, ...]

    def address_for(self, arch: str) -> str | None:
        """Address for a processor (x86_64, aarch64); None where the repository has nothing for it."""
        word = dict(self.arch).get(arch)
        return None if word is None else self.address.replace("{arch}", word)

    def key_for(self, arch: str) -> str | None:
        """Address of the key for a processor."""
        word = dict(self.arch).get(arch)
        return None if word is None else self.key.replace("{arch}", word)


@dataclass(frozen=True, slots=True, eq=False)
class PackageNames:
    """How one source names the packages of some branches: {branch}, {kernel}, {flavour} stand for their words."""

    name: str
    scheme: str
    first_branch: int | None
    """First branch that these names are for; None: the oldest."""
    last_branch: int | None
    branches: tuple[int, ...] | None
    """Branches that the source has, where not every one; None: nobody counted."""
    open: tuple[str, ...]
    """What brings the driver with the open kernel module; empty: it has none."""
    proprietary: tuple[str, ...]
    with_display: tuple[str, ...] | None
    """In place of `open` where a GPU may drive a screen; None: the same do. The proprietary ones lack -open."""
    prebuilt: str | None
    """Package with the signed module of a kernel flavour, for the open module; the proprietary one lacks -open."""
    dkms: str | None
    """Package that builds the module, where the driver's packages do not bring one; the proprietary one lacks -open."""
    headers: tuple[str, ...]
    """Headers of a kernel."""
    tools: tuple[str, ...]
    """What building needs besides."""
    stream: tuple[str, str] | None
    """Module streams of dnf for the open and the proprietary kernel module; None: there are none."""
    pin: str | None
    """What keeps the driver on its branch: a package of apt, a pattern for versionlock; None: its name does."""
    hold: tuple[str, ...]
    """Packages that an upgrade must not touch alone."""
    fabric: tuple[str, ...]
    """Fabric manager."""
    nvlink5: tuple[str, ...]
    """What NVLink 5 needs besides it."""
    doubtful: str | None
    source: tuple[str, ...]

    def serves(self, branch: int) -> bool:
        """Whether these are the names for a branch, and the source has it."""
        after = self.first_branch is None or branch >= self.first_branch
        before = self.last_branch is None or branch <= self.last_branch
        return after and before and (self.branches is None or branch in self.branches)


@dataclass(frozen=True, slots=True, eq=False)
class DriverSources:
    """Every table of this module."""

    distributions: tuple[Distribution, ...] = ()
    repositories: tuple[Repository, ...] = ()
    driver_packages: tuple[PackageNames, ...] = ()

    def distribution(self, name: str) -> Distribution | None:
        """The row of `ubuntu 24.04`."""
        return next((row for row in self.distributions if row.name == name), None)

    def repository(self, name: str) -> Repository | None:
        """The row of that name."""
        return next((row for row in self.repositories if row.name == name), None)

    def names(self, scheme: str, branch: int) -> PackageNames | None:
        """How a source names the packages of a branch; None where it has none."""
        return next((row for row in self.driver_packages if row.scheme == scheme and row.serves(branch)), None)

    def branches_of(self, scheme: str) -> frozenset[int] | None:
        """Branches that a source has; None where nobody counted."""
        rows = [row for row in self.driver_packages if row.scheme == scheme]
        if not rows or any(row.branches is None for row in rows):
            return None
        return frozenset(branch for row in rows for branch in row.branches or ())


# --- reading ------------------------------------------------------------------------------------

_BLOCK = frozenset(("source", "read_on", "rows"))
_MARKS = frozenset(("source", "doubtful"))
_FINGERPRINT = re.compile(r"[0-9A-F]{40}", re.ASCII)
_NAME = re.compile(r"(?:[A-Za-z0-9.+_*-]|\{(?:branch|kernel|flavour|arch)\})+", re.ASCII)
_DISTRIBUTION = re.compile(r"[a-z][a-z0-9-]* \d+(?:\.\d+)?", re.ASCII)
_manager = fields.one_of("apt", "dnf", "zypper")
_arch = fields.one_of("x86_64", "aarch64")


def read_driver_sources(root: Any, cite: Callable[[Any], str]) -> DriverSources:
    """The tables of this module of a file's tree; a file without one of them knows nothing about it. PlaceError."""
    found: dict[str, Any] = {}
    for name in TABLES:
        if name in root:
            found[name] = fields.field(root, name, partial(_block, name=name, cite=cite))
    sources = DriverSources(**found)
    _check(sources)
    return sources


def _block(value: Any, *, name: str, cite: Callable[[Any], str]) -> tuple[Any, ...]:
    block = fields.mapping(value, _BLOCK)
    default = fields.items(block, "source", cite)
    fields.field(block, "read_on", fields.date)

    def sources(row: dict[str, Any]) -> tuple[str, ...]:
        return fields.items(row, "source", cite) or default

    found: tuple[Any, ...] = fields.field(
        block, "rows", lambda rows: fields.rows(rows, partial(_READERS[name], sources=sources))
    )
    return found


def package(value: Any) -> str:
    """The name of a package, perhaps with {branch}, {kernel} or {flavour} in it."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise PlaceError(fields.shown(value), "the name of a package such as nvidia-utils-{branch}-server")
    return value


def _address(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https://[a-z0-9.-]+/[\w./{}-]*", value, re.ASCII):
        raise PlaceError(fields.shown(value), "an https address, perhaps with {arch} in it")
    return value


def _fingerprint(value: Any) -> str:
    if not isinstance(value, str) or not _FINGERPRINT.fullmatch(value):
        raise PlaceError(fields.shown(value), "a fingerprint: 40 hexadecimal digits in capitals")
    return value


def _path(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(?:/[\w.-]+)+", value, re.ASCII):
        raise PlaceError(fields.shown(value), "an absolute path")
    return value


def _distribution(name: str, value: Any, *, sources: Sources) -> Distribution:
    if not _DISTRIBUTION.fullmatch(name):
        raise PlaceError(fields.shown(name), "a name such as ubuntu 24.04")
    keys = frozenset(("manager", "nvidia", "repository", "toolkit_repository", "key_for_modules"))
    row = fields.mapping(value, keys, _MARKS | {"eol", "kernel", "distro", "distro_branch", "nvidia_branches"})
    return Distribution(
        name=name,
        manager=fields.field(row, "manager", _manager),
        eol=fields.maybe(row, "eol", fields.date),
        kernel=fields.maybe(row, "kernel", fields.key_numbers),
        distro=fields.maybe(row, "distro", fields.text),
        distro_branch=fields.maybe(row, "distro_branch", fields.whole),
        nvidia=fields.field(row, "nvidia", fields.text),
        nvidia_branches=fields.maybe(row, "nvidia_branches", lambda entry: fields.sequence(entry, fields.whole)),
        repository=fields.maybe(row, "repository", fields.text),
        toolkit_repository=fields.field(row, "toolkit_repository", fields.text),
        key_for_modules=fields.field(row, "key_for_modules", _path),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


def _repository(name: str, value: Any, *, sources: Sources) -> Repository:
    row = fields.mapping(value, frozenset(("address", "key", "fingerprint", "arch")), _MARKS)
    return Repository(
        name=name,
        address=fields.field(row, "address", _address),
        key=fields.field(row, "key", _address),
        fingerprint=fields.maybe(row, "fingerprint", _fingerprint),
        arch=fields.field(row, "arch", lambda entry: fields.rows(entry, _arch_word)),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


def _arch_word(arch: str, word: Any) -> tuple[str, str]:
    return str(_arch(arch)), package(word)


def _package_names(name: str, value: Any, *, sources: Sources) -> PackageNames:
    optional = ("first_branch", "last_branch", "branches", "with_display", "prebuilt", "dkms", "headers", "tools")
    row = fields.mapping(
        value,
        frozenset(("scheme", "open", "proprietary", "hold")),
        _MARKS | {*optional, "stream", "pin", "fabric", "nvlink5"},
    )
    stream = fields.items(row, "stream", package)
    if stream and len(stream) != 2:  # noqa: PLR2004  one for each flavour
        raise PlaceError(f"{len(stream)} streams", "one for the open and one for the proprietary module").inside(
            "stream"
        )
    return PackageNames(
        name=name,
        scheme=fields.field(row, "scheme", fields.text),
        first_branch=fields.maybe(row, "first_branch", fields.whole),
        last_branch=fields.maybe(row, "last_branch", fields.whole),
        branches=fields.maybe(row, "branches", lambda entry: fields.sequence(entry, fields.whole)),
        open=fields.items(row, "open", package),
        proprietary=fields.items(row, "proprietary", package),
        with_display=fields.maybe(row, "with_display", lambda entry: fields.sequence(entry, package)),
        prebuilt=fields.maybe(row, "prebuilt", package),
        dkms=fields.maybe(row, "dkms", package),
        headers=fields.items(row, "headers", package),
        tools=fields.items(row, "tools", package),
        stream=(stream[0], stream[1]) if stream else None,
        pin=fields.maybe(row, "pin", package),
        hold=fields.items(row, "hold", package),
        fabric=fields.items(row, "fabric", package),
        nvlink5=fields.items(row, "nvlink5", package),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


_READERS: Final[dict[str, Callable[..., Any]]] = {
    "distributions": _distribution,
    "repositories": _repository,
    "driver_packages": _package_names,
}


def _check(sources: DriverSources) -> None:
    """PlaceError where a distribution names a row that is not there."""
    schemes = {row.scheme for row in sources.driver_packages}
    names = {row.name for row in sources.repositories}
    for row in sources.distributions:
        for key, word, known in (
            ("distro", row.distro, schemes),
            ("nvidia", row.nvidia, schemes),
            ("repository", row.repository, names),
            ("toolkit_repository", row.toolkit_repository, names),
        ):
            if word is not None and word not in known:
                fault = PlaceError(repr(word), "a row of repositories, or a scheme of driver_packages")
                fault.path = ("distributions", "rows", row.name, key)
                raise fault
