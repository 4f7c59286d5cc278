"""EDGE: whether an environment can live in a folder: its file system must run programs and hold links."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from ..errors import InstallError
from ..records import Evidence
from .causes import CAUSES

if TYPE_CHECKING:
    from pathlib import Path

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def require_usable_place(folder: Path) -> None:
    """InstallError where programs may not be run or links cannot be made; before anything is downloaded.

    An interpreter that is linked from elsewhere starts on a noexec file system all the same; it is the libraries of
    torch that the kernel does not map there.
    """
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        raise _fault("environment-not-executable", folder, "noexec", "a file system without noexec")
    probe = folder / f"link-{os.getpid()}"
    try:
        probe.unlink(missing_ok=True)
        probe.symlink_to("lock")
        probe.unlink()
    except OSError as err:
        if err.errno in _NO_LINKS:
            raise _fault("environment-without-links", folder, err.strerror, "symbolic links") from err
        raise


def lock_fault(err: OSError, folder: Path) -> InstallError | None:
    """The error of a file system that cannot lock; None where the lock failed for another reason."""
    if err.errno not in _NO_LOCKS:
        return None
    return _fault("environment-without-locks", folder, err.strerror, "flock")


def _fault(code: str, folder: Path, found: str | None, needs: str) -> InstallError:
    cause = CAUSES[code]
    evidence = Evidence(str(folder), found, source="file system", needs=needs)
    return InstallError(cause.sentence, code=code, evidence=(evidence,), do=cause.do)
