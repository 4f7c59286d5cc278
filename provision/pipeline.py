"""The order of the stages, and nothing else: each does its work elsewhere, and nothing here prints."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from .documents.check import check_data
from .documents.envelope import finding_of
from .documents.plan import plan_data, plan_digest
from .documents.receipt import receipt_data
from .errors import ExitCode, GpusetupError, HarnessError
from .events import Event
from .examined import BAD, Examined, load_default_matrix
from .gate import require_gpus, require_plannable, usable_gpus, visible_devices
from .planning import no_build, plan_for
from .recorded import environment_findings
from .records import Evidence, Finding, Plan, Request
from .report.style import gib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .accept.launch import Progress
    from .acceptance import Acceptance
    from .audit.model import AuditData
    from .bundling import Held
    from .documents.report_data import ReportData
    from .driver_stage import DriverStage
    from .events import EventSink, StageName
    from .install.apply import Event as InstallEvent
    from .install.apply import Order, Rehearsal
    from .matrix.tables import Matrix
    from .records import Machine, Receipt, SourceConflict

#: Bytes from which on it is told how many were written; less is the installer's own notes.
_WORTH_TELLING = 2**20
#: What the phases of an install do, for people.
_PHASES = {
    "look": "asking the package sources",
    "resolve": "resolving versions and hashes",
    "python": "fetching Python",
    "venv": "making the environment",
    "install": "downloading and installing",
    "verify": "verifying what was installed",
    "switch": "putting it in place",
}


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """How to install; what to install is the plan's."""

    env: Path
    backend: Literal["uv", "pip"] = "uv"
    torch_index: str | None = None
    is_fresh: bool = False
    """Look and install again even where a receipt says that nothing changed."""
    keep: int = 2
    """Environments that stay behind the path, the current one among them."""
    held: Held | None = None
    """Files of a bundle: nothing is looked up, and no network is used."""
    locked: Path | None = None
    """A lock that was kept (pylock.toml): its files are installed, and nothing is resolved."""
    python_download: bool = False
    """Let uv fetch a Python that is not on the machine."""


@dataclass(slots=True)
class Report:
    """What `up` has learned so far; always whole enough to be written."""

    data: ReportData
    findings: tuple[Finding, ...] = ()
    exit_code: ExitCode = ExitCode.OK
    is_degraded: bool = False
    """Whether the verdict is degraded, or a check failed that did not stop the job."""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit with what it means."""

    data: AuditData
    findings: tuple[Finding, ...]
    exit_code: ExitCode

    @property
    def is_degraded(self) -> bool:
        """Whether some rows have no verdict: unknown is not pass."""
        return bool(self.data.summary.not_readable or self.data.summary.not_looked_at)


def audit_matrix(matrix: Matrix, torch: str | None, events: EventSink) -> Audited:
    """The matrix against the index of this user's configuration; drift is exit 1."""
    from .audit.run import audit
    from .install.configuration import read_configuration
    from .resolve.wishes import understand

    wish = understand(Request(torch=torch)).torch
    data = audit(
        matrix,
        read_configuration(),
        torch=torch,
        allows=wish.allows if wish else lambda _: True,
        events=events,
    )
    counts, findings = data.summary, []
    if counts.drift:
        happened = f"{counts.drift} rows of the matrix are not what the index says."
        do = ("correct the rows and their read_on in matrix.yaml", "gpusetup matrix validate matrix.yaml")
        findings.append(Finding("matrix-drift", "fail", happened, safe=do))
    if counts.not_readable:
        happened = f"{counts.not_readable} rows could not be compared."
        findings.append(Finding("row-not-readable", "unknown", happened, safe=("gpusetup matrix audit",)))
    return Audited(data, tuple(findings), ExitCode.FAILED if counts.drift else ExitCode.OK)


def require_plannable_here(examined: Examined, plan: Plan, request: Request) -> None:
    """NoUsableGpuError when a plan made elsewhere does not suit the GPUs of this machine.

    A CPU plan is welcome on a box with an unusable GPU only when somebody asked for the CPU, here or when it was made.
    A CUDA plan is welcome on a box without any GPU: that is how images are built for machines that have one.
    """
    wish = replace(plan.request, cpu=plan.request.cpu or request.cpu, require_gpu=request.require_gpu)
    require_plannable(examined.machine, wish, examined.findings)


