"""Sick machines: each with the check that must fire, and the pitfall that it stands for."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from tests.boxes.healthy import LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.boxes import Box


@dataclass(frozen=True)
class Case:
    """One machine that is not well."""

    name: str
    box: Callable[[], Box]
    """The machine: `lambda: t4().without("/dev/nvidia-uvm")`."""
    fires: str
    """Id of the check that names the fault."""
    status: str = "fail"
    leads: str | None = None
    """Id that must lead the report; None: `fires` itself."""
    pitfall: tuple[str, ...] = ()
    """Entries of the list of known failures that leave this trace."""
    level: str = "quick"
    says: tuple[str, ...] = field(default=())
    """Words that the sentence or the evidence must hold."""
    beside: tuple[str, ...] | None = None
    """Ids that stand on their own beside the cause, and no others: the rest is folded under it. None: not asked."""
    remedy: tuple[str, ...] = ()
    """Words of the remedies."""
    never: tuple[str, ...] = ()
    """Words that neither the sentence nor a remedy may hold."""


def all_cases() -> tuple[Case, ...]:
    return tuple(case for name in (*LAYERS, "seen") for case in import_module(f"tests.boxes.cases.{name}").CASES)
