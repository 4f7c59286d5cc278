from __future__ import annotations

import pytest

from provision.checks import PROBLEMS, run_checks
from provision.detect import Surroundings, detect_machine
from provision.detect.jetson import parse_l4t, parse_soc
from provision.detect.surroundings import Kernel
from provision.records import GpuState

TEGRA = Kernel("Linux", "5.15.148-tegra", "aarch64", "orin")
RELEASE = "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n"


@pytest.mark.parametrize(
    ("text", "l4t"),
    [
        (RELEASE, "36.4.3"),
        ("# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t210ref", "32.7.1"),
        ("# R35 (release), REVISION: 6, GCID: 1", "35.6"),
        ("R36 (release)", None),
        ("", None),
    ],
)
def test_the_release_of_jetson_linux(text, l4t):
    assert parse_l4t(text) == l4t


@pytest.mark.parametrize(
    ("text", "soc"),
    [
        ("nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0", "tegra234"),
        ("nvidia,p3509-0000+p3668-0000\0nvidia,tegra194\0", "tegra194"),
        ("raspberrypi,4-model-b\0brcm,bcm2711\0", None),
        ("", None),
    ],
)
def test_the_chip_of_a_device_tree(text, soc):
    assert parse_soc(text) == soc


def test_a_jetson_without_nvml_has_the_gpu_of_its_chip(tree):
    tree.write("/etc/nv_tegra_release", RELEASE)
    tree.write("/proc/device-tree/compatible", "nvidia,p3701-0005\0nvidia,tegra234\0")
    machine = detect_machine(Surroundings(root=tree.root, environ={}, kernel=TEGRA, libc="glibc 2.35"))
    assert machine.host.l4t == "36.4.3"
    assert [(gpu.index, gpu.name, gpu.in_nvml) for gpu in machine.gpus] == [(0, "Tegra234", None)]
    assert machine.gpu_state is GpuState.USABLE
    assert {result.id: result.status for result in run_checks(machine) if result.status in PROBLEMS} == {}


def test_an_arm_server_is_no_jetson(tree):
    machine = detect_machine(Surroundings(root=tree.root, environ={}, kernel=TEGRA, libc="glibc 2.35"))
    assert machine.host.l4t is None
    assert machine.gpu_state is GpuState.NONE
