"""EDGE: the order of an installation. Everything it decides with is pure and stands in the modules beside this one.

reuse? -> lock -> journal? -> look -> resolve -> disk -> venv -> install -> verify -> receipt -> switch -> prune
"""

from __future__ import annotations

import json
import os
import time
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.version import Version

from ..errors import InstallError
from ..records import (
    Build,
    GpuLeftOut,
    HeldWheel,
    Host,
    Interpreter,
    Receipt,
    Rejection,
    SourceConflict,
)
from . import environment as envs
from .addresses import redact
from .backends import Backend, PipBackend, Step, UvBackend, uv_environment
from .children import failure
from .choosing import Chosen, choose, python_steps, require_uv
from .disk import require_space, unpacked_bytes
from .estimate import Estimate, Storage, estimate, remote_bytes, storage
from .fetching import Deadlines
from .going_on import decided, spoiled, taken_up, verified_before
from .journal import PHASES, Book, Journal, clear_journal, has_whole_folder, situation
from .lock import project_text, render_pylock, shareable
from .lookup import builtin_index, make_fetcher
from .place import require_usable_place
from .receipt import changes_of, read_receipt, write_receipt
from .resuming import MAYBE_OUTDATED, changed_by_hand, cleared, ended, left_over, tidied
from .running import Completed, run_streaming, sigterm_unwinds
from .tools import pip_argv
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
    """Install exactly these files: nothing is resolved."""
    is_lock_from_elsewhere: bool = False
    """Whether the files of the lock are taken from this machine's own sources, where these hold them (`--locked`)."""
    lock_folder: Path | None = None
    """Where the lock lies; files beside it are taken."""
    matrix_revision: str = ""
    """Of the matrix that the plan was made with; the lock names it."""
    limits: Limits = field(default_factory=Limits)
    builtin: Callable[[], Location | None] = builtin_index
    is_fresh: bool = False
    """Look and install again even where a receipt says that nothing changed."""
    gpus_left_out: tuple[GpuLeftOut, ...] = ()
    """GPUs that the plan is not for; the receipt names them."""
    visible_devices: str | None = None
    """CUDA_VISIBLE_DEVICES of the verification, where some GPUs are left out."""
    keep: int = envs.KEPT
    """Environments that stay behind the path, the current one among them."""
    python_download: bool = False
    """Let uv fetch the Python of the build where it is not on the machine."""
    host: Host = field(default_factory=Host)
    """For the commands of its distribution."""
    unusable_pythons: tuple[Reading, ...] = ()
    """Interpreters that detection found and that no environment can be made from, each with its reason."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress for people: a phase that starts, a line of the backend's output, bytes that it has written so far, a
    phase that ended, or a note.

    Lines may be passed over where there are many; a note is always told.
    """

    kind: Literal["phase", "line", "written", "done", "note"]
    phase: str
    text: str = ""
    seconds: float | None = None
    written_bytes: int = 0
    of_bytes: int | None = None
    """About what it will be in the end, where nothing is cached; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an installation would do: `--dry-run`."""

    build: Build
    wheel: HeldWheel
    lock: Lock
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    """(label, argv); argv never holds credentials."""
    download_bytes: int | None
    """Bytes of the files that are not on this machine; what the installer's cache holds is not fetched again."""
    disk_needed_bytes: int | None
    disk_free_bytes: int
    answers: tuple[SourceAnswer, ...] = ()
    conflicts: tuple[SourceConflict, ...] = ()
    storage: Storage | None = None
    estimate: Estimate | None = None


def install(order: Order, on_event: Callable[[Event], None] = lambda _: None) -> Receipt:
    """Make the environment that the order asks for, or find that it is there already.

    InstallError and NoBuildError leave the old environment as it was; so does every interruption.
    """
    store = envs.Store.of(order.environment)
    envs.refuse_foreign(store)
    if receipt := reusable(order):
        return tidied(store, receipt)
    with (
        sigterm_unwinds(),
        envs.disk_errors_named(store),
        _held(order, store, on_event) as lock_fd,
    ):
        now = situation(order.plan_digest, order.backend, order.interpreters, order.lock)
        left = left_over(store, now, is_fresh=order.is_fresh, tell=_teller(on_event))
        require_usable_place(store.folder)
        # Another run may have made it while we waited for the lock.
        if receipt := reusable(order):
            return ended(store, receipt)
        return ended(store, _make_first_true(order, store, on_event, lock_fd, left))


