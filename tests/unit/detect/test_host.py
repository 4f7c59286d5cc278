from __future__ import annotations

import pytest

from provision.detect.host import (
    detect_host,
    is_wsl_kernel,
    parse_cgroup,
    parse_container_variable,
    parse_dmi,
    parse_os_release,
)
from provision.detect.surroundings import Kernel, Surroundings
from provision.versions import Glibc

LINUX = Kernel("Linux", "5.15.0-91-generic", "x86_64", "box")


def around(tree, **changes):
    given = {"root": tree.root, "environ": {}, "kernel": LINUX, "libc": "glibc 2.35"}
    return Surroundings(**{**given, **changes})


def test_os_release_removes_quotes_and_control_characters():
    text = 'NAME="Ubuntu"\nID=ubuntu\nVERSION_ID="22.04"\n# comment\nPRETTY_NAME="a\x1b[31mb \\"c\\""\nbroken line\n'
    assert parse_os_release(text) == {
        "NAME": "Ubuntu",
        "ID": "ubuntu",
        "VERSION_ID": "22.04",
        "PRETTY_NAME": 'a [31mb "c"',
    }


def test_ubuntu_host(tree):
    tree.os_release("ubuntu", "22.04", like="debian")
    host, readings = detect_host(around(tree))
    assert (host.system, host.os, host.os_version, host.arch) == ("linux", "ubuntu", "22.04", "x86_64")
    assert host.glibc == Glibc(2, 35)
    assert host.is_wsl is False
    assert host.container is None
    assert {reading.name: reading.value for reading in readings}["host.os_like"] == "debian"


def test_os_release_in_usr_lib_is_read_when_etc_has_none(tree):
    tree.write("/usr/lib/os-release", "ID=fedora\nVERSION_ID=40\n")
    host, _ = detect_host(around(tree))
    assert (host.os, host.os_version) == ("fedora", "40")


def test_missing_os_release_is_a_reading_with_a_reason(tree):
    host, readings = detect_host(around(tree))
    assert host.os is None
    failure = next(reading.failure for reading in readings if reading.name == "host.os")
    assert "/etc/os-release" in failure
    assert "/usr/lib/os-release" in failure


def test_musl_is_named(tree):
    tree.write("/lib/ld-musl-x86_64.so.1", "")
    host, readings = detect_host(around(tree, libc=None))
    assert host.glibc is None
    assert next(one.failure for one in readings if one.name == "host.glibc") == "the C library is musl, not glibc"


@pytest.mark.parametrize(("machine", "arch"), [("AMD64", "x86_64"), ("arm64", "aarch64"), ("ppc64le", "ppc64le")])
def test_architecture_has_one_name(tree, machine, arch):
    host, _ = detect_host(around(tree, kernel=Kernel("Linux", "6.1", machine, "box")))
    assert host.arch == arch


@pytest.mark.parametrize(
    ("text", "is_wsl"),
    [
        ("5.15.153.1-microsoft-standard-WSL2", True),
        ("4.4.0-19041-Microsoft", True),
        ("6.5.0-1021-azure", False),
        ("5.15.0-91-generic", False),
    ],
)
def test_wsl_kernels(text, is_wsl):
    assert is_wsl_kernel(text) is is_wsl


def test_own_kernel_under_wsl_is_recognised_by_the_paravirtual_gpu(tree):
    tree.write("/dev/dxg", "")
    tree.write("/usr/lib/wsl/lib/libd3d12.so", "")
    assert detect_host(around(tree))[0].is_wsl is True


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0::/\n", None),
        ("12:memory:/kubepods.slice/kubepods-burstable.slice/cri-containerd-5f1c.scope\n", "kubernetes"),
        ("0::/docker/3f4e7d8c9b0a1b2c\n", "docker"),
        ("1:name=systemd:/machine.slice/libpod-3f4e7d8c9b0a.scope\n", "podman"),
        ("9:cpu:/lxc/web/init.scope\n", "lxc"),
        ("0::/lxc.payload.web\n", "lxc"),
        ("0::/system.slice/docker.service\n", None),
    ],
)
def test_cgroup_paths(text, kind):
    assert parse_cgroup(text) == kind


def test_container_variable_of_the_first_process():
    assert parse_container_variable("HOME=/root\0container=lxc\0TERM=linux\0") == "lxc"
    assert parse_container_variable("HOME=/root\0mycontainer=lxc\0") is None


def test_kubernetes_wins_over_the_engine_below_it(tree):
    tree.write("/.dockerenv", "")
    host, _ = detect_host(around(tree, environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}))
    assert host.container == "kubernetes"


@pytest.mark.parametrize(
    ("path", "kind"), [("/.dockerenv", "docker"), ("/run/.containerenv", "podman"), ("/.singularity.d/env", "other")]
)
def test_marker_files(tree, path, kind):
    tree.write(path, "")
    assert detect_host(around(tree))[0].container == kind


def test_unknown_container_manager_is_other(tree):
    assert detect_host(around(tree, environ={"container": "systemd-nspawn"}))[0].container == "other"


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (("Standard PC (Q35 + ICH9, 2009)", "QEMU", "SeaBIOS"), "qemu"),
        (("p4d.24xlarge", "Amazon EC2", "Amazon EC2"), "amazon"),
        (("Virtual Machine", "Microsoft Corporation", ""), "hyper-v"),
        (("ProLiant DL380", "HPE", "HPE"), None),
    ],
)
def test_hypervisors_by_dmi(texts, name):
    assert parse_dmi(texts) == name


def test_metal_instance_of_a_cloud_is_not_a_virtual_machine(tree):
    tree.write("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    tree.write("/proc/cpuinfo", "flags\t\t: fpu vme sse\n")
    assert detect_host(around(tree))[0].virtualization is None
    tree.write("/proc/cpuinfo", "flags\t\t: fpu hypervisor sse\n")
    assert detect_host(around(tree))[0].virtualization == "amazon"
