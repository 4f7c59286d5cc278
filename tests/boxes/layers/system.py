"""What the system probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from provision.detect.memory import Look

if TYPE_CHECKING:
    from tests.boxes import Box

GIB = 1024**3
PRESSURE = "some avg10=0.00 avg60=0.10 avg300=0.02 total=9\nfull avg10=0.00 avg60={} avg300=0.02 total=9\n"
TMP = "/tmp"  # noqa: S108 -- named, not used
SHM = "/dev/shm"  # noqa: S108
CPU = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"
# processors, nodes, GiB of memory, governor and its driver, chassis type of SMBIOS
SHAPES = {
    "t4": (4, 1, 16, None, "1"),
    "v100": (64, 2, 256, ("performance", "intel_pstate"), "23"),
    "a100-mig": (128, 2, 512, ("schedutil", "acpi-cpufreq"), "23"),
    "h100x8": (224, 2, 2048, ("powersave", "intel_pstate"), "23"),
    "l40s": (64, 1, 256, ("performance", "amd-pstate-epp"), "23"),
    "rtx3090-p40": (16, 1, 32, ("ondemand", "acpi-cpufreq"), "3"),
    "rtx5090": (32, 1, 64, ("powersave", "amd-pstate-epp"), "3"),
    "gh200": (72, 1, 480, ("performance", "cppc_cpufreq"), "23"),
    "cpu-only": (32, 2, 128, ("performance", "intel_pstate"), "17"),
    "c0ffee123456": (64, 1, 256, ("performance", "amd-pstate-epp"), "23"),
    "laptop": (16, 1, 16, None, "10"),
}


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    cpus, nodes, memory, governor, chassis = SHAPES.get(box.name, SHAPES["l40s"])
    memory *= GIB
    for name in ("present", "online"):
        box.file(f"{CPU}/{name}", f"0-{cpus - 1}\n")
    box.file(f"{CPU}/smt/control", "on\n")
    box.answer("cpu.governors", [[*governor, cpus]] if governor else [])
    box.answer("cpu.affinity", f"0-{cpus - 1}")
    clock = {"t4": "xen", "laptop": "hyperv_clocksource_tsc_page", "gh200": "arch_sys_counter"}.get(box.name, "tsc")
    folder = "/sys/devices/system/clocksource/clocksource0"
    box.file(f"{folder}/current_clocksource", f"{clock}\n").file(f"{folder}/available_clocksource", f"{clock} \n")
    _nodes(box, cpus, nodes, memory)
    _memory(box, memory)
    _limits(box)
    _disks(box)
    if box.name != "laptop":
        box.file("/sys/class/dmi/id/chassis_type", f"{chassis}\n")
    box.answer("user", {"uid": 1000, "gids": [1000]})
    box.answer("processes", {"count": 400, "zombies": 2, "parents": [[2000, "bash", 2]], "time_daemons": ["chronyd"]})
    box.answer("adjtimex", {"state": 0, "status": 0x2001})
    box.command(
        "chronyc -n tracking", "Leap status     : Normal\nSystem time     : 0.000031 seconds slow of NTP time\n"
    )
    box.command(SERVICES, "  nvidia-persistenced.service loaded active running NVIDIA Persistence Daemon\n")


def is_container(box: Box) -> bool:
    return any(("exists", path) in box.looks for path in ("/.dockerenv", "/run/.containerenv"))


UNITS = (
    "nvidia-persistenced nvidia-powerd nvidia-dcgm dcgm nvidia-gridd nvidia-mig-manager nvpmodel".replace(
        " ", ".service "
    )
    + ".service"
)
SERVICES = f"systemctl list-units --all --plain --no-legend --no-pager {UNITS}"


def _nodes(box: Box, cpus: int, nodes: int, memory: int) -> None:
    share = cpus // nodes
    for node in range(nodes):
        folder = f"{NODES}/node{node}"
        box.file(f"{folder}/cpulist", f"{node * share}-{(node + 1) * share - 1}\n")
        box.file(f"{folder}/meminfo", f"Node {node} MemTotal:       {memory // nodes // 1024} kB\n")
        distances = " ".join("10" if other == node else "21" for other in range(nodes))
        box.file(f"{folder}/distance", f"{distances}\n")
    box.file("/proc/sys/kernel/numa_balancing", f"{int(nodes > 1)}\n")
    # GPUs stand before the switches on the bus; the upper half of the bus is on the second socket.
    for bus_id in box.looks.get(("names", "/sys/bus/pci/devices"), Look("present", [])).value:
        node = int(nodes > 1 and int(bus_id.split(":")[1], 16) >= 0x80)
        box.file(f"/sys/bus/pci/devices/{bus_id}/numa_node", f"{node if nodes > 1 else -1}\n")


def _memory(box: Box, memory: int) -> None:
    kib = memory // 1024
    box.file("/proc/meminfo", meminfo(total=kib, available=kib * 7 // 10, swap=8 * 1024**2, swap_free=8 * 1024**2))
    box.file(
        "/proc/buddyinfo",
        "Node 0, zone   Normal  12551  10642   2628   3845   2656   1873   1130    912    688    543   4079\n",
    )
    box.answer("page size", 65536 if box.name == "gh200" else 4096)
    box.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    box.file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n")
    box.file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n")
    box.file("/proc/pressure/memory", PRESSURE.format("0.00"))
    shared = 16 * 1024**3 if is_container(box) else memory // 2  # a container that asked for it: ctr.shm
    box.space(SHM, total=shared, free=shared)
    box.answer("shm.left_behind", 0)


def meminfo(*, total: int, available: int, swap: int = 0, swap_free: int = 0) -> str:
    """Fields in KiB."""
    rows = (("MemTotal", total), ("MemAvailable", available), ("SwapTotal", swap), ("SwapFree", swap_free))
    return "".join(f"{name}:{value:>15} kB\n" for name, value in rows)


def _limits(box: Box) -> None:
    box.answer("process.limits", {"open_files": [1024, 1048576], "processes": [63000, 63000]})
    box.file("/proc/sys/fs/file-nr", "9472\t0\t9223372036854775807\n").file(
        "/proc/loadavg", "0.71 0.44 0.42 3/1200 30370\n"
    )
    box.file("/proc/sys/kernel/pid_max", "4194304\n").file("/proc/sys/kernel/threads-max", "1030000\n")
    box.file("/proc/uptime", "86400.12 1000000.00\n")


def _disks(box: Box) -> None:
    kind = "overlay" if is_container(box) else "ext4"
    places = [["system", "/", kind, "/", False], ["temporary files", TMP, kind, "/", False]]
    places += [[role, f"/home/me/{path}", kind, "/", False] for role, path in HOME.items()]
    mounts = [] if kind == "overlay" else [["/", kind, False, False, True]]
    box.answer("mounts", {"mounts": mounts, "places": places})
    for _, path, *_ in places:
        box.space(path, total=500 * GIB, free=200 * GIB)
        on_device(box, path, 2049)
    box.command("write test", "wrote 0.0042\n")
    if kind == "ext4":
        box.file("/sys/fs/ext4/nvme0n1p2/errors_count", "0\n")
    if box.name != "laptop" and not is_container(box):
        box.file("/sys/class/nvme/nvme0/state", "live\n").file("/sys/class/nvme/nvme0/transport", "pcie\n")


HOME = {"package cache": ".cache", "environment": ".local/share/gpusetup"}


def on_device(box: Box, path: str, device: int) -> Box:
    """Which filesystem a folder is on."""
    value = {"mode": stat.S_IFDIR | 0o755, "uid": 0, "gid": 0, "size": 4096, "modified_at": 0.0}
    box.looks["status", path] = Look("present", {**value, "major": 0, "minor": 0, "device": device})
    return box
