"""`gpusetup detect`."""

from __future__ import annotations

from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..gate import require_gpus
from ..records import Request
from .options import json_option, require_gpu_option


@click.command(epilog="\b\nExample:\n  gpusetup detect --json")
@require_gpu_option
@json_option
@click.pass_context
def detect(context: click.Context, require_gpu: int | None) -> int:
    """Facts of this machine, each with the source that gave it."""
    from ..pipeline import examine_host
    from ..report.machine import render_machine

    examined = examine_host()
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


COMMAND = detect
