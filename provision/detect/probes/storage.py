"""Room on disks, filesystems that turned read-only, mounts that hang, drives."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...plain_text import plain
from ...records import Reading
from .system_programs import user_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})
"""Filesystems on drives of this machine that a fault turns read-only."""
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "beegfs", "gpfs", "weka", "wekafs"}
    | {"fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.juicefs"}
)
_STOPPED = frozenset({"ro", "emergency_ro", "shutdown"})
"""Options of a filesystem that takes no writes; the last two are what ext4 shows after an error since Linux 6.15."""
_MOST_MOUNTS = 64
_MOST_ASKED = 16
HEALTH = ("critical_warning", "percent_used", "media_errors")
"""Figures of a drive's health that a reading holds after its name."""
STAT_S = 5.0
"""Longest that a network filesystem may take to say how much room it has, seconds."""
_NVME = "/sys/class/nvme"


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    point: str
    kind: str
    is_read_only: bool
    """This mount of the filesystem."""
    is_super_read_only: bool
    """The filesystem itself, for all its mounts: what the kernel sets after an error."""


# 27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Mounts as the process sees them; of several at one place the last counts."""
    found: dict[str, Mount] = {}
    for line in text.splitlines():
        row = re.fullmatch(r"\d+ \d+ \S+ \S+ (\S+) (\S+) .*?- (\S+) \S+ (\S+)\s*", line)
        if row:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), row[1])
            found[point] = Mount(
                point, plain(row[3]), "ro" in row[2].split(","), not _STOPPED.isdisjoint(row[4].split(","))
            )
    return tuple(found.values())


# UUID=0a1b / ext4 errors=remount-ro 0 1
def parse_fstab(text: str) -> frozenset[str]:
    """Places that fstab wants writable."""
    rows = re.findall(r"^\s*[^#\s]\S*\s+(\S+)\s+\S+\s+(\S+)", text, re.MULTILINE)
    return frozenset(point for point, options in rows if "ro" not in options.split(","))


def mount_of(mounts: Iterable[Mount], path: str) -> Mount | None:
    """The mount that holds a path."""
    holding = [one for one in mounts if path == one.point or path.startswith(one.point.rstrip("/") + "/")]
    return max(holding, key=lambda one: len(one.point), default=None)


# --- places


def _seen(around: Surroundings) -> dict[str, Any]:
    named = around.answer("env.path", lambda: None)  # of --env; the command says it
    return around.answer("mounts", lambda: _look_at_mounts(around, named)) or {"mounts": [], "places": []}


def _look_at_mounts(around: Surroundings, named: str | None) -> dict[str, Any]:
    """Mounts of drives and of the network, and the places that an install fills; no options, no servers."""

    def text(path: str) -> str:
        try:
            return around.path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    mounts, wanted = parse_mountinfo(text("/proc/self/mountinfo")), parse_fstab(text("/etc/fstab"))
    places = []
    for role, path, is_given in _places(around, named):
        mount = mount_of(mounts, path)
        is_network = mount is not None and mount.kind in NETWORK
        # A path on a server that hangs is not walked along here, and that of a variable is not kept.
        reached = mount.point if mount and (is_network or is_given) else "/" if is_given else _existing(path)
        told = (
            [mount.kind, mount.point, mount.is_read_only or mount.is_super_read_only] if mount else [None, None, False]
        )
        places.append([role, reached, *told])
    return {
        "mounts": [
            [one.point, one.kind, one.is_read_only, one.is_super_read_only, one.point in wanted]
            for one in mounts
            if one.kind in LOCAL | NETWORK
        ][:_MOST_MOUNTS],
        "places": places,
    }


def _temporary(around: Surroundings) -> str:
    return os.path.abspath(around.environ.get("TMPDIR") or "/tmp")  # noqa: PTH100, S108 -- as tempfile does


