"""What files tell about the driver: kernel module, device nodes, user libraries. Nothing here calls the driver."""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..plain_text import plain
from ..records import Reading
from ..spellings import normal_bus_id
from ..versions import DriverVersion
from .loader import WSL_FOLDER, Library, find_library

if TYPE_CHECKING:
    from pathlib import Path

    from .surroundings import Surroundings

_MODULES = ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset", "nouveau", "nova_core", "vfio_pci")
NVML_LIBRARY = "libnvidia-ml.so.1"
CUDA_LIBRARY = "libcuda.so.1"


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """One file under /dev that user space talks to the driver through."""

    path: str
    failure: str | None = None
    """Why this user can't open it for reading and writing; None when that would work."""
    is_withheld: bool = False
    """Whether its mode lets everybody in and a device rule of a control group keeps this process out."""


@dataclass(frozen=True, slots=True)
class DriverFiles:
    """The driver as files show it."""

    module_version: DriverVersion | None = None
    flavour: Literal["open", "proprietary"] | None = None
    modules: tuple[str, ...] = ()
    nodes: tuple[DeviceNode, ...] = ()
    minors: tuple[tuple[str, int], ...] = ()
    """PCI bus id and number N of its /dev/nvidiaN, for every GPU that the loaded module serves."""
    nvml_library: Library | None = None
    cuda_library: Library | None = None
    has_wsl_library: bool = False
    """Whether Windows mounts its driver's NVML library into this WSL."""
    readings: tuple[Reading, ...] = ()

    @property
    def modules_of_nvidia(self) -> tuple[str, ...]:
        """Loaded modules of the vendor's driver."""
        return tuple(name for name in self.modules if name.startswith("nvidia"))

    @property
    def gpu_nodes(self) -> tuple[DeviceNode, ...]:
        """/dev/nvidia0, /dev/nvidia1, ..."""
        return tuple(node for node in self.nodes if re.fullmatch(r"/dev/nvidia\d+", node.path))


def detect_driver_files(around: Surroundings) -> DriverFiles:
    """Every file-based fact of the driver with its readings."""
    version_text, version_why = around.attempt("/sys/module/nvidia/version", longest=256)
    proc_text, proc_why = around.attempt("/proc/driver/nvidia/version", longest=4096, keep=_without_builder)
    sys_version = parse_module_version(version_text or "")
    proc_version, flavour = parse_proc_version(proc_text or "")
    # The folder of a loaded module is never empty: it holds at least the module's state and reference count.
    modules = tuple(name for name in _MODULES if around.names(f"/sys/module/{name}"))
    nodes, node_readings = _nodes(around)
    nvml, cuda = find_library(around, NVML_LIBRARY), find_library(around, CUDA_LIBRARY)
    has_wsl_library = around.exists(f"{WSL_FOLDER}/{NVML_LIBRARY}")
    readings = (
        _version_reading("driver.module_version", "/sys/module/nvidia/version", sys_version, version_text, version_why),
        _version_reading("driver.proc_version", "/proc/driver/nvidia/version", proc_version, proc_text, proc_why),
        Reading(
            "driver.kernel_module",
            "/proc/driver/nvidia/version",
            flavour,
            None if flavour else proc_why or "no known wording",
        ),
        Reading(
            "driver.modules",
            "/sys/module",
            modules,
            None if around.exists("/sys/module") else "/sys/module is not there",
        ),
        *node_readings,
        _library_reading("driver.nvml_library", nvml, NVML_LIBRARY),
        _library_reading("driver.cuda_library", cuda, CUDA_LIBRARY),
        Reading("wsl.dxg", "/dev/dxg", around.exists("/dev/dxg")),
        Reading("wsl.library_folder", WSL_FOLDER, has_wsl_library),
        _modprobe_reading(around),
    )
    return DriverFiles(
        sys_version or proc_version, flavour, modules, nodes, _minors(around), nvml, cuda, has_wsl_library, readings
    )


