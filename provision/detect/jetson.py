"""Jetson boards: the release of Jetson Linux and the system on chip, whose GPU stands on no PCI bus."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import Gpu, Reading

if TYPE_CHECKING:
    from .surroundings import Surroundings

RELEASE_FILE = "/etc/nv_tegra_release"
COMPATIBLE_FILE = "/proc/device-tree/compatible"


@dataclass(frozen=True, slots=True)
class Jetson:
    """What a Jetson says of itself; everything None elsewhere."""

    l4t: str | None = None
    """Release of Jetson Linux: 36.4.3."""
    soc: str | None = None
    """System on chip, as the device tree spells it: tegra234."""
    readings: tuple[Reading, ...] = ()

    @property
    def gpu(self) -> Gpu | None:
        """The GPU of the chip, for boards whose driver lists none through NVML."""
        return Gpu(index=0, name=f"Tegra{self.soc[5:]}") if self.soc and self.l4t else None


def detect_jetson(around: Surroundings) -> Jetson:
    """The board, where it is one. Only aarch64 machines are looked at: elsewhere no file is opened."""
    if around.kernel.machine not in ("aarch64", "arm64"):
        return Jetson()
    release, why_no_release = around.attempt(RELEASE_FILE)
    if release is None:
        return Jetson()
    l4t = parse_l4t(release)
    compatible, why_no_tree = around.attempt(COMPATIBLE_FILE)
    soc = parse_soc(compatible or "")
    why_no_soc = None if soc else why_no_tree or f"{COMPATIBLE_FILE} names no Tegra chip"
    readings = (
        Reading("host.l4t", RELEASE_FILE, l4t, None if l4t else why_no_release or f"{RELEASE_FILE} names no release"),
        Reading("host.soc", COMPATIBLE_FILE, soc, why_no_soc),
    )
    return Jetson(l4t, soc, readings)


# # R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025
def parse_l4t(text: str) -> str | None:
    """36.4.3 from the first line of /etc/nv_tegra_release; None for any other text."""
    match = re.match(r"#\s*R(\d{1,3})\s*\(release\),\s*REVISION:\s*(\d{1,3}(?:\.\d{1,3}){0,2})", text)
    return f"{match[1]}.{match[2]}" if match else None


# nvidia,p3737-0000+p3701-0005 nvidia,p3701-0005 nvidia,tegra234, each ended by a NUL
def parse_soc(text: str) -> str | None:
    """tegra234 from the names that a device tree says the board is compatible with."""
    match = re.search(r"(?:^|\0)nvidia,(tegra\d{2,4})(?=\0|$)", text.strip())
    return match[1] if match else None
