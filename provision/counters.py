"""Counters of a GPU as they were at earlier checks of this boot, and how fast they grew since.

A lifetime value says that something happened once; what matters is whether it goes on. Snapshots are kept in the
user's history, one file per boot, and whatever is wrong with one is no error: it counts as none.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .private_store import PrivateStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MOST_SNAPSHOTS: Final = 32
"""Of one boot and GPU; the newest ones are kept."""
_MOST_BOOTS: Final = 4
_MOST_GPUS: Final = 1024
_BOOT_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_STORE: Final = PrivateStore("counters", "gpusetup.counters/1", max_entries=_MOST_BOOTS, max_bytes=4 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the counters of one GPU were at one time."""

    boot_id: str
    """/proc/sys/kernel/random/boot_id: counters of the driver and the clock begin anew with each."""
    gpu_uuid: str
    """Whose counters they are: a GPU, or an InfiniBand port by its name in readings (ib.mlx5_0.1)."""
    taken_at: float
    """Seconds since the boot (CLOCK_BOOTTIME), which no change of the time of day moves."""
    counters: Mapping[str, int]


class Rate(NamedTuple):
    """How a counter grew."""

    delta: int
    seconds: float


def rates(previous: Snapshot | None, now: Snapshot) -> dict[str, Rate]:
    """Growth of every counter that both snapshots have.

    Empty for another boot or GPU, and where no time has passed. A counter that went backwards was reset and has none.
    """
    if previous is None or (previous.boot_id, previous.gpu_uuid) != (now.boot_id, now.gpu_uuid):
        return {}
    seconds = now.taken_at - previous.taken_at
    if not seconds > 0:
        return {}
    return {
        name: Rate(value - before, seconds)
        for name, value in now.counters.items()
        if (before := previous.counters.get(name)) is not None and value >= before
    }


@dataclass(frozen=True, slots=True)
class CounterHistory:
    """The snapshots of one boot that were kept, oldest first."""

    snapshots: tuple[Snapshot, ...] = ()
    note: str | None = None
    """Why there are none although a file is there."""

    def latest(self, gpu_uuid: str) -> Snapshot | None:
        """The newest one of a GPU."""
        return next((one for one in reversed(self.snapshots) if one.gpu_uuid == gpu_uuid), None)

    def since(self, gpu_uuid: str, taken_at: float) -> Snapshot | None:
        """The newest one of a GPU that is no younger than that time: what a rate over a span begins with."""
        found = [one for one in self.snapshots if one.gpu_uuid == gpu_uuid and one.taken_at <= taken_at]
        return found[-1] if found else None

    def with_(self, taken: Sequence[Snapshot]) -> tuple[Snapshot, ...]:
        """The snapshots with new ones, the newest MOST_SNAPSHOTS of each GPU."""
        merged = sorted((*self.snapshots, *taken), key=lambda one: one.taken_at)
        kept: dict[str, int] = {}
        newest: list[Snapshot] = []
        for one in reversed(merged):
            kept[one.gpu_uuid] = kept.get(one.gpu_uuid, 0) + 1
            if kept[one.gpu_uuid] <= MOST_SNAPSHOTS:
                newest.append(one)
        return tuple(reversed(newest))


def counters_text(snapshots: Sequence[Snapshot]) -> str:
    """Snapshots as the JSON that is kept."""
    rows = [{"gpu": one.gpu_uuid, "taken_at": one.taken_at, "counters": dict(one.counters)} for one in snapshots]
    return json.dumps({"snapshots": rows}, separators=(",", ":"), allow_nan=False)


def parse_counters(text: str, *, boot_id: str) -> tuple[Snapshot, ...]:
    """The snapshots of a text that counters_text made; ValueError for anything else."""
    try:
        rows = json.loads(text)["snapshots"]
        found = tuple(_snapshot(row, boot_id) for row in rows)
    except (KeyError, TypeError, RecursionError) as err:
        raise ValueError from err
    if len(found) > MOST_SNAPSHOTS * _MOST_GPUS:
        raise ValueError
    return tuple(sorted(found, key=lambda one: one.taken_at))


def _snapshot(row: Any, boot_id: str) -> Snapshot:
    taken_at, counters = float(row["taken_at"]), row["counters"]
    if not (math.isfinite(taken_at) and isinstance(row["gpu"], str) and isinstance(counters, dict)):
        raise ValueError
    if not all(type(value) is int for value in counters.values()):  # true is no counter
        raise ValueError
    return Snapshot(boot_id, row["gpu"], taken_at, counters)


# --- the disk (EDGE)


def read_counters(folder: Path, boot_id: str) -> CounterHistory:
    """What was kept of that boot in the folder; none, with a note, where the file can't be trusted."""
    if not _BOOT_ID.fullmatch(boot_id):
        return CounterHistory()
    raw = _STORE.fetch(folder, boot_id)
    path = folder / _STORE.name / f"{boot_id}.json"
    if raw is not None:
        try:
            return CounterHistory(parse_counters(raw.decode(), boot_id=boot_id))
        except ValueError:
            pass
    elif not path.exists():
        return CounterHistory()
    return CounterHistory(note=f"The counters of earlier checks are not used: {path} is not what was written there.")


def keep_counters(folder: Path, taken: Sequence[Snapshot]) -> None:
    """Add snapshots of one boot to those that are kept, whole or not at all; silent where that can't be done.

    Of two checks that end at the same moment one may lose its snapshot; the file is always that of one of them.
    """
    if taken and _BOOT_ID.fullmatch(taken[0].boot_id):
        boot_id = taken[0].boot_id
        merged = read_counters(folder, boot_id).with_([one for one in taken if one.boot_id == boot_id])
        _STORE.keep(folder, boot_id, counters_text(merged).encode())
