"""`gpusetup env`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..errors import UsageError
from .options import env_option, environment_of, json_option

if TYPE_CHECKING:
    from ..documents.environments import EnvironmentsData

_SCHEMA = "gpusetup.environments/1"


@click.group()
def env() -> None:
    """The environments that gpusetup made: list them, go back to one, remove them."""


@env.command(name="list", epilog="\b\nExample:\n  gpusetup env list --env ./env")
@env_option
@json_option
@click.pass_context
def list_(context: click.Context, /, **words: Any) -> int:
    """Every environment behind a path, newest first: what it holds, its size, whether it is whole."""
    from ..install.inventory import inventory
    from ..report.environments import render_environments

    console: Any = context.find_root().obj
    data = inventory(environment_of(words))
    text = render_environments(data, console.out)
    return emit(context, Outcome(_SCHEMA, "env list", data, text=text))


@env.command(epilog="\b\nExample:\n  gpusetup env rollback --env ./env")
@env_option
@click.option(
    "--to", metavar="NAME", help="This one, as `env list` names it [default: the newest that is not current]."
)
@json_option
@click.pass_context
def rollback(context: click.Context, /, **words: Any) -> int:
    """Lead the path to another of its environments, in one step."""
    from ..install import inventory
    from ..report.environments import render_environments

    console: Any = context.find_root().obj
    path = environment_of(words)
    inventory.rollback(path, words["to"])
    data = inventory.inventory(path)
    text = render_environments(data, console.out)
    return emit(context, Outcome(_SCHEMA, "env rollback", data, text=text))


@env.command(epilog="\b\nExample:\n  gpusetup env remove --env ./env --yes")
@env_option
@click.option("--name", metavar="NAME", help="Only this one, as `env list` names it; never the current one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def remove(context: click.Context, /, **words: Any) -> int:
    """Remove a path with every environment behind it, or one of them; asks first."""
    from ..install import inventory
    from ..report.environments import render_environments

    console: Any = context.find_root().obj
    path = environment_of(words)
    if not words["yes"]:
        _ask(inventory.inventory(path), words["name"], console)
    removed = inventory.remove(path, words["name"])
    data = inventory.inventory(path, removed=removed)
    text = render_environments(data, console.out)
    return emit(context, Outcome(_SCHEMA, "env remove", data, text=text))


def _ask(data: EnvironmentsData, name: str | None, console: Any) -> None:
    """Return when the person at the terminal agrees; UsageError where nobody can be asked."""
    if console.wants_json or not sys.stdin.isatty():
        raise UsageError("env remove: found no terminal to ask at, expected --yes.")
    names = [name] if name else [f"{row.name}{' (current)' * row.is_current}" for row in data.environments]
    console.note(f"To be removed behind {data.path}: {', '.join(names) or 'nothing'}")
    click.confirm("Remove?", default=False, abort=True, err=True)


COMMAND = env
