"""EDGE: which processes still use an environment, as /proc tells it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 8 * 2**20
"""Bytes of one file of /proc that are looked at; a process that maps all of torch has a tenth of it."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running process."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


def users_of(folders: Sequence[Path]) -> dict[Path, Process]:
    """One process for each of the folders that is in use: it maps files of it, works in it or was started from it.

    Only processes that this user may look at are seen, and none of another container. A shell whose PATH names the
    folder is none: nothing of it runs.
    """
    used: dict[Path, Process] = {}
    if not folders:
        return used
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda item: int(item.name)):
        seen = _seen(entry)
        for folder in folders:
            if folder not in used and os.fsencode(folder) + b"/" in seen:
                used[folder] = Process(int(entry.name), _name(entry))
    return used


def _seen(entry: Path) -> bytes:
    """The paths that a process shows; what may not be read, or has just ended, shows none."""
    pieces = []
    for name in ("exe", "cwd"):
        try:
            pieces.append(os.fsencode(os.readlink(entry / name)) + b"/")  # noqa: PTH115 - bytes are compared
        except OSError:
            continue
    # 7f3c1c000000-7f3c1c200000 r-xp 00000000 08:02 1234  /srv/.env.gpusetup/20261123T101500.250000/lib/.../_C.so
    for name in ("cmdline", "maps"):
        try:
            with (entry / name).open("rb") as stream:
                pieces.append(stream.read(_LONGEST))
        except OSError:
            continue
    return b"\0".join(pieces)


def _name(entry: Path) -> str:
    try:
        return (entry / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
