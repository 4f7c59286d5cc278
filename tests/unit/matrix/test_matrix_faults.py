"""Faults: what the tables hold, how they are asked, how they are refused, and that no plan pays for them."""
# ruff: noqa: E501  cases stand on one line each

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matrix_mini import MINI

from provision.errors import InputError
from provision.matrix import faults as faults_module
from provision.matrix import load_matrix, read_matrix
from provision.matrix.faults import TABLES, kernel_numbers
from provision.matrix.rows import _LATE_TABLES
from provision.versions import ComputeCapability, DriverVersion

ROOT = Path(__file__).parents[3]

FAULTS = r"""xids:
  source: [notes]
  read_on: 2026-11-23
  rows:
    79: {name: lost, class: hardware, action: power-cycle, then: support, means: It is gone., do: Look for it., source: [wheels]}
    144: {name: link, class: reset, action: reset-gpu, means: A link., do: See the line., texts: {Nonfatal: {class: info, action: none}, Fatal: {class: reset, action: reset-gpu}}, doubtful: a guess}
sxids:
  source: [notes]
  read_on: 2026-11-23
  rows:
    12020: {name: order, class: always_fatal, means: Out of order.}
    20001: {name: again, class: non_fatal, means: Sent again.}
recovery_actions:
  source: [notes]
  read_on: 2026-11-23
  rows:
    0: {name: none, severity: null, action: none, means: Well., do: Nothing.}
nvml_errors:
  source: [notes]
  read_on: 2026-11-23
  rows:
    0: {name: SUCCESS, cause: none, means: Well., do: Nothing.}
cuda_errors:
  source: [notes]
  read_on: 2026-11-23
  rows:
    803: {name: Mismatch, cause: mismatch, means: Two releases., do: Restart.}
clock_reasons:
  source: [notes]
  read_on: 2026-11-23
  rows:
    0x1: {name: idle, severity: null, means: Idle., do: Nothing.}
    0x80: {name: brake, severity: fail, means: Brake., do: Look.}
kernel_messages:
  source: [notes]
  read_on: 2026-11-23
  rows:
    xid: {pattern: 'NVRM: Xid \((.*)\): (\d+),', means: An Xid.}
memory_repair:
  source: [notes]
  read_on: 2026-11-23
  rows:
    8.0: {row_remapping: true, containment: false}
kernel_drivers:
  source: [notes]
  read_on: 2026-11-23
  rows:
    570 on 6.17: {kernel: 6.17, branches: [570], needs: 570.195.03, means: Too new.}
    570 on 7.0: {kernel: 7.0, branches: [570, 580], needs: null, instead: 595.91.07, means: Too new.}
denied_drivers:
  source: [notes]
  read_on: 2026-11-23
  rows:
    listed: {drivers: [570.124.06], severity: warn, gpus: [A2], when: mig, means: Bad., do: Leave it.}
    range: {at_least: 510, below: 525.105.17, severity: info, means: Bad., do: Leave it.}
denied_torch:
  source: [notes]
  read_on: 2026-11-23
  rows:
    CVE-1: {below: 2.6.0, severity: warn, means: Weak., do: Update.}
container_toolkit:
  source: [notes]
  read_on: 2026-11-23
  minimum: 1.17.8
  rows:
    CVE-2: {below: 1.17.8, severity: fail, means: Weak., do: Update.}
"""

WHOLE = MINI + FAULTS


@pytest.fixture(scope="module")
def small():
    return load_matrix(WHOLE, origin="m.yaml")


@pytest.fixture(scope="module")
def shipped():
    return read_matrix()


def test_the_root_and_the_reader_name_the_same_tables(shipped):
    assert set(TABLES) <= _LATE_TABLES
    assert all(getattr(shipped.faults, name) for name in TABLES)


def test_a_matrix_without_faults_knows_none(mini):
    matrix = load_matrix(mini, origin="m.yaml")
    assert all(getattr(matrix.faults, name) == () for name in TABLES)
    assert matrix.xid(79) is None
    assert matrix.faults.kernel_driver("7.0.0", DriverVersion("570.1")) is None
    assert matrix.faults.container_toolkit_minimum is None


