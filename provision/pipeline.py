"""The order of the stages, and nothing else: each does its work elsewhere, and nothing here prints."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from .documents.data import ReportData, check_data, passed_over, plan_data, plan_digest, receipt_data
from .documents.envelope import finding_of
from .errors import ExitCode, GpusetupError, HarnessError, InputError, NoBuildError, NoUsableGpuError, UsageError
from .events import Event
from .gate import require_gpus, require_plannable, usable_gpus, without_lost_gpus
from .records import Evidence, Finding, GpuState, MatrixIdentity, Plan, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .accept.launch import Progress
    from .documents.fleet import FleetData
    from .events import EventSink, StageName
    from .fleet import Member, Remarks
    from .install.apply import Event as InstallEvent
    from .install.apply import Order, Rehearsal
    from .matrix.tables import Matrix
    from .records import Acceptance, CheckResult, Machine, Receipt, Rejection
    from .resolve import Catalogue

#: What the phases of an install do, for people.
_PHASES = {
    "look": "asking the package sources",
    "resolve": "resolving versions and hashes",
    "venv": "making the environment",
    "install": "downloading and installing",
    "verify": "verifying what was installed",
    "switch": "putting it in place",
}

#: States of a check that is not well, and all that a person should see.
_BAD = ("fail", "timed-out", "crashed")
_SHOWN = (*_BAD, "warn", "unknown")


@dataclass(frozen=True, slots=True)
class Examined:
    """A machine with what the checks say of it."""

    machine: Machine
    results: tuple[CheckResult, ...] = ()
    cause: str | None = None
    """Id of the check that leads the report."""
    folded: tuple[str, ...] = ()
    """Ids that the cause explains."""
    is_here: bool = False
    """Whether it is the machine that gpusetup runs on."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong: the cause first, what it explains left out."""
        problems = [r for r in self.results if r.status in _SHOWN and r.id not in self.folded]
        ranked = sorted(problems, key=lambda result: (result.id != self.cause, result.status == "warn"))
        return tuple(Finding(r.id, r.status, r.happened, r.evidence, r.safe, r.risky) for r in ranked)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or line of a fleet."""

    name: str
    """What the machine is called where it does not say a host name."""
    source: str
    """File, or file:line."""
    found: Examined | InputError


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """How to install; what to install is the plan's."""

    env: Path
    backend: Literal["uv", "pip"] = "uv"
    torch_index: str | None = None
    is_fresh: bool = False
    """Look and install again even where a receipt says that nothing changed."""


@dataclass(slots=True)
class Report:
    """What `up` has learned so far; always whole enough to be written."""

    data: ReportData
    findings: tuple[Finding, ...] = ()
    exit_code: ExitCode = ExitCode.OK
    is_degraded: bool = False
    """Whether the verdict is degraded, or a check failed that did not stop the job."""
    seconds: dict[str, float] = field(default_factory=dict)


def examine_host() -> Examined:
    """Detect this machine and run the checks on what was read."""
    from .checks import lead, run_checks
    from .detect import detect_machine

    if not sys.platform.startswith("linux"):
        raise UsageError("gpusetup runs on Linux and WSL 2; Windows and macOS are plan targets only (plan --os).")
    machine = detect_machine()
    results = run_checks(machine, clock=time.perf_counter)
    return Examined(machine, results, *lead(results), is_here=True)


def examine_paste(machine: Machine) -> Examined:
    """A machine that a paste describes: the checks say why its GPU can't be used; where it can, they have no facts."""
    from .checks import lead, run_checks

    if machine.gpu_state is not GpuState.UNUSABLE:
        return Examined(machine)
    results = run_checks(machine)
    return Examined(machine, results, *lead(results))


def load_default_matrix() -> Matrix:
    """The matrix that ships with gpusetup."""
    from .matrix.load import default_matrix_path, read_matrix

    return read_matrix(default_matrix_path())


def plan_for(examined: Examined, request: Request, matrix: Matrix, *, catalogue: Catalogue | None = None) -> Plan:
    """The plan of a machine, offline. NoUsableGpuError when it has a GPU that can't be used."""
    from .resolve import resolve

    require_plannable(examined.machine, request, examined.findings)
    resolution = resolve(without_lost_gpus(examined.machine), request, matrix, catalogue=catalogue)
    return Plan(
        build=resolution.chosen,
        resolution=resolution,
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        request=request,
        findings=resolution.notes,
    )


