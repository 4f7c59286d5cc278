"""Thresholds of the system and network checks at their edges, and ordinary boxes that must not be blamed."""

from __future__ import annotations

import pytest

from provision.checks import Context, Facts, all_checks
from provision.records import Gpu, GpuState, Host, Machine, Reading

CHECKS = {check.id: check for check in all_checks()}
GIB = 1024**3
NOW = 1_795_000_000.0
HOST = Host(hostname="box", system="linux", os="ubuntu", arch="x86_64", is_wsl=False)
GPU = Gpu(index=0, name="NVIDIA L40S", pci_bus_id="0000:41:00.0", memory_bytes=48 * GIB, in_nvml=True)


def finding(id_, readings, *, host=HOST, gpus=(GPU,), **context):
    """The check's finding on a machine with these readings; a list is several readings, an exception a failed one."""
    made = [Reading("host.kernel", "uname", "6.8.0")]
    for name, value in readings.items():
        for one in value if isinstance(value, list) else [value]:
            failed = isinstance(one, Exception)
            made.append(Reading(name, "test", None if failed else one, str(one) if failed else None))
    state = GpuState.USABLE if gpus else GpuState.NONE
    machine = Machine(host=host, gpus=gpus, gpu_state=state, readings=tuple(made))
    return CHECKS[id_].evaluate(Facts(machine, Context(**{"now": NOW, **context})))


def status(id_, readings, **more):
    return finding(id_, readings, **more).status


def room(role, free, *, total=500 * GIB, inodes=10_000_000, free_inodes=9_000_000):
    return (role, "/place", total, int(free), inodes, free_inodes)


def place(role, kind="ext4", *, is_read_only=False):
    return (role, "/place", kind, "/", is_read_only)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ({"cpu.governor": [("powersave", "intel_pstate", 8)]}, "pass"),
        ({"cpu.governor": [("powersave", "amd-pstate-epp", 8)]}, "pass"),
        ({"cpu.governor": [("powersave", "intel_cpufreq", 8)]}, "warn"),
        ({"cpu.governor": [("schedutil", "acpi-cpufreq", 8)]}, "pass"),
        ({"cpu.governor": [("userspace", "acpi-cpufreq", 8)]}, "warn"),
        ({"cpu.governor": [("performance", "acpi-cpufreq", 7), ("powersave", "acpi-cpufreq", 1)]}, "warn"),
        ({"cpu.governor": [("powersave", "acpi-cpufreq", 8)], "host.is_portable": True}, "skip"),
        ({}, "skip"),
    ],
)
def test_governor(readings, expected):
    assert status("sys.cpu_governor", readings) == expected


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ({"cpu.present": 64, "cpu.online": 64}, "pass"),
        ({"cpu.present": 64, "cpu.online": 63}, "warn"),
        ({"cpu.present": 64, "cpu.online": 32, "cpu.smt": "off"}, "pass"),
        ({"cpu.present": 64, "cpu.online": 32, "cpu.smt": "on"}, "warn"),
        ({"cpu.online": OSError("gone")}, "unknown"),
    ],
)
def test_count_of_processors(readings, expected):
    assert status("sys.cpu_count", readings) == expected


@pytest.mark.parametrize(
    ("online", "affinity", "quota", "expected"),
    [
        (64, "0-63", "unlimited", "pass"),
        (64, "0-63", 4.0, "pass"),
        (64, "0-63", 3.999, "warn"),
        (64, "0-3", "unlimited", "pass"),
        (64, "0-2", "unlimited", "warn"),
        (2, "0-1", "unlimited", "pass"),  # a small machine is not a limit
        (2, "0-1", 2.0, "pass"),
    ],
)
def test_quota(online, affinity, quota, expected):
    readings = {"cpu.online": online, "cpu.affinity": affinity, "cpu.control_group": quota}
    assert status("sys.cpu_quota", readings) == expected


@pytest.mark.parametrize(
    ("source", "host", "expected"),
    [
        ("tsc", HOST, "pass"),
        ("hpet", HOST, "warn"),
        ("acpi_pm", HOST, "warn"),
        ("kvm-clock", Host(arch="x86_64", virtualization="kvm"), "skip"),
        ("acpi_pm", Host(arch="x86_64", virtualization="kvm"), "skip"),
        ("arch_sys_counter", Host(arch="aarch64"), "skip"),
    ],
)
def test_clocksource(source, host, expected):
    assert status("sys.clocksource", {"clock.source": source}, host=host) == expected


NODES = [(0, "0-15", 64 * GIB, "10 12 32 32"), (1, "16-31", 64 * GIB, "12 10 32 32")]
NODES += [(2, "32-47", 64 * GIB, "32 32 10 12"), (3, "48-63", 64 * GIB, "32 32 12 10")]


