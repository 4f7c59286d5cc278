"""Health of GPUs: machines that are busy, drawn upon or odd and yet well, and the edges of the thresholds."""

from __future__ import annotations

import shutil

import pytest

from provision.checks import PROBLEMS, Context, Facts, all_checks
from provision.checks.facts import Rate
from provision.checks.gpu_answers import is_mobile, named, shown
from provision.records import Gpu, GpuState, Host, Machine, Reading
from provision.versions import ComputeCapability
from tests.bench.matrix import shipped
from tests.boxes import healthy as boxes

GIB, MIB = 2**30, 2**20
BY_ID = {check.id: check for check in all_checks()}
NOW = 1_795_000_000.0
NOT_SUPPORTED = "Not Supported (NVML code 3)"


def gpu(index=0, **changes):
    given = {
        "name": "NVIDIA A100-SXM4-80GB",
        "pci_bus_id": f"0000:{index + 1:02x}:00.0",
        "pci_device_id": "10de:20b2",
        "compute_capability": ComputeCapability(8, 0),
        "in_nvml": True,
    }
    return Gpu(index, **{**given, **changes})


def found(check_id, *gpus, host=None, rates=None, box=None, **readings):
    """The finding for GPUs of which NVML tells these facts; a text that ends in an NVML code is a failure."""
    gpus = gpus or (gpu(),)
    told = [Reading("host.kernel", "uname", "6.8.0"), Reading("nvml.outcome", "nvml", "answered")]
    named_facts = {f"gpu.{one.index}.{name}": value for one in gpus for name, value in readings.items()}
    for name, value in {**named_facts, **(box or {})}.items():
        is_failure = isinstance(value, str) and value.endswith(")")
        told.append(Reading(name, "nvml", failure=value) if is_failure else Reading(name, "nvml", value))
    host = host or Host(hostname="box", system="linux", os="ubuntu", is_wsl=False)
    machine = Machine(host=host, gpus=gpus, gpu_state=GpuState.USABLE, readings=tuple(told))
    context = Context(now=NOW, matrix=shipped, rates=rates or {})
    return BY_ID[check_id].evaluate(Facts(machine, context))


def status(*args, **changes):
    return found(*args, **changes).status


# --- machines that are well

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="the fake NVML needs gcc")

_AT_WORK = {"*.util": 100, "*.throttle": 0x4, "*.procs": 1, "*.mem_used": 60 * GIB, "*.temp_c": 80, "*.temp_margin": 7}
_DESKTOP = {
    "0.display_active": 1,
    "0.display_mode": 1,
    "0.graphics_procs": 3,
    "0.mem_used": 1536 * MIB,
    "0.throttle": 0x101,
    "0.persistence": 0,
}
_WAYLAND = {**_DESKTOP, "0.graphics_procs": 0}
_VGPU = {
    "0.virtualization": 2,
    "0.licence": "1,1,1,2,2027,1,31",
    "0.licence_product": "NVIDIA RTX Virtual Workstation",
    "0.ecc": 0,
    "0.retired.0": None,
    "0.retired.1": None,
    "0.retired_pending": None,
    "0.power_mw": None,
    "0.temp_c": None,
}
_LAPTOP = {
    "0.name": "NVIDIA GeForce RTX 4070 Laptop GPU",
    "0.power_mw": None,
    "0.power_limit_mw": 35000,
    "0.power_default_mw": 80000,
    "0.temp_margin": 0,
}


