"""Sick machines of the area driver."""

from __future__ import annotations

from . import Case  # noqa: TC001

CASES: tuple[Case, ...] = ()