@pytest.mark.parametrize(
    ("affinity", "gpu_node", "expected"),
    [
        ("0-63", 0, "pass"),
        ("16-31", 0, "pass"),  # another node of the same socket
        ("32-63", 0, "warn"),
        ("32-63", -1, "skip"),
        ("31-32", 0, "pass"),
    ],
)
def test_far_from_the_gpu(affinity, gpu_node, expected):
    readings = {"numa.node": NODES, "numa.gpu": [("0000:41:00.0", gpu_node)], "cpu.affinity": affinity}
    assert status("sys.numa", readings) == expected


def test_one_node_is_skipped():
    assert status("sys.numa", {"numa.node": [NODES[0]]}) == "skip"


@pytest.mark.parametrize(
    ("total", "available", "more", "expected"),
    [
        (64, 6.5, {}, "pass"),
        (64, 6.3, {}, "warn"),
        (2048, 9, {}, "pass"),  # less than 10 %, and plenty
        (2048, 7.9, {}, "warn"),
        (64, 2, {"mem.zfs_cache_bytes": 20 * GIB}, "pass"),
        (64, 60, {"memory.control_group": (16 * GIB, 15 * GIB)}, "warn"),
        (64, 60, {"memory.control_group": (16 * GIB, 4 * GIB)}, "pass"),
        (64, 60, {"memory.control_group": "unlimited"}, "pass"),
    ],
)
def test_memory_left(total, available, more, expected):
    readings = {"mem.total_bytes": total * GIB, "mem.available_bytes": int(available * GIB), **more}
    assert status("sys.mem_available", readings) == expected


@pytest.mark.parametrize(("total", "expected"), [(48, "pass"), (16, "pass"), (12, "pass"), (11.9, "warn")])
def test_memory_against_that_of_the_gpus(total, expected):
    assert status("sys.mem_ratio", {"mem.total_bytes": int(total * GIB)}) == expected


def test_a_limit_counts_against_the_gpus():
    readings = {"mem.total_bytes": 512 * GIB, "memory.control_group": (8 * GIB, GIB)}
    assert status("sys.mem_ratio", readings) == "warn"


@pytest.mark.parametrize(
    ("blocks", "page", "expected"),
    [
        ((3_000_000, *[0] * 10), 4096, "warn"),
        ((3_000_000, *[0] * 8, 1, 0), 4096, "pass"),
        ((100, *[0] * 10), 4096, "pass"),  # in use, not in crumbs
        ((200_000, 0, 0, 0, 0, 1), 65536, "pass"),
    ],
)
def test_fragmentation(blocks, page, expected):
    readings = {"mem.free_blocks": blocks, "mem.page_bytes": page, "mem.total_bytes": 64 * GIB}
    assert status("sys.fragmentation", readings) == expected


@pytest.mark.parametrize(("free", "expected"), [(8192, "pass"), (8193, "warn")])
def test_idle_huge_pages(free, expected):
    readings = {"mem.total_bytes": 64 * GIB, "mem.huge_pages": [(2 * 1024**2, 20000, free)]}
    assert status("sys.hugepages_thp", readings) == expected


@pytest.mark.parametrize(
    ("used", "available", "stalled", "expected"),
    [
        (7, 40, None, "pass"),  # swapped out once, and still
        (7, 12, None, "warn"),
        (1, 2, None, "pass"),
        (0, 40, 50.0, "pass"),  # there is no swap in it
        (1, 40, 9.99, "pass"),
        (1, 40, 10.0, "warn"),
    ],
)
def test_swap(used, available, stalled, expected):
    readings = {
        "swap.total_bytes": 8 * GIB,
        "swap.free_bytes": (8 - used) * GIB,
        "mem.total_bytes": 64 * GIB,
        "mem.available_bytes": available * GIB,
        "mem.stalled_percent": OSError("no such file") if stalled is None else stalled,
    }
    assert status("sys.swap", readings) == expected


@pytest.mark.parametrize(
    ("total", "free", "expected"), [(32, 32, "pass"), (16, 16, "pass"), (15, 15, "warn"), (32, 3, "warn")]
)
def test_shared_memory(total, free, expected):
    readings = {"shm.space": (total * GIB, free * GIB), "mem.total_bytes": 64 * GIB}
    assert status("sys.shm", readings) == expected


