"""What a run has come to, as the document shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import GO_ON
from .journal import UNFINISHED
from .proofs import answers
from .records import DriverRun, RunStep
from .words import command_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .hand import Hand
    from .journal import Book
    from .records import StepEntry
    from .steps import Step


def was_begun(entry: StepEntry) -> bool:
    """Whether a step may have changed something that was not taken back."""
    return entry.started_at is not None and entry.state in ("running", "done", "failed", "undoing")


def run_of(book: Book) -> DriverRun:
    """The run as the document shows it."""
    journal = book.journal
    shown = tuple(RunStep(e.id, e.state, e.seconds, e.started_at, e.ended_at, e.said) for e in journal.entries)
    return DriverRun(
        state=journal.state,
        steps=shown,
        needs_reboot=_needs_reboot(book),
        journal=str(book.folder),
        go_on=GO_ON if journal.state in UNFINISHED else None,
        take_back=undo_lines(journal.steps, journal.entries),
    )


def _needs_reboot(book: Book) -> bool:
    if book.journal.state == "waiting-for-reboot":
        return True
    # What was taken back stays loaded until the machine starts again.
    return book.journal.state == "undone" and any(entry.has_restarted for entry in book.journal.entries)


def undo_lines(steps: Sequence[Step], entries: Sequence[StepEntry]) -> tuple[str, ...]:
    """What taking back the begun steps would do, in its order."""
    lines: list[str] = []
    for step, entry in reversed(list(zip(steps, entries, strict=True))):
        if was_begun(entry):
            lines += [f"restore {kept.path}" for kept in reversed(entry.kept)]
            restored = {kept.path for kept in entry.kept}
            lines += [command_of(action) for action in step.undo if getattr(action, "path", None) not in restored]
    return tuple(lines)


def rehearse(steps: Sequence[Step], hand: Hand) -> DriverRun:
    """Which steps are done already; nothing is changed."""
    shown = []
    for step in steps:
        if step.done_when and all(answers(hand, proof) for proof in step.done_when):
            shown.append(RunStep(step.id, "passed-over"))
        else:
            missing = [proof.means for proof in step.needs if not answers(hand, proof)]
            shown.append(RunStep(step.id, said=f"does not hold yet: {'; '.join(missing)}" if missing else None))
    return DriverRun("rehearsed", tuple(shown))
