"""What is known of a run of driver steps: what the journal keeps and what the document shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StepState = Literal["pending", "running", "done", "passed-over", "failed", "undoing", "undone"]
RunState = Literal["running", "waiting-for-reboot", "stopped", "failed", "finished", "undone"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What stood at a path before a step changed it."""

    path: str
    backup: str | None = None
    """Name of the copy beside the journal; None where nothing stood there, or a link."""
    link: str | None = None
    """What the link that stood there led to."""
    mode: int | None = None
    owner: tuple[int, int] | None = None
    """User and group, as numbers."""
    sha256: str | None = None
    """Of what the step writes there; None where it removes the file."""
    made_folders: tuple[str, ...] = ()
    """Folders that were missing, the outermost first."""


@dataclass(frozen=True, slots=True)
class StepEntry:
    """How far one step came."""

    id: str
    state: StepState = "pending"
    actions_done: int = 0
    started_at: str | None = None
    """UTC time, ISO 8601."""
    ended_at: str | None = None
    seconds: float | None = None
    """Wall seconds that its actions took so far."""
    said: str | None = None
    """Why it failed, or what was left alone when it was taken back."""
    boot_id: str | None = None
    """The boot in which it began to wait for another one."""
    has_restarted: bool = False
    """Whether the machine was started again for it before it was taken back."""
    kept: tuple[Kept, ...] = ()
    undo_done: int = 0
    """Actions of the undo that were done."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program that a step has started and that may outlive us."""

    pid: int
    started_ticks: int
    """Start time as /proc/PID/stat has it: tells it from a later process of the same number."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What must be there when all steps are done."""

    branch: int | None = None
    """Driver branch; None where the distribution decides."""
    kernel_module: Literal["open", "proprietary"] | None = None


@dataclass(frozen=True, slots=True)
class RunStep:
    """One step as the document shows it."""

    id: str
    state: StepState = "pending"
    seconds: float | None = None
    started_at: str | None = None
    ended_at: str | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class DriverRun:
    """How far the steps of a plan came: the part of driver-plan/1 that `install` and `undo` add."""

    state: RunState | Literal["rehearsed"]
    steps: tuple[RunStep, ...]
    needs_reboot: bool = False
    journal: str | None = None
    """The folder with the journal, the logs and the copies of changed files; None for a rehearsal."""
    go_on: str | None = None
    """The command that goes on."""
    take_back: tuple[str, ...] = ()
    """What `gpusetup driver undo` would do now, in its order."""
