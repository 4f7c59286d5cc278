"""EDGE: the folder that one acceptance run works in, and the end of those whose run was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "gpusetup-accept-"
_YOUNG_S = 60.0
"""A folder that was made this short a time ago may not be locked yet."""


@contextlib.contextmanager
def workplace() -> Iterator[tuple[Path, int]]:
    """A folder in the place for temporary files, and the descriptor that says as long as it is open: in use.

    Hand the descriptor on to the child: one that outlives this process keeps its folder.
    """
    remove_left()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: then nothing is ever taken for left
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(folder), descriptor
        finally:
            os.close(descriptor)


def remove_left() -> None:
    """Remove this user's folders whose run was killed: no process holds their lock."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _YOUNG_S:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
