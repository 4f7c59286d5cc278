"""Check gpu.compute_mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check, counted, from_a_warning_too
from .gpu_answers import fact, named, places, shown

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_DEFAULT, _PROHIBITED = 0, 2


@check("gpu.compute_mode", level="quick", leads=("cuda.init", "cuda.context"), explains=from_a_warning_too)
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
        `sudo nvidia-smi -c 0` sets the default; whoever set it, often a scheduler or MPS, may have had a reason.

    Sources
        NVML API reference, nvmlComputeMode_t (read 2026-11).
    """
    modes = {gpu: mode for gpu in facts.gpus if (mode := facts.value(fact(gpu, "compute_mode"))) is not None}
    if not modes:
        return say.skipped("No usable GPU here tells its compute mode.")
    closed = tuple(gpu for gpu, mode in modes.items() if mode == _PROHIBITED)
    single = tuple(gpu for gpu, mode in modes.items() if mode not in {_DEFAULT, _PROHIBITED})
    odd = (*closed, *single)
    undo = ("sudo nvidia-smi -c 0" if len(odd) == len(facts.gpus) else f"sudo nvidia-smi -i {places(odd)} -c 0",)
    evidence = shown(facts, odd, "compute_mode", needs=_DEFAULT)
    if closed:
        return say.failed(f"Compute mode prohibits every CUDA program on {named(closed)}.", *evidence, safe=undo)
    if single:
        return say.warned(f"Compute mode lets only one program at a time use {named(single)}.", *evidence, safe=undo)
    return say.passed(f"Compute mode is the default on {counted(len(modes), 'GPU')}.")


CHECKS = (compute_mode,)
