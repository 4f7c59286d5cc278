"""Streams, colour, progress: the only module that prints."""

import errno
import io
import json
import sys

import pytest

from provision.console import Console, OutputError, Progress, clean_terminal, style_of
from provision.documents.envelope import Outcome
from provision.errors import ExitCode
from provision.events import Event
from provision.records import Finding
from provision.report.style import Style


class Stream(io.StringIO):
    """A text stream with a wished encoding that may be a terminal."""

    def __init__(self, *, is_terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self._is_terminal, self._encoding = is_terminal, encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("environ", "is_terminal", "has_colour"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour_follows_the_stream_and_the_variables(environ, is_terminal, has_colour):
    assert style_of(Stream(is_terminal=is_terminal), environ).has_colour is has_colour


def test_marks_are_words_where_the_encoding_has_no_signs():
    assert style_of(Stream(encoding="ascii"), {}).mark("pass") == "ok"
    assert style_of(Stream(), {}).mark("pass") == "✓"


def test_a_hostile_name_cannot_move_the_cursor():
    style = Style(has_colour=True)
    assert clean_terminal("gpu \x1b[2J\x1b[31mred\x1b[0m\rx", style) == "gpu 2J\x1b[31mred\x1b[0mx"
    assert clean_terminal("gpu \x1b[31mred", Style()) == "gpu [31mred"
    assert clean_terminal("\x1b[8mhidden\x1b[5m\x1b[٣m\x1b[1mx\x1b[0m", style) == "8mhidden5m٣m\x1b[1mx\x1b[0m"


def test_phases_are_lines_in_a_log_and_the_bar_at_a_terminal():
    stream = Stream()
    progress = Progress(stream, Style())
    for text in ("resolving", "making", "downloading"):
        progress(Event("install", "phase", text))
    progress(Event("install", "progress", "1 MiB written"))
    assert [line.split() for line in stream.getvalue().splitlines()] == [
        ["install", "resolving"],
        ["install", "making"],
        ["install", "downloading"],
    ]
    stream = Stream(is_terminal=True)
    progress = Progress(stream, Style(width=60))
    for text in ("resolving", "making"):
        progress(Event("install", "phase", text))
    progress.close()
    assert "\n" not in stream.getvalue()
    assert "making" in stream.getvalue()


def test_off_a_terminal_progress_is_lines_and_rare():
    stream = Stream()
    progress = Progress(stream, Style())
    progress(Event("install", "end", "34 distributions", seconds=12.5))
    for step in range(100):
        progress(Event("accept", "progress", f"step {step}", fraction=step / 100))
    progress(Event("accept", "end", "accepted (cpu)", seconds=40.0))
    assert stream.getvalue() == "install  34 distributions  12.5 s\naccept   accepted (cpu)  40.0 s\n"


def test_on_a_terminal_a_bar_is_drawn_in_place_and_removed():
    stream = Stream(is_terminal=True)
    progress = Progress(stream, Style(width=60))
    progress(Event("accept", "progress", "step 1/2", fraction=0.5))
    progress.close()
    assert stream.getvalue() == "\r\x1b[Kaccept   ##########..........  step 1/2\r\x1b[K"


def test_json_is_exactly_one_document(capsys):
    finding = Finding("no-usable-gpu", "fail", "None here.")
    Console(wants_json=True).emit(Outcome("gpusetup.plan/1", "plan", findings=(finding,), exit_code=ExitCode.NO_GPU))
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["status"], document["exit_code"], document["data"]) == ("failed", 3, None)
    assert document["findings"][0]["more"] == "gpusetup explain no-usable-gpu"
    assert captured.err == ""


def test_findings_of_a_failure_go_to_stderr_and_of_a_success_to_stdout(capsys):
    finding = Finding("row-doubtful", "warn", "Not certain.")
    Console().emit(Outcome("gpusetup.plan/1", "plan", findings=(finding,), text="choice"))
    assert "row-doubtful" in capsys.readouterr().out
    Console().emit(Outcome("gpusetup.plan/1", "plan", findings=(finding,), exit_code=ExitCode.NO_BUILD))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "row-doubtful" in captured.err


@pytest.mark.parametrize(("wants_json", "shown"), [(True, b"\\u540d\\u00e9"), (False, b"\\u540d\xe9")])
def test_a_stream_that_lacks_a_character_shows_an_escape(wants_json, shown, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="iso-8859-1"))
    finding = Finding("row-doubtful", "warn", "名é")
    Console(wants_json=wants_json).emit(Outcome("gpusetup.plan/1", "plan", findings=(finding,)))
    assert shown in raw.getvalue()
    if wants_json:
        assert json.loads(raw.getvalue())["findings"][0]["happened"] == "名é"


class Broken(Stream):
    """A stream whose device fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, text: str) -> int:
        raise OSError(self._number, "No space left on device")


def test_an_answer_that_cannot_be_written_is_an_error_of_its_own(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    with pytest.raises(OutputError, match="No space left on device"):
        Console().emit(Outcome("gpusetup.plan/1", "plan", text="choice"))


def test_a_reader_that_went_away_is_none(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))
    Console().emit(Outcome("gpusetup.plan/1", "plan", text="choice"))


def test_notes_and_progress_that_nobody_can_read_end_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken(errno.ENOSPC))
    console = Console()
    console.note("x")
    console.progress(Event("install", "end", "done"))
