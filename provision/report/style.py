"""Colour, marks and figures of the terminal text. Pure: the console says what the stream can do."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "bad", "warn", "dim", "strong"]

_CODES: dict[str, str] = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "strong": "1"}
_MARKS = {"pass": ("✓", "ok"), "fail": ("✗", "FAIL"), "warn": ("!", "warn"), "skip": ("·", "skip")}
_TONES: dict[str, Tone] = {"pass": "good", "fail": "bad", "warn": "warn", "skip": "dim"}
_SAME_MARK = {"unknown": "warn", "crashed": "fail", "timed-out": "fail", "suppressed": "skip"}

#: Width of the first column of every answer.
LABEL = 9


@dataclass(frozen=True, slots=True)
class Style:
    """What the stream can show."""

    has_colour: bool = False
    has_unicode: bool = False
    width: int = 80
    home: str | None = None
    """The user's home folder, shown as ~."""

    def path(self, text: str) -> str:
        """A path as people write it."""
        is_inside = self.home and text.startswith(self.home.rstrip("/") + "/")
        return "~" + text[len((self.home or "").rstrip("/")) :] if is_inside else text

    def paint(self, text: str, tone: Tone) -> str:
        """The text in a tone, or as it is where the stream has no colour."""
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m" if self.has_colour else text

    def mark(self, status: str) -> str:
        """The mark of a state: never the only carrier of meaning."""
        known = status if status in _MARKS else _SAME_MARK[status]
        unicode_mark, ascii_mark = _MARKS[known]
        return self.paint(unicode_mark if self.has_unicode else ascii_mark, _TONES[known])

    def row(self, label: str, *columns: str) -> str:
        """A labelled line: columns two spaces apart, no trailing blanks."""
        return (f"{label:<{LABEL}}" + "  ".join(column for column in columns if column)).rstrip()

    def block(self, label: str, text: str) -> list[str]:
        """A labelled text over as many lines as it needs."""
        first, *rest = self.wrapped(text) or [""]
        return [f"{label:<{LABEL}}" + first[LABEL:], *rest]

    def wrapped(self, text: str, *, indent: int = LABEL) -> list[str]:
        """The text in lines that fit the width, indented; long words (paths, commands) are never broken."""
        pad = " " * indent
        return textwrap.wrap(
            text,
            self.width,
            initial_indent=pad,
            subsequent_indent=pad,
            break_long_words=False,
            break_on_hyphens=False,
        )


def figure(value: float, unit: str = "") -> str:
    """A number with at most four significant digits and thousands separated: 1,284 samples/s."""
    if value == 0 or not math.isfinite(value):
        text = "0" if value == 0 else str(value)
    elif abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:.{min(digits, 6)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} {unit}".rstrip()


def gib(size_bytes: int) -> str:
    """A size in GiB (2^30) or MiB (2^20)."""
    if size_bytes < 2**30:
        return f"{size_bytes / 2**20:,.0f} MiB"
    return f"{size_bytes / 2**30:,.1f} GiB"


def seconds(value: float) -> str:
    """A duration: 12.4 ms, 8.3 s, 2 min 5 s."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60} s"
