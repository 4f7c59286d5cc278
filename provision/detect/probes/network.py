"""Name resolution, proxies and whether the planned sources can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import Probe

PROBES: tuple[Probe, ...] = ()