def test_a_row_cites_its_own_sources_else_those_of_its_table(small):
    assert small.xid(79).source == ("wheels",)
    assert small.xid(144).source == ("notes",)
    assert small.xid(144).doubtful == "a guess"
    assert small.xid(79).then == "support"
    assert small.xid(144).then is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("NVRM: Xid (PCI:0000:04:00): 144, SAW_MVB Nonfatal XC0", ("info", "none")),
        ("NVRM: Xid (PCI:0000:04:00): 144, SAW_MVB FATAL XC0", ("reset", "reset-gpu")),
        ("NVRM: Xid (PCI:0000:04:00): 144, something else", ("reset", "reset-gpu")),
    ],
)
def test_words_of_the_line_decide_in_their_order(small, line, expected):
    assert small.xid(144).judged(line) == expected


@pytest.mark.parametrize(
    ("number", "line", "expected"),
    [
        (20001, "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 20001, Fatal, Link 32", "fatal"),
        (20001, "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 20001, Non-fatal, Link 32", "non_fatal"),
        (20001, "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 20001, Data {0x0}", "non_fatal"),
        (12020, "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12020, Non-fatal, Link 32", "always_fatal"),
    ],
)
def test_an_sxid_line_names_its_own_weight(small, number, line, expected):
    assert small.sxid(number).judged(line) == expected


def test_numbers_bits_and_capabilities_are_looked_up(small):
    faults = small.faults
    assert faults.nvml_error(0).name == "SUCCESS"
    assert faults.nvml_error(1) is None
    assert faults.cuda_error(803).cause == "mismatch"
    assert faults.recovery_action(0).severity is None
    assert faults.recovery_action(9) is None
    assert [row.name for row in faults.clock_reasons_of(0x85)] == ["idle", "brake"]
    assert faults.clock_reasons_of(0x2) == ()
    assert small.clock_reasons is faults.clock_reasons
    assert faults.memory_repair_of(ComputeCapability(8, 0)).has_containment is False
    assert faults.memory_repair_of(ComputeCapability(9, 0)) is None
    assert faults.kernel_message("xid").pattern.search("NVRM: Xid (PCI:0000:01:00): 79, pid=1").groups() == (
        "PCI:0000:01:00",
        "79",
    )
    assert faults.kernel_message("other") is None


@pytest.mark.parametrize(
    ("kernel", "driver", "expected"),
    [
        ("6.16.9", "570.1", None),
        ("6.17.1-generic", "570.183", "570 on 6.17"),
        ("6.17", "570.195.03", None),
        ("7", "570.183", "570 on 6.17"),
        ("7.0.0-1011-gcp", "570.211.01", "570 on 7.0"),
        ("7.1.2", "580.65.06", "570 on 7.0"),
        ("6.18.0", "580.65.06", None),
        ("7.0.0", "595.45.04", None),
        ("unknown", "570.183", None),
    ],
)
def test_a_kernel_rules_out_drivers(small, kernel, driver, expected):
    row = small.faults.kernel_driver(kernel, DriverVersion(driver))
    assert (row and row.name) == expected


@pytest.mark.parametrize(
    ("driver", "gpus", "expected"),
    [
        ("570.124.06", ("A2",), ["listed"]),
        ("570.124.06", (), []),
        ("570.124.07", ("A2",), []),
        ("510.39", (), ["range"]),
        ("525.105.16", ("A2",), ["range"]),
        ("525.105.17", (), []),
        ("509.99", (), []),
    ],
)
def test_drivers_are_denied_by_list_or_range(small, driver, gpus, expected):
    assert [row.name for row in small.faults.denied_drivers_of(DriverVersion(driver), gpus)] == expected


def test_weaknesses_end_with_the_release_that_mends_them(small):
    faults = small.faults
    assert [row.name for row in faults.denied_torch_of("2.5.1+cu124")] == ["CVE-1"]
    assert faults.denied_torch_of("2.6.0") == faults.denied_torch_of("2.10.0") == ()
    assert [row.name for row in faults.container_toolkit_of("1.17.7-rc.1")] == ["CVE-2"]
    assert faults.container_toolkit_of("1.18.0") == faults.container_toolkit_of("") == ()
    assert kernel_numbers("v1.2") == (1, 2)


