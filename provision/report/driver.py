"""A driver plan as lines: the choice, then a shell text that can be read before it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..drivers.words import command_of

if TYPE_CHECKING:
    from ..drivers.plan import DriverPlan
    from .style import Style

_SOURCES = {"distro": "from the distribution's archive", "nvidia": "from NVIDIA's repository"}


def render_driver_plan(plan: DriverPlan, style: Style) -> str:
    """The choice and the steps."""
    lines = [
        style.row(
            "driver",
            f"branch {plan.branch}",
            f"CUDA {plan.cuda}",
            f"{plan.kernel_module} kernel module",
            _SOURCES[plan.origin],
            ", ".join(plan.architectures),
        )
    ]
    if plan.found:
        lines.append(style.row("found", f"driver {plan.found}"))
    if plan.steps:
        lines.append(style.row("on", plan.distribution, "as root:"))
    for step in plan.steps:
        lines += [style.paint(f"  # {text.lstrip()}", "dim") for text in style.wrapped(step.why, indent=4)]
        lines += [f"  {command_of(action)}" for action in step.actions]
    for note in plan.notes:
        lines += style.block("note", note)
    for finding in plan.findings:
        lines += style.block("warn", finding.happened)
    count = f"{len(plan.steps)} steps; none of them has been run" if plan.steps else "nothing to do"
    lines.append(style.row(style.mark("pass"), count))
    return "\n".join(lines)
