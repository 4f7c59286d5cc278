"""EDGE: runs the steps of a driver plan one by one, each transition in the journal, and takes them back.

A step begins only when what it needs holds, is passed over when it is done already, and counts as done only when its
proof says so afterwards. A run that broke off, by a failure, a signal, a power loss or a reboot, goes on where it was.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import GpusetupError, InstallError
from ..events import Event
from ..plain_text import plain
from ..records import Evidence
from .actions import GO_ON, TAKE_BACK, Work, command, perform
from .managers import mending_of
from .proofs import answers, evidence_of
from .steps import Packages, Reboot
from .stopping import deferred_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..events import EventSink
    from .hand import Hand
    from .journal import Book
    from .steps import Step
    from .stopping import Stop

_REBOOT: Final = ("systemctl", "reboot")
_CHILD_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, for now."""

    kind: Literal["finished", "undone", "reboot", "stopped", "failed"]
    error: GpusetupError | None = None
    """Why it failed."""
    signal: int | None = None
    """What stopped it."""


class _RebootNeededError(Exception):
    """The next thing to happen is a start of the machine."""


class _StoppedError(Exception):
    """Somebody wants the run to end, and no action is running."""


def carry_out(book: Book, hand: Hand, events: EventSink, *, may_reboot: bool = False, may_load: bool = False) -> Ending:
    """Do every step that is not done, until the end, a reboot, a failure or a signal. Call with the lock held.

    With `may_load` no reboot is asked for where the new driver can be loaded at once.
    """
    work = partial(Work, book, hand, events, may_load=may_load)
    ending = guarded(book, events, work, _do_steps)
    return _reboot(book, hand, events) if ending.kind == "reboot" and may_reboot else ending


def guarded(
    book: Book,
    events: EventSink,
    work_of: Callable[[Stop], Work],
    do: Callable[[Work], None],
    *,
    kind: Literal["finished", "undone"] = "finished",
) -> Ending:
    """Every way in which the steps can end as an ending, and as the state of the journal."""

    def tell() -> None:
        events(Event("driver", "note", "stopping as soon as the action that runs has ended; ending it would break it"))

    with deferred_signals(tell) as stop:
        work = work_of(stop)
        try:
            book.change(state="running")
            _await_child(work)
            do(work)
        except _RebootNeededError:
            book.change(state="waiting-for-reboot")
            return Ending("reboot")
        except _StoppedError:
            book.change(state="stopped")
            return Ending("stopped", signal=stop.signal)
        except OSError as err:
            book.change(state="failed")
            return Ending("failed", _disk_error(err))
        except GpusetupError as err:
            if err.code != "driver-journal-not-writable":
                book.change(state="failed")
            return Ending("failed", err)
        book.change(state=kind)
        return Ending(kind)


def _disk_error(err: OSError) -> InstallError:
    return InstallError(
        f"A file of the driver steps can't be used: {err.strerror or err}.",
        code="step-failed",
        evidence=(Evidence(str(err.filename), err.strerror, source="file system"),),
        do=(GO_ON, TAKE_BACK),
    )


def stop_if_asked(work: Work) -> None:
    """Leave the run where somebody wants it to end."""
    if work.stop.signal is not None:
        raise _StoppedError


def _await_child(work: Work) -> None:
    """Wait for a program of a run that was killed: two package managers at once would only wait for each other."""
    child = work.book.journal.child
    if child is None:
        return
    if work.hand.is_alive(child):
        work.note(f"waiting for process {child.pid}, which the run before has started")
    while work.hand.is_alive(child):
        stop_if_asked(work)
        time.sleep(_CHILD_LOOK_S)
    work.book.change(child=None)


# --- there --------------------------------------------------------------------------------------


def _do_steps(work: Work) -> None:
    steps = work.book.journal.steps
    for index, step in enumerate(steps):
        stop_if_asked(work)
        if work.book.entry(index).state in ("done", "passed-over"):
            continue
        started = time.monotonic()
        state = _do_step(work, index, step)
        text = f"{index + 1}/{len(steps)} {step.id}" + ("  (done already)" if state == "passed-over" else "")
        work.events(Event("driver", "end", text, seconds=time.monotonic() - started))


def _do_step(work: Work, index: int, step: Step) -> str:
    book, entry = work.book, work.book.entry(index)
    was_broken_off = entry.state in ("running", "undoing")
    if entry.started_at is not None:
        mend(work, index, step)
    if entry.state == "undoing":  # nobody knows how much of it still stands
        entry = book.mark(index, state="running", actions_done=0, undo_done=0)
    if step.done_when and all(answers(work.hand, proof) for proof in step.done_when):
        state: Any = "done" if entry.started_at else "passed-over"
        book.mark(index, state=state, said=None, ended_at=now())
        return str(state)
    if not was_broken_off:
        _require(work, index, step)
        entry = book.mark(index, state="running", said=None, started_at=entry.started_at or now())
    work.events(Event("driver", "progress", f"{step.id}: {step.why}"))
    for number in range(entry.actions_done, len(step.actions)):
        _do_action(work, index, number)
        stop_if_asked(work)
    _require_done(work, index, step)
    book.mark(index, state="done", ended_at=now())
    return "done"