@needs_gcc
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: boxes.h100x8().nvml(**_AT_WORK), id="eight at work at the power limit"),
        pytest.param(
            lambda: boxes.rtx5090().nvml(**{"0.util": 100, "0.throttle": 0x4, "0.temp_c": 84, "0.temp_margin": 3}),
            id="a desktop at its target temperature",
        ),
        pytest.param(lambda: boxes.rtx5090().nvml(**_DESKTOP), id="a desktop with a screen"),
        pytest.param(lambda: boxes.rtx5090().nvml(**_WAYLAND), id="a screen whose programs are not listed"),
        pytest.param(lambda: boxes.t4().nvml(**_VGPU), id="a virtual GPU with its licence"),
        pytest.param(lambda: boxes.rtx5090().nvml(**_LAPTOP), id="a notebook on its battery"),
        pytest.param(
            lambda: boxes.t4().nvml(**{"0.appclock.0": 1590, "0.throttle": 0x2, "0.util": 100, "0.clock.0": 1590}),
            id="raised application clocks",
        ),
        pytest.param(lambda: boxes.gh200().nvml(**{"0.mem_used": 20 * GIB}), id="a superchip with pages of the system"),
        pytest.param(
            lambda: boxes.h100x8().nvml(conf_compute="2,1,0", conf_compute_ready=1), id="confidential and ready"
        ),
        pytest.param(
            lambda: boxes.rtx3090_p40().nvml(**{"0.remap": "0,0,0,0", "0.power_limit_mw": 340000}),
            id="a GeForce that answers about rows",
        ),
        pytest.param(
            lambda: boxes.h100x8().given(rates={"gpu.0.violation_power_ns": Rate(delta=3500e9, seconds=3600.0)}),
            id="an hour at the power limit",
        ),
    ],
)
def test_a_machine_that_is_well_is_silent(make):
    results = make().results("quick")
    assert {one.id: one.happened for one in results.values() if one.status in PROBLEMS} == {}


@needs_gcc
def test_no_rows_are_judged_on_boards_without_error_correction():
    results = boxes.rtx3090_p40().nvml(**{"0.remap": "0,0,0,0"}).results()
    assert results["gpu.remap_pending"].status == "skip"
    assert results["gpu.remap_pending"].happened == "No GPU here swaps rows of its memory for spares."
    assert results["gpu.ecc_mode"].happened == "1 GPU with error correction on."


@needs_gcc
def test_eight_at_the_power_limit_are_mentioned():
    result = boxes.h100x8().nvml(**_AT_WORK).results()["gpu.throttle_now"]
    assert result.happened == ("Neither heat nor power supply slows 8 GPUs; GPUs 0-7 as is usual: power limit.")
    assert len(result.evidence) == 8


@needs_gcc
def test_eight_sick_gpus_read_well():
    result = boxes.h100x8().nvml(**{"*.remap": "0,1,1,0"}).results()["gpu.remap_pending"]
    assert result.happened == "A repair of memory waits for a reset of GPUs 0-7."
    assert [one.name for one in result.evidence] == [f"gpu.{index}.remapped_rows_pending" for index in range(8)]
    assert result.evidence[0].source == "nvml, 0000:1b:00.0"
    assert result.risky[0].startswith("sudo nvidia-smi --gpu-reset    (")
    some = boxes.h100x8().nvml(**{"0.remap": "0,1,1,0", "7.remap": "0,1,1,0"}).results()["gpu.remap_pending"]
    assert some.risky[0].startswith("sudo nvidia-smi --gpu-reset -i 0000:1b:00.0,0000:df:00.0    (")


@needs_gcc
def test_in_a_container_the_reset_is_for_the_host():
    box = boxes.container().nvml(**{"0.remap": "0,1,1,0"})
    assert box.results()["gpu.remap_pending"].risky[0].startswith("on the host of this container: ")


# --- naming


@pytest.mark.parametrize(
    ("indexes", "words"),
    [
        ((0,), "GPU 0 (0000:01:00.0)"),
        ((0, 2), "GPUs 0 (0000:01:00.0) and 2 (0000:03:00.0)"),
        ((0, 1, 2, 5), "GPUs 0-2 and 5"),
        (tuple(range(8)), "GPUs 0-7"),
        ((0, 2, 4, 6), "GPUs 0, 2, 4 and 6"),
    ],
)
def test_gpus_are_named(indexes, words):
    assert named([gpu(index) for index in indexes]) == words


def test_evidence_shrinks_with_the_number_of_gpus():
    gpus = tuple(gpu(index) for index in range(4))
    told = tuple(Reading(f"gpu.{one.index}.{name}", "nvml", 1) for one in gpus for name in ("a", "b", "c"))
    facts = Facts(Machine(gpus=gpus, readings=told))
    assert len(shown(facts, gpus[:1], "a", "b", "c")) == 3
    assert len(shown(facts, gpus, "a", "b", "c")) == 8
    assert [one.needs for one in shown(facts, gpus[:1], "a", "b", needs=0)] == [0, None]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA GeForce RTX 4070 Laptop GPU", True),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", True),
        ("NVIDIA GeForce MX450", True),
        ("GeForce GTX 960M", True),
        ("GeForce 940MX", True),
        ("Quadro M2000M", True),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", False),
        ("NVIDIA RTX A6000", False),
        ("Tesla M60", False),
    ],
)
def test_notebooks_are_known_by_name(name, expected):
    assert is_mobile(Gpu(0, name=name)) is expected


