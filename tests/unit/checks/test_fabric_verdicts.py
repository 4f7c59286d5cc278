"""Thresholds of the checks of NVLink, fabric and InfiniBand, at and beside their edges."""

from __future__ import annotations

import pytest

from provision.checks import all_checks
from provision.checks.fabric_state import judge_mask
from provision.checks.facts import Context, Facts, Rate
from provision.doctor import _port_counters
from provision.records import Driver, Gpu, GpuState, Host, Machine, Reading
from provision.versions import ComputeCapability, DriverVersion
from tests.bench.matrix import shipped

CHECKS = {check.id: check for check in all_checks()}
H100 = {"name": "NVIDIA H100 80GB HBM3", "pci_device_id": "10de:2330", "compute_capability": ComputeCapability(9, 0)}
SERVER = (Reading("host.kernel", "uname", "6.8.0-79-generic"),)


def facts(*readings, gpus=(), host=None, driver=None, rates=None):
    machine = Machine(
        host=host or Host(kernel="6.8.0-79-generic"),
        driver=driver,
        gpus=tuple(gpus),
        gpu_state=GpuState.USABLE if gpus else GpuState.NONE,
        readings=(*SERVER, *readings),
    )
    return Facts(machine, Context(matrix=shipped, rates=rates or {}))


def status(id_, *readings, **given):
    return CHECKS[id_].evaluate(facts(*readings, **given)).status


def h100s(count, **changes):
    return [Gpu(index, in_nvml=True, **{**H100, **changes}) for index in range(count)]


def states(index, up, of):
    value = ("active",) * up + ("inactive",) * (of - up)
    return Reading(f"gpu.{index}.nvlink_state", "nvml", value)


# --- NVLink


@pytest.mark.parametrize(
    ("up", "expected"), [((18, 18), "pass"), ((17, 18), "fail"), ((0, 0), "fail"), ((18,), "skip"), ((0,), "skip")]
)
def test_links_of_sxm_boards(up, expected):
    found = [states(index, one, 18) for index, one in enumerate(up)]
    assert status("link.nvlink_up", *found, gpus=h100s(len(up))) == expected


@pytest.mark.parametrize(("up", "expected"), [((4, 4), "pass"), ((3, 4), "warn"), ((0, 0), "skip"), ((0, 4), "pass")])
def test_links_of_cards(up, expected):
    card = {"name": "NVIDIA RTX A6000", "pci_device_id": "10de:2230", "compute_capability": ComputeCapability(8, 6)}
    found = [states(index, one, 4) for index, one in enumerate(up)]
    assert status("link.nvlink_up", *found, gpus=h100s(2, **card)) == expected


@pytest.mark.parametrize(("up", "expected"), [((4, 4, 4), "pass"), ((4, 4, 3), "warn")])
def test_older_boards_are_held_against_their_neighbours_only(up, expected):
    board = {
        "name": "Tesla V100-SXM2-16GB",
        "pci_device_id": "10de:1db1",
        "compute_capability": ComputeCapability(7, 0),
    }
    found = [states(index, one, 6) for index, one in enumerate(up)]
    assert status("link.nvlink_up", *found, gpus=h100s(3, **board)) == expected


def test_mig_switches_the_links_off():
    found = [states(index, 0, 18) for index in range(2)]
    assert status("link.nvlink_up", *found, gpus=h100s(2, mig_mode="enabled")) == "skip"


def test_a_link_that_gave_no_state_is_no_pass():
    found = Reading("gpu.0.nvlink_state", "nvml", ("active", None))
    assert status("link.nvlink_up", found, states(1, 18, 18), gpus=h100s(2)) == "unknown"
    broken = Reading("gpu.0.nvlink_state", "nvml", failure="unknown error (NVML code 999)")
    assert status("link.nvlink_up", broken, gpus=h100s(2)) == "unknown"
    none = Reading("gpu.0.nvlink_state", "nvml", failure="not supported (NVML code 3)")
    assert status("link.nvlink_up", none, gpus=h100s(2)) == "skip"


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Rate(0.0, 600.0), "pass"),
        (Rate(1.0, 3600.0), "fail"),
        (Rate(1.0, 3601.0), "warn"),
        (Rate(3.0, 7200.0), "fail"),
    ],
)
def test_replays_by_growth(rate, expected):
    found = Reading("gpu.0.nvlink_replay_errors", "nvml", (0, 5))
    rates = {"gpu.0.nvlink_replay_errors": rate}
    assert status("link.nvlink_errors", found, gpus=h100s(1), rates=rates) == expected


@pytest.mark.parametrize(("per_second", "expected"), [(99.0, "pass"), (100.0, "fail")])
def test_checksum_errors_by_growth(per_second, expected):
    found = Reading("gpu.0.nvlink_dl_crc_errors", "nvml", (0, 5))
    rates = {"gpu.0.nvlink_dl_crc_errors": Rate(per_second * 60.0, 60.0)}
    assert status("link.nvlink_errors", found, gpus=h100s(1), rates=rates) == expected


