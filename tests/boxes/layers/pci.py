"""What the pci probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boxes import Box

BUS = "/sys/bus/pci/devices"
PORT = "0000:00:01.{}"
_WINDOWS = "".join(
    f"{line}\n"
    for line in (
        "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200",
        "0x0000208000000000 0x0000209fffffffff 0x000000000014220c",
        "0x0000000000000000 0x0000000000000000 0x0000000000000000",
        "0x00000000a2000000 0x00000000a3ffffff 0x000000000014220c",
        "0x0000000000000000 0x0000000000000000 0x0000000000000000",
    )
)
_AER = {
    "correctable": ("RxErr", "BadTLP", "BadDLLP", "Rollover", "Timeout", "NonFatalErr"),
    "fatal": ("Undefined", "DLP", "SDES", "TLP", "FCP", "CmpltTO"),
    "nonfatal": ("Undefined", "DLP", "SDES", "TLP", "FCP", "CmpltTO"),
}
_TOTALS = {"correctable": "TOTAL_ERR_COR", "fatal": "TOTAL_ERR_FATAL", "nonfatal": "TOTAL_ERR_NONFATAL"}


def aer(box: Box, bus_id: str, kind: str, **counts: int) -> Box:
    """A file of error counters of one function."""
    rows = [f"{name} {counts.get(name, 0)}" for name in _AER[kind]]
    return box.file(f"{BUS}/{bus_id}/aer_dev_{kind}", "\n".join([*rows, f"{_TOTALS[kind]} {sum(counts.values())}", ""]))


def width(box: Box, bus_id: str, now: int, most: int = 16) -> Box:
    """Lanes of one end of a link."""
    return box.file(f"{BUS}/{bus_id}/current_link_width", f"{now}\n").file(
        f"{BUS}/{bus_id}/max_link_width", f"{most}\n"
    )


def gpus_of(box: Box) -> list[str]:
    """Bus ids of its NVIDIA GPUs."""

    def said(name: str, what: str) -> str:
        look = box.looks.get(("text", f"{BUS}/{name}/{what}"))
        return look.value if look else ""

    names = box.looks["names", BUS].value
    return [name for name in names if said(name, "vendor") == "0x10de\n" and said(name, "class").startswith("0x0302")]


def port_of(number: int) -> str:
    """The port above the GPU of that number in `gpus_of`."""
    return f"0000:00:{number + 1:02x}.0"


def is_virtual(box: Box) -> bool:
    return " hypervisor" in str(box.looks["text", "/proc/cpuinfo"].value)


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    if ("names", BUS) not in box.looks:
        return
    nodes = 2 if box.name == "h100x8" else 1
    box.file("/sys/devices/system/node/has_cpu", f"0-{nodes - 1}\n" if nodes > 1 else "0\n")
    for number, bus_id in enumerate(gpus_of(box)):
        folder = f"{BUS}/{bus_id}"
        box.file(f"{folder}/resource", _WINDOWS)
        box.file(
            f"{folder}/numa_node", f"{number * nodes // 8}\n" if nodes > 1 else "0\n" if box.name != "t4" else "-1\n"
        )
        if is_virtual(box):  # a hypervisor shows the function and nothing above it
            box.link(folder, f"../../../devices/pci0000:00/{bus_id}")
            width(box, bus_id, 8)
            continue
        port = port_of(number)
        box.link(folder, f"../../../devices/pci0000:00/{port}/{bus_id}")
        box.link(f"{folder}/iommu_group", f"../../../../kernel/iommu_groups/{number + 10}")
        box.file(
            f"/sys/kernel/iommu_groups/{number + 10}/type", "DMA-FQ\n" if box.name == "rtx3090-p40" else "identity\n"
        )
        box.folder("/sys/class/iommu", "dmar0")
        for end in (bus_id, port):
            width(box, end, 16)
            for kind in _AER:
                aer(box, end, kind, **({"BadTLP": 3} if kind == "correctable" else {}))
    if box.name == "rtx3090-p40":  # one of two slots of a desktop board has half of the lanes
        width(box, "0000:01:00.0", 8)
    if box.name == "h100x8":
        box.folder("/sys/class/infiniband", *(f"mlx5_{number}" for number in range(8)))
        bridges = "".join(
            f"{port_of(number)} PCI bridge\n\t\tACSCtl:\tSrcValid- TransBlk- ReqRedir- CmpltRedir- UpstreamFwd-\n"
            for number in range(8)
        )
        box.command("lspci -vvv -D", bridges)