def _teller(on_event: Callable[[Event], None]) -> Callable[[str], None]:
    return lambda text: on_event(Event("note", "journal", text))


def _held(order: Order, store: envs.Store, on_event: Callable[[Event], None]) -> AbstractContextManager[int]:
    """The store's lock; who has to wait for it is told so."""

    def tell(text: str) -> None:
        on_event(Event("line", "lock", text))

    return envs.locked(store, wait_s=order.limits.lock_wait_s, on_wait=tell)


def _make_first_true(
    order: Order, store: envs.Store, on_event: Callable[[Event], None], lock_fd: int, left: Journal | None
) -> Receipt:
    """Make and switch to the first candidate that turns out to be what its source says it is."""
    over: tuple[Rejection, ...] = ()
    tell = _teller(on_event)
    changes = changed_by_hand(store, tell)
    store.log.unlink(missing_ok=True)
    while True:
        if left is not None and has_whole_folder(left, store):
            folder = store.folder / left.folder
        else:
            folder = envs.new_folder(store)
        run = _Run(order, folder, envs.part_of(folder), store.log, on_event, (lock_fd,), book=Book(store))
        try:
            receipt = replace(_make(run, over, left), changes=changes)
            with run.phase("switch"):
                envs.switch(store, folder)
        except AnotherBuildError as err:
            envs.discard(folder)
            wrong = run.tried[-1]
            order, left = replace(order, candidates=_others(order.candidates, wrong)), None
            over = (*over, _another_build(wrong, err))
            if not order.candidates or len(over) > _MISLABELLED:
                clear_journal(store)
                raise
        except BaseException as err:
            cleared(store, folder, err, has_installed=run.book.has("install") if run.book else False, tell=tell)
            if left is None or not isinstance(err, InstallError) or err.code not in MAYBE_OUTDATED:
                raise
            tell(f"starting over after an interrupted run: {err.happened}")
            left = None
        else:
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
    changes = changes_of(current, receipt)
    # What somebody added is theirs: the environment holds what was planned, and making it anew would take theirs away.
    is_whole = all(change.is_addition for change in changes)
    return replace(receipt, reused=True, changes=changes) if is_whole else None


def rehearse(order: Order, on_event: Callable[[Event], None] = lambda _: None) -> Rehearsal:
    """Look and resolve as an installation would, change nothing, and say what it would run."""
    import tempfile

    store = envs.Store.of(order.environment)
    envs.refuse_foreign(store)
    folder = store.folder / "NEW"
    with tempfile.TemporaryDirectory(prefix="gpusetup-") as work, sigterm_unwinds():
        run = _Run(order, folder, Path(work), Path(work) / "install.log", on_event, is_rehearsal=True)
        chosen = choose(run)
        steps = (*python_steps(run, chosen), _venv_step(run, chosen), _install_step(run, chosen))
        needed = unpacked_bytes(chosen.lock)
        configuration = order.configuration
        sources = (*configuration.locations, *([chosen.location] if chosen.location else []))
        return Rehearsal(
            chosen.build,
            chosen.wheel,
            chosen.lock,
            # The working files of the real run lie beside the new environment.
            tuple((step.label, tuple(w.replace(work, str(envs.part_of(folder))) for w in step.argv)) for step in steps),
            remote_bytes(chosen.lock),
            needed,
            envs.free_bytes(store.folder),
            chosen.answers,
            chosen.conflicts(),
            storage(order.backend, configuration, store.folder, chosen.lock, needed),
            estimate(chosen.lock, store, make_fetcher(configuration, order.limits.sources), sources),
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
    book: Book | None = None
    """Where the phases that ended are written down; None for a rehearsal."""
    is_rehearsal: bool = False
    """Whether nothing may be changed."""

    def tell(self, text: str) -> None:
        """Say something that is always told."""
        _teller(self.on_event)(text)

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

    def run(self, step: Step, *, limit_s: float | None = None, of_bytes: int | None = None) -> Completed:
        """Run one command; its output goes to the log and to `on_event`, without anything secret.

        `of_bytes` is about what it will write.
        """
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
                on_written=lambda count: self.on_event(
                    Event("written", step.label, written_bytes=count, of_bytes=of_bytes)
                ),
            )
        return replace(done, lines=tuple(redact(line, secrets) for line in done.lines))


