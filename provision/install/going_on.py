"""EDGE: what a run takes up of an interrupted one, and what it writes down for one that may have to go on."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..errors import InstallError
from ..records import Evidence
from . import environment as envs
from .availability import asked
from .choosing import Chosen, ask_others
from .journal import PHASES, Journal, boot, host, python_of
from .lock import shareable
from .looking import sources_for
from .receipt import changes_of, read_receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..records import PackageChange, Receipt, Rejection
    from .apply import Order
    from .journal import Book


class Run(Protocol):
    """What is needed of the run that goes on."""

    @property
    def order(self) -> Order:
        """What to make."""

    @property
    def folder(self) -> Path:
        """The environment to be."""

    @property
    def book(self) -> Book | None:
        """Its journal."""

    def tell(self, text: str) -> None:
        """Say something that is always told."""


def verified_before(run: Run, left: Journal | None) -> Receipt | None:
    """The receipt of an environment that an interrupted run had verified, if it still is as the receipt says."""
    if left is None or "verify" not in left.finished or run.folder.name != left.folder:
        return None
    receipt = read_receipt(run.folder)
    if receipt is None or receipt.plan_digest != left.plan_digest or receipt.path != str(run.order.environment):
        return None
    if changes_of(run.folder, receipt):
        return None
    run.tell("going on after an interrupted run: installed and verified, not in place")
    if run.book is not None:
        run.book.begin(replace(left, keep=run.order.keep, previous=_current(run.order)))
    return replace(receipt, resumed=PHASES)


def taken_up(run: Run, left: Journal) -> Chosen | None:
    """The choice of an interrupted run; None where the source that torch came from is not configured any more."""
    order = run.order
    if left.lock is None:
        return None
    known = sources_for((left.build,), order.configuration, order.builtin) if left.source else ()
    location = next((item for item in known if item.source == left.source), None)
    interpreter = next((item for item in order.interpreters if python_of(item) == left.python), None)
    if interpreter is None or (left.source is not None and location is None):
        return None
    has_files = run.folder.name == left.folder
    done = "installed, not verified" if has_files else "versions and files are chosen"
    run.tell(f"going on after an interrupted run: {done}")
    asked_again = ask_others(order, left.lock, location) if location and not has_files else None
    return Chosen(left.build, left.wheel, location, interpreter, left.lock, inquiry=asked_again, left=left.conflicts)


def decided(run: Run, chosen: Chosen, over: tuple[Rejection, ...], left: Journal | None) -> Journal:
    """What is written down of a choice; `left` when it was that of an interrupted run."""
    order, previous = run.order, _current(run.order)
    if left is not None:
        finished = left.finished if run.folder.name == left.folder else ("resolve",)
        return replace(
            left,
            folder=run.folder.name,
            previous=previous,
            keep=order.keep,
            finished=tuple(phase for phase in finished if phase != "verify"),
        )
    return Journal(
        plan_digest=order.plan_digest,
        backend=order.backend,
        host=host(),
        boot=boot(),
        python=python_of(chosen.interpreter),
        started_at=time.time(),
        folder=run.folder.name,
        previous=previous,
        keep=order.keep,
        build=chosen.build,
        wheel=chosen.wheel,
        source=chosen.location.source if chosen.location else None,
        lock=chosen.lock if shareable(chosen.lock) == chosen.lock else None,
        passed_over=(*over, *chosen.rejections),
        asked=asked(chosen.answers),
        conflicts=chosen.left,
    )


def _current(order: Order) -> str | None:
    current = envs.Store.of(order.environment).current
    return current.name if current else None


def spoiled(folder: Path, changes: Sequence[PackageChange]) -> InstallError:
    """The error of an environment that was taken up and is not what its packages say."""
    return InstallError(
        "The environment that an interrupted run left is not whole.",
        code="verification-failed",
        evidence=tuple(Evidence(item.name, item.found, source=str(folder), needs=item.expected) for item in changes),
    )
