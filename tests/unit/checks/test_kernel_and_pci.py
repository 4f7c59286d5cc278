"""Where the thresholds lie, and what keeps the checks of the kernel log and of the bus silent."""

from __future__ import annotations

import shutil

import pytest

from provision.checks.facts import Rate
from provision.detect.probes.kernel_log import JOURNAL, read_log
from provision.detect.surroundings import Kernel, Surroundings
from provision.process import Completed
from provision.records import Host, Machine
from tests.boxes import healthy
from tests.boxes.cases import kernel_log as cases
from tests.boxes.layers.kernel_log import journal
from tests.boxes.layers.pci import BUS, aer, width

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

DAY_S = 86400.0
XID_62 = "NVRM: Xid (PCI:0000:41:00): 62, pid=3, name=python, halt"


def status(box, check, level="quick"):
    return box.results(level)[check].status


# --- the kernel log


@pytest.mark.parametrize(("ago", "expected"), [(DAY_S - 1, "fail"), (DAY_S + 1, "warn")])
def test_a_fatal_xid_is_fresh_for_a_day(ago, expected):
    assert status(journal(healthy.l40s(), (ago, XID_62)), "kernel.xid_fatal") == expected


def test_an_old_fatal_xid_stands_while_nvml_asks_for_a_recovery():
    box = journal(healthy.l40s().nvml(**{"0.field.230": 1}), (5 * DAY_S, XID_62))
    assert status(box, "kernel.xid_fatal") == "fail"


def test_an_old_xid_that_only_a_restart_mends_stands():
    line = "NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
    assert status(journal(healthy.l40s(), (5 * DAY_S, line)), "kernel.xid_fatal") == "fail"


@pytest.mark.parametrize(("last", "expected"), [("to 0x0 (None)", "pass"), ("to 0x2 (Node Reboot Required)", "fail")])
def test_the_newest_word_of_the_driver_about_a_recovery_counts(last, expected):
    first = "NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"
    then = f"NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) {last}"
    assert status(journal(healthy.l40s(), (900.0, first), (60.0, then)), "kernel.xid_fatal") == expected


@pytest.mark.parametrize(("weight", "expected"), [("Fatal", "fail"), ("Nonfatal", "pass")])
def test_the_line_of_a_link_error_says_its_weight(weight, expected):
    line = f"NVRM: Xid (PCI:0000:41:00): 149, NETIR_LINK_EVT  {weight}   XC0 i0 Link 00"
    assert status(journal(healthy.l40s(), line), "kernel.xid_fatal") == expected


@pytest.mark.parametrize(
    "reason",
    [
        "NVRM: installed in this system requires use of the NVIDIA open kernel modules.",
        "nvidia 0000:41:00.0: Direct firmware load for nvidia/580.82.07/gsp_ga10x.bin failed with error -2",
        "NVRM: nvidia.ko because it does not include the required GPU",
    ],
)
def test_a_gpu_that_did_not_start_for_a_named_reason_is_left_to_its_check(reason):
    box = healthy.l40s().nvml(**{"0.err.*": 999})
    box = journal(box, reason, "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x22:0x56:884)")
    assert status(box, "kernel.xid_fatal") == "pass"


def test_a_start_that_failed_and_then_worked_is_forgotten():
    box = journal(healthy.l40s(), "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x23:0x65:1426)")
    assert status(box, "kernel.xid_fatal") == "pass"


def test_a_container_answers_for_its_own_gpus_only():
    box = healthy.container()
    lines = "[777000.0] NVRM: Xid (PCI:0000:{}:00): 62, pid=3, name=x, halt\n"
    box.command("dmesg", lines.format("99"))
    assert status(box, "kernel.xid_fatal") == "pass"
    box.command("dmesg", lines.format("41"))
    assert status(box, "kernel.xid_fatal") == "fail"


def test_a_closed_log_is_unknown_and_says_what_opens_it():
    results = cases._not_root().results()
    for check in ("kernel.xid_fatal", "kernel.xid_app", "kernel.sxid", "kernel.hung_task", "kernel.oom", "sys.lsm"):
        assert results[check].status == "unknown", check
        assert "sudo gpusetup check" in results[check].happened
    assert "Operation not permitted" in results["kernel.xid_fatal"].happened


def test_a_number_without_a_row_is_an_information():
    found = journal(healthy.l40s(), "NVRM: Xid (PCI:0000:41:00): 999, odd").results()
    assert found["kernel.xid_fatal"].status == "pass"
    assert found["kernel.xid_app"].status == "pass"
    assert "not in the list" in found["kernel.xid_app"].happened


