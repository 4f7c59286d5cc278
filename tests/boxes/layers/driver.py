"""What the driver probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.detect.probes.packages import DPKG_FORMAT, NAMES, RPM_FORMAT

if TYPE_CHECKING:
    from tests.boxes import Box

PACKAGES = {"dpkg-query": ("-W", "-f", DPKG_FORMAT), "rpm": ("-qa", "--qf", RPM_FORMAT)}
_TURING_AND_NEWER = {"t4", "a100-mig", "h100x8", "l40s", "rtx5090", "gh200"}


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    if box.profile is None or box.name == "laptop":
        return
    version = str(box.looks["text", "/sys/module/nvidia/version"].value).strip()
    if box.name == "rtx3090-p40":
        box.nvml(**{"0.gsp_version": version})
    elif box.name in _TURING_AND_NEWER:
        box.nvml(**{"*.gsp_version": version})
    if ("exists", "/.dockerenv") in box.looks:
        return
    box.file("/proc/driver/nvidia/params", "EnableMSI: 1\nDeviceFileMode: 438\nEnableGpuFirmware: 18\n")
    box.file("/etc/modprobe.d/blacklist-nouveau.conf", "blacklist nouveau\noptions nouveau modeset=0\n")
    box.file(f"/lib/firmware/nvidia/{version}/gsp_ga10x.bin", "").file("/run/nvidia-persistenced/socket", "")
    box.folder("/run/systemd/system").folder("/dev/char")
    for (kind, path), look in list(box.looks.items()):
        if kind == "status" and path.startswith("/dev/nvidia"):
            box.link(f"/dev/char/{look.value['major']}:{look.value['minor']}", f"..{path.removeprefix('/dev')}")
    branch = version.split(".", maxsplit=1)[0]
    if "ID=rhel" in str(box.looks["text", "/etc/os-release"].value):
        box.folder("/etc/dnf").program("dpkg-query", None)
        box.file("/etc/dnf/modules.d/nvidia-driver.module", f"[nvidia-driver]\nstream={branch}-dkms\nstate=enabled\n")
        names = ("nvidia-driver", "nvidia-driver-cuda-libs", "kmod-nvidia-latest-dkms")
        packages(box, "rpm", *(f"ii\t{name}\t3:{version}-1.el9" for name in names))
        return
    box.folder("/etc/apt", "apt.conf.d").file("/usr/bin/unattended-upgrade", "")
    box.file("/etc/apt/apt.conf.d/20auto-upgrades", 'APT::Periodic::Unattended-Upgrade "1";\n')
    box.answer("driver upgrades in the history of apt", []).answer("key of NVIDIA's repository", False)
    box.command("apt-mark showhold", "")
    names = [f"nvidia-driver-{branch}", f"libnvidia-compute-{branch}", f"nvidia-dkms-{branch}"]
    packages(box, "dpkg-query", *(f"ii \t{name}\t{version}-0ubuntu0.24.04.1" for name in names))


def packages(box: Box, program: str, *lines: str) -> Box:
    """What the package manager lists."""
    return box.command(" ".join((program, *PACKAGES[program], *NAMES)), "".join(f"{line}\n" for line in lines))
