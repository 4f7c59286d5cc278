"""Whether the driver that a run was for is there and answers, after its last step (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence, Finding, GpuState

if TYPE_CHECKING:
    from ..records import Machine
    from .records import Goal

_DO = ("gpusetup check", "gpusetup driver undo    (takes back what was done)")


def verify(machine: Machine, goal: Goal) -> tuple[Finding, ...]:
    """What is not as the plan wanted it; nothing where the GPUs answer under the right driver."""
    driver = machine.driver
    release = driver.driver_version if driver else None
    if machine.gpu_state is not GpuState.USABLE or driver is None or release is None:
        failures = [r for r in machine.readings if r.failure and r.name in ("nvml.init", "driver.driver_version")]
        evidence = tuple(Evidence(r.name, r.failure, source=r.source) for r in failures)
        return (Finding("driver-not-answering", "fail", "All steps are done, and no GPU answers.", evidence, _DO),)
    found = []
    if goal.branch is not None and release.branch != goal.branch:
        found.append(
            Finding(
                "driver-branch-differs",
                "fail",
                f"All steps are done, and the driver that answers is of branch {release.branch}.",
                (Evidence("driver", str(release), source="nvml", needs=f"branch {goal.branch}"),),
                ("restart the machine when it was not restarted since", *_DO),
            )
        )
    if None not in (goal.kernel_module, driver.kernel_module) and driver.kernel_module != goal.kernel_module:
        found.append(
            Finding(
                "kernel-module-differs",
                "fail",
                f"All steps are done, and the kernel module that is loaded is the {driver.kernel_module} one.",
                (Evidence("kernel module", driver.kernel_module, needs=goal.kernel_module),),
                ("restart the machine when it was not restarted since", *_DO),
            )
        )
    return tuple(found)
