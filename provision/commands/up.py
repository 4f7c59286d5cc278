"""`gpusetup up`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome, document, dumps
from ..errors import ExitCode
from ..paths import reports_folder, write_whole
from ..pipeline import InstallOptions
from ..pipeline import up as run_up
from .options import (
    backend_option,
    env_option,
    environment_of,
    json_option,
    request_of,
    request_options,
    torch_index_option,
)


@click.command(epilog="\b\nExample:\n  gpusetup up --env ./env --report report.json")
@request_options
@env_option
@backend_option
@torch_index_option
@click.option("--fresh", is_flag=True, help="Look and install again even where nothing changed.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the acceptance run [default: the preset's].")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Also write the report to this file.")
@click.option("--strict", is_flag=True, help="Exit 1 when degraded, too.")
@json_option
@click.pass_context
def up(context: click.Context, /, report_file: Path | None, **words: Any) -> int:
    """Detect, check, plan, install, accept, report: the main job."""
    from ..report.summary import render_report

    console: Any = context.find_root().obj
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    options = InstallOptions(environment_of(words), words["backend"], words["torch_index"], is_fresh=words["fresh"])
    report = run_up(request_of(words), options, console.progress, seed=words["seed"], started_at=started)
    acceptance = report.data.acceptance
    is_degraded = acceptance is not None and acceptance.verdict == "degraded"
    exit_code = ExitCode.FAILED if is_degraded and words["strict"] else report.exit_code
    outcome = Outcome("gpusetup.report/1", "up", report.data, report.findings, exit_code, is_degraded=is_degraded)
    text = dumps(document(outcome))
    kept = reports_folder() / f"{started.replace(':', '').replace('-', '')}-{report.data.machine_name()}.json"
    with contextlib.suppress(OSError):  # a read-only home must not cost the answer
        write_whole(kept, text)
    if report_file is not None:
        write_whole(report_file, text)
    shown = render_report(report.data, console.out, path=report_file or kept)
    return emit(context, outcome.with_text(shown))


COMMAND = up