BROKEN = [
    ("79: {name", "LXXIX: {name", "xids.rows.LXXIX: found 'LXXIX', expected a number such as 79"),
    ("79: {name", "079: {name", "xids.rows['079']: found '079', expected a number such as 79"),
    (
        "class: hardware",
        "class: bad",
        "xids.rows['79'].class: found 'bad', expected one of hardware, reset, application, info",
    ),
    (
        "action: power-cycle",
        "action: kick",
        "xids.rows['79'].action: found 'kick', expected one of none, restart-app, reset-gpu, restart-fabric, reboot, power-cycle, check-power, drain, support",
    ),
    (", do: Look for it.", "", "xids.rows['79']: found no key 'do', expected the key do"),
    (
        "Nonfatal: {class: info",
        "Nonfatal: {class: none",
        "xids.rows['144'].texts.Nonfatal.class: found 'none', expected one of hardware, reset, application, info",
    ),
    (
        "source: [wheels]}\n    144",
        "source: [gossip]}\n    144",
        "xids.rows['79'].source[0]: found 'gossip', expected a key of `sources`",
    ),
    (
        "class: always_fatal",
        "class: never",
        "sxids.rows['12020'].class: found 'never', expected one of non_fatal, fatal, always_fatal",
    ),
    (
        "severity: fail, means: Brake.",
        "severity: bad, means: Brake.",
        "clock_reasons.rows['0x80'].severity: found 'bad', expected one of info, warn, fail",
    ),
    ("0x80:", "0x81:", "clock_reasons.rows['0x81']: found '0x81', expected one bit such as 0x20"),
    (
        r"'NVRM: Xid \((.*)\): (\d+),'",
        "'('",
        "kernel_messages.rows.xid.pattern: found '(', expected a regular expression (missing ), unterminated subpattern at position 0)",
    ),
    (
        "row_remapping: true",
        "row_remapping: yes",
        "memory_repair.rows['8.0'].row_remapping: found 'yes', expected true or false",
    ),
    (
        "kernel: 6.17,",
        "kernel: new,",
        "kernel_drivers.rows['570 on 6.17'].kernel: found 'new', expected a release such as 2.9.1",
    ),
    (
        "needs: 570.195.03",
        "needs: 580.195.03",
        "kernel_drivers.rows['570 on 6.17'].needs: found 580.195.03, expected a driver of one of its branches",
    ),
    (
        "branches: [570, 580]",
        "branches: [570, 590]",
        "kernel_drivers.rows['570 on 7.0'].branches[1]: found 590, expected a branch of driver_branches",
    ),
    ("gpus: [A2]", "gpus: [A3]", "denied_drivers.rows.listed.gpus[0]: found 'A3', expected a row of gpus"),
    (
        "when: mig,",
        "when: raining,",
        "denied_drivers.rows.listed.when: found 'raining', expected one of mig, mig-mixed, pinned-512gib",
    ),
    (
        "drivers: [570.124.06], ",
        "",
        "denied_drivers.rows.listed: found both or none of a list and a range of drivers, expected drivers, or at_least and below",
    ),
    ("below: 2.6.0", "below: soon", "denied_torch.rows['CVE-1'].below: found 'soon', expected a release such as 2.9.1"),
    (
        "minimum: 1.17.8",
        "minimum: 1.17.7",
        "container_toolkit.minimum: found 1.17.7, which has CVE-2, expected a release without it",
    ),
    ("  minimum: 1.17.8\n", "", "container_toolkit: found no key 'minimum', expected the key minimum"),
    (
        "pcie: 4x16",
        "pcie: 4x3",
        "gpus.rows['A100-SXM4-40GB'].pcie: found '4x3', expected generation and lanes of PCIe such as 4x16",
    ),
    (
        "form: sxm",
        "form: cube",
        "gpus.rows['A100-SXM4-40GB'].form: found 'cube', expected one of pcie, sxm, superchip, soc",
    ),
    ("ecc: true", "ecc: maybe", "gpus.rows['A100-SXM4-40GB'].ecc: found 'maybe', expected true or false"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN, ids=[message.partition(":")[0] for _, _, message in BROKEN])
def test_a_broken_fault_is_refused_with_its_place(old, new, message):
    assert WHOLE.count(old) == 1
    with pytest.raises(InputError) as caught:
        load_matrix(WHOLE.replace(old, new), origin="m.yaml")
    assert re.sub(r" \(line \d+\)", "", caught.value.happened) == f"m.yaml: {message}"
    assert caught.value.code == "matrix-invalid"


# --- the tables that ship -----------------------------------------------------------------------


def test_every_row_says_where_it_is_from_in_whole_sentences(shipped):
    for name in TABLES:
        for row in getattr(shipped.faults, name):
            assert row.source, (name, row)
            for text in (getattr(row, "means", "A."), getattr(row, "do", "A.")):
                assert re.match(r"[A-Z0-9]|gpusetup|nvidia-smi|libnvidia", text), text
                assert text.endswith("."), text


FATAL = (
    46,
    48,
    54,
    56,
    57,
    58,
    62,
    64,
    74,
    79,
    95,
    110,
    119,
    120,
    136,
    140,
    143,
    144,
    145,
    146,
    147,
    148,
    149,
    150,
    155,
    158,
)
OF_PROGRAMS = (8, 13, 31, 43, 45, 68, 69, 94, 109)
SAYS_LITTLE = (63, 92, 93, 106, 107, 152, 153, 154)


def test_xids_are_of_the_class_that_checks_count_on(shipped):
    assert [number for number in FATAL if not shipped.xid(number).is_fatal] == []
    assert [number for number in OF_PROGRAMS if shipped.xid(number).xid_class != "application"] == []
    assert [number for number in SAYS_LITTLE if shipped.xid(number).xid_class != "info"] == []
    assert len(shipped.faults.xids) >= 119
    assert len(shipped.faults.sxids) >= 93


@pytest.mark.parametrize(
    ("number", "action"),
    [
        (48, "reset-gpu"),
        (54, "check-power"),
        (63, "reset-gpu"),
        (64, "reset-gpu"),
        (79, "power-cycle"),
        (94, "restart-app"),
        (95, "reset-gpu"),
        (119, "reset-gpu"),
        (151, "reboot"),
    ],
)
def test_what_helps_at_once(shipped, number, action):
    assert shipped.xid(number).action == action


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("0x0 (None)", ("info", "none")),
        ("0x1 (GPU Reset Required)", ("reset", "reset-gpu")),
        ("0x2 (Node Reboot Required)", ("reset", "reboot")),
        ("0x3 (Drain P2P)", ("reset", "drain")),
        ("0x4 (Drain and Reset)", ("reset", "drain")),
    ],
)
def test_xid_154_names_the_action(shipped, to, expected):
    line = f"NVRM: Xid (PCI:0000:01:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to {to}"
    assert shipped.xid(154).judged(line) == expected


