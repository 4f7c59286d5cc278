"""Parsers and looks of the system probes, with output of real programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from provision.detect.examine import gather
from provision.detect.memory import Look, Recorder, Replay
from provision.detect.probes import control_groups, storage, system, system_memory, system_programs
from provision.detect.surroundings import Surroundings
from provision.records import Host, Machine

EMPTY = Machine(host=Host())


def tree(root: Path, files: dict[str, str]) -> Surroundings:
    for path, text in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return Surroundings(root=root, environ={})


def by_name(readings):
    found = {}
    for reading in readings:
        found.setdefault(reading.name, []).append(reading)
    return found


# --- processors


@pytest.mark.parametrize(
    ("text", "count"), [("0-3,8,10-11\n", 7), ("0\n", 1), ("", 0), ("0-1,x", None), ("1-2-3", None)]
)
def test_cpu_list(text, count):
    found = system.parse_cpu_list(text)
    assert (None if found is None else len(found)) == count


def test_cpu_list_there_and_back():
    assert system.as_cpu_list({0, 1, 2, 8, 10, 11}) == "0-2,8,10-11"
    assert system.as_cpu_list([]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: AMD EPYC 7B13\nflags\t\t: fpu avx avx2 sha_ni\n", ("AMD EPYC 7B13", True)),
        ("model name\t: Common KVM processor\nflags\t\t: fpu sse2 avx\n", ("Common KVM processor", False)),
        ("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n", (None, None)),
    ],
)
def test_cpuinfo(text, expected):
    assert system.parse_cpuinfo(text) == expected


def test_node_memory():
    assert system.parse_node_memory("Node 1 MemTotal:       263783168 kB\nNode 1 MemFree: 1 kB\n") == 263783168 * 1024
    assert system.parse_node_memory("") is None


def test_governors_are_counted(tmp_path):
    folder = "/sys/devices/system/cpu/cpufreq"
    files = {f"{folder}/policy{number}/scaling_governor": "powersave\n" for number in range(3)}
    files[f"{folder}/policy3/scaling_governor"] = "performance\n"
    files |= {f"{folder}/policy{number}/scaling_driver": "intel_pstate\n" for number in range(4)}
    found = by_name(system.read_cpu(tree(tmp_path, files), EMPTY))
    values = [one.value for one in found["cpu.governor"]]
    assert values == [("performance", "intel_pstate", 1), ("powersave", "intel_pstate", 3)]


# --- processes, limits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4711 (python3) Z 4700 4711 4700 0\n", ("python3", "Z", 4700)),
        ("17 (a) b (c) S 1 17\n", ("a) b (c", "S", 1)),
        ("", None),
    ],
)
def test_stat(text, expected):
    assert system.parse_stat(text) == expected


def test_zombies_and_their_parents(tmp_path):
    files = {f"/proc/{pid}/stat": f"{pid} (job) Z 7 0 0\n" for pid in range(100, 103)}
    files |= {"/proc/7/stat": "7 (sleep) S 1 0 0\n", "/proc/8/stat": "8 (chronyd) S 1 0 0\n", "/proc/uptime": "1 1\n"}
    found = by_name(system.read_processes(tree(tmp_path, files), EMPTY))
    assert found["processes.zombies"][0].value == 3
    assert found["processes.zombie_parent"][0].value == (7, "sleep", 3)
    assert found["clock.daemons"][0].value == ("chronyd",)


def test_group_name():
    text = "root:x:0:\nvideo:x:44:alice,bob\nrender:x:105:\n"
    assert system.parse_group_name(text, 44) == "video"
    assert system.parse_group_name(text, 4) is None


def test_driver_packages():
    names = ["libnvidia-compute-535:amd64.list", "libnvidia-compute-535:amd64.md5sums", "nvidia-cuda-toolkit.list"]
    names += ["nvidia-driver-550-server-open.list", "libcuda1:amd64.list", "cuda-drivers.list", "libc6:amd64.list"]
    assert system.parse_driver_packages(names) == [
        "cuda-drivers",
        "libcuda1",
        "libnvidia-compute-535",
        "nvidia-driver-550-server-open",
    ]


# --- control groups


def test_cpu_max():
    assert control_groups.parse_cpu_max("250000 100000\n") == 2.5
    assert control_groups.parse_cpu_max("max 100000\n") is None


def test_the_tightest_group_counts(tmp_path):
    around = tree(
        tmp_path,
        {
            "/proc/self/cgroup": "0::/kubepods.slice/pod1\n",
            "/sys/fs/cgroup/kubepods.slice/pod1/memory.max": "8589934592\n",
            "/sys/fs/cgroup/kubepods.slice/pod1/memory.current": "5000\n",
            "/sys/fs/cgroup/kubepods.slice/pod1/memory.stat": "anon 1\ninactive_file 2000\n",
            "/sys/fs/cgroup/kubepods.slice/memory.max": "68719476736\n",
            "/sys/fs/cgroup/kubepods.slice/pod1/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/kubepods.slice/cpu.max": "400000 100000\n",
        },
    )
    assert control_groups.tightest(around, "memory").value == (8589934592, 3000)
    assert control_groups.tightest(around, "cpu").value == 4.0
    assert control_groups.tightest(around, "pids").value == "unlimited"


def test_version_1_inside_of_a_container(tmp_path):
    """The path of the host leads nowhere inside, and the group itself is mounted at the top."""
    around = tree(
        tmp_path,
        {
            "/proc/self/cgroup": "4:memory:/docker/3f4e\n3:cpu,cpuacct:/docker/3f4e\n2:pids:/docker/3f4e\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "4294967296\n",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000\n",
            "/sys/fs/cgroup/memory/memory.stat": "total_inactive_file 400000\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/pids/pids.max": "max\n",
        },
    )
    assert control_groups.tightest(around, "memory").value == (4294967296, 600000)
    assert control_groups.tightest(around, "cpu").value == 1.5
    assert control_groups.tightest(around, "pids").value == "unlimited"


def test_version_1_without_a_limit(tmp_path):
    files = {
        "/proc/self/cgroup": "4:memory:/\n3:cpu:/\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    }
    around = tree(tmp_path, files)
    assert control_groups.tightest(around, "memory").value == "unlimited"
    assert control_groups.tightest(around, "cpu").value == "unlimited"


def test_a_group_can_not_lead_out_of_its_tree(tmp_path):
    around = tree(tmp_path, {"/proc/self/cgroup": "0::/../../etc\n", "/etc/memory.max": "5\n"})
    assert control_groups.tightest(around, "memory").value == "unlimited"


# --- memory


def test_meminfo():
    text = "MemTotal:       24684084 kB\nHugePages_Total:       4\nActive(anon):  100 kB\n"
    assert system_memory.parse_meminfo(text) == {
        "MemTotal": 24684084 * 1024,
        "HugePages_Total": 4,
        "Active(anon)": 102400,
    }


def test_buddyinfo_adds_zones():
    text = (
        "Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      3 \n"
        "Node 0, zone   Normal     10      2      0      0      0      0      0      0      0      5   4079 \n"
    )
    assert system_memory.parse_buddyinfo(text) == (10, 2, 0, 0, 0, 0, 0, 0, 1, 6, 4082)
    assert system_memory.parse_buddyinfo("") == ()


def test_words_of_memory_files():
    text = "some avg10=0.00 avg60=3.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=1.25 avg300=0.40 total=123456\n"
    assert system_memory.parse_pressure(text) == 1.25
    assert system_memory.parse_pressure("some avg10=0.00 avg60=3.00 avg300=0.00 total=1\n") is None
    assert system_memory.parse_chosen("always [madvise] never\n") == "madvise"
    assert system_memory.parse_chosen("") is None
    text = (
        "c_min                           4    1056964608\nc_max 4 9\nsize                            4    8589934592\n"
    )
    assert system_memory.parse_arc(text) == 8589934592 - 1056964608
    assert system_memory.parse_arc("size 4 1\n") is None


# --- disks


MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 254:1 / /mnt/my\\040disk rw,relatime - xfs /dev/vdb ro,attr2
31 27 0:40 / /data ro,nosuid master:2 - nfs4 server:/export rw,vers=4.2
32 27 254:2 / /log rw - ext4 /dev/vdc rw,emergency_ro
33 27 254:3 / /data rw - ext4 /dev/vdd rw
"""