def install_plan(plan: Plan, machine: Machine, options: InstallOptions, events: EventSink) -> tuple[Plan, Receipt]:
    """Make the environment of a plan; the plan comes back with what the sources really held."""
    from .install.apply import install, reusable

    order = _order(plan, machine, options)
    if options.held and reusable(order) is None:
        options.held.require_whole(events)
    receipt = install(order, _install_sink(events))
    return _as_installed(plan, receipt), receipt


def _as_installed(plan: Plan, receipt: Receipt) -> Plan:
    """The plan with what the sources held when the environment was made, and with what nobody could verify."""
    unseen = tuple(
        Finding(
            "verification-incomplete",
            "warn",
            f"{v.id} could not be verified in the new environment.",
            (Evidence(v.id, v.found, needs=v.expected),),
        )
        for v in receipt.verified
        if v.passed is None
    )
    unseen = (*unseen, *unanswered(receipt), *(conflict_finding(conflict) for conflict in receipt.conflicts))
    return replace(
        plan,
        build=receipt.build,
        companions=plan.companions if receipt.build == plan.build else (),
        availability="held",
        wheel=receipt.wheel,
        asked=receipt.asked,
        download_bytes=receipt.wheel.size_bytes if receipt.wheel else None,
        resolution=replace(plan.resolution, rejections=(*receipt.passed_over, *plan.resolution.rejections)),
        findings=(*plan.findings, *environment_findings(receipt), *unseen),
    )


def unanswered(receipt: Receipt) -> tuple[Finding, ...]:
    """The index that somebody named, where it gave no answer and torch came from elsewhere: they should know."""
    return tuple(
        Finding(
            "torch-index-unanswered",
            "warn",
            f"The index of --torch-index gave no answer, so torch came from {receipt.wheel.source.url}.",
            (Evidence(said.source.url, said.answer, source=said.source.name, needs="a list of torch wheels"),),
            safe=(f"when it answers again: gpusetup install --fresh --env {receipt.path}",),
        )
        for said in receipt.asked
        if receipt.wheel and not said.has_answered and said.source.name == "--torch-index"
    )


def conflict_finding(conflict: SourceConflict) -> Finding:
    """What is told of a project that two sources hold differently."""
    what = f"{conflict.project} {conflict.version}"
    if conflict.kind == "foreign-left":
        happened = f"{what} was taken from {conflict.source}; {conflict.other_source} offers other files of it."
    else:
        happened = (
            f"{what} comes from {conflict.source}; {conflict.other_source} has {conflict.project}, not this file."
        )
    return Finding(
        "source-conflict",
        "warn",
        happened,
        (
            Evidence(conflict.filename, conflict.sha256 or "not known", source=conflict.source),
            Evidence("there", conflict.other_sha256 or "no such file", source=conflict.other_source),
        ),
        safe=("take the source that should not hold it out of the configuration of pip or uv, and install again",),
    )


def rehearse_install(plan: Plan, machine: Machine, options: InstallOptions, events: EventSink) -> Rehearsal:
    """What an install would run, download and need, with nothing changed."""
    from .install.apply import rehearse

    if options.held:
        options.held.require_whole(events)
    return rehearse(_order(plan, machine, options), _install_sink(events))


def rehearsal_findings(rehearsal: Rehearsal) -> tuple[Finding, ...]:
    """What stands in the way of the installation that was rehearsed, and what would be told after it."""
    found = [conflict_finding(conflict) for conflict in rehearsal.conflicts]
    needed, free = rehearsal.disk_needed_bytes, rehearsal.disk_free_bytes
    if needed is not None and needed > free:
        happened = "There is too little free space for this environment."
        place = (Evidence("free space", free, "bytes", needs=needed),)
        found.append(Finding("disk-full", "warn", happened, place, safe=("name a place on another disk with --env",)))
    return tuple(found)


def _order(plan: Plan, machine: Machine, options: InstallOptions) -> Order:
    from .install.apply import Order
    from .install.configuration import read_configuration

    if plan.build is None:
        raise no_build(plan)
    held = options.held
    configuration = held.configuration if held else read_configuration(torch_index=options.torch_index)
    sources = tuple(location.source for location in configuration.locations)
    order = Order(
        candidates=plan.resolution.candidates,
        plan_digest=held.digest if held else plan_digest(plan, sources=sources),
        environment=options.env,
        interpreters=(machine.python, *machine.interpreters) if machine.python else machine.interpreters,
        configuration=replace(configuration, known_day=plan.matrix.read_on),
        lock=held.lock if held else None,
        backend=options.backend,
        run_kernel=usable_gpus(machine) > 0 and plan.build.kind == "cuda",
        is_fresh=options.is_fresh,
        keep=options.keep,
        gpus_left_out=plan.resolution.gpus_left_out,
        visible_devices=visible_devices(machine, plan.resolution.gpus_left_out),
        matrix_revision=plan.matrix.revision,
        python_download=options.python_download,
        host=machine.host,
        unusable_pythons=tuple(reading for reading in machine.readings if reading.name == "python.unusable"),
    )
    return order if options.locked is None else _locked_order(order, plan, options.locked)


