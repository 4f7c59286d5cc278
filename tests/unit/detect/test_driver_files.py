from __future__ import annotations

import pytest

from provision.detect import driver_files
from provision.detect.driver_files import (
    detect_driver_files,
    parse_minor,
    parse_module_version,
    parse_proc_version,
    parse_process_state,
    scan_blocked,
)
from provision.detect.loader import find_library, is_elf_for, parse_library_version, parse_loader_cache
from provision.detect.surroundings import Kernel, Surroundings
from provision.versions import DriverVersion

KERNEL = Kernel("Linux", "6.1", "x86_64", "box")
OPEN = (
    "NVRM version:  NVIDIA UNIX Open Kernel Module for x86_64  515.57  Release Build Mi 20. Jul 11:53:35 CEST 2022\n"
    "GCC version:  gcc version 11.2.0 (Ubuntu 11.2.0-19ubuntu1)\n"
)
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"


def around(tree, **environ):
    return Surroundings(root=tree.root, environ=environ, kernel=KERNEL)


@pytest.mark.parametrize(
    ("text", "version", "flavour"),
    [
        (OPEN, "515.57", "open"),
        (CLOSED, "535.104.05", "proprietary"),
        ("NVRM version: NVIDIA UNIX aarch64 Kernel Module  470.82  x\n", "470.82", "proprietary"),
    ],
)
def test_both_wordings_of_proc_version(text, version, flavour):
    assert parse_proc_version(text) == (DriverVersion(version), flavour)


@pytest.mark.parametrize("text", ["", "garbage", "GCC version: gcc 12.2.0\n", "NVRM version: unknown\n"])
def test_proc_version_without_a_release(text):
    assert parse_proc_version(text) == (None, None)


def test_module_version():
    assert parse_module_version("550.90.07\n") == DriverVersion("550.90.07")
    assert parse_module_version("(null)") is None


def test_minor_of_a_gpu():
    assert parse_minor("Model: \t\t NVIDIA A100\nDevice Minor: \t 3\n") == 3
    assert parse_minor("Model: x") is None


def test_loaded_driver(tree):
    tree.driver("550.90.07", flavour="open")
    tree.node("nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-caps-something", "null")
    tree.write("/proc/driver/nvidia/gpus/0000:07:00.0/information", "Device Minor: \t 0\n")
    files = detect_driver_files(around(tree))
    assert files.module_version == DriverVersion("550.90.07")
    assert files.flavour == "open"
    assert files.modules == ("nvidia", "nvidia_uvm")
    assert [node.path for node in files.nodes] == ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"]
    assert files.minors == (("0000:07:00.0", 0),)


def test_unreadable_version_says_why(tree):
    tree.module("nvidia", "not a version\x1b[0m")
    reading = next(one for one in detect_driver_files(around(tree)).readings if one.name == "driver.module_version")
    assert reading.failure == "no driver release in 'not a version [0m'"


def test_library_release_is_read_from_the_file_behind_the_link(tree):
    tree.library("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.104.05")
    files = detect_driver_files(around(tree))
    assert files.nvml_library.version == DriverVersion("535.104.05")
    assert files.nvml_library.source == "default folder"
    assert files.cuda_library is None


def test_environment_wins_over_cache_and_cache_over_default_folders(tree, tmp_path):
    tree.library("/usr/lib/libnvidia-ml.so.1.0")
    tree.library("/opt/nv/libnvidia-ml.so.550.90.07")
    tree.write("/etc/ld.so.cache", b"glibc-ld.so.cache1.1\0libnvidia-ml.so.1\0/opt/nv/libnvidia-ml.so.1\0")
    assert find_library(around(tree), "libnvidia-ml.so.1").source == "/etc/ld.so.cache"
    folder = tree.library("/given/libnvidia-ml.so.470.82").parent
    found = find_library(around(tree, LD_LIBRARY_PATH=f":{folder}"), "libnvidia-ml.so.1")
    assert found.version == DriverVersion("470.82")
    assert found.is_injected


def test_library_of_another_processor_is_passed_over(tree):
    tree.library("/usr/lib64/libnvidia-ml.so.1.0", machine=183)
    tree.write("/usr/lib/libnvidia-ml.so.1", "not a library")
    assert find_library(around(tree), "libnvidia-ml.so.1") is None


def test_wsl_folder_is_found_last(tree):
    tree.library("/usr/lib/wsl/lib/libnvidia-ml.so.1.0")
    assert find_library(around(tree), "libnvidia-ml.so.1").source == "/usr/lib/wsl/lib"


def test_loader_cache_gives_only_whole_names():
    content = b"\0/a/libcuda.so.1\0/b/libcuda.so.1.1\0/c/notlibcuda.so.1\0/a/libcuda.so.1\0"
    assert parse_loader_cache(content, "libcuda.so.1") == ("/a/libcuda.so.1",)


def test_file_name_without_a_release():
    assert parse_library_version("libcuda.so.1.1") is None
    assert parse_library_version("libcuda.so.550.90.07") == DriverVersion("550.90.07")


def test_elf_header():
    header = b"\x7fELF\x02\x01\x01" + b"\0" * 11 + b"\x3e\x00"
    assert is_elf_for(header, "x86_64")
    assert not is_elf_for(header, "aarch64")
    assert not is_elf_for(header[:10], "x86_64")


def test_process_names_may_hold_parentheses():
    assert parse_process_state("4711 (nvidia (x) smi) D 1 4711 ") == ("nvidia (x) smi", "D")
    assert parse_process_state("garbage") is None


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(driver_files, "PAUSE_S", 0.0)


def test_blocked_driver_processes(tree, impatient):
    tree.write("/proc/10/stat", "10 (nvidia-smi) D 1 10 ")
    tree.write("/proc/11/stat", "11 (nvidia-persiste) S 1 11 ")
    tree.write("/proc/12/stat", "12 (jbd2/sda1-8) D 2 0 ")
    tree.write("/proc/13/stat", "13 (python3) D 1 13 ")
    tree.write("/proc/13/wchan", "uvm_va_space_mm_enter")
    tree.write("/proc/14/stat", "14 (dd) D 1 14 ")
    tree.write("/proc/14/wchan", "nvme_submit_sync_cmd")
    stuck = ("nvidia-smi (process 10)", "python3 (process 13)")
    assert [reading.value for reading in scan_blocked(around(tree))] == [stuck, stuck]


def test_a_process_that_waited_a_moment_is_not_stuck_for_good(tree, monkeypatch):
    tree.write("/proc/10/stat", "10 (nvidia-smi) D 1 10 ")
    looks = []

    def pause(seconds):
        looks.append(seconds)
        if len(looks) == 4:
            tree.write("/proc/10/stat", "10 (nvidia-smi) S 1 10 ")

    monkeypatch.setattr(driver_files.time, "sleep", pause)
    seen, lasting = scan_blocked(around(tree))
    assert (seen.value, lasting.value) == (("nvidia-smi (process 10)",), ())
    assert looks == [0.5] * 4


def test_nothing_is_waited_for_where_nothing_is_stuck(tree, monkeypatch):
    monkeypatch.setattr(driver_files.time, "sleep", lambda _: pytest.fail("it waited"))
    (seen,) = scan_blocked(around(tree))
    assert seen.value == ()
