from __future__ import annotations

import pytest

from provision.detect.pci import detect_pci, parse_class, parse_id
from provision.detect.surroundings import Surroundings
from provision.spellings import normal_bus_id


def bus(tree):
    return detect_pci(Surroundings(root=tree.root, environ={}))


def named(found, name):
    return [reading.value for reading in found.readings if reading.name == name]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("00000000:07:00.0", "0000:07:00.0"),
        ("0000:0A:00.0", "0000:0a:00.0"),
        ("0000AF5D:00:00.0", "af5d:00:00.0"),
        ("00010000:E1:00.0", "10000:e1:00.0"),
        ("0:7:0.0", "0000:07:00.0"),
        ("07:00.0", "0000:07:00.0"),
        ("N/A", None),
        ("0000:07:00.0; rm", None),
    ],
)
def test_bus_ids_have_one_form(text, normal):
    assert normal_bus_id(text) == normal


def test_sysfs_numbers():
    assert parse_class("0x030200\n") == 0x0302
    assert parse_class("030200") is None
    assert parse_id("0x10DE\n") == "10de"
    assert parse_id("garbage") is None


def test_gpus_with_their_driver(tree):
    tree.pci("0000:07:00.0", "10de:20b2", driver="nvidia")
    tree.pci("0000:01:00.0", "10de:2204", class_code="0x030000")
    tree.pci("0000:01:00.1", "10de:1aef", class_code="0x040300")
    found = bus(tree)
    assert [(one.bus_id, one.device_id, one.driver) for one in found.nvidia] == [
        ("0000:01:00.0", "10de:2204", None),
        ("0000:07:00.0", "10de:20b2", "nvidia"),
    ]
    assert found.is_readable


def test_nvswitch_is_a_reading_and_no_gpu(tree):
    tree.pci("0000:c4:00.0", "10de:22a3", class_code="0x068000")
    found = bus(tree)
    assert found.nvidia == ()
    assert named(found, "pci.nvswitch") == ["10de:22a3 class 0680 driver none"]


def test_other_makers_are_named(tree):
    tree.pci("0000:03:00.0", "1002:73bf", class_code="0x030000", driver="amdgpu")
    tree.pci("0000:04:00.0", "1002:74a1", class_code="0x120000")
    tree.pci("0000:00:02.0", "8086:9a49", class_code="0x030000")
    tree.pci("0000:00:0b.0", "8086:7d1d", class_code="0x120000")  # an NPU, no GPU
    assert [(one.vendor, one.pci_device_id) for one in bus(tree).others] == [
        ("Intel", "8086:9a49"),
        ("AMD", "1002:73bf"),
        ("AMD", "1002:74a1"),
    ]


@pytest.mark.parametrize(
    "device", ["1a03:2000", "102b:0536", "1234:1111", "15ad:0405", "1af4:1050", "1013:00b8", "1002:515e"]
)
def test_console_adapters_are_readings_only(tree, device):
    tree.pci("0000:02:00.0", device, class_code="0x030000")
    found = bus(tree)
    assert found.others == ()
    assert len(named(found, "pci.console")) == 1


def test_no_bus_is_a_reading(tree):
    found = bus(tree)
    assert not found.is_readable
    assert found.readings[0].failure == "there is no PCI bus in sysfs"
