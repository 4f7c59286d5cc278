"""`gpusetup up`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome, document, dumps
from ..errors import ExitCode, UsageError
from ..paths import reports_folder, write_whole
from ..pipeline import AcceptOptions, InstallOptions
from ..pipeline import up as run_up
from .options import (
    backend_option,
    env_option,
    environment_of,
    json_option,
    request_of,
    request_options,
    require_writable,
    site_option,
    torch_index_option,
)

if TYPE_CHECKING:
    from ..driver_stage import DriverStage
    from ..drivers.plan import DriverPlan


@click.command(epilog="\b\nExample:\n  gpusetup up --env ./env --report report.json")
@request_options
@env_option
@backend_option
@torch_index_option
@site_option
@click.option("--fresh", is_flag=True, help="Look and install again even where nothing changed.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the acceptance run [default: the preset's].")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Also write the report to this file.")
@click.option("--strict", is_flag=True, help="Exit 1 when degraded, too.")
@click.option("--with-driver", is_flag=True, help="Also put a missing NVIDIA driver there, after asking; as root.")
@click.option("--yes", is_flag=True, help="Agree to the steps of --with-driver beforehand.")
@json_option
@click.pass_context
def up(context: click.Context, /, report_file: Path | None, **words: Any) -> int:
    """Detect, check, plan, install, accept, report: the main job."""
    from ..report.summary import render_report

    console: Any = context.find_root().obj
    require_writable("--report", report_file)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    options = InstallOptions(environment_of(words), words["backend"], words["torch_index"], is_fresh=words["fresh"])
    accepting = AcceptOptions(seed=words["seed"])
    report = run_up(
        request_of(words),
        options,
        console.progress,
        accepting,
        site=words["site"],
        started_at=started,
        driver=_driver_stage(words, console),
    )
    exit_code = ExitCode.FAILED if report.is_degraded and words["strict"] else report.exit_code
    outcome = Outcome(
        "gpusetup.report/1", "up", report.data, report.findings, exit_code, is_degraded=report.is_degraded
    )
    name = f"{started.replace(':', '').replace('-', '')}-{report.data.machine_name()}-{os.getpid()}.json"
    written = keep_report(dumps(document(outcome)), reports_folder() / name, report_file, console)
    return emit(context, outcome.with_text(render_report(report.data, console.out, path=written)))


def _driver_stage(words: dict[str, Any], console: Any) -> DriverStage | None:
    """How --with-driver may change the driver; None without it."""
    if not words["with_driver"]:
        if words["yes"]:
            raise UsageError("--yes: found it without --with-driver, expected both: it agrees to what that offers.")
        return None
    from ..driver_setup import require_root
    from ..driver_stage import DriverStage
    from .driver_install import agrees_to_plan, as_typed, job_of, require_consent_possible, require_terminal_for

    def require_allowed() -> None:
        require_root(as_typed())
        require_consent_possible(console, is_agreed=words["yes"])

    def agrees(plan: DriverPlan) -> bool:
        require_terminal_for(plan.steps, console)
        return agrees_to_plan(plan, console, is_agreed=words["yes"])

    return DriverStage(job_of(console, may_load=True), require_allowed, agrees)


def keep_report(text: str, kept: Path, asked: Path | None, console: Any) -> Path | None:
    """Write the report to the history and to where it was asked for; a place that refuses is noted, never fatal."""
    written = None
    for path in (kept, *([asked] if asked else [])):
        try:
            write_whole(path, text)
            written = path
        except OSError as err:
            console.note(f"the report could not be written to {path}: {err.strerror}")
    return written


COMMAND = up
