"""EDGE: environments on disk. Each is made in a folder of its own beside the others, then one link is switched.

    torch-env -> .torch-env.gpusetup/20261123T101500.250000/      what the user names
    .torch-env.gpusetup/lock                                    one run at a time
    .torch-env.gpusetup/journal.json                            how far the run has come; gone when it has ended
    .torch-env.gpusetup/20261123T101500.250000.part/              says that it is not finished; working files
    .torch-env.gpusetup/removing                                everything here is to go
    .torch-env.gpusetup.log                                     what the last run that failed did

A folder is built under its final path (shebangs and pyvenv.cfg hold absolute paths), so the switch is the one rename
of the link, which is atomic; an interruption before it leaves the old environment as it was. What the link leads to
is finished, whatever stands beside it; everything else that is marked is a leftover for the next run.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InstallError
from ..records import Evidence
from .place import lock_fault
from .usage import users_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .usage import Process

_PART = ".part"
_LOCK = "lock"
_REMOVING = "removing"
_ATTEMPTS = 100
JOURNAL = "journal.json"
KEPT = 2
"""Environments that stay: the current one, and the one to go back to."""


@dataclass(frozen=True, slots=True)
class Store:
    """The folders behind one environment path."""

    path: Path
    """What the user named; its parent is resolved, it is not."""

    @classmethod
    def of(cls, path: Path) -> Store:
        """The store of a path, relative or not."""
        path = path.expanduser().absolute()
        return cls(path.parent.resolve() / path.name)

    @property
    def folder(self) -> Path:
        """Where the environments themselves are."""
        return self.path.parent / f".{self.path.name}.gpusetup"

    @property
    def log(self) -> Path:
        """What a run did; stays where it failed. Beside the folder, so that nothing else has to stay with it."""
        return self.path.parent / f".{self.path.name}.gpusetup.log"

    @property
    def current(self) -> Path | None:
        """The environment that the link leads to; None when there is none of ours."""
        if not self.path.is_symlink():
            return None
        target = (self.path.parent / self.path.readlink()).absolute()
        return target if target.parent == self.folder and (target / "bin/python").exists() else None

    def finished(self) -> tuple[Path, ...]:
        """Complete environments, newest first."""
        current = self.current
        return tuple(item for item in self.folders() if item == current or not part_of(item).exists())

    def folders(self) -> tuple[Path, ...]:
        """Every environment, also one that is being made or removed, newest first."""
        try:
            found = [item for item in self.folder.iterdir() if item.suffix != _PART and item.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(sorted(found, key=lambda item: item.name, reverse=True))


def part_of(folder: Path) -> Path:
    """The folder beside an environment that says: not finished; it holds the working files meanwhile."""
    return folder.with_name(folder.name + _PART)


def refuse_foreign(store: Store) -> None:
    """InstallError when something that gpusetup did not make stands at the path; it is never touched."""
    path = store.path
    if path.is_symlink():
        target = (path.parent / path.readlink()).absolute()
        if target.parent == store.folder:
            return
        found = f"a link to {target}"
    elif path.is_dir():
        if not any(path.iterdir()):
            return
        found = "a folder that is not empty"
    elif path.exists():
        found = "a file"
    else:
        return
    raise InstallError(
        f"{path} was not made by gpusetup, so it is left alone.",
        code="environment-foreign",
        evidence=(Evidence(str(path), found, source="file system", needs="nothing, or an empty folder"),),
        do=("name another place with --env",),
    )


@contextlib.contextmanager
def disk_errors_named(store: Store) -> Iterator[None]:
    """Within, what the file system refuses becomes an InstallError that names the file and the reason."""
    try:
        yield
    except OSError as err:
        is_full = err.errno in {errno.ENOSPC, errno.EDQUOT}
        place = str(err.filename or store.folder)
        raise InstallError(
            "The disk is full." if is_full else f"{place} cannot be written: {err.strerror or err}.",
            code="disk-full" if is_full else "environment-not-writable",
            evidence=(Evidence(place, err.strerror, source="file system", needs="a folder to write in"),),
            do=("free some space, then run the same command" if is_full else "name another place with --env",),
        ) from err


@contextlib.contextmanager
def locked(store: Store, *, wait_s: float = 10.0, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[int]:
    """Hold the store against other runs; gives the lock's descriptor, InstallError names the holder after `wait_s`.

    A store that holds nothing but its lock in the end is removed, with the folders that were made to hold it.
    """
    made = tuple(item for item in (store.folder, *store.folder.parents) if not item.exists())
    end = time.monotonic() + wait_s
    try:
        while True:
            with _opened(store) as descriptor:
                _wait_for(descriptor, store, end, on_wait)
                if _is_lock_of(descriptor, store):
                    with _holding(descriptor, store):
                        yield descriptor
                    return
    finally:
        with contextlib.suppress(OSError):  # what holds something is not removed
            for folder in made:
                if folder.exists():
                    folder.rmdir()


@contextlib.contextmanager
def _opened(store: Store) -> Iterator[int]:
    for attempt in range(_ATTEMPTS):
        try:
            store.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(store.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            break
        except (FileNotFoundError, FileExistsError) as err:
            # The run before this one has just removed the empty store; mkdir says "exists" when it goes in between.
            is_in_the_way = isinstance(err, FileExistsError) and store.folder.exists() and not store.folder.is_dir()
            if is_in_the_way or attempt == _ATTEMPTS - 1:
                raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_lock_of(descriptor: int, store: Store) -> bool:
    """Whether the file that was locked still is the store's: it may have been removed while this run waited for it."""
    try:
        return os.path.samestat(os.fstat(descriptor), (store.folder / _LOCK).stat())
    except OSError:
        return False


