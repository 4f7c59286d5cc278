"""EDGE: how much disk an environment needs, and whether it is there."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from ..errors import InstallError
from ..records import Evidence
from .addresses import local_path
from .causes import CAUSES

if TYPE_CHECKING:
    from pathlib import Path

    from .lock import Lock, LockedWheel

# Measured on real wheels: binary libraries unpack to less than twice their wheel, Python sources with their bytecode to
# about four times. Wheels above this size hold libraries.
_LARGE_BYTES = 100 * 2**20
_LARGE_GROWTH = 1.8
_SMALL_GROWTH = 4.0


def unpacked_bytes(lock: Lock) -> int | None:
    """Bytes of the installed files: exact for wheels on this disk, estimated from their size otherwise; None when
    a size is unknown.
    """
    sizes = [_unpacked(wheel) for wheel in lock.wheels]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _unpacked(wheel: LockedWheel) -> int | None:
    path = local_path(wheel.url)
    if path is not None:
        return _unpacked_here(wheel, path)
    if wheel.size_bytes is None:
        return None
    return int(wheel.size_bytes * (_LARGE_GROWTH if wheel.size_bytes > _LARGE_BYTES else _SMALL_GROWTH))


def _unpacked_here(wheel: LockedWheel, path: Path) -> int | None:
    """The bytes of a wheel on this disk; InstallError when it is none, or would not stay in its folder.

    uv and pip look, too, at what comes over the network; what lies here is told before anything is made.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
    except OSError:
        return None
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as err:
        raise _unsound(wheel, str(err), "a zip archive") from err
    for item in items:
        if item.filename.startswith(("/", "\\")) or ".." in item.filename.replace("\\", "/").split("/"):
            raise _unsound(wheel, item.filename[:200], "paths inside of the wheel's own folder")
    unpacked = sum(item.file_size for item in items)
    if unpacked > max(_HARMLESS_BYTES, _MOST_GROWTH * path.stat().st_size):
        raise _unsound(wheel, f"{unpacked} bytes unpacked of {path.stat().st_size}", f"at most {_MOST_GROWTH} times")
    return unpacked


_HARMLESS_BYTES = 2**30
_MOST_GROWTH = 200
"""deflate reaches about 1,000 on zeros; libraries and sources reach less than ten."""


def _unsound(wheel: LockedWheel, found: str, needs: str) -> InstallError:
    cause = CAUSES["wheel-malformed"]
    return InstallError(
        cause.sentence.format(source=wheel.source),
        code=cause.code,
        evidence=(Evidence(wheel.filename, found, source=wheel.source, needs=needs),),
        do=cause.do,
    )


def require_space(lock: Lock, folder: Path, *, needed: int | None, free: int) -> None:
    """InstallError with both figures when the environment cannot fit; an unknown need passes."""
    if needed is None or needed <= free:
        return
    raise InstallError(
        f"{folder.parent.parent} has too little free space for this environment.",
        code="disk-full",
        evidence=(
            Evidence("free space", free, "bytes", source=str(folder.parent), needs=needed),
            Evidence("download", lock.download_bytes, "bytes"),
        ),
        do=("free some space, or name a place on another disk with --env",),
    )
