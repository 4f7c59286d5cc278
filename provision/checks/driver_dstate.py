"""Check driver.dstate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict


@check("driver.dstate", level="instant", leads=("driver.nvml_init", "driver.query_latency"))
def dstate(facts: Facts, say: Verdict) -> Finding:
    """No driver process is stuck in the kernel.

    What it finds
        Programs of the driver (nvidia-smi, the persistence daemon, DCGM) in uninterruptible sleep.

    Why it matters
        They wait inside the driver for a GPU that no longer answers. The next call to the driver would join them, and
        not even SIGKILL ends a process in that state.

    How it is decided
        State D in /proc/<pid>/stat for names of driver programs, read before NVML is asked. Seen once it warns: a
        short wait is normal.

    What to do
        Look again after a few seconds. If the same process is still there, read the kernel log; only a restart frees
        it.

    Sources
        proc_pid_stat(5) (read 2026-11).
    """
    blocked = facts.texts("driver.blocked_processes")
    if blocked is None:
        return say.skipped("Processes were not looked at: nothing of NVIDIA is on this machine.")
    if not blocked:
        return say.passed("No driver process is stuck in the kernel.")
    return say.warned(
        f"Stuck in the kernel, perhaps waiting for a GPU that does not answer: {', '.join(blocked)}.",
        *facts.evidence("driver.blocked_processes"),
        safe=("ps -eo pid,stat,wchan:32,etime,comm | awk '$2 ~ /D/'", KERNEL_LOG),
        risky=("sudo reboot",),
    )


CHECKS = (dstate,)
