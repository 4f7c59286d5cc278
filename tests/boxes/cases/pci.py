"""Sick machines of the area pci."""

from __future__ import annotations

from . import Case

CASES: tuple[Case, ...] = ()
