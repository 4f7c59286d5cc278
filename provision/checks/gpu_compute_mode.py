"""The compute mode of every GPU lets programs use it.

What it finds
    GPUs set to "prohibited", which CUDA may not use at all, and to "exclusive process", which one program takes for
    itself.

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

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Check, Verdict, counted, evidence, value_of

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("gpu.compute_mode")
_DEFAULT, _PROHIBITED = 0, 2


def evaluate(machine: Machine) -> Finding:
    """Fail for a prohibited GPU, warn for an exclusive one."""
    modes = {gpu.index: value_of(machine, f"gpu.{gpu.index}.compute_mode") for gpu in machine.gpus if gpu.in_nvml}
    known = {index: mode for index, mode in modes.items() if mode is not None}
    if not known:
        return _SAY.skipped("No usable GPU here tells its compute mode.")
    closed = [index for index, mode in known.items() if mode == _PROHIBITED]
    single = [index for index, mode in known.items() if mode not in {_DEFAULT, _PROHIBITED}]
    facts = tuple(one for index in (*closed, *single) for one in evidence(machine, f"gpu.{index}.compute_mode"))
    undo = tuple(f"sudo nvidia-smi -i {index} -c 0" for index in (*closed, *single))
    if closed:
        named = ", ".join(str(index) for index in closed)
        return _SAY.failed(f"Compute mode prohibits every CUDA program on GPU {named}.", *facts, safe=undo)
    if single:
        named = ", ".join(str(index) for index in single)
        return _SAY.warned(f"Compute mode lets only one program at a time use GPU {named}.", *facts, safe=undo)
    return _SAY.passed(f"Compute mode is the default on {counted(len(known), 'GPU')}.")


CHECK = Check("gpu.compute_mode", "quick", evaluate)
