"""`gpusetup check`."""

from __future__ import annotations

from typing import Any

import click

from ..cli import emit
from ..documents.check import check_data
from ..documents.envelope import Outcome
from ..errors import ExitCode
from ..gate import require_gpus
from ..records import Request
from .options import json_option, require_gpu_option


@click.command(epilog="\b\nExample:\n  gpusetup check --require-gpu")
@require_gpu_option
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
@json_option
@click.pass_context
def check(context: click.Context, require_gpu: int | None, strict: bool) -> int:  # noqa: FBT001  click passes by name
    """The doctor: what is wrong with the GPU set-up here, and the cure."""
    from ..pipeline import examine_host
    from ..report.check import render_checks

    examined = examine_host()
    console: Any = context.find_root().obj
    require_gpus(examined.machine, Request(require_gpu=require_gpu or 0), examined.findings)
    bad = {"fail", "timed-out", "crashed", *(("warn",) if strict else ())}
    is_bad = any(result.status in bad for result in examined.results)
    return emit(
        context,
        Outcome(
            "gpusetup.check/1",
            "check",
            check_data(examined.results, cause=examined.cause, level="quick"),
            findings=examined.findings,
            exit_code=ExitCode.FAILED if is_bad else ExitCode.OK,
            text=render_checks(examined.results, examined.findings, console.out),
            has_findings_in_text=True,
        ),
    )


COMMAND = check
