"""`gpusetup driver`."""

from __future__ import annotations

import time
from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from .options import json_option


@click.group()
def driver() -> None:
    """The steps that put the right NVIDIA driver on this distribution."""


@driver.command(epilog="\b\nExample:\n  gpusetup driver plan")
@json_option
@click.pass_context
def plan(context: click.Context) -> int:
    """Print the steps; nothing is run. `driver install` is not there yet."""
    from ..drivers import plan_driver
    from ..examined import examine_host, load_default_matrix
    from ..report.driver import render_driver_plan

    console: Any = context.find_root().obj
    today = time.strftime("%Y-%m-%d", time.gmtime())
    made = plan_driver(examine_host().machine, load_default_matrix(), today=today)
    return emit(
        context,
        Outcome("gpusetup.driver-plan/1", "driver plan", made, text=render_driver_plan(made, console.out)),
    )


COMMAND = driver
