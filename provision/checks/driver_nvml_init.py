"""Check driver.nvml_init."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence, Finding, FindingStatus
from .base import check, not_from_a_warning
from .remedies import KERNEL_LOG, RELOAD_MODULES, see_driver_steps, who_owns_the_driver

if TYPE_CHECKING:
    from .base import Facts, Verdict

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


def _explains(facts: Facts, mine: Finding, other: Finding) -> bool:
    """What gpusetup itself lacks says nothing of CUDA."""
    if other.id.startswith("cuda.") and facts.nvml_outcome == "no-module":
        return False
    return not_from_a_warning(facts, mine, other)


@check(
    "driver.nvml_init",
    level="quick",
    leads=("pci.count_vs_nvml", "driver.query_latency", "cuda.libcuda", "cuda.init"),
    explains=_explains,
)
def nvml_init(facts: Facts, say: Verdict) -> Finding:
    """NVML, the driver's management library, starts and answers.

    What it finds
        Why the driver can't be asked: library not found, driver not loaded, release mismatch, no permission, GPU
        lost, an unknown error, no answer within the deadline, or a crash inside the library.

    Why it matters
        nvidia-smi, PyTorch's device queries and every monitoring tool go through it. Where it fails, CUDA nearly
        always does.

    How it is decided
        A child process loads libnvidia-ml.so.1 and calls nvmlInit and the queries under a deadline (5 s for each
        call). Its error code, its silence or its signal decides. Where only nvidia-smi answers it warns, and so it does
        where the driver lives in a container of its own, as the GPU Operator has it.

    What to do
        Depends on the class; each has its own steps. A hanging driver needs a look at the kernel log before anything
        else.

    Sources
        NVML API reference, nvmlReturn_t (read 2026-11).
    """
    outcome = facts.nvml_outcome
    if outcome == "answered":
        release = facts.machine.driver.driver_version if facts.machine.driver else None
        return say.passed(
            f"NVML answers; the driver is {release or 'of unknown release'}.", *facts.evidence("nvml.count")
        )
    if not facts.has_gpu:
        return say.skipped("No NVIDIA GPU is on this machine.", *facts.evidence("nvml.init"))
    if facts.machine.host.l4t is not None and not any(gpu.pci_bus_id for gpu in facts.machine.gpus):
        # Older Jetson releases have no NVML, and CUDA works there.
        return say.skipped("The GPU of a Jetson's chip is used without NVML.", *facts.evidence("nvml.init"))
    if outcome is None:
        return say.unknown("NVML was not asked: the facts come from elsewhere.")
    if facts.texts("driver.blocked_lasting"):
        return say.unknown("NVML was not asked: programs are stuck in the driver, see driver.dstate.")
    shown = (*facts.evidence(*_EVIDENCE), *_elapsed(facts))
    if outcome == "library-not-found" and (folder := facts.text("driver.container_root")):
        return say.warned(
            f"The driver runs from a container ({folder}): containers can use it, programs on the host itself can't.",
            *shown,
            *facts.evidence("driver.container_root"),
            safe=(f"sudo chroot {folder} nvidia-smi",),
        )
    if any(gpu.in_nvml for gpu in facts.machine.gpus):
        how = "nvidia-smi answers" if facts.value("smi.query") else "some GPUs answered before"
        return say.warned(f"{_sentence(facts, outcome)}; {how}.", *shown, safe=_safe(facts, outcome))
    status: FindingStatus = "timed-out" if outcome == "timed-out" else "fail"
    return Finding(
        say.id, status, f"{_sentence(facts, outcome)}.", shown, _safe(facts, outcome), _risky(facts, outcome)
    )


def _sentence(facts: Facts, outcome: str) -> str:
    words = _WORDS.get(outcome, "NVML was not asked")
    why = facts.failure("nvml.init")
    return f"{words}: {why}" if why else words


def _elapsed(facts: Facts) -> tuple[Evidence, ...]:
    sweep = facts.value("nvml.sweep_s")
    return (Evidence("nvml.sweep_s", sweep, unit="s", source="nvml"),) if sweep is not None else ()


def _safe(facts: Facts, outcome: str) -> tuple[str, ...]:
    in_container = facts.machine.host.container is not None
    granted = ("docker run --gpus all ... (or --device nvidia.com/gpu=all) when the container is started",)
    if "blocked by the operating system" in (facts.failure("nvml.init") or ""):
        return ("in Windows: wsl --shutdown, then start it again", "in Windows: update the NVIDIA driver, wsl --update")
    steps = {
        "library-not-found": granted
        if in_container
        else ("ldconfig -p | grep libnvidia-ml", *see_driver_steps(facts.machine)),
        "driver-not-loaded": ("gpusetup driver plan    (on the host of this container)",)
        if in_container
        else ("sudo modprobe nvidia", KERNEL_LOG, *see_driver_steps(facts.machine)),
        "no-module": ("nvidia-smi",),
        "version-mismatch": who_owns_the_driver(facts.machine),
        "no-permission": ("ls -l /dev/nvidia*; id", *(granted if in_container else ())),
        "timed-out": ("ps -eo pid,stat,wchan:32,etime,comm | awk '$2 ~ /D/'", KERNEL_LOG),
    }
    in_paste = "Unknown Error" in (facts.failure("nvml.init") or "") and facts.is_any("paste")
    aside = ("if this was said in a container: start it again; on the host the GPU still works",) if in_paste else ()
    return steps.get(outcome, (*aside, KERNEL_LOG, "nvidia-smi -q"))


def _risky(facts: Facts, outcome: str) -> tuple[str, ...]:
    if "blocked by the operating system" in (facts.failure("nvml.init") or "") or facts.machine.host.is_wsl:
        return ("restart Windows",)
    if outcome == "no-module":
        return ("python -m pip install nvidia-ml-py    (in the environment of gpusetup)",)
    if facts.machine.host.container or outcome in {"library-not-found", "driver-not-loaded", "no-permission"}:
        return ()
    steps = {"version-mismatch": RELOAD_MODULES}
    return steps.get(outcome, ("sudo reboot",))


CHECKS = (nvml_init,)