def _do_action(work: Work, index: int, number: int) -> None:
    action = work.book.journal.steps[index].actions[number]
    started = time.monotonic()
    try:
        if isinstance(action, Reboot):
            _require_reboot(work, index)
        else:
            perform(work, index, action)
    except GpusetupError as err:
        work.book.mark(index, state="failed", said=plain(err.happened), ended_at=now())
        raise
    took = (work.book.entry(index).seconds or 0.0) + time.monotonic() - started
    work.book.mark(index, actions_done=number + 1, seconds=round(took, 3))


def mend(work: Work, index: int, step: Step) -> None:
    """Finish what a package manager was doing when the power went, so that it takes orders again."""
    managers = {action.manager for action in step.actions if isinstance(action, Packages)}
    for manager in sorted(managers):
        argv = mending_of(manager)
        if argv is not None:
            work.note(f"step {step.id} broke off: {' '.join(argv)}")
            command(work, index, argv)


def _require(work: Work, index: int, step: Step) -> None:
    """InstallError when something that the step needs does not hold; nothing of it has been done then."""
    for proof in step.needs:
        if answers(work.hand, proof):
            continue
        error = InstallError(
            f"Step {step.id} was not begun, because this does not hold: {proof.means}.",
            code="precondition-failed",
            evidence=(evidence_of(work.hand, proof),),
            do=(*((proof.do,) if proof.do else ()), GO_ON),
        )
        work.book.mark(index, state="failed", said=plain(error.happened))
        raise error


def _require_done(work: Work, index: int, step: Step) -> None:
    """InstallError when all actions of a step went well and it is still not done."""
    missing = next((proof for proof in step.done_when if not answers(work.hand, proof)), None)
    if missing is None:
        return
    error = InstallError(
        f"Step {step.id} ran without an error, and still this does not hold: {missing.means}.",
        code="step-not-done",
        evidence=(evidence_of(work.hand, missing), Evidence("log", str(work.book.log(index)))),
        do=(*((missing.do,) if missing.do else ()), "gpusetup check", GO_ON, TAKE_BACK),
    )
    work.book.mark(index, state="failed", actions_done=0, said=plain(error.happened), ended_at=now())
    raise error


# --- and the boot between -----------------------------------------------------------------------


def _require_reboot(work: Work, index: int) -> None:
    """Pass when the machine was started since the run first came here; the journal remembers that boot."""
    began, now = work.book.entry(index).boot_id, work.hand.boot_id()
    if now is None:
        raise InstallError(
            "The kernel does not tell the id of this boot, so nobody can tell whether the machine was restarted.",
            code="step-failed",
            evidence=(Evidence("boot_id", None, source="/proc/sys/kernel/random/boot_id"),),
            do=("mount /proc",),
        )
    if began is None:
        work.book.mark(index, boot_id=now)
    if began in (None, now) and not (work.may_load and _load(work, index)):
        raise _RebootNeededError


# nvidia 104165376 2 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 (OE)
_HOLDS_GPUS: Final = re.compile(r"^(?:nouveau|nova_core|nvidia) ", re.MULTILINE)


def _load(work: Work, index: int) -> bool:
    """Whether the driver could be loaded into the running kernel: no other one holds the GPUs, and they answer."""
    loaded = work.hand.modules()
    if loaded is None or _HOLDS_GPUS.search(loaded):
        return False
    try:
        command(work, index, ("modprobe", "nvidia"))
    except InstallError as err:
        work.note(f"the driver can't be loaded without a restart: {err.happened}")
        return False
    if not work.hand.ask(("nvidia-smi", "-L")).ok:
        return False
    work.note("the driver is loaded; no restart is needed")
    return True


def _reboot(book: Book, hand: Hand, events: EventSink) -> Ending:
    index = next(number for number, entry in enumerate(book.journal.entries) if entry.state == "running")
    with deferred_signals(lambda: None) as stop:  # the machine that goes down ends us, too
        work = Work(book, hand, events, stop)
        work.note("restarting the machine")
        try:
            command(work, index, _REBOOT)
        except InstallError as err:
            return Ending("failed", err)
    return Ending("reboot")


def now() -> str:
    """UTC time, as the journal writes it."""
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
