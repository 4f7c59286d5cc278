from __future__ import annotations

import pytest

from provision.detect.kernel_lines import KernelLog, kept, kind_of, parse_kernel_log, records
from provision.detect.probes.kernel_log import audit_lines

NOW = 1_795_000_000.0
BOOTED = NOW - 5000.0


_RSYSLOG = (
    "Nov 23 16:59:01 box kernel: [ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0#012NVRM: (PCI ID: 10de:26b5)"
    " installed in this system has#012NVRM: fallen off the bus and is not responding to commands."
)


def parsed(*lines: str, booted_at: float | None = BOOTED) -> KernelLog:
    return parse_kernel_log("\n".join(lines), booted_at=booted_at, now=NOW)


def journal(text: str, ago: float = 60.0) -> str:
    return f"{NOW - ago:.6f} host kernel: {text}"


@pytest.mark.parametrize(
    ("text", "code", "device", "process", "said"),
    [
        (
            "NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
            79,
            "0000:05:00.0",
            (),
            "GPU has fallen off the bus.",
        ),
        (
            "NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.",
            79,
            "0000:44:00.0",
            (),
            "GPU has fallen off the bus.",
        ),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", 14, "0000:03:00.0", (), "Channel 00000001"),
        (
            "NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=python3, Ch 00000010, intr 00000000. MMU Fault",
            31,
            "0000:01:00.0",
            ("python3",),
            "Ch 00000010, intr 00000000. MMU Fault",
        ),
        (
            "NVRM: Xid (PCI:0000:D8:00 GPU-I:02): 94, pid=811, name=my job, Contained: LTC TAG",
            94,
            "0000:d8:00.0",
            ("my job",),
            "Contained: LTC TAG",
        ),
        ("NVRM: Xid (PCI:0018:01:00): 149, NETIR_LINK_EVT  Fatal   XC0 i0", 149, "0018:01:00.0", (), None),
        ("NVRM: Xid (PCI:0000:10:1c): 63, pid=1896, Row Remapper: New row marked", 63, "0000:10:1c.0", (), None),
        ("NVRM: Xid (PCI:0000:01:00): 43", 43, "0000:01:00.0", (), ""),
    ],
)
def test_every_form_of_an_xid_line(text, code, device, process, said):
    (found,) = parsed(journal(text)).counted
    assert (found.kind, found.code, found.device, found.processes) == ("xid", code, device, process)
    assert (found.count, found.first, found.last, found.minutes) == (1, NOW - 60, NOW - 60, 1)
    if said is not None:
        assert found.texts == (said,)


def test_one_xid_per_code_and_device():
    def line(ago, bus, name, address):
        return journal(
            f"NVRM: Xid (PCI:0000:{bus}:00): 31, pid={int(ago)}, name={name}, faulted @ 0x7f_{address}0000", ago
        )

    log = parsed(
        line(90000, "01", "a", 1111), line(3000, "01", "a", 2222), line(60, "01", "b", 3333), line(50, "02", "b", 4)
    )
    first, second = log.counted
    assert (first.device, first.processes, first.count) == ("0000:01:00.0", ("a", "b"), 3)
    assert (first.first, first.last, first.minutes) == (NOW - 90000, NOW - 60, 2)
    assert (second.device, second.count) == ("0000:02:00.0", 1)


def test_texts_that_differ_by_more_than_numbers_are_all_told_newest_first():
    prefix = "NVRM: Xid (PCI:0000:01:00): 154, GPU recovery action changed from"
    log = parsed(
        journal(f"{prefix} 0x0 (None) to 0x1 (GPU Reset Required)", 90),
        journal(f"{prefix} 0x1 (GPU Reset Required) to 0x0 (None)", 30),
    )
    assert [text[-10:] for text in log.counted[0].texts] == ["0x0 (None)", " Required)"]


def test_sxid():
    text = "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)"
    (found,) = parsed(journal(text)).counted
    assert (found.kind, found.code, found.device) == ("sxid", 12028, "0000:05:00.0")
    assert found.texts == ("Non-fatal, Link 32 egress non-posted PRIV error (First)",)


