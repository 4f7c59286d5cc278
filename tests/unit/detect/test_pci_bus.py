from __future__ import annotations

import pytest

from provision.detect.probes.pci_bus import parse_acs, parse_aer, parse_nodes, parse_path, parse_windows


def test_the_ports_above_a_function():
    target = "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:08.0/0000:04:00.0"
    assert parse_path(target) == ("0000:00:01.0", "0000:01:00.0", "0000:02:08.0", "0000:04:00.0")
    assert parse_path("../../../devices/pci0000:00/0000:00:1e.0") == ("0000:00:1e.0",)
    assert parse_path("") == ()
    deep = "/".join(f"0000:{bus:02x}:00.0" for bus in range(40))
    assert len(parse_path(deep)) == 9


def test_error_counters_without_their_total():
    assert parse_aer("RxErr 0\nBadTLP 3\nTOTAL_ERR_COR 3\n") == {"RxErr": 0, "BadTLP": 3}
    assert parse_aer("garbage\nBadTLP x\n") == {}


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("0x000000e000000000 0x000000efffffffff 0x000000000014220c", 64 * 1024**3),
        ("0x0000000000000000 0x0000000000000000 0x0000000000000000", 0),
        ("0x0000000000000000 0x0000000fffffffff 0x000000002014220c", 0),  # wanted, and nowhere put
        ("0x00000000f6000000 0x00000000f6ffffff 0x0000000020040200", 0),
    ],
)
def test_memory_windows(line, size):
    assert parse_windows(f"0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n{line}\n") == {
        0: 16 * 1024**2,
        1: size,
    }


def test_windows_of_garbage():
    assert parse_windows("") == {}
    assert parse_windows("0x0 0x1\nhello\n") == {}


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-1\n", 2), ("0-3,8\n", 5), ("", 0), ("x\n", 0)])
def test_nodes(text, count):
    assert parse_nodes(text) == count


def test_access_control_of_bridges():
    text = (
        "0000:00:01.0 PCI bridge: Intel\n\t\tACSCap:\tSrcValid+ ReqRedir+\n"
        "\t\tACSCtl:\tSrcValid+ TransBlk- ReqRedir+ CmpltRedir- UpstreamFwd+ EgressCtrl- DirectTrans-\n"
        "0000:00:02.0\n\t\tACSCtl:\tSrcValid- ReqRedir-\n"
    )
    assert parse_acs(text) == {"0000:00:01.0": ("SrcValid", "ReqRedir", "UpstreamFwd"), "0000:00:02.0": ()}