@pytest.mark.parametrize(
    ("files", "processes", "expected"),
    [
        ((1024, 1048576), (100, None), "pass"),
        ((1024, None), (100, None), "pass"),
        ((65535, 65535), (63000, 63000), "pass"),
        ((65534, 65534), (63000, 63000), "warn"),
        ((1024, 1048576), (500, 1023), "warn"),
    ],
)
def test_limits(files, processes, expected):
    assert status("sys.ulimits", {"limit.open_files": files, "limit.processes": processes}) == expected


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ({"fds.allocated": (9000, 2**63 - 1)}, "pass"),
        ({"fds.allocated": (79, 100)}, "pass"),
        ({"fds.allocated": (80, 100)}, "warn"),
        ({"fds.allocated": (95, 100)}, "fail"),
        ({"pids.tasks": 30000, "pids.max": 32768, "pids.threads_max": 1_000_000}, "warn"),
        ({"pids.tasks": 100, "pids.max": 32768, "pids.control_group": (1000, 960)}, "fail"),
        ({"pids.tasks": 100, "pids.max": 32768, "pids.control_group": "unlimited"}, "pass"),
        ({}, "unknown"),
    ],
)
def test_files_and_tasks(readings, expected):
    assert status("sys.fds_pids", readings, gpus=()) == expected


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        (999, 4194304, "pass"),
        (1000, 4194304, "warn"),
        (2000, 4194304, "fail"),
        (200, 1000, "warn"),
        (800, 1000, "fail"),
    ],
)
def test_zombies(count, most, expected):
    assert status("sys.zombies", {"processes.zombies": count, "pids.max": most}) == expected


@pytest.mark.parametrize(
    ("rooms", "places", "gpus", "expected"),
    [
        ([room("environment", 6.48e9)], [], (GPU,), "pass"),
        ([room("environment", 6.47e9)], [], (GPU,), "warn"),
        ([room("environment", 3e9)], [], (), "pass"),
        ([room("environment", 2e9)], [], (), "warn"),
        ([room("environment", 499e6)], [], (GPU,), "fail"),
        ([room("system", 499e6)], [place("system")], (), "fail"),
        ([room("system", 0)], [place("system", "overlay", is_read_only=True)], (), "unknown"),
        ([room("temporary files", 0.9e9)], [place("temporary files", "tmpfs")], (GPU,), "warn"),
        ([room("temporary files", 0.9e9)], [place("temporary files", "tmpfs")], (), "pass"),
        ([room("temporary files", 1e6)], [place("temporary files", "tmpfs")], (GPU,), "warn"),
        ([room("temporary files", 1e6)], [place("temporary files")], (GPU,), "fail"),
        ([room("system", 0, total=0)], [], (), "pass"),  # a filesystem that reports nothing
    ],
)
def test_disk_room(rooms, places, gpus, expected):
    assert status("sys.disk_free", {"disk.room": rooms, "disk.place": places}, gpus=gpus) == expected


@pytest.mark.parametrize(
    ("total", "free", "expected"),
    [(0, 0, "pass"), (10_000_000, 250_000, "pass"), (10_000_000, 199_999, "warn"), (65536, 60000, "pass")],
)
def test_inodes(total, free, expected):
    rooms = [room("environment", 1e12, inodes=total, free_inodes=free)]
    assert status("sys.inodes", {"disk.room": rooms}) == expected


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (("/", "ext4", False, False, True), "pass"),
        (("/", "ext4", True, True, True), "fail"),
        (("/", "ext4", True, True, False), "pass"),  # an image that is meant to be so
        (("/x", "ext4", True, False, True), "pass"),  # one read-only mount of a writable filesystem
        (("/x", "nfs4", True, True, True), "pass"),
    ],
)
def test_read_only(mount, expected):
    readings = {"disk.mount": [mount], "disk.place": [place("system")]}
    assert status("sys.disk_rw", readings, gpus=()) == expected


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (("nvme0", 0, 3, 0), "pass"),
        (("nvme0", 0, 99, 0), "pass"),
        (("nvme0", 0, 100, 0), "warn"),
        (("nvme0", 0, None, None), "pass"),
        (("nvme0", 1, 3, 0), "fail"),
        (PermissionError("only root may ask a drive for its health"), "pass"),
    ],
)
def test_nvme(health, expected):
    assert status("sys.nvme", {"nvme.state": [("nvme0", "live")], "nvme.health": [health]}) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (("/data", "nfs4"), "pass"),
        (TimeoutError("no answer within 5 s"), "fail"),
        (OSError("stat: cannot read file system information for '/data': Stale file handle"), "warn"),
        (OSError("stat: cannot read file system information for '/home/me/s3': Permission denied"), "unknown"),
        (OSError("stat: invalid option"), "pass"),
    ],
)
def test_network_mounts(answer, expected):
    assert status("sys.nfs_hang", {"disk.network_mount": [answer]}, gpus=()) == expected


UNKEPT = {"clock.is_synchronised": False, "host.uptime_s": 5000, "clock.daemons": ()}
VM = Host(arch="x86_64", virtualization="kvm")


