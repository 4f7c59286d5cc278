"""Checks of variables and files that change what CUDA does: cuda, nccl."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Check

CHECKS: tuple[Check, ...] = ()
