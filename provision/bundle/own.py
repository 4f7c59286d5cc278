"""EDGE: the wheel of gpusetup itself, made from the files that are running: a clone and an installed copy alike.

No build backend is needed, so nothing has to be installed or downloaded for it, and equal files give an equal wheel.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement

from .. import __version__
from ..errors import InstallError
from ..install.toml import TomlError, load_toml
from ..matrix import default_matrix_path
from ..records import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "gpusetup"
_TAG = "py3-none-any"
_MOMENT = (2020, 1, 1, 0, 0, 0)
_ENTRY_POINTS = "[console_scripts]\ngpusetup = provision.__main__:main\n"


@dataclass(frozen=True, slots=True)
class OwnWheel:
    """gpusetup as one file."""

    filename: str
    content: bytes
    requirements: tuple[str, ...]
    """PEP 508 lines of what it needs to run, extras left out."""

    @property
    def sha256(self) -> str:
        """Digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


def own_wheel(package: Path | None = None) -> OwnWheel:
    """The wheel of the gpusetup that is running; InstallError where its files are not on the disk (a zip application).

    `package` is the folder of `provision`, by default that of this very module.
    """
    package = package or Path(__file__).resolve().parents[1]
    project = package.parent / "pyproject.toml"
    harness = package.parent / "harness"
    if not (package / "__init__.py").is_file() or not (harness / "__init__.py").is_file():
        raise InstallError(
            "gpusetup does not run from files on the disk, so a bundle cannot carry it.",
            code="own-wheel-impossible",
            evidence=(Evidence("package", str(package), needs="the folders provision and harness"),),
            do=("run it from a clone (./gpusetup bundle create), or from an environment that pip or uv made",),
        )
    is_clone = project.is_file()
    headers, requirements, licence = _of_clone(project) if is_clone else _of_installed(package)
    members = dict(_packaged(package, package.parent))
    members |= dict(_packaged(harness, package.parent))
    if is_clone:
        members["provision/matrix.yaml"] = default_matrix_path().read_bytes()
        dockerfiles = package.parent / "dockerfiles"
        members |= {f"provision/{name}": content for name, content in _packaged(dockerfiles, package.parent)}
    info = f"{NAME}-{__version__}.dist-info"
    members[f"{info}/METADATA"] = headers.encode()
    members[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: gpusetup {__version__}\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
    )
    members[f"{info}/entry_points.txt"] = _ENTRY_POINTS.encode()
    if licence is not None:
        members[f"{info}/licenses/LICENSE"] = licence
    return OwnWheel(f"{NAME}-{__version__}-{_TAG}.whl", _zipped(members, f"{info}/RECORD"), requirements)


def _packaged(folder: Path, root: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file that belongs to a package; what Python and editors leave there does not."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and not name.endswith((".pyc", "~")) and path.is_file():
                yield path.relative_to(root).as_posix(), path.read_bytes()


def _zipped(members: dict[str, bytes], record: str) -> bytes:
    lines = []
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)

        for name, content in sorted(members.items()):
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}\n")
            put(name, content)
        put(record, ("".join(lines) + f"{record},,\n").encode())
    return stream.getvalue()


def _of_clone(project: Path) -> tuple[str, tuple[str, ...], bytes | None]:
    """METADATA, requirements and licence by pyproject.toml."""
    try:
        table: Any = load_toml(project.read_text(encoding="utf-8"))["project"]
        requirements = tuple(str(Requirement(line)) for line in table["dependencies"])
        python, summary = str(table["requires-python"]), str(table["description"])
        is_ours = table["name"] == NAME
    except (OSError, UnicodeDecodeError, TomlError, KeyError, TypeError, InvalidRequirement) as err:
        raise _unknown_requirements(project, f"{type(err).__name__}: {err}") from err
    if not is_ours:
        raise _unknown_requirements(project, str(table["name"]))
    licence = project.parent / "LICENSE"
    content = licence.read_bytes() if licence.is_file() else None
    return _headers(summary, python, requirements, has_licence=content is not None), requirements, content


def _of_installed(package: Path) -> tuple[str, tuple[str, ...], bytes | None]:
    """METADATA, requirements and licence by what the installer left beside the package."""
    found = [item for item in metadata.distributions(path=[str(package.parent)]) if item.metadata["Name"] == NAME]
    if len(found) != 1 or found[0].version != __version__:
        there = ", ".join(str(item.version) for item in found) or None
        raise _unknown_requirements(package.parent, there)
    distribution = found[0]
    lines = [Requirement(line) for line in distribution.requires or ()]
    requirements = tuple(str(line) for line in lines if "extra" not in str(line.marker or ""))
    shown = HeaderParser().parsestr(distribution.read_text("METADATA") or "")
    text = distribution.read_text("licenses/LICENSE")
    licence = text.encode() if text else None
    headers = _headers(
        shown["Summary"] or "", shown["Requires-Python"] or ">=3.10", requirements, has_licence=licence is not None
    )
    return headers, requirements, licence


def _headers(summary: str, python: str, requirements: tuple[str, ...], *, has_licence: bool) -> str:
    lines = ["Metadata-Version: 2.4", f"Name: {NAME}", f"Version: {__version__}", f"Summary: {summary}"]
    lines += ["License-File: LICENSE"] if has_licence else []
    lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {line}" for line in requirements)]
    return "\n".join(lines) + "\n"


def _unknown_requirements(place: Path, found: str | None) -> InstallError:
    return InstallError(
        "What gpusetup itself needs is written down nowhere, so a bundle cannot carry it.",
        code="own-wheel-impossible",
        evidence=(Evidence("found", found, source=str(place), needs=f"the metadata of gpusetup {__version__}"),),
        do=("run it from a clone (./gpusetup bundle create), or from an environment that pip or uv made",),
    )
