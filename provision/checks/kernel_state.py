"""Checks of what the running kernel lets in and has seen: kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .driver_facts import NOT_THE_HOST, WITHOUT_MODULE, explains_without_module, loaded_release, packages
from .log_lines import lines, told
from .remedies import KERNEL_LOG, own_key

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

# box Secure Boot Module Signature key      Ubuntu
# DKMS module signing key                   dkms
_OWN_KEY = re.compile(r"Secure Boot Module Signature key|DKMS module signing key", re.IGNORECASE)
_MACHINE_CHECK = 4
_TAINTS = {
    1: "module forced to load",
    4: "machine check",
    5: "bad memory page",
    7: "kernel oops",
    9: "kernel warning",
    12: "module from outside the kernel",
    13: "unsigned module",
    14: "soft lockup",
    15: "live patch",
}


@check(
    "kernel.secure_boot",
    level="quick",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=WITHOUT_MODULE,
    explains=explains_without_module,
)
def secure_boot(facts: Facts, say: Verdict) -> Finding:
    """Secure Boot lets the driver's module load.

    What it finds
        A module without a signature, or signed by a key that the firmware does not know, while Secure Boot is on.

    Why it matters
        The kernel refuses it ("Key was rejected by service", "Loading of unsigned module is rejected"), and to
        everybody else it looks as if no driver were installed.

    How it is decided
        The EFI variable SecureBoot is 1 and no module is loaded: a module on disk without a signer fails, and so does
        one that was signed on this machine (by DKMS or akmods) with a key that mokutil does not list, or with any such
        key after the kernel log says that a module was rejected. A loaded module passes. A distribution's own
        signature passes otherwise.

    What to do
        Take the module that the distribution signs, or enrol the machine's key: `mokutil --import`, then confirm it on
        the console at the next start, which no remote tool can do.

    Sources
        Ubuntu wiki, UEFI/SecureBoot; dkms(8); mokutil(1) (read 2026-11).
    """
    is_on = facts.flag("kernel.secure_boot")
    if is_on is None:
        return say.unknown(f"Whether Secure Boot is on was not read ({facts.why_not('kernel.secure_boot')}).")
    if not is_on and not facts.flag("kernel.signatures_enforced"):
        return say.passed("Secure Boot is off: any module may load.", *facts.evidence("kernel.secure_boot"))
    if loaded_release(facts):
        return say.passed("Signatures are enforced, and the driver's module is loaded.")
    if facts.value("driver.modinfo_version") is None:
        found = facts.evidence("driver.modinfo_version")
        return say.skipped("The running kernel has no driver module on disk.", *found)
    return _judge_signature(facts, say, facts.text("driver.modinfo_signer"))


def _judge_signature(facts: Facts, say: Verdict, signer: str | None) -> Finding:
    names = ("kernel.secure_boot", "kernel.lockdown", "driver.modinfo_signer", "driver.modinfo_sig_key")
    shown = facts.evidence(*names, "kernel.enrolled_keys")
    look = ("mokutil --sb-state; mokutil --list-enrolled | grep -E 'Serial|Subject'", KERNEL_LOG)
    enrol = (f"sudo mokutil --import {own_key(facts.machine)}", "sudo reboot    (and enrol the key on the console)")
    if signer is None:
        return say.failed(
            "Secure Boot is on and the driver's module has no signature: the kernel refuses it.",
            *shown,
            safe=look,
            risky=("install the signed module of the distribution, or sign this one and enrol the key", *enrol),
        )
    rejected = lines(facts, "module_rejected")
    is_of_akmods = "akmod-nvidia" in packages(facts)
    if not _OWN_KEY.search(signer) and not is_of_akmods and not rejected:
        return say.passed(f"The driver's module is signed by {signer}.", *shown)
    enrol = (f"sudo mokutil --import {own_key(facts.machine, with_akmods=is_of_akmods)}", enrol[1])
    enrolled = facts.texts("kernel.enrolled_keys")
    serial = (facts.text("driver.modinfo_sig_key") or "").replace(":", "").lower().lstrip("0")
    if enrolled is None or not serial:
        return say.unknown(f"The module is signed by {signer}; whether that key is enrolled was not read.", *shown)
    if serial in enrolled:
        return say.passed(f"The driver's module is signed by {signer}, whose key is enrolled.", *shown)
    return say.failed(
        f"Secure Boot is on and does not know the key of {signer}: the kernel refuses the driver's module.",
        *shown,
        *told(rejected),
        safe=look,
        risky=enrol,
    )


@check(
    "kernel.cmdline",
    level="instant",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=WITHOUT_MODULE,
    explains=explains_without_module,
)
def cmdline(facts: Facts, say: Verdict) -> Finding:
    """The kernel's command line has no word against the driver.

    What it finds
        Words on the kernel's command line that keep the driver from loading, or take away what it needs: a blacklisted
        nvidia, nouveau.modeset=1, nomodeset, pci=nomsi, pci=noaer.

    Why it matters
        They stay from a repair long ago. No package and no configuration file shows them.

    How it is decided
        /proc/cmdline. A blacklisted nvidia fails while no module is loaded. pci=nomsi warns, and while no module is
        loaded the other words do, too. With a loaded module they are only mentioned: providers put nomodeset into
        their images, and it concerns screens; pci=noaer hides errors of the bus and causes none.

    What to do
        Take the word out of GRUB_CMDLINE_LINUX in /etc/default/grub (or use grubby), and restart.

    Sources
        Linux kernel documentation, kernel-parameters (read 2026-11).
    """
    flags = facts.texts("kernel.cmdline_flags")
    if flags is None:
        return say.unknown(f"The command line was not read ({facts.why_not('kernel.cmdline_flags')}).")
    shown = facts.evidence("kernel.cmdline_flags")
    edit = ("edit GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub (or grubby --remove-args); sudo reboot",)
    against = [flag for flag in flags if "blacklist=" in flag and re.search(r"[=,]nvidia(?:,|$)", flag)]
    if against and loaded_release(facts) is None:
        return say.failed(
            f"The kernel's command line keeps the driver from loading: {' '.join(against)}.",
            *shown,
            safe=("cat /proc/cmdline",),
            risky=edit,
        )
    others = [flag for flag in flags if "blacklist=" not in flag]
    if others and (loaded_release(facts) is None or any("nomsi" in flag for flag in others)):
        return say.warned(
            f"The kernel's command line has words that get in the driver's way: {' '.join(others)}.",
            *shown,
            safe=("cat /proc/cmdline",),
            risky=edit,
        )
    if others:
        return say.passed(f"The driver is loaded in spite of {' '.join(others)} on the kernel's command line.", *shown)
    return say.passed("The kernel's command line has no word against the driver.")


@check("kernel.taint", level="instant", not_on=NOT_THE_HOST)
def taint(facts: Facts, say: Verdict) -> Finding:
    """The kernel has seen no machine check.

    What it finds
        The mark that the kernel keeps after the processor reported a fault of the hardware.

    Why it matters
        Results computed on that machine may be wrong, and the GPU may be innocent of its errors.

    How it is decided
        Bit 4 of /proc/sys/kernel/tainted fails. The other bits are told: a module from outside the kernel, such as
        this driver, sets one and is no fault.

    What to do
        Read the machine checks in the kernel log (rasdaemon or mcelog decode them) and have the memory or processor
        looked at. A restart clears the mark and not its cause.

    Sources
        Linux kernel documentation, admin-guide/tainted-kernels (read 2026-11).
    """
    mask = facts.number("kernel.tainted")
    if mask is None:
        return say.unknown(f"The kernel's marks were not read ({facts.why_not('kernel.tainted')}).")
    words = [word for bit, word in _TAINTS.items() if int(mask) >> bit & 1]
    shown = Evidence("kernel.tainted", int(mask), source="/proc/sys/kernel/tainted")
    if int(mask) >> _MACHINE_CHECK & 1:
        return say.failed(
            "The processor has reported a hardware fault (machine check) since the machine started.",
            shown,
            safe=(
                "sudo journalctl --dmesg --grep 'mce|Machine check|Hardware Error' --no-pager",
                "ras-mc-ctl --summary",
            ),
        )
    return say.passed(f"No machine check. Marks of the kernel: {', '.join(words) or 'none'}.", shown)


@check("kernel.peer_modules", level="instant", needs=("gpu", "driver"), not_on=NOT_THE_HOST)
def peer_modules(facts: Facts, say: Verdict) -> Finding:
    """The modules beside the driver that this machine asks for are loaded.

    What it finds
        nvidia_peermem, gdrdrv, nvidia_fs or nvidia_uvm named in /etc/modules-load.d, and not loaded.

    Why it matters
        Somebody set the box up for GPUDirect; without the module transfers go through host memory, slower and without
        a word.

    How it is decided
        Names in /etc/modules and modules-load.d against /sys/module. nvidia_peermem replaces nv_peer_mem, and
        neither is missed where no RDMA adapter is. Missing warns. Where nothing is asked for it passes.

    What to do
        `sudo modprobe <module>` loads it or says why not; after a change of the driver it has to be built again.

    Sources
        modules-load.d(5); NVIDIA GPUDirect RDMA documentation (read 2026-11).
    """
    wanted, loaded = facts.texts("kernel.modules_wanted"), facts.texts("kernel.peer_modules")
    if wanted is None or loaded is None:
        return say.unknown("Which modules are asked for and loaded was not read.")
    same = {"nv_peer_mem": "nvidia_peermem"}
    # Without an adapter nothing offers what nvidia_peermem plugs into, and it can't load.
    idle = set() if facts.flag("kernel.has_rdma_adapter") else {"nvidia_peermem", "nv_peer_mem"}
    missing = [name for name in wanted if name not in (*loaded, *idle) and same.get(name) not in loaded]
    if not missing:
        return say.passed(f"Modules beside the driver: {', '.join(loaded) or 'none'}; no more is asked for.")
    return say.warned(
        f"Asked for at the start and not loaded: {', '.join(missing)}.",
        *facts.evidence("kernel.modules_wanted", "kernel.peer_modules"),
        safe=tuple(command for name in missing for command in (f"modinfo {name}", f"sudo modprobe {name}")),
    )


CHECKS = (cmdline, secure_boot, taint, peer_modules)
