"""The driver answers quickly.

What it finds
    Queries that take seconds: a driver that starts the GPU anew for every program, or one that is about to hang.

Why it matters
    Every start of a program that uses the GPU waits as long; monitoring with a short deadline calls the box broken.

How it is decided
    Seconds of one whole round of NVML queries, divided by the number of GPUs: more than 2 s for each warns.

What to do
    Enable the persistence daemon, which keeps the driver initialised. If it is on, see driver.dstate and the kernel
    log.

Sources
    NVIDIA, Driver Persistence (read 2026-11). The bar is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Check, Verdict, value_of
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("driver.query_latency")
_SLOW_S = 2.0


def evaluate(machine: Machine) -> Finding:
    """Warn beyond two seconds for each GPU."""
    sweep = value_of(machine, "nvml.sweep_s")
    if not isinstance(sweep, (int, float)) or not machine.gpus:
        return _SAY.skipped("NVML was not asked, or lists no GPU.")
    each = sweep / len(machine.gpus)
    facts = Evidence("nvml.sweep_s", sweep, unit="s", source="nvml", needs=_SLOW_S * len(machine.gpus))
    if each > _SLOW_S:
        return _SAY.warned(
            f"The driver needs {each:.1f} s for each GPU to answer.",
            facts,
            safe=("systemctl status nvidia-persistenced", KERNEL_LOG),
            risky=("sudo systemctl enable --now nvidia-persistenced",),
        )
    return _SAY.passed(f"The driver answers in {sweep:.3f} s.", facts)


CHECK = Check("driver.query_latency", "quick", evaluate)
