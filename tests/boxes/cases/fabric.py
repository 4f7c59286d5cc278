"""Sick machines of the area fabric."""

from __future__ import annotations

from . import Case  # noqa: TC001

CASES: tuple[Case, ...] = ()
