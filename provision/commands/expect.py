"""`gpusetup expect`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome, document, dumps
from ..errors import ExitCode, UsageError
from .options import json_option, require_writable

if TYPE_CHECKING:
    from ..checks import Facts

_FILE = click.Path(path_type=Path)


@click.group()
def expect() -> None:
    """One file that says what a machine must show, made from good machines."""


@expect.command(epilog="\b\nExample:\n  gpusetup expect create gpusetup.expect.json")
@click.argument("file", type=_FILE)
@click.option(
    "--from", "from_", multiple=True, metavar="FILE", help="Snapshot of a good machine; repeatable [default: this one]."
)
@click.option("--env", type=_FILE, metavar="PATH", help="Also write down the software of this environment.")
@json_option
@click.pass_context
def create(context: click.Context, file: Path, from_: tuple[str, ...], env: Path | None) -> int:
    """Write down what this machine, or what snapshots of good ones, show."""
    from ..expectations import expectation_of
    from ..paths import write_whole

    console: Any = context.find_root().obj
    require_writable("FILE", file)
    if from_ and env:
        raise UsageError("--env: found it beside --from, expected one of them: an environment is read where it is.")
    machines = [_seen(name, None) for name in from_] if from_ else [_seen(None, env)]
    data = expectation_of(machines, today=dt.date.today().isoformat())  # noqa: DTZ011 -- a day where the machine is
    outcome = Outcome("gpusetup.expectation/1", "expect create", data)
    try:
        write_whole(file, dumps(document(outcome)))
    except OSError as err:
        raise UsageError(f"{file}: could not be written: {err.strerror}") from err
    made = "1 machine" if data.made_from == 1 else f"{data.made_from} machines"
    text = console.out.block("expect", f"{file}: {len(data.facts)} facts of {made}. gpusetup expect check {file}")
    return emit(context, outcome.with_text("\n".join(text)))


@expect.command(epilog="\b\nExample:\n  gpusetup expect check gpusetup.expect.json")
@click.argument("file", type=_FILE)
@click.option("--from", "from_", metavar="FILE", help="A machine that is not this one: a snapshot or a document.")
@click.option("--env", type=_FILE, metavar="PATH", help="The environment whose software is meant; it is only read.")
@click.option("-v", "--verbose", is_flag=True, help="Every fact with what was found and what is expected.")
@json_option
@click.pass_context
def check(context: click.Context, file: Path, from_: str | None, env: Path | None, verbose: bool) -> int:  # noqa: FBT001
    """Hold a machine against a file of expectations; drift is exit 1."""
    from ..check_states import is_bad
    from ..doctor import expected_results
    from ..documents.check import check_data
    from ..report.check_text import render_check_text

    console: Any = context.find_root().obj
    facts = _seen(from_, env)
    results, (cause, folded) = expected_results(facts, file)
    return emit(
        context,
        Outcome(
            "gpusetup.check/1",
            "expect check",
            check_data(results, cause=cause, level="quick", environment_classes=sorted(facts.classes)),
            exit_code=ExitCode.FAILED if is_bad(results) else ExitCode.OK,
            text=render_check_text(results, console.out, cause=cause, folded=folded, is_verbose=verbose),
            has_findings_in_text=True,
        ),
    )


def _seen(from_: str | None, env: Path | None) -> Facts:
    from ..doctor import Visit
    from .check import environment_to_read, seen_of

    return seen_of(from_, Visit(level="quick", env=environment_to_read(env))).facts


COMMAND = expect
