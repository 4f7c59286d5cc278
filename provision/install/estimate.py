"""EDGE: what an installation would cost: bytes over the network, bytes on which disk, seconds by what was measured.

Nothing is assumed about a network or a disk: the speed is that of a piece of the largest file, fetched now, and what
follows the download takes as long as it did here before. Where neither is known the answer is None.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import environment as envs
from .addresses import credentials, local_path, with_login
from .backends import host_of, uv_environment
from .fetching import FetchError
from .receipt import read_receipt
from .toml import load_toml
from .tools import uv_binary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .configuration import Location, PackageConfiguration
    from .fetching import Fetcher
    from .lock import Lock, LockedWheel

_PIECE = 4 * 2**20
"""Bytes that are fetched to measure the network; a file smaller than twice that tells too little."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the installer keeps what it fetched, and what that means for the disk."""

    cache: str | None
    """Its cache folder; None where it keeps none."""
    links: Literal["link", "copy"] | None
    """link: the environment shares its files with the cache (reflink or hard link); copy: it has its own."""
    cache_needed_bytes: int | None
    """What the cache may take beside the environment; 0 where the two share their files."""
    cache_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that an installation may take, by measurement only."""

    download_s: float | None
    """With nothing cached, over one connection; 0 where everything is on this machine, None where nobody knows."""
    rest_s: float | None
    """Making, filling and verifying the environment; None where none was made here before."""
    basis: tuple[str, ...]
    """What each figure was measured on, or why there is none."""

    @property
    def least_s(self) -> float | None:
        """With everything cached."""
        return self.rest_s

    @property
    def most_s(self) -> float | None:
        """With nothing cached."""
        return None if self.download_s is None or self.rest_s is None else round(self.download_s + self.rest_s, 1)


def remote(lock: Lock) -> tuple[LockedWheel, ...]:
    """The files of a lock that are not on this machine."""
    return tuple(wheel for wheel in lock.wheels if local_path(wheel.url) is None)


def remote_bytes(lock: Lock) -> int | None:
    """Bytes of those files; None when a source did not state one."""
    sizes = [wheel.size_bytes for wheel in remote(lock)]
    return None if None in sizes else sum(size for size in sizes if size is not None)


# --- disk -----------------------------------------------------------------------------------------


def storage(
    backend: str, configuration: PackageConfiguration, target: Path, lock: Lock, unpacked: int | None
) -> Storage:
    """What the installer's cache shares with an environment at `target`, and what it takes itself."""
    cache = _uv_cache(configuration) if backend == "uv" else _pip_cache()
    if cache is None:
        return Storage(None, "copy", 0, None)
    # uv keeps wheels unpacked and links to them; pip keeps what it downloaded and always copies.
    is_copy = backend != "uv" or os.environ.get("UV_LINK_MODE", "") in {"copy", "symlink"}
    is_near = _device(cache) == _device(target)
    shares = backend == "uv" and is_near and not is_copy
    needed = 0 if shares else unpacked if backend == "uv" else remote_bytes(lock)
    return Storage(str(cache), "link" if shares else "copy", needed, envs.free_bytes(cache))


def _uv_cache(configuration: PackageConfiguration) -> Path | None:
    binary = uv_binary()
    if binary is None or os.environ.get("UV_NO_CACHE"):
        return None
    try:
        variables = uv_environment(os.environ, configuration, None)
        done = subprocess.run(
            [binary, "cache", "dir"], capture_output=True, text=True, timeout=10, check=True, env=variables
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(done.stdout.strip()).absolute() if done.stdout.strip() else None


def _pip_cache() -> Path | None:
    if os.environ.get("PIP_NO_CACHE_DIR"):
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(os.environ.get("PIP_CACHE_DIR") or Path(base) / "pip").absolute()


def _device(path: Path) -> int:
    """The file system that a path is on, or will be."""
    while not path.exists():
        path = path.parent
    return path.stat().st_dev


# --- time -----------------------------------------------------------------------------------------


def estimate(lock: Lock, store: envs.Store, fetcher: Fetcher, sources: Iterable[Location]) -> Estimate:
    """Seconds by a piece of the largest file, fetched now, and by the newest environment of the store."""
    download_s, network = _download(lock, fetcher, sources)
    rest_s, before = _rest(lock, store)
    return Estimate(download_s, rest_s, (network, before))


def _download(lock: Lock, fetcher: Fetcher, sources: Iterable[Location]) -> tuple[float | None, str]:
    files, wanted = remote(lock), remote_bytes(lock)
    if not files:
        return 0.0, "download: every file is on this machine"
    if wanted is None:
        return None, "download: a source states no size"
    largest = max(files, key=lambda wheel: wheel.size_bytes or 0)
    if (largest.size_bytes or 0) < 2 * _PIECE:
        return None, "download: the files are too small to measure by"
    address = _with_login(largest.url, sources)
    try:
        start = time.monotonic()
        fetcher.part(address, 0, 1)
        connected = time.monotonic()
        fetcher.part(address, 0, _PIECE)
        end = time.monotonic()
    except FetchError as err:
        return None, f"download: {largest.filename} could not be measured by: {err}"
    # The second request connects anew; what it takes longer than the first is the piece itself.
    speed = _PIECE / max((end - connected) - (connected - start), (end - connected) / 4)
    return round(wanted / speed, 1), f"download: {_PIECE >> 20} MiB of {largest.name}, fetched now at {_rate(speed)}"


def _rate(speed: float) -> str:
    return f"{speed / 2**20:.3g} MiB/s"


def _with_login(url: str, sources: Iterable[Location]) -> str:
    for source in sources:
        login = credentials(source.secret_url)
        if login and host_of(source.url) == host_of(url):
            return with_login(url, *login)
    return url


_RESTING = ("venv", "install", "verify", "switch")


def _rest(lock: Lock, store: envs.Store) -> tuple[float | None, str]:
    for folder in store.finished():
        receipt = read_receipt(folder)
        size = _kept_bytes(folder) if receipt else None
        new = lock.download_bytes
        if receipt is None or not size or not new:
            continue
        took = sum(seconds for name, seconds in receipt.seconds if name in _RESTING)
        made = folder.name.partition("T")[0]
        day = f"{made[:4]}-{made[4:6]}-{made[6:8]}" if made.isdecimal() else made
        return round(
            took * new / size, 1
        ), f"rest: the environment of {day} took {took:.1f} s with what it had to fetch, by size"
    return None, "rest: no environment was made here before"


def _kept_bytes(folder: Path) -> int | None:
    """Bytes of the files of an environment, by the lock that it kept."""
    try:
        document: Any = load_toml((folder / "pylock.gpusetup.toml").read_text(encoding="utf-8"))
        return sum(int(wheel["size"]) for package in document["packages"] for wheel in package["wheels"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
