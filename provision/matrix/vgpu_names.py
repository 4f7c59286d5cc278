"""Names that a guest's driver prints for a vGPU: GRID T4-16Q, NVIDIA A100-4-20C. Pure, and without facts.

What the parts mean for CUDA, and which board a part names, stands in the matrix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# The board, the slices of a MIG instance, the size, the series, the displays of some B profiles, media extensions.
_NAME: Final = re.compile(
    r"(?:nvidia |grid )*(?P<board>[a-z](?:[a-z0-9 -]*?[a-z0-9])??)(?:-[1-9])?-(?P<size>[0-9]{1,3})"
    r"(?P<series>[abcq])4?(?:me)?",
    re.ASCII | re.IGNORECASE,
)
_LEAST_GIB: Final = 0.5


@dataclass(frozen=True, slots=True)
class VgpuName:
    """The parts of a vGPU's name."""

    board: str
    """As it stands there: A100DX, RTX6000-Ada."""
    size_gib: float
    """Frame buffer of the profile; the profiles with a 0 have 0.5 GiB."""
    series: str
    """The letter, upper case."""


@lru_cache(maxsize=1024)
def parse_vgpu_name(name: str) -> VgpuName | None:
    """The parts of a name with the form of a vGPU's; None for every other name.

    Only the form is judged: the board may be none that exists.
    """
    match = _NAME.fullmatch(" ".join(name.split()))
    if not match:
        return None
    return VgpuName(
        board=match["board"],
        size_gib=int(match["size"]) or _LEAST_GIB,
        series=match["series"].upper(),
    )
