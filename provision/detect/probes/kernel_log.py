"""The kernel log and what is kept of earlier crashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import Probe

PROBES: tuple[Probe, ...] = ()