@pytest.mark.parametrize(
    ("names", "count", "expected"), [(("a", "b"), 9, "pass"), (("a", "b"), 10, "warn"), (("a",), 30, "pass")]
)
def test_how_many_page_faults_make_a_gpu_suspect(names, count, expected):
    assert status(cases._minutes(healthy.l40s(), *names, count=count), "kernel.xid_app") == expected


@pytest.mark.parametrize(("ago", "expected"), [(DAY_S - 1, "warn"), (DAY_S + 1, "pass")])
@pytest.mark.parametrize(
    ("check", "line"),
    [
        ("kernel.oom", "Out of memory: Killed process 4711 (python) total-vm:1kB"),
        ("kernel.hung_task", "INFO: task python:811 blocked for more than 122 seconds."),
        ("kernel.sxid", "nvidia-nvswitch3: SXid (PCI:0000:06:00.0): 12028, Non-fatal, Link 32 egress"),
    ],
)
def test_old_lines_are_only_mentioned(check, line, ago, expected):
    assert status(journal(healthy.h100x8(), (ago, line)), check) == expected


@pytest.mark.parametrize("delta", [9.0, 10.0])
def test_how_many_repaired_errors_of_main_memory_are_many(delta):
    box = healthy.h100x8().given(rates={"edac.mc0.corrected": Rate(delta, 3600.0)})
    assert status(box, "sys.mce_edac", "instant") == ("warn" if delta > 9 else "pass")


# --- reading the log


class _Programs:
    """Programs that say what a table has, in the order in which they were asked."""

    def __init__(self, **said):
        self.said = said
        self.asked = []

    def __call__(self, argv, **_):
        name = argv[2].rsplit("/", 1)[-1]
        self.asked.append(name)
        returncode, stdout, stderr = self.said[name]
        return Completed(tuple(argv), returncode, stdout, stderr)


def _read(tree, programs):
    for name in programs.said:
        tree.write(f"/usr/bin/{name}", "").chmod(0o755)
    tree.write("/proc/uptime", "5000.0 1.0\n")
    around = Surroundings(root=tree.root, environ={}, runner=programs, kernel=Kernel("Linux", "6.8", "x86_64", "box"))
    return {one.name: one for one in read_log(around, Machine(host=Host(system="linux")))}, around


def test_the_journal_is_asked_first_and_is_enough(tree):
    programs = _Programs(journalctl=(0, f"1795000000.5 box kernel: {XID_62}\n", ""), dmesg=(0, "", ""))
    found, around = _read(tree, programs)
    assert programs.asked == ["journalctl"]
    assert (found["kernel.log"].source, found["kernel.log"].value) == ("journalctl", 1)
    assert found["kernel.xid"].value[:4] == (62, "0000:41:00.0", "python", 1)
    kept = around.memory.looks["command", JOURNAL].value["stdout"]
    assert kept == f"# read 1\n1795000000.500 kernel: {XID_62}\n"


def test_dmesg_is_asked_where_the_journal_is_empty(tree):
    programs = _Programs(journalctl=(0, "-- No entries --\n", ""), dmesg=(0, "[ 12.0] PM: suspend exit\n", ""))
    found, _ = _read(tree, programs)
    assert found["kernel.log"].source == "dmesg"
    assert "kernel.line.resumed" in found


def test_a_file_of_the_system_log_is_the_last_resort_and_counts_from_the_last_start(tree):
    tree.write(
        "/var/log/kern.log",
        f"Nov 20 10:00:00 box kernel: [  900.0] {XID_62}\n"
        "Nov 23 10:00:00 box kernel: [    0.0] Linux version 6.8\n"
        "Nov 23 10:00:01 box kernel: [   12.0] PM: suspend exit\n"
        "Nov 23 10:00:02 box sshd[1]: NVRM: not of the kernel\n",
    )
    found, _ = _read(tree, _Programs(dmesg=(1, "", "dmesg: read kernel buffer failed: Operation not permitted\n")))
    assert (found["kernel.log"].source, found["kernel.log"].value) == ("/var/log/kern.log", 2)
    assert "kernel.line.resumed" in found
    assert "kernel.xid" not in found


def test_nothing_may_be_read(tree):
    found, _ = _read(tree, _Programs(dmesg=(1, "", "dmesg: read kernel buffer failed: Operation not permitted\n")))
    assert found["kernel.log"].failure == (
        "journalctl: not installed; dmesg: read kernel buffer failed: Operation not permitted;"
        " /var/log/kern.log: No such file or directory; /var/log/messages: No such file or directory"
    )


