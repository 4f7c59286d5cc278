"""`gpusetup driver install` and `gpusetup driver undo`."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..errors import UsageError
from .options import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..driver_setup import DriverJob, DriverOutcome
    from ..drivers.plan import DriverPlan
    from ..drivers.steps import Step

#: Options of `driver plan` that say what is wished; the others are about other machines and about the text.
_WISHES: Final = ("cuda", "branch", "torch", "kernel_module", "source", "extras", "site")


def add_commands(group: click.Group, plan: click.Command) -> None:
    """Put both commands into the group; what can be wished for is what `plan` takes."""
    wishes = [option for option in plan.params if option.name in _WISHES]
    install.params[:0] = wishes
    group.add_command(install)
    group.add_command(undo)


_yes_option = click.option("--yes", is_flag=True, help="Do not ask; for automation.")


@click.command(
    epilog="""\b
Examples:
  sudo gpusetup driver install
  sudo gpusetup driver install --resume     (after the restart)
  sudo gpusetup driver install --yes --reboot
"""
)
@click.option("--resume", is_flag=True, help="Go on with the run that was stopped by a restart, a failure or a signal.")
@click.option("--fresh", is_flag=True, help="Make a new plan, also where another run is not at its end.")
@click.option("--dry-run", is_flag=True, help="Show what is done already and what would be run; change nothing.")
@_yes_option
@click.option(
    "--reboot/--until-reboot", default=False, help="Restart the machine when it is due [default: stop and say so]."
)
@click.option(
    "--resume-at-boot", is_flag=True, help="Go on by itself after the restart: a unit of systemd, removed when it did."
)
@json_option
@click.pass_context
def install(context: click.Context, /, **words: Any) -> int:
    """Run the steps of `driver plan`, after asking; resumable, and undone by `driver undo`."""
    from ..driver_setup import begin, refuse_unfinished, require_root, resume

    if words["resume"] and (words["fresh"] or words["dry_run"] or words["resume_at_boot"]):
        raise UsageError("--resume: found it beside --fresh, --dry-run or --resume-at-boot, expected it alone.")
    if words["dry_run"]:
        return _rehearse(context, words)
    console: Any = context.find_root().obj
    require_root(as_typed())
    require_consent_possible(console, is_agreed=words["yes"])
    job = job_of(console, may_reboot=words["reboot"])
    if words["resume"]:
        return _end(context, "driver install", resume(job))
    if not words["fresh"]:
        refuse_unfinished(job.base)
    made = _wished(words)
    if not made.steps:
        return _rehearse(context, words)
    require_terminal_for(made.steps, console)
    if not agrees_to_plan(made, console, is_agreed=words["yes"]):
        return _declined(context, made)
    return _end(context, "driver install", begin(job, made, is_fresh=words["fresh"]))


@click.command(epilog="\b\nExample:\n  sudo gpusetup driver undo")
@_yes_option
@json_option
@click.pass_context
def undo(context: click.Context, /, **words: Any) -> int:
    """Take back what `driver install` did, the last step first."""
    from ..driver_setup import newest_to_undo, require_root
    from ..driver_setup import undo as take_back
    from ..drivers.account import run_of

    console: Any = context.find_root().obj
    require_root(as_typed())
    require_consent_possible(console, is_agreed=words["yes"])
    job = job_of(console)
    book = newest_to_undo(job.base)
    lines = "\n".join(f"  {line}" for line in run_of(book).take_back)
    console.note(f"The run of {book.journal.id} is taken back:\n{lines}")
    if not (words["yes"] or click.confirm("Do it?", default=False, err=True)):
        console.note("Nothing was changed.")
        return 0
    return _end(context, "driver undo", take_back(job, book))


def job_of(console: Any, *, may_reboot: bool = False, may_load: bool = False) -> DriverJob:
    """What every command about a run needs, on this machine."""
    from ..driver_setup import DriverJob, machine_hand
    from ..examined import examine_host
    from ..paths import driver_folder

    hand = machine_hand(has_terminal=_has_terminal(console))
    return DriverJob(
        driver_folder(),
        hand,
        console.progress,
        lambda: examine_host().machine,
        may_reboot=may_reboot,
        may_load=may_load,
    )


def _has_terminal(console: Any) -> bool:
    return sys.stdin.isatty() and not console.wants_json


def require_consent_possible(console: Any, *, is_agreed: bool) -> None:
    """UsageError where nobody could be asked and nobody agreed beforehand."""
    if not is_agreed and not _has_terminal(console):
        raise UsageError("Nothing was changed: found no terminal to ask at, expected --yes.")


def require_terminal_for(steps: Sequence[Step], console: Any) -> None:
    """UsageError where a command of a step asks and there is nobody to answer."""
    from ..drivers.steps import Run

    asking = [action for step in steps for action in step.actions if isinstance(action, Run) and action.asks]
    if asking and not _has_terminal(console):
        raise UsageError(
            f"Nothing was changed: found no terminal, expected one, because `{' '.join(asking[0].argv)}` asks "
            f"{asking[0].asks}.",
            do=("run the same command at a terminal, without --json",),
        )


def agrees_to_plan(plan: DriverPlan, console: Any, *, is_agreed: bool) -> bool:
    """Show a plan on stderr and ask whether it is to be run; no is the default."""
    from ..report.driver import render_driver_plan

    console.note(render_driver_plan(plan, replace(console.err, has_colour=False)))
    return is_agreed or click.confirm("Run these steps?", default=False, err=True)


def _plan(words: dict[str, Any]) -> DriverPlan:
    from ..drivers.plan import plan_driver
    from ..examined import load_default_matrix
    from .driver import machine_of, wish_of

    matrix = load_default_matrix(words["site"])
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return plan_driver(machine_of({"from_": None}, matrix), matrix, today=today, wish=wish_of(words))


def _wished(words: dict[str, Any]) -> DriverPlan:
    """The plan, with the unit that goes on after the restart where that was asked for."""
    made = _plan(words)
    if not words["resume_at_boot"]:
        return made
    from ..drivers.at_boot import with_resume_at_boot

    return replace(made, steps=with_resume_at_boot(made.steps, [*_program(), "driver", "install", "--resume", "--yes"]))


def _rehearse(context: click.Context, words: dict[str, Any]) -> int:
    """The plan with what is done already; nothing is changed."""
    from ..documents.driver import driver_data
    from ..driver_setup import for_this_kernel, machine_hand
    from ..drivers.account import rehearse
    from ..report.driver import render_driver_plan
    from ..report.driver_run import render_driver_run

    console: Any = context.find_root().obj
    made = _wished(words)
    run = rehearse(for_this_kernel(made.steps), machine_hand())
    data = replace(driver_data(made), run=run)
    text = render_driver_plan(made, console.out)
    if made.steps:
        text += "\n" + render_driver_run(run, console.out)
    return emit(context, Outcome("gpusetup.driver-plan/1", "driver install", data, made.findings, text=text))


def _declined(context: click.Context, plan: DriverPlan) -> int:
    from ..documents.driver import driver_data

    outcome = Outcome("gpusetup.driver-plan/1", "driver install", driver_data(plan), text="Nothing was changed.")
    return emit(context, outcome)


def _end(context: click.Context, command: str, done: DriverOutcome) -> int:
    from ..report.driver_run import render_driver_run

    console: Any = context.find_root().obj
    text = render_driver_run(done.run, console.out)
    outcome = Outcome("gpusetup.driver-plan/1", command, done.data, done.findings, done.exit_code, text=text)
    code = emit(context, outcome)
    if done.is_done:
        console.note("The GPUs answer. Next: gpusetup check, then gpusetup up.")
    return code


def as_typed() -> str:
    """The command line as it was typed, for sudo."""
    import shlex

    return shlex.join([*_program(), *sys.argv[1:]])


def _program() -> list[str]:
    """The words that start this gpusetup from any folder."""
    if sys.argv[0].endswith("__main__.py"):
        return [sys.executable, *(["-I"] if sys.flags.isolated else []), "-m", "provision"]
    return [os.path.abspath(sys.argv[0])]  # noqa: PTH100  a link stays a link
