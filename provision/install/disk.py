"""EDGE: how much disk an environment needs, and whether it is there."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from ..errors import InstallError
from ..records import Evidence
from .addresses import local_path

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
        try:
            with zipfile.ZipFile(path) as archive:
                return sum(item.file_size for item in archive.infolist())
        except (OSError, zipfile.BadZipFile):
            return None
    if wheel.size_bytes is None:
        return None
    return int(wheel.size_bytes * (_LARGE_GROWTH if wheel.size_bytes > _LARGE_BYTES else _SMALL_GROWTH))


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
