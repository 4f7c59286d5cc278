"""Sick machines of the area kernel_log."""

from __future__ import annotations

from provision.checks.facts import Rate
from provision.detect.probes.kernel_log import JOURNAL
from tests.boxes import NOW, healthy
from tests.boxes.layers.kernel_log import journal

from . import Case

DAY_S = 86400.0
_FALLEN = "NVRM: Xid (PCI:0000:52:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
_OVER_THREE_LINES = """NVRM: The NVIDIA GPU 0000:41:00.0
               NVRM: (PCI ID: 10de:26b9) installed in this system has
               NVRM: fallen off the bus and is not responding to commands."""
_SELINUX = (
    'audit: type=1400 audit(1.2:5406): avc:  denied  { read } for  pid=2077683 comm="nvidia-smi" name="params"'
    ' dev="tmpfs" scontext=system_u:system_r:container_t:s0:c10,c25 tcontext=system_u:object_r:xserver_misc_device_t:s0'
    " tclass=chr_file permissive=0"
)
_APPARMOR = (
    'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="docker-default" name="/dev/nvidiactl"'
    ' pid=7 comm="python3" requested_mask="rw" denied_mask="rw"'
)


def _lost(box, index, bus, *messages):
    """A GPU that NVML no longer answers for, and what the log says."""
    return journal(box.nvml(**{f"{index}.err.*": 15}), *messages)


def _xid(box, bus_id, text):
    return journal(box, f"NVRM: Xid (PCI:{bus_id}): {text}")


def _minutes(box, *names, count=12):
    """An Xid 31 in `count` different minutes, of programs in turn."""

    def line(number):
        name = names[number % len(names)]
        return f"NVRM: Xid (PCI:0000:41:00): 31, pid={number}, name={name}, MMU Fault: faulted @ 0x7f12_34560000"

    lines = ((120.0 + 600 * number, line(number)) for number in range(count))
    return journal(box, *lines)


def _crashed():
    return healthy.l40s().file("/sys/fs/pstore/dmesg-efi_pstore-1", "Panic#1 Part1")


def _not_root():
    box = healthy.l40s()
    box.command(JOURNAL, stderr="No journal files were opened due to insufficient permissions.\n", returncode=1)
    return box.command("dmesg", returncode=1, stderr="dmesg: read kernel buffer failed: Operation not permitted\n")


def _audit_log():
    line = _SELINUX.replace("audit: type=1400 audit(1.2:5406):", f"{NOW - 60:.3f} kernel:")
    return healthy.v100().answer("denials of /var/log/audit/audit.log", [f"# read 1\n{line}\n", None])


