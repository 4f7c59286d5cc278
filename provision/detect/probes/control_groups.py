"""Limits that control groups set for this process, of either version and at whatever height."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...records import Reading

if TYPE_CHECKING:
    from ..surroundings import Surroundings

_ROOT = "/sys/fs/cgroup"
_MOST_FOLDERS = 12
_ENDLESS = 1 << 60  # version 1 writes "no limit" as the largest multiple of a page


@dataclass(frozen=True, slots=True)
class _Files:
    new: str
    """File of version 2 with the limit."""
    old: str
    used: str
    old_used: str


_KINDS: Final[dict[str, _Files]] = {
    "cpu": _Files("cpu.max", "cpu.cfs_quota_us", "", ""),
    "memory": _Files("memory.max", "memory.limit_in_bytes", "memory.current", "memory.usage_in_bytes"),
    "pids": _Files("pids.max", "pids.max", "pids.current", "pids.current"),
}
_UNLIMITED = "unlimited"


# 4:memory:/docker/3f4e7d8c9b0a
# 0::/user.slice/user-1000.slice
def parse_own_groups(text: str) -> dict[str, str]:
    """Path of the process in each hierarchy, by controller; '' is version 2."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\d+:([\w,=]*):(/.*)", line.strip())
        for name in match[1].split(",") if match else ():
            found[name] = match[2] if match else "/"
    return found


# 200000 100000
# max 100000
def parse_cpu_max(text: str) -> float | None:
    """Processors that cpu.max allows; None without a limit."""
    match = re.fullmatch(r"\s*(\d{1,15})\s+(\d{1,15})\s*", text)
    return int(match[1]) / int(match[2]) if match and int(match[2]) else None


def tightest(around: Surroundings, kind: str) -> Reading:
    """The smallest limit above this process: processors, bytes or tasks with those in use; 'unlimited' without one.

    The value is (limit, used) for memory and tasks, where `used` leaves out what the kernel gives back by itself.
    """
    name, files = f"{kind}.control_group", _KINDS[kind]
    found: list[tuple[float, str, bool]] = []
    groups = parse_own_groups(around.text("/proc/self/cgroup", longest=65536) or "")
    for folder in _upwards(f"{_ROOT}/{kind}", groups.get(kind)):
        limit = _old_limit(around, kind, folder)
        found += [(limit, folder, True)] if limit is not None else []
    for folder in _upwards(_ROOT, groups.get("")):
        text = around.text(f"{folder}/{files.new}", longest=256) or ""
        value = parse_cpu_max(text) if kind == "cpu" else _whole(text)
        found += [(value, folder, False)] if value is not None else []
    if not found:
        return Reading(name, _ROOT, _UNLIMITED)
    limit, folder, is_old = min(found)
    if kind == "cpu":
        return Reading(name, folder, round(limit, 3))
    used = _whole(around.text(f"{folder}/{files.old_used if is_old else files.used}", longest=256) or "") or 0
    if kind == "memory":
        used = max(0, used - _cached(around.text(f"{folder}/memory.stat", longest=65536) or "", is_old=is_old))
    return Reading(name, folder, (int(limit), used))


def _upwards(base: str, path: str | None) -> tuple[str, ...]:
    """Folders of a group and of all groups above it; inside of a container only some of them exist."""
    if path is None:
        return ()
    parts = [part for part in path.split("/") if part not in {"", ".", ".."}][:_MOST_FOLDERS]
    return tuple("/".join((base, *parts[:count])) for count in range(len(parts), -1, -1))


def _old_limit(around: Surroundings, kind: str, folder: str) -> float | None:
    value = _whole(around.text(f"{folder}/{_KINDS[kind].old}", longest=256) or "")
    if value is None or value >= _ENDLESS:
        return None
    if kind != "cpu":
        return value
    period = _whole(around.text(f"{folder}/cpu.cfs_period_us", longest=256) or "")
    return value / period if period else None


def _whole(text: str) -> int | None:
    """A number; None for `max`, for -1 and for anything else."""
    text = text.strip()
    return int(text) if re.fullmatch(r"\d{1,19}", text) else None


# inactive_file 409600
# total_inactive_file 409600
def _cached(text: str, *, is_old: bool) -> int:
    match = re.search(rf"^{'total_' if is_old else ''}inactive_file (\d{{1,19}})$", text, re.MULTILINE)
    return int(match[1]) if match else 0
