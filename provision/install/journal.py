"""EDGE: how far an installation has come, so that the run after an interrupted one goes on instead of starting over.

One JSON file in the store, replaced whole at every phase that ended. It is a hint, never a proof: whatever does not fit
in every respect means starting over, and what was installed is verified either way.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..documents.codec import decode, encode
from ..errors import InputError
from ..records import (  # noqa: TC001 - the journal is read by its hints
    Asked,
    Build,
    HeldWheel,
    Rejection,
    Source,
    SourceConflict,
)
from .environment import JOURNAL, part_of
from .lock import Lock, shareable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Interpreter
    from .environment import Store

PHASES = ("resolve", "install", "verify")
"""Phases whose end is written down; looking and the empty environment belong to the one that follows."""
_FORMAT = 1
_MAX_BYTES = 4 * 2**20
MAX_AGE_S = 24 * 3600.0
"""Age up to which a resolution is taken up again. Its hashes never grow old, but a source gains and withdraws releases
every day, and whoever runs the command a day later expects what it holds now; looking and resolving take seconds."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What an installation decided, and which of its phases have ended."""

    plan_digest: str
    backend: str
    host: str
    boot: str | None
    """Identity of the running kernel; None where nothing tells. Files that another one wrote may be cut off."""
    python: str
    """Path and version of the interpreter that the environment is made from."""
    started_at: float
    """When the sources were asked, seconds since 1970."""
    folder: str
    """Name of the environment to be."""
    previous: str | None
    """Name of the environment that was current; it is the one to go back to."""
    keep: int
    build: Build
    wheel: HeldWheel
    source: Source | None
    """Where torch comes from; None where the files were given."""
    lock: Lock | None
    """None where an address holds a query: that may be a token, and is not written down."""
    passed_over: tuple[Rejection, ...] = ()
    asked: tuple[Asked, ...] = ()
    conflicts: tuple[SourceConflict, ...] = ()
    """What the sources disagree about, as far as it was asked."""
    finished: tuple[str, ...] = ("resolve",)
    """Of PHASES."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the run that reads a journal is about to do, and where."""

    plan_digest: str
    backend: str
    pythons: frozenset[str]
    host: str
    boot: str | None
    now: float
    lock: Lock | None = None
    """Files that were given on the command line."""


def situation(plan_digest: str, backend: str, interpreters: Sequence[Interpreter], lock: Lock | None) -> Situation:
    """The situation of a run on this machine, now."""
    pythons = frozenset(python_of(item) for item in interpreters)
    return Situation(plan_digest, backend, pythons, host(), boot(), time.time(), lock)


def doubt(journal: Journal, now: Situation) -> str | None:
    """Why nothing of an interrupted run may be taken up; None when it may."""
    if journal.plan_digest != now.plan_digest:
        return "it was for another plan"
    if journal.backend != now.backend:
        return f"it installed with {journal.backend}"
    if journal.host != now.host:
        return f"it ran on {journal.host}"
    if journal.python not in now.pythons:
        return f"it was for {journal.python}, which is not there as it was"
    if journal.lock is None:
        return "an address of its files may hold a token and was not kept"
    if now.lock is not None and shareable(now.lock) != journal.lock:
        return "it installed other files"
    age_s = now.now - journal.started_at
    if not 0 <= age_s <= MAX_AGE_S:
        return "the package sources were asked more than a day ago" if age_s > 0 else "it began in the future"
    return None


def has_whole_folder(journal: Journal, store: Store) -> bool:
    """Whether the folder of an interrupted run holds all that its installer wrote, so that only proof is missing."""
    folder = store.folder / journal.folder
    is_ours = folder.parent == store.folder and part_of(folder).is_dir()
    # After a power loss the kernel that held unwritten files is gone, and with it perhaps their content.
    is_on_disk = journal.boot is not None and journal.boot == boot()
    return "install" in journal.finished and is_ours and is_on_disk and (folder / "bin/python").exists()


def python_of(interpreter: Interpreter) -> str:
    """An interpreter as a journal names it."""
    return f"{interpreter.executable} {interpreter.version}"


def host() -> str:
    """Name and processor of this machine: a store on a shared file system may be another one's."""
    return f"{socket.gethostname()} {platform.machine()}"


def boot() -> str | None:
    """Identity of the running kernel."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


# --- the file -----------------------------------------------------------------------------------


def read_journal(store: Store) -> Journal | None:
    """The journal of a run that did not end; None when there is none, or none that can be read."""
    path = store.folder / JOURNAL
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            return None
        journal = decode(Journal, document.get("journal"), where="journal")
    except (OSError, ValueError, RecursionError, InputError):
        return None
    names = (journal.folder, *([journal.previous] if journal.previous is not None else []))
    return journal if all(name and "/" not in name and not name.startswith(".") for name in names) else None


def clear_journal(store: Store) -> None:
    """Nothing is to be gone on with any more."""
    for name in (JOURNAL, _written(JOURNAL)):
        (store.folder / name).unlink(missing_ok=True)


def _written(name: str) -> str:
    return f"{name}.new"


@dataclass(slots=True)
class Book:
    """The journal of one run, kept on disk as the run goes on."""

    store: Store
    journal: Journal | None = None

    def begin(self, journal: Journal) -> None:
        """Write down what was decided."""
        self.journal = journal
        path = self.store.folder / _written(JOURNAL)
        with path.open("w", encoding="utf-8") as stream:
            json.dump({"format": _FORMAT, "journal": encode(journal)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        path.replace(self.store.folder / JOURNAL)

    def end(self, phase: str, conflicts: tuple[SourceConflict, ...] = ()) -> None:
        """Write down that a phase has ended, and what it found."""
        if self.journal is not None:
            known = conflicts or self.journal.conflicts
            self.begin(replace(self.journal, finished=(*self.journal.finished, phase), conflicts=known))

    def has(self, phase: str) -> bool:
        """Whether a phase has ended, in this run or in the one before it."""
        return self.journal is not None and phase in self.journal.finished
