"""One resolution as exact versions, files and hashes. Pure: texts in, records out, and back.

The format is pylock.toml (PEP 751), which uv writes and installs; pip gets the same list from its backend.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from .. import __version__
from ..errors import InputError, InstallError
from ..records import Evidence
from .addresses import filename_of, local_path, shown
from .toml import TomlError, load_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.tags import Tag

    from ..records import Build, HeldWheel
    from .configuration import Location

INDEX_NAME = "gpusetup-torch"
GENERAL_INDEX_NAME = "gpusetup-general"
BOUND = frozenset({"torch", "torchvision", "torchaudio"})
"""Projects whose wheels exist once per CUDA variant: they come from torch's own source or not at all."""
MAX_BYTES = 8 * 2**20
"""A lock larger than this is refused; a real one, with every wheel of every package, is under 1 MiB."""
_MAX_PACKAGES = 5_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """One file to install."""

    name: str
    version: str
    filename: str
    url: str = field(repr=False)
    """Absolute address without user and password; a query may remain, so only `shown_source` is shown."""
    sha256: str | None = None
    size_bytes: int | None = None
    index: str | None = None
    """Address of the index that lists the file, without credentials; None where nobody knows, and for folders."""

    @property
    def source(self) -> str:
        """Folder or host that holds the file, as it may be shown."""
        address = shown(self.url)
        return address.rpartition("/")[0] if local_path(self.url) else "/".join(address.split("/")[:3])


@dataclass(frozen=True, slots=True)
class Target:
    """What a lock was made for: table [tool.gpusetup]."""

    torch: str
    """Public version: 2.9.1."""
    variant: str
    """cu128 or cpu."""
    python: str
    """3.11, or 3.14t."""
    platform: str
    """linux_x86_64"""
    gpusetup: str = __version__
    matrix_revision: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that an environment will hold, by name."""

    wheels: tuple[LockedWheel, ...]
    target: Target | None = None
    """None for a lock that does not say what it is for, such as the resolver's own."""

    @property
    def download_bytes(self) -> int | None:
        """Bytes of all files; None when a source did not state one."""
        sizes = [wheel.size_bytes for wheel in self.wheels]
        return sum(size for size in sizes if size is not None) if None not in sizes else None

    def wheel(self, name: str) -> LockedWheel | None:
        """The file of one project."""
        return next((wheel for wheel in self.wheels if wheel.name == name), None)


# --- what uv is asked ---------------------------------------------------------------------------


def pinned(requirements: Sequence[str], wheel: HeldWheel) -> tuple[str, ...]:
    """The requirements with torch pinned to the very version of the wheel, its local label included.

    `torch==2.9.1` alone would let a source with several labels decide: the highest one wins.
    """
    version = parse_wheel_filename(wheel.filename)[1]
    return (f"torch=={version}", *requirements[1:])


def project_text(
    requirements: Sequence[str], location: Location | None, bound: Mapping[str, Location] | None = None
) -> str:
    """A pyproject.toml that binds torch and its siblings to one source (explicit: nothing else comes from there).

    With `location` None nothing is bound: without indexes (`--no-index`) uv refuses bound ones, and the folders are
    all there is. `bound` binds further projects, which uv takes for direct requirements then: only those can be bound.
    """
    bound = bound or {}
    requirements = (*requirements, *bound)
    lines = ["[project]", 'name = "gpusetup-environment"', 'version = "0"', "dependencies = ["]
    lines += [f"  {json.dumps(requirement)}," for requirement in requirements] + ["]"]
    # An empty table too: uv then stops here instead of taking the [tool.uv] of a project that lies around the
    # environment, which may name a target or constraints of its own.
    lines += ["", "[tool.uv]"]
    if location is None:
        return "\n".join(lines) + "\n"
    names = [_project(requirement) for requirement in requirements]
    lines += ["", "[tool.uv.sources]"]
    places = {INDEX_NAME: location}
    lines += [f'{name} = {{ index = "{INDEX_NAME}" }}' for name in names if name in BOUND]
    for name, place in bound.items():
        index = INDEX_NAME if place == location else GENERAL_INDEX_NAME
        places[index] = place
        lines.append(f'{name} = {{ index = "{index}" }}')
    for index, place in places.items():
        lines += ["", "[[tool.uv.index]]", f'name = "{index}"', f"url = {json.dumps(place.url)}", "explicit = true"]
        if place.source.kind == "flat":
            lines.append('format = "flat"')
    return "\n".join(lines) + "\n"


def _project(requirement: str) -> str:
    name = requirement
    for position, sign in enumerate(requirement):
        if not (sign.isalnum() or sign in "-_."):
            name = requirement[:position]
            break
    return canonicalize_name(name)