def _is_labelled(chosen: Chosen) -> bool:
    torch = chosen.lock.wheel("torch")
    return torch is None or Version(torch.version).local is not None


def _make(run: _Run, over: tuple[Rejection, ...], left: Journal | None) -> Receipt:
    order = run.order
    if (receipt := verified_before(run, left)) is not None:
        return receipt
    taken = taken_up(run, left) if left is not None else None
    chosen = taken or choose(run)
    run.tried.append(chosen.build)
    journal = decided(run, chosen, over, left if taken else None)
    book = run.book or Book(envs.Store.of(order.environment))
    book.begin(journal)
    resumed = tuple(phase for phase in PHASES if book.has(phase)) if taken else ()
    conflicts = journal.conflicts
    if not book.has("install"):
        needed = unpacked_bytes(chosen.lock)
        require_space(chosen.lock, run.folder, needed=needed, free=envs.free_bytes(run.folder))
        with run.phase("venv"):
            _require(run, run.run(_venv_step(run, chosen)))
        with run.phase("install"):
            _require(run, run.run(_install_step(run, chosen), of_bytes=needed), chosen.lock)
        conflicts = chosen.conflicts()  # nothing of the environment has run yet
        book.end("install", conflicts)
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
        passed_over=journal.passed_over,
        asked=journal.asked,
        gpus_left_out=order.gpus_left_out,
        resumed=resumed,
        conflicts=conflicts,
    )
    if resumed and (changes := changes_of(run.folder, receipt)):
        raise spoiled(run.folder, changes)
    (run.folder / LOCK_FILENAME).write_text(render_pylock(shareable(chosen.lock)), encoding="utf-8")
    write_receipt(receipt, run.folder)
    book.end("verify")
    return receipt


def _venv_step(run: _Run, chosen: Chosen) -> Step:
    # No pip inside: nothing in the environment needs it, and making it takes seconds.
    python = chosen.interpreter.executable or chosen.build.python
    base = uv_environment(os.environ, run.order.configuration, None)
    prompt = ("--prompt", run.order.environment.name)  # else a shell shows the name of the folder, which is a date
    if run.order.backend == "uv":
        argv = [require_uv(), "venv", "--quiet", "--no-project", *prompt, "--python", python, str(run.folder)]
    else:
        argv = [python, "-Im", "venv", "--without-pip", *prompt, str(run.folder)]
    return Step("venv", tuple(argv), base)


def _install_step(run: _Run, chosen: Chosen) -> Step:
    order = run.order
    backend: Backend
    if order.backend == "uv":
        backend = UvBackend(require_uv(), order.configuration, chosen.location, compile_bytecode=order.compile_bytecode)
    else:
        pip = tuple(pip_argv())
        backend = PipBackend(pip, order.configuration, chosen.location, compile_bytecode=order.compile_bytecode)
    files = backend.lock_files(chosen.lock)
    folder = run.work / "locked"
    folder.mkdir(exist_ok=True)
    for name, text in files:
        (folder / name).write_text(text, encoding="utf-8")
    return backend.install(run.folder, folder / files[0][0], os.environ)


def _require(run: _Run, done: Completed, lock: Lock | None = None) -> None:
    if done.returncode != 0 or done.was_silent:
        sources = {wheel.name: wheel.source for wheel in lock.wheels} if lock else None
        raise failure(done, log_path=run.log_path, silence_s=run.order.limits.silence_s, sources=sources)


def _probe(run: _Run, chosen: Chosen) -> dict[str, dict[str, object]]:
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
