"""Whether a machine may go on to a plan: a GPU that is there and unusable never becomes a CPU plan (PURE)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import NoUsableGpuError
from .records import Evidence, GpuState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Finding, GpuLeftOut, Machine, Request


def usable_gpus(machine: Machine) -> int:
    """How many GPUs of the machine can be used."""
    if machine.gpu_state is not GpuState.USABLE:
        return 0
    return sum(1 for gpu in machine.gpus if gpu.in_nvml is not False)


def without_lost_gpus(machine: Machine) -> Machine:
    """The machine without the GPUs that NVML does not answer for; the checks name them, a plan is for the others."""
    if machine.gpu_state is not GpuState.USABLE:
        return machine
    return replace(machine, gpus=tuple(gpu for gpu in machine.gpus if gpu.in_nvml is not False))


def visible_devices(machine: Machine, left_out: Sequence[GpuLeftOut]) -> str | None:
    """CUDA_VISIBLE_DEVICES that leaves these GPUs out: UUIDs, or indexes where one has none; None to hide nothing."""
    if not left_out:
        return None
    hidden = {out.index for out in left_out}
    kept = [gpu for gpu in machine.gpus if gpu.index not in hidden and gpu.in_nvml is not False]
    if all(gpu.gpu_uuid for gpu in kept):
        return ",".join(str(gpu.gpu_uuid) for gpu in kept)
    return ",".join(str(gpu.index) for gpu in kept)


def require_left_gpus(machine: Machine, request: Request, left_out: Sequence[GpuLeftOut]) -> None:
    """NoUsableGpuError when a plan that leaves GPUs out is for fewer than asked for with --require-gpu."""
    usable = usable_gpus(machine) - len(left_out)
    if usable >= request.require_gpu or not left_out:
        return
    raise NoUsableGpuError(
        f"One build serves {usable} of the GPUs here, {request.require_gpu} were asked for.",
        code="gpus-left-out",
        evidence=tuple(
            Evidence(f"GPU {out.index}", f"{out.rule}: {out.found}", source=out.source, needs=out.needs)
            for out in left_out
        ),
        do=(f"ask for {usable}: --require-gpu={usable}", "gpusetup plan"),
    )


def require_gpus(machine: Machine, request: Request, findings: Sequence[Finding]) -> None:
    """NoUsableGpuError when fewer GPUs are usable than asked for with --require-gpu."""
    usable = usable_gpus(machine)
    if usable >= request.require_gpu:
        return
    cause = _cause(findings)
    happened = f"{usable} usable GPU{'' if usable == 1 else 's'} here, {request.require_gpu} asked for."
    raise NoUsableGpuError(
        f"{happened} {cause.happened}" if cause else happened,
        code=cause.id if cause else "no-usable-gpu",
        evidence=(
            Evidence("usable GPUs", usable, needs=request.require_gpu),
            *(cause.evidence if cause else _other_vendors(machine)),
        ),
        do=cause.safe if cause else ("gpusetup check",),
        risky=cause.risky if cause else (),
    )


def require_plannable(machine: Machine, request: Request, findings: Sequence[Finding]) -> None:
    """NoUsableGpuError when a GPU is there and cannot be used, unless a CPU plan was asked for."""
    require_gpus(machine, request, findings)
    if request.cpu or machine.gpu_state is not GpuState.UNUSABLE:
        return
    cause = _cause(findings)
    raise NoUsableGpuError(
        cause.happened if cause else "A GPU is there and cannot be used.",
        code=cause.id if cause else "gpu-unusable",
        evidence=cause.evidence if cause else _said(machine),
        do=(*(cause.safe if cause else ("gpusetup check",)), "gpusetup up --cpu   (a CPU environment all the same)"),
        risky=cause.risky if cause else (),
    )


def _cause(findings: Sequence[Finding]) -> Finding | None:
    """The finding that leads: the caller has put it first."""
    return next((finding for finding in findings if finding.status in ("fail", "timed-out", "crashed")), None)


def _said(machine: Machine) -> tuple[Evidence, ...]:
    """What the driver's tools said of GPUs that do not answer, where no check has a name for it."""
    return tuple(
        Evidence(reading.name, reading.failure, source=reading.source)
        for reading in machine.readings
        if reading.failure and (reading.name == "nvml.init" or reading.name.endswith(".usable"))
    )


def _other_vendors(machine: Machine) -> tuple[Evidence, ...]:
    return tuple(
        Evidence("display controller", f"{gpu.vendor} {gpu.pci_device_id}", source=f"sysfs {gpu.pci_bus_id}")
        for gpu in machine.other_gpus
    )