# --- the bus


@pytest.mark.parametrize(("lanes", "expected"), [(16, "pass"), (8, "pass"), (7, "warn"), (4, "warn")])
def test_a_desktop_card_may_share_its_lanes(lanes, expected):
    assert status(width(healthy.rtx5090(), "0000:01:00.0", lanes), "pci.link_width", "instant") == expected


def test_a_slot_with_fewer_lanes_is_no_fault_of_the_link():
    box = width(width(healthy.l40s(), "0000:41:00.0", 8), "0000:00:01.0", 8, 8)
    assert status(box, "pci.link_width", "instant") == "pass"


@pytest.mark.parametrize("lanes", [0, 63])
def test_a_link_that_does_not_tell_is_not_judged(lanes):
    assert status(width(healthy.v100(), "0000:3b:00.0", lanes), "pci.link_width", "instant") == "skip"


@pytest.mark.parametrize(
    ("delta", "seconds", "expected"),
    [
        (153.6, 600.0, "pass"),  # 16 lanes of generation 4 may lose 15.36 a minute
        (154.0, 600.0, "warn"),
        (1536.0, 600.0, "warn"),
        (1537.0, 600.0, "fail"),
        (9999.0, 59.0, "pass"),
    ],
)
def test_how_many_packets_may_be_sent_again(delta, seconds, expected):
    box = healthy.l40s().given(rates={"gpu.0.pcie_replay_count": Rate(delta, seconds)})
    assert status(box, "pci.replay_rate") == expected


def test_requests_that_a_device_does_not_serve_are_no_error_of_the_link():
    box = aer(healthy.l40s(), "0000:41:00.0", "nonfatal")
    box.file(f"{BUS}/0000:41:00.0/aer_dev_nonfatal", "UnsupReq 7\nTOTAL_ERR_NONFATAL 7\n")
    assert status(box, "pci.aer") == "pass"


def test_more_gpus_than_expected_is_a_difference_too():
    assert status(healthy.h100x8().given(expected_gpus=4), "pci.count_vs_expected", "instant") == "fail"
    assert status(healthy.h100x8().given(expected_gpus=8), "pci.count_vs_expected", "instant") == "pass"


def test_a_window_counts_only_while_the_gpu_does_not_answer():
    nothing = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    box = healthy.l40s().file(f"{BUS}/0000:41:00.0/resource", nothing * 2)
    assert status(box, "pci.bar_assigned") == "pass"
    assert status(box, "pci.bar_assigned", "instant") == "fail"


def test_translation_matters_only_where_gpus_exchange_data():
    assert status(healthy.rtx3090_p40(), "pci.iommu") == "pass"
    assert status(healthy.t4(), "pci.iommu") == "skip"


def test_access_control_that_only_root_may_read_is_unknown():
    denied = "0000:00:01.0 PCI bridge\n\tCapabilities: <access denied>\n"
    assert status(healthy.h100x8().command("lspci -vvv -D", denied), "pci.acs") == "unknown"


def test_a_spark_complains_about_its_slot_at_every_start():
    line = "mlx5_core 0002:01:00.0: mlx5_pcie_event:326:(pid 7): Detected insufficient power on the PCIe slot (27W)."
    assert status(journal(healthy.gh200(), line), "pci.nic_power") == "warn"
    assert status(journal(healthy.gh200().nvml(**{"0.name": "NVIDIA GB10"}), line), "pci.nic_power") == "pass"


# --- boards


def test_boards_of_one_name_with_other_power_limits():
    assert status(healthy.h100x8().nvml(**{"5.power_limit_mw": 500000}), "hw.homogeneous") == "warn"


def test_a_box_of_two_kinds_is_told_and_no_fault():
    found = healthy.rtx3090_p40().results()["hw.homogeneous"]
    assert (found.status, "2 kinds" in found.happened) == ("pass", True)


def test_a_question_that_a_gpu_does_not_support_is_skipped():
    assert status(healthy.t4(), "hw.unrepairable_memory") == "skip"
    assert status(healthy.t4(), "hw.recovery_action") == "skip"


def test_counters_of_the_machine_are_kept_for_the_next_run():
    from provision.doctor import _port_counters

    found = _port_counters(healthy.l40s().facts("instant").machine)
    assert found["edac"] == {"mc0.corrected": 4, "mc1.corrected": 4}
    assert found["pci"]["0000:41:00.0.aer_correctable"] == 3
    container = _port_counters(healthy.container().facts("instant").machine)
    assert container["kernel"] == {"cgroup_oom_kills": 0}