# --- what could not be read


def test_not_supported_is_skipped():
    assert status("gpu.ecc_unc_volatile", ecc_uncorrected_volatile=NOT_SUPPORTED) == "skip"
    assert status("gpu.retired_pages", retired_pages_double_bit="Function Not Found (NVML code 13)") == "skip"


def test_no_permission_is_unknown_and_says_root():
    result = found("gpu.ecc_unc_volatile", ecc_uncorrected_volatile="Insufficient Permissions (NVML code 4)")
    assert result.status == "unknown"
    assert "sudo gpusetup check" in result.happened


def test_an_odd_failure_is_unknown():
    assert (
        status("gpu.remap_pending", ecc_mode="enabled", remapped_rows_pending="Unknown Error (NVML code 999)")
        == "unknown"
    )


def test_a_fault_of_one_gpu_counts_though_another_could_not_be_read():
    readings = {"gpu.0.ecc_uncorrected_volatile": "Unknown Error (NVML code 999)", "gpu.1.ecc_uncorrected_volatile": 1}
    assert status("gpu.ecc_unc_volatile", gpu(0), gpu(1), box=readings) == "fail"


def test_what_nvml_did_not_reach_is_unknown():
    assert status("gpu.ecc_unc_volatile", box={"nvml.outcome": "timed-out"}) == "skip"  # the first reading counts
    machine = Machine(
        gpus=(gpu(),), gpu_state=GpuState.USABLE, readings=(Reading("nvml.outcome", "nvml", "timed-out"),)
    )
    assert BY_ID["gpu.ecc_unc_volatile"].evaluate(Facts(machine)).status == "unknown"


@pytest.mark.parametrize("check_id", [one for one in BY_ID if one.startswith("gpu.")])
def test_a_machine_that_was_only_described_is_no_problem(check_id):
    machine = Machine(gpus=(gpu(), gpu(1)), gpu_state=GpuState.USABLE)
    assert BY_ID[check_id].evaluate(Facts(machine)).status == "skip"


# --- thresholds


@pytest.mark.parametrize(
    ("mode", "pending", "expected"),
    [
        ("enabled", "enabled", "pass"),
        ("enabled", "disabled", "warn"),
        ("disabled", "enabled", "warn"),
        ("disabled", "disabled", "warn"),
    ],
)
def test_ecc_mode(mode, pending, expected):
    assert status("gpu.ecc_mode", ecc_mode=mode, ecc_pending=pending) == expected


@pytest.mark.parametrize(
    "board",
    [
        {"name": "NVIDIA RTX A6000", "pci_device_id": "10de:2230"},
        {"name": "Tesla M60", "pci_device_id": "10de:13f2", "compute_capability": ComputeCapability(5, 2)},
        {"name": "A board nobody knows", "pci_device_id": "10de:ffff"},
    ],
)
def test_ecc_off_where_that_is_usual(board):
    assert status("gpu.ecc_mode", gpu(**board), ecc_mode="disabled", ecc_pending="disabled") == "pass"


@pytest.mark.parametrize(("count", "expected"), [(0, "pass"), (1, "warn"), (511, "warn"), (512, "fail")])
def test_remapped_rows(count, expected):
    assert status("gpu.remap_uncorrectable", ecc_mode="enabled", remapped_rows_uncorrected=count) == expected


@pytest.mark.parametrize(
    ("single", "double", "days", "expected"),
    [
        (0, 0, None, "pass"),
        (9, 0, None, "pass"),
        (10, 0, None, "warn"),
        (0, 15, 1, "warn"),
        (0, 16, 1, "fail"),
        (0, 16, 8, "warn"),
        (0, 16, None, "warn"),
        (60, 2, 90, "warn"),
        (60, 3, 90, "fail"),
    ],
)
def test_retired_pages(single, double, days, expected):
    times = () if days is None else (int(NOW - days * 86400),)
    result = found(
        "gpu.retired_pages",
        retired_pages_single_bit=single,
        retired_pages_double_bit=double,
        retired_pages_double_bit_times_s=times,
        retired_pages_pending=False,
    )
    assert result.status == expected


