"""EDGE: pages and metadata from the sources of the user's configuration, many at once, with a deadline on silence."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..errors import NoBuildError
from ..install.addresses import credentials, local_path, with_login
from ..install.lookup import ask_sources, builtin_index, default_index
from ..records import Evidence
from .model import GENERAL, AuditSource, Reading, Shelf
from .reading import read_metadata
from .wheels import wheels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..install.configuration import Location, PackageConfiguration
    from ..install.fetching import Fetcher
    from ..install.listing import ListedFile
    from ..install.lookup import SourceAnswer
    from .model import Wheel

WORKERS: Final = 8
SILENCE_S: Final = 60.0
"""Without one more answer for so long, what is still missing counts as not readable."""

Key = tuple[str, str, str]
"""Project, version and platform of a wheel whose metadata is wanted."""


def shelves_of(
    projects: Sequence[str],
    configuration: PackageConfiguration,
    fetcher: Fetcher,
    builtin: Callable[[], Location | None] = builtin_index,
) -> tuple[dict[str, Shelf], tuple[AuditSource, ...]]:
    """What the general index holds of each project; where the user switched indexes off, what the folders hold.

    NoBuildError `index-not-reachable` when nothing answers about the first project.
    """
    general = default_index(configuration, builtin)
    names = _names(configuration, general)
    locations = list(names)
    shelves: dict[str, Shelf] = {}
    told: list[AuditSource] = []
    for project, answers in _ask_all(projects, locations, fetcher).items():
        told += [AuditSource(names[a.location], project, a.failure or _counted(len(a.files))) for a in answers]
        shelves[project] = _shelf(project, answers, names, is_complete=general is not None)
        if project == projects[0] and shelves[project].failure:
            raise _unreachable(answers, names)
    return shelves, tuple(told)


def _names(configuration: PackageConfiguration, general: Location | None) -> dict[Location, str]:
    """The sources to ask, with names that give no address away."""
    if general is not None:
        return {general: GENERAL}
    indexes = () if configuration.no_index else (*configuration.extra_indexes, configuration.default_index)
    local = [place for place in (*configuration.find_links, *indexes) if place]
    if configuration.offline:
        local = [place for place in local if local_path(place.secret_url)]
    return {
        place: f"{'find-links folder' if place.source.kind == 'flat' else 'index'} {number}"
        for number, place in enumerate(local, 1)
    }


def _ask_all(
    projects: Sequence[str], locations: Sequence[Location], fetcher: Fetcher
) -> dict[str, tuple[SourceAnswer, ...]]:
    answers: dict[str, tuple[SourceAnswer, ...]] = {}

    def ask(project: str) -> None:
        answers[project] = ask_sources(locations, project, fetcher=fetcher)

    threads = [threading.Thread(target=ask, args=(project,), daemon=True) for project in projects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()  # ask_sources ends at its own deadline
    return {project: answers[project] for project in projects}


def _shelf(project: str, answers: Sequence[SourceAnswer], names: Mapping[Location, str], *, is_complete: bool) -> Shelf:
    wheels = [
        wheel for answer in answers for wheel in wheels_of(_with_login(answer), project, source=names[answer.location])
    ]
    once = {wheel.file.filename: wheel for wheel in reversed(wheels)}
    failures = [answer.failure for answer in answers if answer.failure]
    failure = None
    if not once:
        failure = "; ".join(failures) or ("the index holds nothing of it" if is_complete else "no source holds it")
    return Shelf(project, tuple(once.values())[::-1], is_complete=is_complete and not failures, failure=failure)


def _with_login(answer: SourceAnswer) -> list[ListedFile]:
    """The files of an answer; those on the index's own host are asked for with its login, as installers do."""
    login = credentials(answer.location.secret_url)
    if login is None:
        return list(answer.files)
    host = _host(answer.location.secret_url)
    return [
        replace(file, url=with_login(file.url, *login)) if _host(file.url) == host else file for file in answer.files
    ]


def _host(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc.rpartition("@")[2]


def _counted(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


def _unreachable(answers: Sequence[SourceAnswer], names: Mapping[Location, str]) -> NoBuildError:
    return NoBuildError(
        "The package index gave no answer, so the matrix could not be compared with anything.",
        code="index-not-reachable",
        evidence=[
            Evidence(names[a.location], a.failure or _counted(len(a.files)), source=a.location.source.name)
            for a in answers
        ],
        do=(
            "check the network, the proxy and the index of pip's configuration: gpusetup plan --check-sources",
            "or point pip's configuration at a mirror of the index",
        ),
    )


def read_all(
    wanted: Mapping[Key, Sequence[Wheel]],
    fetcher: Fetcher,
    *,
    progress: Callable[[int, int], None],
    silence_s: float = SILENCE_S,
) -> dict[Key, Reading]:
    """The metadata of one wheel per key: of the first that can be read. Returns when all is read or nothing comes."""
    todo: queue.SimpleQueue[tuple[Key, Sequence[Wheel]]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Key, Reading]] = queue.SimpleQueue()
    for item in wanted.items():
        todo.put(item)

    def work() -> None:
        while True:
            try:
                key, wheels = todo.get_nowait()
            except queue.Empty:
                return
            done.put((key, _first_readable(wheels, fetcher)))

    # Daemon threads: a name lookup cannot be interrupted, and nobody waits for it when Python ends.
    for _ in range(min(WORKERS, len(wanted))):
        threading.Thread(target=work, daemon=True).start()
    readings: dict[Key, Reading] = {}
    heard = time.monotonic()
    while len(readings) < len(wanted) and time.monotonic() - heard < silence_s:
        try:
            key, reading = done.get(timeout=0.2)  # short, so that Ctrl-C is heard
        except queue.Empty:
            continue
        readings[key] = reading
        heard = time.monotonic()
        progress(len(readings), len(wanted))
    late = f"no answer within {silence_s:g} s"
    return {key: readings.get(key) or Reading(wheels[0], failure=late) for key, wheels in wanted.items()}


def _first_readable(wheels: Sequence[Wheel], fetcher: Fetcher) -> Reading:
    readings: list[Reading] = []
    for wheel in wheels:
        readings.append(read_metadata(wheel, fetcher))
        if readings[-1].metadata is not None:
            return readings[-1]
    return readings[0]
