"""EDGE: asks every package source what it holds of one project, all at once, each with deadlines.

urllib rather than a client library: a project page is one GET, and proxies, CA bundles, client certificates and
netrc are all in the standard library, so nothing has to be installed to look.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..paths import cache_folder
from ..records import Source
from .addresses import local_path, redact, shown
from .configuration import Location
from .fetching import Deadlines, Fetcher, FetchError
from .listing import ListedFile, MalformedListingError, parse_folder, parse_html, parse_listing
from .pages import PageCache
from .tools import uv_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .configuration import PackageConfiguration

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """What one source said about one project: files, or why there was no answer."""

    location: Location
    files: tuple[ListedFile, ...] = ()
    failure: str | None = None
    """One sentence; None when the source answered, also when it holds nothing."""
    cause: str | None = None
    """Which of `causes.CAUSES` the failure is."""
    seconds: float = 0.0


def ask_sources(
    locations: Sequence[Location],
    project: str,
    *,
    fetcher: Fetcher,
) -> tuple[SourceAnswer, ...]:
    """Every source's files of a project, in the order given; returns at the overall deadline at the latest."""
    answers: list[SourceAnswer | None] = [None] * len(locations)
    deadlines = fetcher.deadlines

    def ask(number: int) -> None:
        answers[number] = _ask(locations[number], project, fetcher)

    # Daemon threads: a name lookup cannot be interrupted, and an executor would wait for it when Python ends.
    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(len(locations))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + deadlines.overall_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"no answer within {deadlines.overall_s:g} s"
    return tuple(
        answers[number] or SourceAnswer(location, failure=late, cause="source-too-slow", seconds=deadlines.overall_s)
        for number, location in enumerate(locations)
    )


def _ask(location: Location, project: str, fetcher: Fetcher) -> SourceAnswer:
    start = time.monotonic()
    answer = SourceAnswer(location)
    try:
        answer = replace(answer, files=_files(location, project, fetcher))
    except (FetchError, MalformedListingError, OSError, ValueError) as err:
        cause = err.cause if isinstance(err, FetchError) else "source-not-an-index"
        answer = replace(answer, failure=redact(str(err)), cause=cause)
    return replace(answer, seconds=time.monotonic() - start)


def _files(location: Location, project: str, fetcher: Fetcher) -> tuple[ListedFile, ...]:
    found = listed(location, project, fetcher)
    prefix = re.compile(re.sub(r"[-_.]+", "[-_.]+", project) + "-", re.IGNORECASE)
    return tuple(file for file in found if prefix.match(file.filename))


def listed(location: Location, project: str, fetcher: Fetcher) -> tuple[ListedFile, ...]:
    """What an index lists of a project; a flat source lists all that it has, whatever the project.

    FetchError, MalformedListingError, OSError or ValueError say why there is no answer.
    """
    address = location.secret_url
    if location.source.kind == "index":
        address = f"{address.rstrip('/')}/{project}/"
    path = local_path(address)
    if path is not None:
        return _local_files(path, address)
    page = fetcher.get(address, accept=_ACCEPT)
    return parse_listing(page.text, content_type=page.content_type, address=page.address) if page else ()


def _local_files(path: Path, address: str) -> tuple[ListedFile, ...]:
    """A folder with index.html is a page, one without is a flat folder; one that is not there holds nothing."""
    if path.is_file():
        return parse_html(path.read_text(encoding="utf-8", errors="replace"), address=address)
    if not path.is_dir():
        return ()
    entries = [(entry.name, entry.stat().st_size) for entry in path.iterdir() if entry.is_file()]
    page = path / "index.html"
    listed = (
        parse_html(page.read_text(encoding="utf-8", errors="replace"), address=address.rstrip("/") + "/")
        if page.is_file()
        else ()
    )
    return listed or parse_folder(entries, address=address)


def builtin_index() -> Location | None:
    """The general index that is built into the installers; None when neither tool says.

    Both tools print it as part of their public command line: `uv pip compile --emit-index-url` of nothing (it
    needs no network and takes 50 ms), else the help text of pip's `--index-url`. So this project holds no address.
    """
    for ask in (_from_uv, _from_pip):
        address = ask()
        if address:
            return Location(Source("index", shown(address), name="built in", is_default=True), address)
    return None


def _printed(argv: list[str], pattern: str) -> str | None:
    try:
        done = subprocess.run(argv, input="", capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, done.stdout)
    return match[1].rstrip(").") if match else None


def _from_uv() -> str | None:
    uv = uv_binary()
    flags = ["--emit-index-url", "--no-header", "--no-config", "--python", sys.executable]
    return _printed([uv, "pip", "compile", "-", *flags], r"(?m)^--index-url (\S+)") if uv else None


def _from_pip() -> str | None:
    return _printed([sys.executable, "-Im", "pip", "install", "--help"], r"\(default\s+(https?://\S+?)\)")


def default_index(
    configuration: PackageConfiguration, builtin: Callable[[], Location | None] = builtin_index
) -> Location | None:
    """The general index of this user; None when the configuration switches indexes off."""
    if configuration.no_index or configuration.offline:
        return None
    return configuration.default_index or builtin()


def make_fetcher(configuration: PackageConfiguration, deadlines: Deadlines | None = None) -> Fetcher:
    """A fetcher with this user's proxy, certificates and trusted hosts."""
    return Fetcher(
        deadlines=deadlines or Deadlines(),
        proxy=configuration.proxy,
        cert=configuration.cert,
        client_cert=configuration.client_cert,
        trusted_hosts=configuration.trusted_hosts,
        cache=PageCache(cache_folder()),
        known_day=configuration.known_day,
    )
