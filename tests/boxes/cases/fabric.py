"""Sick machines of the area fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.checks.facts import Rate
from tests.boxes.healthy import _layered, _machine, container, gh200, h100x8, l40s, rtx3090_p40, v100
from tests.boxes.layers.fabric import IMEX, MANAGER, MLX5, PROPERTIES, card, manager, port, unit

from . import Case

if TYPE_CHECKING:
    from tests.boxes import Box

_WAITS = {"*.fabric": "2,0,0,0,0"}


def _manager_down() -> Box:
    box = manager(h100x8(), active="inactive", sub="dead").answer("process nv-fabricmanager", False)
    return box.nvml(**_WAITS)


def _no_manager() -> Box:
    box = h100x8().without(f"/lib/systemd/system/{MANAGER}").program("nv-fabricmanager", None)
    return box.answer("process nv-fabricmanager", False).nvml(**_WAITS)


def _wrong_release() -> Box:
    box = manager(h100x8(), active="failed", sub="failed", result="exit-code", release="570.86.15")
    return box.answer("process nv-fabricmanager", False).nvml(**_WAITS)


def b200x8() -> Box:
    """Eight B200: no NVSwitch on the bus, cards that manage them instead."""
    buses = ("1b", "43", "52", "61", "9d", "c3", "d1", "df")
    box = _layered(
        _machine("b200x8", "h100x8", driver="570.133.20", devices={f"0000:{bus}:00.0": "2901" for bus in buses})
    )
    names = {f"{index}.name": "NVIDIA B200" for index in range(8)}
    ids = {f"{index}.pci_device_id": "0x290110DE" for index in range(8)}
    box.nvml(**names, **ids, **{f"{index}.cc": "10.0" for index in range(8)})
    return box.answer("process nv-fabricmanager", False)


def _nvlink5_without_parts() -> Box:
    return manager(b200x8(), active="failed", sub="failed", result="exit-code").nvml(**_WAITS)


def _imex(active: str, status: str | None, *, sub: str = "dead", result: str = "success") -> Box:
    box = gh200().file(f"/lib/systemd/system/{IMEX}", "[Unit]\n").answer("imex nodes", 18)
    box.command(f"systemctl show {IMEX} --property={PROPERTIES}", unit(IMEX, active, sub, result))
    box.command("nvidia-imex --version", "IMEX version is: 580.82.07\n")
    box.node("/dev/nvidia-caps-imex-channels/channel0", major=234)
    if status is None:
        return box.command("nvidia-imex-ctl -q", "", returncode=1, stderr="Failed to connect\n")
    return box.command("nvidia-imex-ctl -q", f"{status}\n")


def _nvlink(gpu: int, link: int, counter: int, count: int) -> dict[str, object]:
    """Counter 0: replay, 1: recovery, 2 and 3: checksums."""
    return {f"{gpu}.nvlink_error.{link}.{counter}": count}


def _port_down(box: Box) -> Box:
    return port(box, "mlx5_3", 1, state="1: DOWN", physical="2: Polling", rate="10 Gb/sec (4X SDR)", link_downed=1)


def _four_ports(box: Box) -> Box:
    """A server with four cards of one kind."""
    for number in range(4):
        card(box, f"mlx5_{number}", board="MT_0000000223", firmware="20.39.2048")
        port(box, f"mlx5_{number}", 1, rate="200 Gb/sec (4X HDR)")
    return box


def _never_linked() -> Box:
    box = _four_ports(l40s())
    return port(box, "mlx5_2", 1, state="1: DOWN", physical="2: Polling", rate="10 Gb/sec (4X SDR)")


def _rdma_container() -> Box:
    """A container that was given an InfiniBand port beside its GPU."""
    box, host = container(), h100x8()
    for (kind, key), look in host.looks.items():
        if "infiniband" in key and (kind, key) not in box.looks:
            box.looks[kind, key] = look
    return box


CASES: tuple[Case, ...] = (
    Case(
        "fabric manager is stopped",
        _manager_down,
        "fabric.manager",
        pitfall=("fabric-manager-not-running",),
        says=("is not started", "4 NVSwitches", "802"),
    ),
    Case(
        "fabric manager is not installed",
        _no_manager,
        "fabric.manager",
        pitfall=("fabric-manager-not-running",),
        says=("not installed",),
    ),
    Case("a GPU waits for its fabric", _manager_down, "fabric.state", leads="fabric.manager", says=("in-progress",)),
    Case(
        "fabric manager of another release failed",
        _wrong_release,
        "fabric.manager",
        pitfall=("fabric-manager-version-mismatch",),
        says=("570.86.15", "570.124.06"),
    ),
    Case(
        "fabric manager was exchanged on the disk",
        lambda: manager(h100x8(), release="570.133.20"),
        "fabric.manager",
        status="warn",
        pitfall=("fabric-manager-version-mismatch",),
        says=("570.133.20", "will not start again"),
    ),
    Case(
        "fabric manager is starting",
        lambda: (
            manager(h100x8(), active="activating", sub="start")
            .answer("process nv-fabricmanager", False)
            .nvml(**{"*.fabric": None})
        ),
        "fabric.manager",
        status="warn",
        says=("still starting",),
    ),
    Case(
        "fabric manager is masked",
        lambda: (
            manager(h100x8(), active="inactive", sub="dead", load="masked")
            .answer("process nv-fabricmanager", False)
            .nvml(**{"*.fabric": None})
        ),
        "fabric.manager",
        says=("masked",),
    ),
    Case(
        "fabric manager lacks its parts on NVLink 5",
        _nvlink5_without_parts,
        "fabric.manager",
        pitfall=("fabric-manager-nvlink5-deps",),
        says=("mlx5_core, mlx5_ib, ib_umad", "nvlsm is not installed"),
    ),
    Case(
        "fabric manager on a machine without switches",
        lambda: manager(l40s(), active="failed", sub="failed", result="exit-code", release="580.82.07"),
        "fabric.manager",
        status="warn",
        pitfall=("fabric-manager-on-non-nvswitch",),
        says=("nothing here needs it",),
    ),
    Case(
        "the fabric refused a GPU",
        lambda: h100x8().nvml(**{"3.fabric": "3,999,0,0,0", "*.fabric": "3,0,0,0x1aa,1"}),
        "fabric.state",
        says=("GPU 3 was refused",),
    ),
    Case(
        "the fabric of a GPU is degraded",
        lambda: h100x8().nvml(**{"3.fabric": "3,0,0,0x1a9,2"}),
        "fabric.state",
        says=("GPU 3 has less bandwidth",),
    ),
    Case(
        "the fabric recovers a route",
        lambda: h100x8().nvml(**{"3.fabric": "3,0,0,0x1a6,3"}),
        "fabric.state",
        status="warn",
        says=("recovering a route",),
    ),
    Case(
        "IMEX is enabled and failed",
        lambda: _imex("failed", None, sub="failed", result="exit-code"),
        "fabric.imex",
        pitfall=("imex-not-ready",),
        says=("has failed",),
    ),
    Case(
        "IMEX waits for its peers",
        lambda: _imex("active", "WAITING_FOR_PEERS", sub="running"),
        "fabric.imex",
        status="warn",
        pitfall=("imex-not-ready",),
        says=("WAITING_FOR_PEERS",),
    ),
    Case(
        "IMEX is unavailable",
        lambda: _imex("active", "UNAVAILABLE", sub="running"),
        "fabric.imex",
        pitfall=("imex-not-ready",),
    ),
    Case(
        "NVLinks of one board are down",
        lambda: h100x8().nvml(**{"3.nvlinks_down": 2}),
        "link.nvlink_up",
        pitfall=("xid-74-nvlink",),
        says=("GPU 3 has 16 of 18",),
    ),
    Case(
        "a bridge carries half of its links",
        lambda: rtx3090_p40().nvml(
            **{"0.nvlinks": 4, "0.nvlinks_down": 2, "1.name": "NVIDIA GeForce RTX 3090", "1.nvlinks": 4}
        ),
        "link.nvlink_up",
        status="warn",
        pitfall=("nvlink-bridge-inactive",),
        says=("GPU 0 has 2 of 4",),
    ),
    Case(
        "NVLinks replay at work",
        lambda: h100x8().nvml(**_nvlink(2, 7, 0, 12)).given(rates={"gpu.2.nvlink_replay_errors": Rate(12.0, 600.0)}),
        "link.nvlink_errors",
        pitfall=("xid-74-nvlink",),
        says=("12 replays in 10 minutes on GPU 2",),
    ),
    Case(
        "NVLinks have many checksum errors",
        lambda: (
            h100x8().nvml(**_nvlink(2, 7, 2, 60000)).given(rates={"gpu.2.nvlink_crc_flit_errors": Rate(6000.0, 60.0)})
        ),
        "link.nvlink_errors",
        says=("100 checksum errors a second",),
    ),
    Case(
        "NVLinks recover now and then",
        lambda: h100x8().nvml(**_nvlink(2, 7, 1, 1)).given(rates={"gpu.2.nvlink_recovery_errors": Rate(1.0, 7200.0)}),
        "link.nvlink_errors",
        status="warn",
    ),
    Case(
        "NVLinks were trained anew at some time",
        lambda: h100x8().nvml(**_nvlink(2, 7, 1, 3)),
        "link.nvlink_errors",
        status="warn",
        says=("3 recoveries on GPU 2",),
    ),
    Case(
        "NVLinks have many bit errors",
        # Effective and symbol rate; mantissa 1 and exponent 11: 1e-11.
        lambda: h100x8().nvml(**{"*.field.220": 0xFFF, "5.field.220": 0x10B, "5.field.222": 0xFFF}),
        "link.nvlink_ber",
        status="warn",
        says=("GPU 5", "1e-11"),
    ),
    Case("C2C is off on a superchip", lambda: gh200().nvml(**{"*.c2c": 0}), "link.c2c", says=("GPU 0",)),
    Case(
        "C2C links are down on a superchip",
        lambda: gh200().nvml(**{"*.field.171": 0}),
        "link.c2c",
        says=("10 of 10 links",),
    ),
    Case(
        "a port of eight is down",
        lambda: _port_down(h100x8()),
        "ib.ports",
        says=("7 of 8 InfiniBand ports", "mlx5_3/1"),
    ),
    Case(
        "a card of eight is missing",
        lambda: h100x8().without(f"{MLX5}/mlx5_3"),
        "ib.ports",
        status="warn",
        says=("7 InfiniBand ports of 400 Gb/s",),
    ),
    Case("a port never linked and its peers did", _never_linked, "ib.ports", status="warn", says=("mlx5_2/1 is down",)),
    Case(
        "no subnet manager answers",
        lambda: port(v100(), "mlx5_0", 1, state="2: INIT", rate="100 Gb/sec (4X EDR)"),
        "ib.ports",
        status="warn",
        says=("subnet manager",),
    ),
    Case(
        "a port was trained to a lower rate",
        lambda: port(_four_ports(l40s()), "mlx5_1", 1, rate="100 Gb/sec (4X EDR)"),
        "ib.ports",
        status="warn",
        says=("mlx5_1/1 runs at 100 Gb/s", "200"),
    ),
    Case(
        "an InfiniBand link flaps",
        lambda: port(h100x8(), "mlx5_4", 1, rate="400 Gb/sec (4X NDR)", link_downed=7).given(
            rates={"ib.mlx5_4.1.link_downed": Rate(5.0, 7200.0)}
        ),
        "ib.flaps",
        status="warn",
        says=("mlx5_4/1 5 times in 2.0 hours",),
    ),
    Case(
        "an InfiniBand link was lost far more often than others",
        lambda: port(h100x8(), "mlx5_4", 1, rate="400 Gb/sec (4X NDR)", link_downed=21),
        "ib.flaps",
        status="warn",
        says=("mlx5_4/1", "21 times"),
    ),
    Case(
        "an InfiniBand port errs at work",
        lambda: port(h100x8(), "mlx5_4", 1, rate="400 Gb/sec (4X NDR)", symbol_error=500).given(
            rates={"ib.mlx5_4.1.symbol_error": Rate(10.0, 600.0)}
        ),
        "ib.errors",
        status="warn",
        says=("10 symbol errors in 10 minutes",),
    ),
    Case(
        "InfiniBand cards have two firmwares",
        lambda: card(h100x8(), "mlx5_6", board="MT_0000000838", firmware="28.36.1010"),
        "ib.firmware",
        status="warn",
        says=("28.36.1010 (1)", "28.39.2048 (7)"),
    ),
    Case(
        "peermem is not loaded",
        lambda: v100().without("/sys/module/nvidia_peermem"),
        "ib.gdr",
        status="warn",
        pitfall=("gdr-peermem-not-loaded",),
        says=("nvidia_peermem is not loaded",),
    ),
    Case(
        "locked memory is limited",
        lambda: h100x8().answer("limit memlock", 8388608),
        "ib.memlock",
        status="warn",
        says=("8192 KiB",),
    ),
    Case(
        "locked memory is limited in a container",
        lambda: _rdma_container().answer("limit memlock", 65536),
        "ib.memlock",
        status="warn",
        pitfall=("container-memlock",),
        says=("64 KiB",),
    ),
)
