"""Colour, marks and figures of the terminal text. Pure: the console says what the stream can do."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Tone = Literal["good", "bad", "warn", "dim", "strong"]

_CODES: dict[str, str] = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "strong": "1"}
_MARKS = {"pass": ("✓", "ok"), "fail": ("✗", "FAIL"), "warn": ("!", "warn"), "skip": ("·", "skip")}
_TONES: dict[str, Tone] = {"pass": "good", "fail": "bad", "warn": "warn", "skip": "dim"}
_SAME_MARK = {"unknown": "warn", "crashed": "fail", "timed-out": "fail", "suppressed": "skip"}

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_LIST_ITEM = re.compile(r"(?:[-*]|\d+\.) ")

#: Figures from here on are written with an exponent: nobody reads their digits.
_HUGE = 1e15

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
        """A labelled line: columns two spaces apart, no trailing blanks.

        A column that does not fit any more begins a new line; a column itself (a path, a command) is never broken.
        """
        lines = [_padded(label)]
        has_column = False
        for column in columns:
            if not column:
                continue
            gap = "  " if has_column else ""
            if has_column and shown_length((lines[-1] + gap + column).rstrip()) > self.width:
                lines.append(" " * LABEL)
                gap = ""
            lines[-1] += gap + column
            has_column = True
        return "\n".join(line.rstrip() for line in lines)

    def block(self, label: str, text: str) -> list[str]:
        """A labelled text over as many lines as it needs."""
        first, *rest = self.wrapped(text) or [""]
        return [(_padded(label) + first[LABEL:]).rstrip(), *rest]

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

    def reflowed(self, text: str) -> str:
        """A page in lines that fit the width; empty lines, indentation and list items stay as they are."""
        lines: list[str] = []
        for _, group in itertools.groupby(_paragraphs(text), key=lambda pair: pair[0]):
            paragraph = [line for _, line in group]
            if all(len(line) <= self.width for line in paragraph):
                lines += paragraph
                continue
            first, *rest = paragraph
            indent, deeper = _indent(first), _indent(rest[0]) if rest else _indent(first)
            lines += textwrap.wrap(
                " ".join(line.strip() for line in paragraph),
                self.width,
                initial_indent=indent,
                subsequent_indent=deeper,
                break_long_words=False,
                break_on_hyphens=False,
            )
        return "\n".join(lines)


def shown_length(text: str) -> int:
    """How many characters a terminal shows of a text that may hold colour codes."""
    return len(_ESCAPE.sub("", text))


def _padded(label: str) -> str:
    return label + " " * (LABEL - shown_length(label))


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()))


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Every line with the number of its paragraph: other indentation, an empty line or a list item begins one."""
    number, before, is_item = 0, "", False
    for line in text.splitlines():
        starts_item = bool(_LIST_ITEM.match(line.lstrip()))
        is_first_of_item = is_item and len(_indent(line)) > len(_indent(before))
        is_same = bool(line.strip() and before.strip()) and _indent(line) == _indent(before)
        if starts_item or not (is_same or is_first_of_item):
            number += 1
        before, is_item = line, starts_item
        yield number, line


def figure(value: float, unit: str = "") -> str:
    """A number with at most four significant digits and thousands separated: 1,284 samples/s."""
    value = _as_float(value)
    if value == 0 or not math.isfinite(value):
        text = "0" if value == 0 else str(value)
    elif abs(value) >= _HUGE:
        text = f"{value:.3e}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:.{min(digits, 6)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} {unit}".rstrip()


def gib(size_bytes: float) -> str:
    """A size in GiB (2^30) or MiB (2^20)."""
    size = _as_float(size_bytes)
    if not abs(size) < _HUGE * 2**30:
        return f"{size / 2**30:.3g} GiB"
    if size < 2**30:
        return f"{size / 2**20:,.0f} MiB"
    return f"{size / 2**30:,.1f} GiB"


def seconds(value: float) -> str:
    """A duration: 12.4 ms, 8.3 s, 2 min 5 s."""
    value = _as_float(value)
    if not abs(value) < _HUGE:
        return f"{value:.3g} s"
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60} s"


def _as_float(value: float) -> float:
    """The number as a float; a whole number that no float can hold is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