def _locked_order(order: Order, plan: Plan, path: Path) -> Order:
    """The order of a lock that was kept: its build must be one that the plan admits."""
    from packaging.tags import platform_tags

    from .documents.envelope import read_text
    from .install.lock import MAX_BYTES
    from .install.locked import given_lock

    text = read_text(path, limit=MAX_BYTES)
    given = given_lock(text, str(path), order.candidates, plan.resolution.rejections, platforms=tuple(platform_tags()))
    return replace(
        order,
        candidates=(given.build,),
        plan_digest=given.digest,
        run_kernel=order.run_kernel and given.build.kind == "cuda",
        lock=given.lock,
        is_lock_from_elsewhere=True,
        lock_folder=path.absolute().parent,
    )


def _install_sink(events: EventSink) -> Callable[[InstallEvent], None]:
    """What an install tells, as events of the stage."""

    def tell(event: InstallEvent) -> None:
        if event.kind == "phase":
            events(Event("install", "phase", _PHASES.get(event.phase, event.phase)))
        elif event.kind == "note":
            events(Event("install", "note", event.text))
        elif event.kind == "line":
            events(Event("install", "progress", event.text))
        elif event.kind == "written" and event.phase == "install" and event.written_bytes >= _WORTH_TELLING:
            events(_written_event(event))

    return tell


def _written_event(event: InstallEvent) -> Event:
    """Bytes written of about so many: uv unpacks while it downloads, so this is what moves."""
    if not event.of_bytes:
        return Event("install", "progress", f"{gib(event.written_bytes)} written")
    # Both figures count unpacked files: the whole is estimated from the wheels' sizes, and less where they are cached.
    share = min(event.written_bytes / event.of_bytes, 0.99)
    return Event("install", "progress", f"{gib(event.written_bytes)} of at most {gib(event.of_bytes)} written", share)


def require_device(examined: Examined, kind: str, *, require_gpu: int = 0, on_cpu: bool = False) -> None:
    """NoUsableGpuError when the environment is for CUDA and no GPU can be used, or fewer than asked for."""
    least = max(require_gpu, 1 if kind == "cuda" and not on_cpu else 0)
    require_gpus(examined.machine, Request(require_gpu=least), examined.findings)


@dataclass(frozen=True, slots=True)
class AcceptOptions:
    """How to run the acceptance workload."""

    preset: str = "smoke"
    seed: int | None = None
    on_cpu: bool = False
    """Run a CUDA build on the CPU, too: a verdict on the environment, never on a GPU."""


def accept_environment(
    env: Path, receipt: Receipt, machine: Machine, events: EventSink, options: AcceptOptions
) -> Acceptance:
    """Run the harness in an environment, on the GPUs that its plan is for, and judge what it reports."""
    from harness import contract

    from .accept.judge import accept
    from .accept.launch import launch

    on_cpu = options.on_cpu or receipt.build.kind == "cpu"
    job = contract.Job(preset=options.preset, device="cpu" if on_cpu else "cuda")
    if options.seed is not None:
        job = replace(job, seed=options.seed)
    python = f"{env}/bin/python"
    report = launch(
        python,
        job,
        on_progress=lambda progress: events(_accept_event(progress)),
        visible_devices=visible_devices(machine, receipt.gpus_left_out),
    )
    if report.status == "failed" and report.workload is None:
        # There never was a model to train: that is no verdict on the machine.
        raise HarnessError(
            "The acceptance workload could not run in the environment.",
            evidence=(Evidence("reason", report.reason, source=str(env)),),
            do=(f"gpusetup install --fresh --env {env}",),
        )
    acceptance = accept(report, expected=receipt.build, on_cpu=on_cpu)
    names = ", ".join(f"GPU {out.index} ({out.name})" for out in receipt.gpus_left_out)
    return replace(acceptance, notes=(*acceptance.notes, f"Left out by the plan: {names}.")) if names else acceptance


