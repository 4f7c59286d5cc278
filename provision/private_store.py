"""A folder of the user's own for what can be made again: entries under keys, read only where nobody else writes (EDGE).

An entry carries a digest of itself and its key. Whatever goes wrong here is no error: the caller makes the thing again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEFT_OVER_S: Final = 3600
"""Age from which a file that a killed process was writing is removed."""
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class PrivateStore:
    """One kind of entries: `name` is their folder in the user's cache folder, `form` the version of their content."""

    name: str
    form: str
    max_entries: int
    """The newest ones are kept."""
    max_bytes: int = 16 * 1024 * 1024

    def fetch(self, base: Path, key: str) -> bytes | None:
        """What was kept under the key, which is also a file name; None when there is nothing that can be trusted."""
        with contextlib.suppress(OSError, ValueError), self._opened(base) as folder:
            head, _, payload = self._content(folder, _name(key)).partition(b"\n")
            if head == self.head(key, payload):
                return payload
        return None

    def keep(self, base: Path, key: str, payload: bytes) -> None:
        """Keep an entry, whole or not at all, and drop the oldest ones; silent where that can't be done."""
        content = self.head(key, payload) + b"\n" + payload
        if len(content) > self.max_bytes:
            return
        with contextlib.suppress(OSError, ValueError):
            self._make(base)
            with self._opened(base) as folder:
                _write(folder, _name(key), content)
                self._tidy(folder)

    def head(self, key: str, payload: bytes) -> bytes:
        """The first line of an entry."""
        return f"{self.form} {key} {hashlib.sha256(payload).hexdigest()}".encode()

    @contextlib.contextmanager
    def _opened(self, base: Path) -> Iterator[int]:
        """The folder of the entries as a descriptor: the user's own, closed to others, and no link."""
        with _closing(os.open(base, _READ | os.O_DIRECTORY)) as outer:
            _require_own(outer)
            with _closing(os.open(self.name, _READ | os.O_DIRECTORY, dir_fd=outer)) as inner:
                _require_own(inner)
                yield inner

    def _make(self, base: Path) -> None:
        """The folders, where their place is the user's own: root leaves nothing in another one's home."""
        missing = [base / self.name]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        if missing[-1].parent.stat().st_uid != os.geteuid():
            raise PermissionError
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):  # also of a process that starts beside this one
                folder.mkdir(mode=0o700)

    def _content(self, folder: int, name: str) -> bytes:
        with _closing(os.open(name, _READ, dir_fd=folder)) as descriptor:
            status = _require_own(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > self.max_bytes:
                raise ValueError
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return stream.read(self.max_bytes + 1)

    def _tidy(self, folder: int) -> None:
        """Remove what is older than the newest entries, and what killed processes left half written."""
        now, entries = time.time(), []
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                written_at = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                if not name.startswith("."):
                    entries.append((written_at, name))
                elif now - written_at > _LEFT_OVER_S:
                    _remove(folder, name)
        for _, name in sorted(entries, reverse=True)[self.max_entries :]:
            _remove(folder, name)


def _name(key: str) -> str:
    return f"{key}.json"


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


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