# --- pylock.toml --------------------------------------------------------------------------------


def parse_lock(text: str, where: str, order: dict[Tag, int]) -> Lock:
    """The one best file of each package by the ranks of `order`; InputError names the place of what is not a lock.

    InstallError when no file of a package is for this interpreter and machine.
    """
    document = _toml(text, where)
    if str(document.get("lock-version", "")).partition(".")[0] != "1":
        raise _malformed(f"{where}: lock-version", repr(document.get("lock-version")), "1.0")
    packages = document.get("packages")
    if not isinstance(packages, list):
        raise _malformed(f"{where}: packages", repr(packages), "a list of tables")
    if len(packages) > _MAX_PACKAGES:
        raise _malformed(f"{where}: packages", f"{len(packages)} packages", f"at most {_MAX_PACKAGES}")
    wheels = [_package(entry, f"{where}: packages[{number}]", order) for number, entry in enumerate(packages)]
    twice = [name for name, count in Counter(wheel.name for wheel in wheels).items() if count > 1]
    if twice:
        raise _malformed(f"{where}: packages", f"{twice[0]} more than once", "each package once")
    return Lock(tuple(sorted(wheels, key=lambda wheel: wheel.name)), _target(document, where))


def read_target(text: str, where: str) -> Target | None:
    """What a lock says that it is for; None when it does not say. InputError when it is no TOML."""
    return _target(_toml(text, where), where)


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return load_toml(text)
    except (TomlError, ValueError) as err:  # ValueError: a number with too many digits
        raise _malformed(where, str(err), "TOML") from err
    except RecursionError as err:
        raise _malformed(where, "tables within tables without end", "TOML of a lock") from err


def _target(document: dict[str, Any], where: str) -> Target | None:
    tool = document.get("tool")
    table = tool.get("gpusetup") if isinstance(tool, dict) else None
    if table is None:
        return None
    texts = {item.name: _text(table, item.name, f"{where}: tool.gpusetup") for item in fields(Target)}
    return Target(**texts)


def _package(entry: Any, where: str, order: dict[Tag, int]) -> LockedWheel:
    name, version = (_text(entry, key, where) for key in ("name", "version"))
    offered = entry.get("wheels")
    if not isinstance(offered, list) or not offered:
        raise _malformed(f"{where}.wheels", repr(offered), f"at least one wheel of {name}")
    wheels = [
        (rank, wheel)
        for number, item in enumerate(offered)
        for wheel in [_wheel(item, name, version, f"{where}.wheels[{number}]")]
        if (rank := _rank(wheel.filename, order)) is not None
    ]
    if not wheels:
        raise _unfit(name, [_wheel(item, name, version, where) for item in offered], where, order)
    best = min(wheels, key=lambda ranked: ranked[0])[1]
    index = entry.get("index")
    return replace(best, index=shown(index)) if isinstance(index, str) else best


def _unfit(name: str, wheels: list[LockedWheel], where: str, order: dict[Tag, int]) -> InstallError:
    """No file of a package is for this interpreter and machine: names the files with their tags and ours."""
    ranked = sorted(order, key=lambda tag: order[tag])
    newest = next((tag for tag in ranked if tag.platform.startswith("manylinux")), ranked[0])
    return InstallError(
        f"The lock is not for this machine: no wheel of {name} {wheels[0].version} runs on it.",
        code="lock-not-for-this-machine",
        evidence=tuple(
            Evidence(wheel.filename, _tags(wheel.filename), source=f"{where}.wheels", needs=f"{newest} or an older tag")
            for wheel in wheels
        ),
        do=("make a lock on a machine like this one: gpusetup install",),
    )


def _tags(filename: str) -> str:
    return ", ".join(sorted(str(tag) for tag in parse_wheel_filename(filename)[3]))


def _wheel(item: Any, name: str, version: str, where: str) -> LockedWheel:
    url = _text(item, "url", where)
    hashes, size = item.get("hashes"), item.get("size")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    try:
        filename = item["name"] if isinstance(item.get("name"), str) else filename_of(url)
        scheme = urlsplit(url).scheme
    except ValueError as err:
        raise _malformed(f"{where}.url", repr(url), "the address of a wheel") from err
    if scheme not in {"http", "https", "file"} or not url.isprintable():
        raise _malformed(f"{where}.url", repr(shown(url)), "an http, https or file address")
    _require_named(filename, name, version, where)
    if digest is not None and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise _malformed(f"{where}.hashes.sha256", repr(digest), "64 hexadecimal digits")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise _malformed(f"{where}.size", repr(size), "a number of bytes")
    return LockedWheel(canonicalize_name(name), version, filename, _without_login(url), sha256=digest, size_bytes=size)


