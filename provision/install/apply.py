"""EDGE: the order of an installation. Everything it decides with is pure and stands in the modules beside this one.

reuse? -> lock -> look -> resolve -> disk -> venv -> install -> verify -> receipt -> switch -> prune
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.version import Version

from ..errors import GpusetupError, InstallError, NoBuildError
from ..records import Build, Evidence, GpuLeftOut, HeldWheel, Host, Interpreter, Receipt, Rejection, Source
from . import environment as envs
from .addresses import redact
from .availability import asked
from .backends import Backend, PipBackend, Step, UvBackend, uv_environment
from .children import failure
from .disk import require_space, unpacked_bytes
from .fetching import Deadlines
from .lock import check_lock, project_text, render_pylock, shareable
from .looking import look, require_held
from .lookup import builtin_index, make_fetcher
from .place import require_usable_place
from .pythons import PythonChoice, chosen_python, require_known
from .receipt import first_damage, read_receipt, write_receipt
from .resolving import Resolver
from .running import Completed, run_streaming, sigterm_unwinds
from .tools import pip_argv, uv_binary
from .verification import AnotherBuildError, distributions, require_passed, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..records import Reading
    from .configuration import Location, PackageConfiguration
    from .lock import Lock
    from .lookup import SourceAnswer

LOCK_FILENAME = "pylock.gpusetup.toml"
"""Beside the receipt: the same files once more, for `install --locked`."""
_PROBE = Path(__file__).with_name("probe.py")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that an installation may spend where nothing moves."""

    sources: Deadlines = field(default_factory=Deadlines)
    silence_s: float = 600.0
    verify_s: float = 120.0
    lock_wait_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to make, out of what, and where."""

    candidates: tuple[Build, ...]
    """Builds that fit, best first; only those of the first one's kind are considered."""
    plan_digest: str
    """Identity of the plan: an equal one in the receipt of a whole environment means that nothing needs to be done."""
    environment: Path
    interpreters: tuple[Interpreter, ...]
    configuration: PackageConfiguration
    backend: Literal["uv", "pip"] = "uv"
    run_kernel: bool = False
    """Whether a GPU can be used, so that the verification runs a kernel on it."""
    compile_bytecode: bool = True
    lock: Lock | None = None
    """Install exactly these files (`--locked`): nothing is looked up and nothing resolved."""
    limits: Limits = field(default_factory=Limits)
    builtin: Callable[[], Location | None] = builtin_index
    is_fresh: bool = False
    """Look and install again even where a receipt says that nothing changed."""
    gpus_left_out: tuple[GpuLeftOut, ...] = ()
    """GPUs that the plan is not for; the receipt names them."""
    visible_devices: str | None = None
    """CUDA_VISIBLE_DEVICES of the verification, where some GPUs are left out."""
    python_download: bool = False
    """Let uv fetch the Python of the build where it is not on the machine."""
    host: Host = field(default_factory=Host)
    """For the commands of its distribution."""
    unusable_pythons: tuple[Reading, ...] = ()
    """Interpreters that detection found and that no environment can be made from, each with its reason."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress for people: a phase that starts (`phase`), a line of the backend's output, a phase that ended."""

    kind: Literal["phase", "line", "done"]
    phase: str
    text: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an installation would do: `--dry-run`."""

    build: Build
    wheel: HeldWheel
    lock: Lock
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    """(label, argv); argv never holds credentials."""
    download_bytes: int | None
    disk_needed_bytes: int | None
    disk_free_bytes: int
    answers: tuple[SourceAnswer, ...] = ()


def install(order: Order, on_event: Callable[[Event], None] = lambda _: None) -> Receipt:
    """Make the environment that the order asks for, or find that it is there already.

    InstallError and NoBuildError leave the old environment as it was; so does every interruption.
    """
    store = envs.Store.of(order.environment)
    envs.refuse_foreign(store)
    if receipt := reusable(order):
        return receipt
    with (
        sigterm_unwinds(),
        envs.disk_errors_named(store),
        _held(order, store, on_event) as lock_fd,
    ):
        envs.clear_leftovers(store)
        require_usable_place(store.folder)
        # Another run may have made it while we waited for the lock.
        if receipt := reusable(order):
            return receipt
        receipt = _make_first_true(order, store, on_event, lock_fd)
        envs.prune(store)
    return receipt


def _held(order: Order, store: envs.Store, on_event: Callable[[Event], None]) -> AbstractContextManager[int]:
    """The store's lock; who has to wait for it is told so."""

    def tell(text: str) -> None:
        on_event(Event("line", "lock", text))

    return envs.locked(store, wait_s=order.limits.lock_wait_s, on_wait=tell)


