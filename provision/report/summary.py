"""The report of `up`, and the one line that each stage leaves while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .acceptance import acceptance_lines, verdict_line, verdict_word
from .check import counts_line
from .machine import no_gpu_text, os_text, render_machine
from .style import Style, figure, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..acceptance import Acceptance
    from ..documents.check import CheckData, CheckSummary
    from ..documents.plan import PlanData
    from ..documents.receipt import ReceiptData
    from ..documents.report_data import ReportData
    from ..drivers.records import DriverRun
    from ..records import CheckResult, Machine, Plan, Receipt

#: Lines for logs carry no colour; marks are spelled out.
_PLAIN = Style()

_STAGES = ("machine", "check", "plan", "receipt", "acceptance")


def detect_text(machine: Machine) -> str:
    """What detect found, in one line."""
    host = machine.host
    gpus = [gpu.name or gpu.pci_device_id or "unnamed GPU" for gpu in machine.gpus]
    counted = [f"{gpus.count(name)} x {name}" if gpus.count(name) > 1 else name for name in dict.fromkeys(gpus)]
    system = f"{os_text(machine)} {host.arch or ''}".strip()
    return f"{system}  " + (", ".join(counted) or no_gpu_text(machine))


def check_text(results: Sequence[CheckResult]) -> str:
    """How the checks ended, in one line."""
    return counts_line(results, _PLAIN)


def plan_text(plan: Plan) -> str:
    """What was chosen, in one line."""
    if plan.build is None:
        return "no build fits"
    return f"torch {plan.build.local_version}  Python {plan.build.python}"


def driver_text(run: DriverRun) -> str:
    """How far the driver steps came, in one line."""
    done = sum(1 for step in run.steps if step.state in ("done", "passed-over"))
    return f"{done} of {len(run.steps)} steps are done" + ("; a restart is due" if run.needs_reboot else "")


def install_text(receipt: Receipt) -> str:
    """What was installed, in one line."""
    what = f"torch {receipt.build.local_version}, {len(receipt.distributions)} distributions"
    return f"{what}  (reused)" if receipt.reused else f"{what}  ({receipt.backend})"


def accept_text(acceptance: Acceptance) -> str:
    """The verdict, in one line."""
    rate = acceptance.throughput.samples_per_s if acceptance.throughput else None
    return verdict_word(acceptance) + (f"  {figure(rate, 'samples/s')}" if rate is not None else "")


def render_report(report: ReportData, style: Style, *, path: Path | None = None) -> str:
    """The whole report: each stage that was reached, the verdict last."""
    lines: list[str] = []
    if report.machine is not None:
        lines.append(render_machine(report.machine, style))
    if report.check is not None:
        lines.append(_check_line(report.check, style))
    if report.driver is not None:
        lines.append(style.row("driver", driver_text(report.driver), report.driver.journal or ""))
    if report.plan is not None:
        lines += _plan_lines(report.plan, style)
    if report.receipt is not None:
        lines += _receipt_lines(report.receipt, style)
    if report.acceptance is not None:
        lines += acceptance_lines(report.acceptance, style)
    if report.seconds:
        lines.append(style.row("time", *(f"{name} {seconds(took)}" for name, took in report.seconds.items())))
    if path is not None:
        lines.append(style.row("report", style.path(str(path))))
    lines.append(
        verdict_line(report.acceptance, style)
        if report.acceptance is not None
        else style.row("verdict", style.paint(f"none: stopped before {_next_stage(report)}", "bad"))
    )
    return "\n".join(lines)


def _next_stage(report: ReportData) -> str:
    missing = next(name for name in _STAGES if getattr(report, name) is None)
    return {"machine": "detect", "receipt": "install", "acceptance": "accept"}.get(missing, missing)


def _problems(counts: CheckSummary) -> tuple[tuple[str, int], ...]:
    return (
        ("failed", counts.fail),
        ("timed out", counts.timed_out),
        ("crashed", counts.crashed),
        ("warned", counts.warn),
        ("unknown", counts.unknown),
    )


def _check_line(check: CheckData, style: Style) -> str:
    counts = check.summary
    words = [f"{counts.pass_} passed", f"{counts.skip} skipped"]
    words += [f"{count} {word}" for word, count in _problems(counts) if count]
    return style.row("check", ", ".join(words), f"cause {check.cause}" if check.cause else "")


def _plan_lines(plan: PlanData, style: Style) -> list[str]:
    if plan.build is None:
        return [style.row("plan", "no build fits")]
    kind = f"CUDA {plan.build.cuda_runtime_version}" if plan.build.cuda_runtime_version else "CPU build"
    lines = [style.row("plan", f"torch {plan.build.local_version}", kind, f"Python {plan.build.python}")]
    newest = next((over for over in plan.passed_over if over.rule == "not-in-sources"), None)
    if newest is not None:
        lines += style.block("", f"passed over torch {newest.torch}+{newest.variant}: {newest.found}")
    return lines


def _receipt_lines(receipt: ReceiptData, style: Style) -> list[str]:
    versions = {d.name: d.version for d in receipt.distributions}
    names = [f"{name} {versions[name]}" for name in ("torch", "transformers", "numpy") if name in versions]
    reused = "reused" if receipt.reused else f"{len(receipt.distributions)} distributions by {receipt.backend}"
    return [
        style.row("env", style.path(receipt.environment.path)),
        style.row("", f"Python {receipt.environment.python}", reused),
        style.row("", ", ".join(names)),
    ]
