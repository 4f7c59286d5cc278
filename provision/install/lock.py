"""One resolution as exact versions, files and hashes. Pure: texts in, records out, and back.

The format is pylock.toml (PEP 751), which uv writes and installs; pip gets the same list as pinned requirements
with their hashes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from ..errors import InputError, InstallError
from ..records import Evidence
from .addresses import filename_of, local_path, shown
from .toml import TomlError, load_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.tags import Tag

    from ..records import Build, HeldWheel
    from .configuration import Location

INDEX_NAME = "gpusetup-torch"
_BOUND = frozenset({"torch", "torchvision", "torchaudio"})
"""Projects whose wheels exist once per CUDA variant: they come from torch's own source or not at all."""


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

    @property
    def source(self) -> str:
        """Folder or host that holds the file, as it may be shown."""
        address = shown(self.url)
        return address.rpartition("/")[0] if local_path(self.url) else "/".join(address.split("/")[:3])


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that an environment will hold, by name."""

    wheels: tuple[LockedWheel, ...]

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


def project_text(requirements: Sequence[str], location: Location | None) -> str:
    """A pyproject.toml that binds torch and its siblings to one source (explicit: nothing else comes from there).

    With `location` None nothing is bound: without indexes (`--no-index`) uv refuses bound ones, and the folders are
    all there is.
    """
    lines = ["[project]", 'name = "gpusetup-environment"', 'version = "0"', "dependencies = ["]
    lines += [f"  {json.dumps(requirement)}," for requirement in requirements] + ["]"]
    # An empty table too: uv then stops here instead of taking the [tool.uv] of a project that lies around the
    # environment, which may name a target or constraints of its own.
    lines += ["", "[tool.uv]"]
    if location is None:
        return "\n".join(lines) + "\n"
    names = [_project(requirement) for requirement in requirements]
    lines += ["", "[tool.uv.sources]"]
    lines += [f'{name} = {{ index = "{INDEX_NAME}" }}' for name in names if name in _BOUND]
    lines += ["", "[[tool.uv.index]]", f'name = "{INDEX_NAME}"', f"url = {json.dumps(location.url)}", "explicit = true"]
    if location.source.kind == "flat":
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
    """The one best file of each package; InputError names the place of what is not a lock of wheels."""
    try:
        document = load_toml(text)
    except TomlError as err:
        raise _malformed(where, str(err), "TOML") from err
    if str(document.get("lock-version", "")).partition(".")[0] != "1":
        raise _malformed(f"{where}: lock-version", repr(document.get("lock-version")), "1.0")
    packages = document.get("packages")
    if not isinstance(packages, list):
        raise _malformed(f"{where}: packages", repr(packages), "a list of tables")
    wheels = [_package(entry, f"{where}: packages[{number}]", order) for number, entry in enumerate(packages)]
    return Lock(tuple(sorted(wheels, key=lambda wheel: wheel.name)))


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
        found = ", ".join(filename_of(str(item.get("url", ""))) for item in offered)
        raise _malformed(f"{where}.wheels", found, "a wheel that this interpreter takes")
    return min(wheels, key=lambda ranked: ranked[0])[1]


def _wheel(item: Any, name: str, version: str, where: str) -> LockedWheel:
    url = _text(item, "url", where)
    hashes, size = item.get("hashes"), item.get("size")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    return LockedWheel(
        canonicalize_name(name),
        version,
        filename=item["name"] if isinstance(item.get("name"), str) else filename_of(url),
        url=_without_login(url),
        sha256=digest if isinstance(digest, str) else None,
        size_bytes=size if isinstance(size, int) else None,
    )


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
    for wheel in lock.wheels:
        fields = [f"name = {json.dumps(wheel.filename)}", f"url = {json.dumps(wheel.url)}"]
        if wheel.size_bytes is not None:
            fields.append(f"size = {wheel.size_bytes}")
        fields.append(f'hashes = {{ sha256 = "{wheel.sha256}" }}')
        lines += ["", "[[packages]]", f"name = {json.dumps(wheel.name)}", f"version = {json.dumps(wheel.version)}"]
        lines.append(f"wheels = [{{ {', '.join(fields)} }}]")
    return "\n".join(lines) + "\n"


def shareable(lock: Lock) -> Lock:
    """The lock as it may be stored: no address keeps a query, which may be a token."""
    return replace(lock, wheels=tuple(replace(wheel, url=shown(wheel.url)) for wheel in lock.wheels))


def render_requirements(lock: Lock) -> str:
    """The lock as pinned requirements with hashes: the form that pip installs with --require-hashes."""
    return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in lock.wheels)


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
