"""EDGE: environments on disk. Each is made in a folder of its own beside the others, then one link is switched.

    torch-env -> .torch-env.gpusetup/20261123T101500.250000/      what the user names
    .torch-env.gpusetup/lock                                    one run at a time
    .torch-env.gpusetup/20261123T101500.250000.part/              says that it is not finished; working files

A folder is built under its final path (shebangs and pyvenv.cfg hold absolute paths), so the switch is the one rename
of the link, which is atomic; an interruption before it leaves the old environment as it was.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PART = ".part"
KEPT = 2


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
    def current(self) -> Path | None:
        """The environment that the link leads to; None when there is none of ours."""
        if not self.path.is_symlink():
            return None
        target = (self.path.parent / self.path.readlink()).absolute()
        return target if target.parent == self.folder and (target / "bin/python").exists() else None

    def finished(self) -> tuple[Path, ...]:
        """Complete environments, newest first."""
        if not self.folder.is_dir():
            return ()
        found = [
            item
            for item in self.folder.iterdir()
            if item.is_dir() and item.suffix != _PART and not part_of(item).exists()
        ]
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
    """Hold the store against other runs; gives the lock's descriptor, InstallError names the holder after `wait_s`."""
    store.folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(store.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait_for(descriptor, store, wait_s, on_wait)
        holder = (
            f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%SZ}\n"
        )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, store: Store, wait_s: float, on_wait: Callable[[str], None]) -> None:
    end = time.monotonic() + wait_s
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


def clear_leftovers(store: Store) -> None:
    """Remove what an interrupted run left behind. Call with the lock held."""
    if not store.folder.is_dir():
        return
    for mark in store.folder.glob(f"*{_PART}"):
        folder = mark.with_name(mark.name.removesuffix(_PART))
        discard(folder)
    for link in store.folder.glob("link-*"):
        link.unlink(missing_ok=True)


def new_folder(store: Store) -> Path:
    """A name for the next environment, marked as not finished; the folder itself is left to the venv maker."""
    stem = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}"
    folder, number = store.folder / stem, 1
    while folder.exists():
        folder, number = store.folder / f"{stem}-{number}", number + 1
    part_of(folder).mkdir()
    return folder


def discard(folder: Path) -> None:
    """Remove an environment that did not come to be."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():  # the mark goes last: an interrupted removal is finished by the next run
        shutil.rmtree(part_of(folder), ignore_errors=True)


def switch(store: Store, folder: Path) -> None:
    """Make the path lead to a finished folder, whole on disk before anything points to it."""
    flush(store.folder)
    shutil.rmtree(part_of(folder))
    point(store, folder)


def point(store: Store, folder: Path) -> None:
    """Let the link lead to one of the store's folders; atomic."""
    refuse_foreign(store)
    link = store.folder / f"link-{os.getpid()}"
    link.unlink(missing_ok=True)
    # Relative: the pair of link and store survives a bind mount of their parent elsewhere.
    link.symlink_to(Path(store.folder.name) / folder.name)
    if store.path.is_dir() and not store.path.is_symlink():
        store.path.rmdir()  # empty, or refused above
    link.replace(store.path)


def flush(folder: Path) -> None:
    """Wait until everything written to that file system is on its disk, so that a power loss finds it there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # syncfs(2) waits for this file system only; os.sync would wait for every disk of the machine.
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            os.sync()
    finally:
        os.close(descriptor)


def prune(store: Store, *, keep: int = KEPT) -> None:
    """Remove all but the newest `keep` environments, never the current one."""
    current = store.current
    others = [folder for folder in store.finished() if folder != current]
    for folder in others[max(keep - 1, 0) :]:
        part_of(folder).mkdir(exist_ok=True)
        discard(folder)


def environments(path: Path) -> tuple[tuple[Path, bool], ...]:
    """(folder, whether the path leads to it) of every finished environment behind a path, newest first."""
    store = Store.of(path)
    return tuple((folder, folder == store.current) for folder in store.finished())


def rollback(path: Path) -> Path:
    """Lead the path to the environment before the current one; InstallError when there is none."""
    store = Store.of(path)
    with disk_errors_named(store), locked(store):
        others = [folder for folder in store.finished() if folder != store.current]
        if not others:
            raise InstallError(
                f"There is no earlier environment behind {store.path}.",
                code="environment-missing",
                evidence=(Evidence("environments", len(store.finished()), source=str(store.folder), needs=2),),
            )
        point(store, others[0])
        return others[0]


def remove(path: Path) -> None:
    """Remove a path and every environment behind it; InstallError when gpusetup did not make it."""
    store = Store.of(path)
    refuse_foreign(store)
    with disk_errors_named(store), locked(store):
        if store.path.is_symlink():
            store.path.unlink()
        shutil.rmtree(store.folder, ignore_errors=True)


def free_bytes(folder: Path) -> int:
    """Bytes that an ordinary user may still write where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
