"""Checks of who uses the GPUs' memory: gpu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted
from .gpu_answers import fact, joined, named, number, shown
from .remedies import reset_gpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_GIB, _MIB = 2**30, 2**20
_KINDS = ("compute_pids", "mps_pids", "graphics_pids")
_MOST_NAMED = 6
_WHO = "sudo fuser -v /dev/nvidia*    (processes of other containers and broken ones too)"


def _pids(facts: Facts, gpu: Gpu, kinds: Sequence[str] = _KINDS) -> tuple[int, ...] | None:
    """Processes on a GPU; None where NVML did not tell."""
    found: set[int] = set()
    for kind in kinds:
        value = facts.value(fact(gpu, kind))
        if isinstance(value, tuple):
            found.update(one for one in value if isinstance(one, int))
        elif kind == "compute_pids":
            return None
    return tuple(sorted(found))


def _has_own_memory(facts: Facts, gpu: Gpu) -> bool:
    """Whether its memory is the GPU's alone: on a superchip the system keeps its own pages there too."""
    return facts.text(fact(gpu, "c2c_mode")) != "enabled" and gpu.mig_mode != "enabled"


def _gib(count: float) -> str:
    return f"{count / _GIB:.1f} GiB"


_SLACK = 500 * _MIB
_OLD_RESERVE = 1536 * _MIB
"""What an old driver may keep for itself and count as used."""


@check("gpu.idle_memory", level="quick", needs=("nvml",), not_on=("wsl", "container", "vgpu-guest", "jetson"))
def idle_memory(facts: Facts, say: Verdict) -> Finding:
    """GPUs without a process hold no memory.

    What it finds
        Memory that is in use on a GPU for which the driver lists no process.

    Why it matters
        A crashed job, often of another container, has left its memory behind. The next one runs out of memory on a GPU
        that looks free.

    How it is decided
        No compute, MPS or graphics process, and more than 500 MiB in use beyond the driver's reserve: warns (our
        proposal); 2 GiB where the driver does not tell its reserve. GPUs with a screen, virtual GPUs or MIG, and those
        that share memory with the processor are left out; so are containers, which see no other's processes.

    What to do
        `sudo fuser -v /dev/nvidia*` on the host shows who holds the device. When nobody does, reset the GPU.

    Sources
        NVML API reference, nvmlDeviceGetMemoryInfo_v2; facebookresearch/gcm; skypilot doctor (read 2026-11).
    """
    idle = tuple(gpu for gpu in facts.gpus if _pids(facts, gpu) == () and _is_plain(facts, gpu))
    held = tuple(gpu for gpu in idle if _held(facts, gpu) > 0)
    if held:
        total = sum(number(facts, gpu, "memory_used_bytes") or 0 for gpu in held)
        return say.warned(
            f"{_gib(total)} of memory in use without any process on {named(held)}.",
            *shown(facts, held, "memory_used_bytes", "memory_reserved_bytes", "memory_total_bytes", "compute_pids"),
            safe=(_WHO, "end the processes that it shows, if they are yours"),
            risky=reset_gpus(facts.machine, held),
        )
    if idle:
        return say.passed(f"{counted(len(idle), 'GPU')} without a process, and without memory in use.")
    if any(_pids(facts, gpu) for gpu in facts.gpus):
        return say.passed("Every GPU that was looked at has processes.")
    return say.skipped("No GPU here has a list of processes and memory of its own, by which this is judged.")


def _is_plain(facts: Facts, gpu: Gpu) -> bool:
    return (
        _has_own_memory(facts, gpu)
        and "enabled" not in {facts.text(fact(gpu, "display_mode")), facts.text(fact(gpu, "display_active"))}
        and facts.text(fact(gpu, "virtualization_mode")) in {None, "none", "passthrough"}
        and number(facts, gpu, "memory_used_bytes") is not None
    )


def _held(facts: Facts, gpu: Gpu) -> float:
    """Bytes beyond what an idle GPU may have in use."""
    allowed = _SLACK if number(facts, gpu, "memory_reserved_bytes") is not None else _SLACK + _OLD_RESERVE
    return (number(facts, gpu, "memory_used_bytes") or 0) - allowed


_LEAST_FREE = 0.1
_AT_WORK_PERCENT = 50


