"""What detection may look at: a file tree, an environment, a way to start programs. Tests give their own."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..process import KEPT_BYTES, Completed, Runner, run
from .memory import Look, Memory, Recorder, scrubbed, scrubbed_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..records import Machine

_LONGEST_FILE = 1024 * 1024
_LONGEST_SAID = 256 * 1024
"""Longest output of a command that is kept, per pipe."""
_LONGEST_COMPLAINT = 4096
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


Keep: TypeAlias = "Callable[[str], str]"
"""A filter: what may be kept of a text."""


def _everything(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Kernel:
    """The four words of uname that detection needs."""

    system: str
    release: str
    machine: str
    hostname: str


def running_kernel() -> Kernel:
    """What uname says about the machine that runs us."""
    if hasattr(os, "uname"):
        uname = os.uname()
        return Kernel(uname.sysname, uname.release, uname.machine, uname.nodename)
    import platform  # only where os.uname is missing: it is slow to import

    return Kernel(platform.system(), platform.release(), platform.machine(), platform.node())


def running_libc() -> str | None:
    """'glibc 2.36' from the C library that this process runs on; None where it is not glibc."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):  # musl knows no such name; Windows has no confstr
        return None


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What stat says of a path, links followed."""

    mode: int
    """st_mode: type and permissions."""
    uid: int
    gid: int
    size: int
    """Bytes."""
    modified_at: float
    """Seconds since 1970."""
    major: int = 0
    """Device numbers of a device node."""
    minor: int = 0
    device: int = 0
    """The filesystem that holds it: equal for two paths on one filesystem."""


@dataclass(frozen=True, slots=True)
class Space:
    """Room on the filesystem that holds a path."""

    total_bytes: int
    free_bytes: int
    """Free for an ordinary user."""
    inodes: int
    free_inodes: int


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the environment; values of an unexpected form are never kept."""

    is_set: bool = False
    value: str | None = None
    """None when it is not set, or when the value has not the form that was asked for."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Every source of detection.

    Paths of the machine are looked up under `root`; those that the environment names (PATH, LD_LIBRARY_PATH) are
    taken as they are. Every look passes `memory`, which may remember it or answer in its place: use the methods, not
    `environ`, `runner` and `path`, unless inside of `answer`.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    runner: Runner = run
    kernel: Kernel = field(default_factory=running_kernel)
    libc: str | None = field(default_factory=running_libc)
    python: str = field(default_factory=lambda: sys.executable or "")
    """Interpreter that the children which ask a driver run on."""
    nvml_silence_s: float = 5.0
    """Longest that one NVML call may take."""
    nvml_deadline_s: float = 30.0
    """Longest that all NVML calls together may take: eight GPUs without persistence need two seconds each."""
    memory: Memory = field(default_factory=Recorder)
    package_sources: Callable[[Machine], list[list[Any]]] | None = None
    """Asks the package sources of this user's configuration: address, name, why it did not answer, wheels, seconds.

    Handed in by whoever knows packages; None: the network is left alone.
    """

    def path(self, absolute: str) -> Path:
        """Where the machine's file `absolute` is found."""
        return self.root / absolute.lstrip("/")

    def _place(self, absolute: str) -> str:
        """`path` as text: a Path takes longer to make than a small file to read."""
        root = str(self.root)
        return f"{'' if root == '/' else root}/{absolute.lstrip('/')}"

    # --- files

    def read(self, absolute: str, *, longest: int = _LONGEST_FILE, keep: Keep = _everything) -> Look:
        """Start of a file's text, without credentials; broken bytes replaced.

        `keep` picks what may be kept of it, before anything remembers it: a file that people write may hold anything.
        All looks at one file have the same `keep`.
        """
        # Another length is another look: the first reader's must not cut off the second's.
        key = absolute if longest == _LONGEST_FILE else f"{absolute} (first {longest} bytes)"
        return self.memory.look("text", key, lambda: _looked(absolute, lambda: self._read(absolute, longest, keep)))

    def _read(self, absolute: str, longest: int, keep: Keep) -> str:
        with open(self._place(absolute), "rb") as stream:  # noqa: PTH123 -- cheaper, and a bus has thousands of files
            return scrubbed(keep(stream.read(longest).decode("utf-8", errors="replace")))

    def text(self, absolute: str, *, longest: int = _LONGEST_FILE, keep: Keep = _everything) -> str | None:
        """Start of a file's text, None when it can't be read."""
        return self.attempt(absolute, longest=longest, keep=keep)[0]

    def attempt(
        self, absolute: str, *, longest: int = _LONGEST_FILE, keep: Keep = _everything
    ) -> tuple[str | None, str | None]:
        """Text of a file and None, or None and the reason."""
        look = self.read(absolute, longest=longest, keep=keep)
        return look.value, look.why

    def exists(self, absolute: str) -> bool:
        """Whether the machine has that path."""
        look = self.memory.look("exists", absolute, lambda: Look("present", os.path.lexists(self._place(absolute))))
        return look.value is True

    def folder(self, absolute: str) -> Look:
        """Sorted names in a folder."""
        return self.memory.look(
            "names",
            absolute,
            lambda: _looked(absolute, lambda: sorted(os.listdir(self._place(absolute)))),  # noqa: PTH208 -- cheaper
        )

    def names(self, absolute: str) -> tuple[str, ...]:
        """Sorted names in a folder, none when it can't be listed."""
        return tuple(self.folder(absolute).value or ())

    def link(self, absolute: str) -> str | None:
        """Target of a symbolic link as it is written, None for anything else."""
        return self.memory.look(  # type: ignore[no-any-return]
            "link",
            absolute,
            lambda: _looked(absolute, lambda: os.readlink(self._place(absolute))),  # noqa: PTH115 -- text only
        ).value

    def status(self, absolute: str) -> tuple[FileStatus | None, str | None]:
        """What stat says and None, or None and the reason."""
        look = self.memory.look("status", absolute, lambda: _looked(absolute, lambda: self._status(absolute)))
        return (FileStatus(**look.value) if look.is_present else None), look.why

    def _status(self, absolute: str) -> dict[str, Any]:
        found = os.stat(self.path(absolute))  # noqa: PTH116 -- same call, one import less
        return {
            "mode": found.st_mode,
            "uid": found.st_uid,
            "gid": found.st_gid,
            "size": found.st_size,
            "modified_at": found.st_mtime,
            "major": os.major(found.st_rdev),
            "minor": os.minor(found.st_rdev),
            "device": found.st_dev,
        }

    def may_open(self, absolute: str) -> bool:
        """Whether this user may open the path for reading and writing."""
        return (
            self.memory.look(
                "access", absolute, lambda: Look("present", os.access(self.path(absolute), os.R_OK | os.W_OK))
            ).value
            is True
        )

    def space(self, absolute: str) -> tuple[Space | None, str | None]:
        """Room on the filesystem of a path and None, or None and the reason."""
        look = self.memory.look("space", absolute, lambda: _looked(absolute, lambda: self._space(absolute)))
        return (Space(**look.value) if look.is_present else None), look.why

    def _space(self, absolute: str) -> dict[str, int]:
        found = os.statvfs(self.path(absolute))
        return {
            "total_bytes": found.f_blocks * found.f_frsize,
            "free_bytes": found.f_bavail * found.f_frsize,
            "inodes": found.f_files,
            "free_inodes": found.f_favail,
        }

    # --- programs

    def program(self, name: str) -> str | None:
        """Path of an executable on PATH or in the system's folders, None when there is none."""
        return self.answer(f"program {name}", lambda: self._program(name))  # type: ignore[no-any-return]

    def _program(self, name: str) -> str | None:
        for folder in self.environ.get("PATH", "").split(os.pathsep):
            found = os.path.join(folder, name)  # noqa: PTH118 -- text only
            if folder.startswith("/") and os.access(found, os.X_OK) and os.path.isfile(found):  # noqa: PTH113
                return found
        for folder in _SYSTEM_FOLDERS:
            if os.access(self.path(f"{folder}/{name}"), os.X_OK):
                return str(self.path(f"{folder}/{name}"))
        return None

    def ask(
        self,
        name: str,
        argv: Sequence[str] | Callable[[], Sequence[str]],
        *,
        deadline_s: float,
        silence_s: float | None = None,
        keep_bytes: int = KEPT_BYTES,
        keep: Keep = _everything,
    ) -> Completed:
        """How a program ended; `name` is what a snapshot knows the question by, on whichever machine.

        `keep` picks what may be kept of what it wrote, before anything remembers it. Credentials are taken out.
        """

        def do() -> Look:
            words = argv() if callable(argv) else argv
            completed = self.runner(
                list(words), deadline_s=deadline_s, silence_s=silence_s, env=dict(self.environ), keep_bytes=keep_bytes
            )
            return Look(
                "present",
                {
                    "returncode": completed.returncode,
                    "stdout": scrubbed(keep(completed.stdout)),
                    "stderr": scrubbed(_complaint(completed, keep)),
                    "duration_s": round(completed.duration_s, 4),
                    "timed_out": completed.timed_out,
                    "abandoned": completed.abandoned,
                    "truncated": completed.truncated,
                    "failure": completed.failure,
                },
            )

        look = self.memory.look("command", name, do)
        return Completed((name,), **look.value) if look.is_present else Completed((name,), failure=look.why)

    def tell(self, program: str, *arguments: str, deadline_s: float = 5.0, keep: Keep = _everything) -> Completed:
        """What an installed program says to these arguments in English; a failure says when it is not installed."""
        path = self.program(program)
        name = " ".join((program, *arguments))
        if path is None:
            return Completed((name,), failure=f"{program} is not installed")
        argv = ["env", "LC_ALL=C", path, *arguments]
        return self.ask(name, argv, deadline_s=deadline_s, keep_bytes=_LONGEST_SAID, keep=keep)

    # --- this process

    def answer(self, name: str, compute: Callable[[], Any]) -> Any:
        """Something that is worked out here, such as where a search ends; JSON, None when nothing is known of it.

        Credentials are taken out of its texts.
        """
        return self.memory.look("answer", name, lambda: Look("present", scrubbed_value(compute()))).value

    def variable(self, name: str, form: re.Pattern[str] | str) -> Variable:
        """A variable of the environment; its value only where the whole of it has that form."""

        def do() -> Look:
            value = self.environ.get(name)
            if value is None:
                return Look("absent", why="it is not set")
            if re.fullmatch(form, value):
                return Look("present", value)
            return Look("unreadable", why="set, and of no known form; the value is not kept")

        look = self.memory.look("variable", name, do)
        return Variable(look.state == "present" or (look.why or "").startswith("set,"), look.value)

    @property
    def now(self) -> float:
        """Seconds since 1970 when the looking began."""
        return float(self.answer("now", time.time) or 0.0)


def _complaint(completed: Completed, keep: Keep) -> str:
    """What a program wrote to stderr, without the middle of a long one; nothing where it said what it was asked."""
    if completed.ok and completed.stdout.strip():
        return ""
    said = keep(completed.stderr)
    half = _LONGEST_COMPLAINT // 2
    return said if len(said) <= _LONGEST_COMPLAINT else f"{said[:half]}\n{said[-half:]}"


def _looked(path: str, do: Callable[[], Any]) -> Look:
    try:
        return Look("present", do())
    except (FileNotFoundError, NotADirectoryError) as err:
        return Look("absent", why=f"{path}: {err.strerror}")
    except (OSError, ValueError) as err:  # ValueError: a NUL in a path
        return Look("unreadable", why=f"{path}: {getattr(err, 'strerror', None) or err}")
