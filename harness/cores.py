"""How many physical cores this process may use, and what the host's CPUs did. Standard library only."""

from __future__ import annotations

import os
from typing import Iterator, Optional


def usable_cores() -> int:
    """Physical cores in the affinity of the process, and no more than its cgroup's share of CPU time; at least 1."""
    cores = len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})
    quotas = [quota for quota in _quotas() if quota is not None]
    return max(1, int(min([cores, *quotas])))


def read_cpu_ticks() -> Optional[list[int]]:
    """The numbers of the `cpu` line of /proc/stat in ticks; None where it cannot be read."""
    # cpu  2255 34 2290 22625563 6290 127 456 0 0 0
    first = _text("/proc/stat").partition("\n")[0].split()
    if not first or first[0] != "cpu":
        return None
    return [int(number) for number in first[1:]]


def _siblings(cpu: int) -> str:
    # Hardware threads of one core print the same list: `0,64`. Without the file every CPU counts as a core.
    return _text(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").strip() or str(cpu)


def _quotas() -> Iterator[Optional[float]]:
    """CPU quotas of the cgroup and its parents, in cores."""
    for line in _text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, name = "/sys/fs/cgroup", "cpu.max"
        elif "cpu" in controllers.split(","):
            root, name = "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts), -1, -1):
            folder = "/".join([root, *parts[:depth]])
            yield parse_quota(_text(f"{folder}/{name}"), _text(f"{folder}/cpu.cfs_period_us"))


def parse_quota(quota: str, period: str = "") -> Optional[float]:
    """Cores out of cpu.max (`150000 100000`, `max 100000`) or out of the two files of version 1; None is no limit."""
    numbers = quota.split() + period.split()
    if len(numbers) < 2 or not all(number.isdigit() for number in numbers[:2]) or int(numbers[1]) == 0:
        return None
    return int(numbers[0]) / int(numbers[1])


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
