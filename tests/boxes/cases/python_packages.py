"""Sick machines of the area python_packages."""

from __future__ import annotations

from . import Case  # noqa: TC001

CASES: tuple[Case, ...] = ()
