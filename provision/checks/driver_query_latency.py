"""Check driver.query_latency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_SLOW_S = 2.0


@check("driver.query_latency", level="quick")
def query_latency(facts: Facts, say: Verdict) -> Finding:
    """The driver answers quickly.

    What it finds
        Queries that take seconds: a driver that starts the GPU anew for every program, or one that is about to hang.

    Why it matters
        Every start of a program that uses the GPU waits as long; monitoring with a short deadline calls the box
        broken.

    How it is decided
        Seconds of one whole round of NVML queries, divided by the number of GPUs: more than 2 s for each warns.

    What to do
        Enable the persistence daemon, which keeps the driver initialised. If it is on, see driver.dstate and the
        kernel log.

    Sources
        NVIDIA, Driver Persistence (read 2026-11). The bar is ours.
    """
    sweep = facts.value("nvml.sweep_s")
    if not isinstance(sweep, (int, float)) or not facts.machine.gpus:
        return say.skipped("NVML was not asked, or lists no GPU.")
    each = sweep / len(facts.machine.gpus)
    shown = Evidence("nvml.sweep_s", sweep, unit="s", source="nvml", needs=_SLOW_S * len(facts.machine.gpus))
    if each > _SLOW_S:
        return say.warned(
            f"The driver needs {each:.1f} s for each GPU to answer.",
            shown,
            safe=(
                "systemctl status nvidia-persistenced",
                "sudo systemctl enable --now nvidia-persistenced",
                KERNEL_LOG,
            ),
        )
    return say.passed(f"The driver answers in {sweep:.3f} s.", shown)


CHECKS = (query_latency,)
