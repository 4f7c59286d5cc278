"""Check driver.uvm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check, passed_through

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_NODE = "/dev/nvidia-uvm"


@check("driver.uvm", level="instant", leads=("cuda.init", "cuda.context"))
def uvm(facts: Facts, say: Verdict) -> Finding:
    """The driver's memory module, nvidia_uvm, is there for CUDA.

    What it finds
        A driver whose NVML works while CUDA can't start, because nvidia_uvm or its device node is missing.

    Why it matters
        cuInit needs /dev/nvidia-uvm. Without it nvidia-smi looks healthy and PyTorch sees no GPU.

    How it is decided
        With the module nvidia loaded: nvidia_uvm loaded and /dev/nvidia-uvm there passes. Missing, it passes only
        where the setuid program nvidia-modprobe is installed, which loads it at CUDA's first start; in a container
        nobody does that.

    What to do
        `sudo nvidia-modprobe -u -c 0`, or `sudo modprobe nvidia_uvm`. In a container: start it through the NVIDIA
        runtime.

    Sources
        nvidia-modprobe(1); NVIDIA Container Toolkit, troubleshooting (read 2026-11).
    """
    if not facts.has_gpu:
        return say.skipped("No NVIDIA GPU is on this machine.")
    if facts.machine.host.is_wsl:
        return say.skipped("Under WSL there is no such module.")
    if facts.machine.gpus and len(passed_through(facts)) == len(facts.machine.gpus):
        return say.skipped("All GPUs are kept for virtual machines.")
    modules, nodes = facts.texts("driver.modules"), facts.texts("driver.device_nodes")
    if modules is None or nodes is None:
        return say.unknown("Kernel modules or device nodes were not read.")
    if "nvidia" not in modules:
        return say.skipped("The kernel module nvidia can't be seen; see driver.module_loaded.")
    if "nvidia_uvm" in modules and _NODE in nodes:
        return say.passed("nvidia_uvm is loaded and its device node is there.")
    missing = f"{_NODE} is missing" if "nvidia_uvm" in modules else "nvidia_uvm is not loaded"
    if facts.value("driver.modprobe_helper") and not facts.machine.host.container:
        return say.passed(
            f"{missing}; nvidia-modprobe makes it at CUDA's first start.", *facts.evidence("driver.modprobe_helper")
        )
    return say.failed(
        f"{missing}: CUDA can't start, although nvidia-smi may work.",
        *facts.evidence("driver.modules", "driver.device_nodes"),
        safe=("start the container with --gpus all, or with --device nvidia.com/gpu=all",)
        if facts.machine.host.container
        else ("sudo modprobe nvidia_uvm", "sudo nvidia-modprobe -u -c 0"),
    )


CHECKS = (uvm,)