@pytest.mark.parametrize(
    "lines",
    [
        # dmesg: the rest of a message is indented
        (
            "[ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0",
            "               NVRM: (PCI ID: 10de:26b5) installed in this system has",
            "               NVRM: fallen off the bus and is not responding to commands.",
        ),
        # a log with a stamp before every line
        (
            "[ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0",
            "[ 1843.308146] NVRM: (PCI ID: 10de:26b5) installed in this system has",
            "[ 1843.308147] NVRM: fallen off the bus and is not responding to commands.",
        ),
        # rsyslog writes the ends of lines as #012
        (_RSYSLOG,),
    ],
)
def test_a_message_over_several_lines_is_one(lines):
    log = parsed(*lines, "[ 1843.439662] NVRM: The NVIDIA probe routine failed for 1 device(s).")
    assert [(one.kind, one.device, one.count) for one in log.counted] == [
        ("fallen_off_bus", "0000:b3:00.0", 1),
        ("probe_failed", None, 1),
    ]
    assert log.counted[0].first == BOOTED + 1843.308


def test_a_time_since_boot_is_nothing_without_the_time_of_the_boot():
    (found,) = parsed("[ 12.5] NVRM: GPU 0000:18:00.0: GPU has fallen off the bus.", booted_at=None).counted
    assert (found.kind, found.device, found.first, found.minutes) == ("fallen_off_bus", "0000:18:00.0", None, 0)


@pytest.mark.parametrize(
    "line",
    [
        "1795000000.123456 my-host kernel: hello",
        "1795000000.123456 kernel: hello",
        "[    1.409626] hello",
        "<6>[    1.409626][    T1] hello",
        "Nov  3 16:59:01 my-host kernel: [    1.409626] hello",
        "2026-11-23T16:59:01.123456+00:00 my-host kernel: hello",
        "- - kernel: hello",
    ],
)
def test_forms_of_a_line(line):
    (record,) = records([line], BOOTED)
    assert record.text == "hello"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NVRM: GPU 0000:18:00.0: GPU has fallen off the bus.", "fallen_off_bus"),
        ("NVRM: _kgspBootGspRm: unexpected WPR2 already up, cannot proceed with booting GSP", "gsp_wpr2"),
        ("NVRM: RmInitAdapter: Cannot initialize GSP firmware RM", "rm_init_failed"),
        ("NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x22:0x56:884)", "rm_init_failed"),
        (
            "nvidia 0000:01:00.0: Direct firmware load for nvidia/550.54.14/gsp_ga10x.bin failed with error -2",
            "gsp_firmware",
        ),
        ("nouveau 0000:01:00.0: Direct firmware load for nvidia/ga102/gsp/booter_load failed with error -2", None),
        ("NVRM: GPU 0000:41:00.0: GPU does not have the necessary power cables connected.", "power_cables"),
        ("NVRM: installed in this system requires use of the NVIDIA open kernel modules.", "open_modules_required"),
        ("NVRM: nvidia.ko because it does not include the required GPU NVRM: System Processor (GSP).", "no_gsp"),
        ("NVRM: ignoring the legacy GPU 0000:01:00.0", "legacy_gpu"),
        ("NVRM: API mismatch: the client has the version 1, but this kernel module has the version 2.", "api_mismatch"),
        ("NVRM: The NVIDIA probe routine was not called for 1 device(s).", "probe_not_called"),
        ("nvidia-uvm: uvm_pmm_gpu.c:3176 devmem_alloc_pagemap[pid:812] request_free_mem_region() err -34", "uvm_hmm"),
        ("nvidia-uvm: UVM is not supported in legacy virtualization mode", "uvm_vgpu"),
        ("pci 0000:01:00.0: BAR 1: no space for [mem size 0x800000000 64bit pref]", "bar_unassigned"),
        (
            "mlx5_core 0000:5c:00.0: mlx5_pcie_event:299:(pid 1): Detected insufficient power on the PCIe slot (27W).",
            "nic_power",
        ),
        ("pcieport 0000:00:01.1: pciehp: Slot(0): Link Down", "hotplug_down"),
        ("pcieport 0000:00:01.0: AER: Uncorrectable (Fatal) error message received from 0000:01:00.0", "aer_fatal"),
        (
            "nvidia 0000:01:00.0: PCIe Bus Error: severity=Uncorrectable (Non-Fatal), type=Transaction Layer",
            "aer_nonfatal",
        ),
        ("pcieport 0000:00:01.0: AER: Corrected error message received from 0000:01:00.0", "aer_corrected"),
        (
            "pci 0000:01:00.0: 63.0 Gb/s available PCIe bandwidth, limited by 8.0 GT/s PCIe x8 link at 0000:00:01.0",
            "link_limited",
        ),
        ("Out of memory: Killed process 4711 (python) total-vm:90210kB", "oom"),
        ("INFO: task nvidia-smi:4711 blocked for more than 122 seconds.", "hung_task"),
        ("watchdog: BUG: soft lockup - CPU#12 stuck for 26s! [python:4711]", "soft_lockup"),
        ("python[4711]: segfault at 0 ip 00007f sp 00007f error 4 in libnccl.so.2.21.5[7f]", "nccl_segfault"),
        ("python[4711]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6[7f]", None),
        ("EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#0_DIMM#0 (channel:0)", "hardware_error"),
        ("EXT4-fs (nvme0n1p2): Remounting filesystem read-only", "fs_read_only"),
        ("EXT4-fs (nvme0n1p2): re-mounted 0000 r/w. Quota mode: none.", None),
        ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10", "nvme_reset"),
        ("PM: suspend exit", "resumed"),
        ("NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.82.07", None),
        ("NVRM: nobody knows this line", "nvrm"),
        ("Command line: BOOT_IMAGE=/vmlinuz nvidia.token=secret", None),
        ('audit: type=1309 audit(1.2:3): argc=2 a0="nvidia-smi" a1="--password=x"', None),
        ("Loading of module with unavailable key is rejected", "module_rejected"),
        ("Loading of unsigned module is rejected", "module_rejected"),
        (
            "Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",
            "module_rejected",
        ),
    ],
)
def test_kinds(text, kind):
    assert kind_of(text) == kind


