"""`gpusetup install`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cli import emit
from ..documents.data import plan_from_data, receipt_data, rehearsal_data
from ..documents.envelope import Outcome, load_document, read_text
from ..pipeline import InstallOptions, examine_host, install_plan, load_default_matrix, plan_for, rehearse_install
from .options import (
    backend_option,
    env_option,
    environment_of,
    json_option,
    request_of,
    request_options,
    torch_index_option,
)


@click.command(epilog="\b\nExample:\n  gpusetup plan --json > plan.json\n  gpusetup install plan.json --env ./env")
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@request_options
@env_option
@backend_option
@torch_index_option
@click.option("--fresh", is_flag=True, help="Look and install again even where nothing changed.")
@click.option("--dry-run", is_flag=True, help="Say what would be run, downloaded and needed; change nothing.")
@json_option
@click.pass_context
def install(context: click.Context, /, plan_file: Path | None, **words: Any) -> int:
    """Make the environment that the plan names, atomically."""
    from ..report.receipt import render_receipt, render_rehearsal

    console: Any = context.find_root().obj
    examined = examine_host()
    if plan_file is None:
        plan = plan_for(examined, request_of(words), load_default_matrix())
    else:
        loaded = load_document(read_text(plan_file), origin=str(plan_file), expect="plan")
        plan = plan_from_data(loaded.data)
    options = InstallOptions(environment_of(words), words["backend"], words["torch_index"], is_fresh=words["fresh"])
    if words["dry_run"]:
        rehearsal = rehearse_install(plan, examined.machine, options, console.progress)
        data = rehearsal_data(rehearsal, env=options.env, backend=options.backend)
        shown = render_rehearsal(data, console.out)
        return emit(context, Outcome("gpusetup.receipt/1", "install", data, text=shown))
    plan, receipt = install_plan(plan, examined.machine, options, console.progress)
    text = render_receipt(receipt, console.out)
    return emit(context, Outcome("gpusetup.receipt/1", "install", receipt_data(receipt), plan.findings, text=text))


COMMAND = install