def _version_reading(
    name: str, source: str, version: DriverVersion | None, text: str | None, why: str | None
) -> Reading:
    if version:
        return Reading(name, source, str(version))
    return Reading(name, source, failure=why or f"no driver release in {plain(text or '', longest=120)!r}")


# 535.104.05
def parse_module_version(text: str) -> DriverVersion | None:
    """Release in /sys/module/nvidia/version."""
    match = re.fullmatch(r"\d{2,}(?:\.\d+){1,3}", text.strip())
    return DriverVersion(match.group()) if match else None


# NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023
# NVRM version:  NVIDIA UNIX Open Kernel Module for x86_64  515.57  Release Build Mi 20. Jul 11:53:35 CEST 2022
# GCC version:  gcc version 11.2.0 (Ubuntu 11.2.0-19ubuntu1)
def parse_proc_version(text: str) -> tuple[DriverVersion | None, Literal["open", "proprietary"] | None]:
    """Release and flavour in /proc/driver/nvidia/version; the date is localised and is not looked at."""
    line = next((line for line in text.splitlines() if line.startswith("NVRM version:")), "")
    match = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d{2,}(?:\.\d+){1,3})\b", line)
    if not match:
        return None, None
    return DriverVersion(match[1]), "open" if "Open Kernel Module" in line else "proprietary"


def _without_builder(text: str) -> str:
    """The line of the driver without (somebody@somewhere), who built its module."""
    lines = (line for line in text.splitlines() if line.startswith("NVRM version:"))
    return "\n".join(re.sub(r"\([^()]*@[^()]*\)", "", line) for line in lines)


# --- device nodes


def _nodes(around: Surroundings) -> tuple[tuple[DeviceNode, ...], tuple[Reading, ...]]:
    wanted = re.compile(r"nvidia\d+|nvidiactl|nvidia-uvm|nvidia-uvm-tools|nvidia-modeset")
    nodes = tuple(_node(around, f"/dev/{name}") for name in around.names("/dev") if wanted.fullmatch(name))
    readings = (
        Reading("driver.device_nodes", "/dev", tuple(node.path for node in nodes)),
        *(Reading("driver.device_node", node.path, failure=node.failure) for node in nodes if node.failure),
        *(Reading("driver.node_withheld", node.path, value=True) for node in nodes if node.is_withheld),
    )
    return nodes, readings


def _node(around: Surroundings, path: str) -> DeviceNode:
    status, why = around.status(path)
    if status is None:
        return DeviceNode(path, why)
    if around.may_open(path):
        return DeviceNode(path)
    mode = status.mode & 0o7777  # a snapshot may hold any number
    # Batch systems give a job its GPUs so: the mode of a node says yes, the rules of the job's control group no.
    is_withheld = mode & _FOR_ALL == _FOR_ALL
    owner = f"mode {mode:04o}, owner {status.uid}:{status.gid}"
    return DeviceNode(path, f"this user may not open it for reading and writing ({owner})", is_withheld)


_FOR_ALL = stat.S_IROTH | stat.S_IWOTH


# Model:           NVIDIA A100-SXM4-80GB
# Device Minor:    0
def parse_minor(text: str) -> int | None:
    """Number of the device node in /proc/driver/nvidia/gpus/<bus id>/information."""
    match = re.search(r"^Device Minor:\s*(\d+)\s*$", text, re.MULTILINE)
    return int(match[1]) if match else None


def _minors(around: Surroundings) -> tuple[tuple[str, int], ...]:
    folder = "/proc/driver/nvidia/gpus"
    found = []
    for name in around.names(folder):
        bus_id, minor = (
            normal_bus_id(name),
            parse_minor(around.text(f"{folder}/{name}/information", longest=4096) or ""),
        )
        if bus_id and minor is not None:
            found.append((bus_id, minor))
    return tuple(found)


# --- user space


