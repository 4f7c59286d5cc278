from __future__ import annotations

import pytest

from provision.detect.probes.fabric import (
    count_nodes,
    parse_imex_status,
    parse_units,
    parse_version,
    read_files,
    read_services,
)
from provision.detect.probes.fabric_ports import parse_rate, parse_state, read_counters, read_ports
from provision.detect.surroundings import Kernel, Surroundings
from provision.process import Completed
from provision.records import Gpu, Machine, Reading

NO_GPU = Machine()
TWO_GPUS = Machine(gpus=(Gpu(0), Gpu(1)))
UNITS = (
    "Result=exit-code\nId=nvidia-fabricmanager.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\n"
    "UnitFileState=enabled\n\n"
    "Result=success\nId=nvidia-imex.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n"
)
HELPER = "/lib/systemd/system"


def around(tree, **changes):
    given = {"root": tree.root, "environ": {}, "kernel": Kernel("Linux", "6.8.0", "x86_64", "box")}
    return Surroundings(**{**given, **changes})


def port(tree, card, number, **files):
    plain = {"link_layer": "InfiniBand", "state": "4: ACTIVE", "phys_state": "5: LinkUp", "rate": "400 Gb/sec (4X NDR)"}
    folder = f"/sys/class/infiniband/{card}/ports/{number}"
    for name, text in {**plain, **files}.items():
        tree.write(f"{folder}/{name}", f"{text}\n")
    return folder


def by_name(readings):
    return {one.name: one.value if one.failure is None else one.failure for one in readings}


def test_blocks_of_systemctl_show():
    assert parse_units(UNITS) == {
        "nvidia-fabricmanager.service": ("loaded", "failed", "failed", "exit-code", "enabled"),
        "nvidia-imex.service": ("not-found", "inactive", "dead", "success", ""),
    }


@pytest.mark.parametrize("text", ["", "Id=x.service\n", "System has not been booted with systemd as init system\n"])
def test_no_state_in_what_systemctl_says(text):
    assert parse_units(text) == {}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("\n\n\tFabric Manager version is : 535.161.08\n\n", "535.161.08"),
        ("Fabric Manager version is : 580.159.03\n", "580.159.03"),
        ("IMEX version is: 570.86\n", "570.86"),
        ("Fabric Manager version is : \n", None),
        ("command not found", None),
    ],
)
def test_version_of_a_service(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("text", "status"),
    [("READY\n", "READY"), ("WAITING_FOR_PEERS\n", "WAITING_FOR_PEERS"), ("Failed to connect\n", None), ("", None)],
)
def test_status_of_imex(text, status):
    assert parse_imex_status(text) == status


def test_nodes_of_imex():
    assert count_nodes("# nodes\n10.0.0.1\n\n  10.0.0.2\n") == 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("4: ACTIVE\n", "ACTIVE"),
        ("1: DOWN\n", "DOWN"),
        ("5: LinkUp", "LinkUp"),
        ("2: Polling", "Polling"),
        ("0: <unknown>", "<unknown>"),
        ("ACTIVE", None),
        ("", None),
    ],
)
def test_state_of_a_port(text, word):
    assert parse_state(text) == word


@pytest.mark.parametrize(
    ("text", "rate"), [("400 Gb/sec (4X NDR)\n", 400.0), ("2.5 Gb/sec (1X SDR)\n", 2.5), ("", None), ("fast", None)]
)
def test_rate_of_a_port(text, rate):
    assert parse_rate(text) == rate


def test_a_machine_without_any_of_it(tree):
    found = by_name(read_files(around(tree), NO_GPU))
    assert found["fabric.modules"] == ()
    assert found["fabric.unit_files"] == ()
    assert "No such file" in found["fabric.switch_devices"]
    assert by_name(read_ports(around(tree), NO_GPU)) == {"ib.devices": ()}
    assert list(read_counters(around(tree), NO_GPU)) == []
    assert list(read_services(around(tree), NO_GPU)) == []


def test_switches_modules_and_units(tree):
    tree.write("/proc/driver/nvidia-nvswitch/devices/0000:05:00.0/information", "")
    tree.write("/sys/module/ib_umad/refcnt", "0\n")
    tree.write(f"{HELPER}/nvidia-fabricmanager.service", "")
    found = by_name(read_files(around(tree), NO_GPU))
    assert found == {"fabric.switch_devices": 1, "fabric.modules": ("ib_umad",), "fabric.unit_files": ("manager",)}


def test_nodes_of_imex_are_counted_and_not_kept(tree):
    tree.write(f"{HELPER}/nvidia-imex.service", "")
    tree.write("/etc/nvidia-imex/nodes_config.cfg", "10.11.12.13\n10.11.12.14\n")
    here = around(tree)
    assert by_name(read_files(here, NO_GPU))["fabric.imex_nodes"] == 2
    assert "10.11.12" not in repr(here.memory.looks)


