"""Whether a plan can be carried out where nobody sits (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError
from .steps import Run

if TYPE_CHECKING:
    from .plan import DriverPlan


def require_unattended(plan: DriverPlan, form: str) -> None:
    """UsageError where a step asks a person: it would wait for ever, or go wrong unseen."""
    for step in plan.steps:
        for action in step.actions:
            if isinstance(action, Run) and action.asks:
                raise UsageError(
                    f"--format {form}: the step {step.id} asks for {action.asks}, and nobody answers there.",
                    do=(
                        "a module that the distribution signs needs no key of this machine: --source distro",
                        "gpusetup driver plan --format sh    (run at a terminal)",
                    ),
                )
