"""What the fabric probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boxes import Box

PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,UnitFileState"
MANAGER = "nvidia-fabricmanager.service"
IMEX = "nvidia-imex.service"
MLX5 = "/sys/class/infiniband"
_FIRST_BUS = 0x18


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    if box.name == "h100x8":
        _hgx(box)
    elif box.name == "v100":
        # An ordinary server: one card with a cabled and an unused port, one that speaks Ethernet.
        card(box, "mlx5_0", board="MT_0000000010", firmware="16.35.3006")
        port(box, "mlx5_0", 1, rate="100 Gb/sec (4X EDR)")
        port(box, "mlx5_0", 2, state="1: DOWN", physical="2: Polling", rate="10 Gb/sec (4X SDR)")
        card(box, "mlx5_1", board="MT_0000000011", firmware="16.35.3006")
        port(box, "mlx5_1", 1, layer="Ethernet", rate="25 Gb/sec (1X EDR)")
        verbs(box, 2)
        box.file("/sys/module/nvidia_peermem/refcnt", "0\n")


def _hgx(box: Box) -> None:
    for bus in ("05", "06", "07", "08"):
        box.file(f"/proc/driver/nvidia-nvswitch/devices/0000:{bus}:00.0/information", "BIOS: 96.10.57.00.01\n")
    manager(box)
    box.answer("process nv-fabricmanager", True)
    for number in range(8):
        card(box, f"mlx5_{number}", board="MT_0000000838", firmware="28.39.2048")
        port(box, f"mlx5_{number}", 1, rate="400 Gb/sec (4X NDR)")
    for number in (8, 9):
        card(box, f"mlx5_{number}", board="MT_0000000359", firmware="22.39.2048")
        port(box, f"mlx5_{number}", 1, layer="Ethernet", rate="100 Gb/sec (4X EDR)")
    verbs(box, 10)
    box.file("/sys/module/nvidia_peermem/refcnt", "0\n")


def manager(
    box: Box,
    *,
    active: str = "active",
    sub: str = "running",
    result: str = "success",
    load: str = "loaded",
    release: str | None = "570.124.06",
) -> Box:
    """Fabric manager installed, in that state."""
    box.file(f"/lib/systemd/system/{MANAGER}", "[Unit]\nDescription=NVIDIA fabric manager service\n")
    box.command(f"systemctl show {MANAGER} --property={PROPERTIES}", unit(MANAGER, active, sub, result, load))
    if release:
        box.command("nv-fabricmanager --version", f"\n\tFabric Manager version is : {release}\n\n")
    return box


def unit(name: str, active: str, sub: str, result: str = "success", load: str = "loaded", file: str = "enabled") -> str:
    """A block of `systemctl show`, in the order in which it prints."""
    return f"Result={result}\nId={name}\nLoadState={load}\nActiveState={active}\nSubState={sub}\nUnitFileState={file}\n"


def card(box: Box, name: str, *, board: str, firmware: str) -> Box:
    """One card: hca_type and firmware as sysfs shows them."""
    box.file(f"{MLX5}/{name}/fw_ver", f"{firmware}\n").file(f"{MLX5}/{name}/board_id", f"{board}\n")
    number = int(name.rsplit("_", 1)[-1])
    return box.link(f"{MLX5}/{name}/device", f"../../../0000:{_FIRST_BUS + number:02x}:00.0")


def port(
    box: Box,
    name: str,
    number: int,
    *,
    layer: str = "InfiniBand",
    state: str = "4: ACTIVE",
    physical: str = "5: LinkUp",
    rate: str,
    **counters: int,
) -> Box:
    """One port with its counters."""
    folder = f"{MLX5}/{name}/ports/{number}"
    box.file(f"{folder}/link_layer", f"{layer}\n").file(f"{folder}/rate", f"{rate}\n")
    box.file(f"{folder}/state", f"{state}\n").file(f"{folder}/phys_state", f"{physical}\n")
    known = (
        *("symbol_error", "link_error_recovery", "link_downed", "port_rcv_errors"),
        *("local_link_integrity_errors", "excessive_buffer_overrun_errors"),
    )
    for counter in known:
        box.file(f"{folder}/counters/{counter}", f"{counters.get(counter, 0)}\n")
    return box


def verbs(box: Box, count: int) -> Box:
    """What programs need to use the cards."""
    for number in range(count):
        box.node(f"/dev/infiniband/uverbs{number}", major=231, minor=192 + number)
    for module in ("mlx5_core", "mlx5_ib", "ib_umad"):
        box.file(f"/sys/module/{module}/refcnt", "0\n")
    return box.answer("limit memlock", -1)