@pytest.mark.parametrize(
    ("dram", "sram", "expected"),
    [(20_000_000, 10_000, "pass"), (20_000_001, 0, "warn"), (0, 10_001, "warn")],
)
def test_corrected_errors(dram, sram, expected):
    readings = {
        "ecc_corrected_volatile": dram + sram,
        "ecc_dram_corrected_volatile": dram,
        "ecc_sram_corrected_volatile": sram,
    }
    assert status("gpu.ecc_corr_rate", **readings) == expected


@pytest.mark.parametrize(
    ("delta", "seconds", "expected"), [(27_777, 3600, "pass"), (27_778, 3600, "warn"), (100_000, 599, "pass")]
)
def test_rate_of_corrected_errors(delta, seconds, expected):
    rates = {"gpu.0.ecc_corrected_volatile": Rate(delta, seconds)}
    assert status("gpu.ecc_corr_rate", rates=rates, ecc_corrected_volatile=delta) == expected


@pytest.mark.parametrize(
    ("aggregate", "flag", "expected"), [(0, False, "pass"), (4, False, "pass"), (5, False, "warn"), (5, True, "fail")]
)
def test_sram(aggregate, flag, expected):
    readings = {"sram_ecc_threshold_exceeded": flag, "sram_ecc_uncorrected_parity_aggregate": aggregate}
    assert status("gpu.sram_ecc", **readings) == expected


@pytest.mark.parametrize(("now", "expected"), [(60, "pass"), (83, "pass"), (84, "warn"), (90, "warn")])
def test_temperature_by_threshold(now, expected):
    assert status("gpu.temp_core", temperature_c=now, temperature_slowdown_c=89) == expected


@pytest.mark.parametrize(("margin", "expected"), [(6, "pass"), (5, "warn"), (-1, "warn")])
def test_temperature_by_margin(margin, expected):
    assert status("gpu.temp_core", temperature_c=80, temperature_margin_c=margin) == expected


@pytest.mark.parametrize(("margin", "expected"), [(0, "pass"), (-1, "pass"), (-2, "warn")])
def test_a_geforce_may_warm_to_its_target(margin, expected):
    card = gpu(name="NVIDIA GeForce RTX 4090")
    readings = {"temperature_c": 84, "temperature_margin_c": margin, "temperature_slowdown_tlimit_c": -2}
    assert status("gpu.temp_core", card, **readings) == expected


@pytest.mark.parametrize(("now", "expected"), [(89, "pass"), (90, "warn")])
def test_temperature_of_memory(now, expected):
    assert status("gpu.temp_memory", temperature_memory_c=now, temperature_memory_max_c=95) == expected


@pytest.mark.parametrize(
    ("mask", "expected", "word"),
    [
        (0x0, "pass", "Neither"),
        (0x1, "pass", "Neither"),
        (0x4, "pass", "as is usual: power limit"),
        (0x2 | 0x10 | 0x100, "pass", "Neither"),
        (0x20, "warn", "warm, by software"),
        (0x24, "warn", "warm, by software"),
        (0x8, "fail", "hardware slowdown"),
        (0x48, "fail", "now: hot, by hardware."),
        (0x88, "fail", "now: power brake."),
        (0xE8, "fail", "hot, by hardware and power brake"),
        (0x8000, "pass", "Neither"),
    ],
)
def test_reasons_of_clocks(mask, expected, word):
    result = found("gpu.throttle_now", clock_event_reasons=mask)
    assert result.status == expected
    assert word in result.happened


@pytest.mark.parametrize(("mask", "expected"), [(0x88, "pass"), (0x48, "warn"), (0x20, "pass"), (0x4, "pass")])
def test_a_notebook_is_slowed_in_good_health(mask, expected):
    assert status("gpu.throttle_now", gpu(name="NVIDIA RTX A2000 Laptop GPU"), clock_event_reasons=mask) == expected


@pytest.mark.parametrize(
    ("thermal", "board", "expected"),
    [(0.0, 0.0, "pass"), (0.05, 0.05, "pass"), (0.06, 0.0, "warn"), (0.0, 0.06, "warn"), (0.9, 0.9, "warn")],
)
def test_time_slowed(thermal, board, expected):
    rates = {
        "gpu.0.violation_thermal_ns": Rate(thermal * 600e9, 600.0),
        "gpu.0.violation_board_limit_ns": Rate(board * 600e9, 600.0),
    }
    assert status("gpu.throttle_time", rates=rates) == expected