@check("gpu.foreign_procs", level="quick", needs=("nvml",))
def foreign_procs(facts: Facts, say: Verdict) -> Finding:
    """Other programs leave room in the memory of every GPU.

    What it finds
        GPUs whose memory other programs have filled.

    Why it matters
        A training that starts now stops with "CUDA out of memory", and a measurement shares the GPU.

    How it is decided
        Less than 10 % of the memory free while compute or MPS processes run: warns. In a container and under WSL the
        processes of others are not visible, and the memory alone decides. A full GPU that is at work (busy for at
        least half of the time, our proposal) is what it was bought for: it passes and is told. So are processes that
        leave room. GPUs with MIG, and those that share memory with the processor, are left out.

    What to do
        Wait for these processes, ask whose they are, or choose another GPU with CUDA_VISIBLE_DEVICES.

    Sources
        NVML API reference, nvmlDeviceGetComputeRunningProcesses_v3; skypilot doctor (90 %) (read 2026-11).
    """
    is_blind = facts.is_any("container", "wsl")
    free = {
        gpu: share for gpu in facts.gpus if _has_own_memory(facts, gpu) and (share := _free(facts, gpu)) is not None
    }
    users = {gpu: _pids(facts, gpu, ("compute_pids", "mps_pids")) or () for gpu in facts.gpus}
    taken = tuple(gpu for gpu, share in free.items() if share < _LEAST_FREE and (users[gpu] or is_blind))
    full = tuple(gpu for gpu in taken if (number(facts, gpu, "utilization_gpu_percent") or 0) < _AT_WORK_PERCENT)
    pids = sorted({pid for gpu in full or facts.gpus for pid in users[gpu]})
    if full:
        by = f"processes {_few(pids)}" if pids else "programs that can't be seen from here"
        return say.warned(
            f"Less than {_LEAST_FREE:.0%} of the memory is free on {named(full)}: {by} hold it.",
            *shown(facts, full, "memory_free_bytes", "memory_total_bytes", "compute_pids", "compute_memory_bytes"),
            safe=(
                "nvidia-smi --query-compute-apps=gpu_bus_id,pid,used_memory --format=csv",
                "wait for these processes, or choose another GPU with CUDA_VISIBLE_DEVICES",
            ),
        )
    if not free:
        return say.skipped("No GPU here has memory of its own of which it tells how much is free.")
    if taken:
        return say.passed(f"At work, with less than {_LEAST_FREE:.0%} of the memory free: {named(taken)}.")
    computing = (
        "1 process computes here and leaves" if len(pids) == 1 else f"{len(pids)} processes compute here and leave"
    )
    said = f"{computing} room" if pids else "No other program computes here"
    return say.passed(f"{said}: at least {min(free.values()):.0%} of every GPU's memory is free.")


def _free(facts: Facts, gpu: Gpu) -> float | None:
    free, total = number(facts, gpu, "memory_free_bytes"), number(facts, gpu, "memory_total_bytes")
    return free / total if free is not None and total else None


def _few(pids: Sequence[int]) -> str:
    shown_pids = [str(pid) for pid in pids[:_MOST_NAMED]]
    more = len(pids) - len(shown_pids)
    return joined([*shown_pids, f"{more} more"] if more else shown_pids)


@check(
    "gpu.ghost_pids",
    level="quick",
    needs=("nvml",),
    not_on=("wsl", "container", "vgpu-guest"),
    leads=("gpu.idle_memory", "gpu.foreign_procs"),
)
def ghost_pids(facts: Facts, say: Verdict) -> Finding:
    """Every process that the driver lists on a GPU is alive.

    What it finds
        Processes that ended, and that the driver still lists with their memory.

    Why it matters
        Nothing is left that could be ended to free this memory: the GPU needs a reset.

    How it is decided
        The process numbers that NVML gives are looked up among the living ones, in the same process namespace only. The
        missing ones are looked up again with nvidia-smi, because processes end; those still listed fail.

    What to do
        Reset the GPU while nothing else uses it, else restart the machine.

    Sources
        NVML API reference, nvmlDeviceGetComputeRunningProcesses_v3; facebookresearch/gcm (read 2026-11).
    """
    dead = facts.value("gpu.dead_pids")
    if not isinstance(dead, tuple):
        if not facts.was_looked_at("gpu.dead_pids"):
            return say.skipped("NVML lists no process, or nobody compared.")
        return say.skipped(f"The processes could not be compared: {facts.why_not('gpu.dead_pids')}.")
    if not dead:
        return say.passed("Every process that the driver lists is alive.")
    where = tuple(gpu for gpu in facts.gpus if set(_pids(facts, gpu) or ()) & set(dead)) or facts.gpus
    gone = [pid for pid in dead if isinstance(pid, int)]
    is_one = len(gone) == 1
    return say.failed(
        f"{'Process' if is_one else 'Processes'} {_few(gone)} {'has' if is_one else 'have'} ended and still"
        f" {'holds' if is_one else 'hold'} memory on {named(where)}.",
        Evidence("gpu.dead_pids", dead, source="nvml, /proc"),
        *shown(facts, where, "memory_used_bytes", "compute_pids"),
        safe=(_WHO,),
        risky=reset_gpus(facts.machine, where),
    )


CHECKS = (ghost_pids, idle_memory, foreign_procs)