def test_mountinfo():
    found = {one.point: one for one in storage.parse_mountinfo(MOUNTINFO)}
    assert (found["/"].kind, found["/"].is_read_only, found["/"].is_super_read_only) == ("ext4", False, False)
    assert found["/mnt/my disk"].is_super_read_only
    assert found["/log"].is_super_read_only
    assert found["/data"].kind == "ext4"  # mounted over the other
    assert storage.mount_of(found.values(), "/data/set").point == "/data"
    assert storage.mount_of(found.values(), "/database").point == "/"
    assert storage.mount_of([], "/x") is None


def test_fstab():
    text = "# /etc/fstab\nUUID=0a1b / ext4 errors=remount-ro 0 1\n/dev/sr0 /media/cdrom iso9660 ro,user 0 0\n"
    text += "UUID=2 /data xfs defaults\n"
    assert storage.parse_fstab(text) == {"/", "/data"}


def test_places_follow_the_settings(tmp_path):
    around = Surroundings(
        root=tmp_path,
        environ={"TMPDIR": str(tmp_path), "HOME": "/nonexistent/me", "UV_CACHE_DIR": "/nonexistent/cache"},
        memory=Recorder(),
    )
    around.answer("env.path", lambda: str(tmp_path / "env"))
    found = by_name(storage.read_disks(around, EMPTY))
    places = {one.value[0]: one.value[1] for one in found["disk.place"]}
    assert places == {
        "system": "/",
        "temporary files": "/",  # the place of its filesystem: the value of a variable is not kept
        "package cache": "/",
        "environment": str(tmp_path),
    }
    assert all(one.value[3] >= 0 for one in found["disk.room"] if one.value)


