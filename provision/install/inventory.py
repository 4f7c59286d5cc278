"""EDGE: the environments behind a path: what is there, going back to one, removing them."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..documents.environments import EnvironmentRow, EnvironmentsData
from ..errors import InstallError
from ..records import Evidence
from . import environment as envs
from .journal import clear_journal
from .receipt import changes_of, read_receipt
from .usage import users_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..documents.environments import EnvironmentState


def inventory(path: Path, *, removed: tuple[str, ...] = ()) -> EnvironmentsData:
    """Every environment behind a path, newest first; InstallError where something else than a link of ours stands."""
    store = envs.Store.of(path)
    envs.refuse_foreign(store)
    finished, current = store.finished(), store.current
    rows = tuple(_row(store, folder, is_finished=folder in finished) for folder in store.folders())
    return EnvironmentsData(str(store.path), current.name if current else None, rows, removed)


def rollback(path: Path, name: str | None = None) -> str:
    """Lead the path to another of its environments, the newest by default; gives its name.

    InstallError when there is none, or when the one that nobody named is not whole.
    """
    store = envs.Store.of(path)
    envs.refuse_foreign(store)
    with envs.disk_errors_named(store), envs.locked(store):
        envs.clear_leftovers(store)
        clear_journal(store)
        finished, current = store.finished(), store.current
        if name is None:
            others = [folder for folder in finished if folder != current]
            if not others:
                raise _missing(store, "other environment", finished)
            row = _row(store, others[0], is_finished=True)
            if row.state != "whole":
                raise _not_whole(store, row)
            target = others[0]
        else:
            target = _named(store, name, finished)
        if target != current:
            envs.point(store, target)
        return target.name


def remove(path: Path, name: str | None = None) -> tuple[str, ...]:
    """Remove one environment, or the path with all of them; gives the names of those that are gone.

    InstallError when there is nothing of ours, when the one is the current one, or when a process uses one of them.
    """
    store = envs.Store.of(path)
    envs.refuse_foreign(store)
    with envs.disk_errors_named(store), envs.locked(store):
        every = store.folders()
        envs.clear_leftovers(store)  # an interrupted removal of the same may end here
        clear_journal(store)
        if name is None:
            if not every and not store.path.is_symlink():
                raise _missing(store, "environment", every)
            _require_unused(every)
            envs.remove_all(store)
            return tuple(folder.name for folder in every)
        folder = _named(store, name, every)
        if folder == store.current:
            raise InstallError(
                f"{name} is the current environment: {store.path} would lead nowhere without it.",
                code="environment-current",
                evidence=(Evidence("current", name, source=str(store.path), needs="another one"),),
                do=(
                    f"lead the path to another one first: gpusetup env rollback --env {store.path}",
                    f"remove all of them: gpusetup env remove --env {store.path}",
                ),
            )
        if folder.exists():
            _require_unused((folder,))
            envs.remove_one(folder)
        return (name,)


def _named(store: envs.Store, name: str, among: Sequence[Path]) -> Path:
    for folder in among:
        if folder.name == name:
            return folder
    raise _missing(store, f"environment {name}", among)


def _missing(store: envs.Store, what: str, among: Sequence[Path]) -> InstallError:
    return InstallError(
        f"There is no {what} behind {store.path}.",
        code="environment-missing",
        evidence=(
            Evidence("environments", ", ".join(item.name for item in among) or "none", source=str(store.folder)),
        ),
        do=(f"see what there is: gpusetup env list --env {store.path}",),
    )


def _not_whole(store: envs.Store, row: EnvironmentRow) -> InstallError:
    return InstallError(
        f"{row.name} is {row.state}, so it is not gone back to unless it is named.",
        code="environment-damaged",
        evidence=(Evidence(row.name, row.damage or row.state, source=row.path, needs="whole"),),
        do=(
            f"make a new one: gpusetup install --env {store.path}",
            f"take it as it is: gpusetup env rollback --env {store.path} --to {row.name}",
        ),
    )


def _require_unused(folders: Sequence[Path]) -> None:
    used = users_of(folders)
    if used:
        raise InstallError(
            "A process still uses what is to be removed.",
            code="environment-in-use",
            evidence=tuple(Evidence(folder.name, str(process), source="/proc") for folder, process in used.items()),
            do=("end that process, then run the same command",),
        )


# --- one environment ----------------------------------------------------------------------------


def _row(store: envs.Store, folder: Path, *, is_finished: bool) -> EnvironmentRow:
    receipt = read_receipt(folder)
    changes = changes_of(folder, receipt) if receipt and is_finished else ()
    hurt = [change.text for change in changes if change.expected is not None]
    state: EnvironmentState = "whole"
    damage: str | None = None
    if not is_finished:
        state = "unfinished"
    elif receipt is None:
        state, damage = "damaged", "its receipt is missing or can't be read"
    elif hurt:
        state, damage = "damaged", hurt[0]
    elif Path(receipt.path) != store.path:
        state, damage = "moved", f"it was made for {receipt.path}, which its scripts still name"
    own, shared = _sizes(folder)
    return EnvironmentRow(
        name=folder.name,
        path=str(folder),
        is_current=folder == store.current,
        state=state,
        damage=damage,
        torch=receipt.build.torch if receipt else None,
        variant=receipt.build.variant if receipt else None,
        python=receipt.python if receipt else None,
        backend=receipt.backend if receipt else None,
        made_at=_made_at(folder.name),
        own_bytes=own,
        shared_bytes=shared,
        changes=changes,
    )


# 20261123T101500.250000, or 20261123T101500.250000-1
def _made_at(name: str) -> str | None:
    try:
        made = datetime.strptime(name.partition(".")[0], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return f"{made:%Y-%m-%dT%H:%M:%SZ}"


def _sizes(folder: Path) -> tuple[int, int]:
    """Bytes on disk of files that are nowhere else, and of files with a name elsewhere, such as in uv's cache."""
    links: dict[tuple[int, int], list[int]] = {}
    pending = [os.fspath(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    status = entry.stat(follow_symlinks=False)
                    one = links.setdefault(
                        (status.st_dev, status.st_ino), [0, 0, 0, entry.is_dir(follow_symlinks=False)]
                    )
                    one[0] += 1
                    one[1:3] = status.st_nlink, status.st_blocks * 512
        except OSError:
            continue
    own = sum(size for here, everywhere, size, is_dir in links.values() if is_dir or here >= everywhere)
    return own, sum(size for _, _, size, _ in links.values()) - own
