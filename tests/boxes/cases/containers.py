"""Sick machines of the area containers."""

from __future__ import annotations

from . import Case

CASES: tuple[Case, ...] = ()
