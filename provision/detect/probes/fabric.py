"""NVSwitch, fabric manager and IMEX. InfiniBand has a module of its own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ...records import Reading
from ..memory import lines_with
from . import Probe
from .fabric_ports import read_counters, read_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ...records import Machine
    from ..surroundings import Surroundings

_SWITCHES = "/proc/driver/nvidia-nvswitch/devices"
_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_UNITS: Final[dict[str, str]] = {"manager": "nvidia-fabricmanager.service", "imex": "nvidia-imex.service"}
_MODULES = ("mlx5_core", "mlx5_ib", "ib_umad", "nvidia_peermem", "nv_peer_mem")
_CHANNELS = "/dev/nvidia-caps-imex-channels"
_NODES = "/etc/nvidia-imex/nodes_config.cfg"
_NVLSM = "/opt/nvidia/nvlsm/sbin/nvlsm"
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "UnitFileState")
_PROPERTY_LINES = lines_with(rf"^(?:Id|{'|'.join(_PROPERTIES)})=|^$")
_MANAGER = "nv-fabricmanage"  # the kernel keeps 15 characters of a program's name
_IMEX_STATES = frozenset(
    (
        *("INITIALIZING", "STARTING_AUTH_SERVER", "WAITING_FOR_PEERS", "WAITING_FOR_RECOVERY"),
        *("INIT_GPU", "READY", "SHUTTING_DOWN", "UNAVAILABLE"),
    )
)


# --- files


def read_files(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """What the driver shows of switches, which modules and units are there, and how IMEX is set up."""
    look = around.folder(_SWITCHES)
    if look.is_present:
        yield Reading("fabric.switch_devices", _SWITCHES, len(look.value))
    else:
        yield Reading("fabric.switch_devices", _SWITCHES, failure=look.why)
    loaded = tuple(name for name in _MODULES if around.exists(f"/sys/module/{name}"))
    yield Reading("fabric.modules", "/sys/module", loaded)
    installed = tuple(short for short, unit in _UNITS.items() if _is_installed(around, unit))
    yield Reading("fabric.unit_files", "systemd", installed)
    if "imex" in installed:
        channels = around.folder(_CHANNELS)
        yield Reading("fabric.imex_channels", _CHANNELS, len(channels.value or ()), None)
        nodes = around.answer("imex nodes", lambda: _imex_nodes(around))
        why = None if nodes is not None else f"{_NODES} can't be read"
        yield Reading("fabric.imex_nodes", _NODES, nodes, why)


def _is_installed(around: Surroundings, unit: str) -> bool:
    return any(around.exists(f"{folder}/{unit}") for folder in _UNIT_FOLDERS)


def _imex_nodes(around: Surroundings) -> int | None:
    """How many machines the IMEX domain has; their addresses are nobody's business."""
    try:
        return count_nodes(around.path(_NODES).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return 0
    except OSError:
        return None


# 10.0.0.1
def count_nodes(text: str) -> int:
    """Addresses in a nodes_config.cfg, one a line; comments begin with #."""
    lines = (line.strip() for line in text.splitlines())
    return sum(1 for line in lines if line and not line.startswith("#"))


# --- programs


def read_services(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """States of the two units, versions, and whether fabric manager runs however it was started."""
    installed = [short for short, unit in _UNITS.items() if _is_installed(around, unit)]
    if installed:
        yield from _read_units(around, installed)
    has_switch = any(reading.name == "pci.nvswitch" for reading in machine.readings)
    if "manager" in installed or has_switch or len(machine.gpus) > 1:
        runs = around.answer("process nv-fabricmanager", lambda: _runs(around))
        why = None if runs is not None else "/proc can't be listed"
        yield Reading("fabric.manager_process", "/proc/*/comm", runs, why)
        has_nvlsm = around.exists(_NVLSM) or around.program("nvlsm") is not None
        yield Reading("fabric.nvlsm", _NVLSM, has_nvlsm)
        if around.program("nv-fabricmanager"):
            yield _version(around, "fabric.manager_version", "nv-fabricmanager")
    if "imex" in installed:
        yield _version(around, "fabric.imex_version", "nvidia-imex")
        said = around.tell("nvidia-imex-ctl", "-q", keep=_only_status)
        status = parse_imex_status(said.stdout)
        why = None if status else said.failure or ("no answer in time" if said.timed_out else "no status in its answer")
        yield Reading("fabric.imex_status", "nvidia-imex-ctl -q", status, why)


def _read_units(around: Surroundings, installed: list[str]) -> Iterator[Reading]:
    units = [_UNITS[short] for short in installed]
    said = around.tell("systemctl", "show", *units, f"--property=Id,{','.join(_PROPERTIES)}", keep=_PROPERTY_LINES)
    found = parse_units(said.stdout)
    for short in installed:
        unit = found.get(_UNITS[short])
        why = said.failure or ("no answer in time" if said.timed_out else "systemctl told nothing of it")
        yield Reading(f"fabric.{short}_unit", f"systemctl show {_UNITS[short]}", unit, None if unit else why)


# ActiveState=active
def parse_units(text: str) -> dict[str, tuple[str, ...]]:
    """Load, active and sub state, result and state of the unit file, by unit, of `systemctl show`'s blocks."""
    found = {}
    for block in text.split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in pairs and pairs.get("ActiveState"):
            found[pairs["Id"]] = tuple(pairs.get(name, "") for name in _PROPERTIES)
    return found


def _version(around: Surroundings, name: str, program: str) -> Reading:
    said = around.tell(program, "--version", keep=lines_with(r"(?i)version is\s*:"))
    version = parse_version(f"{said.stdout}\n{said.stderr}")
    why = None if version else said.failure or ("no answer in time" if said.timed_out else "no version in its answer")
    return Reading(name, f"{program} --version", version, why)


# Fabric Manager version is : 570.124.06
def parse_version(text: str) -> str | None:
    """Release of the driver that fabric manager or IMEX was made for."""
    match = re.search(r"version is\s*:\s*([0-9]{3,4}(?:\.[0-9]+){1,2})\b", text, re.IGNORECASE)
    return match[1] if match else None


# READY
def parse_imex_status(text: str) -> str | None:
    """State of the IMEX daemon, as `nvidia-imex-ctl -q` prints it."""
    return next((word for word in re.findall(r"[A-Z_]+", text) if word in _IMEX_STATES), None)


def _only_status(text: str) -> str:
    return parse_imex_status(text) or ""


def _runs(around: Surroundings) -> bool | None:
    """Whether a process of that name is there; only names of programs are looked at."""
    try:
        pids = [name for name in os.listdir(around.path("/proc")) if name.isdigit()]  # noqa: PTH208 -- cheaper
    except OSError:
        return None
    return any(_name_of(around, pid) == _MANAGER for pid in pids)


def _name_of(around: Surroundings, pid: str) -> str:
    try:
        return around.path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it ended meanwhile
        return ""


PROBES: tuple[Probe, ...] = (
    Probe("fabric_files", "instant", read_files),
    Probe("ib_ports", "instant", read_ports),
    Probe("fabric_services", "quick", read_services),
    Probe("ib_counters", "quick", read_counters),
)
