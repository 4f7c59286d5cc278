"""EDGE: runs one long child with its output line by line, ends it when it falls silent or when we are interrupted.

A download or an unpacking may take an hour, so there is no deadline on total time; only silence ends it: no output
and no byte written by any process of its group.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

_GUARD = Path(__file__).with_name("guard.py")
_TAIL = 200
_POLL_S = 0.5
_GRACE_S = 5.0
_METER_S = 1.0


@dataclass(frozen=True, slots=True)
class Completed:
    """How a child ended."""

    argv: tuple[str, ...]
    returncode: int
    lines: tuple[str, ...]
    """Its last lines, stdout and stderr together."""
    seconds: float
    was_silent: bool = False
    """Whether it was ended because nothing had moved for the allowed time."""


class TerminatedError(SystemExit):
    """SIGTERM arrived; unwinds like an interrupt so that children end and half-made folders go."""

    def __init__(self) -> None:
        super().__init__(143)


def run_streaming(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    on_line: Callable[[str], None] = lambda _: None,
    silence_s: float = 600.0,
    limit_s: float | None = None,
    keep_fds: Sequence[int] = (),
    on_written: Callable[[int], None] | None = None,
) -> Completed:
    """Run a child to its end. It has its own process group, which outlives neither this call nor this process.

    `limit_s` bounds the whole run, for children that must be quick. `keep_fds` are handed down: a lock file's
    descriptor keeps the lock held should we be killed before the child. `on_written` is told about once a second how
    many bytes the child and its children have written.
    """
    start = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-IS", str(_GUARD), str(os.getpid()), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
        pass_fds=tuple(keep_fds),
    )
    tail: deque[str] = deque(maxlen=_TAIL)
    finished = False
    try:
        meter = _Meter(child.pid, on_written)
        was_silent = _follow(child, tail, on_line, silence_s, start + limit_s if limit_s else float("inf"), meter)
        finished = not was_silent
    finally:
        if not finished:
            end_group(child)
    # A child that survives SIGKILL (stuck in the kernel) is abandoned, not waited for.
    returncode = child.wait() if finished else child.poll()
    ended_by_us = -signal.SIGKILL if returncode is None else returncode
    return Completed(tuple(argv), ended_by_us, tuple(tail), time.monotonic() - start, was_silent)


def _follow(
    child: subprocess.Popen[bytes],
    tail: deque[str],
    on_line: Callable[[str], None],
    silence_s: float,
    end: float,
    meter: _Meter,
) -> bool:
    """Hand on every line until the child has ended; True when silence or the limit came first."""
    if child.stdout is None:
        return False
    rest, has_ended = b"", False
    moved_at, written = time.monotonic(), 0
    with selectors.DefaultSelector() as selector, child.stdout as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        while not has_ended and time.monotonic() < end:
            meter.read()
            if selector.select(min(_POLL_S, silence_s / 4)):
                piece = os.read(pipe.fileno(), 2**16)
                moved_at, has_ended = time.monotonic(), not piece
                *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
                _hand_on(lines, tail, on_line)
            elif child.poll() is not None:
                has_ended = True  # a grandchild that went its own way may hold the pipe open; it is not waited for
            elif time.monotonic() - moved_at > silence_s / 4 and (now := bytes_written(child.pid)) != written:
                moved_at, written = time.monotonic(), now
            elif time.monotonic() - moved_at > silence_s:
                break
    _hand_on([rest], tail, on_line)
    return not has_ended


class _Meter:
    """Tells now and then how much a group has written; seldom where looking takes long (many processes)."""

    def __init__(self, group: int, tell: Callable[[int], None] | None) -> None:
        self._group = group
        self._tell = tell
        self._next_at = time.monotonic() + _METER_S

    def read(self) -> None:
        """Look and tell, if it is time."""
        now = time.monotonic()
        if self._tell is None or now < self._next_at:
            return
        self._tell(bytes_written(self._group))
        took = time.monotonic() - now
        self._next_at = now + max(_METER_S, 50 * took)


def _hand_on(lines: Sequence[bytes], tail: deque[str], on_line: Callable[[str], None]) -> None:
    for raw in lines:
        line = raw.decode(errors="replace").rstrip()
        if line:
            tail.append(line)
            on_line(line)


def bytes_written(group: int) -> int:
    """Bytes that the processes of a group have written so far: downloads and unpacking both show here."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # 1234 (name (with) anything) S 1 1234 ...: the group is the third field after the last parenthesis.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                io = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
                total += int(io["wchar"])
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return total


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and all it started: SIGTERM, five seconds, SIGKILL. What survives that is abandoned."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
            return


@contextlib.contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Within, SIGTERM raises TerminatedError, unless somebody else has already set a handler for it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def unwind(_number: int, _frame: FrameType | None) -> None:
        raise TerminatedError

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