def test_time_slowed_needs_an_earlier_check():
    assert status("gpu.throttle_time") == "skip"
    assert status("gpu.throttle_time", rates={"gpu.0.violation_thermal_ns": Rate(30e9, 59.0)}) == "skip"


@pytest.mark.parametrize(("enforced", "expected"), [(400, "pass"), (380, "pass"), (379, "warn"), (500, "pass")])
def test_power_limit(enforced, expected):
    assert status("gpu.power_limit", power_limit_enforced_w=enforced, power_limit_default_w=400) == expected


def test_peers_of_a_desktop_with_different_limits_only_warn():
    cards = [gpu(index, name="NVIDIA GeForce RTX 3090", pci_device_id="10de:2204") for index in (0, 1)]
    readings = {"gpu.0.power_limit_enforced_w": 280.0, "gpu.1.power_limit_enforced_w": 350.0}
    assert status("gpu.power_limit", *cards, box=readings, power_limit_default_w=350.0) == "warn"


@pytest.mark.parametrize(
    ("power", "limit", "name", "expected"),
    [
        (200.0, 400.0, "NVIDIA A100-SXM4-80GB", "pass"),
        (NOT_SUPPORTED, 400.0, "NVIDIA A100-SXM4-80GB", "warn"),
        (NOT_SUPPORTED, NOT_SUPPORTED, "NVIDIA A100-SXM4-80GB", "skip"),
        (NOT_SUPPORTED, 80.0, "NVIDIA GeForce RTX 4070 Laptop GPU", "skip"),
        (NOT_SUPPORTED, 80.0, "NVIDIA GeForce GTX 1050 Ti", "skip"),
    ],
)
def test_power_that_can_be_read(power, limit, name, expected):
    card = gpu(name=name, pci_device_id=None)
    assert status("gpu.power_readable", card, power_w=power, power_limit_enforced_w=limit) == expected


@pytest.mark.parametrize(
    ("used", "reserved", "expected"),
    [
        (500 * MIB, 600 * MIB, "pass"),
        (501 * MIB, 600 * MIB, "warn"),
        (2000 * MIB, "old (NVML code 13)", "pass"),
        (2100 * MIB, "old (NVML code 13)", "warn"),
    ],
)
def test_memory_without_a_process(used, reserved, expected):
    readings = {"memory_used_bytes": used, "memory_reserved_bytes": reserved, "compute_pids": ()}
    assert status("gpu.idle_memory", **readings) == expected


@pytest.mark.parametrize(
    "reason",
    [
        {"graphics_pids": (900,)},
        {"compute_pids": (901,)},
        {"display_active": "enabled"},
        {"virtualization_mode": "host-vgpu"},
        {"compute_pids": NOT_SUPPORTED},
    ],
)
def test_memory_that_has_an_owner(reason):
    readings = {
        "memory_used_bytes": 9 * GIB,
        "memory_reserved_bytes": 0,
        "compute_pids": (),
        "graphics_pids": (),
        **reason,
    }
    assert status("gpu.idle_memory", **readings) in {"pass", "skip"}


@pytest.mark.parametrize(
    ("free", "pids", "expected"), [(10, (7,), "pass"), (9.9, (7,), "warn"), (1, (), "pass"), (50, (), "pass")]
)
def test_room_beside_other_programs(free, pids, expected):
    readings = {"memory_free_bytes": int(free * GIB), "memory_total_bytes": 100 * GIB, "compute_pids": pids}
    assert status("gpu.foreign_procs", **readings) == expected


def test_many_processes_are_not_all_named():
    readings = {"memory_free_bytes": 0, "memory_total_bytes": GIB, "compute_pids": tuple(range(1, 10))}
    assert "processes 1, 2, 3, 4, 5, 6 and 3 more hold it" in found("gpu.foreign_procs", **readings).happened


def test_living_processes_pass():
    assert status("gpu.ghost_pids", box={"gpu.dead_pids": ()}, compute_pids=(7,)) == "pass"
    assert status("gpu.ghost_pids", box={"gpu.dead_pids": (7,)}, compute_pids=(7,)) == "fail"
    assert status("gpu.ghost_pids", box={"gpu.dead_pids": "another namespace (x)"}) == "skip"


