"""InfiniBand cards and their ports, from sysfs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...records import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_CLASS = "/sys/class/infiniband"
_MOST_DEVICES = 64
COUNTERS = (
    "symbol_error",
    "link_error_recovery",
    "link_downed",
    "port_rcv_errors",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
)
"""Of a port, counting since its card was started. They stop at the end of their range."""
_BRIDGE_MARK = b"SW_MNG"


def read_ports(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """Cards, their ports with state and rate, and what RDMA needs of this process."""
    look = around.folder(_CLASS)
    if not look.is_present:
        if look.state == "absent":
            yield Reading("ib.devices", _CLASS, ())
        else:
            yield Reading("ib.devices", _CLASS, failure=look.why)
        return
    # Virtual functions repeat the ports of their card, by the hundred.
    physical = [name for name in look.value if not around.exists(f"{_CLASS}/{name}/device/physfn")][:_MOST_DEVICES]
    yield Reading("ib.devices", _CLASS, tuple(physical))
    is_infiniband = False
    for name in physical:
        layers = []
        for port in around.names(f"{_CLASS}/{name}/ports"):
            reading = _port(around, name, port)
            layers.append(reading.value[1] if isinstance(reading.value, tuple) else None)
            yield reading
        if "InfiniBand" in layers:
            is_infiniband = True
            yield _device(around, name)
    if is_infiniband:
        yield Reading("ib.verbs_node", "/dev/infiniband", "uverbs0" in around.names("/dev/infiniband"))
        limit = around.answer("limit memlock", _memlock)
        why = None if isinstance(limit, int) else "this Python knows no such limit"
        yield Reading("ib.memlock_bytes", "getrlimit RLIMIT_MEMLOCK", limit, why)


def _port(around: Surroundings, device: str, port: str) -> Reading:
    folder = f"{_CLASS}/{device}/ports/{port}"
    layer = (around.text(f"{folder}/link_layer") or "").strip()
    if layer != "InfiniBand":
        return Reading("ib.port", folder, (f"{device}/{port}", layer or None, None, None, None))
    state, why = around.attempt(f"{folder}/state")
    physical = around.text(f"{folder}/phys_state") or ""
    rate = parse_rate(around.text(f"{folder}/rate") or "")
    word = parse_state(state or "")
    if word is None:
        return Reading("ib.port", folder, failure=why or f"{folder}/state holds no state")
    return Reading("ib.port", folder, (f"{device}/{port}", layer, word, parse_state(physical), rate))


def _device(around: Surroundings, name: str) -> Reading:
    folder = f"{_CLASS}/{name}"
    firmware = (around.text(f"{folder}/fw_ver") or "").strip() or None
    board = (around.text(f"{folder}/board_id") or "").strip() or None
    bus_id = (around.link(f"{folder}/device") or "").rsplit("/", 1)[-1] or None
    return Reading("ib.device", folder, (name, firmware, board, bus_id))


# 4: ACTIVE
def parse_state(text: str) -> str | None:
    """The word of a port's `state` or `phys_state` file: ACTIVE, INIT, DOWN; LinkUp, Polling, Disabled."""
    match = re.fullmatch(r"\d+: ?([A-Za-z_ <>]+)", text.strip())
    return match[1] if match else None


# 400 Gb/sec (4X NDR)
def parse_rate(text: str) -> float | None:
    """Gb/s of a port's `rate` file."""
    match = re.match(r"\s*([0-9]+(?:\.[0-9]+)?) Gb/sec", text)
    return float(match[1]) if match else None


def _memlock() -> int | None:
    """How much memory this process may lock, bytes; -1 is without limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return -1 if soft == resource.RLIM_INFINITY else soft


# --- what the card itself must be asked for


def read_counters(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Counters of the InfiniBand ports, and which cards only serve to manage the NVSwitches."""
    names = [name for name in around.names(_CLASS) if not around.exists(f"{_CLASS}/{name}/device/physfn")]
    found = []
    for name in names[:_MOST_DEVICES]:
        for port in around.names(f"{_CLASS}/{name}/ports"):
            folder = f"{_CLASS}/{name}/ports/{port}"
            if (around.text(f"{folder}/link_layer") or "").strip() != "InfiniBand":
                continue
            found.append(name)
            for counter in COUNTERS:
                yield _counter(around, f"ib.{name}.{port}.{counter}", f"{folder}/counters/{counter}")
    # On NVLink 5 boards the switches are no PCI devices: cards that say SW_MNG stand before them.
    has_switch = any(reading.name == "pci.nvswitch" for reading in machine.readings)
    if found and not has_switch and len(machine.gpus) > 1:
        yield _bridges(around, list(dict.fromkeys(found)))


def _counter(around: Surroundings, name: str, path: str) -> Reading:
    text, why = around.attempt(path)
    if text is None:
        return Reading(name, path, failure=why)
    is_number = re.fullmatch(r"[0-9]+", text.strip(), re.ASCII)
    return Reading(name, path, int(text)) if is_number else Reading(name, path, failure=f"{path} holds no number")


def _bridges(around: Surroundings, names: list[str]) -> Reading:
    source = f"{_CLASS}/*/device/vpd"
    marked, unread = [], []
    for name in names:
        answer = around.answer(f"vpd {name} has SW_MNG", lambda name=name: _has_mark(around, name))  # type: ignore[misc]
        if answer is True:
            marked.append(name)
        elif answer is None:
            unread.append(name)
    if unread and not marked:
        return Reading(
            "ib.bridges", source, failure=f"the product data of {', '.join(unread)} can't be read without root"
        )
    return Reading("ib.bridges", source, tuple(marked))


def _has_mark(around: Surroundings, name: str) -> bool | None:
    """Whether the card's product data name it a manager of switches; the data hold serial numbers and are not kept."""
    try:
        return _BRIDGE_MARK in around.path(f"{_CLASS}/{name}/device/vpd").read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return None
