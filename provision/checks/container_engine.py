"""Checks of container engines on a host: ctr."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Check

CHECKS: tuple[Check, ...] = ()
