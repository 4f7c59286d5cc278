"""Sick machines of the area boot."""

from __future__ import annotations

from . import Case

CASES: tuple[Case, ...] = ()
