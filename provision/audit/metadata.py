"""Core metadata as text to what the matrix has a word on (PURE). Every input is hostile."""

from __future__ import annotations

import email.parser
import re
from typing import TYPE_CHECKING, Final

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from .model import Metadata, UnreadableError

if TYPE_CHECKING:
    from .model import Wheel

MAX_BYTES: Final = 4 * 2**20
"""Longer metadata is refused; torch's, with its readme, has 30 kB."""
MAX_REQUIREMENTS: Final = 1000

_PINNED = ("nvidia-", "cuda-", "triton", "pytorch-triton")
_MARKERS: Final = {
    "linux": {"platform_system": "Linux", "sys_platform": "linux", "os_name": "posix"},
    "windows": {"platform_system": "Windows", "sys_platform": "win32", "os_name": "nt"},
    "darwin": {"platform_system": "Darwin", "sys_platform": "darwin", "os_name": "posix"},
}


def parse_metadata(text: str, wheel: Wheel) -> Metadata:
    """The metadata of a wheel; UnreadableError when it is broken or that of another project or version."""
    if len(text) > MAX_BYTES:
        raise UnreadableError(f"its metadata is larger than {MAX_BYTES >> 20} MiB")
    headers = email.parser.HeaderParser().parsestr(text)
    name, version = headers.get("Name", ""), headers.get("Version", "")
    try:
        is_same = canonicalize_name(str(name)) == wheel.project and Version(str(version)).public == wheel.version.public
    except InvalidVersion:
        is_same = False
    if not is_same:
        raise UnreadableError(f"its metadata is that of {str(name)[:80]!r} {str(version)[:40]!r}")
    lines = headers.get_all("Requires-Dist") or []
    if len(lines) > MAX_REQUIREMENTS:
        raise UnreadableError(f"its metadata has more than {MAX_REQUIREMENTS} requirements")
    found = []
    for line in lines:
        try:
            requirement = Requirement(str(line))
            if requirement.marker is not None:
                # Some faults show only here, such as `~=` between words; the same for every platform and Python.
                requirement.marker.evaluate(environment_of("linux_x86_64", "cp312"))
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
            raise UnreadableError(f"its metadata has a broken requirement: {str(line)[:80]!r}") from None
        found.append(requirement)
    requires_python = headers.get("Requires-Python")
    return Metadata(tuple(found), str(requires_python) if requires_python else None)


def environment_of(platform: str, python: str) -> dict[str, str]:
    """Markers of a platform and a Python tag: linux_x86_64 and cp312."""
    system, _, processor = platform.partition("_")
    machine = "AMD64" if platform == "windows_x86_64" else processor
    minor = re.fullmatch(r"[a-z]{2}3([0-9]{1,3})t?", python)
    release = f"3.{minor[1] if minor else 0}"
    return {
        **_MARKERS.get(system, _MARKERS["linux"]),
        "platform_machine": machine,
        "python_version": release,
        "python_full_version": f"{release}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def pins_of(metadata: Metadata, platform: str, python: str) -> dict[str, str]:
    """Name (with extras) and specifier of what a wheel asks for of CUDA and triton on a platform and a Python."""
    environment = environment_of(platform, python)
    return dict(
        sorted(
            (named(requirement), str(requirement.specifier))
            for requirement in metadata.requires
            if canonicalize_name(requirement.name).startswith(_PINNED)
            and (requirement.marker is None or requirement.marker.evaluate(environment))
        )
    )


def named(requirement: Requirement) -> str:
    """The name with its extras in order: cuda-toolkit[cudart,cufft]."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return canonicalize_name(requirement.name) + extras


def required(metadata: Metadata, project: str) -> Requirement | None:
    """What a wheel asks for of one project without any extra; None where it does not name it."""
    environment = {**environment_of("linux_x86_64", "cp312"), "extra": ""}
    for requirement in metadata.requires:
        if canonicalize_name(requirement.name) == project and (
            requirement.marker is None or requirement.marker.evaluate(environment)
        ):
            return requirement
    return None
