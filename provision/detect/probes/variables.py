"""Variables that change what CUDA and NCCL do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import Probe

PROBES: tuple[Probe, ...] = ()
