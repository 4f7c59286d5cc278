"""What a stage says while it works. Stages emit events; only the console turns them into text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

StageName = Literal["detect", "check", "plan", "install", "accept", "report", "audit", "bundle"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling while a stage runs."""

    stage: StageName
    kind: Literal["start", "phase", "progress", "note", "end"]
    """phase: a step of the stage begins; a line in a log, what the bar says from now on at a terminal."""
    text: str = ""
    fraction: float | None = None
    """Share of the stage that is done, 0 to 1; None where nobody knows."""
    seconds: float | None = None
    """Wall seconds of the stage or of the step that ended."""


EventSink = Callable[[Event], None]
