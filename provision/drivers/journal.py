"""The journal of a run of driver steps: one JSON file, on the disk before the next thing happens (EDGE).

It is read back as root and its commands are run, so it counts only where nobody else can write to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from ..documents.codec import decode, encode
from ..errors import InputError, InstallError
from ..records import Evidence
from .records import Child, Goal, RunState, StepEntry
from .steps import Packages, Run, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA: Final = "gpusetup.driver-journal/1"
MAX_BYTES: Final = 4 * 1024 * 1024
UNFINISHED: Final = ("running", "waiting-for-reboot", "stopped", "failed")
_FILE: Final = "journal.json"
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_ID: Final = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Journal:
    """One run: the plan that was agreed to, and how far it came."""

    id: str
    steps: tuple[Step, ...]
    entries: tuple[StepEntry, ...]
    goal: Goal
    state: RunState = "running"
    plan: Any = None
    """The plan as its document shows it."""
    child: Child | None = None
    """The program that was running when this was written."""


# --- as text ------------------------------------------------------------------------------------


def journal_text(journal: Journal) -> str:
    """The file; the digest is that of the steps."""
    rows = encode(journal)
    return json.dumps({"schema": SCHEMA, "digest": _digest(rows["steps"]), **rows}, indent=1) + "\n"


def parse_journal(text: str, *, where: str) -> Journal:
    """The journal of a file; InputError names the place where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise _malformed(f"{where}: not JSON: {str(err)[:80]}") from err
    try:
        return _journal_of(value, where)
    except InputError as err:
        raise _malformed(err.happened) from err


def _journal_of(value: Any, where: str) -> Journal:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise InputError(f"{where}: schema: expected {SCHEMA!r}")
    journal = decode(Journal, value, where=where)
    # Also where reading changed something: what is run must be what was agreed to.
    if value.get("digest") != _digest(encode(journal.steps)):
        raise InputError(f"{where}: digest: it is not that of the steps beside it")
    if [entry.id for entry in journal.entries] != [step.id for step in journal.steps]:
        raise InputError(f"{where}: entries: expected one for each step, in their order")
    for number, step in enumerate(journal.steps):
        _require_sound(step, f"{where}: steps[{number}]")
    return journal


def _require_sound(step: Step, where: str) -> None:
    if not _ID.fullmatch(step.id):  # it is a part of a file name, too
        raise InputError(f"{where}.id: expected words joined by hyphens, found {step.id[:60]!r}")
    for action in (*step.actions, *step.undo):
        if isinstance(action, Packages) and any(
            name.startswith("-") or not name for name in (*action.names, *action.without)
        ):
            raise InputError(f"{where}: names: expected names of packages, found an option")
        path = getattr(action, "path", "/")
        if not path.startswith("/") or ".." in path.split("/"):
            raise InputError(f"{where}: path: expected an absolute one, found {path[:200]!r}")
        if isinstance(action, Run) and not action.argv:
            raise InputError(f"{where}: argv: expected a command, found none")
    for proof in (*step.needs, *step.done_when):
        try:
            re.compile(proof.matches or "")
        except re.error as err:
            raise InputError(f"{where}: matches: no regular expression: {err}") from err


def _malformed(happened: str) -> InputError:
    do = "what was changed so far stands in the logs beside it; gpusetup driver install --fresh makes a new plan"
    return InputError(happened, code="driver-journal-malformed", do=(do,))


