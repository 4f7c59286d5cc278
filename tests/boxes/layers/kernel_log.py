"""What the kernel_log probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.detect.probes.kernel_log import JOURNAL
from tests.boxes import NOW
from tests.boxes.layers.pci import is_virtual

if TYPE_CHECKING:
    from tests.boxes import Box

UPTIME_S = 9 * 86400.0
BOOTED = NOW - UPTIME_S

ORDINARY = (
    "Linux version 6.8.0-79-generic (gcc 13.3.0)",
    "Command line: BOOT_IMAGE=/vmlinuz root=UUID=1 ro quiet",
    "pci 0000:00:1f.0: BAR 13: no space for [io size 0x1000]",
    "nvidia: loading out-of-tree module taints kernel.",
    "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build",
    "NVRM: Persistence mode is deprecated and will be removed in a future release.",
    "EXT4-fs (nvme0n1p2): re-mounted 0000 r/w. Quota mode: none.",
    "mce: CPU3: Core temperature above threshold, cpu clock throttled",
)
BROWSER = (
    'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="snap.firefox.firefox"'
    ' name="/proc/driver/nvidia/params" pid=7 comm="firefox" requested_mask="r" denied_mask="r"'
)


def journal(box: Box, *messages: str | tuple[float, str]) -> Box:
    """The kernel log with more messages: a text of an hour ago, or (seconds ago, text)."""
    found = [(UPTIME_S - number, text) for number, text in enumerate(ORDINARY)]
    found += [(3600.0 - number, one) if isinstance(one, str) else one for number, one in enumerate(messages)]
    lines = (f"{NOW - ago:.6f} {box.name} kernel: {text}" for ago, text in sorted(found, reverse=True))
    return box.command(JOURNAL, "\n".join([*lines, ""]))


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    box.file("/proc/uptime", f"{UPTIME_S} 1.0\n")
    if box.name == "c0ffee123456":  # a container reads no kernel log
        box.file("/sys/fs/cgroup/memory.events", "low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\n")
        box.command("dmesg", returncode=1, stderr="dmesg: read kernel buffer failed: Operation not permitted\n")
        return
    if box.name == "laptop":
        box.command(
            "dmesg", "[    0.000000] Linux version 5.15.167.4-microsoft-standard-WSL2\n[    1.2] PM: suspend exit\n"
        )
        return
    extra: tuple[str | tuple[float, str], ...] = ()
    if box.name == "rtx5090":
        extra = (BROWSER, "PM: suspend exit", (500000.0, "Out of memory: Killed process 11 (chrome) total-vm:1kB"))
    if box.name == "rtx3090-p40":
        extra = ("NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=python3, Ch 00000010, intr 00000000. MMU Fault",)
    journal(box, *extra)
    box.folder("/sys/fs/pstore")
    if not is_virtual(box):
        for number in range(2):
            folder = f"/sys/devices/system/edac/mc/mc{number}"
            box.file(f"{folder}/ce_count", "4\n").file(f"{folder}/ue_count", "0\n")
            box.file(f"{folder}/dimm0/dimm_label", "CPU_SrcID#0_MC#0_Chan#0_DIMM#0\n")
            box.file(f"{folder}/dimm0/dimm_ce_count", "4\n")
