"""EDGE: the beginning and the end of a run: what an earlier one left, and what this one leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import GpusetupError, InstallError
from ..records import EnvironmentInUse, Evidence
from . import environment as envs
from .journal import clear_journal, doubt, has_whole_folder, read_journal
from .receipt import changes_of, read_receipt
from .running import sigterm_unwinds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..records import PackageChange, Receipt
    from .journal import Journal, Situation

MAYBE_OUTDATED = frozenset(("install-failed", "hash-mismatch", "verification-failed"))
"""Errors that may come of what an interrupted run left, and not of what is there now."""
_NAMED = 4


def left_over(store: envs.Store, now: Situation, *, is_fresh: bool, tell: Callable[[str], None]) -> Journal | None:
    """What this run goes on with; everything else that an interrupted one left is removed. Call with the lock held."""
    left = read_journal(store)
    if left is None or store.current == store.folder / left.folder:
        envs.clear_leftovers(store)
        return None
    why = "--fresh was asked for" if is_fresh else doubt(left, now)
    if why is not None:
        tell(f"starting over after an interrupted run: {why}")
        envs.clear_leftovers(store)
        clear_journal(store)
        return None
    envs.clear_leftovers(store, keep=left.folder if has_whole_folder(left, store) else None)
    # It is gone where the interrupted run was one that removed everything.
    return left if read_journal(store) is not None else None


def tidied(store: envs.Store, receipt: Receipt) -> Receipt:
    """The reused receipt, with the leftovers of an interrupted run gone; one that is still at work is left alone."""
    if not envs.has_leftovers(store):
        return receipt
    try:
        with sigterm_unwinds(), envs.locked(store, wait_s=0.0):
            envs.clear_leftovers(store)
            return ended(store, receipt)
    except (InstallError, OSError):
        return receipt  # busy, or not this user's to tidy: the environment is what was asked for either way


def ended(store: envs.Store, receipt: Receipt) -> Receipt:
    """The end of a run that has what it wants: too old environments go, and so does every trace of the run."""
    journal = read_journal(store)
    used: tuple[EnvironmentInUse, ...] = ()
    if journal is not None and store.current == store.folder / journal.folder:
        keep = max(journal.keep, 2) if receipt.changes else journal.keep  # what was changed by hand is not thrown away
        kept = envs.prune(store, keep=keep, previous=journal.previous)
        used = tuple(EnvironmentInUse(folder.name, process.pid, process.name) for folder, process in kept)
    clear_journal(store)
    store.log.unlink(missing_ok=True)
    return replace(receipt, in_use=used)


def cleared(
    store: envs.Store, folder: Path, err: BaseException, *, has_installed: bool, tell: Callable[[str], None]
) -> None:
    """Remove what a run that ends with an error or a signal leaves, but for its log, which the error then names.

    After a signal the next run may go on: what is worth it stays, unless nothing else would be there at all.
    """
    if store.current == folder:
        return  # the signal came when it was in place already
    is_signal = not isinstance(err, Exception)
    may_go_on = is_signal and bool(store.finished())
    if not (may_go_on and has_installed):
        envs.discard(folder)
    if not may_go_on:
        clear_journal(store)
    if not store.log.exists():
        return
    if is_signal:
        tell(f"what was done until then: {store.log}")
    elif isinstance(err, GpusetupError) and not any(item.name == "log" for item in err.evidence):
        err.evidence = (*err.evidence, Evidence("log", str(store.log), source="file"))


def changed_by_hand(store: envs.Store, tell: Callable[[str], None]) -> tuple[PackageChange, ...]:
    """How the environment that is to be replaced differs from its receipt; told before anything is switched."""
    current = store.current
    receipt = read_receipt(current) if current else None
    changes = changes_of(current, receipt) if current and receipt else ()
    if changes:
        more = ", ..." if len(changes) > _NAMED else ""
        tell(f"{store.path} was changed since it was made: {', '.join(one.text for one in changes[:_NAMED])}{more}")
    return changes
