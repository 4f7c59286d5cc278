"""One pass over a machine for the checks: base detection, the driver, and every probe that the level pays for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..plain_text import plain
from ..records import Reading
from . import detect_machine
from .memory import Replay
from .probes import probes_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    machine = detect_machine(around, depth="health")
    after = [_read(probe, around, machine) for probe in probes if probe.is_after_driver]
    return _joined(machine, [*waiting(), *after])


def _joined(machine: Machine, found: Sequence[Sequence[Reading]]) -> Machine:
    return replace(machine, readings=(*machine.readings, *(reading for readings in found for reading in readings)))


def _start(probes: Sequence[Probe], around: Surroundings, machine: Machine) -> Callable[[], list[tuple[Reading, ...]]]:
    """Start the probes, cheap ones here and now, the others in threads; the result waits and keeps their order."""
    if isinstance(around.memory, Replay):  # nothing is waited for
        found = [_read(probe, around, machine) for probe in probes]
        return lambda: found
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(max_workers=4)
    jobs = [pool.submit(_read, probe, around, machine) for probe in probes]

    def wait() -> list[tuple[Reading, ...]]:
        found = [job.result() for job in jobs]
        pool.shutdown(wait=False)
        return found

    return wait


def _read(probe: Probe, around: Surroundings, machine: Machine) -> tuple[Reading, ...]:
    """The probe's readings; one that is broken says so and does not take the others with it."""
    try:
        return tuple(probe.read(around, machine))
    except Exception as err:  # noqa: BLE001 -- odd files of a broken box must not end the pass
        said = plain(f"{type(err).__name__}: {err}")
        return (Reading(f"probe.{probe.name}", "gpusetup", failure=f"this probe is broken: {said}"),)
