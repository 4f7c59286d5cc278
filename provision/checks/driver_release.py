"""Checks of the driver's release against the GPUs and the kernel: driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Check

CHECKS: tuple[Check, ...] = ()
