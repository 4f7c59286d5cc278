"""The driver's memory module, nvidia_uvm, is there for CUDA.

What it finds
    A driver whose NVML works while CUDA can't start, because nvidia_uvm or its device node is missing.

Why it matters
    cuInit needs /dev/nvidia-uvm. Without it nvidia-smi looks healthy and PyTorch sees no GPU.

How it is decided
    With the module nvidia loaded: nvidia_uvm loaded and /dev/nvidia-uvm there passes. Missing, it passes only where
    the setuid program nvidia-modprobe is installed, which loads it at CUDA's first start; in a container nobody does
    that.

What to do
    `sudo nvidia-modprobe -u -c 0`, or `sudo modprobe nvidia_uvm`. In a container: start it through the NVIDIA
    runtime.

Sources
    nvidia-modprobe(1); NVIDIA Container Toolkit, troubleshooting (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Check, Verdict, evidence, has_gpu, passed_through, texts_of, value_of

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("driver.uvm")
_NODE = "/dev/nvidia-uvm"


def evaluate(machine: Machine) -> Finding:
    """Pass when CUDA will find the module, now or at its first start."""
    if not has_gpu(machine):
        return _SAY.skipped("No NVIDIA GPU is on this machine.")
    if machine.host.is_wsl:
        return _SAY.skipped("Under WSL there is no such module.")
    if machine.gpus and len(passed_through(machine)) == len(machine.gpus):
        return _SAY.skipped("All GPUs are kept for virtual machines.")
    modules, nodes = texts_of(machine, "driver.modules"), texts_of(machine, "driver.device_nodes")
    if modules is None or nodes is None:
        return _SAY.unknown("Kernel modules or device nodes were not read.")
    if "nvidia" not in modules:
        return _SAY.skipped("The kernel module nvidia can't be seen; see driver.module_loaded.")
    if "nvidia_uvm" in modules and _NODE in nodes:
        return _SAY.passed("nvidia_uvm is loaded and its device node is there.")
    missing = f"{_NODE} is missing" if "nvidia_uvm" in modules else "nvidia_uvm is not loaded"
    if value_of(machine, "driver.modprobe_helper") and not machine.host.container:
        return _SAY.passed(
            f"{missing}; nvidia-modprobe makes it at CUDA's first start.", *evidence(machine, "driver.modprobe_helper")
        )
    return _SAY.failed(
        f"{missing}: CUDA can't start, although nvidia-smi may work.",
        *evidence(machine, "driver.modules", "driver.device_nodes"),
        safe=("start the container with --gpus all, or with --device nvidia.com/gpu=all",)
        if machine.host.container
        else ("sudo modprobe nvidia_uvm", "sudo nvidia-modprobe -u -c 0"),
    )


CHECK = Check("driver.uvm", "instant", evaluate)