@pytest.mark.parametrize(
    ("counter", "expected"),
    [("nvlink_replay_errors", "pass"), ("nvlink_dl_crc_errors", "pass"), ("nvlink_recovery_events", "warn")],
)
def test_counts_without_an_earlier_run_never_fail(counter, expected):
    assert status("link.nvlink_errors", Reading(f"gpu.0.{counter}", "nvml", (0, 9)), gpus=h100s(1)) == expected


@pytest.mark.parametrize(("rate", "expected"), [(1.5e-254, "pass"), (1e-12, "pass"), (2e-12, "warn")])
def test_bit_error_rates(rate, expected):
    assert (
        status("link.nvlink_ber", Reading("gpu.0.nvlink_symbol_ber", "nvml", (rate, None)), gpus=h100s(1)) == expected
    )


# --- fabric


@pytest.mark.parametrize(
    ("mask", "hard", "soft"),
    [
        (0, 0, 0),
        (0x1AA, 0, 0),
        (0x1A9, 1, 0),
        (0x1A6, 0, 1),
        (0x19A, 1, 0),
        (0x16A, 0, 1),
        (0x2AA, 1, 0),
        (0x7AA, 1, 0),
        (0x0AA, 0, 0),
    ],
)
def test_health_mask_of_the_fabric(mask, hard, soft):
    found = judge_mask(mask)
    assert (len(found[0]), len(found[1])) == (hard, soft)


SWITCH = Reading("pci.nvswitch", "/sys/bus/pci/devices/0000:05:00.0", "10de:22a3 class 0680 driver nvidia-nvswitch")
LOOKED = (Reading("fabric.unit_files", "systemd", ()), Reading("fabric.manager_process", "/proc", False))
DRIVER = Driver(kernel_module="open", kernel_module_version=DriverVersion("570.124.06"))


def test_a_fabric_that_is_complete_needs_no_unit_here():
    complete = [Reading(f"gpu.{index}.fabric_state", "nvml", "completed") for index in range(2)]
    given = {"gpus": h100s(2), "driver": DRIVER}
    assert status("fabric.manager", SWITCH, *LOOKED, *complete, **given) == "pass"
    assert status("fabric.manager", SWITCH, *LOOKED, **given) == "fail"


def test_switches_of_a_virtual_machine_are_its_own():
    away = Reading("pci.nvswitch", SWITCH.source, "10de:22a3 class 0680 driver vfio-pci")
    assert status("fabric.manager", away, *LOOKED, gpus=h100s(2), driver=DRIVER) == "skip"


def test_a_systemctl_that_does_not_answer_is_no_failure():
    silent = Reading("fabric.manager_unit", "systemctl", failure="no answer in time")
    assert status("fabric.manager", SWITCH, *LOOKED, silent, gpus=h100s(2), driver=DRIVER) == "unknown"


def test_new_boards_in_a_virtual_machine_may_have_their_switches_elsewhere():
    board = {"name": "NVIDIA B200", "pci_device_id": "10de:2901", "compute_capability": ComputeCapability(10, 0)}
    given = {"gpus": h100s(2, **board), "driver": DRIVER}
    assert status("fabric.manager", *LOOKED, **given) == "fail"
    assert status("fabric.manager", *LOOKED, **given, host=Host(kernel="6.8.0", virtualization="kvm")) == "skip"


@pytest.mark.parametrize(
    ("active", "file", "expected"),
    [("inactive", "disabled", "skip"), ("inactive", "enabled", "fail"), ("failed", "disabled", "fail")],
)
def test_imex_that_nobody_switched_on_is_no_fault(active, file, expected):
    unit = Reading("fabric.imex_unit", "systemctl", ("loaded", active, "dead", "success", file))
    assert status("fabric.imex", unit, gpus=h100s(1), driver=DRIVER) == expected


# --- InfiniBand


def ports(*shown, board="MT_1"):
    """One card for each: state, physical state, rate."""
    found = [Reading("ib.devices", "sysfs", tuple(f"mlx5_{number}" for number in range(len(shown))))]
    for number, (state, physical, rate) in enumerate(shown):
        found.append(Reading("ib.port", "sysfs", (f"mlx5_{number}/1", "InfiniBand", state, physical, rate)))
        found.append(Reading("ib.device", "sysfs", (f"mlx5_{number}", "28.1", board, f"0000:{number:02x}:00.0")))
    return found


UP, DOWN = ("ACTIVE", "LinkUp", 400.0), ("DOWN", "Polling", 10.0)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ((UP, DOWN), "pass"),
        ((UP, UP, DOWN), "pass"),
        ((UP, UP, UP, DOWN), "warn"),
        ((DOWN, DOWN), "pass"),
        ((UP, ("DOWN", "Disabled", 10.0)), "pass"),
        ((UP, ("INIT", "LinkUp", 400.0)), "warn"),
    ],
)
def test_ports_of_an_ordinary_server(shown, expected):
    assert status("ib.ports", *ports(*shown)) == expected


