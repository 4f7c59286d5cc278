"""Where gpusetup keeps things of its own: the user's data folder and cache folder (EDGE)."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final


def data_folder() -> Path:
    """$XDG_DATA_HOME/gpusetup, by default ~/.local/share/gpusetup. Not created here."""
    base = os.environ.get("XDG_DATA_HOME")
    # The XDG specification: a relative path is invalid and is ignored.
    if base and Path(base).is_absolute():
        return Path(base) / "gpusetup"
    try:
        return Path.home() / ".local" / "share" / "gpusetup"
    except RuntimeError:  # no HOME and no entry in the password file: a container started with a bare user number
        import tempfile

        return Path(tempfile.gettempdir()) / f"gpusetup-{os.getuid()}"


def cache_folder() -> Path | None:
    """$XDG_CACHE_HOME/gpusetup, by default ~/.cache/gpusetup; not created here. None where the user has no home.

    None on Windows too, where nothing tells in the same way that a folder is the user's alone.
    """
    if os.name != "posix":
        return None
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "gpusetup"
    try:
        return Path.home() / ".cache" / "gpusetup"
    except RuntimeError:
        return None


SITE_FILE: Final = Path("/etc/gpusetup/site.yaml")
"""The site file of a machine; what names another one comes before it."""


def site_file(named: str | None) -> Path | None:
    """The one site file that counts: --site, else GPUSETUP_SITE, the user's own, that of the machine; None without one.

    `none` as a name says that none counts. A file that is named must be there, and one that is there must be readable.
    """
    named = named or os.environ.get("GPUSETUP_SITE")
    if named:
        return None if named == "none" else Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    with contextlib.suppress(RuntimeError):
        own = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
        if os.path.lexists(own / "gpusetup" / "site.yaml"):
            return own / "gpusetup" / "site.yaml"
    return SITE_FILE if os.path.lexists(SITE_FILE) else None


def suppressions_file(named: str | None) -> Path | None:
    """The file of suppressions: --suppressions, else GPUSETUP_SUPPRESSIONS, else the user's own; None without one.

    `none` as a name says that none counts. A file that is named must be there, and one that is there must be readable.
    """
    named = named or os.environ.get("GPUSETUP_SUPPRESSIONS")
    if named:
        return None if named == "none" else Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    with contextlib.suppress(RuntimeError):
        own = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
        if os.path.lexists(own / "gpusetup" / "suppressions.yaml"):
            return own / "gpusetup" / "suppressions.yaml"
    return None


def history_folder() -> Path:
    """Where counters of this machine's GPUs are kept between checks."""
    return data_folder() / "history"


def fix_log() -> Path:
    """Where `check --fix` writes down what it ran."""
    return data_folder() / "logs" / "fixes.jsonl"


def driver_folder() -> Path:
    """Where the runs of driver steps are kept: of the machine for root, so that the next root finds them."""
    if os.environ.get("XDG_DATA_HOME") or os.geteuid() != 0:
        return data_folder() / "driver"
    return Path("/var/lib/gpusetup/driver")


def default_environment() -> Path:
    """Where the environment goes when --env and GPUSETUP_ENV say nothing."""
    named = os.environ.get("GPUSETUP_ENV")
    return Path(named) if named else data_folder() / "env"


def reports_folder() -> Path:
    """Where reports of this machine are kept."""
    return data_folder() / "reports"


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside, flushed to the disk, then renamed over."""
    import tempfile  # with it come hashes and random numbers, which most commands do without

    path = Path(os.path.realpath(path))  # a link stays a link, and what it points to is written
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as stream:  # a device or a pipe is written to, never replaced
            stream.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o666 & ~_umask())  # noqa: PTH101  mkstemp makes private files; a report is for others too
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bug_log(err: Exception) -> Path | None:
    """The traceback of a bug as a file in the log folder; None when not even that can be written."""
    with contextlib.suppress(Exception):
        return _write_bug_log(err)
    return None


def _write_bug_log(err: Exception) -> Path | None:
    import tempfile
    import traceback

    folder = data_folder() / "logs"
    name = time.strftime("bug-%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{os.getpid()}.log"
    for place in (folder, Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            write_whole(place / name, "".join(traceback.format_exception(err)))
            return place / name
    return None
