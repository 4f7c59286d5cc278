"""The only module that prints: streams, colour, progress. stdout is the answer, stderr is everything else."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO

from .plain_text import clean_text
from .report.style import LABEL, Style, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .documents.envelope import Outcome
    from .events import Event


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """What the stream can show: NO_COLOR and FORCE_COLOR count, and its encoding decides the marks."""
    is_terminal = stream.isatty()
    if environ.get("NO_COLOR"):
        has_colour = False
    elif environ.get("FORCE_COLOR"):
        has_colour = True
    else:
        has_colour = is_terminal and environ.get("TERM") != "dumb"
    try:
        "✓✗·█".encode(stream.encoding or "ascii")
        has_unicode = True
    except (UnicodeEncodeError, LookupError):
        has_unicode = False
    width = min(shutil.get_terminal_size((80, 24)).columns, 100) if is_terminal else 80
    home = environ.get("HOME") or None
    return Style(has_colour=has_colour, has_unicode=has_unicode, width=max(width, 40), home=home)


class Console:
    """Where a command's answer, notes and progress go."""

    def __init__(self, *, wants_json: bool = False) -> None:
        self.wants_json = wants_json
        self.out = style_of(sys.stdout, os.environ)
        self.err = style_of(sys.stderr, os.environ)
        self.progress = Progress(sys.stderr, self.err)

    def emit(self, outcome: Outcome) -> None:
        """Print the outcome: one JSON document, or the text and then the findings."""
        from .documents.envelope import document, dumps
        from .report.findings import render_findings

        self.progress.close()
        if self.wants_json:
            sys.stdout.write(dumps(document(outcome)))
        else:
            if outcome.text:
                sys.stdout.write(clean_terminal(outcome.text.rstrip("\n"), self.out) + "\n")
            sys.stdout.flush()
            if outcome.findings and not outcome.has_findings_in_text:
                stream, style = (sys.stderr, self.err) if outcome.exit_code else (sys.stdout, self.out)
                gap = "\n" if outcome.text else ""
                stream.write(gap + clean_terminal(render_findings(outcome.findings, style), style) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """One line for the person at the terminal."""
        self.progress.close()
        sys.stderr.write(clean_text(text) + "\n")
        sys.stderr.flush()


def clean_terminal(text: str, style: Style) -> str:
    """The text safe for a terminal; our own colour codes stay where the style has colour."""
    if not style.has_colour:
        return clean_text(text)
    parts = text.split("\x1b[")
    kept = [clean_text(parts[0])]
    for part in parts[1:]:
        code, mark, rest = part.partition("m")
        kept.append(f"\x1b[{code}m{clean_text(rest)}" if mark and code.isdigit() else clean_text(part))
    return "".join(kept)


class Progress:
    """Progress of the stages on stderr: a bar on a terminal, one line per start and end elsewhere."""

    #: Least seconds between two drawings of the bar, and between two lines where there is no terminal.
    REDRAW_S = 0.1
    LINE_S = 15.0

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream = stream
        self._style = style
        self._is_terminal = stream.isatty()
        self._drawn_at = 0.0
        self._has_bar = False

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "progress":
            self._progress(event)
            return
        self.close()
        took = f"  {seconds(event.seconds)}" if event.seconds is not None else ""
        if event.text:
            label = event.stage if event.kind != "note" else ""
            self._stream.write(f"{label:<{LABEL}}{clean_text(event.text)}{took}\n")
            self._stream.flush()
        self._drawn_at = time.monotonic()

    def _progress(self, event: Event) -> None:
        now = time.monotonic()
        if now - self._drawn_at < (self.REDRAW_S if self._is_terminal else self.LINE_S):
            return
        self._drawn_at = now
        text = clean_text(event.text.replace("\n", " "))
        if not self._is_terminal:
            self._stream.write(f"{event.stage:<{LABEL}}{text}\n")
        else:
            line = f"{event.stage:<{LABEL}}{self._bar(event.fraction)}{text}"
            self._stream.write("\r\x1b[K" + line[: self._style.width - 1])
            self._has_bar = True
        self._stream.flush()

    def _bar(self, fraction: float | None, width: int = 20) -> str:
        if fraction is None:
            return ""
        full = round(min(max(fraction, 0.0), 1.0) * width)
        block, rest = ("█", "░") if self._style.has_unicode else ("#", ".")
        return block * full + rest * (width - full) + "  "

    def close(self) -> None:
        """Remove the bar, so that the next line starts at the left."""
        if self._has_bar:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._has_bar = False
