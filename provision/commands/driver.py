"""`gpusetup driver`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..errors import UsageError
from .driver_install import add_commands
from .options import json_option, machine_options, site_option, typed_machine_of

if TYPE_CHECKING:
    from ..drivers.plan import DriverPlan
    from ..drivers.wish import DriverWish
    from ..matrix.tables import Matrix
    from ..records import Machine
    from ..report.style import Style

_EXTRAS = ("container-toolkit", "cuda-toolkit", "fabric-manager")
_FORMATS = ("text", "sh", "cloud-init", "ansible")


@click.group()
def driver() -> None:
    """The steps that put the right NVIDIA driver on this distribution."""


@driver.command(
    epilog="""\b
Examples:
  gpusetup driver plan
  gpusetup driver plan --cuda 12.8 --with container-toolkit
  gpusetup driver plan --gpu 'NVIDIA H100 80GB HBM3*8' --os 'ubuntu 24.04'
  gpusetup driver plan --format cloud-init > user-data
"""
)
@machine_options
@click.option("--cuda", metavar="X.Y", help="CUDA that the driver must implement: 12.8, or 13 for any of it.")
@click.option("--branch", type=int, metavar="N", help="This driver branch, such as 580.")
@click.option(
    "--torch", metavar="SPEC", help="The driver must implement the CUDA of a build of it: 2.9, '>=2.6,<2.10'."
)
@click.option("--kernel-module", type=click.Choice(["open", "proprietary"]), help="This kernel module.")
@click.option(
    "--source",
    type=click.Choice(["distro", "nvidia"]),
    help="Whose archive [default: the distribution's own on Ubuntu, NVIDIA's elsewhere].",
)
@click.option(
    "--with",
    "extras",
    multiple=True,
    metavar="WHAT",
    help="container-toolkit, cuda-toolkit (cuda-toolkit=12.8), fabric-manager. Repeatable.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="How the steps are written.",
)
@site_option
@json_option
@click.pass_context
def plan(context: click.Context, /, **words: Any) -> int:
    """Print the steps; nothing is run."""
    from ..documents.driver import driver_data
    from ..drivers.plan import plan_driver
    from ..examined import load_default_matrix

    console: Any = context.find_root().obj
    wish = wish_of(words)
    matrix = load_default_matrix(words["site"])
    today = time.strftime("%Y-%m-%d", time.gmtime())
    made = plan_driver(machine_of(words, matrix), matrix, today=today, wish=wish)
    text = _rendered(made, words["form"], console.out)
    return emit(
        context,
        Outcome("gpusetup.driver-plan/1", "driver plan", driver_data(made), findings=made.findings, text=text),
    )


def _rendered(made: DriverPlan, form: str, style: Style) -> str:
    """The steps in that form, without the newline that the console adds."""
    if form == "sh":
        from ..drivers.render_sh import render_sh

        return render_sh(made).removesuffix("\n")
    if form == "cloud-init":
        from ..drivers.render_cloud import render_cloud_init

        return render_cloud_init(made).removesuffix("\n")
    if form == "ansible":
        from ..drivers.render_ansible import render_ansible

        return render_ansible(made).removesuffix("\n")
    from ..report.driver import render_driver_plan

    return render_driver_plan(made, style)


def wish_of(words: dict[str, Any]) -> DriverWish:
    """What the options of `driver` ask for; UsageError for a word of --with that is none."""
    from ..drivers.wish import DriverWish

    asked = {name: value for name, _, value in (word.partition("=") for word in words["extras"])}
    for name, value in asked.items():
        if name not in _EXTRAS or (value and name != "cuda-toolkit"):
            found = f"{name}={value}" if value else name
            raise UsageError(f"--with: found {found!r}, expected one of {', '.join(_EXTRAS)}, or cuda-toolkit=12.8.")
    return DriverWish(
        cuda=words["cuda"],
        branch=words["branch"],
        torch=words["torch"],
        kernel_module=words["kernel_module"],
        origin=words["source"],
        container_toolkit="container-toolkit" in asked,
        cuda_toolkit=(asked["cuda-toolkit"] or "newest") if "cuda-toolkit" in asked else None,
        fabric_manager="fabric-manager" in asked,
    )


def machine_of(words: dict[str, Any], matrix: Matrix) -> Machine:
    """The machine that is meant: this one with all that its packages say, a file, or one that was typed in."""
    from ..examined import Examined, require_linux
    from .machines import examined_or_fleet

    typed = typed_machine_of(words)
    if not words["from_"] and typed.is_empty():
        from ..detect.examine import gather
        from ..detect.surroundings import Surroundings

        require_linux()
        return gather(Surroundings(), "quick")
    found = examined_or_fleet(words, matrix)
    if not isinstance(found, Examined):
        raise UsageError("driver plan is about one machine; --from names many.")
    return without_assumed_driver(found.machine)


def without_assumed_driver(machine: Machine) -> Machine:
    """The machine without the driver that a plan of wheels assumes where nobody named one."""
    kept = tuple(line for line in machine.assumptions if not line.startswith("The driver was not given"))
    return machine if kept == machine.assumptions else replace(machine, driver=None, assumptions=kept)


add_commands(driver, plan)

COMMAND = driver
