"""PCI functions and the ports above them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...records import Reading
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...process import Completed
    from ...records import Gpu, Machine
    from ..surroundings import Surroundings

_BUS = "/sys/bus/pci/devices"
_MOST_GPUS = 32
_MOST_PORTS = 8
"""Ports above one GPU; a real tree has up to six."""
_AER = ("fatal", "nonfatal", "correctable")
_BUS_ID = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_UNSET = 0x20000000
"""IORESOURCE_UNSET of linux/ioport.h: the kernel found no address for it."""


def read_bus(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Links, error counters, memory windows and places of the GPUs and of the ports above them."""
    gpus = tuple(gpu for gpu in machine.gpus if gpu.pci_bus_id and around.exists(f"{_BUS}/{gpu.pci_bus_id}"))
    ports: dict[str, None] = {}
    for gpu in gpus[:_MOST_GPUS]:
        bus_id = gpu.pci_bus_id or ""
        path = parse_path(around.link(f"{_BUS}/{bus_id}") or "")
        if path[:-1]:
            yield Reading(f"pci.{bus_id}.ports", f"{_BUS}/{bus_id}", path[:-1])
            ports |= dict.fromkeys(path[:-1])
        yield from _link_and_errors(around, bus_id)
        yield from _place(around, bus_id)
        yield from _windows(around, bus_id)
    for port in ports:
        yield from _link_and_errors(around, port)
    if gpus:
        yield from _system(around)


# ../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0
def parse_path(target: str) -> tuple[str, ...]:
    """Bus ids from the root port to the function itself, out of the link in /sys/bus/pci/devices."""
    found = tuple(
        part for part in target.split("/") if re.fullmatch(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", part)
    )
    return found[-_MOST_PORTS - 1 :]


def _link_and_errors(around: Surroundings, bus_id: str) -> Iterator[Reading]:
    for name in ("current_link_width", "max_link_width"):
        path = f"{_BUS}/{bus_id}/{name}"
        text = around.text(path, longest=32)
        if text is not None and text.strip().isdecimal():
            yield Reading(f"pci.{bus_id}.{name}", path, int(text))
    for name in _AER:
        path = f"{_BUS}/{bus_id}/aer_dev_{name}"
        text = around.text(path, longest=4096)
        if text is not None and (counts := parse_aer(text)):
            yield Reading(f"pci.{bus_id}.aer_{name}", path, sum(counts.values()))
            if any(counts.values()):
                told = tuple(f"{kind} {count}" for kind, count in counts.items() if count)
                yield Reading(f"pci.{bus_id}.aer_{name}_kinds", path, told)


# RxErr 0
# BadTLP 3
# TOTAL_ERR_COR 3
def parse_aer(text: str) -> dict[str, int]:
    """Counts by kind of a file aer_dev_*, without its total."""
    rows = re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE)
    return {kind: int(count) for kind, count in rows if not kind.startswith("TOTAL_ERR")}


def _place(around: Surroundings, bus_id: str) -> Iterator[Reading]:
    path = f"{_BUS}/{bus_id}/numa_node"
    text = (around.text(path, longest=32) or "").strip()
    if re.fullmatch(r"-?\d+", text):
        yield Reading(f"pci.{bus_id}.numa_node", path, int(text))
    group = (around.link(f"{_BUS}/{bus_id}/iommu_group") or "").rsplit("/", 1)[-1]
    if group.isdecimal():
        path = f"/sys/kernel/iommu_groups/{group}/type"
        kind, why = around.attempt(path, longest=32)
        yield Reading(f"pci.{bus_id}.iommu", path, kind.strip() if kind else None, None if kind else why or "empty")
    if around.link(f"{_BUS}/{bus_id}/physfn"):
        yield Reading(f"pci.{bus_id}.is_virtual_function", f"{_BUS}/{bus_id}/physfn", value=True)


def _windows(around: Surroundings, bus_id: str) -> Iterator[Reading]:
    path = f"{_BUS}/{bus_id}/resource"
    text = around.text(path, longest=4096)
    if text is None:
        return
    for number, size in parse_windows(text).items():
        yield Reading(f"pci.{bus_id}.bar{number}_bytes", path, size)