def _make_first_true(order: Order, store: envs.Store, on_event: Callable[[Event], None], lock_fd: int) -> Receipt:
    """Make and switch to the first candidate that turns out to be what its source says it is."""
    over: tuple[Rejection, ...] = ()
    while True:
        folder = envs.new_folder(store)
        run = _Run(order, folder, envs.part_of(folder), store.folder / "install.log", on_event, (lock_fd,))
        run.log_path.unlink(missing_ok=True)
        try:
            receipt = _make(run, over)
            with run.phase("switch"):
                envs.switch(store, folder)
        except AnotherBuildError as err:
            envs.discard(folder)
            wrong = run.tried[-1]
            order = replace(order, candidates=_others(order.candidates, wrong))
            over = (*over, _another_build(wrong, err))
            if not order.candidates or len(over) > _MISLABELLED:
                raise
        except BaseException:
            envs.discard(folder)
            raise
        else:
            run.log_path.unlink(missing_ok=True)
            return receipt


_MISLABELLED = 2
"""Wheels that may turn out to be another build before a source is not believed any more."""


def _others(candidates: tuple[Build, ...], wrong: Build) -> tuple[Build, ...]:
    return tuple(build for build in candidates if (build.torch, build.variant) != (wrong.torch, wrong.variant))


def _another_build(wrong: Build, err: AnotherBuildError) -> Rejection:
    found = ", ".join(f"{item.name} {item.value}" for item in err.evidence)
    needs = ", ".join(f"{item.name} {item.needs}" for item in err.evidence)
    return Rejection(wrong.torch, wrong.variant, "wheel-is-another-build", found, needs, python=wrong.python)


def reusable(order: Order) -> Receipt | None:
    """The receipt of an environment that already is what the order asks for. Looks at names and sizes only."""
    store = envs.Store.of(order.environment)
    current = store.current
    receipt = read_receipt(current) if current else None
    if order.is_fresh or current is None or receipt is None or receipt.plan_digest != order.plan_digest:
        return None
    if Path(receipt.path) != order.environment:
        return None  # moved or copied: its scripts still name the old place
    return None if first_damage(current, receipt) else replace(receipt, reused=True)


def rehearse(order: Order, on_event: Callable[[Event], None] = lambda _: None) -> Rehearsal:
    """Look and resolve as an installation would, change nothing, and say what it would run."""
    import tempfile

    store = envs.Store.of(order.environment)
    envs.refuse_foreign(store)
    folder = store.folder / "NEW"
    with tempfile.TemporaryDirectory(prefix="gpusetup-") as work, sigterm_unwinds():
        run = _Run(order, folder, Path(work), Path(work) / "install.log", on_event, is_rehearsal=True)
        chosen = _choose(run)
        steps = (*_python_steps(run, chosen), _venv_step(run, chosen), _install_step(run, chosen))
        needed = unpacked_bytes(chosen.lock)
        return Rehearsal(
            chosen.build,
            chosen.wheel,
            chosen.lock,
            tuple((step.label, step.argv) for step in steps),
            chosen.lock.download_bytes,
            needed,
            envs.free_bytes(store.folder),
            chosen.answers,
        )


