"""EDGE: makes a bundle: looks, resolves for the machines of the plans, downloads by hash, writes the folder whole.

look -> resolve -> tool -> space -> download -> manifest -> rename

Everything is put into DIR.part, which becomes DIR when it is whole. A run that was interrupted is gone on with: files
that are there with their hash are kept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GpusetupError, InstallError, UsageError
from ..events import Event
from ..install.addresses import redact
from ..install.availability import asked
from ..install.backends import UvBackend
from ..install.choosing import require_uv
from ..install.fetching import Deadlines
from ..install.foreign import bound_instead, disputed, left_alone, require_one_torch, slipped, sources_of
from ..install.looking import look, require_held
from ..install.lookup import builtin_index, default_index, make_fetcher
from ..install.pythons import PythonChoice, chosen_python
from ..install.resolving import Resolver
from ..install.running import run_streaming
from ..records import Evidence, Host
from ..versions import Glibc
from .contents import HostNeeds, ResolvedPlan, require_space, sync, total_bytes, wanted_files, write_contents
from .download import Downloader, Tally
from .manifest import (
    FILENAME,
    Manifest,
)
from .own import OwnWheel, own_wheel
from .target import OLDEST_GLIBC, Arch, Target, arch_of, glibc_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..events import EventSink
    from ..install.backends import Step
    from ..install.configuration import Location, PackageConfiguration
    from ..install.lock import Lock
    from ..install.running import Completed
    from ..matrix import Matrix
    from ..records import Build, Interpreter, Plan, SourceConflict

HOST_PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""Pythons that gpusetup itself is carried for where nobody says which."""
_OLDEST_HOST = (3, 10)
_TELL_EVERY_S = 1.0
_SILENCE_S = 30.0
_MARK = ".gpusetup-bundle"
"""In a folder that is being filled."""


@dataclass(frozen=True, slots=True)
class Named:
    """A plan with the name that it gets inside the bundle."""

    name: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class BundleOrder:
    """What goes into a bundle, and where it comes from."""

    plans: tuple[Named, ...]
    output: Path
    configuration: PackageConfiguration
    matrix: Matrix
    interpreters: tuple[Interpreter, ...] = ()
    """Those of this machine; only a free-threaded target needs one of its own kind to be resolved."""
    glibc: Glibc | None = None
    """The oldest glibc of the machines over there; None: as old as torch itself allows."""
    host_pythons: tuple[str, ...] = ()
    """Pythons that gpusetup must be startable with; empty: every one of `HOST_PYTHONS` that can be served."""
    builtin: Callable[[], Location | None] = builtin_index
    silence_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle that was made."""

    manifest: Manifest
    seconds: tuple[tuple[str, float], ...]
    downloaded_bytes: int
    kept: int
    """Wheels that an earlier, interrupted run had left whole."""
    hosts_left_out: tuple[tuple[str, str], ...] = ()
    """(Python, why) of those that gpusetup can't be started with over there."""
    conflicts: tuple[SourceConflict, ...] = ()
    """What the package sources disagree about."""


