"""The `data` of driver-plan/1: the choice, and its steps as commands and as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..drivers.records import DriverRun
from ..drivers.steps import Action, Proof, Reboot
from ..drivers.words import commands_of

if TYPE_CHECKING:
    from ..drivers.plan import DriverPlan
    from ..drivers.steps import Step


@dataclass(frozen=True, slots=True)
class DriverStepRow:
    """One step: as a line for a root shell, and as what it is made of."""

    command: str
    why: str
    undo: str | None
    """What takes it back, as such a line; null where nothing has to be."""
    id: str
    actions: tuple[Action, ...]
    undo_actions: tuple[Action, ...]
    needs: tuple[Proof, ...]
    """What must hold before."""
    done_when: tuple[Proof, ...]
    """All of it holds: the step is done already."""
    is_reboot: bool


@dataclass(frozen=True, slots=True)
class DriverPlanData:
    """Data of driver-plan/1."""

    branch: int | None
    """Driver branch, 580."""
    kernel_module: str
    """open or proprietary."""
    architectures: tuple[str, ...]
    distribution: str
    """ubuntu 24.04."""
    steps: tuple[DriverStepRow, ...]
    """Empty: there is nothing to do."""
    notes: tuple[str, ...]
    source: str
    """Whose archive the driver comes from: distro or nvidia."""
    cuda: str
    """Newest CUDA that the branch implements."""
    is_dkms: bool
    """Whether the kernel module is built on the machine."""
    found: str | None
    """Release of the driver that is there."""
    run: DriverRun | None = None
    """How far its steps came; null where none was run."""


def driver_data(plan: DriverPlan) -> DriverPlanData:
    """The plan as its document shows it."""
    return DriverPlanData(
        branch=plan.branch,
        kernel_module=plan.kernel_module,
        architectures=plan.architectures,
        distribution=plan.distribution,
        steps=tuple(map(_row, plan.steps)),
        notes=plan.notes,
        source=plan.origin,
        cuda=plan.cuda,
        is_dkms=plan.is_dkms,
        found=plan.found,
    )


def _row(step: Step) -> DriverStepRow:
    return DriverStepRow(
        command=commands_of(step.actions),
        why=step.why,
        undo=commands_of(step.undo) or None,
        id=step.id,
        actions=step.actions,
        undo_actions=step.undo,
        needs=step.needs,
        done_when=step.done_when,
        is_reboot=any(isinstance(action, Reboot) for action in step.actions),
    )