# --- one run ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    """Where one run works and what it measures."""

    order: Order
    folder: Path
    """The environment to be."""
    work: Path
    """Working files: pyproject.toml, the lock, the probe's request and result."""
    log_path: Path
    on_event: Callable[[Event], None]
    keep_fds: tuple[int, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    tried: list[Build] = field(default_factory=list)
    """The build that this run took."""
    is_rehearsal: bool = False
    """Whether nothing may be changed."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Announce a phase and keep its wall seconds."""
        self.on_event(Event("phase", name))
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - start, 3)
        self.on_event(Event("done", name, seconds=self.seconds[name]))

    def run(self, step: Step, *, limit_s: float | None = None) -> Completed:
        """Run one command; its output goes to the log and to `on_event`, without anything secret."""
        secrets = self.order.configuration.secrets
        project = self.work / "pyproject.toml"
        if not project.exists():
            project.write_text(project_text((), None), encoding="utf-8")
        with self.log_path.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(step.argv)}\n")

            def keep(line: str) -> None:
                line = redact(line, secrets)
                log.write(line + "\n")
                self.on_event(Event("line", step.label, line))

            done = run_streaming(
                step.argv,
                environment=step.environment,
                folder=self.work,
                on_line=keep,
                silence_s=self.order.limits.silence_s,
                limit_s=limit_s,
                keep_fds=self.keep_fds,
            )
        return replace(done, lines=tuple(redact(line, secrets) for line in done.lines))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What will be installed."""

    build: Build
    wheel: HeldWheel
    location: Location | None
    interpreter: Interpreter
    lock: Lock
    answers: tuple[SourceAnswer, ...] = ()
    rejections: tuple[Rejection, ...] = ()


def _is_labelled(chosen: _Chosen) -> bool:
    torch = chosen.lock.wheel("torch")
    return torch is None or Version(torch.version).local is not None


def _make(run: _Run, over: tuple[Rejection, ...]) -> Receipt:
    order = run.order
    chosen = _choose(run)
    run.tried.append(chosen.build)
    require_space(chosen.lock, run.folder, needed=unpacked_bytes(chosen.lock), free=envs.free_bytes(run.folder))
    with run.phase("venv"):
        _require(run, run.run(_venv_step(run, chosen)))
    with run.phase("install"):
        _require(run, run.run(_install_step(run, chosen)), chosen.lock)
    with run.phase("verify"):
        seen = _probe(run, chosen)
    verified = verify(seen, chosen.build, chosen.lock)
    require_passed(verified, is_labelled=_is_labelled(chosen))
    receipt = Receipt(
        path=str(order.environment),
        python=str(seen["python"]["value"]),
        backend=order.backend,
        plan_digest=order.plan_digest,
        build=chosen.build,
        distributions=distributions(seen, chosen.lock),
        verified=verified,
        seconds=tuple(run.seconds.items()),
        wheel=chosen.wheel,
        passed_over=(*over, *chosen.rejections),
        asked=asked(chosen.answers),
        gpus_left_out=order.gpus_left_out,
    )
    (run.folder / LOCK_FILENAME).write_text(render_pylock(shareable(chosen.lock)), encoding="utf-8")
    write_receipt(receipt, run.folder)
    return receipt


def _choose(run: _Run) -> _Chosen:
    order = run.order
    if not order.candidates:
        raise NoBuildError("There is no build to install.", do=("see why: gpusetup plan",))
    if order.lock is not None:
        return _locked(run, order.lock)
    if not order.python_download:
        # Before anybody is asked: what is not there now is not there afterwards.
        require_known([_python_choice(order, build.python) for build in order.candidates])
    with run.phase("look"):
        looked = look(order.candidates, order.configuration, deadlines=order.limits.sources, builtin=order.builtin)
        require_held(looked, order.candidates)
    choice = looked.choice
    if choice.build is None or choice.wheel is None or choice.location is None:
        raise GpusetupError("The look-up ended without an answer and without an error.")
    interpreter = _interpreter(run, choice.build.python)
    resolver = Resolver(
        UvBackend(_uv(), order.configuration, choice.location),
        python=interpreter.executable or choice.build.python,
        work=run.work,
        run=run.run,
        fetcher=make_fetcher(order.configuration, order.limits.sources),
        silence_s=order.limits.silence_s,
    )
    with run.phase("resolve"):
        lock = resolver.resolve(choice.build, choice.wheel, choice.location)
    return _Chosen(choice.build, choice.wheel, choice.location, interpreter, lock, looked.answers, choice.rejections)


def _locked(run: _Run, lock: Lock) -> _Chosen:
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
    return _Chosen(build, wheel, None, _interpreter(run, build.python), lock)


def _python_choice(order: Order, python: str) -> PythonChoice:
    return PythonChoice(python, order.interpreters, order.backend, order.host, order.unusable_pythons)


def _interpreter(run: _Run, python: str) -> Interpreter:
    """The interpreter to make the environment from, fetched where that was asked; in a rehearsal it may be to come."""
    order, choice = run.order, _python_choice(run.order, python)
    if not order.python_download:
        return chosen_python(choice)

    def fetch(step: Step) -> Completed:
        with run.phase("python"):
            return run.run(step)

    step = _download_step(run, python)
    return chosen_python(choice, step=step, run_step=None if run.is_rehearsal else fetch)


def _download_step(run: _Run, python: str) -> Step:
    return UvBackend(_uv(), run.order.configuration).fetch_python(python, os.environ)


def _python_steps(run: _Run, chosen: _Chosen) -> tuple[Step, ...]:
    """The step that fetches the Python, where it is not there yet."""
    return () if chosen.interpreter.executable else (_download_step(run, chosen.build.python),)


def _uv() -> str:
    binary = uv_binary()
    if binary is None:
        raise InstallError(
            "uv is not there; it resolves what an environment needs, whichever backend installs it.",
            code="uv-missing",
            evidence=(Evidence("uv", None, source="PATH", needs="0.9 or newer"),),
            do=(f"{sys.executable} -m pip install 'uv>=0.9'",),
        )
    return binary


def _venv_step(run: _Run, chosen: _Chosen) -> Step:
    # No pip inside: nothing in the environment needs it, and making it takes seconds.
    python = chosen.interpreter.executable or chosen.build.python
    base = uv_environment(os.environ, run.order.configuration, None)
    if run.order.backend == "uv":
        argv = [_uv(), "venv", "--quiet", "--no-project", "--python", python, str(run.folder)]
    else:
        argv = [python, "-Im", "venv", "--without-pip", str(run.folder)]
    return Step("venv", tuple(argv), base)


def _install_step(run: _Run, chosen: _Chosen) -> Step:
    order = run.order
    backend: Backend
    if order.backend == "uv":
        backend = UvBackend(_uv(), order.configuration, chosen.location, compile_bytecode=order.compile_bytecode)
    else:
        backend = PipBackend(tuple(pip_argv()), order.configuration, chosen.location)
    name, text = backend.lock_file(chosen.lock)
    path = run.work / "locked" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return backend.install(run.folder, path, os.environ)


def _require(run: _Run, done: Completed, lock: Lock | None = None) -> None:
    if done.returncode != 0 or done.was_silent:
        sources = {wheel.name: wheel.source for wheel in lock.wheels} if lock else None
        raise failure(done, log_path=run.log_path, silence_s=run.order.limits.silence_s, sources=sources)


def _probe(run: _Run, chosen: _Chosen) -> dict[str, dict[str, object]]:
    """What a child of the new interpreter sees in the new environment."""
    request, result = run.work / "probe-request.json", run.work / "probe-result.json"
    projects = [wheel.name for wheel in chosen.lock.wheels]
    request.write_text(json.dumps({"projects": projects, "kernel": run.order.run_kernel}), encoding="utf-8")
    argv = (str(run.folder / "bin/python"), "-I", str(_PROBE), str(request), str(result))
    # Idle OpenMP threads that spin make an import several times slower on a busy machine.
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    if run.order.visible_devices is not None:
        quiet["CUDA_VISIBLE_DEVICES"] = run.order.visible_devices
    done = run.run(Step("verify", argv, {**os.environ, **quiet}), limit_s=run.order.limits.verify_s)
    try:
        seen: dict[str, dict[str, object]] = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        limit_s = run.order.limits.verify_s
        raise failure(done, log_path=run.log_path, silence_s=limit_s, code="verification-failed") from err
    return seen
