"""`gpusetup detect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..errors import UsageError
from ..gate import require_gpus
from ..records import Request
from .options import json_option, require_gpu_option

if TYPE_CHECKING:
    from ..examined import Examined


@click.command(epilog="\b\nExample:\n  gpusetup detect --json")
@click.option("--from", "from_", metavar="FILE", help="Another machine: a snapshot, or what plan --from takes.")
@require_gpu_option
@json_option
@click.pass_context
def detect(context: click.Context, from_: str | None, require_gpu: int | None) -> int:
    """Facts of this machine, each with the source that gave it."""
    from ..report.machine import render_machine

    examined = examined_one(from_)
    console: Any = context.find_root().obj
    require_gpus(examined.machine, Request(require_gpu=require_gpu or 0), examined.findings)
    return emit(
        context,
        Outcome(
            "gpusetup.machine/1",
            "detect",
            examined.machine,
            findings=examined.findings,
            text=render_machine(examined.machine, console.out),
        ),
    )


def examined_one(from_: str | None) -> Examined:
    """The machine that runs us, or the one of a file."""
    from ..examined import Examined, examine_host, load_default_matrix

    if from_ is None:
        return examine_host()
    from .machines import examined_or_fleet

    found = examined_or_fleet({"from_": from_}, load_default_matrix())
    if not isinstance(found, Examined):
        raise UsageError("--from: found many machines, expected one.")
    return found


COMMAND = detect
