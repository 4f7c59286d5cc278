"""`gpusetup install`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome, load_document, read_text
from ..documents.plan import plan_from_data
from ..documents.receipt import receipt_data, rehearsal_data
from ..errors import InputError, UsageError
from ..examined import examine_host, load_default_matrix
from ..pipeline import InstallOptions, install_plan, rehearsal_findings, rehearse_install, require_plannable_here
from ..planning import plan_for
from ..records import Request
from .options import (
    backend_option,
    env_option,
    environment_of,
    json_option,
    request_of,
    request_options,
    site_option,
    torch_index_option,
)

if TYPE_CHECKING:
    from ..bundling import Held
    from ..examined import Examined
    from ..records import Plan


@click.command(
    epilog="""\b
Examples:
  gpusetup plan --json > plan.json
  gpusetup install plan.json --env ./env
  gpusetup install --bundle ./bundle --env ./env
"""
)
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@request_options
@env_option
@backend_option
@torch_index_option
@site_option
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Install out of a bundle, without any network; PLAN is then the name of one of its plans.",
)
@click.option("--fresh", is_flag=True, help="Look and install again even where nothing changed.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="Environments that stay, the new one among them; the others are for `gpusetup env rollback`.",
)
@click.option(
    "--locked",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Install exactly the files of this lock: the pylock.gpusetup.toml of an environment, also of another machine.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be run, downloaded and needed; change nothing.")
@json_option
@click.pass_context
def install(context: click.Context, /, plan_file: Path | None, **words: Any) -> int:
    """Make the environment that the plan names, atomically."""
    from ..report.receipt import render_receipt, render_rehearsal

    console: Any = context.find_root().obj
    examined = examine_host()
    request = request_of(words)
    options = InstallOptions(
        environment_of(words),
        words["backend"],
        words["torch_index"],
        is_fresh=words["fresh"],
        keep=words["keep"],
        locked=words["locked"],
        python_download=words["python_download"],
    )
    if words["bundle"] is not None:
        plan, held = plan_of_bundle(words["bundle"], plan_file, examined, request, words)
        options = replace(options, held=held)
    elif plan_file is None:
        plan = plan_for(examined, request, load_default_matrix(words["site"]))
    else:
        if words["site"]:
            raise UsageError("A plan file says what is installed; --site counts where a plan is made.")
        plan = plan_of_file(plan_file, request)
        require_plannable_here(examined, plan, request)
    if words["dry_run"]:
        rehearsal = rehearse_install(plan, examined.machine, options, console.progress)
        data = rehearsal_data(rehearsal, env=options.env, backend=options.backend)
        shown = render_rehearsal(data, console.out)
        return emit(context, Outcome("gpusetup.receipt/1", "install", data, rehearsal_findings(rehearsal), text=shown))
    plan, receipt = install_plan(plan, examined.machine, options, console.progress)
    text = render_receipt(receipt, console.out)
    return emit(context, Outcome("gpusetup.receipt/1", "install", receipt_data(receipt), plan.findings, text=text))


def plan_of_bundle(
    folder: Path, name: Path | None, examined: Examined, request: Request, words: dict[str, Any]
) -> tuple[Plan, Held]:
    """The plan of a bundle that fits this machine; UsageError when the command line asks for something else, too."""
    from ..bundling import unpack

    if replace(request, cpu=False, require_gpu=0) != Request() or words["torch_index"] or words["locked"]:
        raise UsageError(
            "A bundle says what is installed; --torch, --cuda, --transformers, --python, --python-download, "
            "--torch-index and --locked exclude it."
        )
    return unpack(folder, str(name) if name else None, examined, request, site=words["site"])


def plan_of_file(path: Path, request: Request) -> Plan:
    """The plan of a document; UsageError when the command line asks for something else beside it."""
    asked = replace(request, cpu=False, require_gpu=0, python_download=False)
    if asked != Request():
        raise UsageError("A plan file says what is installed; --torch, --cuda, --transformers and --python exclude it.")
    if path.is_dir() or path.suffix in (".jsonl", ".ndjson"):
        raise UsageError(f"{path}: an environment is made from the plan of one machine, not from those of a fleet.")
    loaded = load_document(read_text(path), origin=str(path), expect="plan")
    if loaded.data is None:
        raise InputError(f"{path}: data: expected a plan, found null")
    if loaded.data.container is not None:
        raise UsageError(
            f"{path} plans the image {loaded.data.container.image}; install makes environments. "
            "`gpusetup plan` prints the docker run line of a container plan; building images is for a later version."
        )
    return plan_from_data(loaded.data, origin=str(path))


COMMAND = install
