"""The command line: the group, its lazy commands, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import signal
from typing import TYPE_CHECKING, Any, Final

import click

from . import __version__
from .console import Console, OutputError, lose_answer
from .errors import ExitCode, GpusetupError

# The records and documents are imported where they are needed: --help and --version need none of them.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from .documents.envelope import Outcome
    from .records import Finding

#: Every command: its one line of help, and the schema of its document. The module is imported when it runs.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "detect": ("Facts of this machine, each with the source that gave it.", "machine/1"),
    "check": ("The doctor: what is wrong with the GPU set-up here, and the cure.", "check/1"),
    "plan": ("Pick torch, CUDA variant and Python for a machine, and say why.", "plan/1"),
    "install": ("Make the environment that the plan names, atomically.", "receipt/1"),
    "accept": ("Fine-tune a BERT in the environment and judge the machine by it.", "acceptance/1"),
    "up": ("Detect, check, plan, install, accept, report: the main job.", "report/1"),
    "report": ("Show a report for people.", "report/1"),
    "expect": ("One file that says what a machine must show, made from good machines.", "expectation/1"),
    "snapshot": ("Record all that detect and check read into one JSON file; --from reads it.", "snapshot/1"),
    "driver": ("The steps that put the right NVIDIA driver on this distribution.", "driver-plan/1"),
    "matrix": ("Browse the compatibility matrix, check a file, compare it with an index.", "matrix/1"),
    "explain": ("The page of a check, rule or error, offline.", "explanation/1"),
}

#: Commands that are groups. An error is told with the full name, and may come before the module is imported.
SUBCOMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "report": ("show",),
    "expect": ("create", "check"),
    "driver": ("plan", "install", "undo"),
    "matrix": ("validate", "show", "audit"),
}

#: Commands of a group whose document is not that of the group.
OWN_SCHEMAS: Final[dict[str, str]] = {"matrix audit": "matrix-audit/1", "expect check": "check/1"}

EPILOG: Final = """\b
Exit codes:
  0 done, healthy, accepted     4 no compatible build, or none in reach
  1 rejected, a check failed    5 install failed
  2 usage                       6 harness could not run
  3 no usable GPU               7 matrix or input file invalid
  70 a bug of ours  130 interrupted  143 terminated

\b
Example:
  gpusetup up --env ./env
"""


#: A group was named and none of its commands: its help is the answer (older click exits with it by itself).
_NO_ARGUMENTS: Final[tuple[type[Exception], ...]] = tuple(
    error for error in (getattr(click.exceptions, "NoArgsIsHelpError", None),) if error
)


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt, nothing but the entry point catches it."""


class LazyGroup(click.Group):
    """Commands are modules under `provision.commands`, imported only when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of the flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".commands.{cmd_name}", __package__)
        command: click.Command = module.COMMAND
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """One line each, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (text, _) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="gpusetup %(version)s")
def gpusetup() -> None:
    """Bring up a GPU box for PyTorch and prove that it works."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. No traceback reaches a user."""
    console = Console(wants_json="--json" in arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(arguments, console, command_name(arguments))
    except OutputError as err:
        # Only the answer is missing: the command's own failure stays, a success that nobody can read is a failure.
        # Neither 5 (an install) nor 70 (a bug) happened.
        console.note(str(err))
        return err.exit_code or int(ExitCode.FAILED)


def _run(arguments: Sequence[str], console: Console, name: str) -> int:
    try:
        if os.environ.get("_GPUSETUP_COMPLETE"):  # a shell asks for completions, which only `main` answers
            gpusetup.main(prog_name="gpusetup")
        # Not `main`: it turns every EPIPE, also one of a socket, into a silent exit with 1.
        with gpusetup.make_context("gpusetup", list(arguments), obj=console) as context:
            return int(gpusetup.invoke(context) or 0)
    except click.exceptions.Exit as err:
        return err.exit_code
    except (click.ClickException, GpusetupError) as err:
        if not console.wants_json and isinstance(err, _NO_ARGUMENTS):
            console.note(str(err))
            return int(ExitCode.USAGE)
        return _fail(console, name, err)
    except (KeyboardInterrupt, click.Abort):
        return _stopped(console, name, ExitCode.INTERRUPTED)
    except Terminated:
        return _stopped(console, name, ExitCode.TERMINATED)
    except OutputError:
        raise
    except Exception as err:  # noqa: BLE001  the last resort: a bug of ours, told with its log
        if not (isinstance(err, OSError) and _is_from_echo(err)):
            return _bug(console, name, err)
        lose_answer(err)
        return int(ExitCode.OK)


def _is_from_echo(err: OSError) -> bool:
    """Whether click failed to print what it prints itself: the help and the version."""
    import traceback

    *_, (frame, _) = traceback.walk_tb(err.__traceback__)
    return frame.f_globals.get("__name__") == "click.utils"


def command_name(arguments: Sequence[str]) -> str:
    """The command that the words name, with its subcommand: `report show`."""
    words = [word for word in arguments if not word.startswith("-")]
    if len(words) > 1 and words[1] in SUBCOMMANDS.get(words[0], ()):
        return f"{words[0]} {words[1]}"
    return words[0] if words else ""


def _terminate(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise Terminated


def schema_of_command(name: str) -> str:
    """Full schema name of a command's document; `gpusetup.error/1` where the command is not known."""
    if name in OWN_SCHEMAS:
        return f"gpusetup.{OWN_SCHEMAS[name]}"
    command = name.partition(" ")[0]
    return f"gpusetup.{COMMANDS[command][1]}" if command in COMMANDS else "gpusetup.error/1"


def _fail(console: Console, name: str, err: click.ClickException | GpusetupError) -> int:
    from .documents.envelope import finding_of
    from .records import Finding

    if isinstance(err, GpusetupError):
        return _end(console, name, finding_of(err), err.exit_code)
    hint = f"gpusetup {name} --help" if name.partition(" ")[0] in COMMANDS else "gpusetup --help"
    return _end(console, name, Finding("usage", "fail", err.format_message(), safe=(hint,)), ExitCode.USAGE)


def _stopped(console: Console, name: str, exit_code: ExitCode) -> int:
    from .records import Finding

    word = "interrupted" if exit_code is ExitCode.INTERRUPTED else "terminated"
    happened = f"The command was {word}; what was there before still works."
    return _end(console, name, Finding(word, "fail", happened), exit_code)


def _bug(console: Console, name: str, err: Exception) -> int:
    from .paths import write_bug_log
    from .records import Evidence, Finding

    path = write_bug_log(err)
    evidence = [Evidence("error", f"{type(err).__name__}: {err}"), *([Evidence("log", str(path))] if path else [])]
    finding = Finding("internal-error", "fail", "gpusetup met a bug of its own.", tuple(evidence))
    return _end(console, name, finding, ExitCode.BUG)


def _end(console: Console, name: str, finding: Finding, exit_code: ExitCode) -> int:
    from .documents.envelope import Outcome

    console.emit(Outcome(schema_of_command(name), name or "gpusetup", findings=(finding,), exit_code=exit_code))
    return int(exit_code)


def emit(context: click.Context, outcome: Outcome) -> int:
    """Print a command's outcome and return its exit code."""
    console: Any = context.find_root().obj
    console.emit(outcome)
    return int(outcome.exit_code)
