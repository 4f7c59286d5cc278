"""Checks of the kernel, its modules and the next start: kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Check

CHECKS: tuple[Check, ...] = ()
