"""`up --with-driver`: whether the driver is what keeps the GPUs from a plan, and the run that mends it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .driver_setup import begin, resume, unfinished
from .errors import GpusetupError, InputError, InstallError, NoUsableGpuError
from .gate import usable_gpus
from .planning import plan_for
from .records import GpuState

if TYPE_CHECKING:
    from collections.abc import Callable

    from .driver_setup import DriverJob, DriverOutcome
    from .drivers.plan import DriverPlan
    from .examined import Examined
    from .matrix.tables import Matrix
    from .records import Request

GO_ON = "gpusetup up --with-driver"


@dataclass(frozen=True, slots=True)
class DriverStage:
    """How the driver may be changed."""

    job: DriverJob
    require_allowed: Callable[[], None]
    """UsageError where this user may not change the driver, or could not be asked."""
    agrees: Callable[[DriverPlan], bool]


def bring_driver(stage: DriverStage, examined: Examined, request: Request, matrix: Matrix) -> DriverOutcome | None:
    """Go on with a run that waits, or begin one where a driver is missing or too old; None where neither is so.

    The plan of a run that waits was agreed to when it began. Nothing is done for a wish for a CPU environment.
    """
    if request.cpu or not examined.machine.gpus:
        return None
    is_lacking = lacks_driver(examined, request, matrix)
    try:
        waiting = unfinished(stage.job.base)
    except InputError:
        if is_lacking:
            raise
        return None  # a journal that can't be read says nothing about a driver that works
    is_due = waiting is not None and waiting.journal.state == "waiting-for-reboot"
    if not is_due and not is_lacking:
        return None
    if waiting is not None:
        stage.require_allowed()
        return resume(stage.job)
    plan = _plan(examined, request, matrix)
    if not plan.steps:
        return None
    stage.require_allowed()
    return begin(stage.job, plan) if stage.agrees(plan) else None


def lacks_driver(examined: Examined, request: Request, matrix: Matrix) -> bool:
    """Whether no driver answers, or no build fits and a newer driver would admit one."""
    machine = examined.machine
    if machine.gpu_state is GpuState.UNUSABLE:
        return machine.driver is None or machine.driver.driver_version is None
    if not usable_gpus(machine):
        return False
    try:
        plan = plan_for(examined, request, matrix)
    except GpusetupError:  # the stage of the plan says so
        return False
    return plan.build is None and any(unlock.change == "driver" for unlock in plan.resolution.unlocks)


def _plan(examined: Examined, request: Request, matrix: Matrix) -> DriverPlan:
    from .drivers.plan import plan_driver
    from .drivers.wish import DriverWish

    today = time.strftime("%Y-%m-%d", time.gmtime())
    return plan_driver(examined.machine, matrix, today=today, wish=DriverWish(torch=request.torch))


def require_done(outcome: DriverOutcome) -> None:
    """The error that ends `up` where the driver is not there yet."""
    if outcome.is_done:
        return
    found = outcome.findings[0]
    if outcome.run.needs_reboot:
        raise NoUsableGpuError(
            found.happened,
            code="reboot-needed",
            risky=("sudo systemctl reboot", f"{GO_ON}    (after it, with the same words)"),
        )
    error = InstallError(
        found.happened, code=found.id, evidence=found.evidence, do=(*found.safe, f"{GO_ON}    (goes on where it was)")
    )
    error.exit_code = outcome.exit_code
    raise error