def test_kernel_lines_are_recognised(shipped):
    def found(name, line):
        match = shipped.faults.kernel_message(name).pattern.search(line)
        return match and match.groups()

    xid = "[  12.3] NVRM: Xid (PCI:0000:9b:00): 119, pid=1240590, name=train, Timeout after 6s of waiting for RPC"
    assert found("xid", xid) == ("PCI:0000:9b:00", "119")
    sxid = "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress"
    assert found("sxid", sxid) == ("12028",)
    assert found("sxid_device", sxid) == ("PCI:0000:05:00.0",)
    assert found("fallen_off_bus_no_xid", "NVRM: GPU 0000:9b:00.0: GPU has fallen off the bus.") == ("0000:9b:00",)
    assert found("xid", "NVRM: loading NVIDIA UNIX x86_64 Kernel Module") is None


def test_clock_bits_are_judged_as_the_catalogue_of_checks_does(shipped):
    assert {row.bit: row.severity for row in shipped.clock_reasons} == {
        0x1: None, 0x2: None, 0x4: "info", 0x8: "fail", 0x10: None, 0x20: "warn", 0x40: "fail", 0x80: "fail", 0x100: None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kernel", "driver", "needs"),
    [
        ("7.0.0-1011-gcp", "590.48.01", None),
        ("7.0.0", "595.71.05", "595.91.07"),
        ("6.19.1", "580.126.09", "580.126.18"),
        ("6.17.1", "570.183", "570.195.03"),
    ],
)
def test_known_pairs_of_kernel_and_driver(shipped, kernel, driver, needs):
    row = shipped.faults.kernel_driver(kernel, DriverVersion(driver))
    assert (row.needs and str(row.needs)) == needs


