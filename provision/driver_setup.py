"""The order of `driver install` and `driver undo`: which run, its steps, what they came to, is the driver there."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .documents.codec import decode, encode
from .documents.envelope import finding_of
from .errors import ExitCode, InstallError, UsageError
from .records import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from .drivers.hand import Hand
    from .drivers.journal import Book
    from .drivers.plan import DriverPlan
    from .drivers.records import DriverRun
    from .drivers.running import Ending
    from .drivers.steps import Step
    from .events import EventSink
    from .records import Machine

_REBOOT: Final = "sudo systemctl reboot"


@dataclass(frozen=True, slots=True)
class DriverJob:
    """What every command about a run needs."""

    base: Path
    """The folder of the runs."""
    hand: Hand
    events: EventSink
    look: Callable[[], Machine]
    """The machine as it is now."""
    may_reboot: bool = False
    may_load: bool = False
    """Whether a reboot is left out where the new driver can be loaded without one."""


@dataclass(frozen=True, slots=True)
class DriverOutcome:
    """How far a run came, and what that means for the command."""

    run: DriverRun
    plan: Any
    """The plan as its document shows it."""
    findings: tuple[Finding, ...] = ()
    exit_code: ExitCode = ExitCode.OK
    is_done: bool = False
    """Whether all steps are done and the driver answers."""

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of driver-plan/1."""
        return {**(self.plan or {}), "run": encode(self.run)}


def machine_hand(*, has_terminal: bool = False) -> Hand:
    """The hand for this machine; keys are fetched through the user's proxy and certificates."""
    from .drivers.hand import MachineHand

    return MachineHand(_fetch_key, environ=_roots_environment(os.environ), has_terminal=has_terminal)


