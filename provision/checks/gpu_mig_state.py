"""Check gpu.mig_state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check, counted
from .gpu_answers import fact, named, shown
from .remedies import look_at, reset_gpus

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_ENABLED = 1


@check("gpu.mig_state", level="quick")
def mig_state(facts: Facts, say: Verdict) -> Finding:
    """MIG, where it is on, has instances, and no change of mode is waiting.

    What it finds
        GPUs with MIG enabled and not one MIG device, and changes of the mode that wait for a reset.

    Why it matters
        With MIG on, CUDA sees the MIG devices and not the GPU. Without any there is no device, while nvidia-smi lists
        a healthy GPU.

    How it is decided
        nvmlDeviceGetMigMode, current and pending, and the number of MIG devices. Enabled without a device fails, and
        so does a pending change. Enabled with devices passes; a program can use one of them at a time.

    What to do
        Create instances (`nvidia-smi mig -cgi ... -C`), or turn MIG off and reset the GPU. A change that waits needs an
        idle GPU: stop what holds it (DCGM, monitoring), then reset.

    Sources
        NVIDIA Multi-Instance GPU User Guide (read 2026-11).
    """
    able = tuple(gpu for gpu in facts.gpus if gpu.mig_mode is not None)
    if not able:
        return say.skipped("No usable GPU here says that it has MIG.")
    for fault in (_pending(say, facts, able), _empty(say, facts, able)):
        if fault is not None:
            return fault
    enabled = tuple(gpu for gpu in able if gpu.mig_mode == "enabled")
    if not enabled:
        return say.passed(f"MIG is off on {counted(len(able), 'GPU')}.")
    return say.passed(
        f"MIG is on, with instances, on {counted(len(enabled), 'GPU')}; one program can use one instance.",
        *shown(facts, enabled, "mig_instances"),
    )


def _pending(say: Verdict, facts: Facts, able: tuple[Gpu, ...]) -> Finding | None:
    waiting = tuple(gpu for gpu in able if _is_waiting(facts, gpu))
    if not waiting:
        return None
    wait = "waits" if len(waiting) == 1 else "wait"
    words = {"off" if gpu.mig_mode == "enabled" else "on" for gpu in waiting}
    return say.failed(
        f"{named(waiting)} {wait} for a reset to turn MIG {' or '.join(sorted(words))}.",
        *shown(facts, waiting, "mig_mode", "mig_pending"),
        safe=(look_at(facts.machine, waiting, "COMPUTE"), "nvidia-smi -q | grep -A 2 'MIG Mode'"),
        risky=reset_gpus(facts.machine, waiting),
    )


def _is_waiting(facts: Facts, gpu: Gpu) -> bool:
    pending = facts.value(fact(gpu, "mig_pending"))
    return pending is not None and (pending == _ENABLED) != (gpu.mig_mode == "enabled")


def _empty(say: Verdict, facts: Facts, able: tuple[Gpu, ...]) -> Finding | None:
    empty = tuple(gpu for gpu in able if gpu.mig_mode == "enabled" and facts.value(fact(gpu, "mig_instances")) == 0)
    if not empty:
        return None
    first = empty[0].index
    return say.failed(
        f"MIG is on and has no instance on {named(empty)}: CUDA finds no device there.",
        *shown(facts, empty, "mig_instances"),
        safe=(f"nvidia-smi mig -lgip -i {first}",),
        risky=(f"sudo nvidia-smi mig -i {first} -cgi <profile> -C", f"sudo nvidia-smi -i {first} -mig 0"),
    )


CHECKS = (mig_state,)
