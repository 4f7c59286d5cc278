"""What the probe of packages reads: real lines of each file and program."""

from __future__ import annotations

import pytest

from provision.detect.probes import packages
from provision.detect.surroundings import Kernel, Surroundings
from provision.process import Completed
from provision.records import GpuState, Host, Machine

WITH_GPU = Machine(gpu_state=GpuState.USABLE)


def around(tree, runner=None):
    kernel = Kernel("Linux", "6.8.0", "x86_64", "box")
    return Surroundings(root=tree.root, environ={}, kernel=kernel, **({"runner": runner} if runner else {}))


def values(readings, name):
    return [reading.value for reading in readings if reading.name == name]


def test_rows_of_packages():
    text = (
        "ii \tlibnvidia-compute-535\t535.183.01-0ubuntu0.22.04.1\n"
        "rc \tnvidia-utils-470\t470.256.02-0ubuntu0.22.04.1\n"
        "un \tnvidia-driver\t\n"
        "iF \tnvidia-dkms-535\t535.183.01-0ubuntu0.22.04.1\n"
        "hi \tnvidia-driver-535\t535.183.01-0ubuntu0.22.04.1\n"
        "garbage\n"
    )
    assert packages.parse_packages(text) == (
        ("libnvidia-compute-535", "535.183.01-0ubuntu0.22.04.1", "installed"),
        ("nvidia-dkms-535", "535.183.01-0ubuntu0.22.04.1", "iF"),
        ("nvidia-driver-535", "535.183.01-0ubuntu0.22.04.1", "installed"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n', (True, ())),
        ('APT::Periodic::Unattended-Upgrade "0";\n', (False, ())),
        ('//APT::Periodic::Unattended-Upgrade "1";\n', (None, ())),
        (
            'Unattended-Upgrade::Package-Blacklist {\n    "nvidia";\n//  "vim";\n    "libnvidia";\n};\n',
            (None, ("nvidia", "libnvidia")),
        ),
    ],
)
def test_settings_of_unattended_upgrades(text, expected):
    assert packages.parse_apt_conf(text) == expected


def test_both_forms_of_a_sources_file():
    one = "# deb http://old /\ndeb [arch=amd64 signed-by=/k.gpg] https://a.example/deb/$(ARCH) /\n"
    one += "deb https://b.example/ x main\n"
    assert packages.parse_sources(one) == (("https://a.example/deb/$(ARCH)", "/k.gpg"), ("https://b.example/", None))
    stanza = "Types: deb\nURIs: https://a.example/\nSuites: /\nSigned-By: /k.gpg\n"
    stanza += "\nEnabled: no\nURIs: https://c.example/\n"
    assert packages.parse_sources(stanza) == (("https://a.example/", "/k.gpg"),)


def test_module_stream_of_dnf():
    assert (
        packages.parse_module_stream("[nvidia-driver]\nname=nvidia-driver\nstream=580-open\nstate=enabled\n")
        == "580-open"
    )
    assert packages.parse_module_stream("[nvidia-driver]\nstream=\nstate=disabled\n") is None


def test_locked_packages():
    text = "# a comment about nvidia\nnvidia-driver-3:580.82.07-1.el9.*\n!vim\nkmod-nvidia-open-dkms-*\n"
    assert packages.parse_locks(text) == ("nvidia-driver-3:580.82.07-1.el9.*", "kmod-nvidia-open-dkms-*")


def test_locks_of_zypper_and_of_dnf_5_are_read_as_names():
    zypp = "\ntype: package\nmatch_type: glob\ncase_sensitive: on\nsolvable_name: nvidia-compute-G06\n\n"
    assert packages.parse_locks(zypp) == ("nvidia-compute-G06",)
    toml = 'version = "1.0"\n[[packages]]\nname = "nvidia-open"\n[[packages.conditions]]\nkey = "evr"\n'
    assert packages.parse_locks(toml) == ("nvidia-open",)


HISTORY = """
Start-Date: 2026-11-19  10:00:00
Commandline: apt-get install token=secret
Requested-By: ann (1000)
Upgrade: vim:amd64 (9.0-1, 9.0-2)
End-Date: 2026-11-19  10:00:01

Start-Date: 2026-11-20  06:12:33
Commandline: /usr/bin/unattended-upgrade
Upgrade: libnvidia-gl-535:amd64 (535.171.04-0ubuntu0.22.04.1, 535.183.01-0ubuntu0.22.04.1), \
libnvidia-compute-535:amd64 (535.171.04-0ubuntu0.22.04.1, 535.183.01-0ubuntu0.22.04.1)
End-Date: 2026-11-20  06:13:02
"""


