"""The kernel, its modules on disk, and what the next start will load."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import Probe

PROBES: tuple[Probe, ...] = ()
