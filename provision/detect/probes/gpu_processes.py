"""Whether the processes that the driver lists on the GPUs are alive."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ...records import Reading
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_LISTED = re.compile(r"gpu\.\d+\.(?:compute|mps)_pids")
# Linux gives the first process namespace this number (PROC_PID_INIT_INO, include/linux/proc_ns.h, read 2026-11).
_FIRST_NAMESPACE = "pid:[4026531836]"


def read(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """`gpu.dead_pids`: listed by NVML and then by nvidia-smi, and not alive in between; nothing without a list."""
    pids = sorted(_listed(machine))
    if not pids:
        return
    name, source = "gpu.dead_pids", "/proc"
    namespace = around.link("/proc/self/ns/pid")
    if namespace != _FIRST_NAMESPACE:
        said = "has processes of its own" if namespace else "has a namespace of processes that could not be read"
        yield Reading(name, source, failure=f"this system {said}, and the driver gives the host's numbers")
        return
    gone = around.answer("gpu.pids_gone", lambda: [pid for pid in pids if not _is_alive(pid)])
    if gone is None:
        yield Reading(name, source, failure="nobody looked")
        return
    if not gone:
        yield Reading(name, source, ())
        return
    # A process may have ended since NVML was asked: only one that is still listed is a ghost.
    again = around.tell("nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader,nounits")
    if again.failure or again.returncode != 0:
        yield Reading(
            name, source, failure=f"some have ended, and nvidia-smi lists none again: {again.failure or 'error'}"
        )
        return
    listed = parse_listed_pids(again.stdout)
    yield Reading(name, source, tuple(pid for pid in gone if pid in listed))


def _listed(machine: Machine) -> Iterable[int]:
    for reading in machine.readings:
        if _LISTED.fullmatch(reading.name) and isinstance(reading.value, tuple):
            yield from (pid for pid in reading.value if isinstance(pid, int) and pid > 0)


def _is_alive(pid: int) -> bool:
    """Whether there is such a process; /proc may hide those of others, a signal that does nothing does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


# 4242
# 4243
# [Not Found]
def parse_listed_pids(text: str) -> frozenset[int]:
    """Process numbers that nvidia-smi lists, one on a line."""
    return frozenset(int(line) for line in text.split() if line.isdecimal())


PROBES = (Probe("gpu processes", "quick", read, is_after_driver=True),)
