"""Processors, limits and processes; memory, disks and what programs tell are in modules of their own."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from ...plain_text import plain
from ...records import Reading
from ..host import CPU_LINES
from . import Probe
from .control_groups import tightest
from .storage import read_disks, read_network_mounts, read_nvme_health, read_write_test
from .system_memory import read_memory
from .system_programs import TIME_DAEMONS, read_board, read_programs, user_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_CPU = "/sys/devices/system/cpu"
_NODES = "/sys/devices/system/node"
_CLOCK = "/sys/devices/system/clocksource/clocksource0"
_PORTABLE = frozenset({"8", "9", "10", "11", "14", "30", "31", "32"})  # SMBIOS 7.4.1: portable, laptop, tablet, ...


# 0-3,8,10-11
def parse_cpu_list(text: str) -> frozenset[int] | None:
    """Numbers in a list of the kernel's form; None for any other text."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        if match is None:
            return None
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)


def as_cpu_list(numbers: Iterable[int]) -> str:
    """The kernel's form of a set of numbers: 0-3,8."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def word(around: Surroundings, name: str, path: str) -> Reading:
    """The first line of a small file."""
    text, failure = around.attempt(path, longest=4096)
    return Reading(name, path, None if text is None else plain(text), failure)


def number(around: Surroundings, name: str, path: str) -> Reading:
    """The first number of a small file."""
    text, failure = around.attempt(path, longest=4096)
    match = re.match(r"\s*(-?\d{1,19})\b", text or "")
    return Reading(name, path, int(match[1]) if match else None, None if match else failure or f"{path} has no number")


# --- processors


def read_cpu(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Processors that are there, that are on and that this process may use."""
    for name in ("present", "online"):
        path = f"{_CPU}/{name}"
        text, failure = around.attempt(path, longest=4096)
        numbers = parse_cpu_list(text or "")
        yield Reading(f"cpu.{name}", path, len(numbers) if numbers else None, None if numbers else failure or "empty")
    yield word(around, "cpu.smt", f"{_CPU}/smt/control")
    for governor, driver, count in around.answer("cpu.governors", lambda: _governors(around)) or ():
        yield Reading("cpu.governor", f"{_CPU}/cpufreq", (governor, driver, count))
    allowed = around.answer("cpu.affinity", lambda: as_cpu_list(os.sched_getaffinity(0)))
    yield Reading("cpu.affinity", "sched_getaffinity", allowed, None if allowed else "nobody asked")
    yield tightest(around, "cpu")
    yield from _kind(around)
    yield word(around, "clock.source", f"{_CLOCK}/current_clocksource")
    text, failure = around.attempt(f"{_CLOCK}/available_clocksource", longest=4096)
    sources = tuple(plain(text).split()) if text is not None else None
    yield Reading("clock.sources", f"{_CLOCK}/available_clocksource", sources, failure)
    yield from _nodes(around, machine)


def _governors(around: Surroundings) -> list[list[Any]]:
    """How many frequency domains each governor has, with the driver beneath: [['powersave', 'intel_pstate', 64]]."""
    counts: dict[tuple[str, str], int] = {}
    folder = around.path(f"{_CPU}/cpufreq")
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith("policy"))  # noqa: PTH208 -- cheaper
    except OSError:
        return []
    driver = _line(f"{folder}/{names[0]}/scaling_driver") if names else ""
    for name in names:
        governor = _line(f"{folder}/{name}/scaling_governor")
        counts[governor, driver] = counts.get((governor, driver), 0) + 1
    return [[*key, count] for key, count in sorted(counts.items())]


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 -- cheaper
            return plain(stream.read())[:64]
    except OSError:
        return ""


