"""Checks of filesystems and drives: sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted
from .sys_words import rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})


@check("sys.disk_rw", level="instant", not_on=("paste",))
def disk_rw(facts: Facts, say: Verdict) -> Finding:
    """The filesystems can be written.

    What it finds
        A filesystem that the kernel made read-only after an error, one that counted errors, and a folder for temporary
        files in which nothing can be written.

    Why it matters
        A drive that fails shows here first. What is written then is lost or damaged, checkpoints included.

    How it is decided
        A filesystem of a drive that is read-only although /etc/fstab mounts it writable fails. Errors that ext4 counted
        in its superblock warn: they stay until fsck clears them. At level standard 1 MiB is written, flushed, read
        again and removed where temporary files go; that fails when it does not work.

    What to do
        Save what matters, look at the drive (sys.nvme, smartctl), and run fsck while it is not mounted.

    Sources
        Linux kernel, admin-guide/ext4, errors=remount-ro and errors_count.
    """
    turned = [one for one in rows(facts, "disk.mount") if one[1] in _LOCAL and one[3] and one[4]]
    if turned:
        names = ", ".join(one[0] for one in turned)
        return say.failed(
            f"Read-only although /etc/fstab mounts it writable: {names}.",
            *(Evidence(one[0], "read-only", source="/proc/self/mountinfo", needs="writable") for one in turned),
            safe=("sudo dmesg | grep -iE 'remount|I/O error|EXT4-fs error|XFS' | tail",),
            risky=("save the data, then check the filesystem while it is not mounted: sudo fsck -f <device>",),
        )
    written = facts.text("disk.write_test")
    if facts.was_looked_at("disk.write_test") and not (written or "").startswith("wrote"):
        why = written or facts.why_not("disk.write_test")
        return say.failed(
            f"Nothing can be written where temporary files go: {why}.",
            *facts.evidence("disk.write_test"),
            safe=("df -h ${TMPDIR:-/tmp}; ls -ld ${TMPDIR:-/tmp}", "TMPDIR=/another/folder gpusetup up"),
        )
    errors = [one for one in rows(facts, "disk.ext4_errors") if one[1]]
    if errors and not facts.is_any("container"):
        return say.warned(
            f"ext4 counted {counted(errors[0][1], 'error')} on {errors[0][0]} since its last check.",
            *facts.evidence("disk.ext4_errors"),
            safe=(f"sudo dmesg | grep -i {errors[0][0]} | tail", f"sudo dumpe2fs -h /dev/{errors[0][0]} | grep -i err"),
            risky=(f"sudo fsck -f /dev/{errors[0][0]}    (while it is not mounted)",),
        )
    if not facts.was_looked_at("disk.place"):
        return say.unknown("The mounts are not among these facts.")
    return say.passed("No filesystem was turned read-only.", *facts.evidence("disk.write_test"))


_WORN_PERCENT = 100


@check("sys.nvme", level="quick", not_on=("paste", "container", "wsl"), leads=("sys.disk_rw",))
def nvme(facts: Facts, say: Verdict) -> Finding:
    """The NVMe drives answer and call themselves healthy.

    What it finds
        A drive that the kernel gave up, and one whose own record shows a critical warning, media errors or wear.

    Why it matters
        A drive that drops out takes data sets and checkpoints with it, or only half of the speed of its RAID.

    How it is decided
        The state `dead` in sysfs fails. So does a critical warning in the drive's SMART log, which nvme-cli reads for
        root. Media errors, counted over the drive's life, and 100 % of its rated wear warn. Without root the state
        alone is judged.

    What to do
        Save what is on it and replace it.

    Sources
        NVM Express base specification 2.0, SMART / Health Information log; Linux kernel, drivers/nvme/host.
    """
    states, health = rows(facts, "nvme.state"), rows(facts, "nvme.health")
    if not states:
        return say.skipped("The machine has no NVMe drive.")
    dead = [name for name, state in states if state == "dead"]
    warned = [one for one in health if one[1]]
    if dead or warned:
        name = dead[0] if dead else warned[0][0]
        what = "does not answer any more" if dead else f"gives a critical warning ({warned[0][1]:#04x})"
        return say.failed(
            f"The drive {name} {what}.",
            *facts.evidence("nvme.state", "nvme.health"),
            safe=(f"sudo nvme smart-log /dev/{name}", f"sudo dmesg | grep {name} | tail"),
            risky=("save what is on it, and replace the drive",),
        )
    worn = [one for one in health if (one[3] or 0) > 0 or (one[2] or 0) >= _WORN_PERCENT]
    if worn:
        name, _, percent, errors = worn[0]
        return say.warned(
            f"The drive {name} counted {errors or 0} media errors and is worn to {percent or 0} %.",
            *facts.evidence("nvme.health"),
            safe=(f"sudo nvme smart-log /dev/{name}", "plan its replacement"),
        )
    read = f"and {len(health)} say that they are healthy" if health else "; their SMART log was not read"
    return say.passed(f"{counted(len(states), 'NVMe drive')} there {read}.", *facts.evidence("nvme.health"))


@check("sys.nfs_hang", level="quick", leads=("sys.disk_rw", "sys.disk_free"), not_on=("paste",))
def nfs_hang(facts: Facts, say: Verdict) -> Finding:
    """Every network filesystem answers.

    What it finds
        A mounted network filesystem whose server does not answer.

    Why it matters
        Whatever touches it waits and can't be killed: an install, a training with its data there, even `df`.

    How it is decided
        Each mount of NFS, SMB, Lustre, Ceph and the like (at most 16) is asked for its room by a child that has 5 s.
        One without an answer fails. One that answers with an error, such as a stale handle, warns.

    What to do
        Look at the server and the network. A lazy unmount frees those who wait.

    Sources
        nfs(5), hard and soft mounts; umount(8), --lazy.
    """
    asked = facts.readings("disk.network_mount")
    if not asked:
        return say.skipped("No network filesystem is mounted.")
    bad = [(one.source.removeprefix("stat "), one.failure) for one in asked if one.failure]
    hung = [point for point, why in bad if why.startswith("no answer")]
    bad = [(point, why) for point, why in bad if any(word in why for word in _BROKEN)]
    evidence = facts.evidence("disk.network_mount")
    if hung:
        return say.failed(
            f"The network filesystem at {hung[0]} does not answer.",
            *evidence,
            safe=(f"findmnt {hung[0]}", "ping the server that findmnt names", "sudo dmesg | grep -i 'not responding'"),
            risky=(f"sudo umount --lazy {hung[0]}",),
        )
    if bad:
        return say.warned(
            f"The network filesystem at {bad[0][0]} gives an error: {bad[0][1]}.",
            *evidence,
            safe=(f"findmnt {bad[0][0]}; stat -f {bad[0][0]}",),
            risky=(f"sudo umount {bad[0][0]} && sudo mount {bad[0][0]}",),
        )
    return say.passed(f"{counted(len(asked), 'network filesystem')} answered.", *evidence)


_BROKEN = ("Stale file handle", "Input/output error", "Transport endpoint", "Host is down", "Connection", "No route")
"""Errors of a mount that is broken. Others are not its fault: a FUSE mount of a user answers nobody else, nor root."""

CHECKS = (nfs_hang, nvme, disk_rw)