def test_services_are_asked_for_and_the_process_found(tree):
    tree.write(f"{HELPER}/nvidia-fabricmanager.service", "")
    tree.write("/proc/7/comm", "bash\n")
    tree.write("/proc/31082/comm", "nv-fabricmanage\n")
    for name in ("systemctl", "nv-fabricmanager"):
        tree.write(f"/usr/bin/{name}", "").chmod(0o755)

    def runner(argv, **_):
        return Completed(
            tuple(argv), returncode=0, stdout=UNITS if "show" in argv else "Fabric Manager version is : 570.1.2"
        )

    found = by_name(read_services(around(tree, runner=runner), NO_GPU))
    assert found["fabric.manager_unit"] == ("loaded", "failed", "failed", "exit-code", "enabled")
    assert found["fabric.manager_process"] is True
    assert found["fabric.manager_version"] == "570.1.2"
    assert found["fabric.nvlsm"] is False


def test_a_systemctl_that_says_nothing_is_a_reason(tree):
    tree.write(f"{HELPER}/nvidia-fabricmanager.service", "")
    tree.write("/proc/7/comm", "bash\n")
    found = by_name(read_services(around(tree), NO_GPU))
    assert found["fabric.manager_unit"] == "systemctl is not installed"
    assert found["fabric.manager_process"] is False


def test_ports_of_both_kinds(tree):
    port(tree, "mlx5_0", 1)
    port(tree, "mlx5_1", 1, link_layer="Ethernet")
    tree.write("/sys/class/infiniband/mlx5_0/fw_ver", "28.39.2048\n")
    tree.write("/sys/class/infiniband/mlx5_0/board_id", "MT_0000000838\n")
    readings = list(read_ports(around(tree), NO_GPU))
    assert [one.value for one in readings if one.name == "ib.port"] == [
        ("mlx5_0/1", "InfiniBand", "ACTIVE", "LinkUp", 400.0),
        ("mlx5_1/1", "Ethernet", None, None, None),
    ]
    assert [one.value for one in readings if one.name == "ib.device"] == [
        ("mlx5_0", "28.39.2048", "MT_0000000838", None)
    ]
    assert isinstance(by_name(readings)["ib.memlock_bytes"], int)


def test_virtual_functions_are_left_out(tree):
    port(tree, "mlx5_0", 1)
    port(tree, "mlx5_2", 1)
    tree.write("/sys/class/infiniband/mlx5_2/device/physfn/vendor", "")
    assert by_name(read_ports(around(tree), NO_GPU))["ib.devices"] == ("mlx5_0",)


def test_a_port_without_a_state_has_a_reason(tree):
    folder = port(tree, "mlx5_0", 1, state="")
    found = by_name(read_ports(around(tree), NO_GPU))
    assert found["ib.port"] == f"{folder}/state holds no state"


def test_counters(tree):
    folder = port(tree, "mlx5_0", 1)
    tree.write(f"{folder}/counters/link_downed", "3\n")
    tree.write(f"{folder}/counters/symbol_error", "N/A (no PMA)\n")
    found = by_name(read_counters(around(tree), NO_GPU))
    assert found["ib.mlx5_0.1.link_downed"] == 3
    assert "holds no number" in found["ib.mlx5_0.1.symbol_error"]
    assert "No such file" in found["ib.mlx5_0.1.port_rcv_errors"]


def test_a_card_that_manages_switches_is_known_and_its_data_are_not_kept(tree):
    for card in ("mlx5_0", "mlx5_1"):
        port(tree, card, 1)
    tree.write("/sys/class/infiniband/mlx5_0/device/vpd", "\x82SN MT2401X00001 SMDL=SW_MNG")
    tree.write("/sys/class/infiniband/mlx5_1/device/vpd", "\x82SN MT2401X00002")
    here = around(tree)
    assert by_name(read_counters(here, TWO_GPUS))["ib.bridges"] == ("mlx5_0",)
    assert "MT2401" not in repr(here.memory.looks)


def test_switches_on_the_bus_leave_product_data_alone(tree):
    port(tree, "mlx5_0", 1)
    machine = Machine(gpus=TWO_GPUS.gpus, readings=(Reading("pci.nvswitch", "/sys", "10de:22a3"),))
    assert "ib.bridges" not in by_name(read_counters(around(tree), machine))


def test_product_data_that_need_root_have_a_reason(tree):
    port(tree, "mlx5_0", 1)
    # Root may read every file: a folder in its place can't be read by anybody.
    tree.write("/sys/class/infiniband/mlx5_0/device/vpd/x", "")
    assert "without root" in by_name(read_counters(around(tree), TWO_GPUS))["ib.bridges"]
