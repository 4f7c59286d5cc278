"""The only module that prints: streams, colour, progress. stdout is the answer, stderr is everything else."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from .plain_text import clean_text
from .report.style import LABEL, Style, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .documents.envelope import Outcome
    from .events import Event

#: The codes that our own colours use; every other one came from the outside.
_OWN_CODES: Final = frozenset({"0", "1", "2", "31", "32", "33"})


class OutputError(Exception):
    """The answer could not be written: a full disk, a failing device.

    `exit_code` is the one that the command ended with.
    """

    def __init__(self, error: OSError, exit_code: int = 0) -> None:
        super().__init__(f"The answer could not be written: {error.strerror or error}.")
        self.exit_code = exit_code


def open_missing_streams() -> None:
    """Put the null device where the caller closed stdin, stdout or stderr (`>&-`).

    The descriptors are filled too: the next file that is opened would become stdout otherwise, also of child processes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given out, and those below are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003  takes no keyword
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def forgive_encoding(stream: TextIO) -> None:
    """Let a character that the stream's encoding lacks be written as an escape instead of ending the command."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
        stream.reconfigure(errors="backslashreplace")


def is_utf8(stream: TextIO) -> bool:
    """Whether the stream shows every character."""
    return (stream.encoding or "ascii").lower().replace("-", "").replace("_", "").startswith("utf8")


def abandon(stream: TextIO) -> None:
    """Point a stream that can't be written at nothing, so that what it still holds is dropped in silence at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def lose_answer(error: OSError, exit_code: int = 0) -> None:
    """Give stdout up. A reader that went away (`| head`) has all that it wanted; anything else is an OutputError."""
    abandon(sys.stdout)
    if error.errno != errno.EPIPE:
        raise OutputError(error, exit_code) from error


def say(stream: TextIO, text: str) -> None:
    """Write to stderr; where that fails there is nobody left to tell."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        abandon(stream)


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
    width = 80
    if is_terminal:
        import shutil  # only here: it brings the libraries of every kind of archive

        width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    home = environ.get("HOME") or None
    return Style(has_colour=has_colour, has_unicode=has_unicode, width=max(width, 40), home=home)


class Console:
    """Where a command's answer, notes and progress go."""

    def __init__(self, *, wants_json: bool = False) -> None:
        self.wants_json = wants_json
        forgive_encoding(sys.stdout)
        forgive_encoding(sys.stderr)
        self.out = style_of(sys.stdout, os.environ)
        self.err = style_of(sys.stderr, os.environ)
        self.progress = Progress(sys.stderr, self.err)

    def emit(self, outcome: Outcome) -> None:
        """Print the outcome: one JSON document, or the text and then the findings.

        OutputError when stdout takes no more.
        """
        self.progress.close()
        answer, aside = self._words(outcome)
        error = None
        try:
            sys.stdout.write(answer)
            sys.stdout.flush()
        except OSError as err:
            error = err
        if aside:
            say(sys.stderr, aside)
        if error is not None:
            lose_answer(error, int(outcome.exit_code))

    def _words(self, outcome: Outcome) -> tuple[str, str]:
        """What goes to stdout and what goes to stderr."""
        from .documents.envelope import document, dumps
        from .report.findings import render_findings

        if self.wants_json:
            is_ascii = not is_utf8(sys.stdout)
            return dumps(document(outcome), is_ascii=is_ascii, is_compact=outcome.is_compact), ""
        answer = clean_terminal(outcome.text.rstrip("\n"), self.out) + "\n" if outcome.text else ""
        if not outcome.findings or outcome.has_findings_in_text:
            return answer, ""
        style = self.err if outcome.exit_code else self.out
        gap = "\n" if outcome.text else ""
        findings = gap + clean_terminal(render_findings(outcome.findings, style), style) + "\n"
        return (answer, findings) if outcome.exit_code else (answer + findings, "")

    def note(self, text: str) -> None:
        """One line for the person at the terminal."""
        self.progress.close()
        say(sys.stderr, clean_text(text) + "\n")


def clean_terminal(text: str, style: Style) -> str:
    """The text safe for a terminal; our own colour codes stay where the style has colour."""
    if not style.has_colour:
        return clean_text(text)
    parts = text.split("\x1b[")
    kept = [clean_text(parts[0])]
    for part in parts[1:]:
        code, mark, rest = part.partition("m")
        kept.append(f"\x1b[{code}m{clean_text(rest)}" if mark and code in _OWN_CODES else clean_text(part))
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
        if event.kind == "progress" or (event.kind == "phase" and self._is_terminal):
            self._progress(event)
            return
        self.close()
        took = f"  {seconds(event.seconds)}" if event.seconds is not None else ""
        if event.text:
            label = event.stage if event.kind != "note" else ""
            say(self._stream, f"{label:<{LABEL}}{clean_text(event.text)}{took}\n")
        self._drawn_at = time.monotonic()

    def _progress(self, event: Event) -> None:
        now = time.monotonic()
        pause = self.REDRAW_S if self._is_terminal else self.LINE_S
        if now - self._drawn_at < pause and event.kind != "phase":
            return
        self._drawn_at = now
        text = clean_text(event.text.replace("\n", " "))
        if not self._is_terminal:
            say(self._stream, f"{event.stage:<{LABEL}}{text}\n")
        else:
            line = f"{event.stage:<{LABEL}}{self._bar(event.fraction)}{text}"
            say(self._stream, "\r\x1b[K" + line[: self._style.width - 1])
            self._has_bar = True

    def _bar(self, fraction: float | None, width: int = 20) -> str:
        if fraction is None:
            return ""
        full = round(min(max(fraction, 0.0), 1.0) * width)
        block, rest = ("█", "░") if self._style.has_unicode else ("#", ".")
        return block * full + rest * (width - full) + "  "

    def close(self) -> None:
        """Remove the bar, so that the next line starts at the left."""
        if self._has_bar:
            say(self._stream, "\r\x1b[K")
            self._has_bar = False
