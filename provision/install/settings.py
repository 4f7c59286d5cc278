"""A value with the place that named it: what every message about a configuration quotes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import InputError
from ..records import Evidence

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Setting(Generic[Value]):
    """One configured value."""

    value: Value
    where: str
    """`PIP_FIND_LINKS`, or `/etc/pip.conf [global] find-links`."""


def malformed(where: str, found: str, expected: str) -> InputError:
    """The error for a configuration that cannot be read: the place, what was found, what was expected."""
    return InputError(
        f"The package configuration in {where} cannot be read.",
        code="package-configuration-malformed",
        evidence=(Evidence("found", found, source=where, needs=expected),),
        do=(f"correct {where}",),
    )