def test_little_is_kept_and_nothing_private():
    denial = 'audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=7 comm="nvidia-smi" exe="/home/jo/x"'
    raw = "\n".join(
        [
            "1795000000.5 secret-host kernel: Command line: ro token=abc",
            f'1795000001.5 secret-host kernel: {denial} name="params" scontext=a:b:container_t:s0 tcontext=c',
            "1795000002.5 secret-host kernel: oom-kill:constraint=NONE,task_memcg=/user.slice/user-1000,task=python",
            "1795000003.5 secret-host kernel: Out of memory: Killed process 4711 (python) total-vm:1kB, UID:1000",
            "1795000004.5 secret-host kernel: NVRM: " + "x" * 1000,
        ]
    )
    found = kept(raw, None)
    assert [word for word in ("secret-host", "token", "/home/jo", "UID", "user-1000") if word in found] == []
    assert found.splitlines()[0] == "# read 5"
    assert max(map(len, found.splitlines())) < 350
    log = parse_kernel_log(found, booted_at=None, now=NOW)
    assert [(one.kind, one.processes) for one in log.counted] == [
        ("lsm", ("nvidia-smi",)),
        ("oom", ("python",)),
        ("nvrm", ()),
    ]


def test_what_was_kept_says_the_same_as_the_whole():
    lines = [
        journal(f"NVRM: Xid (PCI:0000:01:00): 31, pid={number}, name=a, at", 4000.0 - number) for number in range(150)
    ]
    whole = parsed(*lines, journal("nothing"))
    assert parse_kernel_log(kept("\n".join([*lines, journal("nothing")]), None), booted_at=None, now=NOW) == whole
    assert whole.read == 151


def test_a_flood_is_cut_in_the_middle_and_the_rest_is_counted():
    raw = "\n".join(journal(f"NVRM: odd {number}", 4000.0 - number) for number in range(1000))
    found = kept(raw, None)
    assert "odd 19\n" in found
    assert "odd 20\n" not in found
    assert "odd 799\n" not in found
    assert "odd 800\n" in found
    log = parse_kernel_log(found, booted_at=None, now=NOW)
    assert (log.read, log.left_out, log.counted[0].count) == (1000, (("nvrm", 780),), 220)


def test_nothing_but_denials_is_taken_from_the_audit_log():
    text = (
        'type=EXECVE msg=audit(1611137309.671:5405): argc=2 a0="nvidia-smi" a1="secret"\n'
        'type=AVC msg=audit(1611137309.671:5406): avc:  denied  { read } for  pid=7 comm="nvidia-smi" name="params"\n'
    )
    found = audit_lines(text)
    assert "secret" not in found
    (one,) = parse_kernel_log(found, booted_at=None, now=NOW).counted
    assert (one.kind, one.processes, one.first) == ("lsm", ("nvidia-smi",), 1611137309.671)


@pytest.mark.parametrize("text", ["", "-- No entries --", "dmesg: read kernel buffer failed: Operation not permitted"])
def test_no_log(text):
    assert parse_kernel_log(text, booted_at=None, now=NOW) == KernelLog()
