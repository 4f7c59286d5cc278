"""Checks of memory: sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .sys_words import GIB, MIB, gib, row, rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_LOW_SHARE = 0.10
_ENOUGH_BYTES = 8 * GIB
"""Free memory that is never called little, whatever the share (our proposal)."""


def _room(facts: Facts) -> tuple[float, float, str] | None:
    """Bytes that may be had, bytes of which that is a part, and whose: the control group's where that is tighter."""
    total, available = facts.number("mem.total_bytes"), facts.number("mem.available_bytes")
    if not total or available is None:
        return None
    available += facts.number("mem.zfs_cache_bytes") or 0.0
    group = row(facts, "memory.control_group")
    if group and group[0] < total and group[0] - group[1] < available:
        return max(0.0, float(group[0] - group[1])), float(group[0]), "this control group"
    return available, total, "this machine"


@check("sys.mem_available", level="instant", leads=("sys.swap",), not_on=("paste",))
def mem_available(facts: Facts, say: Verdict) -> Finding:
    """Memory is left for another process.

    What it finds
        A machine, container or job whose memory is nearly used up.

    Why it matters
        Loading a model takes its size in main memory first. What does not fit is killed by the kernel without a
        message from PyTorch.

    How it is decided
        Less than 10 % available warns where that is also less than 8 GiB (our proposal): 10 % of a large server is
        plenty. A control group with less left counts instead. The cache of ZFS counts as available.

    What to do
        See what uses it, or raise the limit of the container or job.

    Sources
        Linux kernel, filesystems/proc, MemAvailable, and admin-guide/cgroup-v2.
    """
    room = _room(facts)
    if room is None:
        return say.unknown(f"The memory was not read: {facts.why_not('mem.available_bytes')}.")
    available, total, whose = room
    evidence = (
        Evidence("available", int(available), "bytes", whose, needs=int(min(_LOW_SHARE * total, _ENOUGH_BYTES))),
        *facts.evidence("mem.total_bytes", "mem.available_bytes", "memory.control_group"),
    )
    if available < _LOW_SHARE * total and available < _ENOUGH_BYTES:
        return say.warned(
            f"{gib(available)} of the {gib(total)} of {whose} are left.",
            *evidence,
            safe=("ps -eo pid,user,rss,comm --sort=-rss | head", "raise the memory limit of the container or job"),
        )
    return say.passed(f"{gib(available)} of the {gib(total)} of {whose} are available.", *evidence)


_LEAST_RATIO = 0.25


@check("sys.mem_ratio", level="instant", needs=("nvml",), not_on=("paste", "jetson", "mig", "wsl"))
def mem_ratio(facts: Facts, say: Verdict) -> Finding:
    """Main memory is in proportion to the memory of the GPUs.

    What it finds
        A machine, container or job with far less main memory than its GPUs have.

    Why it matters
        Weights and batches pass through main memory, and pinned buffers and checkpoints stay there. With little of
        it, models that fit on the GPU can't be loaded.

    How it is decided
        Less than a quarter of the GPUs' memory warns (our proposal). Between that and the whole it passes and is
        told: many good cloud instances are built so. A control group's limit counts where it is lower.

    What to do
        Load weights with mmap or straight onto the GPU (safetensors), pin less, or take more memory.

    Sources
        The number is our proposal.
    """
    total = facts.number("mem.total_bytes")
    of_gpus = sum(gpu.memory_bytes or 0 for gpu in facts.gpus)
    if not total or not of_gpus:
        return say.unknown("The memory of the machine or of its GPUs was not read.")
    group = row(facts, "memory.control_group")
    limit = min(total, group[0]) if group else total
    evidence = (
        Evidence("main memory", int(limit), "bytes", "/proc/meminfo, control group"),
        Evidence("memory of the GPUs", of_gpus, "bytes", "nvml"),
    )
    said = f"{gib(limit)} of main memory for {gib(of_gpus)} of GPU memory"
    if limit < _LEAST_RATIO * of_gpus:
        return say.warned(
            f"Only {said}.",
            *evidence,
            safe=("load weights with mmap or onto the GPU, and pin less memory", "raise the limit of the container"),
        )
    return say.passed(f"{said}.", *evidence)


