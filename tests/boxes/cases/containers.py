"""Sick machines of the area containers."""

from __future__ import annotations

from . import Case  # noqa: TC001

CASES: tuple[Case, ...] = ()
