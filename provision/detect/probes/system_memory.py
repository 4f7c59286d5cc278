"""Memory, swap, huge pages and shared memory."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ...plain_text import plain
from ...records import Reading
from .control_groups import tightest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_HUGE = "/sys/kernel/mm/hugepages"
_THP = "/sys/kernel/mm/transparent_hugepage/enabled"
_PRESSURE = "/proc/pressure/memory"
_ARC = "/proc/spl/kstat/zfs/arcstats"
_LEFT_BEHIND = ("nccl-", "torch_", "psm_", "cuda.shm.")
"""Starts of names in /dev/shm that NCCL, PyTorch, Python and CUDA give and that a killed process leaves there."""


# MemTotal:       24684084 kB
def parse_meminfo(text: str) -> dict[str, int]:
    """Fields of /proc/meminfo in bytes; those without a unit are counts."""
    found = {}
    for name, value, unit in re.findall(r"^([\w()]+):\s+(\d{1,15})( kB)?$", text, re.MULTILINE):
        found[name] = int(value) * (1024 if unit else 1)
    return found


# Node 0, zone   Normal  12551  10642   2628   3845   2656   1873   1130    912    688    543   4079
def parse_buddyinfo(text: str) -> tuple[int, ...]:
    """Free blocks of each order, smallest first, of all zones together."""
    total: list[int] = []
    for row in re.findall(r"^Node\s+\d+, zone\s+\S+\s+([\d ]+)$", text, re.MULTILINE):
        counts = [int(word) for word in row.split()]
        total += [0] * (len(counts) - len(total))
        total = [have + more for have, more in zip(total, counts + [0] * (len(total) - len(counts)), strict=True)]
    return tuple(total)


# always [madvise] never
def parse_chosen(text: str) -> str | None:
    """The word in brackets of a file that offers several."""
    match = re.search(r"\[([\w+-]{1,32})\]", text)
    return match[1] if match else None


# c_min                           4    1056964608
# size                            4    8589934592
def parse_arc(text: str) -> int | None:
    """Bytes that the cache of ZFS would give back; the kernel does not count them as available."""
    rows = dict(re.findall(r"^(c_min|size)\s+\d+\s+(\d{1,19})$", text, re.MULTILINE))
    return max(0, int(rows["size"]) - int(rows["c_min"])) if {"c_min", "size"} == rows.keys() else None


def read_memory(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """Memory of the machine and what this process may have of it."""
    text, failure = around.attempt("/proc/meminfo", longest=16384)
    fields = parse_meminfo(text or "")
    for name, field in (
        ("mem.total_bytes", "MemTotal"),
        ("mem.available_bytes", "MemAvailable"),
        ("swap.total_bytes", "SwapTotal"),
        ("swap.free_bytes", "SwapFree"),
    ):
        value = fields.get(field)
        why = None if value is not None else failure or f"/proc/meminfo has no {field}"
        yield Reading(name, "/proc/meminfo", value, why)
    if around.exists(_ARC):
        arc = parse_arc(around.text(_ARC, longest=65536) or "")
        yield Reading("mem.zfs_cache_bytes", _ARC, arc, None if arc is not None else f"{_ARC} is of no known form")
    yield tightest(around, "memory")
    yield from _pages(around)
    yield from _shared(around)


def _pages(around: Surroundings) -> Iterator[Reading]:
    text, failure = around.attempt("/proc/buddyinfo", longest=65536)
    blocks = parse_buddyinfo(text or "")
    yield Reading("mem.free_blocks", "/proc/buddyinfo", blocks or None, None if blocks else failure or "it is empty")
    page = around.answer("page size", lambda: os.sysconf("SC_PAGE_SIZE"))
    yield Reading("mem.page_bytes", "sysconf", page, None if page else "nobody asked")
    text, failure = around.attempt(_THP, longest=256)
    chosen = parse_chosen(text or "")
    yield Reading("mem.thp", _THP, chosen, None if chosen else failure or "of no known form")
    for name in around.names(_HUGE):
        # hugepages-1048576kB
        match = re.fullmatch(r"hugepages-(\d{1,12})kB", name)
        counts = [_count(around, f"{_HUGE}/{name}/{file}") for file in ("nr_hugepages", "free_hugepages")]
        if match and None not in counts:
            yield Reading("mem.huge_pages", f"{_HUGE}/{name}", (int(match[1]) * 1024, *counts))
    text, failure = around.attempt(_PRESSURE, longest=512)
    stalled = parse_pressure(text or "")
    why = None if stalled is not None else failure or f"{_PRESSURE} is of no known form"
    yield Reading("mem.stalled_percent", _PRESSURE, stalled, why)


# full avg10=0.00 avg60=1.25 avg300=0.40 total=123456
def parse_pressure(text: str) -> float | None:
    """Share of the last minute in which all running work waited for memory, percent."""
    match = re.search(r"^full .*?\bavg60=(\d{1,3}\.\d{1,4})\b", text, re.MULTILINE)
    return float(match[1]) if match else None


def _count(around: Surroundings, path: str) -> int | None:
    text = plain(around.text(path, longest=64) or "")
    return int(text) if re.fullmatch("[0-9]{1,19}", text) else None


def _shared(around: Surroundings) -> Iterator[Reading]:
    space, failure = around.space("/dev/shm")  # noqa: S108 -- looked at, not used
    value = (space.total_bytes, space.free_bytes) if space else None
    yield Reading("shm.space", "/dev/shm", value, failure)  # noqa: S108
    left = around.answer("shm.left_behind", lambda: _left_behind(around))
    yield Reading("shm.left_behind", "/dev/shm", left, None if left is not None else "nobody counted them")  # noqa: S108


def _left_behind(around: Surroundings) -> int | None:
    """How many files of GPU programs lie there; running ones have some too."""
    try:
        names = os.listdir(around.path("/dev/shm"))  # noqa: PTH208, S108 -- cheaper
    except OSError:
        return None
    return sum(name.startswith(_LEFT_BEHIND) for name in names)
