"""What a stage says while it works. Stages emit events; only the console turns them into text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

StageName = Literal["detect", "check", "plan", "install", "accept", "report", "audit", "driver"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling while a stage runs."""

    stage: StageName
    kind: Literal["start", "progress", "note", "end"]
    text: str = ""
    fraction: float | None = None
    """Share of the stage that is done, 0 to 1; None where nobody knows."""
    seconds: float | None = None
    """Wall seconds of the stage or of the step that ended."""


EventSink = Callable[[Event], None]