@pytest.mark.parametrize(("downed", "expected"), [(0, "pass"), (1, "warn")])
def test_a_port_that_was_up_is_missed(downed, expected):
    counter = Reading("ib.mlx5_1.1.link_downed", "sysfs", downed)
    assert status("ib.ports", *ports(UP, DOWN), counter) == expected


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [(8, 0, "pass"), (7, 1, "fail"), (7, 0, "warn"), (5, 0, "warn"), (4, 0, "pass"), (1, 0, "pass"), (0, 2, "pass")],
)
def test_ports_of_a_full_training_machine(up, down, expected):
    assert status("ib.ports", *ports(*[UP] * up, *[DOWN] * down), gpus=h100s(8)) == expected


def test_slower_ports_are_for_storage():
    slow = ("ACTIVE", "LinkUp", 200.0)
    assert status("ib.ports", *ports(slow, slow), gpus=h100s(8)) == "pass"


def test_cards_that_manage_switches_are_no_ports():
    bridges = Reading("ib.bridges", "vpd", ("mlx5_3",))
    assert status("ib.ports", *ports(UP, UP, UP, DOWN), bridges) == "pass"


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Rate(4.0, 60.0), "pass"),
        (Rate(5.0, 86400.0), "warn"),
        (Rate(5.0, 86401.0), "pass"),
        (Rate(10.0, 2 * 86400.0), "warn"),
    ],
)
def test_flaps_in_a_day(rate, expected):
    counter = Reading("ib.mlx5_0.1.link_downed", "sysfs", 10)
    assert status("ib.flaps", *ports(UP), counter, rates={"ib.mlx5_0.1.link_downed": rate}) == expected


@pytest.mark.parametrize(("most", "expected"), [(19, "pass"), (20, "warn"), (200, "warn")])
def test_flaps_against_the_other_ports(most, expected):
    counts = [Reading(f"ib.mlx5_{number}.1.link_downed", "sysfs", one) for number, one in enumerate((1, 2, most))]
    assert status("ib.flaps", *ports(UP, UP, UP), *counts) == expected
    assert status("ib.flaps", *ports(UP), Reading("ib.mlx5_0.1.link_downed", "sysfs", most)) == "pass"


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(Rate(9.0, 60.0), "pass"), (Rate(10.0, 600.0), "warn"), (Rate(10.0, 601.0), "pass"), (Rate(0.0, 600.0), "pass")],
)
def test_errors_of_a_port(rate, expected):
    counter = Reading("ib.mlx5_0.1.symbol_error", "sysfs", 65535)
    assert status("ib.errors", *ports(UP), counter, rates={"ib.mlx5_0.1.symbol_error": rate}) == expected


def test_counters_that_can_not_be_read_are_no_pass():
    for check in ("ib.flaps", "ib.errors"):
        assert status(check, *ports(UP)) == "unknown"


@pytest.mark.parametrize(
    ("flavour", "kernel", "loaded", "expected"),
    [
        ("open", "5.12.0", (), "pass"),
        ("open", "5.11.22", (), "warn"),
        ("proprietary", "6.8.0", (), "warn"),
        ("proprietary", "6.8.0", ("nvidia_peermem",), "pass"),
        (None, "6.8.0", (), "unknown"),
    ],
)
def test_ways_to_gpu_memory(flavour, kernel, loaded, expected):
    driver = Driver(kernel_module=flavour, kernel_module_version=DriverVersion("570.124.06"))
    readings = (Reading("driver.module_version", "sysfs", "570.124.06"), Reading("fabric.modules", "sysfs", loaded))
    found = status("ib.gdr", *ports(UP), *readings, gpus=h100s(1), driver=driver, host=Host(kernel=kernel))
    assert found == expected


def test_memory_that_may_be_locked_matters_to_those_who_may_use_the_cards():
    limit = Reading("ib.memlock_bytes", "getrlimit", 65536)
    assert status("ib.memlock", *ports(UP), limit, Reading("ib.verbs_node", "/dev/infiniband", True)) == "warn"
    assert status("ib.memlock", *ports(UP), limit, Reading("ib.verbs_node", "/dev/infiniband", False)) == "skip"


def test_counters_of_ports_are_kept_for_the_next_run():
    machine = Machine(
        readings=(
            Reading("ib.mlx5_0.1.link_downed", "sysfs", 3),
            Reading("ib.mlx5_0.1.symbol_error", "sysfs", failure="absent"),
            Reading("ib.port", "sysfs", ("mlx5_0/1", "InfiniBand", "ACTIVE", "LinkUp", 400.0)),
        )
    )
    assert _port_counters(machine) == {"ib.mlx5_0.1": {"link_downed": 3}}