def test_history_of_apt_keeps_the_driver_and_no_command_line(tree):
    tree.write("/var/log/apt/history.log", HISTORY)
    versions = ("535.171.04-0ubuntu0.22.04.1", "535.183.01-0ubuntu0.22.04.1")
    expected = ("2026-11-20 06:12:33", True, "libnvidia-compute-535", *versions)
    assert packages.parse_history(HISTORY) == (expected,)
    held = "libnvoptix1\nlinux-image-generic\nnvidia-driver-535"
    for name in ("dpkg-query", "apt-mark"):
        tree.write(f"/usr/bin/{name}", "").chmod(0o755)
    outputs = {"dpkg-query": f"ii \tnvidia-driver-535\t{versions[1]}\n", "apt-mark": f"{held}\nbash\n"}

    def runner(argv, **_):
        return Completed(tuple(argv), returncode=0, stdout=outputs[argv[2].rsplit("/", 1)[-1]], stderr="")

    where = around(tree, runner)
    readings = list(packages._packages(where, WITH_GPU))
    assert values(readings, "driver.package") == [("nvidia-driver-535", versions[1], "installed")]
    assert values(readings, "driver.held") == [tuple(held.split())]
    assert not any("bash" in str(reading.value) for reading in readings)
    assert values(readings, "driver.package_event") == [expected]
    assert "secret" not in repr(where.memory.looks)


def test_no_package_manager(tree):
    (reading,) = packages._packages(around(tree), WITH_GPU)
    assert (reading.name, reading.failure) == ("driver.packages", "rpm is not installed")


def test_files_of_an_apt_box(tree):
    tree.write("/usr/bin/nvidia-uninstall", "")
    tree.write("/usr/bin/unattended-upgrade", "")
    tree.write("/etc/apt/apt.conf.d/20auto-upgrades", 'APT::Periodic::Unattended-Upgrade "1";\n')
    tree.write("/etc/apt/preferences.d/nvidia-driver-pinning", "")
    tree.write("/etc/apt/sources.list.d/cuda.list", "deb https://user:word@mirror.example/cuda /\n")
    tree.write("/etc/apt/trusted.gpg.d/cuda.gpg", b"\x99\x01" + bytes.fromhex("A4B469963BF863CC") + b"\0")
    readings = list(packages._files(around(tree), WITH_GPU))
    assert values(readings, "driver.runfile") == ["/usr/bin/nvidia-uninstall"]
    assert values(readings, "driver.automatic_upgrades") == [True]
    assert values(readings, "driver.pinned") == [("nvidia-driver-pinning",)]
    assert values(readings, "driver.repository") == [("cuda.list", "https://mirror.example/~5e9899f5", None)]
    assert values(readings, "driver.has_cuda_key") == [True]


@pytest.mark.parametrize(("content", "expected"), [("", True), (None, False)])
def test_armoured_keys_count_by_their_name(tree, content, expected):
    tree.write("/etc/apt/x", "")
    if content is not None:
        tree.write("/etc/apt/trusted.gpg.d/cuda-2022.asc", content)
    assert packages._has_key(tree.root / "etc/apt") is expected


def test_files_of_a_dnf_box(tree):
    tree.write("/etc/dnf/modules.d/nvidia-driver.module", "[nvidia-driver]\nstream=580-dkms\nstate=enabled\n")
    tree.write("/etc/dnf/automatic.conf", "[commands]\napply_updates = yes\n[base]\nexclude=nvidia-* kernel*\n")
    tree.write("/etc/systemd/system/timers.target.wants/dnf-automatic.timer", "")
    tree.write("/etc/dnf/plugins/versionlock.list", "kmod-nvidia-3:580.82.07-1.*\n")
    readings = list(packages._files(around(tree), WITH_GPU))
    assert values(readings, "driver.module_stream") == ["580-dkms"]
    assert values(readings, "driver.automatic_upgrades") == [True]
    assert values(readings, "driver.upgrade_exceptions") == [("exclude=nvidia-* kernel*",)]
    assert values(readings, "driver.locked") == [("kmod-nvidia-3:580.82.07-1.*",)]


@pytest.mark.parametrize("machine", [Machine(), Machine(host=Host(is_wsl=True), gpu_state=GpuState.USABLE)])
def test_nothing_is_asked_where_no_linux_driver_belongs(tree, machine):
    assert list(packages._files(around(tree), machine)) == []
    assert list(packages._packages(around(tree), machine)) == []


REPO = """\
[cuda-rhel9-x86_64]
name=cuda-rhel9-x86_64
baseurl=https://me:secret@developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64
enabled=1
gpgcheck=1

[off]
baseurl = https://developer.download.nvidia.com/compute/cuda/repos/rhel8/x86_64
enabled = 0
"""


def test_enabled_sections_of_a_repo_file_are_told_without_passwords():
    address = "developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64"
    assert packages.parse_repo(REPO) == (f"https://me:secret@{address}",)
    assert packages.parse_repo(packages.kept_of_repo(REPO)) == (f"https://{address}",)
    assert packages.parse_repo("") == ()