def _require_named(filename: str, name: str, version: str, where: str) -> None:
    """InputError when a file's name is no wheel's, or that of another project or version."""
    try:
        found = parse_wheel_filename(filename)[:2]
        is_it = found == (canonicalize_name(name), Version(version))
    except (InvalidWheelFilename, InvalidVersion):
        is_it = False
    if not is_it or set(filename) & {"/", "\\"} or not filename.isprintable():
        raise _malformed(f"{where}.name", repr(filename), f"a wheel of {name} {version}")


def _without_login(url: str) -> str:
    scheme, sign, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{sign}{host.rpartition('@')[2]}{slash}{path}"


def _rank(filename: str, order: dict[Tag, int]) -> int | None:
    try:
        tags = parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return None
    return min((order[tag] for tag in tags if tag in order), default=None)


def _text(entry: Any, key: str, where: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise _malformed(f"{where}.{key}", repr(value), "a text")
    return value


def _malformed(where: str, found: str, expected: str) -> InputError:
    return InputError(
        f"The lock cannot be read: {where}.",
        code="lock-malformed",
        evidence=(Evidence("found", found, source=where, needs=expected),),
    )


def render_pylock(lock: Lock) -> str:
    """The lock as pylock.toml with one file per package, every one with its hash."""
    lines = ['lock-version = "1.0"', 'created-by = "gpusetup"']
    if lock.target is not None:
        lines += ["", "[tool.gpusetup]"]
        lines += [f"{name} = {_quoted(value)}" for name, value in asdict(lock.target).items()]
    for wheel in lock.wheels:
        fields = [f"name = {_quoted(wheel.filename)}", f"url = {_quoted(wheel.url)}"]
        if wheel.size_bytes is not None:
            fields.append(f"size = {wheel.size_bytes}")
        fields.append(f'hashes = {{ sha256 = "{wheel.sha256}" }}')
        lines += ["", "[[packages]]", f"name = {_quoted(wheel.name)}", f"version = {_quoted(wheel.version)}"]
        if wheel.index is not None:
            lines.append(f"index = {_quoted(wheel.index)}")
        lines.append(f"wheels = [{{ {', '.join(fields)} }}]")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML; JSON's escapes beyond the first plane are none of TOML's."""
    return json.dumps(text, ensure_ascii=False)


def shareable(lock: Lock) -> Lock:
    """The lock as it may be stored: no address keeps a query, which may be a token."""
    return replace(lock, wheels=tuple(replace(wheel, url=shown(wheel.url)) for wheel in lock.wheels))


# --- checks -------------------------------------------------------------------------------------


def completed(lock: Lock, facts: dict[str, tuple[str | None, int | None]]) -> Lock:
    """The lock with hashes and sizes filled in from `facts` (by file name) where the resolver stated none."""

    def filled(wheel: LockedWheel) -> LockedWheel:
        digest, size = facts.get(wheel.filename, (None, None))
        return replace(wheel, sha256=wheel.sha256 or digest, size_bytes=_first(wheel.size_bytes, size))

    return replace(lock, wheels=tuple(filled(wheel) for wheel in lock.wheels))


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def check_lock(lock: Lock, build: Build, wheel: HeldWheel) -> None:
    """InstallError when the lock's torch is not the wheel that was chosen, or a file has no hash to hold it to."""
    torch = lock.wheel("torch")
    found = torch.filename if torch else None
    if torch is None or torch.filename != wheel.filename or (wheel.sha256 and torch.sha256 != wheel.sha256):
        raise InstallError(
            "The resolver did not take the torch wheel that was chosen.",
            code="lock-mismatch",
            evidence=(Evidence("torch", found, source="uv pip compile", needs=wheel.filename),),
        )
    foreign = [item.name for item in lock.wheels if item.name.startswith("nvidia-")]
    if build.kind == "cpu" and foreign:
        raise InstallError(
            "A CPU environment would get CUDA libraries.",
            code="lock-mismatch",
            evidence=(Evidence("packages", tuple(foreign), source="uv pip compile", needs="no CUDA library"),),
        )
    bare = [item for item in lock.wheels if item.sha256 is None]
    if bare:
        raise InstallError(
            f"{bare[0].filename} comes from a source that publishes no sha256, so it cannot be verified.",
            code="hash-missing",
            evidence=tuple(Evidence(item.filename, None, source=item.source, needs="sha256") for item in bare),
        )
