"""One pass over a machine for the checks: base detection, the driver, and every probe that the level pays for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..plain_text import plain
from ..process import no_programs
from ..records import Reading
from . import detect_machine
from .memory import Replay
from .probes import probes_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from ..records import Machine
    from .probes import Level, Probe
    from .surroundings import Surroundings


def gather(around: Surroundings, level: Level = "quick") -> Machine:
    """The machine with the readings of all probes of that level.

    At `instant` no driver is called. Elsewhere probes that wait for programs run beside the driver's children.
    """
    probes = tuple(probes_for(level))
    around.now  # noqa: B018 -- the clock is read when the looking begins
    files = detect_machine(around, depth="none")
    beside = [probe for probe in probes if not probe.is_after_driver]
    if level == "instant":
        return _joined(files, [_read(probe, around, files) for probe in beside])
    waiting = _start(beside, around, files)
    try:
        machine = detect_machine(around, depth="health")
        after = [_read(probe, around, machine) for probe in probes if probe.is_after_driver]
        return _joined(machine, [*waiting.results(), *after])
    except BaseException:  # Ctrl-C: the programs that threads wait for would hold us up
        waiting.give_up()
        raise


def _joined(machine: Machine, found: Sequence[Sequence[Reading]]) -> Machine:
    readings = (*machine.readings, *(reading for readings in found for reading in readings))
    return replace(machine, readings=tuple(map(_believed, readings)))


_LARGEST: Final = 2.0**80
"""Numbers of a machine are smaller; arithmetic with larger ones ends in an error."""


def _believed(reading: Reading) -> Reading:
    """The reading, a failed one in place of a number that no machine has."""
    values = reading.value if isinstance(reading.value, tuple) else (reading.value,)
    if all(not isinstance(one, (int, float)) or -_LARGEST < one < _LARGEST for one in values):
        return reading
    return replace(reading, value=None, failure="a number that no machine has")


_PATIENCE_S = 1.5
"""How long threads may take to end when nobody waits for them any more."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Probes in threads."""

    pool: ThreadPoolExecutor
    jobs: tuple[Future[tuple[Reading, ...]], ...]

    def results(self) -> list[tuple[Reading, ...]]:
        """The readings of each, in their order."""
        found = [job.result() for job in self.jobs]
        self.pool.shutdown(wait=False)
        return found

    def give_up(self) -> None:
        """End the programs that they wait for, and start no others."""
        from concurrent.futures import wait

        with no_programs():
            self.pool.shutdown(wait=False, cancel_futures=True)
            wait(self.jobs, timeout=_PATIENCE_S)


@dataclass(frozen=True, slots=True)
class _Done:
    """Probes of a snapshot: nothing is waited for."""

    found: list[tuple[Reading, ...]]

    def results(self) -> list[tuple[Reading, ...]]:
        """The readings of each, in their order."""
        return self.found

    def give_up(self) -> None:
        """Nothing runs."""


def _start(probes: Sequence[Probe], around: Surroundings, machine: Machine) -> _Waiting | _Done:
    """Start the probes in threads."""
    if isinstance(around.memory, Replay):
        return _Done([_read(probe, around, machine) for probe in probes])
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(max_workers=4)
    return _Waiting(pool, tuple(pool.submit(_read, probe, around, machine) for probe in probes))


def _read(probe: Probe, around: Surroundings, machine: Machine) -> tuple[Reading, ...]:
    """The probe's readings; one that is broken says so and does not take the others with it."""
    try:
        return tuple(probe.read(around, machine))
    except Exception as err:  # noqa: BLE001 -- odd files of a broken box must not end the pass
        said = plain(f"{type(err).__name__}: {err}")
        return (Reading(f"probe.{probe.name}", "gpusetup", failure=f"this probe is broken: {said}"),)
