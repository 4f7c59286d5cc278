"""No driver process is stuck in the kernel.

What it finds
    Programs of the driver (nvidia-smi, the persistence daemon, DCGM) in uninterruptible sleep.

Why it matters
    They wait inside the driver for a GPU that no longer answers. The next call to the driver would join them, and not
    even SIGKILL ends a process in that state.

How it is decided
    State D in /proc/<pid>/stat for names of driver programs, read before NVML is asked. Seen once it warns: a short
    wait is normal.

What to do
    Look again after a few seconds. If the same process is still there, read the kernel log; only a restart frees it.

Sources
    proc_pid_stat(5) (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Check, Verdict, evidence, texts_of
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("driver.dstate")


def evaluate(machine: Machine) -> Finding:
    """Warn while a driver program is in state D."""
    blocked = texts_of(machine, "driver.blocked_processes")
    if blocked is None:
        return _SAY.skipped("Processes were not looked at: nothing of NVIDIA is on this machine.")
    if not blocked:
        return _SAY.passed("No driver process is stuck in the kernel.")
    return _SAY.warned(
        f"Stuck in the kernel, perhaps waiting for a GPU that does not answer: {', '.join(blocked)}.",
        *evidence(machine, "driver.blocked_processes"),
        safe=("ps -eo pid,stat,wchan:32,etime,comm | awk '$2 ~ /D/'", KERNEL_LOG),
        risky=("sudo reboot",),
    )


CHECK = Check("driver.dstate", "instant", evaluate, leads=("driver.nvml_init", "driver.query_latency"))
