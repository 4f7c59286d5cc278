"""`gpusetup plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.data import plan_data
from ..documents.envelope import Outcome, finding_of
from ..errors import ExitCode
from ..pipeline import check_sources, load_default_matrix, no_build, not_held, plan_for
from .machines import examined_of
from .options import json_option, machine_options, request_of, request_options, torch_index_option

if TYPE_CHECKING:
    from ..records import Finding


@click.command(
    epilog="""\b
Examples:
  gpusetup plan
  gpusetup plan --gpu 'NVIDIA H100 80GB HBM3' --driver 535.104.05
"""
)
@request_options
@machine_options
@click.option("--check-sources", is_flag=True, help="Ask the configured package sources whether they hold the plan.")
@torch_index_option
@json_option
@click.pass_context
def plan(context: click.Context, /, **words: Any) -> int:
    """Pick torch, CUDA variant and Python for a machine, and say why."""
    from ..report.machine import host_line
    from ..report.plan import render_plan

    console: Any = context.find_root().obj
    matrix = load_default_matrix()
    examined = examined_of(words, matrix)
    made = plan_for(examined, request_of(words), matrix)
    if words["check_sources"] and made.build is not None:
        made = check_sources(made, examined.machine, matrix, is_here=examined.is_here, torch_index=words["torch_index"])
    failure: tuple[Finding, ...] = ()
    if made.build is None:
        failure = (finding_of(no_build(made)),)
    elif made.availability in ("not held", "partly looked"):
        failure = (finding_of(not_held(made)),)
    return emit(
        context,
        Outcome(
            "gpusetup.plan/1",
            "plan",
            plan_data(made),
            findings=(*failure, *made.findings),
            exit_code=ExitCode.NO_BUILD if failure else ExitCode.OK,
            text=host_line(examined.machine, console.out) + "\n" + render_plan(made, console.out),
        ),
    )


COMMAND = plan