def _digest(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


# --- on the disk --------------------------------------------------------------------------------


class Book:
    """The journal of one run and the folder around it. Every change is on the disk when its call returns."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder = folder
        self.journal = journal

    @classmethod
    def begin(
        cls, base: Path, steps: tuple[Step, ...], goal: Goal, plan: Any = None, *, now: datetime | None = None
    ) -> Book:
        """A new run. Call with the lock held."""
        stamp = f"{now or datetime.now(timezone.utc):%Y%m%dT%H%M%S}"
        name, number = stamp, 1
        while (base / name).exists():
            name, number = f"{stamp}-{number}", number + 1
        book = cls(base / name, Journal(name, steps, tuple(StepEntry(step.id) for step in steps), goal, plan=plan))
        # A step whose words can't be read back would end a run in the middle: told before anything is changed.
        parse_journal(journal_text(book.journal), where="the plan")
        with naming_disk_errors(base):
            book.folder.mkdir(mode=0o700)
        book.write()
        return book

    def entry(self, index: int) -> StepEntry:
        """How far one step came."""
        return self.journal.entries[index]

    def mark(self, index: int, **changes: Any) -> StepEntry:
        """Change the entry of one step."""
        entries = list(self.journal.entries)
        entries[index] = replace(entries[index], **changes)
        self.change(entries=tuple(entries))
        return entries[index]

    def change(self, **changes: Any) -> None:
        """Change the journal."""
        self.journal = replace(self.journal, **changes)
        self.write()

    def write(self) -> None:
        """The file as it should be now, whole, on the disk."""
        with naming_disk_errors(self.folder):
            write_durably(self.folder / _FILE, journal_text(self.journal).encode(), mode=0o600)

    def log(self, index: int) -> Path:
        """Where the output of one step goes."""
        return self.folder / f"{index + 1:02}-{self.journal.steps[index].id}.log"


@contextlib.contextmanager
def naming_disk_errors(folder: Path) -> Iterator[None]:
    """Within, what the file system refuses becomes an InstallError that names the place."""
    try:
        yield
    except OSError as err:
        raise InstallError(
            f"The journal of the driver steps can't be kept: {err.strerror or err}.",
            code="driver-journal-not-writable",
            evidence=(Evidence(str(err.filename or folder), err.strerror, source="file system"),),
            do=("free some space there, then: gpusetup driver install --resume",),
        ) from err


def write_durably(path: Path, content: bytes, *, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Write a file whole or not at all, flushed to the disk together with its name. A link there is replaced."""
    beside = path.with_name(f".{path.name}.gpusetup-new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()  # of a process that was killed; nobody else writes here while the lock is held
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            if owner is not None:
                os.fchown(stream.fileno(), *owner)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(base: Path) -> Iterator[None]:
    """Hold the folder of the runs against a second run; InstallError when another one holds it."""
    with naming_disk_errors(base):
        for folder in (*reversed(base.parents), base):  # whatever the umask, nobody else may write there
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700 if folder == base else 0o755)
        require_private(base)
        descriptor = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "another process"
            raise InstallError(
                "Another gpusetup is working on the driver of this machine.",
                code="driver-run-busy",
                evidence=(Evidence("holder", holder, source=str(base / "lock")),),
                do=("wait for it to end",),
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def runs(base: Path) -> tuple[str, ...]:
    """Names of the runs that have a journal, newest first."""
    with contextlib.suppress(OSError):
        return tuple(sorted((item.name for item in base.iterdir() if (item / _FILE).exists()), reverse=True))
    return ()


def open_run(base: Path, name: str) -> Book:
    """The run of that name; InputError where its journal can't be trusted or read."""
    path = base / name / _FILE
    require_private(base / name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as err:
        raise _malformed(f"{path}: cannot be read: {err.strerror}") from err
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise _malformed(f"{path}: not a regular file")
        _require_own(path, found)
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise _malformed(f"{path}: larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as err:
        raise _malformed(f"{path}: not UTF-8 text (byte {err.start})") from err
    journal = parse_journal(text, where=str(path))
    if journal.id != name:
        raise _malformed(f"{path}: id: expected {name!r}, found {journal.id[:60]!r}")
    return Book(base / name, journal)


def require_private(folder: Path) -> None:
    """InputError when somebody else could change what is kept in a folder, or put another folder in its place."""
    real = folder.resolve()
    for place in dict.fromkeys((folder, *folder.parents, real, *real.parents)):
        try:
            found = os.lstat(place)
        except OSError as err:
            raise _malformed(f"{place}: cannot be read: {err.strerror}") from err
        # A link has no mode of its own, and in a sticky folder nobody renames what belongs to another one.
        is_shielded = stat.S_ISLNK(found.st_mode) or (place != folder and bool(found.st_mode & stat.S_ISVTX))
        is_shared = bool(found.st_mode & _OTHERS_MAY_WRITE) and not is_shielded
        if found.st_uid not in (0, os.geteuid()) or is_shared:
            raise _unsafe(place)


def _require_own(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & _OTHERS_MAY_WRITE:
        raise _unsafe(path)


def _unsafe(place: Path) -> InputError:
    happened = f"{place}: others than user {os.geteuid()} may write there; commands of a journal are run"
    do = "run it without XDG_DATA_HOME, so that the journal is kept under /var/lib/gpusetup"
    return InputError(happened, code="driver-journal-malformed", do=(do,))