CASES: tuple[Case, ...] = (
    # --- kernel.xid_fatal
    Case(
        "xid-79",
        lambda: _lost(healthy.h100x8(), 2, "52", _FALLEN, "NVRM: GPU 0000:52:00.0: GPU has fallen off the bus."),
        "kernel.xid_fatal",
        pitfall=("fallen-off-bus", "gpu-count-short"),
        says=("Xid 79", "GPU lost from the bus", "0000:52:00.0"),
    ),
    Case(
        "fallen-without-an-xid",
        lambda: _lost(
            healthy.l40s(),
            0,
            "41",
            _OVER_THREE_LINES,
        ),
        "kernel.xid_fatal",
        pitfall=("fallen-off-bus",),
        says=("0000:41:00.0 has fallen off the bus",),
    ),
    Case(
        "hotplug-drops-the-gpu",
        lambda: _lost(
            healthy.rtx5090(),
            0,
            "01",
            "pcieport 0000:00:01.0: pciehp: Slot(0): Link Down",
            "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",
        ),
        "kernel.xid_fatal",
        pitfall=("pcie-hotplug-drops-gpu",),
        says=("hot-plug controller", "pciehp"),
    ),
    Case(
        "xid-48",
        lambda: _xid(healthy.h100x8(), "0000:1b:00", "48, pid=811, name=python, DBE (double bit error) ECC Error"),
        "kernel.xid_fatal",
        pitfall=("xid-48-dbe",),
        says=("memory error beyond repair",),
    ),
    Case(
        "xid-64",
        lambda: _xid(healthy.a100_mig(), "0000:01:00", "64, pid=811, Row Remapper Error: failed to record"),
        "kernel.xid_fatal",
        pitfall=("xid-64-row-remap-failure",),
    ),
    Case(
        "xid-95",
        lambda: _xid(healthy.a100_mig(), "0000:01:00 GPU-I:02", "95, pid=811, name=python, Uncontained: LTC TAG"),
        "kernel.xid_fatal",
        pitfall=("xid-95-uncontained",),
        says=("Xid 95", "0000:01:00.0"),
    ),
    Case(
        "xid-74",
        lambda: _xid(healthy.h100x8(), "0000:9d:00", "74, pid=811, NVLink: fatal error detected on link 3(0x0, 0x0)"),
        "kernel.xid_fatal",
        pitfall=("xid-74-nvlink",),
        says=("NVLink error",),
    ),
    Case(
        "xid-154",
        lambda: _xid(
            healthy.h100x8(),
            "0000:9d:00",
            "154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
        ),
        "kernel.xid_fatal",
        pitfall=("xid-154-recovery-action",),
    ),
    Case(
        "xid-119",
        lambda: _xid(
            healthy.l40s(),
            "0000:41:00",
            "119, pid=3, name=nvidia-smi, Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected 103",
        ),
        "kernel.xid_fatal",
        pitfall=("gsp-rpc-timeout",),
        says=("Xid 119",),
    ),
    Case(
        "xid-of-three-days-ago-and-the-gpu-answers",
        lambda: journal(healthy.l40s(), (3 * DAY_S, "NVRM: Xid (PCI:0000:41:00): 62, pid=3, name=python, halt")),
        "kernel.xid_fatal",
        "warn",
        says=("answers again", "3 days ago"),
    ),
    Case(
        "rminitadapter-failed",
        lambda: _lost(
            healthy.l40s(),
            0,
            "41",
            "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x23:0x65:1426)",
            "NVRM: GPU 0000:41:00.0: rm_init_adapter failed, device minor number 0",
        ),
        "kernel.xid_fatal",
        pitfall=("rminitadapter-failed",),
        says=("RmInitAdapter failed", "2 times"),
    ),
    Case(
        "wpr2-already-up",
        lambda: _lost(
            healthy.rtx5090(),
            0,
            "01",
            "NVRM: _kgspBootGspRm: unexpected WPR2 already up, cannot proceed with booting GSP",
            "NVRM: RmInitAdapter: Cannot initialize GSP firmware RM",
            "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x62:0x40:2028)",
        ),
        "kernel.xid_fatal",
        pitfall=("gsp-wpr2-already-up",),
        says=("WPR2 already up",),
    ),
    Case(
        "uvm-hmm",
        lambda: journal(
            healthy.l40s(),
            "nvidia-uvm: uvm_pmm_gpu.c:3176 devmem_alloc_pagemap[pid:812] request_free_mem_region() err -34",
        ),
        "kernel.xid_fatal",
        "warn",
        pitfall=("uvm-hmm-kaslr",),
        says=("address map",),
    ),
    Case(
        "vgpu-without-unified-memory",
        lambda: journal(healthy.t4(), "nvidia-uvm: UVM is not supported in legacy virtualization mode"),
        "kernel.xid_fatal",
        "warn",
        pitfall=("vgpu-uvm-unsupported",),
        says=("unified memory",),
    ),
    # --- kernel.xid_app
    Case(
        "page-faults-of-many-programs",
        lambda: _minutes(healthy.l40s(), "python3", "vllm"),
        "kernel.xid_app",
        "warn",
        pitfall=("illegal-memory-access",),
        says=("Xid 31", "12 different minutes"),
    ),
    Case(
        "xid-94",
        lambda: _xid(healthy.a100_mig(), "0000:01:00", "94, pid=811, name=python, Contained: LTC TAG"),
        "kernel.xid_app",
        "warn",
        pitfall=("xid-94-contained",),
        says=("one program hit",),
    ),
    Case(
        "xid-63",
        lambda: _xid(
            healthy.h100x8(),
            "0000:1b:00",
            "63, pid=1896, Row Remapper: New row marked for remapping, reset gpu to activate.",
        ),
        "kernel.xid_app",
        "warn",
        pitfall=("xid-63-row-remap-pending",),
        says=("next pause",),
    ),
    Case(
        "crash-in-nccl",
        lambda: journal(
            healthy.h100x8(),
            "python3[4711]: segfault at 0 ip 00007f12 sp 00007ffd error 4 in libnccl.so.2.21.5[7f12+3c000]",
        ),
        "kernel.xid_app",
        "warn",
        pitfall=("nccl-lib-segfault",),
        says=("python3 crashed inside NCCL",),
    ),
    # --- kernel.sxid
    Case(
        "sxid-fatal",
        lambda: journal(
            healthy.h100x8(),
            "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 30 LTSSM Fault Up",
            "NVRM: Xid (PCI:0000:9d:00): 74, pid=811, NVLink: fatal error detected on link 3(0x0, 0x0)",
        ),
        "kernel.sxid",
        pitfall=("nvswitch-trunk-or-sxid",),
        says=("SXid 20034", "0000:05:00.0"),
    ),
    Case(
        "sxid-not-fatal",
        lambda: journal(
            healthy.h100x8(),
            "nvidia-nvswitch3: SXid (PCI:0000:06:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)",
        ),
        "kernel.sxid",
        "warn",
        says=("not fatal",),
    ),
    Case(
        "sxid-that-only-a-restart-mends",
        lambda: journal(
            healthy.h100x8(), (5 * DAY_S, "nvidia-nvswitch1: SXid (PCI:0000:05:00.0): 12020, Fatal, Link 01 seq error")
        ),
        "kernel.sxid",
    ),
    # --- kernel.nvrm_unknown, hung tasks, memory, crashes, denials
    Case(
        "driver-that-floods-the-log",
        lambda: journal(healthy.l40s(), *(f"NVRM: something odd happened {number}" for number in range(1001))),
        "kernel.nvrm_unknown",
        "warn",
        says=("1001 lines",),
    ),
    Case(
        "driver-hangs",
        lambda: journal(healthy.l40s(), "INFO: task nvidia-modeset/:811 blocked for more than 122 seconds."),
        "kernel.hung_task",
        says=("nvidia-modeset/",),
    ),
    Case(
        "mount-hangs",
        lambda: journal(healthy.l40s(), "INFO: task python3:811 blocked for more than 122 seconds."),
        "kernel.hung_task",
        "warn",
    ),
    Case(
        "soft-lockup",
        lambda: journal(healthy.cpu_only(), "watchdog: BUG: soft lockup - CPU#12 stuck for 26s! [kworker/12:1:811]"),
        "kernel.hung_task",
        "warn",
    ),
    Case(
        "killed-for-memory",
        lambda: journal(
            healthy.l40s(),
            "Memory cgroup out of memory: Killed process 4711 (pt_data_worker) total-vm:1kB, anon-rss:1kB",
        ),
        "kernel.oom",
        "warn",
        says=("pt_data_worker", "control group"),
    ),
    Case(
        "container-at-its-limit",
        lambda: healthy.container().file("/sys/fs/cgroup/memory.events", "max 3\noom 2\noom_kill 2\n"),
        "kernel.oom",
        "warn",
        says=("2 programs",),
    ),
    Case("crashed-before", _crashed, "kernel.panic_prev", "warn", says=("1 record",)),
    Case(
        "selinux-denies-a-container",
        lambda: journal(healthy.v100(), _SELINUX),
        "sys.lsm",
        "warn",
        pitfall=("selinux-nvml",),
        says=("SELinux", "nvidia-smi"),
    ),
    Case("selinux-denial-in-the-audit-log", _audit_log, "sys.lsm", "warn", says=("SELinux",)),
    Case(
        "apparmor-denies-a-container", lambda: journal(healthy.l40s(), _APPARMOR), "sys.lsm", "warn", says=("AppArmor",)
    ),
    Case(
        "memory-beyond-repair",
        lambda: healthy.h100x8().file("/sys/devices/system/edac/mc/mc1/ue_count", "1\n"),
        "sys.mce_edac",
        says=("1 error",),
    ),
    Case(
        "memory-repairs-many",
        lambda: healthy.h100x8().given(rates={"edac.mc0.corrected": Rate(10.0, 3600.0)}),
        "sys.mce_edac",
        "warn",
        says=("CPU_SrcID#0",),
    ),
    Case(
        "memory-repairs-many-since-boot",
        lambda: healthy.h100x8().file("/sys/devices/system/edac/mc/mc0/ce_count", "900\n"),
        "sys.mce_edac",
        "warn",
    ),
    # The log is closed to this user: unknown, and the healthy rest stays silent.
    Case("nothing-but-a-fault-when-the-log-is-closed", lambda: _not_root().without("/dev/nvidia-uvm"), "driver.uvm"),
)
