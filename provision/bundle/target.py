"""The machine that a bundle is for: which wheels it takes, and how a resolver is told about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from ..install.availability import platforms_of, tag_order
from ..records import Host
from ..versions import Glibc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.tags import Tag

#: glibc releases that uv has a name for, as minor numbers of 2.x, newest first.
_UV_GLIBC = (*range(40, 30, -1), 28, 17)
OLDEST_GLIBC = Glibc(2, 17)
_LEGACY = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}

Arch = Literal["x86_64", "aarch64"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a set of wheels runs on."""

    arch: Arch
    python: str
    """3.11, or 3.14t for a free-threaded one."""
    glibc: Glibc
    """The oldest one that all of the wheels run on."""
    system: Literal["linux"] = "linux"

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags that it takes, best first."""
        return platforms_of(Host(system="linux", arch=self.arch, glibc=self.glibc))

    @property
    def tags(self) -> dict[Tag, int]:
        """Wheel tags that it takes, with their rank."""
        return tag_order(self.python, self.platforms)

    @property
    def uv_platform(self) -> str:
        """The newest platform that uv has a name for and that this machine serves."""
        minor = next((minor for minor in _UV_GLIBC if (2, minor) <= self.glibc), _UV_GLIBC[-1])
        return f"{self.arch}-manylinux_2_{minor}"

    @property
    def markers(self) -> dict[str, str]:
        """Values of the environment markers of PEP 508; the patch release is the first, as the resolver takes it."""
        python = self.python.removesuffix("t")
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{python}.0",
            "os_name": "posix",
            "platform_machine": self.arch,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": "linux",
        }

    def __str__(self) -> str:
        return f"Linux {self.arch}, glibc {self.glibc} or newer, Python {self.python}"


def fits(filename: str, tags: Mapping[Tag, int]) -> bool:
    """Whether a machine with these tags takes a wheel of that name."""
    try:
        return any(tag in tags for tag in parse_wheel_filename(filename)[3])
    except InvalidWheelFilename:
        return False


def arch_of(wheel_tag: str) -> Arch | None:
    """The processor that a wheel tag of the matrix names (cp311-cp311-manylinux_2_28_x86_64); None unless Linux."""
    platform = wheel_tag.rpartition("-")[2]
    if "linux" not in platform:
        return None
    return "x86_64" if platform.endswith("_x86_64") else "aarch64" if platform.endswith("_aarch64") else None


def glibc_of(filename: str) -> Glibc | None:
    """The oldest glibc that a wheel's name promises to run on; None when it promises none (linux_x86_64)."""
    minors = []
    for tag in parse_wheel_filename(filename)[3]:
        word = tag.platform
        if word.startswith("manylinux_2_"):
            minors.append(int(word.split("_")[2]))
        elif (legacy := word.split("_")[0]) in _LEGACY:
            minors.append(_LEGACY[legacy])
    return Glibc(2, min(minors)) if minors else None
