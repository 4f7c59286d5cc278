"""Assumptions and notes of the machines of a fleet, counted as they come (PURE)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from ..documents.fleet import Remark

if TYPE_CHECKING:
    from ..records import Resolution

MOST_REMARKS: Final = 100
MOST_COUNTED: Final = 10_000
"""Different assumptions and notes that are counted; the most frequent are shown."""


class Remarks:
    """Counts the assumptions and notes of the machines as they come."""

    def __init__(self) -> None:
        self._assumptions: Counter[str] = Counter()
        self._notes: Counter[tuple[str, str]] = Counter()

    def add(self, resolution: Resolution) -> None:
        """Those of one more machine. Hostile files may hold ever new ones: past a bound only known ones are counted."""
        for text in resolution.assumptions:
            if text in self._assumptions or len(self._assumptions) < MOST_COUNTED:
                self._assumptions[text] += 1
        for note in resolution.notes:
            key = (note.id, note.happened)
            if key in self._notes or len(self._notes) < MOST_COUNTED:
                self._notes[key] += 1

    def assumptions(self) -> tuple[Remark, ...]:
        """The most frequent first."""
        return tuple(Remark(None, text, count) for text, count in self._assumptions.most_common(MOST_REMARKS))

    def notes(self) -> tuple[Remark, ...]:
        """The most frequent first."""
        return tuple(Remark(id_, text, count) for (id_, text), count in self._notes.most_common(MOST_REMARKS))
