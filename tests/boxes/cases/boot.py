"""Sick machines of the area boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.boxes.healthy import a100_mig, gh200, h100x8, l40s, rtx5090, t4, v100
from tests.boxes.layers.boot import MODULE, boot, dkms, modinfo

from . import Case
from .driver import ubuntu, unloaded

if TYPE_CHECKING:
    from tests.boxes import Box

OLD, NEW = "6.8.0-79-generic", "6.8.0-90-generic"
LOG = "errors in /var/lib/dkms/nvidia/580.82.07/build/make.log"


def new_kernel(*, has_headers: bool = True) -> Box:
    """A desktop that was restarted into a new kernel, for which there is no module."""
    box = unloaded(rtx5090())
    box.kernel = NEW
    box.file("/proc/sys/kernel/osrelease", f"{NEW}\n")
    boot(box, NEW, has_headers=has_headers).answer(MODULE, {OLD: "updates/dkms/nvidia.ko", NEW: ""})
    for name in ("nvidia", "nvidia-current"):
        box.command(f"modinfo {name}", returncode=1, stderr=f"modinfo: ERROR: Module {name} not found.\n")
    return dkms(box, f"nvidia/580.82.07, {OLD}, x86_64: installed\n")


def prebuilt_missing() -> Box:
    """The new kernel came without the distribution's module for it; DKMS is not used."""
    return new_kernel().program("dkms", None).without_command("dkms status")


def not_built(*errors: str) -> Box:
    return dkms(new_kernel(), f"nvidia/580.82.07, {OLD}, x86_64: installed\nnvidia/580.82.07: added\n").answer(
        LOG, list(errors)
    )


def next_kernel(default: str = "0", module: str = "") -> Box:
    """A server that will start another kernel next time."""
    box = boot(t4(), "6.5.0-1027-aws").file("/etc/default/grub", f"GRUB_DEFAULT={default}\n")
    return box.answer(MODULE, {"6.5.0-1024-aws": "kernel/nvidia-535srv/nvidia.ko", "6.5.0-1027-aws": module})


def too_new(version: str) -> Box:
    box = new_kernel()
    kernel = "7.0.0-14-generic"
    box.kernel = kernel
    box.file("/proc/sys/kernel/osrelease", f"{kernel}\n")
    boot(box, kernel).answer(MODULE, {OLD: "updates/dkms/nvidia.ko", kernel: ""})
    dkms(box, f"nvidia/{version}, {OLD}, x86_64: installed\nnvidia/{version}: added\n")
    return ubuntu(box, **{"libnvidia-compute-580": version, "nvidia-dkms-580": version})


def next_too_new() -> Box:
    """DKMS can't build for the kernel that comes next, and GRUB does not say for sure that it does."""
    box = boot(rtx5090(), "7.0.0-14-generic").without("/etc/default/grub")
    return box.answer(MODULE, {OLD: "updates/dkms/nvidia.ko", "7.0.0-14-generic": ""})


def refused(**module: str | None) -> Box:
    """Secure Boot is on, and the module on disk does not load."""
    box = unloaded(rtx5090()).answer("SecureBoot of EFI", 1)
    return modinfo(box, "580.82.07", licence="Dual MIT/GPL", **module)  # type: ignore[arg-type]


def flagged(box: Box, words: str) -> Box:
    return box.file("/proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-{box.kernel} ro quiet {words}\n")


CASES: tuple[Case, ...] = (
    Case(
        "new kernel without headers",
        lambda: new_kernel(has_headers=False),
        "kernel.headers",
        pitfall=("kernel-updated-no-module",),
        says=(NEW,),
    ),
    Case(
        "new kernel without the prebuilt module",
        prebuilt_missing,
        "kernel.next_boot_module",
        pitfall=("kernel-updated-no-module",),
        says=(f"{OLD} has it",),
    ),
    Case("DKMS never tried", new_kernel, "kernel.dkms", pitfall=("kernel-updated-no-module",)),
    Case(
        "compiler older than the kernel's",
        lambda: not_built("gcc: error: unrecognized command-line option '-ftrivial-auto-var-init=zero'"),
        "kernel.dkms",
        pitfall=("dkms-build-failed-compiler",),
        says=("the compiler does not know an option",),
    ),
    Case(
        "kernel newer than the driver",
        lambda: not_built("nv-mmap.c:441:9: error: implicit declaration of function 'follow_pfn'"),
        "kernel.dkms",
        pitfall=("dkms-kernel-too-new",),
        says=("newer than this driver knows",),
    ),
    Case(
        "kernel that the matrix lists against the driver",
        lambda: too_new("580.82.07"),
        "kernel.driver_range",
        pitfall=("dkms-kernel-too-new",),
        says=("580.173.02",),
    ),
    Case("next kernel too new", next_too_new, "kernel.driver_range", "warn", says=("7.0.0-14-generic",)),
    Case("next kernel without the module", next_kernel, "kernel.next_boot_module", says=("6.5.0-1027-aws",)),
    Case(
        "probably the next kernel, without the module",
        lambda: next_kernel("saved"),
        "kernel.next_boot_module",
        "warn",
    ),
    Case(
        "another kernel at the next start",
        lambda: next_kernel(module="kernel/nvidia-535srv/nvidia.ko").file("/run/reboot-required", ""),
        "kernel.reboot_required",
        "warn",
    ),
    Case(
        "packages ask for a restart",
        lambda: (
            h100x8().file("/run/reboot-required", "").file("/run/reboot-required.pkgs", "libc6\nlibc6\nlinux-base\n")
        ),
        "kernel.reboot_required",
        "warn",
        says=("libc6, linux-base",),
    ),
    Case(
        "module without a signature",
        lambda: refused(signer=None),
        "kernel.secure_boot",
        pitfall=("secure-boot-unsigned-module",),
        says=("no signature",),
    ),
    Case(
        "module signed by a key that is not enrolled",
        lambda: refused(serial="11:22:33:44"),
        "kernel.secure_boot",
        pitfall=("secure-boot-unsigned-module",),
    ),
    Case("no interrupts", lambda: flagged(l40s(), "pci=nomsi"), "kernel.cmdline", "warn", says=("pci=nomsi",)),
    Case(
        "driver blacklisted at the start",
        lambda: flagged(unloaded(v100()), "modprobe.blacklist=nouveau,nvidia"),
        "kernel.cmdline",
    ),
    Case("machine check", lambda: gh200().file("/proc/sys/kernel/tainted", "12305\n"), "kernel.taint"),
    Case(
        "peermem asked for and not loaded",
        lambda: (
            a100_mig()
            .folder("/sys/class/infiniband", "mlx5_0")
            .file("/etc/modules-load.d/rdma.conf", "# GPUDirect\nnvidia-peermem\n")
        ),
        "kernel.peer_modules",
        "warn",
        says=("nvidia_peermem",),
    ),
)
