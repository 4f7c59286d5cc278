"""`gpusetup report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome, load_document, read_text
from ..errors import ExitCode, InputError
from ..paths import reports_folder
from .options import json_option


@click.group()
def report() -> None:
    """Show a report for people."""


@report.command(epilog="\b\nExample:\n  gpusetup report show report.json")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def show(context: click.Context, file: Path | None) -> int:
    """One report; the newest of this machine when no FILE is named. Exits 0 whatever the verdict was."""
    from ..report.summary import render_report

    console: Any = context.find_root().obj
    path = file or newest_report()
    loaded = load_document(read_text(path), origin=str(path), expect="report")
    if loaded.data is None:
        raise InputError(f"{path}: data: expected an object, found null")
    outcome = Outcome(
        loaded.schema,
        "report show",
        loaded.data,
        loaded.findings,
        ExitCode.OK,
        is_degraded=loaded.status == "degraded",
        text=render_report(loaded.data, console.out, path=path),
    )
    return emit(context, outcome)


def newest_report() -> Path:
    """The newest report that `up` kept here; their names begin with the time."""
    kept = sorted(reports_folder().glob("*.json"))
    if not kept:
        raise InputError(f"No report in {reports_folder()} yet.", do=("gpusetup up",))
    return kept[-1]


COMMAND = report