def _library_reading(name: str, found: Library | None, wanted: str) -> Reading:
    if found is None:
        return Reading(name, "loader search", failure=f"{wanted} is in no folder that the loader searches")
    return Reading(name, found.source, found.path)


def _modprobe_reading(around: Surroundings) -> Reading:
    """Whether NVIDIA's setuid helper is there, which loads nvidia_uvm and makes device nodes on first use."""
    for path in ("/usr/bin/nvidia-modprobe", "/usr/sbin/nvidia-modprobe", "/sbin/nvidia-modprobe"):
        if around.exists(path):
            return Reading("driver.modprobe_helper", path, path)
    return Reading("driver.modprobe_helper", "/usr/bin", failure="nvidia-modprobe is not installed")


# 4711 (nvidia-smi) D 1 4711 4711 0 -1 ...      the name may hold spaces and parentheses
def parse_process_state(text: str) -> tuple[str, str] | None:
    """Name and state letter of a /proc/<pid>/stat line."""
    match = re.match(r"\d+ \((.*)\) (\S) ", text, re.DOTALL)
    return (match[1], match[2]) if match else None


_SAMPLES = 5
"""Consecutive looks in which a process must be stuck until it counts as stuck for good."""
PAUSE_S = 0.5
"""Seconds between two of these looks."""
_PROGRAMS = ("nvidia", "nv_queue", "dcgm", "nv-hostengine")
# Functions of the driver that a process waits in, as /proc/<pid>/wchan names them; nvme_... is no such.
_DRIVER_WAITS = re.compile(r"nvidia_|nvkms_|nv_|uvm_|rm_|os_acquire_")


def scan_blocked(around: Surroundings) -> tuple[Reading, ...]:
    """Driver programs in uninterruptible sleep, the sign that the next driver call would hang as well.

    Where there are any, four more looks in two seconds tell those that stay so from those that waited a moment.
    """
    folder = around.path("/proc")
    found = around.answer("driver.blocked_processes", lambda: _blocked(folder))
    if found is None:
        return (Reading("driver.blocked_processes", "/proc/*/stat", failure="nobody looked"),)
    seen = Reading("driver.blocked_processes", "/proc/*/stat", tuple(found))
    if not found:
        return (seen,)
    lasting = around.answer("driver.blocked_lasting", lambda: _lasting(folder, found))
    return seen, Reading("driver.blocked_lasting", f"/proc/*/stat, {_SAMPLES} looks", tuple(lasting or ()))


def _lasting(folder: Path, first: list[str]) -> list[str]:
    """Those of the first look that are stuck in every later one, too."""
    remaining = first
    for _ in range(_SAMPLES - 1):
        time.sleep(PAUSE_S)
        now = _blocked(folder)
        remaining = [one for one in remaining if one in now]
        if not remaining:
            break
    return remaining


def _blocked(folder: Path) -> list[str]:
    blocked = []
    for pid in sorted(name for name in _names(folder) if name.isdigit()):
        raw = _start_of(f"{folder}/{pid}/stat")
        if b") D " not in raw:  # a big box has thousands of processes, and next to none is in that state
            continue
        named = parse_process_state(raw.decode("utf-8", errors="replace"))
        if named and named[1] == "D" and (named[0].startswith(_PROGRAMS) or _waits_in_driver(folder / pid)):
            blocked.append(f"{plain(named[0], longest=32)} (process {pid})")
    return blocked


def _start_of(path: str) -> bytes:
    """The first bytes of a file of the kernel; none when the process ended meanwhile."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, 512)
    except OSError:
        return b""
    finally:
        os.close(handle)


def _waits_in_driver(process: Path) -> bool:
    """Whether a program of any name waits inside the driver; only its owner and root may know."""
    try:
        with (process / "wchan").open("rb") as stream:
            return _DRIVER_WAITS.match(stream.read(64).decode("ascii", errors="replace")) is not None
    except OSError:
        return False


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 -- names only, and cheaper
    except OSError:
        return []
