"""EDGE: what several sources offer of many projects, all asked at once. Local files are hashed when it matters."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from .addresses import local_path, redact
from .fetching import FetchError
from .listing import ListedFile, MalformedListingError
from .lookup import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .configuration import Location
    from .fetching import Fetcher

_WORKERS = 16


@dataclass(frozen=True, slots=True)
class Offer:
    """What one source holds of one project."""

    location: Location
    files: tuple[ListedFile, ...] = ()
    failure: str | None = None
    """Why there was no answer; None also when it answered that it holds nothing."""

    def file(self, filename: str) -> ListedFile | None:
        """The file of that name."""
        return next((file for file in self.files if file.filename == filename), None)


class _Answers:
    """What the sources said so far. One failure of a source ends the questions to it: the others would fail alike."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self.files: dict[tuple[str, str], tuple[ListedFile, ...]] = {}
        self.failures: dict[str, str] = {}

    def ask(self, location: Location, project: str) -> None:
        """Ask one question; `project` is empty for a flat source, which lists everything at once."""
        if location.secret_url in self.failures:
            return
        try:
            self.files[location.secret_url, project] = listed(location, project, self._fetcher)
        except (FetchError, MalformedListingError, OSError, ValueError) as err:
            self.failures.setdefault(location.secret_url, redact(str(err)))

    def offer(self, location: Location, project: str) -> Offer:
        """What a source said of a project."""
        is_index = location.source.kind == "index"
        files = self.files.get((location.secret_url, project if is_index else ""))
        if files is None:
            return Offer(location, failure=self.failures.get(location.secret_url, "no answer in time"))
        return Offer(location, tuple(file for file in files if is_index or _project(file.filename) == project))


def ask_projects(
    locations: Sequence[Location], projects: Iterable[str], fetcher: Fetcher
) -> dict[str, tuple[Offer, ...]]:
    """Every source's files of every project, in the order of the sources; returns at twice the deadline at the latest.

    Projects are canonical names (PEP 503).
    """
    projects = tuple(projects)
    answers = _Answers(fetcher)
    questions: queue.SimpleQueue[tuple[Location, str]] = queue.SimpleQueue()
    # Project by project, so that the sources are asked side by side.
    wanted = [(source, project) for project in projects for source in locations if source.source.kind == "index"]
    wanted = [*((source, "") for source in locations if source.source.kind == "flat" and projects), *wanted]
    for question in wanted:
        questions.put(question)

    def work() -> None:
        while True:
            try:
                location, project = questions.get_nowait()
            except queue.Empty:
                return
            answers.ask(location, project)

    # Daemon threads: a name lookup cannot be interrupted, and an executor would wait for it when Python ends.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_WORKERS, len(wanted)))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 2 * fetcher.deadlines.overall_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {project: tuple(answers.offer(location, project) for location in locations) for project in projects}


def _project(filename: str) -> str | None:
    try:
        return parse_wheel_filename(filename)[0]
    except InvalidWheelFilename:
        return canonicalize_name(filename.rpartition("-")[0]) or None


def digest_of(file: ListedFile, *, size_bytes: int | None = None) -> str | None:
    """SHA-256 of an offered file: as its source states it, computed for a file on this disk, else None.

    A local file of another size than `size_bytes` is not read: whatever its digest is, it is another file ("").
    """
    path = local_path(file.url)
    if file.sha256 is not None or path is None:
        return file.sha256
    try:
        if not path.is_file():
            return None
        if size_bytes is not None and path.stat().st_size != size_bytes:
            return ""
        return sha256_of(path)
    except OSError:
        return None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; OSError when it can't be read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