# model name      : QEMU Virtual CPU version 2.5+
# flags           : fpu vme de pse tsc msr ... avx avx2
def parse_cpuinfo(text: str) -> tuple[str | None, bool | None]:
    """Model of the first processor and whether it has AVX2; None where the text does not say."""
    model = re.search(r"^model name\s*:\s*(.{1,128})$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return plain(model[1]) if model else None, "avx2" in flags[1].split() if flags else None


def _kind(around: Surroundings) -> Iterator[Reading]:
    # The same look as the one that tells a guest from a machine.
    text, failure = around.attempt("/proc/cpuinfo", longest=16384, keep=CPU_LINES)
    model, has_avx2 = parse_cpuinfo(text or "")
    none = failure or "/proc/cpuinfo does not say"
    yield Reading("cpu.model", "/proc/cpuinfo", model, None if model else none)
    yield Reading("cpu.has_avx2", "/proc/cpuinfo", has_avx2, None if has_avx2 is not None else none)


# Node 1 MemTotal:       263783168 kB
def parse_node_memory(text: str) -> int | None:
    """Bytes of a NUMA node's memory."""
    match = re.search(r"\bMemTotal:\s*(\d{1,15}) kB", text)
    return int(match[1]) * 1024 if match else None


def _nodes(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    for name in around.names(_NODES):
        if re.fullmatch(r"node\d{1,4}", name):
            cpus, failure = around.attempt(f"{_NODES}/{name}/cpulist", longest=4096)
            memory = parse_node_memory(around.text(f"{_NODES}/{name}/meminfo", longest=4096) or "")
            distances = plain(around.text(f"{_NODES}/{name}/distance", longest=4096) or "")
            node = None if cpus is None else (int(name[4:]), plain(cpus), memory, distances)
            yield Reading("numa.node", f"{_NODES}/{name}", node, failure)
    yield number(around, "numa.balancing", "/proc/sys/kernel/numa_balancing")
    for gpu in machine.gpus:
        if gpu.pci_bus_id:
            path = f"/sys/bus/pci/devices/{gpu.pci_bus_id}/numa_node"
            text, failure = around.attempt(path, longest=64)
            match = re.fullmatch(r"\s*(-?\d{1,4})\s*", text or "")
            value = (gpu.pci_bus_id, int(match[1])) if match else None
            yield Reading("numa.gpu", path, value, None if value else failure or f"{path} has no number")


# --- WSL

_LINUX_DRIVER = re.compile(
    r"(?:libnvidia-compute-\d+(?:-server)?|nvidia-driver-\d+(?:-server)?(?:-open)?|libcuda1|cuda-drivers(?:-\d+)?)"
)


def read_wsl(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Packages of a Linux driver inside WSL, where the driver is that of Windows."""
    if machine.host.is_wsl:
        found = around.answer("wsl.driver_packages", lambda: _driver_packages(around))
        why = "the packages of this distribution were not looked through" if found is None else None
        yield Reading("wsl.driver_packages", "/var/lib/dpkg/info", None if found is None else tuple(found), why)


def _driver_packages(around: Surroundings) -> list[str] | None:
    try:
        names = os.listdir(around.path("/var/lib/dpkg/info"))  # noqa: PTH208 -- cheaper
    except OSError:
        return None
    return parse_driver_packages(names)


# libnvidia-compute-535:amd64.list
def parse_driver_packages(names: Iterable[str]) -> list[str]:
    """Packages of a Linux driver among the names of dpkg's lists of files."""
    stems = {name.removesuffix(".list").split(":", 1)[0] for name in names if name.endswith(".list")}
    return sorted(stem for stem in stems if _LINUX_DRIVER.fullmatch(stem))


# --- limits, processes


def read_limits(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """Limits of this process and of the kernel, and what kind of box it is."""
    limits = around.answer("process.limits", _limits) or {}
    for name in ("open_files", "processes"):
        value = limits.get(name)
        yield Reading(f"limit.{name}", "getrlimit", tuple(value) if value else None, None if value else "not read")
    text, failure = around.attempt("/proc/sys/fs/file-nr", longest=256)
    # 594	0	2466170
    match = re.fullmatch(r"\s*(\d{1,19})\s+\d+\s+(\d{1,19})\s*", text or "")
    value = (int(match[1]), int(match[2])) if match else None
    yield Reading("fds.allocated", "/proc/sys/fs/file-nr", value, None if value else failure or "of no known form")
    text, failure = around.attempt("/proc/loadavg", longest=256)
    # 0.71 0.44 0.42 3/95 30370
    match = re.search(r"\b\d+/(\d+)\b", text or "")
    yield Reading("pids.tasks", "/proc/loadavg", int(match[1]) if match else None, None if match else failure)
    yield number(around, "pids.max", "/proc/sys/kernel/pid_max")
    yield number(around, "pids.threads_max", "/proc/sys/kernel/threads-max")
    yield tightest(around, "pids")
    yield number(around, "host.uptime_s", "/proc/uptime")
    chassis, failure = around.attempt("/sys/class/dmi/id/chassis_type", longest=16)
    portable = None if chassis is None else chassis.strip() in _PORTABLE
    yield Reading("host.is_portable", "/sys/class/dmi/id/chassis_type", portable, failure)
    yield from _closed_nodes(around)


def _limits() -> dict[str, list[int | None]]:
    import resource

    def of(which: int) -> list[int | None]:
        return [None if one == resource.RLIM_INFINITY else one for one in resource.getrlimit(which)]

    return {"open_files": of(resource.RLIMIT_NOFILE), "processes": of(resource.RLIMIT_NPROC)}


_GPU_NODE = re.compile(r"nvidia(?:\d{1,3}|ctl|-uvm|-uvm-tools|-modeset)|nvhost-gpu|nvmap")


def _closed_nodes(around: Surroundings) -> Iterator[Reading]:
    """Nodes of the GPU that this user may not open: (path, permissions, group number, group name, is in the group)."""
    user = around.answer("user", user_ids) or {}
    yield Reading("user.uid", "getuid", user.get("uid"), None if user else "nobody asked")
    folder = "nvgpu/igpu0"
    igpu = tuple(f"{folder}/{name}" for name in around.names(f"/dev/{folder}") if name in {"as", "channel", "ctrl"})
    for name in (*(name for name in around.names("/dev") if _GPU_NODE.fullmatch(name)), *igpu):
        path = f"/dev/{name}"
        if around.may_open(path):
            continue
        status, failure = around.status(path)
        if status is None:
            yield Reading("access.closed", path, failure=failure)
            continue
        group = around.answer(f"group {status.gid}", partial(_group_name, around, status.gid))
        is_member = status.gid in (user.get("gids") or ())
        yield Reading("access.closed", path, (path, status.mode & 0o777, status.gid, group, is_member))


def _group_name(around: Surroundings, gid: int) -> str | None:
    """Name of a local group; its members are not kept."""
    try:
        text = around.path("/etc/group").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return parse_group_name(text, gid)


# video:x:44:alice,bob
def parse_group_name(text: str, gid: int) -> str | None:
    """Name of the group with that number in /etc/group."""
    match = re.search(rf"^([\w.-]{{1,64}}):[^:\n]*:{gid}:", text, re.MULTILINE)
    return match[1] if match else None


# 4711 (python3) Z 4700 4711 ...
def parse_stat(text: str) -> tuple[str, str, int] | None:
    """Name, state and parent of a process from /proc/<pid>/stat; the name may hold spaces and brackets."""
    match = re.fullmatch(r"\d+ \((.*)\) (\S) (\d+) .*", text.strip(), re.DOTALL)
    return (match[1], match[2], int(match[3])) if match else None


def read_processes(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """How many processes there are, how many of them are dead, and whose children those are."""
    seen = around.answer("processes", lambda: _processes(around))
    if not seen:
        yield Reading("processes.zombies", "/proc", failure="nobody counted them")
        return
    yield Reading("processes.count", "/proc/*/stat", seen["count"])
    yield Reading("processes.zombies", "/proc/*/stat", seen["zombies"])
    yield from (Reading("processes.zombie_parent", "/proc/*/stat", tuple(one)) for one in seen["parents"])
    yield Reading("clock.daemons", "/proc/*/stat", tuple(seen["time_daemons"]))


def _processes(around: Surroundings) -> dict[str, Any]:
    names: dict[int, str] = {}
    dead: dict[int, int] = {}
    for entry in os.listdir(around.path("/proc")):  # noqa: PTH208 -- cheaper
        if entry.isdigit():
            found = parse_stat(_line_of_stat(around, entry))
            if found:
                names[int(entry)] = found[0]
                if found[1] == "Z":
                    dead[found[2]] = dead.get(found[2], 0) + 1
    most = sorted(dead.items(), key=lambda item: -item[1])[:3]
    return {
        "count": len(names),
        "zombies": sum(dead.values()),
        "parents": [[pid, plain(names.get(pid, "?")), count] for pid, count in most],
        "time_daemons": sorted({name for name in names.values() if name in TIME_DAEMONS}),
    }


def _line_of_stat(around: Surroundings, pid: str) -> str:
    try:
        return around.path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it ended meanwhile
        return ""


PROBES: tuple[Probe, ...] = (
    Probe("processors", "instant", read_cpu),
    Probe("memory", "instant", read_memory),
    Probe("limits", "instant", read_limits),
    Probe("wsl", "instant", read_wsl),
    Probe("disks", "instant", read_disks),
    Probe("processes", "quick", read_processes),
    Probe("programs of the system", "quick", read_programs),
    Probe("board", "quick", read_board),
    Probe("network mounts", "quick", read_network_mounts),
    Probe("nvme health", "quick", read_nvme_health),
    Probe("write test", "standard", read_write_test),
)
