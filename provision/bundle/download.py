"""EDGE: gets files by their hash, several at a time; what is there already with the right hash is kept.

The network is that of the look-up: the user's proxy, certificates, logins and netrc. Only silence ends a download.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import InstallError
from ..install.addresses import credentials, local_path, redact, with_login
from ..install.fetching import FetchError
from ..records import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..install.configuration import Location
    from ..install.fetching import Fetcher
    from ..install.lock import LockedWheel

_PIECE = 2**20
_AT_ONCE = 4
_TRIES = 3
DOWNLOADER = "gpusetup-download"
"""Name of a thread that downloads."""
PARTIAL = ".part"
"""End of the name of a file that is being written."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file, and where it goes."""

    wheel: LockedWheel
    path: Path


@dataclass(slots=True)
class Tally:
    """How far a download is; counted by several threads."""

    files: int
    total_bytes: int | None
    on_change: Callable[[Tally], None]
    done: int = 0
    kept: int = 0
    """Files that were there already."""
    loaded_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int) -> None:
        """So many bytes more have come."""
        with self.lock:
            self.loaded_bytes += size
            self.on_change(self)

    def end(self, *, was_there: bool) -> None:
        """A file is whole."""
        with self.lock:
            self.done += 1
            self.kept += was_there
            self.on_change(self)


@dataclass(frozen=True, slots=True)
class Downloader:
    """How files are asked for."""

    fetcher: Fetcher
    locations: tuple[Location, ...]
    """Sources whose logins count for files on the same host."""
    secrets: tuple[str, ...] = ()

    def get(self, wanted: Sequence[Wanted], tally: Tally) -> None:
        """Every file, whole and with its hash; InstallError for the first that can't be had, the others stop."""
        stop = threading.Event()
        todo: queue.SimpleQueue[Wanted] = queue.SimpleQueue()
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for item in wanted:
            todo.put(item)

        def work() -> None:
            while not stop.is_set():
                try:
                    item = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._get(item, tally, stop)
                except BaseException as err:  # noqa: BLE001  it is raised where the files are waited for
                    ended.put(err)
                    return
                ended.put(None)

        # Daemon threads: one that waits for a silent server must not hold up Ctrl-C.
        for _ in range(min(_AT_ONCE, len(wanted))):
            threading.Thread(target=work, name=DOWNLOADER, daemon=True).start()
        try:
            for _ in wanted:
                error = ended.get()
                if error is not None:
                    raise error
        finally:
            stop.set()

    def _get(self, item: Wanted, tally: Tally, stop: threading.Event) -> None:
        if stop.is_set():
            return
        if is_held(item):
            tally.end(was_there=True)
            return
        said = ""
        for _ in range(_TRIES):
            try:
                self._load(item, tally, stop)
            except FetchError as err:
                said = str(err)
            except OSError as err:
                code = "disk-full" if err.errno == errno.ENOSPC else "download-failed"
                raise _lost(item.wheel, err.strerror or str(err), code=code) from err
            else:
                tally.end(was_there=False)
                return
            if stop.is_set():
                return
        raise _lost(item.wheel, redact(said, self.secrets), code="download-failed")

    def _load(self, item: Wanted, tally: Tally, stop: threading.Event) -> None:
        partial = item.path.with_name(item.path.name + PARTIAL)
        digest, size = hashlib.sha256(), 0
        try:
            with partial.open("wb") as stream:
                for piece in self._pieces(item.wheel.url):
                    if stop.is_set():
                        raise FetchError("stopped")
                    stream.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    if item.wheel.size_bytes is not None and size > item.wheel.size_bytes:
                        raise FetchError(f"it sends more than the {item.wheel.size_bytes} bytes that it stated")
                    tally.add(len(piece))
                stream.flush()
                os.fsync(stream.fileno())
            if digest.hexdigest() != item.wheel.sha256:
                raise _lost(item.wheel, f"sha256 {digest.hexdigest()}", code="hash-mismatch")
            partial.replace(item.path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def _pieces(self, address: str) -> Iterator[bytes]:
        path = local_path(address)
        if path is None:
            yield from self.fetcher.pieces(self._with_login(address))
            return
        try:
            stream = path.open("rb")
        except OSError as err:
            raise FetchError(f"it cannot be read: {err.strerror}") from err
        with stream:
            while piece := stream.read(_PIECE):
                yield piece

    def _with_login(self, address: str) -> str:
        """The address with the login of a configured source of the same host, where there is one."""
        parts = urlsplit(address)
        for location in self.locations:
            login, source = credentials(location.secret_url), urlsplit(location.secret_url)
            if login and (source.scheme, source.hostname, source.port) == (parts.scheme, parts.hostname, parts.port):
                return with_login(address, *login)
        return address


def is_held(item: Wanted) -> bool:
    """Whether the file is there with its hash."""
    digest = hashlib.sha256()
    try:
        if item.path.is_symlink():
            return False
        with item.path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    except OSError:
        return False
    return digest.hexdigest() == item.wheel.sha256


def _lost(wheel: LockedWheel, found: str, *, code: str) -> InstallError:
    changed = code == "hash-mismatch"
    return InstallError(
        f"{wheel.filename} is not the file that was locked." if changed else f"{wheel.filename} could not be had.",
        code=code,
        evidence=(Evidence(wheel.filename, found, source=wheel.source, needs=f"sha256 {wheel.sha256}"),),
        do=("run the same command again: what has come whole is kept",),
    )
