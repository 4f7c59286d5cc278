"""Small words that the checks of the system share. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Facts

GIB = 1024**3
MIB = 1024**2


def rows(facts: Facts, name: str) -> tuple[tuple[Any, ...], ...]:
    """Values of all good readings of a name that hold several things each."""
    return tuple(value for value in facts.values(name) if isinstance(value, tuple))


def row(facts: Facts, name: str) -> tuple[Any, ...] | None:
    """Value of a reading that holds several things; None when it was not read."""
    return next(iter(rows(facts, name)), None)


def gib(count: float) -> str:
    """Bytes in words: 3.4 GiB, 120 MiB."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / MIB:,.0f} MiB"


def cpu_numbers(text: str) -> frozenset[int]:
    """Numbers of a CPU list: 0-3,8."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d{1,5})(?:-(\d{1,5}))?", text):
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def count_of_gpus(facts: Facts) -> int:
    """GPUs that this box may use, or that it has where none answers."""
    return len(facts.gpus) or len(facts.machine.gpus)