@pytest.mark.parametrize(
    ("readings", "more", "expected"),
    [
        ({"clock.is_synchronised": True}, {}, "pass"),
        (UNKEPT, {}, "warn"),
        ({**UNKEPT, "host.uptime_s": 899}, {}, "pass"),
        ({**UNKEPT, "host.is_portable": True}, {}, "pass"),
        (UNKEPT, {"gpus": ()}, "pass"),
        (UNKEPT, {"host": VM}, "pass"),
        ({**UNKEPT, "clock.daemons": ("systemd-timesyn",)}, {"host": VM}, "warn"),
        ({**UNKEPT, "clock.daemons": ("ptp4l",)}, {}, "unknown"),
        ({**UNKEPT, "clock.chrony_synchronised": True, "clock.off_s": 0.1}, {}, "pass"),
        ({"clock.chrony_synchronised": True, "clock.off_s": 0.11}, {}, "warn"),
        ({"clock.chrony_synchronised": True, "clock.off_s": 5.1}, {}, "fail"),
        ({}, {}, "unknown"),
        ({"clock.is_synchronised": True}, {"now": 0.0}, "fail"),
        ({"clock.is_synchronised": True}, {"now": None}, "pass"),
    ],
)
def test_clock(readings, more, expected):
    assert status("sys.time_sync", readings, **more) == expected


@pytest.mark.parametrize(
    ("model", "avx2", "host", "expected"),
    [
        ("QEMU Virtual CPU version 2.5+", False, VM, "warn"),
        ("Common KVM processor", False, VM, "warn"),
        ("QEMU Virtual CPU version 2.5+", True, VM, "pass"),
        ("Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz", False, VM, "pass"),  # an old one that is real
        ("Common KVM processor", False, HOST, "pass"),
    ],
)
def test_made_up_processors(model, avx2, host, expected):
    assert status("sys.virt", {"cpu.model": model, "cpu.has_avx2": avx2}, host=host) == expected


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        (("/dev/nvidia0", 0o660, 44, "video", False), "fail"),
        (("/dev/nvidia0", 0o660, 0, "root", False), "pass"),  # nobody should join root: driver.device_nodes tells it
        (("/dev/nvidia0", 0o600, 44, "video", False), "pass"),
        (("/dev/nvidia0", 0o660, 44, "video", True), "pass"),
        (("/dev/nvidia-modeset", 0o660, 44, "video", False), "pass"),
    ],
)
def test_group_of_the_nodes(closed, expected):
    assert status("sys.user_access", {"user.uid": 1000, "access.closed": [closed]}) == expected


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        (("Power Supply", "PSU1 Status", "ok", "Presence detected"), "pass"),
        (("Power Supply", "PSU2 Status", "ok", "Presence detected, Power Supply AC lost"), "fail"),
        (("Power Supply", "PS Redundancy", "ok", "Fully Redundant"), "pass"),
        (("Fan", "Fan1", "ok", "5880 RPM"), "pass"),
        (("Fan", "Fan1", "nc", "900 RPM"), "pass"),
        (("Fan", "Fan1", "nr", "0 RPM"), "warn"),
    ],
)
def test_board(sensor, expected):
    assert status("sys.ipmi", {"ipmi.sensors": ["Fan"], "ipmi.sensor": [sensor]}) == expected


@pytest.mark.parametrize(
    ("addresses", "nodes", "expected"),
    [
        (("loopback",), None, "pass"),  # what Debian and Ubuntu install
        (("loopback",), 1, "pass"),
        (("loopback",), 2, "fail"),
        (("loopback", "link-local"), 2, "fail"),
        (("loopback", "private"), 2, "pass"),
        (("global",), 2, "pass"),
        (LookupError("the name leads to no address"), 2, "fail"),
        (LookupError("the name leads to no address"), None, "pass"),
        (TimeoutError("no answer within 5 s"), None, "timed-out"),
    ],
)
def test_own_name(addresses, nodes, expected):
    readings = {"net.own_addresses": addresses, **({"job.nodes": nodes} if nodes else {})}
    assert status("net.rendezvous", readings) == expected


WSL = Host(hostname="laptop", system="linux", os="ubuntu", arch="x86_64", is_wsl=True)


@pytest.mark.parametrize(
    ("outcome", "expected"), [("answered", "pass"), ("not-asked", "pass"), ("driver-not-loaded", "fail")]
)
def test_driver_packages_inside_wsl(outcome, expected):
    readings = {"wsl.library_folder": True, "wsl.dxg": True, "nvml.outcome": outcome}
    readings["wsl.driver_packages"] = ("libnvidia-compute-535",)
    assert status("sys.wsl", readings, host=WSL) == expected
