"""Checks of the kind of machine: sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .sys_words import rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_GENERIC = ("qemu virtual cpu", "qemu tcg cpu", "common kvm processor", "common 32-bit kvm processor")
"""Lower-case starts of the names of processors that a hypervisor makes up."""


@check("sys.virt", level="instant", not_on=("paste", "wsl"))
def virt(facts: Facts, say: Verdict) -> Finding:
    """A virtual machine sees the processor that it runs on.

    What it finds
        A guest whose hypervisor shows it a made-up processor (kvm64, qemu64) without AVX2. Apart from that it tells
        what kind of machine this is.

    Why it matters
        PyTorch and NumPy then take their slowest paths, and libraries that were built for AVX2 end with "Illegal
        instruction". It is the default of some hypervisors, and the processor beneath could do more.

    How it is decided
        In a virtual machine on x86_64: one of the made-up processor names in /proc/cpuinfo and no `avx2` among the
        flags warns.

    What to do
        Give the guest the host's processor: `-cpu host` of QEMU, type `host` in Proxmox, host-passthrough in libvirt.

    Sources
        QEMU documentation, system/i386/cpu (recommendations for CPU models).
    """
    kind = facts.machine.host.virtualization
    if not facts.is_any("vm"):
        return say.passed(f"This is {'a container' if facts.is_any('container') else 'no virtual machine'}.")
    model = facts.text("cpu.model") or ""
    if facts.flag("cpu.has_avx2") is False and model.lower().startswith(_GENERIC):
        return say.warned(
            f"The hypervisor shows this guest the made-up processor `{model}` without AVX2.",
            *facts.evidence("cpu.model"),
            Evidence("cpu.has_avx2", value=False, source="/proc/cpuinfo", needs=True),
            safe=("lscpu | grep -E 'Model name|Flags'",),
            risky=(
                "on the host: give the guest the CPU type `host` (host-passthrough), then stop and start the guest",
            ),
        )
    return say.passed(f"This is a virtual machine ({kind}).", *facts.evidence("host.virtualization", "cpu.model"))


@check("sys.jetson", level="quick", not_on=("paste", "container"))
def jetson(facts: Facts, say: Verdict) -> Finding:
    """A Jetson runs NVIDIA's Linux for it.

    What it finds
        A Jetson with another Linux than Jetson Linux, and the power mode of the others.

    Why it matters
        The driver of its GPU and its CUDA come with Jetson Linux. Power modes cap clocks and switch processors off, so
        figures of two modes can't be compared.

    How it is decided
        A Tegra chip in the device tree without a release in /etc/nv_tegra_release warns. The power mode is told and
        not judged: the default is seldom the highest.

    What to do
        Flash Jetson Linux. For measurements choose the highest mode, `sudo nvpmodel -m 0`, and `sudo jetson_clocks`.

    Sources
        NVIDIA, Jetson Linux Developer Guide, platform power and performance.
    """
    if not facts.is_any("jetson") and not facts.text("jetson.soc"):
        return say.skipped("This is not a Jetson.")
    release = facts.machine.host.l4t
    if not release:
        return say.warned(
            "This Jetson runs a Linux without NVIDIA's release file, so its GPU has no driver from there.",
            *facts.evidence("host.l4t", "jetson.soc"),
            safe=("cat /etc/nv_tegra_release; cat /proc/device-tree/model",),
            risky=("flash Jetson Linux with NVIDIA SDK Manager",),
        )
    mode = facts.text("jetson.power_mode")
    said = (
        f"its power mode is {mode}" if mode else f"its power mode was not read ({facts.why_not('jetson.power_mode')})"
    )
    return say.passed(f"Jetson Linux {release}; {said}.", *facts.evidence("host.l4t", "jetson.power_mode"))


_LEADS = ("driver.device_nodes", "driver.nvml_init", "pci.count_vs_nvml", "cuda.init")
_TOOLS_ONLY = ("/dev/nvidia-modeset", "/dev/nvidia-uvm-tools")


@check("sys.user_access", level="instant", needs=("gpu",), not_on=("paste", "wsl"), leads=_LEADS)
def user_access(facts: Facts, say: Verdict) -> Finding:
    """The user is in the group to which the GPU's device nodes belong.

    What it finds
        Device nodes that a group may open, and a user who is not in it: video or render on Jetsons, a site's own group
        elsewhere.

    Why it matters
        NVML and CUDA then find no device, while everything works as root.

    How it is decided
        A node of the GPU that this user can't open, whose group may read and write it, and a process without that
        group fails. Groups that were joined after the login count only in the next one.

    What to do
        Join the group and log in again.

    Sources
        NVIDIA driver README, NVreg_DeviceFileGID; group(5).
    """
    if not facts.was_looked_at("user.uid"):
        return say.unknown("The device nodes are not among these facts.")
    closed = [
        (path, mode, gid, group)
        for path, mode, gid, group, is_member in rows(facts, "access.closed")
        if gid and not is_member and mode & 0o060 == 0o060 and path not in _TOOLS_ONLY  # noqa: PLR2004 -- rw for a group
    ]
    if closed:
        path, _, gid, group = closed[0]
        name = group or str(gid)
        return say.failed(
            f"{path} may be opened by the group {name}, and this user is not in it.",
            *(Evidence(one[0], f"{one[1]:04o}, group {one[3] or one[2]}", source="stat") for one in closed),
            safe=(f"ls -l {path}; id", f"newgrp {name}    (where /etc/group has you in it already)"),
            risky=(f'sudo usermod -aG {name} "$USER"    (then log in again)',),
        )
    return say.passed("No device node of the GPU is kept for a group that this user lacks.")


CHECKS = (user_access, virt, jetson)
