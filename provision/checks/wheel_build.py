"""Checks of the torch build of an environment: wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Check

CHECKS: tuple[Check, ...] = ()