def plan_fleet(entries: Iterable[Entry], request: Request, matrix: Matrix) -> FleetData:
    """The plans of many machines, offline, and what they share. What can't be read or planned is a row like the others.

    InputError when there is no entry at all.
    """
    from .fleet import Remarks, survey
    from .resolve import Catalogue

    catalogue, remarks = Catalogue(matrix), Remarks()
    # One at a time: of ten thousand machines only the rows and what they share are kept.
    members = (_member(entry, request, catalogue, remarks) for entry in entries)
    return survey(members, request, MatrixIdentity(matrix.revision, matrix.read_on), remarks)


def _member(entry: Entry, request: Request, catalogue: Catalogue, remarks: Remarks) -> Member:
    from .fleet import Member, member_of, row_error

    if isinstance(entry.found, InputError):
        return Member(entry.name, entry.source, error=row_error(entry.found))
    machine = entry.found.machine
    try:
        plan = plan_for(entry.found, request, catalogue.matrix, catalogue=catalogue)
    except NoUsableGpuError as err:
        return member_of(machine, entry.name, entry.source, error=err)
    remarks.add(plan.resolution)
    kept = replace(plan.resolution, assumptions=(), notes=())  # they are counted
    if plan.build is not None:
        return member_of(machine, entry.name, entry.source, resolution=kept)
    reasons = tuple(_one_of_each_rule(plan).values())
    return member_of(machine, entry.name, entry.source, resolution=kept, error=no_build(plan), rejections=reasons)


def check_sources(plan: Plan, machine: Machine, *, is_here: bool, torch_index: str | None) -> Plan:
    """The plan with what the sources that are configured here really hold for that machine."""
    from .install.availability import asked, platforms_of
    from .install.configuration import read_configuration
    from .install.looking import look

    platforms = None if is_here else platforms_of(machine.host)
    looked = look(plan.resolution.candidates, read_configuration(torch_index=torch_index), platforms=platforms)
    choice = looked.choice
    return replace(
        plan,
        build=choice.build or plan.build,
        availability=choice.availability,
        wheel=choice.wheel,
        asked=asked(looked.answers),
        download_bytes=choice.wheel.size_bytes if choice.wheel else None,
        resolution=replace(plan.resolution, rejections=(*choice.rejections, *plan.resolution.rejections)),
    )


def no_build(plan: Plan) -> NoBuildError:
    """The error of a plan without a build: one reason of each kind, newest build first, and what would help."""
    reasons = [
        Evidence(f"torch {r.torch}+{r.variant}", f"{r.rule}: {r.found}", source=r.source, needs=r.needs)
        for r in _one_of_each_rule(plan).values()
    ]
    unlocks = [f"{u.change} {u.from_} -> {u.to} admits torch {u.torch}+{u.variant}" for u in plan.resolution.unlocks]
    wishes = {"--torch": plan.request.torch, "--cuda": plan.request.cuda, "--python": plan.request.python}
    asked = [name for name, wish in wishes.items() if wish]
    drop = [f"gpusetup plan, without {' and '.join(asked)}"] if asked else []
    return NoBuildError(
        "No build in the matrix fits this machine and this request.", evidence=reasons, do=(*unlocks, *drop)
    )


def _one_of_each_rule(plan: Plan) -> dict[str, Rejection]:
    """Of the builds that were passed over the newest that each rule refuses."""
    by_rule: dict[str, Rejection] = {}
    for rejection in passed_over(plan):
        by_rule.setdefault(rejection.rule, rejection)
    return by_rule


def not_held(plan: Plan) -> NoBuildError:
    """The error of a plan that fits and that no source holds; its evidence is what every source said."""
    name = plan.build.local_version if plan.build else "torch"
    return NoBuildError(
        f"No configured package source holds torch {name}, nor another build that fits.",
        code="not-in-sources",
        evidence=[Evidence(said.source.url, said.answer, source=said.source.name) for said in plan.asked],
        do=("name a source that holds it: --torch-index ADDRESS, or find-links in pip's configuration",),
    )


def require_plannable_here(examined: Examined, plan: Plan, request: Request) -> None:
    """NoUsableGpuError when a plan made elsewhere does not suit the GPUs of this machine.

    A CPU plan is welcome on a box with an unusable GPU only when somebody asked for the CPU, here or when it was made.
    A CUDA plan is welcome on a box without any GPU: that is how images are built for machines that have one.
    """
    wish = replace(plan.request, cpu=plan.request.cpu or request.cpu, require_gpu=request.require_gpu)
    require_plannable(examined.machine, wish, examined.findings)


