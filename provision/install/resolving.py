"""EDGE: one resolution by uv, completed with the hashes and sizes that the sources did not state."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.tags import platform_tags

from .addresses import local_path
from .availability import tag_order
from .backends import index_login
from .children import unresolved
from .lock import GENERAL_INDEX_NAME, check_lock, completed, parse_lock, pinned, project_text
from .offers import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ..records import Build, HeldWheel
    from .backends import Step, UvBackend
    from .configuration import Location
    from .fetching import Fetcher
    from .lock import Lock, LockedWheel
    from .running import Completed


@dataclass(frozen=True, slots=True)
class Resolver:
    """uv, the interpreter to resolve for, and how to run and to ask."""

    uv: UvBackend
    python: str
    work: Path
    run: Callable[[Step], Completed]
    fetcher: Fetcher
    silence_s: float
    platforms: tuple[str, ...] | None = None
    """Platform tags of the machine that is resolved for, best first; None: this one."""
    target: tuple[str, ...] = ()
    """Options of uv that name another machine."""

    def resolve(
        self, build: Build, wheel: HeldWheel, location: Location, bound: Mapping[str, Location] | None = None
    ) -> Lock:
        """Exact files for a build and its requirements, torch bound to the wheel that was chosen.

        `bound` are further projects that come from one source only.

        NoBuildError when the sources lack something, InstallError when the resolver fails or takes another torch.
        """
        only = None if self.uv.configuration.no_index else location
        lock = self.files(pinned(build.requirements, wheel), build.python, only, bound, held=wheel)
        check_lock(lock, build, wheel)
        return lock

    def files(
        self,
        requirements: Sequence[str],
        python: str,
        location: Location | None,
        bound: Mapping[str, Location] | None = None,
        *,
        held: HeldWheel | None = None,
    ) -> Lock:
        """Exact files for any requirements; torch comes from `location` alone where one is given.

        The errors are those of `resolve`. A file whose source publishes no hash has none here.
        """
        project, output = self.work / "pyproject.toml", self.work / "pylock.toml"
        project.write_text(project_text(requirements, location, bound), encoding="utf-8")
        step = self.uv.compile(project, output, self.python, os.environ, target=self.target)
        for place in (bound or {}).values():
            step.environment.update(index_login(GENERAL_INDEX_NAME, place))
        done = self.run(step)
        if done.returncode != 0 or done.was_silent:
            raise unresolved(done, silence_s=self.silence_s)
        order = tag_order(python, self.platforms or tuple(platform_tags()))
        lock = parse_lock(output.read_text(encoding="utf-8"), "uv's pylock.toml", order)
        return completed(lock, _facts(lock, held, self.fetcher))


def _facts(lock: Lock, held: HeldWheel | None, fetcher: Fetcher) -> dict[str, tuple[str | None, int | None]]:
    """Hash and size, by file name, of what the lock leaves open."""
    facts = {held.filename: (held.sha256, held.size_bytes)} if held else {}
    open_ones = [wheel for wheel in lock.wheels if wheel.sha256 is None or wheel.size_bytes is None]
    remote = [wheel for wheel in open_ones if local_path(wheel.url) is None and wheel.filename not in facts]
    for wheel in open_ones:
        if local_path(wheel.url) is not None:
            facts[wheel.filename] = _local_facts(wheel, known=wheel.sha256 or facts.get(wheel.filename, (None,))[0])
    if remote:
        with ThreadPoolExecutor(max_workers=16) as pool:
            sizes = pool.map(lambda wheel: fetcher.size(wheel.url), remote)
        facts |= {wheel.filename: (None, size) for wheel, size in zip(remote, sizes, strict=True)}
    return facts


def _local_facts(wheel: LockedWheel, *, known: str | None) -> tuple[str | None, int | None]:
    # uv before 0.9 states no hash for files of a flat folder.
    path = local_path(wheel.url)
    if path is None or not path.is_file():
        return known, None
    if known is None:
        known = sha256_of(path)
    return known, path.stat().st_size