_LARGE_BLOCK = 2 * MIB
_FREE_SHARE = 0.10


@check("sys.fragmentation", level="instant", not_on=("paste", "container", "wsl"))
def fragmentation(facts: Facts, say: Verdict) -> Finding:
    """Free memory comes in large blocks too.

    What it finds
        A machine with plenty of free memory of which no block reaches 2 MiB.

    Why it matters
        Huge pages and large pinned buffers need memory in one piece. Without it allocations stall while the kernel
        moves pages, and pinning can fail.

    How it is decided
        /proc/buddyinfo of all zones: at least a tenth of the memory and 4 GiB free, and no free block of 2 MiB or
        more, warns (our proposal). A machine whose memory is merely in use passes.

    What to do
        Ask the kernel to move pages together. If that does not help, restart.

    Sources
        Linux kernel, filesystems/proc, buddyinfo, and admin-guide/sysctl/vm, compact_memory.
    """
    blocks, page = row(facts, "mem.free_blocks"), facts.number("mem.page_bytes")
    total = facts.number("mem.total_bytes")
    if not blocks or not page or not total:
        return say.unknown(f"Free blocks were not read: {facts.why_not('mem.free_blocks')}.")
    free = sum(count * page * 2**order for order, count in enumerate(blocks))
    large = sum(count * page * 2**order for order, count in enumerate(blocks) if page * 2**order >= _LARGE_BLOCK)
    if large == 0 and free >= max(_FREE_SHARE * total, 4 * GIB):
        return say.warned(
            f"{gib(free)} are free and none of it is in blocks of 2 MiB.",
            *facts.evidence("mem.free_blocks"),
            safe=("echo 1 | sudo tee /proc/sys/vm/compact_memory",),
            risky=("sudo reboot",),
        )
    return say.passed(f"{gib(large)} of {gib(free)} free memory are in blocks of 2 MiB and more.")


_RESERVED_SHARE = 0.25


@check(
    "sys.hugepages_thp",
    level="instant",
    needs=("gpu",),
    not_on=("paste", "container", "wsl"),
    leads=("sys.mem_available",),
)
def hugepages_thp(facts: Facts, say: Verdict) -> Finding:
    """No large part of the memory is set aside as huge pages that nobody uses.

    What it finds
        A reservation of huge pages, left from a database or a virtual machine, that lies idle.

    Why it matters
        Reserved huge pages are lost to everything that does not ask for them by name, and PyTorch does not.

    How it is decided
        More than a quarter of the memory reserved and free warns (our proposal). How transparent huge pages are set is
        told and not judged.

    What to do
        Give them back, if no service of this machine waits for them.

    Sources
        Linux kernel, admin-guide/mm/hugetlbpage and admin-guide/mm/transhuge.
    """
    total = facts.number("mem.total_bytes")
    if not total:
        return say.unknown(f"The memory was not read: {facts.why_not('mem.total_bytes')}.")
    unused = sum(size * free for size, _, free in rows(facts, "mem.huge_pages"))
    thp = facts.text("mem.thp")
    if unused > _RESERVED_SHARE * total:
        return say.warned(
            f"{gib(unused)} of {gib(total)} are set aside as huge pages that nobody uses.",
            Evidence("huge pages, unused", unused, "bytes", "/sys/kernel/mm/hugepages"),
            *facts.evidence("mem.huge_pages"),
            safe=("grep -i huge /proc/meminfo; sysctl vm.nr_hugepages", "sudo sysctl -w vm.nr_hugepages=0"),
        )
    return say.passed(f"{gib(unused)} are set aside as unused huge pages; transparent ones are on `{thp or '?'}`.")


_SWAPPED = 1 * GIB
_LITTLE = 0.20
_STALLED_PERCENT = 10.0


