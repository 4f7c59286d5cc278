"""The `data` of environments/1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..records import PackageChange

EnvironmentState = Literal["whole", "damaged", "moved", "unfinished"]


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """One environment behind a path."""

    name: str
    """Of its folder: what --to and --name take."""
    path: str
    is_current: bool
    """Whether the path leads to it."""
    state: EnvironmentState
    """unfinished: it is being made or removed, or was when a run was interrupted."""
    damage: str | None
    """The first thing that is not as its receipt says; None where it is whole."""
    torch: str | None
    variant: str | None
    python: str | None
    backend: str | None
    made_at: str | None
    """When its making began, UTC."""
    own_bytes: int
    """On disk, freed when it is removed."""
    shared_bytes: int
    """On disk, in files that the installer's cache or another environment holds too."""
    changes: tuple[PackageChange, ...] = ()
    """Everything that is not as its receipt says, added packages too."""


@dataclass(frozen=True, slots=True)
class EnvironmentsData:
    """The environments behind one path, newest first."""

    path: str
    current: str | None
    """Name of the one that the path leads to."""
    environments: tuple[EnvironmentRow, ...]
    removed: tuple[str, ...] = ()
    """Names of those that this command removed."""
