"""The matrix that ships, read once for all tests: reading and checking it takes longer than most of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from provision.matrix.load import default_matrix

if TYPE_CHECKING:
    from provision.matrix.tables import Matrix


@cache
def shipped() -> Matrix:
    """The matrix without a site file; nothing changes it."""
    return default_matrix(None)
