"""Check driver.dstate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict


_SAMPLES = 5


@check(
    "driver.dstate",
    level="instant",
    leads=("pci.count_vs_nvml", "driver.nvml_init", "driver.query_latency", "cuda.init", "cuda.context"),
)
def dstate(facts: Facts, say: Verdict) -> Finding:
    """No driver process is stuck in the kernel.

    What it finds
        Programs of the driver (nvidia-smi, the persistence daemon, DCGM), and others that wait inside of it, in
        uninterruptible sleep.

    Why it matters
        They wait in the driver for a GPU that no longer answers. The next call to the driver would join them, and
        not even SIGKILL ends a process in that state.

    How it is decided
        State D in /proc/<pid>/stat for names of driver programs, or for any program whose /proc/<pid>/wchan is a
        function of the driver, read before NVML is asked. Seen once it warns: a short wait is normal. Seen in 5
        consecutive looks within two seconds it fails, and neither NVML nor CUDA is asked.

    What to do
        Read the kernel log, then restart: nothing else frees such a process. Seen once only: look again after a few
        seconds.

    Sources
        proc_pid_stat(5) (read 2026-11). Five looks in a row is how gpud decides it (components/os, read 2026-11).
    """
    blocked = facts.texts("driver.blocked_processes")
    if blocked is None:
        return say.skipped("Nothing of NVIDIA is on this machine, so no process can hang in its driver.")
    if not blocked:
        return say.passed("No driver process is stuck in the kernel.")
    look = ("ps -eo pid,stat,wchan:32,etime,comm | awk '$2 ~ /D/'", KERNEL_LOG)
    if lasting := facts.texts("driver.blocked_lasting"):
        return say.failed(
            f"Stuck in the driver for {_SAMPLES} looks in a row, so the driver was not asked: {', '.join(lasting)}.",
            *facts.evidence("driver.blocked_processes", "driver.blocked_lasting"),
            safe=look,
            risky=("sudo reboot",),
        )
    return say.warned(
        f"Stuck in the kernel for a moment, perhaps waiting for a GPU that does not answer: {', '.join(blocked)}.",
        *facts.evidence("driver.blocked_processes"),
        safe=look,
        risky=("sudo reboot",),
    )


CHECKS = (dstate,)
