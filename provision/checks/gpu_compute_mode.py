"""Check gpu.compute_mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check, counted

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_DEFAULT, _PROHIBITED = 0, 2


@check("gpu.compute_mode", level="quick", leads=("cuda.init", "cuda.context"))
def compute_mode(facts: Facts, say: Verdict) -> Finding:
    """The compute mode of every GPU lets programs use it.

    What it finds
        GPUs set to "prohibited", which CUDA may not use at all, and to "exclusive process", which one program takes
        for itself.

    Why it matters
        A prohibited GPU looks healthy in nvidia-smi and refuses every CUDA program. On an exclusive one the second
        program stops with "all CUDA-capable devices are busy or unavailable".

    How it is decided
        nvmlDeviceGetComputeMode: 0 (default) passes, 2 (prohibited) fails, 3 (exclusive process) warns.

    What to do
        `sudo nvidia-smi -c 0` sets the default; whoever set it, often a scheduler, may have had a reason.

    Sources
        NVML API reference, nvmlComputeMode_t (read 2026-11).
    """
    modes = {gpu.index: facts.value(f"gpu.{gpu.index}.compute_mode") for gpu in facts.machine.gpus if gpu.in_nvml}
    known = {index: mode for index, mode in modes.items() if mode is not None}
    if not known:
        return say.skipped("No usable GPU here tells its compute mode.")
    closed = [index for index, mode in known.items() if mode == _PROHIBITED]
    single = [index for index, mode in known.items() if mode not in {_DEFAULT, _PROHIBITED}]
    shown = tuple(one for index in (*closed, *single) for one in facts.evidence(f"gpu.{index}.compute_mode"))
    undo = tuple(f"sudo nvidia-smi -i {index} -c 0" for index in (*closed, *single))
    if closed:
        named = ", ".join(str(index) for index in closed)
        return say.failed(f"Compute mode prohibits every CUDA program on GPU {named}.", *shown, safe=undo)
    if single:
        named = ", ".join(str(index) for index in single)
        return say.warned(f"Compute mode lets only one program at a time use GPU {named}.", *shown, safe=undo)
    return say.passed(f"Compute mode is the default on {counted(len(known), 'GPU')}.")


CHECKS = (compute_mode,)