# 0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200
# 0x000000e000000000 0x000000efffffffff 0x000000000014220c
def parse_windows(text: str) -> dict[int, int]:
    """Bytes of the first two windows of a GPU (registers, memory) out of the file `resource`; 0: it has no address."""
    sizes = {}
    for number, line in enumerate(text.splitlines()[:2]):
        if not re.fullmatch(r"(?:0x[0-9a-f]{16} ?){3}", line.strip()):
            continue
        start, end, flags = (int(word, 16) for word in line.split())
        sizes[number] = end - start + 1 if start and end > start and not flags & _UNSET else 0
    return sizes


def _system(around: Surroundings) -> Iterator[Reading]:
    """What holds for all devices: processors' nodes, IOMMUs, and adapters that read GPU memory over PCIe."""
    path = "/sys/devices/system/node/has_cpu"
    nodes = parse_nodes(around.text(path, longest=256) or "")
    if nodes:
        yield Reading("pci.cpu_nodes", path, nodes)
    iommu = around.folder("/sys/class/iommu")
    if iommu.is_present:
        yield Reading("pci.iommus", "/sys/class/iommu", len(iommu.value))
    yield Reading("pci.infiniband", "/sys/class/infiniband", tuple(around.names("/sys/class/infiniband")))


# 0-1,4
def parse_nodes(text: str) -> int:
    """How many numbers a list of the kernel holds."""
    count = 0
    for part in text.strip().split(","):
        if match := re.fullmatch(r"(\d+)(?:-(\d+))?", part):
            count += int(match[2] or match[1]) - int(match[1]) + 1
    return count


# --- access control of bridges

ACS = "lspci -vvv"


def read_acs(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Access control of the bridges above the GPUs; root alone may read it, and it matters to several GPUs only."""
    is_host = not machine.host.virtualization and not machine.host.container and not machine.host.is_wsl
    gpus: tuple[Gpu, ...] = tuple(gpu for gpu in machine.gpus if gpu.pci_bus_id)
    if not is_host or len(gpus) <= 1:
        return
    bridges: dict[str, None] = {}
    for gpu in gpus[:_MOST_GPUS]:
        bridges |= dict.fromkeys(parse_path(around.link(f"{_BUS}/{gpu.pci_bus_id}") or "")[:-1])
    if not bridges:
        return
    completed = around.tell("lspci", "-vvv", "-D", keep=_acs_lines)
    why = _why_no_acs(completed)
    if why:
        yield Reading("pci.acs", ACS, failure=why)
        return
    for bridge, words in parse_acs(completed.stdout).items():
        if bridge in bridges:
            yield Reading("pci.acs", ACS, (bridge, *words))


def _acs_lines(text: str) -> str:
    kept = (line for line in text.splitlines() if "ACSCtl:" in line or "access denied" in line or line[:1].isalnum())
    return "\n".join(line.split(" ", 1)[0] if line[:1].isalnum() else line for line in kept)


def _why_no_acs(completed: Completed) -> str | None:
    if completed.failure:
        return completed.failure
    if completed.timed_out:
        return "lspci did not answer in time"
    if "ACSCtl:" not in completed.stdout and "access denied" in completed.stdout:
        return "only root may read the capabilities of bridges"
    return None if completed.ok else f"lspci ended with {completed.returncode}"


# 0000:00:01.0
#         ACSCtl: SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-
def parse_acs(text: str) -> dict[str, tuple[str, ...]]:
    """Switches that are on, by bus id of the bridge that has them."""
    found: dict[str, tuple[str, ...]] = {}
    bridge = ""
    for line in text.splitlines():
        if line[:1].isalnum():
            bridge = line.split(" ", 1)[0]
        elif "ACSCtl:" in line and bridge:
            found[bridge] = tuple(word[:-1] for word in line.split("ACSCtl:", 1)[1].split() if word.endswith("+"))
    return found


PROBES: tuple[Probe, ...] = (Probe("pci_bus", "instant", read_bus), Probe("pci_acs", "quick", read_acs))