@pytest.mark.parametrize(
    ("busy", "mask", "clock", "expected"),
    [(100, 0x2, 1269, "pass"), (100, 0x2, 1268, "warn"), (49, 0x2, 600, "pass"), (100, 0x6, 600, "pass")],
)
def test_locked_clocks(busy, mask, clock, expected):
    readings = {
        "utilization_gpu_percent": busy,
        "clock_event_reasons": mask,
        "clock_graphics_mhz": clock,
        "clock_graphics_max_mhz": 1410,
    }
    assert status("gpu.clock_locked", **readings) == expected


# --- licences, confidential computing


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"licence_supported": True, "licence_active": True}, "pass"),
        ({"licence_supported": True, "licence_active": False}, "fail"),
        ({"licence_supported": False}, "pass"),
        ({"licence_supported": True, "licence_active": True, "licence_expiry": "invalid"}, "warn"),
        ({"licence_supported": True, "licence_active": True, "licence_expires": "2026-01-31T00:00:00Z"}, "warn"),
        ({"licence_supported": True, "licence_active": True, "licence_expires": "2027-01-31T00:00:00Z"}, "pass"),
        ({"licence_supported": True, "licence_active": True, "licence_expires": "soon"}, "pass"),
        ({"licence_supported": NOT_SUPPORTED}, "unknown"),
    ],
)
def test_licence_of_a_virtual_gpu(facts, expected):
    assert status("gpu.vgpu_guest", virtualization_mode="vgpu", **facts) == expected
    assert status("gpu.vgpu_guest", virtualization_mode="passthrough", **facts) == "skip"


@pytest.mark.parametrize(
    ("mode", "ready", "expected"),
    [
        ("enabled", True, "pass"),
        ("enabled", False, "fail"),
        ("enabled", "No Permission (NVML code 4)", "unknown"),
        ("disabled", False, "skip"),
    ],
)
def test_confidential_computing(mode, ready, expected):
    assert status("gpu.conf_compute", box={"nvml.conf_compute": mode, "nvml.conf_compute_ready": ready}) == expected


# --- NVIDIA's own diagnosis


def diagnosed(*results, failure=None):
    machine = Machine(gpus=(gpu(),), gpu_state=GpuState.USABLE)
    first = Reading("dcgm.diag", "dcgmi", None if failure else len(results), failure)
    rows = tuple(Reading("dcgm.test", "dcgmi", ("Hardware", *result)) for result in results)
    readings = (Reading("nvml.outcome", "nvml", "answered"), first, *rows)
    changed = Machine(gpus=machine.gpus, gpu_state=machine.gpu_state, readings=readings)
    return BY_ID["gpu.dcgm_diag"].evaluate(Facts(changed))


@pytest.mark.parametrize(
    ("results", "expected", "happened"),
    [
        (
            [("memory", "0", "pass", None, ""), ("pcie", "0", "skip", None, "")],
            "pass",
            "NVIDIA's diagnosis passed 1 test; DCGM skipped pcie.",
        ),
        (
            [("memory", "0", "skip", None, "")],
            "skip",
            "DCGM made none of its tests on these GPUs; DCGM skipped memory.",
        ),
        ([("memory", "3", "fail", 2, "bad")], "fail", "NVIDIA's diagnosis failed memory (GPU 3)."),
        ([("memory", "3", "fail", None, "bad")], "fail", "NVIDIA's diagnosis failed memory (GPU 3)."),
        ([("software", "", "fail", 5, "x")], "warn", "NVIDIA's diagnosis warns of software."),
        (
            [("pcie", "0,10,9", "warn", None, "x")],
            "warn",
            "NVIDIA's diagnosis warns of pcie (GPUs 0 and 9-10).",
        ),
    ],
)
def test_diagnosis(results, expected, happened):
    result = diagnosed(*results)
    assert (result.status, result.happened) == (expected, happened)


def test_diagnosis_that_was_not_made():
    assert diagnosed(failure="dcgmi is not installed").status == "skip"
    assert diagnosed(failure="unable to connect to the host engine").status == "unknown"
    assert status("gpu.dcgm_diag") == "skip"
