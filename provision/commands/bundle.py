"""`gpusetup bundle`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..errors import ExitCode, UsageError
from .options import json_option, request_of, request_options, site_option, torch_index_option

if TYPE_CHECKING:
    from ..records import Plan


#: Damaged files that the finding lists; the document has them all.
_SHOWN = 20


@click.group()
def bundle() -> None:
    """Everything that an install needs, in one folder for machines without a network."""


@bundle.command(
    epilog="""\b
Examples:
  gpusetup bundle create --output ./bundle              (for machines like this)
  gpusetup plan --from machine.json --json > plan.json  (for another one)
  gpusetup bundle create plan.json --output ./bundle
There, without a network:
  sh ./bundle/gpusetup install --bundle ./bundle --env ./env
"""
)
@click.argument("plan_files", metavar="[PLAN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder to make.")
@request_options
@click.option("--glibc", metavar="X.Y", help="The oldest glibc over there [default: the oldest that torch runs on].")
@click.option(
    "--host-python",
    "host_pythons",
    multiple=True,
    metavar="X.Y",
    help="A Python that starts gpusetup over there, 3.10 or newer; repeatable [default: all from 3.10 to 3.14].",
)
@torch_index_option
@site_option
@json_option
@click.pass_context
def create(context: click.Context, /, plan_files: tuple[Path, ...], output: Path, **words: Any) -> int:
    """Put wheels, gpusetup itself and the matrix of one or more plans into a folder."""
    from ..bundle.create import BundleOrder, create_bundle
    from ..bundling import named_plans
    from ..documents.bundle import bundle_data
    from ..examined import load_default_matrix
    from ..install.configuration import read_configuration
    from ..pipeline import conflict_finding
    from ..records import Finding
    from ..report.bundle import render_bundle

    console: Any = context.find_root().obj
    if not output.name.strip("."):
        raise UsageError(f"--output: found {str(output)!r}, expected the path of a new folder, such as ./bundle.")
    folder = Path(os.path.abspath(output))  # noqa: PTH100  the name counts, not what it may point to
    matrix = load_default_matrix(words["site"])
    plans, interpreters = _plans(plan_files, words, matrix)
    order = BundleOrder(
        plans=named_plans(plans),
        output=folder,
        configuration=read_configuration(torch_index=words["torch_index"]),
        matrix=matrix,
        interpreters=interpreters,
        glibc=_glibc_of(words["glibc"]),
        host_pythons=words["host_pythons"],
    )
    made = create_bundle(order, console.progress)
    data = bundle_data(
        folder,
        made.manifest,
        seconds=dict(made.seconds),
        downloaded_bytes=made.downloaded_bytes,
        kept_files=made.kept,
    )
    notes = [
        Finding("host-python-left-out", "warn", f"gpusetup itself will not start with Python {where}: {why}")
        for where, why in made.hosts_left_out
    ]
    notes += [conflict_finding(conflict) for conflict in made.conflicts]
    text = render_bundle(data, console.out)
    return emit(context, Outcome("gpusetup.bundle/1", "bundle create", data, tuple(notes), text=text))


def _plans(
    files: tuple[Path, ...], words: dict[str, Any], matrix: Any
) -> tuple[list[tuple[str, Plan]], tuple[Any, ...]]:
    """Plans with the names of their files; without any, the plan of this machine. And the Pythons that are here."""
    from ..examined import examine_host
    from ..planning import no_build, plan_for
    from .install import plan_of_file

    examined, request = examine_host(), request_of(words)
    machine = examined.machine
    interpreters = (machine.python, *machine.interpreters) if machine.python else machine.interpreters
    if files and words["site"]:
        raise UsageError("A plan file says what is bundled; --site counts where a plan is made.")
    plans = [(path.stem, plan_of_file(path, request)) for path in files]
    plans = plans or [("this-machine", plan_for(examined, request, matrix))]
    for _, plan in plans:
        if plan.build is None:
            raise no_build(plan)
    return plans, interpreters


def _glibc_of(text: str | None) -> Any:
    from ..versions import Glibc

    try:
        return None if text is None else Glibc.parse(text)
    except ValueError as err:
        raise UsageError(f"--glibc: {err}") from err


@bundle.command(epilog="\b\nExample:\n  gpusetup bundle verify ./bundle")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def verify(context: click.Context, folder: Path) -> int:
    """Whether a bundle is whole: every file by its hash, nothing else inside, every list complete."""
    from ..bundle.manifest import read_manifest
    from ..bundle.verify import verify_bundle
    from ..bundling import damage_evidence, telling
    from ..documents.bundle import bundle_data
    from ..records import Finding
    from ..report.bundle import render_bundle

    console: Any = context.find_root().obj
    total = read_manifest(folder).size_bytes
    manifest, damage = verify_bundle(folder, telling(total, console.progress))
    data = bundle_data(folder, manifest, damage=damage)
    findings: tuple[Finding, ...] = ()
    if damage:
        others = f", nor are {len(damage) - 1} others" if len(damage) > 1 else ""
        happened = f"{damage[0].path} is not as the manifest says{others}."
        cure = "copy the bundle again, or make it again where there is a network"
        findings = (Finding("bundle-damaged", "fail", happened, damage_evidence(damage[:_SHOWN]), (cure,)),)
    return emit(
        context,
        Outcome(
            "gpusetup.bundle/1",
            "bundle verify",
            data,
            findings,
            ExitCode.FAILED if damage else ExitCode.OK,
            text=render_bundle(data, console.out),
        ),
    )


COMMAND = bundle