def _places(around: Surroundings, named: str | None) -> Iterator[tuple[str, str, bool]]:
    """Folders that an install fills, by what they are for, and whether a variable names them."""
    environ = around.environ
    yield "system", "/", False
    yield "temporary files", _temporary(around), bool(environ.get("TMPDIR"))
    home = environ.get("HOME")
    cache = environ.get("UV_CACHE_DIR") or environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else None)
    if cache and cache.startswith("/"):
        is_given = bool(environ.get("UV_CACHE_DIR") or environ.get("XDG_CACHE_HOME"))
        yield "package cache", os.path.normpath(cache), is_given
    # As provision.paths has it, which is slow to import.
    data = environ.get("XDG_DATA_HOME") or (f"{home}/.local/share" if home else None)
    env = named or environ.get("GPUSETUP_ENV") or (data and f"{data}/gpusetup/env")
    if env:
        is_given = not named and bool(environ.get("GPUSETUP_ENV") or environ.get("XDG_DATA_HOME"))
        yield "environment", os.path.abspath(env), is_given  # noqa: PTH100


def _existing(path: str) -> str:
    """The path or its nearest folder that is there."""
    while path != "/" and not Path(path).exists():
        path = os.path.dirname(path)  # noqa: PTH120 -- text only
    return path


