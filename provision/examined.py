"""A machine with what the checks say of it, and the ways to get one: this machine, a snapshot, a paste."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import GpusetupError, InputError, UsageError
from .records import Finding, GpuState

if TYPE_CHECKING:
    from .checks import Level
    from .detect.surroundings import Surroundings
    from .matrix.tables import Matrix
    from .records import CheckResult, Machine

#: States of a check that is not well, and all that a person should see.
BAD = ("fail", "timed-out", "crashed")
_SHOWN = (*BAD, "warn", "unknown")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A snapshot to look through, as if its machine were here."""

    around: Surroundings
    level: Level
    origin: str
    """The file, for messages."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A machine with what the checks say of it."""

    machine: Machine
    results: tuple[CheckResult, ...] = ()
    cause: str | None = None
    """Id of the check that leads the report."""
    folded: tuple[str, ...] = ()
    """Ids that the cause explains."""
    is_here: bool = False
    """Whether it is the machine that gpusetup runs on."""
    recorded: Recorded | None = None
    """The snapshot that it comes from."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong: the cause first, what it explains left out."""
        problems = [r for r in self.results if r.status in _SHOWN and r.id not in self.folded]
        ranked = sorted(problems, key=lambda result: (result.id != self.cause, result.status == "warn"))
        return tuple(Finding(r.id, r.status, r.happened, r.evidence, r.safe, r.risky) for r in ranked)


def examine_host() -> Examined:
    """Detect this machine and run the checks that decide whether its GPUs can be used."""
    from .checks import core_checks, lead, run_checks
    from .detect import detect_machine

    require_linux()
    machine, checks = detect_machine(), core_checks()
    results = run_checks(machine, checks, clock=time.perf_counter)
    return Examined(machine, results, *lead(results, checks), is_here=True)


def require_linux() -> None:
    """UsageError elsewhere, in one line."""
    if not sys.platform.startswith("linux"):
        raise UsageError("gpusetup runs on Linux and WSL 2; Windows and macOS are plan targets only (plan --os).")


def examine_snapshot(data: object, *, origin: str) -> Examined:
    """The machine of a snapshot, judged as `examine_host` judges this one; InputError names the place."""
    from .checks import core_checks, lead, run_checks
    from .snapshot import surroundings_of

    around, level = surroundings_of(data, where=origin)
    recorded = Recorded(around, level, origin)
    machine, checks = replayed(recorded), core_checks()
    results = run_checks(machine, checks)
    return Examined(machine, results, *lead(results, checks), recorded=recorded)


def replayed(recorded: Recorded) -> Machine:
    """The machine that a snapshot shows; what was not looked at then can't be read now."""
    from .detect.examine import gather

    try:
        return gather(recorded.around, recorded.level)
    except GpusetupError:
        raise
    except Exception as err:  # whatever a file can hold: numbers without end, lists within lists
        said = f"{recorded.origin}: data.looks: an answer has not the form that detection needs ({err})"
        raise InputError(said) from err


def examine_paste(machine: Machine) -> Examined:
    """A machine that a paste describes: the checks say why its GPU can't be used; where it can, they have no facts."""
    from .checks import core_checks, lead, run_checks

    if machine.gpu_state is not GpuState.UNUSABLE:
        return Examined(machine)
    results = run_checks(machine, core_checks())
    return Examined(machine, results, *lead(results, core_checks()))


def load_default_matrix(site: str | None = None) -> Matrix:
    """The matrix that ships with gpusetup, with the site file over it that was named or is found."""
    from .matrix.load import default_matrix
    from .paths import cache_folder, site_file

    return default_matrix(cache_folder(), site=site_file(site))
