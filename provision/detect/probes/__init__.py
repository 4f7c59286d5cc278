"""Looks that only `check` and `snapshot` take: each turns files, commands and children into readings.

A probe decides nothing. It reads through `Surroundings`, so whatever it saw is in a snapshot, and gives one reading
for every attempt, failed ones with the reason. docs/readings.md names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ...records import Machine, Reading
    from ..surroundings import Surroundings

Level = Literal["instant", "quick", "standard", "deep"]
_COST: Final[dict[str, int]] = {"instant": 0, "quick": 1, "standard": 2, "deep": 3}


@dataclass(frozen=True, slots=True)
class Probe:
    """One look with what it costs."""

    name: str
    level: Level
    """instant reads files of the kernel and of /etc; quick starts programs; standard and deep use the GPU."""
    read: Callable[[Surroundings, Machine], Iterable[Reading]]
    is_after_driver: bool = False
    """Whether it needs what NVML said. Such probes run one after another, when the driver was asked; all others run
    beside that, on what the files show."""


MODULES: Final[dict[str, Level]] = {
    "pci_bus": "instant",
    "boot": "instant",
    "kernel_modules": "quick",
    "packages": "instant",
    "driver_setup": "instant",
    "kernel_log": "instant",
    "cuda": "instant",
    "variables": "instant",
    "python_packages": "quick",
    "containers": "instant",
    "container_runs": "standard",
    "fabric": "instant",
    "network": "instant",
    "system": "instant",
    "gpu_processes": "quick",
    "dcgm": "deep",
}
"""Modules of probes in their order, each with the least level of its probes: no more is imported than is used."""


def probes_for(level: Level) -> Iterator[Probe]:
    """The probes that a level pays for, in their order."""
    for name, least in MODULES.items():
        if _COST[least] <= _COST[level]:
            found: Sequence[Probe] = import_module(f".{name}", __name__).PROBES
            yield from (probe for probe in found if _COST[probe.level] <= _COST[level])
