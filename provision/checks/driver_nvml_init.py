"""NVML, the driver's management library, starts and answers.

What it finds
    Why the driver can't be asked: library not found, driver not loaded, release mismatch, no permission, GPU lost, an
    unknown error, no answer within the deadline, or a crash inside the library.

Why it matters
    nvidia-smi, PyTorch's device queries and every monitoring tool go through it. Where it fails, CUDA nearly always
    does.

How it is decided
    A child process loads libnvidia-ml.so.1 and calls nvmlInit and the queries under a deadline (5 s for each call).
    Its error code, its silence or its signal decides. Where only nvidia-smi answers it warns.

What to do
    Depends on the class; each has its own steps. A hanging driver needs a look at the kernel log before anything
    else.

Sources
    NVML API reference, nvmlReturn_t (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence, Finding, FindingStatus
from .base import Check, Verdict, evidence, has_gpu, nvml_outcome, value_of
from .remedies import KERNEL_LOG, RELOAD_MODULES, see_driver_steps, who_owns_the_driver

if TYPE_CHECKING:
    from ..records import Machine

_SAY = Verdict("driver.nvml_init")
_EVIDENCE = ("nvml.init", "driver.nvml_library", "nvml.child", "smi.query")
_WORDS = {
    "library-not-found": "The driver's library libnvidia-ml.so.1 is not found",
    "driver-not-loaded": "The driver's library is there and says that no driver is loaded",
    "version-mismatch": "The driver's library does not fit the loaded kernel module",
    "no-permission": "The driver refuses this user or this container",
    "gpu-lost": "The driver reports a lost GPU at its start",
    "no-module": "NVML could not be asked: its Python module is missing",
    "failed": "The driver's library failed to start",
    "timed-out": "The driver did not answer in time",
    "crashed": "The driver's library crashed when asked",
}


def evaluate(machine: Machine) -> Finding:
    """One finding per class of failure."""
    outcome = nvml_outcome(machine)
    if outcome == "answered":
        release = machine.driver.driver_version if machine.driver else None
        return _SAY.passed(
            f"NVML answers; the driver is {release or 'of unknown release'}.", *evidence(machine, "nvml.count")
        )
    if not has_gpu(machine):
        return _SAY.skipped("No NVIDIA GPU is on this machine.", *evidence(machine, "nvml.init"))
    if machine.host.l4t is not None and not any(gpu.pci_bus_id for gpu in machine.gpus):
        # Older Jetson releases have no NVML, and CUDA works there.
        return _SAY.skipped("The GPU of a Jetson's chip is used without NVML.", *evidence(machine, "nvml.init"))
    if outcome is None:
        return _SAY.unknown("NVML was not asked: the facts come from elsewhere.")
    facts = (*evidence(machine, *_EVIDENCE), *_elapsed(machine))
    if any(gpu.in_nvml for gpu in machine.gpus):
        how = "nvidia-smi answers" if value_of(machine, "smi.query") else "some GPUs answered before"
        return _SAY.warned(f"{_sentence(machine, outcome)}; {how}.", *facts, safe=_safe(machine, outcome))
    status: FindingStatus = "timed-out" if outcome == "timed-out" else "fail"
    return Finding(
        _SAY.id, status, f"{_sentence(machine, outcome)}.", facts, _safe(machine, outcome), _risky(machine, outcome)
    )


def _sentence(machine: Machine, outcome: str) -> str:
    words = _WORDS.get(outcome, "NVML was not asked")
    why = machine.failure_of("nvml.init")
    return f"{words} ({why})" if why else words


def _elapsed(machine: Machine) -> tuple[Evidence, ...]:
    sweep = value_of(machine, "nvml.sweep_s")
    return (Evidence("nvml.sweep_s", sweep, unit="s", source="nvml"),) if sweep is not None else ()


def _safe(machine: Machine, outcome: str) -> tuple[str, ...]:
    in_container = machine.host.container is not None
    granted = ("docker run --gpus all ... (or --device nvidia.com/gpu=all) when the container is started",)
    steps = {
        "library-not-found": granted
        if in_container
        else ("ldconfig -p | grep libnvidia-ml", *see_driver_steps(machine)),
        "driver-not-loaded": ("gpusetup driver plan    (on the host of this container)",)
        if in_container
        else see_driver_steps(machine),
        "version-mismatch": who_owns_the_driver(machine),
        "no-permission": ("ls -l /dev/nvidia*; id", *(granted if in_container else ())),
        "no-module": ("python -m pip install nvidia-ml-py    (in the environment of gpusetup)",),
        "timed-out": ("ps -eo pid,stat,wchan:32,etime,comm | awk '$2 ~ /D/'", KERNEL_LOG),
    }
    return steps.get(outcome, (KERNEL_LOG, "nvidia-smi -q"))


def _risky(machine: Machine, outcome: str) -> tuple[str, ...]:
    if machine.host.container or outcome in {"library-not-found", "no-module", "no-permission"}:
        return ()
    steps = {"driver-not-loaded": ("sudo modprobe nvidia",), "version-mismatch": RELOAD_MODULES}
    return steps.get(outcome, ("sudo reboot",))


CHECK = Check("driver.nvml_init", "quick", evaluate, leads=("pci.count_vs_nvml", "driver.query_latency"))