@contextlib.contextmanager
def _holding(descriptor: int, store: Store) -> Iterator[None]:
    """Write down who holds the lock; in the end a store that holds nothing goes.

    It is still locked then: whoever waits for the lock finds it gone, and makes the store anew.
    """
    try:
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder} since {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%SZ}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            (store.folder / f"link-{os.getpid()}").unlink(missing_ok=True)
            if os.listdir(store.folder) == [_LOCK]:  # noqa: PTH208 - names are all that is needed
                (store.folder / _LOCK).unlink()
                store.folder.rmdir()


def _wait_for(descriptor: int, store: Store, end: float, on_wait: Callable[[str], None]) -> None:
    is_told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < end:
                if not is_told:
                    on_wait(f"waiting for another gpusetup that works on {store.path}")
                    is_told = True
                time.sleep(0.1)
                continue
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise InstallError(
                f"Another gpusetup is working on {store.path}.",
                code="environment-busy",
                evidence=(Evidence("holder", holder, source=str(store.folder / "lock")),),
                do=("wait for it to end, then run the same command",),
            ) from None
        except OSError as err:
            if fault := lock_fault(err, store.folder):
                raise fault from err
            raise
        else:
            return


def clear_leftovers(store: Store, *, keep: str | None = None) -> None:
    """Remove what an interrupted run left behind, or finish what it was removing. Call with the lock held.

    `keep` names a folder that this run goes on with.
    """
    if (store.folder / _REMOVING).exists():
        _remove_all(store)
        return
    current = store.current
    for mark in store.folder.glob(f"*{_PART}"):
        folder = mark.with_name(mark.name.removesuffix(_PART))
        if folder == current:
            shutil.rmtree(mark)  # the link was switched, and then the run ended
        elif folder.name != keep:
            discard(folder)
    for link in store.folder.glob("link-*"):
        link.unlink(missing_ok=True)


def has_leftovers(store: Store) -> bool:
    """Whether there is anything that a run which ended well would not have left. Needs no lock, a look at names."""
    try:
        names = os.listdir(store.folder)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return store.log.exists()
    marked = any(name.endswith(_PART) or name.startswith("link-") or name == _REMOVING for name in names)
    return marked or JOURNAL in names or store.log.exists()


def new_folder(store: Store) -> Path:
    """A name for the next environment, marked as not finished; the folder itself is left to the venv maker."""
    stem = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}"
    folder, number = store.folder / stem, 1
    while folder.exists():
        folder, number = store.folder / f"{stem}-{number}", number + 1
    part_of(folder).mkdir(mode=0o700)  # an address in it may hold a token
    return folder


def discard(folder: Path) -> None:
    """Remove an environment that did not come to be, or that is marked as one to go."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():  # the mark goes last: an interrupted removal is finished by the next run
        shutil.rmtree(part_of(folder), ignore_errors=True)


def switch(store: Store, folder: Path) -> None:
    """Make the path lead to a finished folder, whole on disk before anything points to it."""
    flush(store.folder)
    point(store, folder)
    # Only now: whatever the link does not lead to and is marked was never finished.
    shutil.rmtree(part_of(folder))


def point(store: Store, folder: Path) -> None:
    """Let the link lead to one of the store's folders; atomic, and on the disk before anything else is removed."""
    refuse_foreign(store)
    link = store.folder / f"link-{os.getpid()}"
    link.unlink(missing_ok=True)
    # Relative: the pair of link and store survives a bind mount of their parent elsewhere.
    try:
        link.symlink_to(Path(store.folder.name) / folder.name)
        if store.path.is_dir() and not store.path.is_symlink():
            store.path.rmdir()  # empty, or refused above
        link.replace(store.path)
    finally:
        link.unlink(missing_ok=True)
    _flush_names(store.path.parent)


def _flush_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk as they are now."""
    with contextlib.suppress(OSError):  # not every file system can flush a folder
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush(folder: Path) -> None:
    """Wait until everything written to that file system is on its disk, so that a power loss finds it there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # syncfs(2) waits for this file system only; os.sync would wait for every disk of the machine.
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            os.sync()
    finally:
        os.close(descriptor)


def prune(store: Store, *, keep: int = KEPT, previous: str | None = None) -> tuple[tuple[Path, Process], ...]:
    """Remove all but `keep` environments: the current one stays, then `previous`, then the newest.

    An environment that a process still uses stays too; each is returned with such a process.
    """
    current = store.current
    others = [folder for folder in store.finished() if folder != current]
    others.sort(key=lambda folder: folder.name != previous)  # stable: the newest stay in front
    used = users_of(others[max(keep - 1, 0) :])
    for folder in others[max(keep - 1, 0) :]:
        if folder not in used:
            part_of(folder).mkdir(exist_ok=True)
            discard(folder)
    return tuple(used.items())


def remove_one(folder: Path) -> None:
    """Remove one environment; the next run finishes it if this one is interrupted. Call with the lock held."""
    part_of(folder).mkdir(exist_ok=True)
    discard(folder)


def remove_all(store: Store) -> None:
    """Remove the link and every environment behind it; the next run finishes it. Call with the lock held."""
    (store.folder / _REMOVING).touch()
    _flush_names(store.folder)
    _remove_all(store)


def _remove_all(store: Store) -> None:
    if store.path.is_symlink() and (store.path.parent / store.path.readlink()).parent == store.folder:
        store.path.unlink()
    for item in store.folder.iterdir():
        if item.name not in (_LOCK, _REMOVING):
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink(missing_ok=True)
    store.log.unlink(missing_ok=True)
    (store.folder / _REMOVING).unlink()


def free_bytes(folder: Path) -> int:
    """Bytes that an ordinary user may still write where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
