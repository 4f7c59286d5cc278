"""The derived cache of the matrix: plain trees as JSON, under keys that say what they were made from (EDGE).

The key covers the text and the sources of the modules that read it, so an entry says: exactly this text was parsed and
passed every invariant, under exactly this code. An entry can't be stale, it can only be missing. It is data and never
code, carries a digest of itself, and is read and written only in a folder that belongs to the user alone. Whatever goes
wrong here is no error: the file itself is read then, which takes some hundredths of a second longer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .places import Tree

FORMAT: Final = "gpusetup-matrix 1"
MAX_ENTRY_BYTES: Final = 16 * 1024 * 1024
MAX_ENTRIES: Final = 8
"""Entries that are kept: a few versions of gpusetup, a few files of sites."""
_LEFT_OVER_S: Final = 3600
"""Age from which a file that a killed process was writing is removed."""

_FOLDER = "matrix"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def key_of(*texts: str) -> str | None:
    """The key of what those texts give under the code that is installed; None where its sources can't be read."""
    here = Path(__file__).parent
    digest = hashlib.sha256(FORMAT.encode())
    try:
        for path in (*sorted(here.glob("*.py")), here.parent / "versions.py"):
            _add(digest, path.name.encode(), path.read_bytes())
        _add(digest, *(text.encode("utf-8", "surrogatepass") for text in texts))
    except OSError:
        return None
    return digest.hexdigest()


def _add(digest: Any, *parts: bytes) -> None:
    for part in parts:  # with their lengths, so that no two lists of parts are one
        digest.update(b"%d:" % len(part))
        digest.update(part)


def fetch(base: Path, key: str) -> Tree:
    """The tree that was kept under the key; None when there is none, or none that can be trusted."""
    with contextlib.suppress(OSError, ValueError, RecursionError), _opened(base) as folder:
        head, _, payload = _content(folder, _name(key)).partition(b"\n")
        if head == _head(key, payload):
            tree: Tree = json.loads(payload)
            return tree
    return None


def keep(base: Path, key: str, tree: Tree) -> None:
    """Keep a tree under the key, whole or not at all, and drop the oldest entries; silent where that can't be done."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        payload = json.dumps(tree, separators=(",", ":")).encode("ascii")
        content = _head(key, payload) + b"\n" + payload
        if len(content) <= MAX_ENTRY_BYTES:
            _make(base)
            with _opened(base) as folder:
                _write(folder, _name(key), content)
                _tidy(folder)


def _name(key: str) -> str:
    return f"{key}.json"


def _head(key: str, payload: bytes) -> bytes:
    return f"{FORMAT} {key} {hashlib.sha256(payload).hexdigest()}".encode()


@contextlib.contextmanager
def _opened(base: Path) -> Iterator[int]:
    """The folder of the entries as a descriptor: the user's own, closed to others, reached over no link of its name."""
    with _closing(os.open(base, _READ | os.O_DIRECTORY)) as outer:
        _require_own(outer)
        with _closing(os.open(_FOLDER, _READ | os.O_DIRECTORY, dir_fd=outer)) as inner:
            _require_own(inner)
            yield inner


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_own(descriptor: int) -> os.stat_result:
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
        raise PermissionError
    return status


def _make(base: Path) -> None:
    """The folders, where they can be made in a place of the user's own: root leaves nothing in another one's home."""
    missing = [base / _FOLDER]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    if missing[-1].parent.stat().st_uid != os.geteuid():
        raise PermissionError
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):  # also of a process that starts beside this one
            folder.mkdir(mode=0o700)


def _content(folder: int, name: str) -> bytes:
    with _closing(os.open(name, _READ, dir_fd=folder)) as descriptor:
        status = _require_own(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_ENTRY_BYTES:
            raise ValueError
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(MAX_ENTRY_BYTES + 1)


def _write(folder: int, name: str, content: bytes) -> None:
    # Not flushed to the disk: what a power loss cuts off does not fit its digest.
    written = f".{name}.{os.getpid()}.{time.monotonic_ns()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(written, flags, 0o600, dir_fd=folder), "wb") as stream:
            stream.write(content)
        os.replace(written, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(folder, written)
        raise


def _tidy(folder: int) -> None:
    """Remove what is older than the newest entries, and what killed processes left half written."""
    now, entries = time.time(), []
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            written_at = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
            if name.startswith("."):
                if now - written_at > _LEFT_OVER_S:
                    _remove(folder, name)
            else:
                entries.append((written_at, name))
    for _, name in sorted(entries, reverse=True)[MAX_ENTRIES:]:
        _remove(folder, name)


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
