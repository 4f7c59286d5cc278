"""EDGE: one audit from the user's configuration to its rows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..events import Event
from ..install.fetching import Deadlines
from ..install.lookup import ask_sources, builtin_index, make_fetcher
from ..records import MatrixIdentity
from .companion_rows import TABLES, free_threaded_rows, table_rows, wanted_companions
from .gathering import read_all, shelves_of
from .model import PYTORCH, AuditData, AuditSource, AuditSummary, Shelf
from .torch_rows import SIBLINGS, platform_rows, release_rows, sibling_rows, variant_rows, wanted_of
from .wheels import wheels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..events import EventSink
    from ..install.configuration import Location, PackageConfiguration
    from ..install.fetching import Fetcher
    from ..matrix.model import TorchRelease
    from ..matrix.tables import Matrix
    from .gathering import Key
    from .model import AuditRow, Wheel

DEADLINES = Deadlines(silence_s=15.0, overall_s=90.0)
"""Seconds that one answer may take."""


def audit(
    matrix: Matrix,
    configuration: PackageConfiguration,
    *,
    torch: str | None,
    allows: Callable[[str], bool],
    events: EventSink,
    deadlines: Deadlines = DEADLINES,
    builtin: Callable[[], Location | None] = builtin_index,
) -> AuditData:
    """Every fact of the matrix that an index can confirm, with what the configured index says of it.

    `torch` is the wish as it was typed, `allows` tells which releases it means; with a wish the tables of companions
    are left out. NoBuildError `index-not-reachable` when no index answers; UsageError when no release is meant.
    """
    began = time.monotonic()
    releases = [release for release in matrix.releases if allows(release.version)]
    if not releases:
        raise UsageError(f"--torch: no release of the matrix is {torch}.", do=("gpusetup matrix show --torch 2",))
    fetcher = make_fetcher(configuration, deadlines)
    events(Event("audit", "start", "asking the package sources"))
    free = [name for name, _ in matrix.free_threaded]
    projects = ["torch", *SIBLINGS, *(() if torch else dict.fromkeys((*TABLES, *free)))]
    shelves, sources = shelves_of(projects, configuration, fetcher, builtin)
    variants = _variant_shelves(releases, matrix, configuration, fetcher)
    wanted: dict[Key, Sequence[Wheel]] = {}
    for release in releases:
        wanted |= wanted_of(release, shelves)
    if not torch:
        wanted |= wanted_companions(matrix, shelves)
    readings = read_all(wanted, fetcher, progress=lambda done, all_: events(_progress(done, all_)))
    rows = [*release_rows(matrix, shelves["torch"], allows)]
    for release in releases:
        rows += platform_rows(release, shelves, readings)
        rows += sibling_rows(release, shelves, readings)
        rows += variant_rows(release, variants)
    if not torch:
        rows += [*table_rows(matrix, shelves, readings), *free_threaded_rows(matrix, shelves)]
    seconds = time.monotonic() - began
    events(Event("audit", "end", f"{len(wanted)} wheels read", seconds=seconds))
    return AuditData(
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        torch=torch,
        sources=(*sources, *_variant_sources(variants)),
        summary=summary_of(rows),
        rows=tuple(rows),
        wheels_read=sum(reading.metadata is not None for reading in readings.values()),
        bytes_read=sum(reading.received_bytes for reading in readings.values()),
        seconds=round(seconds, 1),
    )


def _progress(done: int, count: int) -> Event:
    return Event("audit", "progress", f"{done} of {count} wheels read", fraction=done / count)


def summary_of(rows: Iterable[AuditRow]) -> AuditSummary:
    """How many rows ended in each verdict."""
    counts = {"same": 0, "drift": 0, "not-readable": 0, "not-looked-at": 0}
    for row in rows:
        counts[row.verdict] += 1
    return AuditSummary(**{verdict.replace("-", "_"): count for verdict, count in counts.items()})


def _variant_shelves(
    releases: Sequence[TorchRelease], matrix: Matrix, configuration: PackageConfiguration, fetcher: Fetcher
) -> dict[str, Shelf]:
    """What the PyTorch index holds, variant by variant; with indexes switched off it is not asked."""
    names = list(dict.fromkeys(variant.name for release in releases for variant in release.variants))
    if configuration.no_index or configuration.offline:
        return {name: Shelf("torch", failure="indexes are switched off in the configuration") for name in names}
    locations = {name: configuration.variant_index(matrix.index_url(name), name) for name in names}
    quick = replace(fetcher, deadlines=replace(fetcher.deadlines, overall_s=min(30.0, fetcher.deadlines.overall_s)))
    answers = ask_sources(list(locations.values()), "torch", fetcher=quick)
    shelves = {}
    for name, answer in zip(names, answers, strict=True):
        wheels = wheels_of(answer.files, "torch", source=PYTORCH)
        failure = answer.failure and f"the PyTorch index gave no answer: {answer.failure}"
        shelves[name] = Shelf(
            "torch",
            wheels,
            is_complete=True,
            failure=failure or (None if wheels else "that index holds no torch wheel"),
        )
    return shelves


def _variant_sources(variants: Mapping[str, Shelf]) -> tuple[AuditSource, ...]:
    return tuple(
        AuditSource(f"{PYTORCH}, {name}", "torch", shelf.failure or f"{len(shelf.wheels)} wheels")
        for name, shelf in variants.items()
    )
