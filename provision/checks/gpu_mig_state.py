"""Check gpu.mig_state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_ENABLED = 1


@check("gpu.mig_state", level="quick", leads=("cuda.init", "cuda.context"))
def mig_state(facts: Facts, say: Verdict) -> Finding:
    """MIG, where it is on, has instances, and no change of mode is waiting.

    What it finds
        A GPU with MIG enabled and not one MIG device, and a change of the mode that waits for a reset.

    Why it matters
        With MIG on, CUDA sees the MIG devices and not the GPU. Without any there is no device, while nvidia-smi lists
        a healthy GPU.

    How it is decided
        nvmlDeviceGetMigMode, current and pending, and the number of MIG devices. Enabled without a device fails, and
        so does a pending change. Enabled with devices passes; a program can use one of them at a time.

    What to do
        Create instances (`nvidia-smi mig -cgi ... -C`), or turn MIG off and reset the GPU.

    Sources
        NVIDIA Multi-Instance GPU User Guide (read 2026-11).
    """
    able = tuple(gpu for gpu in facts.machine.gpus if gpu.in_nvml and gpu.mig_mode is not None)
    if not able:
        return say.skipped("No usable GPU here says that it has MIG.")
    for gpu in able:
        fault = _pending(say, facts, gpu) or _empty(say, facts, gpu)
        if fault is not None:
            return fault
    enabled = [gpu for gpu in able if gpu.mig_mode == "enabled"]
    if not enabled:
        return say.passed(f"MIG is off on {counted(len(able), 'GPU')}.")
    return say.passed(
        f"MIG is on, with instances, on {counted(len(enabled), 'GPU')}; one program can use one instance.",
        *(one for gpu in enabled for one in facts.evidence(f"gpu.{gpu.index}.mig_instances")),
    )


def _pending(say: Verdict, facts: Facts, gpu: Gpu) -> Finding | None:
    pending = facts.value(f"gpu.{gpu.index}.mig_pending")
    if pending is None or (pending == _ENABLED) == (gpu.mig_mode == "enabled"):
        return None
    wanted = "on" if pending == _ENABLED else "off"
    return say.failed(
        f"GPU {gpu.index} waits for a reset to turn MIG {wanted}.",
        Evidence("mig_mode", gpu.mig_mode, source="nvml", needs="enabled" if pending == _ENABLED else "disabled"),
        safe=(f"nvidia-smi -q -i {gpu.index} | grep -A 2 'MIG Mode'",),
        risky=(f"sudo nvidia-smi --gpu-reset -i {gpu.pci_bus_id or gpu.index}", "sudo reboot"),
    )


def _empty(say: Verdict, facts: Facts, gpu: Gpu) -> Finding | None:
    if gpu.mig_mode != "enabled" or facts.value(f"gpu.{gpu.index}.mig_instances") != 0:
        return None
    return say.failed(
        f"MIG is on and has no instance on GPU {gpu.index}: CUDA finds no device there.",
        *facts.evidence(f"gpu.{gpu.index}.mig_instances"),
        safe=(f"nvidia-smi mig -lgip -i {gpu.index}",),
        risky=(f"sudo nvidia-smi mig -i {gpu.index} -cgi <profile> -C", f"sudo nvidia-smi -i {gpu.index} -mig 0"),
    )


CHECKS = (mig_state,)
