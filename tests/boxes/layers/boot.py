"""What the boot probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.boxes import NOW

if TYPE_CHECKING:
    from tests.boxes import Box

PREBUILT = {"t4": "kernel/nvidia-535srv/nvidia.ko", "l40s": "kernel/nvidia-580srv-open/nvidia.ko.zst"}
"""Machines whose module the distribution built and signed."""
MODULE = "driver modules on disk"
SIGNER = "box Secure Boot Module Signature key"
SERIAL = "3A:6F:10:77:02"


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    box.file("/proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-{box.kernel} root=/dev/nvme0n1p1 ro quiet\n")
    box.file("/proc/sys/kernel/tainted", "12289\n").file("/proc/uptime", "86400.12 172800.50\n")
    if box.profile is None or box.name == "laptop" or ("exists", "/.dockerenv") in box.looks:
        return
    boot(box, box.kernel)
    box.folder("/run", "systemd").file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\n")
    box.folder("/sys/firmware/efi").folder("/sys/firmware/efi/efivars")
    box.answer("SecureBoot of EFI", 1 if box.name == "l40s" else 0)
    box.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    box.file("/sys/module/module/parameters/sig_enforce", "N\n")
    path = PREBUILT.get(box.name, "updates/dkms/nvidia.ko")
    box.answer(MODULE, {box.kernel: path})
    modinfo(box, version_of(box), path=path)
    box.command("mokutil --list-enrolled", f"        Serial Number:\n            {SERIAL.lower()}\n")
    if box.name in PREBUILT:
        box.program("dkms", None)
    else:
        dkms(box, f"nvidia/{version_of(box)}, {box.kernel}, {box.arch}: installed\n")


def version_of(box: Box) -> str:
    """The driver of the box, as its layer or its case left it."""
    return str(box.looks["text", "/sys/module/nvidia/version"].value).strip()


def boot(box: Box, kernel: str, *, has_headers: bool = True) -> Box:
    """A kernel that is installed."""
    box.file(f"/boot/vmlinuz-{kernel}", "").file(f"/lib/modules/{kernel}/modules.dep", "")
    if has_headers:
        box.file(f"/lib/modules/{kernel}/build/Makefile", "")
    return box


def dkms(box: Box, said: str) -> Box:
    """What `dkms status` says."""
    return box.command("dkms status", said)


def modinfo(
    box: Box,
    version: str,
    *,
    path: str = "updates/dkms/nvidia.ko",
    licence: str | None = None,
    signer: str | None = SIGNER,
    serial: str = SERIAL,
    built_at: float = NOW - 30 * 86400.0,
) -> Box:
    """What modinfo says of the module on disk of the running kernel."""
    words = box.looks.get(("text", "/proc/driver/nvidia/version"))
    is_open = words is not None and "Open Kernel Module" in str(words.value)
    full = f"/lib/modules/{box.kernel}/{path}"
    signed = f"signer:         {signer}\nsig_key:        {serial}\n" if signer else ""
    box.file(full, "")
    box.looks["status", full].value["modified_at"] = built_at
    return box.command(
        "modinfo nvidia",
        f"filename:       {full}\nversion:        {version}\n"
        f"license:        {licence or ('Dual MIT/GPL' if is_open else 'NVIDIA')}\n{signed}",
    )
