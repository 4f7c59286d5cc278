"""The operating system as the rules see it: platform, C library, release of macOS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..matrix.model import PLATFORMS

if TYPE_CHECKING:
    from ..matrix.model import Numbers
    from ..records import Machine
    from ..versions import Glibc

OTHER_NAMES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
MUSL_SYSTEMS: Final = frozenset(("alpine", "chimera", "postmarketos"))


@dataclass(frozen=True, slots=True)
class System:
    """What the rules ask about the operating system; equal ones are judged alike."""

    platform: str
    """linux_x86_64, also for a system that no wheel is listed for, such as linux_ppc64le."""
    glibc: Glibc | None
    glibc_failure: str | None
    """Why a machine that was looked at has no glibc number."""
    is_musl: bool
    macos: Numbers | None
    """Release of macOS; None elsewhere and where nobody named it."""

    @property
    def unknown_glibc(self) -> str | None:
        """Why nothing is known of the C library where that matters; None where it is known, or nobody looked."""
        return None if self.glibc or self.is_musl else self.glibc_failure

    @property
    def is_listed(self) -> bool:
        """Whether torch wheels are listed for the platform at all."""
        return self.platform in PLATFORMS


def system_of(machine: Machine, assumptions: list[str]) -> System:
    """The system of a machine."""
    return System(
        platform=_platform(machine, assumptions),
        glibc=machine.host.glibc,
        glibc_failure=machine.failure_of("host.glibc"),
        is_musl=_is_musl(machine),
        macos=_macos(machine),
    )


def assume_new_enough(system: System, assumptions: list[str]) -> None:
    """Say of a release that nobody named that the plan takes it to be new enough."""
    is_silent = system.glibc is None and not system.is_musl and system.glibc_failure is None
    if is_silent and system.platform.startswith("linux"):
        assumptions.append("The glibc is not known: the plan takes it to be new enough for the wheel.")
    if system.macos is None and system.platform.startswith("darwin"):
        assumptions.append("The release of macOS is not known: the plan takes it to be new enough for the wheel.")


def _is_musl(machine: Machine) -> bool:
    if machine.host.glibc is not None:
        return False
    if machine.host.os in MUSL_SYSTEMS:
        return True
    texts = [f"{reading.value} {reading.failure}" for reading in machine.readings if reading.name.startswith("host.")]
    return any("musl" in text for text in texts)


def _platform(machine: Machine, assumptions: list[str]) -> str:
    system, arch = machine.host.system, machine.host.arch
    if system is None:
        assumptions.append("The system is not known: Linux is assumed.")
    # Every Mac on sale has an Arm processor, and torch ended its wheels for the others with 2.2.2.
    usual = "arm64" if system == "darwin" else "x86_64"
    if arch is None:
        assumptions.append(f"The processor architecture is not known: {usual} is assumed.")
    processor = (arch or usual).lower()
    processor = OTHER_NAMES.get(processor, processor)
    if system == "darwin" and processor == "aarch64":
        processor = "arm64"
    name = f"{system or 'linux'}_{processor}"
    if name == "windows_x86_64":
        assumptions.append("Windows wheels are taken to hold code for the same GPUs as the Linux wheels.")
    return name


def _macos(machine: Machine) -> Numbers | None:
    """(14, 1) of macOS 14.1; None on other systems and where the release is no number."""
    text = machine.host.os_version or ""
    if machine.host.system != "darwin" or not re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}", text):
        return None
    major, minor = (int(part) for part in f"{text}.0".split(".")[:2])
    return major, minor