@dataclass(slots=True)
class _Making:
    """One run."""

    order: BundleOrder
    part: Path
    work: Path
    events: EventSink
    seconds: dict[str, float] = field(default_factory=dict)
    told_at: float = 0.0

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[None]:
        self.tell(text)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)

    def tell(self, text: str) -> None:
        self.events(Event("bundle", "progress", text))

    def tell_tally(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self.told_at < _TELL_EVERY_S and tally.done < tally.files:
            return
        self.told_at = now
        total = "" if tally.total_bytes is None else f" of {tally.total_bytes / 2**20:.0f}"
        share = tally.loaded_bytes / tally.total_bytes if tally.total_bytes else None
        text = f"{tally.done} of {tally.files} wheels, {tally.loaded_bytes / 2**20:.0f}{total} MiB"
        self.events(Event("bundle", "progress", text, fraction=min(share, 1.0) if share is not None else None))

    def run(self, step: Step) -> Completed:
        """Run one command of the resolver; nothing secret is kept of what it says."""
        secrets = self.order.configuration.secrets
        done = run_streaming(step.argv, environment=step.environment, folder=self.work, silence_s=self.order.silence_s)
        return replace(done, lines=tuple(redact(line, secrets) for line in done.lines))


def create_bundle(order: BundleOrder, events: EventSink = lambda _: None) -> Made:
    """Make the bundle; GpusetupError leaves what has come whole in DIR.part, for the next run."""
    output = order.output
    if os.path.lexists(output):
        raise UsageError(
            f"{output} is there already; a bundle is made whole and never changed.",
            do=("name a new folder with --output", f"or remove it first: rm -r {output}"),
        )
    part = output.with_name(output.name + ".part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        _claim(part)
        with _held(part), tempfile.TemporaryDirectory(prefix="gpusetup-") as work:
            made = _make(_Making(order, part, Path(work), events))
            part.rename(output)
            sync(output.parent)
    except OSError as err:
        raise InstallError(
            "The bundle could not be written.",
            code="disk-full" if err.errno in {errno.ENOSPC, errno.EDQUOT} else "bundle-not-written",
            evidence=(Evidence(err.filename or str(part), err.strerror or str(err)),),
            do=("name a folder that can be written to, or one on another disk, with --output",),
        ) from err
    return made


def _claim(part: Path) -> None:
    """Mark the folder as one that we fill; UsageError where somebody else's files lie in it."""
    is_ours = os.path.lexists(part / _MARK) or os.path.lexists(part / FILENAME)
    if not is_ours and any(part.iterdir()):
        raise UsageError(
            f"{part}, where the bundle would be made, holds files that are not of a bundle.",
            do=("name another folder with --output",),
        )
    (part / _MARK).touch()


@contextmanager
def _held(part: Path) -> Iterator[None]:
    """The folder for this run alone; the kernel gives the lock back whatever becomes of us."""
    descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise UsageError(f"Another run is making {part} just now.") from err
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)


def _make(making: _Making) -> Made:
    order = making.order
    own = own_wheel()
    resolved = [_resolve_named(making, named) for named in order.plans]
    hosts, left_out = _hosts(making, own, {item.target.arch: item.target.glibc for item in resolved}, resolved)
    wanted = wanted_files(making.part, resolved, hosts)
    require_space(making.part, wanted)
    tally = Tally(len(wanted), total_bytes(wanted), making.tell_tally)
    with making.phase("download", f"{len(wanted)} wheels"):
        for item in wanted:
            item.path.parent.mkdir(parents=True, exist_ok=True)
        fetcher = make_fetcher(order.configuration, Deadlines(silence_s=_SILENCE_S))
        locations = (*order.configuration.locations, *order.configuration.extra_indexes, *_bases(order))
        Downloader(fetcher, locations, order.configuration.secrets).get(wanted, tally)
    with making.phase("write", "writing the manifest"):
        manifest = write_contents(making.part, making.order.matrix, own, resolved, hosts, wanted)
    seconds = tuple(making.seconds.items())
    conflicts = dict.fromkeys(conflict for item in resolved for conflict in item.conflicts)
    return Made(manifest, seconds, tally.loaded_bytes, tally.kept, tuple(left_out), tuple(conflicts))


def _bases(order: BundleOrder) -> tuple[Location, ...]:
    """The index of the first build with its login, where the user named a mirror."""
    builds = [named.plan.build for named in order.plans if named.plan.build]
    return tuple(order.configuration.variant_index(build.index, build.variant) for build in builds)


# --- plans ----------------------------------------------------------------------------------------


def _resolve_named(making: _Making, named: Named) -> ResolvedPlan:
    """The same, with the plan named in what goes wrong."""
    try:
        return _resolve(making, named)
    except GpusetupError as err:
        if len(making.order.plans) > 1:
            err.evidence = (Evidence("plan", named.name), *err.evidence)
        raise


def _resolve(making: _Making, named: Named) -> ResolvedPlan:
    """Which build the sources hold for the plan's machine, and its exact files."""
    order, plan = making.order, named.plan
    candidates = plan.resolution.candidates
    arch = arch_of(candidates[0].wheel_tag)
    if arch is None:
        raise UsageError(f"{named.name} is a plan for {candidates[0].wheel_tag}; bundles are for Linux.")
    newest = Target(arch, candidates[0].python, order.glibc or Glibc(2, 40))
    with making.phase("look", f"{named.name}: asking the package sources"):
        looked = look(candidates, order.configuration, builtin=order.builtin, platforms=newest.platforms)
        require_held(looked, candidates)
    choice = looked.choice
    if choice.build is None or choice.wheel is None or choice.location is None:
        raise GpusetupError("The look-up ended without an answer and without an error.")
    floor = _floor(choice.build, choice.wheel.filename, arch, order.matrix)
    target = Target(arch, choice.build.python, _glibc(named.name, floor, order.glibc))
    resolver = _resolver(making, target, UvBackend(require_uv(), order.configuration, choice.location))
    with making.phase("resolve", f"{named.name}: resolving for {target}"):
        lock = resolver.resolve(choice.build, choice.wheel, choice.location)
        sources = sources_of(order.configuration, choice.location, default_index(order.configuration, order.builtin))
        require_one_torch(lock, looked.answers, choice.location)
        conflicts: tuple[SourceConflict, ...] = ()
        if found := slipped(lock, sources, resolver.fetcher):
            lock = resolver.resolve(choice.build, choice.wheel, choice.location, bound_instead(found))
            conflicts = left_alone(found, lock)
        if sources.foreign:
            conflicts = (*conflicts, *disputed(lock, sources, resolver.fetcher))
    plan = replace(
        plan,
        build=choice.build,
        companions=plan.companions if choice.build == plan.build else (),
        availability="held",
        wheel=choice.wheel,
        asked=asked(looked.answers),
        download_bytes=choice.wheel.size_bytes,
        resolution=replace(
            plan.resolution,
            candidates=tuple(dict.fromkeys((choice.build, *candidates))),
            rejections=(*choice.rejections, *plan.resolution.rejections),
        ),
    )
    return ResolvedPlan(named.name, plan, target, lock, conflicts)


def _floor(build: Build, filename: str, arch: Arch, matrix: Matrix) -> Glibc | None:
    """The oldest glibc that torch itself runs on: what the matrix has read, or what the wheel's name promises.

    Never below the oldest that the resolver has a name for.
    """
    release = matrix.release(build.torch)
    variant, wheels = (release.variant(build.variant), release.platform(f"linux_{arch}")) if release else (None, None)
    read = dict(variant.glibc).get(f"linux_{arch}") if variant else None
    known = [glibc for glibc in (read or (wheels.glibc if wheels else None), glibc_of(filename)) if glibc]
    return max((*known, OLDEST_GLIBC)) if known else None


def _glibc(name: str, floor: Glibc | None, wished: Glibc | None) -> Glibc:
    if wished is None and floor is None:
        raise UsageError(f"{name}: nobody has read which glibc its torch needs; say that of the machines: --glibc X.Y")
    if wished is not None and floor is not None and wished < floor:
        raise UsageError(f"--glibc: found {wished}; the torch of {name} needs {floor} or newer.")
    return wished or floor or Glibc(2, 40)


def _resolver(making: _Making, target: Target, uv: UvBackend) -> Resolver:
    order = making.order
    words: tuple[str, ...] = ("--python-platform", target.uv_platform)
    python = sys.executable
    if target.python.endswith("t"):  # uv knows no --python-version for these: it has to be there
        python = str(chosen_python(PythonChoice(target.python, order.interpreters, "uv", Host())).executable)
    else:
        words = (*words, "--python-version", target.python)
    return Resolver(
        uv,
        python=python,
        work=making.work,
        run=making.run,
        fetcher=make_fetcher(order.configuration),
        silence_s=order.silence_s,
        platforms=target.platforms,
        target=words,
    )


# --- gpusetup itself --------------------------------------------------------------------------------


def _hosts(
    making: _Making, own: OwnWheel, arches: dict[Arch, Glibc], resolved: Sequence[ResolvedPlan]
) -> tuple[list[HostNeeds], list[tuple[str, str]]]:
    """What gpusetup needs on every Python that it may be started with over there, and the Pythons that nothing serves.

    It needs 3.10 or newer; the Python of a plan may be older or another one.
    """
    order = making.order
    wished = order.host_pythons or HOST_PYTHONS
    for python in order.host_pythons:
        parts = python.split(".")
        if len(parts) != len(_OLDEST_HOST) or not all(p.isdecimal() for p in parts) or _numbers(python) < _OLDEST_HOST:
            raise UsageError(f"--host-python: found {python}, expected 3.10 or newer; gpusetup runs on nothing older.")
    oldest = {arch: min(r.target.glibc for r in resolved if r.target.arch == arch) for arch in arches}
    hosts: list[HostNeeds] = []
    left_out: list[tuple[str, str]] = []
    for arch, glibc in oldest.items():
        for python in wished:
            target = Target(arch, python, glibc)
            resolver = _resolver(making, target, UvBackend(require_uv(), order.configuration))
            try:
                with making.phase("tool", f"gpusetup itself: resolving for Python {python} on {arch}"):
                    lock = resolver.files(own.requirements, python, None)
                _require_hashes(lock)
            except GpusetupError as err:
                if order.host_pythons:
                    raise
                left_out.append((f"{python} on {arch}", err.happened))
            else:
                hosts.append(HostNeeds(python, arch, lock))
    if not hosts:
        raise InstallError(
            "gpusetup itself cannot be carried for any Python.",
            code="own-wheel-impossible",
            evidence=tuple(Evidence(f"Python {python}", why) for python, why in left_out),
            do=("name the Python over there: --host-python X.Y, for the reason alone",),
        )
    return hosts, left_out


def _numbers(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split("."))


def _require_hashes(lock: Lock) -> None:
    bare = [wheel for wheel in lock.wheels if wheel.sha256 is None]
    if bare:
        raise InstallError(
            f"{bare[0].filename} comes from a source that publishes no sha256, so it cannot be verified.",
            code="hash-missing",
            evidence=tuple(Evidence(wheel.filename, None, source=wheel.source, needs="sha256") for wheel in bare),
        )