def test_a_network_place_is_left_to_the_child():
    seen = {
        "mounts": [["/home", "nfs4", False, False, True]],
        "places": [["environment", "/home", "nfs4", "/home", False]],
    }
    looks = {
        ("answer", "mounts"): Look("present", seen),
        ("answer", "program stat"): Look("present", "/usr/bin/stat"),
        ("command", "stat -f -c %b %a %S %c %d -- /home"): Look(
            "present", {"returncode": 0, "stdout": "1000 500 4096 200 100\n"}
        ),
    }
    around = Surroundings(root=Path("/nonexistent"), environ={}, memory=Replay(looks))
    assert "disk.room" not in by_name(storage.read_disks(around, EMPTY))
    found = by_name(storage.read_network_mounts(around, EMPTY))
    assert found["disk.room"][0].value == ("environment", "/home", 4096000, 2048000, 200, 100)
    assert found["disk.network_mount"][0].failure is None


def test_stat_f():
    assert storage.parse_stat_f("1000 500 4096 200 100\n") == (4096000, 2048000, 200, 100)
    assert storage.parse_stat_f("? ? ? ? ?\n") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"critical_warning":0,"percent_used":3,"media_errors":0}', (0, 3, 0)),
        ('{"critical_warning":{"value":4,"spare":0},"percentage_used":101,"media_errors":"12"}', (4, 101, 12)),
        ("NVMe status: INVALID_OPCODE", None),
        ("[1]", None),
        ("{}", None),
    ],
)
def test_smart(text, expected):
    found = storage.parse_smart(text)
    assert (tuple(found.get(name) for name in storage.HEALTH) if found else None) == expected


def test_write_test_leaves_nothing_behind(tmp_path):
    around = Surroundings(environ={"TMPDIR": str(tmp_path)}, python=sys.executable)
    (reading,) = storage.read_write_test(around, EMPTY)
    assert reading.value.startswith("wrote ")
    assert list(tmp_path.iterdir()) == []


def test_write_test_tells_why_not():
    seen = {"mounts": [], "places": [["temporary files", "/nonexistent/tmp", "ext4", "/", False]]}
    around = Surroundings(environ={"TMPDIR": "/nonexistent/tmp"}, python=sys.executable)
    around.answer("mounts", lambda: seen)
    (reading,) = storage.read_write_test(around, EMPTY)
    assert "FileNotFoundError" in reading.failure


# --- programs


def test_tracking():
    text = "Leap status     : Normal\nSystem time     : 0.000012345 seconds slow of NTP time\n"
    assert system_programs.parse_tracking(text) == (True, 0.000012345)
    assert system_programs.parse_tracking("Leap status     : Not synchronised\n") == (False, None)
    assert system_programs.parse_tracking("506 Cannot talk to daemon\n") == (None, None)


def test_failed_units():
    text = (
        "  nvidia-persistenced.service loaded active running NVIDIA Persistence Daemon\n"
        "● nvidia-dcgm.service loaded failed failed NVIDIA DCGM service\n"
        "* nvidia-gridd.service loaded failed failed NVIDIA Grid Daemon\n"
        "dcgm.service not-found inactive dead dcgm.service\n"
    )
    assert system_programs.parse_failed_units(text) == ("nvidia-dcgm", "nvidia-gridd")


def test_power_mode():
    assert system_programs.parse_power_mode("NV Fan Mode:quiet\nNV Power Mode: MODE_30W\n2\n") == "MODE_30W"
    assert system_programs.parse_power_mode("") is None


def test_sensors():
    text = (
        "Fan1 RPM         | 30h | ok  |  7.1 | 5880 RPM\n"
        "Fan2 RPM         | 31h | ns  |  7.2 | No Reading\n"
        "PS Redundancy    | 77h | ok  |  7.1 | Redundancy Lost\n"
        "garbage\n"
    )
    assert system_programs.parse_sensors(text) == (
        ("Fan1 RPM", "ok", "5880 RPM"),
        ("PS Redundancy", "ok", "Redundancy Lost"),
    )


def test_board_is_asked_by_root_only(tmp_path):
    around = tree(tmp_path, {"/dev/ipmi0": ""})
    around.answer("user", lambda: {"uid": 1000, "gids": [1000]})
    (reading,) = system_programs.read_board(around, EMPTY)
    assert reading.failure == "only root may ask the board's controller"


# --- the whole


def test_this_machine_can_be_read_again():
    """Every probe works here, and what was seen gives the same readings elsewhere."""
    recorder = Recorder()
    around = Surroundings(memory=recorder)
    names = ("cpu.", "mem.", "disk.", "limit.", "processes.", "clock.", "numa.", "shm.", "swap.", "proxy.", "fds.")
    seen = [one for one in gather(around, "quick").readings if one.name.startswith(names)]
    again = Surroundings(root=Path("/nonexistent"), environ={}, kernel=around.kernel, memory=Replay(recorder.looks))
    assert [one for one in gather(again, "quick").readings if one.name.startswith(names)] == seen
    assert [one for one in seen if one.name.startswith("probe.")] == []
    assert {one.name for one in seen if one.failure is None} >= {"cpu.online", "mem.total_bytes", "disk.room"}
