"""`gpusetup accept`."""

from __future__ import annotations

from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..errors import ExitCode, HarnessError
from ..examined import examine_host
from ..pipeline import AcceptOptions, accept_environment, require_device
from .options import env_option, environment_of, json_option, require_gpu_option


@click.command(epilog="\b\nExample:\n  gpusetup accept --env ./env")
@env_option
@click.option("--preset", type=click.Choice(["smoke"]), default="smoke", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of weights and order [default: the preset's].")
@click.option("--cpu", is_flag=True, help="Run on the CPU, whatever the build: a verdict that says nothing of GPUs.")
@click.option("--strict", is_flag=True, help="Exit 1 when degraded, too.")
@require_gpu_option
@json_option
@click.pass_context
def accept(context: click.Context, /, **words: Any) -> int:
    """Fine-tune a BERT in the environment and judge the machine by it."""
    from ..install.receipt import read_receipt
    from ..report.acceptance import render_acceptance

    console: Any = context.find_root().obj
    env = environment_of(words)
    receipt = read_receipt(env)
    if receipt is None:
        raise HarnessError(
            f"{env} is no environment that gpusetup made.", do=(f"gpusetup install --env {env}", "gpusetup up")
        )
    examined = examine_host()
    options = AcceptOptions(words["preset"], words["seed"], on_cpu=words["cpu"])
    require_device(examined, receipt.build.kind, require_gpu=words["require_gpu"] or 0, on_cpu=options.on_cpu)
    acceptance = accept_environment(env, receipt, examined.machine, console.progress, options)
    is_bad = acceptance.verdict == "rejected" or (words["strict"] and acceptance.verdict == "degraded")
    return emit(
        context,
        Outcome(
            "gpusetup.acceptance/1",
            "accept",
            acceptance,
            findings=acceptance.findings,
            exit_code=ExitCode.FAILED if is_bad else ExitCode.OK,
            is_degraded=acceptance.verdict == "degraded",
            text=render_acceptance(acceptance, console.out),
        ),
    )


COMMAND = accept