@pytest.mark.parametrize(
    ("kernel", "driver"),
    [
        ("6.8.0-31-generic", "590.48.01"),
        ("7.0.0", "595.91.07"),
        ("5.14.0-687.12.1.el9_8.x86_64", "575.57.08"),
        ("7.0.3", "610.57.04"),
    ],
)
def test_other_pairs_are_not_ruled_out(shipped, kernel, driver):
    assert shipped.faults.kernel_driver(kernel, DriverVersion(driver)) is None


def test_known_drivers_and_releases_with_a_fault(shipped):
    def names(driver, *gpus):
        return [row.name for row in shipped.faults.denied_drivers_of(DriverVersion(driver), gpus)]

    assert names("570.124.06", "B200") == ["mig-mixed-570", "hgx-b200-first"]
    assert names("575.57.08", "RTX PRO 6000 Blackwell Server Edition") == ["rtx-pro-6000-mig"]
    assert names("575.57.08", "A40") == []
    assert names("595.91.07") == ["pinned-memory-512"]
    assert names("615.71.10") == names("535.309.01") == []
    assert shipped.faults.container_toolkit_minimum == "1.17.8"
    assert shipped.faults.denied_torch_of("2.15.0") == ()


@pytest.mark.parametrize(
    ("name", "links", "lanes", "fabric"),
    [
        ("NVIDIA A100-SXM4-80GB", 12, (4, 16), True),
        ("NVIDIA H100 80GB HBM3", 18, (5, 16), True),
        ("NVIDIA H100 PCIe", None, (5, 16), False),
        ("Tesla T4", None, (3, 16), False),
        ("NVIDIA GB200", 18, (None, None), False),
        ("NVIDIA GeForce RTX 3090", 4, (4, 16), None),
    ],
)
def test_figures_of_a_gpu(shipped, name, links, lanes, fabric):
    found = shipped.gpu_figures(name=name)
    assert (found.nvlinks, (found.pcie_generation, found.pcie_lanes), found.needs_fabric_manager) == (
        links,
        lanes,
        fabric,
    )
    assert found.peaks is not None


def test_figures_by_pci_id_are_those_that_all_products_share(small, shipped):
    both = small.gpu_figures(pci_device_id="10de:25b6")
    assert both.names == ("A16", "A2")
    assert (both.compute_capability, both.gpu_class) == (ComputeCapability(8, 6), "data_center")
    assert both.peaks is None
    one = small.gpu_figures(name="no such board", pci_device_id="10de:20B0")
    assert (one.names, one.tdp_w, one.form, one.has_ecc) == (("A100-SXM4-40GB",), 400, "sxm", True)
    assert (
        small.gpu_figures()
        is small.gpu_figures(name="GeForce 256")
        is small.gpu_figures(pci_device_id="10de:0000")
        is None
    )
    assert shipped.gpu_figures(name="T4").tdp_w == 70


def test_boards_behind_nvswitches_are_modules(shipped):
    for row in shipped.gpus:
        if row.needs_fabric_manager:
            assert (row.form, row.gpu_class) == ("sxm", "data_center"), row.name


# --- cost ---------------------------------------------------------------------------------------


def test_faults_are_read_once_and_only_when_asked_for(monkeypatch, shipped):
    calls = []
    read = faults_module.read_faults
    monkeypatch.setattr(faults_module, "read_faults", lambda *args: calls.append(1) or read(*args))
    matrix = read_matrix()
    assert calls == [1]  # every check of the loader
    del matrix.__dict__["faults"]
    assert matrix.release("2.9.1")
    assert calls == [1]
    assert matrix.xid(79)
    assert matrix.sxid(12028)
    assert calls == [1, 1]
    assert [row.number for row in matrix.faults.xids] == [row.number for row in shipped.faults.xids]


def test_a_plan_never_loads_the_faults(tmp_path):
    script = (
        "import sys; from provision.cli import run; code = run(sys.argv[1:]); "
        "print('provision.matrix.faults' in sys.modules, code, file=sys.stderr)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script, "plan", "--gpu", "Tesla T4", "--driver", "535.104.05", "--json"],
            cwd=ROOT, check=True, capture_output=True, text=True,
            env={"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        )
        for _ in range(2)
    ]  # fmt: skip
    assert json.loads(said[1].stdout)
    assert said[1].stderr.splitlines()[-1] == "False 0"
