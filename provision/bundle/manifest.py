"""manifest.json of a bundle: what is in it, with sizes and hashes. Every manifest that is read is hostile.

Nothing outside of the folder can be named: paths are short, relative and plain, and no part of one may be a link.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..documents.codec import decode, encode
from ..documents.envelope import decode_text, dumps, parse_json
from ..errors import InputError
from ..records import Evidence, MatrixIdentity
from .target import Target  # noqa: TC001  records are read by their hints

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA: Final = "gpusetup.bundle-manifest/1"
FILENAME: Final = "manifest.json"
MATRIX: Final = "matrix.yaml"
LAUNCHER: Final = "gpusetup"
README: Final = "README.txt"
MOST_FILES: Final = 20_000
MAX_BYTES: Final = 16 * 2**20
_MOST_FILE_BYTES: Final = 2**40
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]{0,254}(?:/[A-Za-z0-9_][A-Za-z0-9._+!-]{0,254}){0,3}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PYTHON = re.compile(r"3\.\d{1,2}t?")
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class BundledFile:
    """One file of a bundle."""

    path: str
    """Relative to the bundle, with slashes."""
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class BundledWheel:
    """One distribution of a plan's environment."""

    name: str
    version: str
    path: str


@dataclass(frozen=True, slots=True)
class BundledPlan:
    """A plan with every file that its environment is made of."""

    name: str
    torch: str
    variant: str
    target: Target
    plan: str
    """Path of its plan/1 document."""
    lock: str
    """Path of the same list as pylock.toml, for other installers."""
    wheels: tuple[BundledWheel, ...]


@dataclass(frozen=True, slots=True)
class BundledHost:
    """A Python that gpusetup itself can be started with over there."""

    python: str
    arch: str
    requirements: str
    """Path of the list of what it needs, with hashes."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds."""

    gpusetup: str
    created_at: str
    matrix: MatrixIdentity
    plans: tuple[BundledPlan, ...]
    hosts: tuple[BundledHost, ...]
    files: tuple[BundledFile, ...]
    schema: str = SCHEMA

    @property
    def by_path(self) -> dict[str, BundledFile]:
        """Every file by its path."""
        return {file.path: file for file in self.files}

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)

    def files_of(self, plan: BundledPlan) -> tuple[BundledFile, ...]:
        """The files that an install of a plan reads: the plan and its wheels."""
        by_path = self.by_path
        return (by_path[plan.plan], *(by_path[wheel.path] for wheel in plan.wheels))


