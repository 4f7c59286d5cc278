"""Runs inside a throw-away system: looks at its packages, runs the steps of a plan, takes them back.

python steps_inside.py look|run|undo FILE     reads FILE (a pickle of what is asked), writes FILE.answer
"""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

RUNS = Path("/var/lib/gpusetup/driver")


def look(machine):
    """The machine with what the package tools of this system say, as `driver plan` reads it."""
    from dataclasses import replace

    from provision.detect.probes.packages import PROBES
    from provision.detect.surroundings import Surroundings

    around = Surroundings()
    found = tuple(reading for probe in PROBES for reading in probe.read(around, machine))
    return replace(machine, readings=(*machine.readings, *found))


def run(asked):
    """Begins a run of these steps, or goes on with the newest."""
    from provision.driver_setup import machine_hand
    from provision.drivers.journal import Book, locked, open_run, runs
    from provision.drivers.running import carry_out

    steps, goal = asked
    with locked(RUNS):
        book = Book.begin(RUNS, steps, goal) if steps is not None else open_run(RUNS, runs(RUNS)[0])
        return _account(book, carry_out(book, machine_hand(), lambda _: None))


def undo(name):
    """Takes a run back, the newest where none is named."""
    from provision.driver_setup import machine_hand
    from provision.drivers.journal import locked, open_run, runs
    from provision.drivers.undoing import take_back

    with locked(RUNS):
        book = open_run(RUNS, name or runs(RUNS)[0])
        return _account(book, take_back(book, machine_hand(), lambda _: None))


def _account(book, ending):
    error = ending.error
    return {
        "kind": ending.kind,
        "error": None if error is None else error.happened,
        "code": None if error is None else error.code,
        "evidence": [] if error is None else [[one.name, str(one.value)] for one in error.evidence],
        "steps": {entry.id: entry.state for entry in book.journal.entries},
        "logs": str(book.folder),
    }


if __name__ == "__main__":
    verb, name = sys.argv[1:]
    answer = {"look": look, "run": run, "undo": undo}[verb](pickle.loads(Path(name).read_bytes()))  # noqa: S301 -- the test wrote it
    Path(f"{name}.answer").write_bytes(pickle.dumps(answer))
