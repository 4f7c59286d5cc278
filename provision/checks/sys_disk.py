"""Checks of the room on disks: sys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records import Evidence
from .base import check, not_from_a_warning
from .sys_words import gib, rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_SET_WITH_CUDA = 5.4e9
"""Bytes of an environment with PyTorch and its CUDA libraries, measured."""
_SET_WITHOUT = 2.0e9
"""Bytes of an environment with a CPU build; our proposal with a margin."""
_MARGIN = 1.2
_FULL = 500e6
_UNPACKING = 1.0e9
"""Bytes that the largest wheel needs where temporary files go (our proposal)."""


def _explains(facts: Facts, mine: Finding, other: Finding) -> bool:
    """A full disk stops a build only where the build says so."""
    if other.id == "kernel.dkms":
        logs = (str(value) for value in facts.values("kernel.dkms_log"))
        return mine.status == "fail" and any("No space left on device" in log for log in logs)
    return not_from_a_warning(facts, mine, other)


@check("sys.disk_free", level="instant", leads=("sys.disk_rw", "kernel.dkms"), not_on=("paste",), explains=_explains)
def disk_free(facts: Facts, say: Verdict) -> Finding:
    """The disks have room for an environment.

    What it finds
        A full filesystem at one of the places that an install fills: the environment, the cache of packages, temporary
        files, the system.

    Why it matters
        PyTorch with CUDA takes more than 5 GB. A disk that runs full in the middle ends the install with "No space
        left on device", and one that is full stops logging and services too.

    How it is decided
        Less than 500 MB free fails, except where temporary files have a memory filesystem of their own. At the place
        of the environment 1.2 times the measured size of the set (5.4 GB; 2 GB proposed for a box without a GPU) is
        wanted, and on a box with a GPU 1 GB for temporary files (our proposal); less warns. Places are those of the
        user's own settings: GPUSETUP_ENV, UV_CACHE_DIR, XDG_CACHE_HOME, XDG_DATA_HOME, TMPDIR. Read-only ones are left
        out.

    What to do
        Remove caches, or point the install elsewhere: --env, UV_CACHE_DIR, TMPDIR.

    Sources
        The size of the set is measured. Issues #5816 and #12868 of pip: temporary files on a small /tmp (read 2026-11).
    """
    found = _rooms(facts)
    if not found:
        return say.unknown(f"The room on disks was not read: {facts.why_not('disk.room')}.")
    kinds = {place[0]: place[2] for place in rows(facts, "disk.place")}
    short = [
        (free < _FULL and not (role == "temporary files" and kinds.get(role) == "tmpfs"), role, path, free, wanted)
        for role, path, total, free, *_ in found
        if total and free < (wanted := _wanted(facts, role))
    ]
    if not short:
        least = min(found, key=lambda one: one[3])
        return say.passed(f"{gib(least[3])} are free at {least[1]} ({least[0]}) and more elsewhere.")
    is_full, role, path, free, wanted = max(short, key=lambda one: (one[0], one[4] - one[3]))
    evidence = tuple(Evidence(f"free for {one[1]}", one[3], "bytes", one[2], needs=int(one[4])) for one in short)
    happened = f"{gib(free)} are free at {path} ({role}); {gib(wanted)} are wanted."
    if is_full:
        return say.failed(f"The disk is full: {happened}", *evidence, safe=_look(path), risky=_CLEAN)
    return say.warned(happened, *evidence, safe=(*_look(path), *_ELSEWHERE))


_ELSEWHERE = ("gpusetup install --env /big/disk/env", "TMPDIR=/big/disk/tmp UV_CACHE_DIR=/big/disk/cache gpusetup up")
_CLEAN = ("uv cache clean; pip cache purge", "sudo journalctl --vacuum-size=500M", "docker system prune")


def _look(path: str) -> tuple[str, ...]:
    return (f"df -h {path}; du -xh --max-depth=2 {path} 2>/dev/null | sort -h | tail",)


def _rooms(facts: Facts) -> tuple[tuple[Any, ...], ...]:
    """Room at the places that may be written; the system of an immutable distribution is always full."""
    closed = {place[0] for place in rows(facts, "disk.place") if place[4]}
    return tuple(one for one in rows(facts, "disk.room") if one[0] not in closed)


def _wanted(facts: Facts, role: str) -> float:
    """Bytes that should be free at a place."""
    if role == "environment":
        return _MARGIN * (_SET_WITH_CUDA if facts.has_gpu else _SET_WITHOUT)
    return _UNPACKING if role == "temporary files" and facts.has_gpu else _FULL


_INODES_SHARE = 0.10
_INODES_ENOUGH = 200_000


@check("sys.inodes", level="instant", leads=("sys.disk_rw",), not_on=("paste",))
def inodes(facts: Facts, say: Verdict) -> Finding:
    """The filesystems have room for more files.

    What it finds
        A filesystem with free bytes and without free inodes.

    Why it matters
        An environment with PyTorch has tens of thousands of files. Without inodes an install ends with "No space left
        on device" although `df -h` shows room.

    How it is decided
        Less than 10 % free warns where that is also less than 200,000 (our proposal). Filesystems that make inodes as
        they need them report none and pass.

    What to do
        `df -i` and a count of files per folder show where they went: often caches of data sets with a file per sample.

    Sources
        statvfs(3). The margin is our proposal.
    """
    found = _rooms(facts)
    if not found:
        return say.unknown(f"The room on disks was not read: {facts.why_not('disk.room')}.")
    for role, path, _, _, total, free in found:
        if total and free < _INODES_SHARE * total and free < _INODES_ENOUGH:
            return say.warned(
                f"{free:,} of {total:,} inodes are free at {path} ({role}).",
                Evidence("free inodes", free, source=path, needs=int(min(_INODES_SHARE * total, _INODES_ENOUGH))),
                safe=(f"df -i {path}", f"sudo du -x --inodes --max-depth=3 {path} | sort -n | tail"),
            )
    return say.passed("Every filesystem has free inodes.")


@check("sys.cache_same_fs", level="instant", not_on=("paste", "container"))
def cache_same_fs(facts: Facts, say: Verdict) -> Finding:
    """The cache of packages and the environment are on one filesystem.

    What it finds
        A cache of packages on another filesystem than the environment.

    Why it matters
        The installer links files from its cache into the environment, which takes no time and no room. Across
        filesystems it copies them: every environment takes its full size, and an install minutes.

    How it is decided
        Other device numbers of both places warn, on boxes with a GPU only: a set without CUDA is small. The places are
        those of GPUSETUP_ENV, UV_CACHE_DIR, XDG_CACHE_HOME and XDG_DATA_HOME, or their defaults.

    What to do
        Set UV_CACHE_DIR to a folder beside the environment.

    Sources
        uv documentation, concepts/cache, "Cache directory".
    """
    devices = {one[0]: one[1] for one in rows(facts, "disk.device")}
    cache, env = devices.get("package cache"), devices.get("environment")
    if cache is None or env is None:
        return say.skipped("The places of the cache and of the environment are not both known.")
    if cache == env:
        return say.passed("Cache and environment are on one filesystem.")
    if not facts.has_gpu:
        return say.passed("Cache and environment are on two filesystems; without CUDA the copies are small.")
    return say.warned(
        "The cache of packages and the environment are on two filesystems: installs copy instead of linking.",
        *facts.evidence("disk.place", "disk.device"),
        safe=("UV_CACHE_DIR=<a folder on the filesystem of the environment> gpusetup install",),
    )


CHECKS = (disk_free, inodes, cache_same_fs)
