"""The order of the stages, and nothing else: each does its work elsewhere, and nothing here prints."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from .documents.data import ReportData, check_data, plan_data, plan_digest, receipt_data
from .documents.envelope import finding_of
from .errors import ExitCode, GpusetupError, NoBuildError
from .events import Event
from .gate import require_plannable, usable_gpus
from .records import Evidence, Finding, MatrixIdentity, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .events import EventSink, StageName
    from .matrix.model import Matrix
    from .records import Acceptance, CheckResult, Machine, Receipt, Request


#: States of a check that a person should see.
PROBLEMS = ("fail", "timed-out", "crashed", "warn", "unknown")


@dataclass(frozen=True, slots=True)
class Examined:
    """A machine with what the checks say of it."""

    machine: Machine
    results: tuple[CheckResult, ...] = ()
    cause: str | None = None
    """Id of the check that leads the report."""
    folded: tuple[str, ...] = ()
    """Ids that the cause explains."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong: the cause first, what it explains left out."""
        problems = [r for r in self.results if r.status in PROBLEMS and r.id not in self.folded]
        ranked = sorted(problems, key=lambda result: (result.id != self.cause, result.status == "warn"))
        return tuple(Finding(r.id, r.status, r.happened, r.evidence, r.safe, r.risky) for r in ranked)


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
    seconds: dict[str, float] = field(default_factory=dict)


def examine_host() -> Examined:
    """Detect this machine and run the checks on what was read."""
    from .checks import lead, run_checks
    from .detect import detect_machine

    machine = detect_machine()
    results = run_checks(machine)
    return Examined(machine, results, *lead(results))


def load_default_matrix() -> Matrix:
    """The matrix that ships with gpusetup."""
    from .matrix.load import default_matrix_path, read_matrix

    return read_matrix(default_matrix_path())


def plan_for(examined: Examined, request: Request, matrix: Matrix) -> Plan:
    """The plan of a machine, offline. NoUsableGpuError when it has a GPU that can't be used."""
    from .resolve import resolve

    require_plannable(examined.machine, request, examined.findings)
    resolution = resolve(examined.machine, request, matrix)
    return Plan(
        build=resolution.chosen,
        resolution=resolution,
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        request=request,
        findings=resolution.notes,
    )


def check_sources(plan: Plan, *, torch_index: str | None) -> Plan:
    """The plan with what the configured sources really hold."""
    from .install.configuration import read_configuration
    from .install.looking import look

    looked = look(plan.resolution.candidates, read_configuration(torch_index=torch_index))
    choice = looked.choice
    return replace(
        plan,
        build=choice.build or plan.build,
        availability="held" if choice.build else "not held",
        wheel=choice.wheel,
        download_bytes=choice.wheel.size_bytes if choice.wheel else None,
        resolution=replace(plan.resolution, rejections=(*choice.rejections, *plan.resolution.rejections)),
    )


def no_build(plan: Plan) -> NoBuildError:
    """The error of a plan without a build; its evidence is the first reasons."""
    reasons = [
        Evidence(f"torch {r.torch}+{r.variant}", f"{r.rule}: {r.found}", source=r.source, needs=r.needs)
        for r in plan.resolution.rejections[:3]
    ]
    unlocks = [f"{u.change} {u.from_} -> {u.to} admits torch {u.torch}+{u.variant}" for u in plan.resolution.unlocks]
    return NoBuildError(
        "No build in the matrix fits this machine and this request.", evidence=reasons, do=(*unlocks, "gpusetup plan")
    )


def install_plan(plan: Plan, machine: Machine, options: InstallOptions, events: EventSink) -> tuple[Plan, Receipt]:
    """Make the environment of a plan; the plan comes back with what the sources really held."""
    from .install.apply import Order, install
    from .install.configuration import read_configuration

    if plan.build is None:
        raise no_build(plan)
    configuration = read_configuration(torch_index=options.torch_index)
    interpreters = (machine.python, *machine.interpreters) if machine.python else machine.interpreters
    order = Order(
        candidates=plan.resolution.candidates,
        plan_digest=plan_digest(plan, sources=tuple(location.source for location in configuration.locations)),
        environment=options.env,
        interpreters=interpreters,
        configuration=configuration,
        backend=options.backend,
        run_kernel=usable_gpus(machine) > 0 and plan.build.kind == "cuda",
    )
    receipt = install(order)
    return replace(plan, build=receipt.build, availability="held"), receipt


def accept_environment(receipt: Receipt, events: EventSink, *, preset: str, seed: int | None) -> Acceptance:
    """Run the harness in an environment and judge what it reports."""
    from .accept import accept, run_harness

    report = run_harness(receipt, preset=preset, seed=seed, events=events)
    return accept(report, expected=receipt.build)


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
        acceptance = accept_environment(receipt, events, preset=preset, seed=seed)
        report.data = replace(report.data, acceptance=acceptance)
        report.findings = (*report.findings, *acceptance.findings)
        report.exit_code = ExitCode.FAILED if acceptance.verdict == "rejected" else ExitCode.OK
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
