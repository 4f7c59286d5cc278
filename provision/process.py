"""Starting other programs: own process group, deadline, bounded output, never waited for in vain."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_REAP_S = 1.0
"""How long a killed child may take to disappear before it is abandoned."""
_LEFTOVER_S = 0.2
"""How long to go on reading after the child ended: a grandchild may hold the pipe open for ever."""
_CHUNK = 65536
KEPT_BYTES = 4 * 1024 * 1024
"""Default bound of each of stdout and stderr."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How one program ended, whatever happened; the output is what it wrote until then."""

    argv: tuple[str, ...]
    returncode: int | None = None
    """Exit status, negative for a signal; None when it never started or was abandoned."""
    stdout: str = ""
    stderr: str = ""
    duration_s: float = 0.0
    timed_out: bool = False
    """The deadline (or the deadline on silence) passed and the process group was killed."""
    abandoned: bool = False
    """It survived SIGKILL, as a process in an uninterruptible driver call does, and was left behind."""
    truncated: bool = False
    """Output beyond the bound was thrown away."""
    failure: str | None = None
    """Why it could not be started; None when it was."""

    @property
    def ok(self) -> bool:
        """Whether it ran to its end and returned 0."""
        return self.returncode == 0 and not self.timed_out


class Runner(Protocol):
    """The one way by which stages start programs; tests give a fake."""

    def __call__(  # noqa: D102 -- described by `run`
        self,
        argv: Sequence[str],
        *,
        deadline_s: float | None,
        silence_s: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        keep_bytes: int = KEPT_BYTES,
    ) -> Completed: ...


def run(
    argv: Sequence[str],
    *,
    deadline_s: float | None,
    silence_s: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    keep_bytes: int = KEPT_BYTES,
) -> Completed:
    """What became of `argv`, after at most `deadline_s` seconds, or `silence_s` seconds without a byte of output.

    None means no such limit. `env` replaces the whole environment. Nothing is raised for a program that is missing,
    fails or hangs: the result says so. The child has no terminal and reads end-of-file from stdin.
    """
    import subprocess

    started = time.monotonic()
    if _stopping:
        return Completed(tuple(argv), failure="interrupted")
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as err:  # ValueError: a NUL byte in an argument
        return Completed(tuple(argv), failure=_why_not_started(err), duration_s=time.monotonic() - started)
    kept = _Kept(child, keep_bytes)
    try:
        timed_out = kept.read(started, deadline_s, silence_s)
        gone = _end(child, kill=timed_out)
    except BaseException:  # Ctrl-C reaches only us: the child has its own session
        _end(child, kill=True)
        raise
    finally:
        kept.close()
    return Completed(
        tuple(argv),
        returncode=child.returncode,
        stdout=kept.text(0),
        stderr=kept.text(1),
        duration_s=time.monotonic() - started,
        timed_out=timed_out or not gone,
        abandoned=not gone,
        truncated=kept.truncated,
    )


def _why_not_started(err: OSError | ValueError) -> str:
    return (err.strerror or str(err)) if isinstance(err, OSError) else str(err)


_stopping: list[bool] = []
"""Not empty while programs of other threads shall end: Ctrl-C reaches the main thread alone."""


@contextmanager
def no_programs() -> Iterator[None]:
    """Within it no program starts, and those that threads have started are killed."""
    _stopping.append(True)
    try:
        yield
    finally:
        _stopping.pop()


class _Kept:
    """The first bytes of both output pipes of a child, read without ever blocking on them."""

    def __init__(self, child: subprocess.Popen[bytes], keep_bytes: int) -> None:
        import selectors

        self._child = child
        self._keep_bytes = keep_bytes
        self._pipes: tuple[IO[bytes] | None, ...] = (child.stdout, child.stderr)
        self._buffers = (bytearray(), bytearray())
        self._selector = selectors.DefaultSelector()
        self.truncated = False
        for number, pipe in enumerate(self._pipes):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, number)

    def read(self, started: float, deadline_s: float | None, silence_s: float | None) -> bool:
        """Read until both pipes end or the child is gone; True when a limit passed first."""
        end = float("inf") if deadline_s is None else started + deadline_s
        heard = time.monotonic()
        left_behind: float | None = None
        while self._selector.get_map():
            now = time.monotonic()
            quiet_end = float("inf") if silence_s is None else heard + silence_s
            if now >= min(end, quiet_end) or _stopping:
                return self._child.poll() is None
            if left_behind is None and self._child.poll() is not None:
                left_behind = now + _LEFTOVER_S
            if left_behind is not None and now >= left_behind:
                return False
            # Wake up now and then even without output: a daemonised grandchild can keep the pipes open.
            if self._read_ready(min(end - now, quiet_end - now, 0.1)):
                heard = time.monotonic()
        return self._outlives(min(end, float("inf") if silence_s is None else time.monotonic() + silence_s))

    def _read_ready(self, wait_s: float) -> bool:
        ready = self._selector.select(wait_s)
        for key, _ in ready:
            try:
                chunk = os.read(key.fd, _CHUNK)
            except BlockingIOError:
                continue
            if not chunk:
                self._selector.unregister(key.fileobj)
                continue
            buffer = self._buffers[key.data]
            room = self._keep_bytes - len(buffer)
            buffer += chunk[:room]
            self.truncated = self.truncated or len(chunk) > room
        return bool(ready)

    def _outlives(self, end: float) -> bool:
        """Whether a child that closed both pipes is still running at `end`."""
        pause_s = 0.0005
        while self._child.poll() is None:
            if time.monotonic() >= end or _stopping:
                return True
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)
        return False

    def text(self, number: int) -> str:
        """What one pipe held, broken bytes replaced."""
        return self._buffers[number].decode("utf-8", errors="replace")

    def close(self) -> None:
        """Let go of the pipes."""
        self._selector.close()
        for pipe in self._pipes:
            if pipe is not None:
                pipe.close()


def _end(child: subprocess.Popen[bytes], *, kill: bool) -> bool:
    """Whether the child is gone; with `kill`, its whole group is killed first. Never waits longer than `_REAP_S`."""
    import signal

    if kill:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            child.kill()
    end = time.monotonic() + _REAP_S
    pause_s = 0.0005
    while child.poll() is None:
        if time.monotonic() >= end:
            return False
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.05)
    return True