def install_plan(plan: Plan, machine: Machine, options: InstallOptions, events: EventSink) -> tuple[Plan, Receipt]:
    """Make the environment of a plan; the plan comes back with what the sources really held."""
    from .install.apply import install

    receipt = install(_order(plan, machine, options), lambda event: events(_install_event(event)))
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
    return replace(
        plan,
        build=receipt.build,
        availability="held",
        wheel=receipt.wheel,
        asked=receipt.asked,
        download_bytes=receipt.wheel.size_bytes if receipt.wheel else None,
        resolution=replace(plan.resolution, rejections=(*receipt.passed_over, *plan.resolution.rejections)),
        findings=(*plan.findings, *unseen),
    )


def rehearse_install(plan: Plan, machine: Machine, options: InstallOptions, events: EventSink) -> Rehearsal:
    """What an install would run, download and need, with nothing changed."""
    from .install.apply import rehearse

    return rehearse(_order(plan, machine, options), lambda event: events(_install_event(event)))


def _order(plan: Plan, machine: Machine, options: InstallOptions) -> Order:
    from .install.apply import Order
    from .install.configuration import read_configuration

    if plan.build is None:
        raise no_build(plan)
    configuration = read_configuration(torch_index=options.torch_index)
    return Order(
        candidates=plan.resolution.candidates,
        plan_digest=plan_digest(plan, sources=tuple(location.source for location in configuration.locations)),
        environment=options.env,
        interpreters=(machine.python, *machine.interpreters) if machine.python else machine.interpreters,
        configuration=configuration,
        backend=options.backend,
        run_kernel=usable_gpus(machine) > 0 and plan.build.kind == "cuda",
        is_fresh=options.is_fresh,
    )


def _install_event(event: InstallEvent) -> Event:
    text = {"phase": _PHASES.get(event.phase, event.phase), "line": event.text, "done": ""}[event.kind]
    return Event("install", "progress", text)


def require_device(examined: Examined, kind: str, *, require_gpu: int = 0) -> None:
    """NoUsableGpuError when the environment is for CUDA and no GPU can be used, or fewer than asked for."""
    least = max(require_gpu, 1 if kind == "cuda" else 0)
    require_gpus(examined.machine, Request(require_gpu=least), examined.findings)


def accept_environment(env: Path, receipt: Receipt, events: EventSink, *, preset: str, seed: int | None) -> Acceptance:
    """Run the harness in an environment and judge what it reports."""
    from harness import contract

    from .accept.judge import accept
    from .accept.launch import launch

    device = "cuda" if receipt.build.kind == "cuda" else "cpu"
    job = contract.Job(preset=preset, device=device)
    if seed is not None:
        job = replace(job, seed=seed)
    python = f"{env}/bin/python"
    report = launch(python, job, on_progress=lambda progress: events(_accept_event(progress)))
    if report.status == "failed" and report.workload is None:
        # There never was a model to train: that is no verdict on the machine.
        raise HarnessError(
            "The acceptance workload could not run in the environment.",
            evidence=(Evidence("reason", report.reason, source=str(env)),),
            do=(f"gpusetup install --fresh --env {env}",),
        )
    return accept(report, expected=receipt.build)


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
    *,
    preset: str = "smoke",
    seed: int | None = None,
    started_at: str,
) -> Report:
    """The main job. Errors of a stage end it and become findings: the report says how far it came."""
    report = Report(ReportData(started_at=started_at))
    try:
        _run_stages(report, request, options, events, preset=preset, seed=seed)
    except GpusetupError as err:
        report.findings = (finding_of(err), *(f for f in report.findings if f.id != err.code))
        report.exit_code = err.exit_code
    report.data = replace(report.data, seconds={name: round(s, 3) for name, s in report.seconds.items()})
    return report


def _run_stages(
    report: Report, request: Request, options: InstallOptions, events: EventSink, *, preset: str, seed: int | None
) -> None:
    from .report import summary

    with _timed(report, events, "detect") as stage:
        examined = examine_host()
        report.data = replace(report.data, machine=examined.machine)
        stage.text = summary.detect_text(examined.machine)
    with _timed(report, events, "check") as stage:
        report.data = replace(report.data, check=check_data(examined.results, cause=examined.cause, level="quick"))
        report.findings = examined.findings
        stage.text = summary.check_text(examined.results)
    with _timed(report, events, "plan") as stage:
        plan = plan_for(examined, request, load_default_matrix())
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
        acceptance = accept_environment(options.env, receipt, events, preset=preset, seed=seed)
        report.data = replace(report.data, acceptance=acceptance)
        report.findings = (*report.findings, *acceptance.findings)
        report.exit_code = ExitCode.FAILED if acceptance.verdict == "rejected" else ExitCode.OK
        report.is_degraded = acceptance.verdict == "degraded" or any(f.status in _BAD for f in report.findings)
        stage.text = summary.accept_text(acceptance)


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