def _accept_event(progress: Progress) -> Event:
    if progress.event == "step" and progress.step is not None and progress.steps:
        loss = "" if progress.loss is None else f"  loss {progress.loss:.3f}"
        text = f"step {progress.step}/{progress.steps}{loss}"
        return Event("accept", "progress", text, fraction=progress.step / progress.steps)
    return Event("accept", "progress", progress.text or progress.name or progress.event)


def up(
    request: Request,
    options: InstallOptions,
    events: EventSink,
    accept_options: AcceptOptions,
    *,
    site: str | None = None,
    started_at: str,
    driver: DriverStage | None = None,
) -> Report:
    """The main job. Errors of a stage end it and become findings: the report says how far it came.

    With `driver` a missing or old driver is brought before the plan.
    """
    from .documents.report_data import ReportData

    report = Report(ReportData(started_at=started_at))
    try:
        _run_stages(report, request, options, events, accept_options, site=site, driver=driver)
    except GpusetupError as err:
        report.findings = (finding_of(err), *(f for f in report.findings if f.id != err.code))
        report.exit_code = err.exit_code
    report.data = replace(report.data, seconds={name: round(s, 3) for name, s in report.seconds.items()})
    return report


def _run_stages(
    report: Report,
    request: Request,
    options: InstallOptions,
    events: EventSink,
    accept_options: AcceptOptions,
    *,
    site: str | None,
    driver: DriverStage | None,
) -> None:
    from .report import summary

    examined = _look(report, events)
    matrix = load_default_matrix(site)
    if driver is not None and _bring_driver(report, request, events, driver, examined, matrix):
        examined = _look(report, events)
    with _timed(report, events, "plan") as stage:
        plan = plan_for(examined, request, matrix)
        report.data = replace(report.data, plan=plan_data(plan))
        if plan.build is None:
            raise no_build(plan)
        stage.text = summary.plan_text(plan)
    with _timed(report, events, "install") as stage:
        plan, receipt = install_plan(plan, examined.machine, options, events)
        report.data = replace(report.data, plan=plan_data(plan), receipt=receipt_data(receipt))
        report.findings = (*report.findings, *plan.findings)
        stage.text = summary.install_text(receipt)
    with _timed(report, events, "accept") as stage:
        acceptance = accept_environment(options.env, receipt, examined.machine, events, accept_options)
        report.data = replace(report.data, acceptance=acceptance)
        report.findings = (*report.findings, *acceptance.findings)
        report.exit_code = ExitCode.FAILED if acceptance.verdict == "rejected" else ExitCode.OK
        report.is_degraded = acceptance.verdict == "degraded" or any(f.status in BAD for f in report.findings)
        stage.text = summary.accept_text(acceptance)


def _look(report: Report, events: EventSink) -> Examined:
    """Detect and check."""
    from .doctor import Visit, core_of, examine, quick_ids, see_host
    from .report import summary

    with _timed(report, events, "detect") as stage:
        seen = see_host(Visit())
        examined = core_of(seen)
        report.data = replace(report.data, machine=examined.machine)
        stage.text = summary.detect_text(examined.machine)
    with _timed(report, events, "check") as stage:
        checked, notes = examine(seen, quick_ids())
        report.data = replace(
            report.data,
            check=check_data(
                checked.results,
                cause=checked.cause,
                level=seen.level,
                folded=checked.folded,
                environment_classes=sorted(seen.facts.classes),
            ),
        )
        report.findings = (*checked.findings, *notes)
        stage.text = summary.check_text(checked.results)
    return examined


def _bring_driver(
    report: Report, request: Request, events: EventSink, driver: DriverStage, examined: Examined, matrix: Matrix
) -> bool:
    """Whether a driver was put there that was not there before; the error of the stage where it is not there yet."""
    from .driver_stage import bring_driver, require_done
    from .report import summary

    with _timed(report, events, "driver") as stage:
        outcome = bring_driver(driver, examined, request, matrix)
        if outcome is None:
            stage.text = "nothing was changed"
            return False
        report.data = replace(report.data, driver=outcome.run)
        stage.text = summary.driver_text(outcome.run)
        require_done(outcome)
    return True


@dataclass(slots=True)
class _Stage:
    """The line that a stage leaves."""

    text: str = ""


@contextmanager
def _timed(report: Report, events: EventSink, name: StageName) -> Iterator[_Stage]:
    """The end event of a stage, and its wall seconds in the report, also when it fails."""
    started = time.monotonic()
    stage = _Stage()
    try:
        yield stage
    finally:
        report.seconds[name] = time.monotonic() - started
    events(Event(name, "end", stage.text, seconds=report.seconds[name]))
