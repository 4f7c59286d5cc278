"""What one installation installs: the build that the sources hold and the exact files of it, resolved once or given."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from packaging.version import Version

from ..errors import GpusetupError, InstallError, NoBuildError
from ..records import Build, Evidence, HeldWheel, Interpreter, Rejection, Source, SourceConflict
from .backends import UvBackend
from .foreign import Inquiry, bound_instead, disputed, left_alone, require_one_torch, slipped, sources_of, with_indexes
from .lock import Target, check_lock
from .locked import Given, rebased
from .looking import look, require_held
from .lookup import default_index, make_fetcher
from .pythons import PythonChoice, chosen_python
from .resolving import Resolver
from .tools import uv_binary

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .apply import Order
    from .backends import Step
    from .configuration import Location
    from .lock import Lock
    from .lookup import SourceAnswer
    from .running import Completed


class Run(Protocol):
    """What a choice needs of the run that asks for it."""

    @property
    def order(self) -> Order:
        """What to make."""

    @property
    def is_rehearsal(self) -> bool:
        """Whether nothing may be changed."""

    @property
    def work(self) -> Path:
        """Folder for working files."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Announces and times a phase."""

    def run(self, step: Step) -> Completed:
        """Runs one command."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What will be installed."""

    build: Build
    wheel: HeldWheel
    location: Location | None
    interpreter: Interpreter
    lock: Lock
    answers: tuple[SourceAnswer, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    inquiry: Inquiry[tuple[SourceConflict, ...]] | None = None
    """What other sources say of the files; asked while they are being installed."""
    left: tuple[SourceConflict, ...] = ()

    def conflicts(self) -> tuple[SourceConflict, ...]:
        """What the sources disagree about; InstallError when one of them may slip a file in.

        To be called before anything of the environment runs.
        """
        return (*self.left, *(self.inquiry.answer() if self.inquiry else ()))


def choose(run: Run) -> Chosen:
    """The build, wheel, interpreter and exact files of an order; NoBuildError when no source holds them."""
    order = run.order
    if not order.candidates:
        raise NoBuildError("There is no build to install.", do=("see why: gpusetup plan",))
    if order.lock is not None:
        return _locked(run, order.lock)
    with run.phase("look"):
        looked = look(order.candidates, order.configuration, deadlines=order.limits.sources, builtin=order.builtin)
        require_held(looked, order.candidates)
    choice = looked.choice
    if choice.build is None or choice.wheel is None or choice.location is None:
        raise GpusetupError("The look-up ended without an answer and without an error.")
    interpreter = _interpreter(run, choice.build.python)
    fetcher = make_fetcher(order.configuration, order.limits.sources)
    uv = require_uv()  # before the thread: it asks sysconfig, whose first call in a process must not be two at once
    general = Inquiry.begin(lambda: default_index(order.configuration, order.builtin))
    resolver = Resolver(
        UvBackend(uv, order.configuration, choice.location),
        python=interpreter.executable or choice.build.python,
        work=run.work,
        run=run.run,
        fetcher=fetcher,
        silence_s=order.limits.silence_s,
    )
    with run.phase("resolve"):
        lock = resolver.resolve(choice.build, choice.wheel, choice.location)
        sources = sources_of(order.configuration, choice.location, general.answer())
        require_one_torch(lock, looked.answers, choice.location)
        left: tuple[SourceConflict, ...] = ()
        if found := slipped(lock, sources, fetcher):
            lock = resolver.resolve(choice.build, choice.wheel, choice.location, bound_instead(found))
            left = left_alone(found, lock)
    lock = replace(with_indexes(lock, sources), target=_target(order, choice.build))
    return Chosen(
        choice.build,
        choice.wheel,
        choice.location,
        interpreter,
        lock,
        looked.answers,
        choice.rejections,
        inquiry=Inquiry.begin(lambda: disputed(lock, sources, fetcher)) if sources.foreign else None,
        left=left,
    )


def ask_others(order: Order, lock: Lock, location: Location) -> Inquiry[tuple[SourceConflict, ...]]:
    """What other sources hold under the names of a lock; also asked by a run that goes on."""

    def ask() -> tuple[SourceConflict, ...]:
        sources = sources_of(order.configuration, location, default_index(order.configuration, order.builtin))
        fetcher = make_fetcher(order.configuration, order.limits.sources)
        return disputed(lock, sources, fetcher) if sources.foreign else ()

    return Inquiry.begin(ask)


def _target(order: Order, build: Build) -> Target:
    platform = f"{sys.platform}_{os.uname().machine}"
    return Target(build.torch, build.variant, build.python, platform, matrix_revision=order.matrix_revision)


def _locked(run: Run, lock: Lock) -> Chosen:
    """The choice that a given lock makes: the first build, if its torch is that build."""
    order = run.order
    build, torch = order.candidates[0], lock.wheel("torch")
    if torch is None or Version(torch.version) not in {Version(build.torch), Version(build.local_version)}:
        raise InstallError(
            "The lock is not one of this plan.",
            code="lock-mismatch",
            evidence=(Evidence("torch", torch.version if torch else None, source="lock", needs=build.local_version),),
        )
    wheel = HeldWheel(Source("flat", torch.source, name="lock"), torch.filename, torch.sha256, torch.size_bytes)
    check_lock(lock, build, wheel)
    interpreter = _interpreter(run, build.python)
    if not order.is_lock_from_elsewhere:
        return Chosen(build, wheel, None, interpreter, lock)
    configuration = order.configuration
    with run.phase("look"):
        fetcher = make_fetcher(configuration, order.limits.sources)
        lock = rebased(Given(lock, build), configuration, fetcher, folder=order.lock_folder, builtin=order.builtin)
    location = configuration.variant_index(build.index, build.variant) if configuration.torch_index else None
    return Chosen(build, wheel, location, interpreter, lock)


def _interpreter(run: Run, python: str) -> Interpreter:
    """The interpreter to make the environment from, fetched where that was asked; in a rehearsal it may be to come."""
    order = run.order
    choice = PythonChoice(python, order.interpreters, order.backend, order.host, order.unusable_pythons)
    if not order.python_download:
        return chosen_python(choice)

    def fetch(step: Step) -> Completed:
        with run.phase("python"):
            return run.run(step)

    return chosen_python(choice, step=_download_step(run, python), run_step=None if run.is_rehearsal else fetch)


def _download_step(run: Run, python: str) -> Step:
    return UvBackend(require_uv(), run.order.configuration).fetch_python(python, os.environ)


def python_steps(run: Run, chosen: Chosen) -> tuple[Step, ...]:
    """The step that fetches the Python, where it is not there yet."""
    return () if chosen.interpreter.executable else (_download_step(run, chosen.build.python),)


def require_uv() -> str:
    """Path of uv; InstallError when it is not there."""
    binary = uv_binary()
    if binary is None:
        raise InstallError(
            "uv is not there; it resolves what an environment needs, whichever backend installs it.",
            code="uv-missing",
            evidence=(Evidence("uv", None, source="PATH", needs="0.9 or newer"),),
            do=(f"{sys.executable} -m pip install 'uv>=0.9'",),
        )
    return binary