def render_manifest(manifest: Manifest) -> str:
    """The text of manifest.json."""
    return dumps({"schema": manifest.schema, **encode(manifest)})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle; InputError (`bundle-malformed`) names the place that is not as it should be."""
    path = folder / FILENAME
    raw = _read_whole(path)
    try:
        value = parse_json(decode_text(raw, origin=FILENAME), origin=FILENAME)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            found = value.get("schema") if isinstance(value, dict) else None
            raise _malformed(path, "schema", repr(found)[:80], SCHEMA)
        manifest = decode(Manifest, value, where=FILENAME)
    except InputError as err:
        if err.code == "bundle-malformed":
            raise
        raise _malformed(path, err.happened, None, "a manifest that `gpusetup bundle create` wrote") from err
    _require_sound(manifest, path)
    return manifest


def _read_whole(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        raise _malformed(path, FILENAME, err.strerror, "a bundle of `gpusetup bundle create`") from err
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _malformed(path, FILENAME, "not a regular file", "a regular file")
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise _malformed(path, FILENAME, f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes")
    return raw


def _require_sound(manifest: Manifest, path: Path) -> None:
    """InputError unless every path stays inside, every name is plain, and everything that is named is a file of it."""

    def require(place: str, found: object, expected: str, *, holds: bool) -> None:
        if not holds:
            raise _malformed(path, place, repr(found)[:80], expected)

    require("files", len(manifest.files), f"at most {MOST_FILES}", holds=len(manifest.files) <= MOST_FILES)
    seen: set[str] = set()
    for number, file in enumerate(manifest.files):
        place = f"files[{number}]"
        require(f"{place}.path", file.path, "a plain relative path", holds=_is_plain(file.path))
        require(f"{place}.path", file.path, "each file once", holds=file.path not in seen and file.path != FILENAME)
        require(f"{place}.sha256", file.sha256, "64 hex digits", holds=bool(_SHA256.fullmatch(file.sha256)))
        is_size = 0 <= file.size_bytes <= _MOST_FILE_BYTES
        require(f"{place}.size_bytes", file.size_bytes, "a size in bytes", holds=is_size)
        seen.add(file.path)
    for number, host in enumerate(manifest.hosts):
        place = f"hosts[{number}]"
        require(f"{place}.requirements", host.requirements, "a file of the bundle", holds=host.requirements in seen)
        require(f"{place}.python", host.python, "a Python such as 3.11", holds=bool(_PYTHON.fullmatch(host.python)))
    require("plans", len(manifest.plans), "at least one", holds=bool(manifest.plans))
    names = [plan.name for plan in manifest.plans]
    require("plans", sorted(names), "each name once", holds=len(set(names)) == len(names))
    for number, plan in enumerate(manifest.plans):
        _require_sound_plan(plan, f"plans[{number}]", seen, require)


def _require_sound_plan(plan: BundledPlan, place: str, seen: set[str], require: Callable[..., None]) -> None:
    require(f"{place}.name", plan.name, "a plain name", holds=bool(_NAME.fullmatch(plan.name)))
    python = plan.target.python
    require(f"{place}.target.python", python, "a Python such as 3.11", holds=bool(_PYTHON.fullmatch(python)))
    glibc = plan.target.glibc
    is_glibc = glibc.major == 2 and 0 < glibc.minor < 1000  # noqa: PLR2004  every glibc since 1997 is 2.something
    require(f"{place}.target.glibc", str(glibc), "a glibc such as 2.28", holds=is_glibc)
    for word in (plan.plan, plan.lock):
        require(place, word, "a file of the bundle", holds=word in seen)
    projects = [wheel.name for wheel in plan.wheels]
    require(f"{place}.wheels", sorted(projects)[:5], "each project once", holds=len(set(projects)) == len(projects))
    for position, wheel in enumerate(plan.wheels):
        is_wheel = wheel.path in seen and wheel.path.endswith(".whl")
        require(f"{place}.wheels[{position}].path", wheel.path, "a wheel of the bundle", holds=is_wheel)


def _is_plain(path: str) -> bool:
    return bool(_PATH.fullmatch(path))


def _malformed(path: Path, place: str, found: str | None, expected: str) -> InputError:
    return InputError(
        f"{path.parent} is not a bundle that can be used: {place}.",
        code="bundle-malformed",
        evidence=(Evidence("found", found, source=str(path), needs=expected),),
        do=("make it again: gpusetup bundle create --output DIR", "or name the folder that holds manifest.json"),
    )


# --- files ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Damage:
    """A file, or something else of a bundle, that is not what the manifest says."""

    path: str
    found: str
    expected: str


def damage_of(folder: Path, file: BundledFile, on_bytes: Callable[[int], None] = lambda _: None) -> Damage | None:
    """What is wrong with one file: gone, a link, another size, other content; None when it is as it should be."""
    expected = f"{file.size_bytes} bytes, sha256 {file.sha256}"
    try:
        descriptor = open_inside(folder, file.path)
    except OSError as err:
        return Damage(file.path, err.strerror or "cannot be read", expected)
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "rb") as stream:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            return Damage(file.path, "not a regular file", expected)
        if seen.st_size != file.size_bytes:
            return Damage(file.path, f"{seen.st_size} bytes", expected)
        try:
            while piece := stream.read(_PIECE):
                digest.update(piece)
                on_bytes(len(piece))
        except OSError as err:  # a bad block
            return Damage(file.path, err.strerror or "cannot be read", expected)
    if digest.hexdigest() != file.sha256:
        return Damage(file.path, f"{file.size_bytes} bytes, sha256 {digest.hexdigest()}", expected)
    return None


def open_inside(folder: Path, path: str) -> int:
    """A descriptor of a file below a folder, through no link at all; OSError says why there is none."""
    *parents, name = path.split("/")
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)