def _roots_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the folders of root's programs: dpkg refuses to work without, and `su` alone has none."""
    folders = (environ.get("PATH") or os.defpath).split(os.pathsep)
    missing = [folder for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin") if folder not in folders]
    return {**environ, "PATH": os.pathsep.join([*folders, *missing])}


def _fetch_key(url: str) -> bytes:
    from .drivers.keys import MAX_KEY_BYTES
    from .install.configuration import read_configuration
    from .install.fetching import Fetcher, FetchError

    known = read_configuration()
    fetcher = Fetcher(
        proxy=known.proxy, cert=known.cert, client_cert=known.client_cert, trusted_hosts=known.trusted_hosts
    )
    try:
        return fetcher.content(url, MAX_KEY_BYTES)
    except FetchError as err:
        raise OSError(None, str(err)) from err


def require_root(command: str) -> None:
    """UsageError with the line to type where the user may not change the machine."""
    if os.geteuid() != 0:
        raise UsageError(
            "Changing the driver needs root.",
            code="needs-root",
            evidence=(Evidence("user id", os.geteuid(), needs=0),),
            do=(f"sudo {command}",),
        )


def unfinished(base: Path) -> Book | None:
    """The newest run, where it is not at its end; InputError where its journal can't be read."""
    from .drivers.journal import UNFINISHED, open_run, runs

    name = next(iter(runs(base)), None)
    book = open_run(base, name) if name else None
    return book if book and book.journal.state in UNFINISHED else None


def begin(job: DriverJob, plan: DriverPlan, *, is_fresh: bool = False) -> DriverOutcome:
    """Run the steps of a plan that somebody agreed to; InstallError where another run is not at its end."""
    from .documents.driver import driver_data
    from .drivers.journal import Book
    from .drivers.records import Goal

    with _locked(job):
        if not is_fresh:
            refuse_unfinished(job.base)
        goal = Goal(plan.branch, plan.kernel_module)
        book = Book.begin(job.base, for_this_kernel(plan.steps), goal, encode(driver_data(plan)))
        return _carried_out(job, book)


def for_this_kernel(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps with the running kernel where the plan left its place open, as the text of a plan asks uname."""
    from .drivers.job import RUNNING_KERNEL
    from .drivers.steps import Step

    text = json.dumps(encode(steps))
    if RUNNING_KERNEL not in text:
        return steps
    filled = json.loads(text.replace(RUNNING_KERNEL, os.uname().release))
    return decode(tuple[Step, ...], filled, where="the plan")


def refuse_unfinished(base: Path) -> None:
    """InstallError where a run waits to go on."""
    book = unfinished(base)
    if book is not None:
        raise InstallError(
            f"A run of driver steps is not at its end ({book.journal.state.replace('-', ' ')}).",
            code="driver-run-unfinished",
            evidence=(Evidence("journal", str(book.folder)),),
            do=(
                "gpusetup driver install --resume    (goes on where it was)",
                "gpusetup driver undo    (takes back what was done)",
                "gpusetup driver install --fresh    (leaves it as it is and makes a new plan)",
            ),
        )


def resume(job: DriverJob) -> DriverOutcome:
    """Go on with the newest run; UsageError where there is none."""
    with _locked(job):
        book = unfinished(job.base)
        if book is None:
            raise UsageError("--resume: no run of driver steps waits to go on.", do=("gpusetup driver install",))
        return _carried_out(job, book)


def undo(job: DriverJob, book: Book) -> DriverOutcome:
    """Take back a run that `newest_to_undo` named."""
    from .drivers.account import run_of
    from .drivers.journal import open_run
    from .drivers.undoing import take_back

    with _locked(job):
        book = open_run(job.base, book.journal.id)  # as it is now that nobody else can change it
        ending = take_back(book, job.hand, job.events)
        return _outcome(book, run_of(book), ending)


def newest_to_undo(base: Path) -> Book:
    """The newest run with a step that can be taken back; UsageError where there is none."""
    from .drivers.account import was_begun
    from .drivers.journal import open_run, runs

    for name in runs(base):
        book = open_run(base, name)
        if any(was_begun(entry) for entry in book.journal.entries):
            return book
    raise UsageError(
        "There is no run of driver steps to take back.", evidence=(Evidence("runs", len(runs(base)), source=str(base)),)
    )


@contextmanager
def _locked(job: DriverJob) -> Iterator[None]:
    from .drivers.journal import locked

    with locked(job.base):
        yield


def _carried_out(job: DriverJob, book: Book) -> DriverOutcome:
    from .drivers.account import run_of
    from .drivers.running import carry_out

    ending = carry_out(book, job.hand, job.events, may_reboot=job.may_reboot, may_load=job.may_load)
    outcome = _outcome(book, run_of(book), ending)
    if ending.kind != "finished":
        return outcome
    from .drivers.verification import verify

    findings = verify(job.look(), book.journal.goal)
    code = ExitCode.INSTALL_FAILED if findings else ExitCode.OK
    return DriverOutcome(outcome.run, outcome.plan, findings, code, is_done=not findings)


def _outcome(book: Book, run: DriverRun, ending: Ending) -> DriverOutcome:
    plan = book.journal.plan
    if ending.error is not None:
        return DriverOutcome(run, plan, (finding_of(ending.error),), ending.error.exit_code)
    if ending.kind == "stopped":
        return DriverOutcome(run, plan, (_stopped(run),), _code_of(ending.signal))
    if run.needs_reboot:
        return DriverOutcome(run, plan, (_needs_reboot(run),))
    return DriverOutcome(run, plan)


def _stopped(run: DriverRun) -> Finding:
    return Finding(
        "driver-run-stopped",
        "fail",
        "The run was stopped between two actions; what was done stays.",
        (Evidence("journal", run.journal),),
        ("gpusetup driver install --resume", "gpusetup driver undo"),
    )


def _needs_reboot(run: DriverRun) -> Finding:
    after = ("gpusetup driver install --resume    (after it)",) if run.go_on else ()
    happened = "The machine must be restarted before the driver steps go on."
    if not run.go_on:
        happened = "The steps are taken back; what is loaded stays until the machine is restarted."
    return Finding("reboot-needed", "warn", happened, risky=(_REBOOT, *after))


def _code_of(number: int | None) -> ExitCode:
    return ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
