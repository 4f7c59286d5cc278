"""Checks of what the kernel says of the machine around the GPUs: crashes, kills, hung tasks, denials, main memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .base import Check, check, counted, from_a_warning_too
from .log_lines import DAY_S, lines, recent, told, when, why_no_log
from .remedies import KERNEL_LOG, family

if TYPE_CHECKING:
    from ..records import Evidence, Finding
    from .base import Facts, Verdict
    from .log_lines import Line

# Threads of the driver and its own programs: nvidia-smi, nvidia-modeset/kthread_q, nv_queue, irq/64-nvidia, UVM GPU1 BH
_DRIVER_TASK = re.compile(r"nvidia|^nv_|^UVM ")


@check("kernel.hung_task", level="quick", leads=("driver.query_latency",))
def hung_task(facts: Facts, say: Verdict) -> Finding:
    """No task of the kernel hangs.

    What it finds
        Programs that waited in the kernel for minutes, and processors that got stuck.

    Why it matters
        A task of the driver that hangs takes nvidia-smi and every CUDA program with it. Other hung tasks point at
        disks or network mounts that data comes from.

    How it is decided
        Lines of the last 24 hours ("blocked for more than", "soft lockup"). A task of the driver fails, any other
        warns. Older lines are only mentioned.

    What to do
        Read what the task waits for (the trace below the line). A hung driver needs a reset of the GPU, most often a
        restart; a hung mount needs its server.

    Sources
        Linux, kernel/hung_task.c and lockup watchdogs; gpud's matcher of kernel messages (read 2026-11).
    """
    if skipped := why_no_log(facts, say):
        return skipped
    found = (*lines(facts, "hung_task"), *lines(facts, "soft_lockup"))
    new = recent(facts, found)
    driver = tuple(line for line in new if line.process and _DRIVER_TASK.search(line.process))
    if driver:
        return say.failed(
            f"A task of the driver hung in the kernel: {_names(driver)}{when(facts, driver[-1])}.",
            *told(driver),
            safe=(KERNEL_LOG, "ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /D/'"),
            risky=("sudo reboot",),
        )
    if new:
        return say.warned(
            f"Tasks hung in the kernel: {_names(new)}{when(facts, new[-1])}.",
            *told(new),
            safe=("ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /D/'", "sudo journalctl -k -b --grep 'blocked for more'"),
        )
    if found:
        return say.passed(f"{counted(len(found), 'task')} hung since the machine started, none today.", *told(found))
    return say.passed("No task hung since the machine started.", *facts.evidence("kernel.log"))


def _names(found: tuple[Line, ...]) -> str:
    return ", ".join(dict.fromkeys(line.process or "a processor" for line in found))


@check("kernel.oom", level="quick")
def oom(facts: Facts, say: Verdict) -> Finding:
    """No program was killed for want of memory.

    What it finds
        Kills by the kernel, of the whole machine or of a control group such as a container's.

    Why it matters
        A training whose data loader or rank was killed ends with a message that names everything but memory, or hangs.

    How it is decided
        A kill within the last 24 hours warns, an older one is mentioned. Inside of a container its own count of kills
        (memory.events) warns when it is above 0 and the log can't be read, or grew since the last run.

    What to do
        Fewer data loader workers, pinned buffers and prefetching; a higher limit of the container; more memory.

    Sources
        Linux, mm/oom_kill.c; control group v2, memory.events (read 2026-11).
    """
    found = lines(facts, "oom")
    new = recent(facts, found)
    advice = (
        "lower num_workers and prefetch_factor of the data loader",
        "free --gibi; cat /sys/fs/cgroup/memory.max",
    )
    if new:
        names = ", ".join(dict.fromkeys(line.process or "a program" for line in new))
        limit = " (the limit of a control group)" if any("cgroup" in line.texts[0] for line in new) else ""
        return say.warned(f"Killed for want of memory{limit}: {names}{when(facts, new[-1])}.", *told(new), safe=advice)
    kills, rate = facts.number("kernel.cgroup_oom_kills"), facts.rate("kernel.cgroup_oom_kills")
    is_new = rate.delta > 0 if rate else facts.value("kernel.log") is None
    if kills and is_new:
        return say.warned(
            f"The limit of this container had {kills:.0f} programs killed.",
            *facts.evidence("kernel.cgroup_oom_kills"),
            safe=advice,
        )
    if skipped := why_no_log(facts, say):
        return (
            say.passed("No program of this container was killed.", *facts.evidence("kernel.cgroup_oom_kills"))
            if (kills == 0)
            else skipped
        )
    if found:
        return say.passed(f"Programs were killed for want of memory{when(facts, found[-1])}.", *told(found))
    return say.passed("No program was killed for want of memory since the machine started.")


_FRESH_S = 7 * DAY_S
"""How long a saved record of a crash is worth a word. Our proposal."""


@check("kernel.panic_prev", level="instant", not_on=("container", "paste"))
def panic_prev(facts: Facts, say: Verdict) -> Finding:
    """The machine did not crash lately.

    What it finds
        Records that the kernel left in persistent memory when it crashed, and those that systemd moved to disk.

    Why it matters
        A machine that crashed under load will do so again, in the middle of a training.

    How it is decided
        Any record that still is in /sys/fs/pstore warns, and one in /var/lib/systemd/pstore of the last seven days
        (our proposal). The last words of the console (console-ramoops and the like), which Jetsons and others keep over
        every restart, are no record of a crash. Folders that only root may list leave it unknown.

    What to do
        Read the record: a machine check points at hardware, a trace through nvidia at the driver. Then remove it, so
        that the next one has room.

    Sources
        Linux, admin-guide/pstore-blk and ramoops; systemd-pstore.service (read 2026-11).
    """
    if not facts.was_looked_at("kernel.crash_records"):
        return say.skipped("This kernel keeps no records of crashes.")
    now = facts.context.now
    new: list[Evidence] = []
    for reading, shown in zip(
        facts.readings("kernel.crash_record"), facts.evidence("kernel.crash_record"), strict=True
    ):
        at = reading.value[1] if isinstance(reading.value, tuple) and len(reading.value) > 1 else None
        is_old = now is not None and isinstance(at, (int, float)) and now - at > _FRESH_S
        if reading.source.startswith("/sys/fs/pstore/") or not is_old:
            new.append(shown)
    if new:
        return say.warned(
            f"The kernel crashed before: {counted(len(new), 'record')} of it is kept."
            if len(new) == 1
            else f"The kernel crashed before: {counted(len(new), 'record')} of it are kept.",
            *new,
            safe=("sudo ls -l /sys/fs/pstore /var/lib/systemd/pstore", "sudo less /var/lib/systemd/pstore/*/dmesg.txt"),
        )
    failed = tuple(one for one in facts.readings("kernel.crash_records") if one.failure)
    if failed and len(failed) == len(facts.readings("kernel.crash_records")):
        return say.unknown(
            f"Records of crashes could not be listed ({failed[0].failure}); run `sudo gpusetup check`.",
            *facts.evidence("kernel.crash_records"),
        )
    return say.passed("No record of a crash is kept.", *facts.evidence("kernel.crash_records"))


# Who is denied: a container of any engine, or a program of NVIDIA. A browser that may not see the driver is no fault.
_CONTAINER = re.compile(
    r"scontext=\S*(?:container|spc_t|docker|svirt|kubernetes)|"
    r'profile="(?:docker|containers-default|cri-containerd|crio|lxc|snap\.docker|libpod)'
)
_OWN_PROGRAM = re.compile(r'comm="nvidia-(?:smi|container|ctk|cdi|persist|fabric|modprobe)')
_SNAP_APPLICATION = re.compile(r'profile="(?:snap\.(?!docker)|/usr/lib/snapd|firefox|chrom)')


@check(
    "sys.lsm",
    level="quick",
    leads=("driver.nvml_init", "driver.device_nodes", "ctr.smoke", "cuda.init"),
    explains=from_a_warning_too,
)
def lsm(facts: Facts, say: Verdict) -> Finding:
    """SELinux and AppArmor let containers and NVIDIA's programs use the GPU.

    What it finds
        Denials in the kernel log or the audit log that name NVIDIA's devices, files or programs.

    Why it matters
        A container then sees the device nodes and can't open them: "Failed to initialize NVML: Insufficient
        Permissions" though every mode bit is right.

    How it is decided
        Denials of the last 24 hours warn when a container or one of NVIDIA's own programs was denied. Desktop
        programs in a sandbox that look at the driver's files are left out. With the audit daemon running, denials go
        to /var/log/audit/audit.log, which root alone may read.

    What to do
        SELinux: the boolean container_use_devices, or label=disable for that one container. AppArmor: look which
        profile denied, and let it have the device.

    Sources
        NVIDIA Container Toolkit, troubleshooting; container-selinux (read 2026-11).
    """
    found = recent(facts, lines(facts, "lsm"))
    denied = tuple(
        line
        for line in found
        if any(
            (_CONTAINER.search(text) or _OWN_PROGRAM.search(text)) and not _SNAP_APPLICATION.search(text)
            for text in line.texts
        )
    )
    if denied:
        is_selinux = "avc:" in denied[0].texts[0]
        who = "SELinux" if is_selinux else "AppArmor"
        safe = ["sudo ausearch -m avc -ts recent | grep nvidia" if is_selinux else "sudo aa-status"]
        if is_selinux and family(facts.machine) in ("rhel", "suse"):
            safe.append("sudo setsebool -P container_use_devices on")
        if is_selinux:
            safe.append("run that container with --security-opt=label=disable")
        names = ", ".join(dict.fromkeys(line.process or "a program" for line in denied))
        return say.warned(
            f"{who} denied {names} the GPU's files{when(facts, denied[-1])}.", *told(denied), safe=tuple(safe)
        )
    if facts.failure("kernel.audit_log"):
        return say.unknown(
            f"Denials could not be read ({facts.why_not('kernel.audit_log')}); run `sudo gpusetup check`.",
            *facts.evidence("kernel.audit_log"),
        )
    if facts.value("kernel.audit_log") is None and (skipped := why_no_log(facts, say)):
        return skipped
    return say.passed("No denial that concerns a GPU.", *facts.evidence("kernel.audit_log"))


_CORRECTED = 9
"""Corrected errors of one memory controller in a period that are still usual (NHC, check_hw_mcelog)."""


@check("sys.mce_edac", level="instant", not_on=("paste",))
def mce_edac(facts: Facts, say: Verdict) -> Finding:
    """Main memory has no errors beyond repair, and few repaired ones.

    What it finds
        Counts of the memory controllers since the machine started.

    Why it matters
        Errors beyond repair crash programs or the machine; many repaired ones come before them.

    How it is decided
        One error beyond repair fails. More than 9 repaired ones of one controller since the last run of this boot warn,
        or, without a last run, more than 9 per day since the machine started.

    What to do
        Replace the memory module that is named; the machine's own log (ipmitool sel list) names its slot.

    Sources
        Linux, EDAC in sysfs (driver-api/edac); NHC, check_hw_mcelog (read 2026-11).
    """
    broken, many, counts = [], [], []
    now, started = facts.context.now, facts.number("kernel.boot_time")
    days = max(1.0, (now - started) / DAY_S) if now is not None and started is not None else 1.0
    for reading in facts.machine.readings:
        if not re.fullmatch(r"edac\.mc\d+\.(?:un)?corrected", reading.name) or not isinstance(reading.value, int):
            continue
        counts.append(reading.name)
        rate = facts.rate(reading.name)
        if reading.name.endswith(".uncorrected"):
            if reading.value > 0:
                broken.append(reading.name)
        elif (rate.delta if rate else reading.value / days) > _CORRECTED:
            many.append(reading.name)
    modules = facts.evidence("edac.module")
    safe = ("grep -H . /sys/devices/system/edac/mc/mc*/dimm*/dimm_[cu]e_count", "sudo ipmitool sel list | tail -n 20")
    if broken:
        total = sum(facts.number(name) or 0 for name in broken)
        return say.failed(
            f"Main memory had {counted(int(total), 'error')} beyond repair since the machine started.",
            *facts.evidence(*broken),
            *modules,
            safe=safe,
            risky=("take the machine out of service and replace the memory module",),
        )
    if many:
        rate = facts.rate(many[0])
        number = rate.delta if rate else facts.number(many[0]) or 0
        since = "the last run" if rate else "the machine started"
        return say.warned(
            f"Main memory repaired {number:.0f} errors since {since}.", *facts.evidence(*many), *modules, safe=safe
        )
    if not counts:
        if failed := next(
            (one for one in facts.machine.readings if one.name.startswith("edac.mc") and one.failure), None
        ):
            return say.unknown(f"The counters of main memory could not be read: {failed.failure}.")
        return say.skipped("This kernel shows no memory controller.")
    return say.passed("Main memory has no errors that matter.", *facts.evidence(*counts))


CHECKS: tuple[Check, ...] = (mce_edac, hung_task, oom, panic_prev, lsm)
