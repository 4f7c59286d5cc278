"""EDGE: takes back the steps of a run, the last one first: files as they stood before, then the undo of each step."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING

from ..errors import InstallError
from ..events import Event
from .account import was_begun
from .actions import Work, perform, restore
from .records import StepEntry
from .running import guarded, mend, now, stop_if_asked
from .steps import FetchKey, Reboot, RemoveFile, WriteFile

if TYPE_CHECKING:
    from ..events import EventSink
    from .hand import Hand
    from .journal import Book
    from .running import Ending
    from .steps import Action


def take_back(book: Book, hand: Hand, events: EventSink) -> Ending:
    """Take back every step that was begun, the last one first. Call with the lock held."""
    return guarded(book, events, partial(Work, book, hand, events), _undo_steps, kind="undone")


def _undo_steps(work: Work) -> None:
    for index in reversed(range(len(work.book.journal.steps))):
        stop_if_asked(work)
        entry = work.book.entry(index)
        if was_begun(entry):
            _undo_step(work, index, entry)
            work.events(Event("driver", "end", f"undone: {entry.id}"))


def _undo_step(work: Work, index: int, entry: StepEntry) -> None:
    step = work.book.journal.steps[index]
    if entry.state == "running":
        mend(work, index, step)
    was_done = entry.state in ("done", "undoing") and entry.actions_done == len(step.actions)
    work.book.mark(index, state="undoing")
    alone = [said for said in (restore(work, kept) for kept in reversed(entry.kept)) if said]
    restored = {kept.path for kept in entry.kept}
    for number, action in enumerate(step.undo):
        is_restored = isinstance(action, (WriteFile, RemoveFile, FetchKey)) and action.path in restored
        if number >= entry.undo_done and not is_restored and not isinstance(action, Reboot):
            _undo_action(work, index, action, has_to=was_done)
            work.book.mark(index, undo_done=number + 1)
            stop_if_asked(work)
    has_restarted = entry.boot_id is not None and entry.actions_done == len(step.actions)
    fresh = StepEntry(step.id, "undone", ended_at=now(), said="; ".join(alone) or None, has_restarted=has_restarted)
    work.book.mark(index, **{field.name: getattr(fresh, field.name) for field in fields(fresh)})
    for said in alone:
        work.note(said)


def _undo_action(work: Work, index: int, action: Action, *, has_to: bool) -> None:
    try:
        perform(work, index, action, is_undo=True)
    except InstallError as err:
        # What a step did not come to do can't always be taken back: a hold that was never set, say.
        if has_to or err.code != "step-failed":
            raise
        work.note(err.happened)