def read_disks(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """Mounts, room at the places that an install fills, counted errors, drives."""
    seen = _seen(around)
    for row in seen["mounts"]:
        yield Reading("disk.mount", "/proc/self/mountinfo", tuple(row))
    for role, path, kind, *rest in seen["places"]:
        yield Reading("disk.place", path, (role, path, kind, *rest))
        if kind not in NETWORK:
            yield from _room(around, role, path)
    for name in around.names("/sys/fs/ext4"):
        text = plain(around.text(f"/sys/fs/ext4/{name}/errors_count", longest=64) or "")
        if re.fullmatch("[0-9]{1,19}", text):
            yield Reading("disk.ext4_errors", f"/sys/fs/ext4/{name}/errors_count", (name, int(text)))
    yield from _drives(around)


def _room(around: Surroundings, role: str, path: str) -> Iterator[Reading]:
    space, failure = around.space(path)
    value = (role, path, space.total_bytes, space.free_bytes, space.inodes, space.free_inodes) if space else None
    yield Reading("disk.room", f"statvfs {path}", value, failure)
    status, failure = around.status(path)
    yield Reading("disk.device", path, (role, status.device) if status else None, failure)


def _drives(around: Surroundings) -> Iterator[Reading]:
    """State of NVMe controllers of this machine, not of those across a network."""
    for name in around.names(_NVME):
        if not re.fullmatch(r"nvme\d{1,4}", name):
            continue
        transport = plain(around.text(f"{_NVME}/{name}/transport", longest=64) or "pcie")
        state, failure = around.attempt(f"{_NVME}/{name}/state", longest=64)
        if transport == "pcie":
            yield Reading("nvme.state", f"{_NVME}/{name}/state", (name, plain(state)) if state else None, failure)


# --- network mounts


# 1234567 9876543 1048576 3000000 4000000
def parse_stat_f(text: str) -> tuple[int, int, int, int] | None:
    """Total bytes, free bytes, inodes and free inodes from `stat -f -c '%b %a %S %c %d'`."""
    if not re.fullmatch(r"\s*\d{1,19}(?: \d{1,19}){4}\s*", text):
        return None
    blocks, free, size, inodes, free_inodes = (int(one) for one in text.split())
    return blocks * size, free * size, inodes, free_inodes


def read_network_mounts(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """Whether every network filesystem answers, asked in children that may hang; and the room on those in use."""
    from concurrent.futures import ThreadPoolExecutor

    seen = _seen(around)
    mounts = [(point, kind) for point, kind, *_ in seen["mounts"] if kind in NETWORK][:_MOST_ASKED]
    if not mounts:
        return

    def asked(point: str) -> tuple[str | None, str | None]:
        said = around.tell("stat", "-f", "-c", "%b %a %S %c %d", "--", point, deadline_s=STAT_S)
        if said.timed_out:
            return None, f"no answer within {STAT_S:.0f} s"
        return (said.stdout, None) if said.ok else (None, said.failure or plain(said.stderr) or "stat failed")

    with ThreadPoolExecutor(max_workers=_MOST_ASKED) as pool:
        answers = list(pool.map(asked, [point for point, _ in mounts]))
    rooms: dict[str, tuple[int, int, int, int] | None] = {}
    for (point, kind), (text, failure) in zip(mounts, answers, strict=True):
        rooms[point] = parse_stat_f(text or "")
        yield Reading("disk.network_mount", f"stat {point}", (point, kind) if failure is None else None, failure)
    for role, path, _, point, *_ in seen["places"]:
        if room := rooms.get(point):
            yield Reading("disk.room", f"stat -f {point}", (role, path, *room))


# --- drives


# {"critical_warning": 0, "avail_spare": 100, "spare_thresh": 10, "percent_used": 3, "media_errors": 0}
def parse_smart(text: str) -> dict[str, int] | None:
    """Figures of `nvme smart-log -o json` that tell a drive's health."""
    import json

    try:
        data = json.loads(text)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    warning = data.get("critical_warning")
    found: dict[str, Any] = {"critical_warning": warning.get("value") if isinstance(warning, dict) else warning}
    for name, other in (
        ("avail_spare", "available_spare"),
        ("spare_thresh", "available_spare_threshold"),
        ("percent_used", "percentage_used"),
        ("media_errors", "media_errors"),
    ):
        found[name] = data.get(name, data.get(other))
    whole = {name: int(value) for name, value in found.items() if re.fullmatch(r"\d{1,18}", str(value))}
    return whole if "critical_warning" in whole else None


def _kept_of_smart(text: str) -> str:
    import json

    found = parse_smart(text)
    return json.dumps(found) if found else text[:200]


def read_nvme_health(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """What NVMe drives say of their own health; only root may ask."""
    names = [name for name in around.names(_NVME) if re.fullmatch(r"nvme\d{1,4}", name)][:_MOST_ASKED]
    if not names or machine.host.container:
        return
    if (around.answer("user", user_ids) or {}).get("uid") != 0:
        yield Reading("nvme.health", "nvme smart-log", failure="only root may ask a drive for its health")
        return
    for name in names:
        said = around.tell("nvme", "smart-log", f"/dev/{name}", "-o", "json", deadline_s=3.0, keep=_kept_of_smart)
        found = parse_smart(said.stdout) if said.ok else None
        why = None if found else said.failure or ("no answer within 3 s" if said.timed_out else "nvme gave no figures")
        value = (name, *(found.get(key) for key in HEALTH)) if found else None
        yield Reading("nvme.health", f"nvme smart-log /dev/{name}", value, why)
        if said.failure or said.timed_out:  # the next drive would say no more
            return


# --- write test

_WRITE = """
import os, sys, tempfile, time
start = time.monotonic()
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    block = os.urandom(1 << 20)
    file.write(block)
    file.flush()
    os.fsync(file.fileno())
    file.seek(0)
    print("wrote" if file.read() == block else "differs", round(time.monotonic() - start, 4))
"""
WRITE_S = 10.0


def _kept_of_write(text: str) -> str:
    """The child's own words, and the last line of a traceback up to the name of the file."""
    return "\n".join(re.findall(r"^(?:wrote|differs) [\d.]+$|^\w+(?:Error|Exception): [^'\"\n]*", text, re.MULTILINE))


def read_write_test(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """1 MiB written, flushed and read again in a file without a name where temporary files go."""
    seen = _seen(around)
    folder = next((path for role, path, *_ in seen["places"] if role == "temporary files"), None)
    if folder is None:
        yield Reading("disk.write_test", "TMPDIR", failure="no folder for temporary files is known")
        return
    # The folder itself, which is not kept where a variable names it.
    argv = lambda: [around.python, "-I", "-c", _WRITE, _temporary(around)]  # noqa: E731
    said = around.ask("write test", argv, deadline_s=WRITE_S, keep=_kept_of_write)
    if said.timed_out:
        why: str | None = f"it did not end within {WRITE_S:.0f} s"
    else:
        lines = said.stderr.strip().splitlines()
        why = None if said.ok else said.failure or plain(lines[-1] if lines else "the child failed")
    # wrote 0.0042
    yield Reading("disk.write_test", folder, None if why else plain(said.stdout), why)
