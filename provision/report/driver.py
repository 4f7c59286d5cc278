"""A driver plan as lines: the choice, then a shell text that can be read before it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..drivers.plan import DriverPlan
    from .style import Style


def render_driver_plan(plan: DriverPlan, style: Style) -> str:
    """The choice and the steps."""
    lines = [
        style.row(
            "driver", f"branch {plan.branch}", f"{plan.kernel_module} kernel module", ", ".join(plan.architectures)
        ),
        style.row("on", plan.distribution, "as root:"),
    ]
    for step in plan.steps:
        lines += [style.paint(f"  # {line.lstrip()}", "dim") for line in style.wrapped(step.why, indent=4)]
        lines.append(f"  {step.command}")
    for note in plan.notes:
        lines += style.block("note", note)
    lines.append(style.row(style.mark("pass"), f"{len(plan.steps)} steps; none of them has been run"))
    return "\n".join(lines)
