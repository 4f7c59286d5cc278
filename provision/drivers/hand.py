"""EDGE: everything that driver steps do to a machine goes through a hand: commands, files, keys, boots.

A program that changes the machine writes to its log file, not to a pipe of ours, and has a session of its own: no
package manager is harmed when we end, when the terminal goes away, or by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from ..install.running import bytes_written, end_group
from ..process import Completed
from ..process import run as run_program
from .journal import flush_folder, write_durably
from .keys import shown_fingerprints
from .managers import ENVIRONMENT
from .records import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ASK_S: Final = 120.0
"""Deadline of a question; some wait a minute for the lock of a package manager."""
SILENCE_S: Final = 600.0
"""Silence of a program that is worth telling."""
LONGEST_SILENCE_S: Final = 900.0
"""Silence after which a program that may be ended is ended."""
_TAIL: Final = 200
_LOOK_S: Final = 5.0
"""Seconds between two looks at what a silent program has written elsewhere."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is at a path."""

    content: bytes | None = None
    """None: nothing is there, or a link."""
    link: str | None = None
    """What a link leads to."""
    mode: int | None = None
    owner: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Acted:
    """How a program that changes the machine ended."""

    returncode: int | None
    """Negative for a signal; None when it could not be started or was left behind."""
    lines: tuple[str, ...] = ()
    """Its last lines."""
    failure: str | None = None
    """Why it could not be started, or was ended."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is told while a program runs."""

    line: Callable[[str], None] = lambda _: None
    started: Callable[[Child], None] = lambda _: None
    silent: Callable[[float], None] = lambda _: None
    """Called once when nothing has moved for SILENCE_S."""


