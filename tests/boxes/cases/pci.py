"""Sick machines of the area pci."""

from __future__ import annotations

from . import Case  # noqa: TC001

CASES: tuple[Case, ...] = ()
