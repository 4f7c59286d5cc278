"""Sick machines of the area system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.detect.probes.storage import NETWORK
from tests.boxes import NOW
from tests.boxes.healthy import a100_mig, container, cpu_only, gh200, h100x8, l40s, rtx5090, t4, v100, wsl
from tests.boxes.layers.system import GIB, PRESSURE, SERVICES, SHM, TMP, meminfo, on_device

from . import Case

if TYPE_CHECKING:
    from tests.boxes import Box

KIB = 1024 * 1024
"""KiB in a GiB."""


def _mounts(box: Box, mounts: list[list[object]], **places: tuple[str, str, str, bool]) -> Box:
    """Other mounts, and other places by role: path, kind, mount, whether it is read-only."""
    seen = box.looks["answer", "mounts"].value
    kept = [place for place in seen["places"] if place[0].replace(" ", "_") not in places]
    kept += [[role.replace("_", " "), *place] for role, place in places.items()]
    return box.answer("mounts", {"mounts": [*seen["mounts"], *mounts], "places": kept})


def _small_tmp() -> Box:
    box = _mounts(t4(), [], temporary_files=(TMP, "tmpfs", TMP, False))
    return box.space(TMP, total=GIB // 2, free=GIB // 2)


def _nfs(stdout: str = "", **ended: object) -> Box:
    assert "nfs4" in NETWORK
    box = _mounts(h100x8(), [["/data", "nfs4", False, False, True]])
    return box.command("stat -f -c %b %a %S %c %d -- /data", stdout, **ended)


def _cache_elsewhere() -> Box:
    return on_device(
        _mounts(l40s(), [], package_cache=("/scratch/cache", "xfs", "/scratch", False)), "/scratch/cache", 2065
    ).space("/scratch/cache", total=500 * GIB, free=200 * GIB)


def _smart(*, warning: int = 0, errors: int = 0) -> Box:
    text = f'{{"critical_warning": {warning}, "percent_used": 3, "media_errors": {errors}}}'
    return _as_root(l40s()).command("nvme smart-log /dev/nvme0 -o json", text)


def _as_root(box: Box) -> Box:
    return box.answer("user", {"uid": 0, "gids": [0]})


def _sensors(*, supplies: str = "", fans: str = "") -> Box:
    box = _as_root(l40s()).node("/dev/ipmi0")
    box.command("nvme smart-log /dev/nvme0 -o json", '{"critical_warning": 0}')
    return box.command("ipmitool sdr type Power Supply", supplies).command("ipmitool sdr type Fan", fans)


def _kept_for_a_group() -> Box:
    box = t4()
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        box.node(f"/dev/{name}", mode=0o660, may_open=False)
        box.looks["status", f"/dev/{name}"].value["gid"] = 44
    return box.answer("group 44", "video").nvml(**{"err.nvmlInit": 4})


def _made_up_cpu() -> Box:
    text = "processor\t: 0\nmodel name\t: QEMU Virtual CPU version 2.5+\nflags\t\t: fpu sse sse2 hypervisor\n"
    return t4().file("/proc/cpuinfo", text)


def _jetson_without_jetson_linux() -> Box:
    box = cpu_only()
    box.arch = "aarch64"
    for name in ("env.path", "env.scan"):
        box.looks.pop(("answer", name), None)
    return box.file("/proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0")


def _jetson_without_the_group() -> Box:
    box = _jetson_without_jetson_linux()
    box.file("/etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    box.node("/dev/nvmap", mode=0o660, may_open=False).command("nvpmodel -q", "NV Power Mode: MODE_30W\n2\n")
    box.looks["status", "/dev/nvmap"].value["gid"] = 44
    return box.answer("group 44", "video")


def _cut_off_from_its_socket() -> Box:
    box = v100()
    return box.file("/sys/bus/pci/devices/0000:3b:00.0/numa_node", "0\n").answer("cpu.affinity", "32-63")


def _unsynchronised(box: Box, daemons: list[str]) -> Box:
    processes = dict(box.looks["answer", "processes"].value, time_daemons=daemons)
    return (
        box.answer("adjtimex", {"state": 5, "status": 0x40})
        .answer("processes", processes)
        .command("chronyc -n tracking", "", returncode=1, stderr="506 Cannot talk to daemon\n")
    )


CASES: tuple[Case, ...] = (
    # processors
    Case(
        "governor-at-lowest-clock",
        lambda: a100_mig().answer("cpu.governors", [["powersave", "acpi-cpufreq", 128]]),
        "sys.cpu_governor",
        "warn",
        says=("powersave", "128"),
    ),
    Case(
        "processors-switched-off",
        lambda: v100().file("/sys/devices/system/cpu/online", "0-59\n"),
        "sys.cpu_count",
        "warn",
        says=("4 of 64",),
    ),
    Case(
        "container-with-two-processors",
        lambda: container().file("/sys/fs/cgroup/cpu.max", "200000 100000\n").file("/proc/self/cgroup", "0::/\n"),
        "sys.cpu_quota",
        "warn",
        says=("2 of 64",),
    ),
    Case(
        "batch-job-with-one-processor",
        lambda: h100x8().answer("cpu.affinity", "0"),
        "sys.cpu_quota",
        "warn",
        says=("1 of 224", "8 GPUs"),
    ),
    Case(
        "clock-fell-back-to-hpet",
        lambda: l40s().file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
        "sys.clocksource",
        "warn",
    ),
    Case("bound-to-the-other-socket", _cut_off_from_its_socket, "sys.numa", "warn", pitfall=("numa-affinity-wrong",)),
    Case(
        "socket-without-memory",
        lambda: v100().file("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       0 kB\n"),
        "sys.numa",
        "warn",
        says=("no memory",),
    ),
    # memory
    Case(
        "memory-used-up",
        lambda: rtx5090().file("/proc/meminfo", meminfo(total=64 * KIB, available=2 * KIB)),
        "sys.mem_available",
        "warn",
        says=("2.0 GiB",),
    ),
    Case(
        "container-at-its-memory-limit",
        lambda: (
            container()
            .file("/proc/self/cgroup", "0::/\n")
            .file("/sys/fs/cgroup/memory.max", f"{32 * GIB}\n")
            .file("/sys/fs/cgroup/memory.current", f"{31 * GIB}\n")
            .file("/sys/fs/cgroup/memory.stat", "anon 100\ninactive_file 0\n")
        ),
        "sys.mem_available",
        "warn",
        says=("1.0 GiB", "32.0 GiB"),
    ),
    Case(
        "little-memory-for-many-gpus",
        lambda: h100x8().file("/proc/meminfo", meminfo(total=128 * KIB, available=100 * KIB)),
        "sys.mem_ratio",
        "warn",
    ),
    Case(
        "free-memory-in-crumbs",
        lambda: l40s().file("/proc/buddyinfo", f"Node 0, zone   Normal {20_000_000} 2000 0 0 0 0 0 0 0 0 0\n"),
        "sys.fragmentation",
        "warn",
    ),
    Case(
        "huge-pages-left-behind",
        lambda: (
            l40s()
            .file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "51200\n")
            .file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "51200\n")
        ),
        "sys.hugepages_thp",
        "warn",
        says=("100.0 GiB",),
    ),
    Case(
        "lives-from-swap",
        lambda: (
            l40s()
            .file("/proc/meminfo", meminfo(total=256 * KIB, available=90 * KIB, swap=8 * KIB, swap_free=5 * KIB))
            .file("/proc/pressure/memory", PRESSURE.format("31.50"))
        ),
        "sys.swap",
        "warn",
        says=("31.5 %",),
    ),
    Case(
        "swap-used-and-memory-short",
        lambda: rtx5090().file(
            "/proc/meminfo", meminfo(total=64 * KIB, available=9 * KIB, swap=8 * KIB, swap_free=KIB)
        ),
        "sys.swap",
        "warn",
        says=("7.0 GiB",),
    ),
    Case(
        "shared-memory-mounted-small",
        lambda: l40s().space(SHM, total=8 * GIB, free=8 * GIB),
        "sys.shm",
        "warn",
    ),
    Case(
        "shared-memory-full-of-leftovers",
        lambda: l40s().space(SHM, total=128 * GIB, free=GIB).answer("shm.left_behind", 31),
        "sys.shm",
        "warn",
        says=("31 files",),
    ),
    # limits and processes
    Case(
        "few-open-files",
        lambda: v100().answer("process.limits", {"open_files": [1024, 4096], "processes": [4096, 63000]}),
        "sys.ulimits",
        "warn",
        pitfall=("too-many-open-files",),
        says=("4,096",),
    ),
    Case(
        "system-out-of-files",
        lambda: l40s().file("/proc/sys/fs/file-nr", "97000\t0\t100000\n"),
        "sys.fds_pids",
        says=("97%",),
    ),
    Case(
        "container-near-its-pids-limit",
        lambda: (
            container()
            .file("/proc/self/cgroup", "0::/\n")
            .file("/sys/fs/cgroup/pids.max", "1000\n")
            .file("/sys/fs/cgroup/pids.current", "850\n")
        ),
        "sys.fds_pids",
        "warn",
        says=("control group",),
    ),
    Case(
        "thousands-of-zombies",
        lambda: container().answer(
            "processes", {"count": 2600, "zombies": 2500, "parents": [[1, "sleep", 2500]], "time_daemons": []}
        ),
        "sys.zombies",
        says=("sleep",),
    ),
    # disks
    Case(
        "no-room-for-an-environment",
        lambda: t4().space("/home/me/.local/share/gpusetup", total=30 * GIB, free=3 * GIB),
        "sys.disk_free",
        "warn",
        pitfall=("disk-full-install",),
        says=("3.0 GiB", "environment"),
    ),
    Case("small-tmpfs-for-temporary-files", _small_tmp, "sys.disk_free", "warn", says=(TMP,)),
    Case("system-disk-full", lambda: cpu_only().space("/", total=100 * GIB, free=10_000_000), "sys.disk_free"),
    Case(
        "no-inodes",
        lambda: t4().space("/home/me/.cache", total=500 * GIB, free=200 * GIB, inodes=3_000_000, free_inodes=900),
        "sys.inodes",
        "warn",
        says=("900",),
    ),
    Case("cache-on-another-filesystem", _cache_elsewhere, "sys.cache_same_fs", "warn"),
    Case(
        "remounted-read-only",
        lambda: _mounts(l40s(), [["/data", "xfs", True, True, True]]),
        "sys.disk_rw",
        says=("/data",),
    ),
    Case(
        "ext4-counted-errors", lambda: l40s().file("/sys/fs/ext4/nvme0n1p2/errors_count", "7\n"), "sys.disk_rw", "warn"
    ),
    Case(
        "temporary-files-can-not-be-written",
        lambda: l40s().command(
            "write test", "", returncode=1, stderr="OSError: [Errno 5] Input/output error: '/tmp'\n"
        ),
        "sys.disk_rw",
        level="standard",
        says=("Input/output error",),
    ),
    Case("nvme-gave-up", lambda: l40s().file("/sys/class/nvme/nvme0/state", "dead\n"), "sys.nvme", says=("nvme0",)),
    Case("nvme-critical-warning", lambda: _smart(warning=4), "sys.nvme", says=("0x04",)),
    Case("nvme-media-errors", lambda: _smart(errors=12), "sys.nvme", "warn", says=("12 media errors",)),
    Case("nfs-does-not-answer", lambda: _nfs(timed_out=True), "sys.nfs_hang", says=("/data",)),
    Case(
        "nfs-handle-is-stale",
        lambda: _nfs(returncode=1, stderr="stat: cannot read file system information for '/data': Stale file handle\n"),
        "sys.nfs_hang",
        "warn",
        says=("Stale file handle",),
    ),
    # clock, services, board
    Case("nothing-keeps-the-clock", lambda: _unsynchronised(l40s(), []), "sys.time_sync", "warn"),
    Case(
        "time-servers-out-of-reach",
        lambda: _unsynchronised(t4(), ["systemd-timesyn"]),
        "sys.time_sync",
        "warn",
        says=("systemd-timesyn",),
    ),
    Case(
        "clock-off-by-a-minute",
        lambda: l40s().command(
            "chronyc -n tracking", "Leap status     : Normal\nSystem time     : 61.5 seconds fast of NTP time\n"
        ),
        "sys.time_sync",
        says=("61.50 s",),
    ),
    Case("clock-of-1970", lambda: gh200().given(now=NOW - 1_700_000_000), "sys.time_sync", says=("1973",)),
    Case(
        "service-of-the-gpus-failed",
        lambda: l40s().command(SERVICES, "● nvidia-dcgm.service loaded failed failed NVIDIA DCGM service\n"),
        "sys.services",
        "warn",
        says=("nvidia-dcgm",),
    ),
    Case(
        "power-supply-lost",
        lambda: _sensors(supplies="PS Redundancy    | 77h | ok  |  7.1 | Redundancy Lost\n"),
        "sys.ipmi",
        says=("Redundancy Lost",),
    ),
    Case(
        "fan-too-slow",
        lambda: _sensors(fans="Fan1 RPM         | 30h | cr  |  7.1 | 360 RPM\n"),
        "sys.ipmi",
        "warn",
        says=("360 RPM",),
    ),
    # kinds of machine
    Case("guest-with-a-made-up-processor", _made_up_cpu, "sys.virt", "warn", says=("QEMU Virtual CPU",)),
    Case("jetson-without-jetson-linux", _jetson_without_jetson_linux, "sys.jetson", "warn"),
    Case("jetson-user-outside-of-video", _jetson_without_the_group, "sys.user_access", says=("/dev/nvmap", "video")),
    Case("nodes-kept-for-a-group", _kept_for_a_group, "sys.user_access", says=("video",)),
    # WSL
    Case(
        "wsl-with-a-linux-driver",
        lambda: (
            wsl()
            .library(
                "libnvidia-ml.so.1", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", real="libnvidia-ml.so.535.183.01"
            )
            .library("libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", real="libcuda.so.535.183.01")
            .nvml(**{"err.nvmlInit": 9})
        ),
        "sys.wsl",
        pitfall=("wsl-linux-driver-installed",),
    ),
    Case(
        "wsl-with-packages-of-a-linux-driver",
        lambda: wsl().answer("wsl.driver_packages", ["libnvidia-compute-535"]).nvml(**{"err.nvmlInit": 9}),
        "sys.wsl",
        says=("libnvidia-compute-535",),
    ),
    Case(
        "wsl-blocked-by-windows",
        lambda: wsl().nvml(**{"err.nvmlInit": 17}),
        "sys.wsl",
        pitfall=("wsl-gpu-blocked-by-os",),
    ),
    Case(
        "wsl-without-dxg", lambda: wsl().without("/dev/dxg").nvml(**{"err.nvmlInit": 17}), "sys.wsl", says=("/dev/dxg",)
    ),
)