@check("sys.swap", level="instant", not_on=("paste", "container", "wsl"))
def swap(facts: Facts, say: Verdict) -> Finding:
    """The machine does not live from its swap.

    What it finds
        Pages that come back from swap all the time, or much swap in use while memory is short.

    Why it matters
        A data loader whose pages are on a disk is slower by orders of magnitude, and the GPU waits.

    How it is decided
        The kernel's pressure figures: all work waiting for memory during 10 % of the last minute, with swap in use,
        warns. So does more than 1 GiB in use while less than 20 % of the memory is available (our proposals). Swap
        that was used once and lies still is normal and passes.

    What to do
        See what needs the memory; add memory or run less at once.

    Sources
        Linux kernel, accounting/psi. The numbers are our proposals.
    """
    total, free = facts.number("swap.total_bytes"), facts.number("swap.free_bytes")
    if total is None or free is None:
        return say.unknown(f"Swap was not read: {facts.why_not('swap.total_bytes')}.")
    used, stalled = total - free, facts.number("mem.stalled_percent")
    evidence = facts.evidence("swap.total_bytes", "swap.free_bytes", "mem.available_bytes", "mem.stalled_percent")
    safe = ("vmstat 1 5", "ps -eo pid,user,rss,comm --sort=-rss | head")
    if used > 0 and stalled is not None and stalled >= _STALLED_PERCENT:
        return say.warned(
            f"All work waited for memory during {stalled:g} % of the last minute, with {gib(used)} of swap in use.",
            *evidence,
            safe=safe,
        )
    memory, available = facts.number("mem.total_bytes") or 0, facts.number("mem.available_bytes")
    if used > _SWAPPED and available is not None and available < _LITTLE * memory:
        return say.warned(
            f"{gib(used)} of swap are in use and {gib(available)} of memory are available.", *evidence, safe=safe
        )
    return say.passed(f"{gib(used)} of {gib(total)} swap are in use.", *evidence)


_LEAST_SHM = 0.25
_FULL_SHM = 0.10


@check("sys.shm", level="instant", needs=("gpu",), not_on=("paste", "container", "wsl"))
def shm(facts: Facts, say: Verdict) -> Finding:
    """Shared memory has its usual size and room.

    What it finds
        A /dev/shm of a host that was mounted small or is full of what killed programs left there.

    Why it matters
        Data workers hand batches over through it and NCCL its buffers; both die with a bus error or "unable to open
        shared memory object" when it is full.

    How it is decided
        A size below a quarter of the memory warns, half of the default of the kernel. So does less than 10 % free.
        Containers have a check of their own, ctr.shm.

    What to do
        Remount it larger, or remove files that no process has open.

    Sources
        Linux kernel, filesystems/tmpfs, size=; PyTorch documentation, multiprocessing.
    """
    room, memory = row(facts, "shm.space"), facts.number("mem.total_bytes")
    if room is None or not memory:
        return say.unknown(f"The room in /dev/shm was not read: {facts.why_not('shm.space')}.")
    total, free = room
    left = int(facts.number("shm.left_behind") or 0)
    evidence = (Evidence("size", total, "bytes", "/dev/shm"), Evidence("free", free, "bytes", "/dev/shm"))  # noqa: S108 -- its name
    if free < _FULL_SHM * total:
        return say.warned(
            f"Shared memory in /dev/shm has {gib(free)} of {gib(total)} left; {left} files of GPU programs lie there.",
            *evidence,
            *facts.evidence("shm.left_behind"),
            safe=("ls -lhS /dev/shm | head; sudo fuser -v /dev/shm/*",),
        )
    if total < _LEAST_SHM * memory:
        return say.warned(
            f"Shared memory in /dev/shm has {gib(total)} on a machine with {gib(memory)}; the default is half.",
            *evidence,
            safe=("sudo mount -o remount,size=50% /dev/shm", "grep shm /etc/fstab"),
        )
    return say.passed(f"Shared memory in /dev/shm has {gib(free)} of {gib(total)} free.", *evidence)


CHECKS = (hugepages_thp, mem_available, mem_ratio, fragmentation, shm, swap)
