"""`gpusetup plan`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome, finding_of
from ..documents.plan import plan_data
from ..errors import ExitCode, UsageError
from ..examined import Examined, load_default_matrix
from ..planning import check_sources, no_build, not_held, plan_fleet, plan_for
from .machines import examined_or_fleet
from .options import json_option, machine_options, request_of, request_options, site_option, torch_index_option

if TYPE_CHECKING:
    from ..matrix.tables import Matrix
    from ..records import Finding
    from .fleets import Fleet


#: Rows up to which the document of a fleet is indented.
_READABLE = 1000


@click.command(
    epilog="""\b
Examples:
  gpusetup plan
  gpusetup plan --gpu 'NVIDIA H100 80GB HBM3' --driver 535.104.05
  gpusetup plan --container
  gpusetup plan --from machines/     (the build that all of them can run)

A fleet ends with exit 7 when a file or line could not be read, else 3 when a
machine has no usable GPU though it should, else 4 when a machine has no build
or no build runs on all of them. Its answer is printed all the same.
"""
)
@request_options
@machine_options
@click.option("--container", is_flag=True, help="Pick a container image instead of an environment.")
@click.option(
    "--why-not", multiple=True, metavar="BUILD", help="Say why this is not chosen: cu130, 2.9, 2.9.1+cu130. Repeatable."
)
@click.option("--top", type=click.IntRange(0, 100), default=0, metavar="N", help="Show the N next best builds, too.")
@click.option("--check-sources", is_flag=True, help="Ask the configured package sources whether they hold the plan.")
@torch_index_option
@site_option
@json_option
@click.pass_context
def plan(context: click.Context, /, **words: Any) -> int:
    """Pick torch, CUDA variant and Python for a machine, and say why."""
    from ..report.machine import host_line
    from ..report.plan import render_plan

    console: Any = context.find_root().obj
    if words["container"] and words["check_sources"]:
        raise UsageError("--check-sources asks for wheels; an image of --container is asked for by docker pull.")
    matrix = load_default_matrix(words["site"])
    examined = examined_or_fleet(words, matrix)
    if not isinstance(examined, Examined):
        return _plan_fleet(context, examined, words, matrix)
    made = plan_for(examined, replace(request_of(words), why_not=words["why_not"]), matrix)
    if words["check_sources"] and made.build is not None:
        made = check_sources(made, examined.machine, matrix, is_here=examined.is_here, torch_index=words["torch_index"])
    failure: tuple[Finding, ...] = ()
    if made.build is None and made.image is None:
        failure = (finding_of(no_build(made)),)
    elif made.availability in ("not held", "partly looked"):
        failure = (finding_of(not_held(made)),)
    return emit(
        context,
        Outcome(
            "gpusetup.plan/1",
            "plan",
            plan_data(made, top=words["top"]),
            findings=(*failure, *made.findings),
            exit_code=ExitCode.NO_BUILD if failure else ExitCode.OK,
            text=host_line(examined.machine, console.out) + "\n" + render_plan(made, console.out, top=words["top"]),
        ),
    )


def _plan_fleet(context: click.Context, fleet: Fleet, words: dict[str, Any], matrix: Matrix) -> int:
    from ..fleet import exit_code_of, failures_of
    from ..report.fleet import render_fleet

    console: Any = context.find_root().obj
    if words["check_sources"]:
        raise UsageError(
            "--check-sources looks for the build of one machine; --from names many.",
            do=("gpusetup plan --check-sources --from FILE   (one machine of each kind)",),
        )
    if words["container"] or words["why_not"] or words["top"]:
        raise UsageError("--container, --why-not and --top are about one machine; --from names many.")
    if fleet.left_out:
        console.note(f"Sub-folders are not entered; {fleet.left_out} left out.")
    made = plan_fleet(fleet.entries, request_of(words), matrix)
    return emit(
        context,
        Outcome(
            "gpusetup.fleet-plan/1",
            "plan",
            made,
            findings=failures_of(made),
            exit_code=exit_code_of(made),
            text="" if console.wants_json else render_fleet(made, console.out),
            is_compact=len(made.machines) > _READABLE,
        ),
    )


COMMAND = plan