class Hand(Protocol):
    """How driver steps touch a machine."""

    def ask(self, argv: Sequence[str], *, deadline_s: float = ASK_S) -> Completed:
        """The answer of a command that changes nothing, within the deadline."""

    def act(self, argv: Sequence[str], log: Path, watch: Watch, *, may_end: bool) -> Acted:
        """Run a command to its end, its output added to `log`. Only with `may_end` is a silent one ever ended."""

    def converse(self, argv: Sequence[str]) -> Acted:
        """Run a command that asks at the terminal; a failure where there is none."""

    def standing(self, path: str) -> Standing:
        """What is at a path; OSError for a folder, or where it can't be read."""

    def missing_folders(self, path: str) -> tuple[str, ...]:
        """The folders above a path that are not there, the outermost first."""

    def write(self, path: str, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
        """Put a file there, durably, in place of a file or a link; missing folders are made."""

    def link(self, path: str, target: str) -> None:
        """Put a link there in place of a file or a link."""

    def remove(self, path: str, folders: Sequence[str] = ()) -> None:
        """Have nothing at a path, and these folders gone where they are empty."""

    def fetch(self, url: str) -> bytes:
        """What is at an address; OSError with the reason else."""

    def second_opinion(self, key: bytes) -> tuple[str, ...] | None:
        """Fingerprints of the primary keys as gpg tells them; None where it can't be asked."""

    def boot_id(self) -> str | None:
        """The id of the running boot; None where the kernel does not tell."""

    def modules(self) -> str | None:
        """What /proc/modules lists; None where it can't be read."""

    def is_alive(self, child: Child) -> bool:
        """Whether a program that was started earlier still runs."""


class MachineHand:
    """The hand for a real machine, or for one that is pretended in a folder."""

    def __init__(
        self,
        fetch: Callable[[str], bytes],
        *,
        root: Path = Path("/"),
        environ: Mapping[str, str] | None = None,
        has_terminal: bool = False,
    ) -> None:
        self._fetch = fetch
        self._root = root
        self._environ = {**(os.environ if environ is None else environ), **ENVIRONMENT}
        self._has_terminal = has_terminal

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    # --- commands

    def ask(self, argv: Sequence[str], *, deadline_s: float = ASK_S) -> Completed:
        """The answer of a command that changes nothing."""
        return run_program(argv, deadline_s=deadline_s, env=self._environ, cwd=self._root)

    def act(self, argv: Sequence[str], log: Path, watch: Watch, *, may_end: bool) -> Acted:
        """Run a command to its end."""
        with log.open("ab") as output:
            output.write(f"$ {' '.join(argv)}\n".encode())
            output.flush()
            start = output.tell()
            try:
                child = self._start(argv, output.fileno())
            except (OSError, ValueError) as err:  # ValueError: a NUL byte in an argument
                return Acted(None, failure=f"it cannot be started: {getattr(err, 'strerror', None) or err}")
        watch.started(Child(child.pid, _started_ticks(child.pid) or 0))
        with log.open("rb") as written:
            written.seek(start)
            follower = _Follower(written.read, watch)
            was_ended = self._await(child, follower, may_end=may_end)
        if was_ended:
            return Acted(child.poll(), follower.last(), f"it was silent for {LONGEST_SILENCE_S:g} s and was ended")
        return Acted(child.returncode, follower.last())

    def _start(self, argv: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self._root,
            env=self._environ,
            start_new_session=True,
        )

    def _await(self, child: subprocess.Popen[bytes], follower: _Follower, *, may_end: bool) -> bool:
        """Wait for a child; True when it was ended because it was silent for too long."""
        while True:
            try:
                child.wait(0.2)
            except subprocess.TimeoutExpired:
                follower.read(child.pid)
                if may_end and follower.silent_s > LONGEST_SILENCE_S:
                    end_group(child)
                    return True
            else:
                follower.read(None)
                return False

    def converse(self, argv: Sequence[str]) -> Acted:
        """Run a command that asks at the terminal."""
        if not self._has_terminal:
            return Acted(None, failure="it asks questions, and there is no terminal")
        sys.stderr.flush()
        try:  # stdout is for the answer of gpusetup alone
            done = subprocess.run(
                list(argv), stdout=sys.stderr.fileno(), env=self._environ, cwd=self._root, check=False
            )
        except (OSError, ValueError) as err:
            return Acted(None, failure=f"it cannot be started: {getattr(err, 'strerror', None) or err}")
        return Acted(done.returncode)

    # --- files

    def standing(self, path: str) -> Standing:
        """What is at a path."""
        place = self._at(path)
        try:
            found = place.lstat()
        except FileNotFoundError:
            return Standing()
        owner = (found.st_uid, found.st_gid)
        if place.is_symlink():
            return Standing(link=str(place.readlink()), owner=owner)
        if not place.is_file():
            raise OSError(None, "a folder or a device stands there", path)
        return Standing(place.read_bytes(), mode=found.st_mode & 0o7777, owner=owner)

    def missing_folders(self, path: str) -> tuple[str, ...]:
        """The folders above a path that are not there."""
        missing = [folder for folder in Path(path).parents if not self._at(str(folder)).exists()]
        return tuple(str(folder) for folder in reversed(missing))

    def write(self, path: str, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
        """Put a file there."""
        for folder in self.missing_folders(path):
            self._at(folder).mkdir(mode=0o755, exist_ok=True)
            self._at(folder).chmod(0o755)  # whatever the umask
        write_durably(self._at(path), content, mode=mode, owner=owner)

    def link(self, path: str, target: str) -> None:
        """Put a link there."""
        place = self._at(path)
        beside = place.with_name(f".{place.name}.gpusetup-link")
        beside.unlink(missing_ok=True)
        beside.symlink_to(target)
        beside.replace(place)
        flush_folder(place.parent)

    def remove(self, path: str, folders: Sequence[str] = ()) -> None:
        """Have nothing at a path."""
        place = self._at(path)
        place.unlink(missing_ok=True)
        if place.parent.is_dir():
            flush_folder(place.parent)
        for folder in reversed(folders):
            with contextlib.suppress(OSError):  # somebody else uses it by now
                self._at(folder).rmdir()

    # --- the rest

    def fetch(self, url: str) -> bytes:
        """What is at an address."""
        return self._fetch(url)

    def second_opinion(self, key: bytes) -> tuple[str, ...] | None:
        """Fingerprints of the primary keys as gpg tells them."""
        if shutil.which("gpg", path=self._environ.get("PATH")) is None:
            return None
        with tempfile.TemporaryDirectory(prefix="gpusetup-key-") as folder:
            file = Path(folder) / "key"
            file.write_bytes(key)
            argv = ("gpg", "--homedir", folder, "--batch", "--no-tty", "--with-colons", "--show-keys", str(file))
            said = run_program(argv, deadline_s=ASK_S, env=self._environ)
        return shown_fingerprints(said.stdout) if said.ok else None

    def boot_id(self) -> str | None:
        """The id of the running boot."""
        with contextlib.suppress(OSError):
            return self._at("/proc/sys/kernel/random/boot_id").read_text().strip() or None
        return None

    def modules(self) -> str | None:
        """What /proc/modules lists."""
        with contextlib.suppress(OSError):
            return self._at("/proc/modules").read_text()
        return None

    def is_alive(self, child: Child) -> bool:
        """Whether a program that was started earlier still runs."""
        return _started_ticks(child.pid) == child.started_ticks


class _Follower:
    """Reads a growing log and knows for how long nothing has moved."""

    def __init__(self, read: Callable[[], bytes], watch: Watch) -> None:
        self._read = read
        self._watch = watch
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._moved_at = self._looked_at = time.monotonic()
        self._written = -1
        self._is_told = False

    @property
    def silent_s(self) -> float:
        """Seconds without output and without a byte written by the program's group."""
        return time.monotonic() - self._moved_at

    def read(self, group: int | None) -> None:
        """Hand on what is new; None as the group says that nothing more will come."""
        piece = self._read()
        *lines, self._rest = (self._rest + piece).replace(b"\r", b"\n").split(b"\n")
        if group is None:
            lines, self._rest = [*lines, self._rest], b""
        for raw in lines:
            line = raw.decode(errors="replace").rstrip()
            if line:
                self._tail.append(line)
                self._watch.line(line)
        if group is not None:
            self._notice(group, has_moved=bool(piece))

    def _notice(self, group: int, *, has_moved: bool) -> None:
        now = time.monotonic()
        if not has_moved and now - self._looked_at > _LOOK_S:
            self._looked_at, written = now, bytes_written(group)
            has_moved, self._written = written != self._written, written
        if has_moved:
            self._moved_at, self._is_told = now, False
        elif self.silent_s > SILENCE_S and not self._is_told:
            self._is_told = True
            self._watch.silent(self.silent_s)

    def last(self) -> tuple[str, ...]:
        """The last lines."""
        return tuple(self._tail)


def _started_ticks(pid: int) -> int | None:
    """Start time of a process, in ticks since the boot; None when there is none, or a dead one nobody waited for."""
    try:
        # 1234 (name (with) anything) S 1 1234 ...: the state is the first field after the last parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
