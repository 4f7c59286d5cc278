"""Sick machines as people describe them: several symptoms at once, and at times two faults.

Each stands for a kind of public thread; the comment before a case names it. Beside the cause nothing may be left
over that is only its symptom, and a fault of its own must still stand there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.detect.probes.kernel_log import JOURNAL
from tests.boxes import NOW
from tests.boxes.healthy import (
    a100_mig,
    container,
    h100x8,
    l40s,
    rtx3090_p40,
    rtx5090,
    t4,
    v100,
)
from tests.boxes.layers.boot import MODULE, boot, dkms, modinfo
from tests.boxes.layers.driver import packages
from tests.boxes.layers.fabric import manager
from tests.boxes.layers.kernel_log import journal
from tests.boxes.layers.pci import BUS, aer, gpus_of, port_of

from . import Case
from .driver import HISTORY, INIT, bare, functions, mismatched, ubuntu, unbound, unloaded, with_release

if TYPE_CHECKING:
    from tests.boxes import Box

_API = (
    "NVRM: API mismatch: the client has the version {}, but\n"
    "NVRM: this kernel module has the version {}.  Please\n"
    "NVRM: make sure that this kernel module and all NVIDIA driver\n"
    "NVRM: components have the same version."
)


def distribution(box: Box, name: str, version: str, like: str = "", *, rpm: tuple[str, ...] | None = None) -> Box:
    """The box under another distribution; `rpm`: its driver packages where it has rpm."""
    box.file("/etc/os-release", f'ID={name}\nVERSION_ID="{version}"\nID_LIKE="{like}"\n')
    if rpm is None:
        return box
    box.without("/etc/apt", "/usr/bin/unattended-upgrade").program("dpkg-query", None).program("apt-mark", None)
    if name not in {"sles", "opensuse-leap"}:
        box.folder("/etc/dnf")
    return packages(box, "rpm", *(f"ii\t{line}" for line in rpm))


def plain(box: Box, name: str) -> Box:
    """A distribution without a package manager that is known here."""
    box.file("/etc/os-release", f"ID={name}\n").without("/etc/apt", "/usr/bin/unattended-upgrade")
    return box.program("dpkg-query", None).program("rpm", None).program("apt-mark", None)


def dark(box: Box, code: int = 100) -> Box:
    """As `unloaded`, and CUDA says so too."""
    return unloaded(box).nvml(**{"err.cuInit": code})


def into_kernel(box: Box, kernel: str, *, has_headers: bool = True, others: str | None = None) -> Box:
    """The box was restarted into a kernel for which there is no module."""
    old, box.kernel = box.kernel, kernel
    dark(box).file("/proc/sys/kernel/osrelease", f"{kernel}\n").file("/proc/version", f"Linux version {kernel} (gcc)\n")
    boot(box, kernel, has_headers=has_headers).answer(MODULE, {old: "updates/dkms/nvidia.ko", kernel: ""})
    for name in ("nvidia", "nvidia-current"):
        box.command(f"modinfo {name}", returncode=1, stderr=f"modinfo: ERROR: Module {name} not found.\n")
    return dkms(box, others or f"nvidia/580.82.07, {old}, {box.arch}: installed\n")


def refused(box: Box, *messages: str, **module: str | None) -> Box:
    """Secure Boot is on, and the module on disk is not let in."""
    version = str(box.looks["text", "/sys/module/nvidia/version"].value).strip()
    dark(box).answer("SecureBoot of EFI", 1)
    return journal(modinfo(box, version, **module), *messages)  # type: ignore[arg-type]


def closed_log(box: Box) -> Box:
    """An ordinary user, whom the kernel log is closed to."""
    box.command(JOURNAL, stderr="No journal files were opened due to insufficient permissions.\n", returncode=1)
    return box.command("dmesg", returncode=1, stderr="dmesg: read kernel buffer failed: Operation not permitted\n")


def board(box: Box, name: str, device: str, cc: str, *, index: int = 0) -> Box:
    """Another board in the place of one."""
    box.nvml(**{f"{index}.name": name, f"{index}.pci_device_id": f"0x{device.upper()}10DE", f"{index}.cc": cc})
    box.file(f"{BUS}/{gpus_of(box)[index]}/device", f"0x{device}\n")
    return box


def fallen(box: Box, index: int, *messages: str) -> Box:
    """One GPU no longer answers on the bus: Xid 79, and everything that follows from it."""
    bus_id = gpus_of(box)[index]
    place = bus_id.rpartition(".")[0]
    box.nvml(**{f"{index}.err.*": 15})
    return journal(
        box,
        f"NVRM: GPU at PCI:{place}: GPU-{index:08x}-0000-0000-0000-000000000000",
        f"NVRM: Xid (PCI:{place}): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        f"NVRM: GPU {bus_id}: GPU has fallen off the bus.",
        f"NVRM: Xid (PCI:{place}): 154, pid='<unknown>', name=<unknown>, GPU recovery action changed from 0x0 (None)"
        " to 0x2 (Node Reboot Required)",
        "NVRM: A GPU crash dump has been created. If possible, please run",
        "NVRM: nvidia-bug-report.sh as root to collect this data before",
        "NVRM: the NVIDIA kernel module is unloaded.",
        *messages,
    )


# --- releases that differ


def _morning_after() -> Box:
    box = mismatched(t4(), "580.95.05").nvml(**{"err.cuInit": 803})
    ubuntu(box, **{"libnvidia-compute-580": "580.95.05", "nvidia-dkms-580": "580.95.05"})
    modinfo(box, "580.95.05", built_at=NOW - 3600.0)
    change = ["libnvidia-compute-580", "580.82.07-0ubuntu0.24.04.1", "580.95.05-0ubuntu0.24.04.1"]
    box.answer(HISTORY, [["2026-11-18 06:12:33", True, *change]])
    box.file("/run/reboot-required", "").file("/run/reboot-required.pkgs", "linux-image-6.5.0-1024-aws\nlinux-base\n")
    return journal(box, _API.format("580.95.05", "580.82.07"))


_EL9 = ("nvidia-driver-cuda-libs\t3:580.95.05-1.el9", "kmod-nvidia-latest-dkms\t3:580.95.05-1.el9")


def _dnf_automatic() -> Box:
    box = distribution(mismatched(v100(), "580.95.05"), "rocky", "9.6", "rhel centos fedora", rpm=_EL9)
    modinfo(box, "580.95.05", built_at=NOW - 3600.0)
    return journal(box.nvml(**{"err.cuInit": 803}), _API.format("580.95.05", "580.82.07"))


def _akmods() -> Box:
    rows = ("xorg-x11-drv-nvidia-cuda-libs\t3:580.95.05-1.fc42", "akmod-nvidia\t3:580.95.05-1.fc42")
    box = distribution(mismatched(rtx5090(), "580.95.05"), "fedora", "42", rpm=rows).program("dkms", None)
    modinfo(box, "580.95.05", path="extra/nvidia/nvidia.ko.xz", built_at=NOW - 3600.0)
    box.answer(MODULE, {box.kernel: "extra/nvidia/nvidia.ko.xz"})
    return journal(closed_log(box).nvml(**{"err.cuInit": 803}), _API.format("580.95.05", "580.82.07"))


def _hgx_upgraded() -> Box:
    """Packages went on to the next release, fabric manager with them, and the module stayed."""
    box = mismatched(h100x8(), "570.133.20").nvml(**{"err.cuInit": 803})
    manager(box, active="failed", sub="failed", result="exit-code", release="570.133.20")
    ubuntu(box, **{"libnvidia-compute-570": "570.133.20", "nvidia-dkms-570": "570.133.20"})
    modinfo(box, "570.133.20", built_at=NOW - 3600.0)
    return journal(box.answer("process nv-fabricmanager", False), _API.format("570.133.20", "570.124.06"))


def _mismatch_and_next_kernel() -> Box:
    """Libraries upgraded today, and a new kernel waits for which no module was built."""
    box = boot(_morning_after(), "6.5.0-1027-aws").file("/etc/default/grub", "GRUB_DEFAULT=0\n")
    return box.answer(MODULE, {box.kernel: "kernel/nvidia-535srv/nvidia.ko", "6.5.0-1027-aws": ""})


def _leftover_runfile() -> Box:
    box = mismatched(rtx5090(), "550.54.14").nvml(**{"err.cuInit": 803})
    for name in ("libnvidia-ml.so.1", "libcuda.so.1"):
        box.library(name, f"/usr/lib64/{name}", real=f"{name.removesuffix('.1')}.550.54.14")
    return box.file("/usr/bin/nvidia-uninstall", "")


def _mismatch_and_conflicting_keys() -> Box:
    address = "https://nvidia.github.io/libnvidia-container/stable/ubuntu18.04/$(ARCH) /"
    key = "[signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg]"
    box = mismatched(rtx5090(), "580.95.05").nvml(**{"err.cuInit": 803})
    ubuntu(box, **{"libnvidia-compute-580": "580.95.05", "nvidia-dkms-580": "580.95.05"})
    box.file("/etc/apt/sources.list.d/libnvidia-container.list", f"deb {address}\n")
    return box.file("/etc/apt/sources.list.d/nvidia-container-toolkit.list", f"deb {key} {address}\n")


def _lxc() -> Box:
    """An LXC guest of Proxmox with a driver of its own, older than the host's."""
    box = container().without("/.dockerenv").file("/run/systemd/container", "lxc\n")
    box.file("/proc/1/environ", "container=lxc").file("/run/.containerenv", "").without("/run/.containerenv")
    return mismatched(box, "570.86.15").nvml(**{"err.cuInit": 803})


# --- modules that do not load


def _archlinux() -> Box:
    """pacman exchanged the kernel; the modules of the running one are gone."""
    box = dark(plain(rtx5090(), "arch"))
    box.without(f"/lib/modules/{box.kernel}", f"/boot/vmlinuz-{box.kernel}")
    boot(box, "6.17.8-arch1-1").program("dkms", None).without_command("dkms status")
    box.answer(MODULE, {"6.17.8-arch1-1": "extramodules/nvidia.ko.zst"})
    return box.command("modinfo nvidia", returncode=1, stderr="modinfo: ERROR: Module nvidia not found.\n")


def _pve() -> Box:
    box = into_kernel(rtx3090_p40(), "6.8.12-15-pve", has_headers=False)
    return dkms(box, "nvidia-current/570.86.15, 6.1.0-38-amd64, x86_64: installed\n")


def _uek() -> Box:
    box = distribution(v100(), "ol", "9.5", "fedora", rpm=_EL9)
    return into_kernel(box, "5.15.0-312.187.5.el9uek.x86_64", has_headers=False)


def _sles() -> Box:
    rows = ("nvidia-compute-G06\t580.82.07-0", "nvidia-driver-G06-kmp-default\t580.82.07_k6.4.0_150700.51-0")
    box = distribution(l40s(), "sles", "15.7", "suse", rpm=rows).program("dkms", None)
    box = into_kernel(box, "6.4.0-150700.53.11-default")
    box.without("/boot/vmlinuz-6.8.0-79-generic", "/lib/modules/6.8.0-79-generic")
    boot(box, "6.4.0-150700.51-default").answer(
        MODULE, {"6.4.0-150700.51-default": "updates/nvidia.ko", box.kernel: ""}
    )
    return box.program("dkms", None).without_command("dkms status")


def _half_configured() -> Box:
    """A kernel's post-install hook failed to build, and dpkg stopped half way."""
    box = into_kernel(
        rtx5090(),
        "6.14.0-35-generic",
        others=("nvidia/580.82.07, 6.8.0-79-generic, x86_64: installed\nnvidia/580.82.07: added\n"),
    )
    box.answer(
        "errors in /var/lib/dkms/nvidia/580.82.07/build/make.log",
        ["nvidia/nv-dma.c:1: error: implicit declaration of function 'dma_is_direct'"],
    )
    return packages(
        box,
        "dpkg-query",
        "iF \tnvidia-dkms-580\t580.82.07-0ubuntu0.24.04.1",
        "iU \tnvidia-driver-580\t580.82.07-0ubuntu0.24.04.1",
        "ii \tlibnvidia-compute-580\t580.82.07-0ubuntu0.24.04.1",
    )


def _no_space() -> Box:
    box = _half_configured()
    box.answer(
        "errors in /var/lib/dkms/nvidia/580.82.07/build/make.log",
        ["/usr/bin/ld: final link failed: No space left on device"],
    )
    return box.space("/", total=30 * 2**30, free=0)


def _fresh(box: Box) -> Box:
    """Just installed: the distribution's nouveau has the GPU, and nobody has installed a driver."""
    box = unbound(bare(box), "nouveau").file("/sys/module/nouveau/initstate", "live\n")
    return box.without("/etc/modprobe.d/blacklist-nouveau.conf", "/lib/firmware/nvidia")


def _nouveau_after_runfile() -> Box:
    box = dark(rtx5090(), 999)
    unbound(box, "nouveau").file("/sys/module/nouveau/initstate", "live\n")
    return box.without("/etc/modprobe.d/blacklist-nouveau.conf")


def _fedora_key() -> Box:
    rows = ("xorg-x11-drv-nvidia-cuda-libs\t3:580.82.07-1.fc42", "akmod-nvidia\t3:580.82.07-1.fc42")
    box = distribution(rtx5090(), "fedora", "42", rpm=rows).program("dkms", None)
    return refused(
        box,
        "Loading of module with unavailable key is rejected",
        signer="fedora-3245012345",
        licence="Dual MIT/GPL",
        serial="77:01",
        path="extra/nvidia/nvidia.ko.xz",
    )


# --- GPUs that are lost


def _gone_from_the_bus() -> Box:
    """The GPU is no longer even on the bus; the server should have eight."""
    box = h100x8().given(expected_gpus=8)
    bus_id = gpus_of(box)[5]
    box.without(f"{BUS}/{bus_id}", "/dev/nvidia7", "/dev/char/195:7").nvml(count=7)
    for index, place in enumerate(one.rpartition(".")[0] for one in gpus_of(box)):
        box.nvml(**{f"{index}.pci": place})
    return journal(box, f"NVRM: Xid (PCI:{bus_id[:-2]}): 79, pid=811, name=python, GPU has fallen off the bus.")


def _gsp_hang() -> Box:
    found = ["nvidia-smi (process 4711)", "dcgm-exporter (process 99)"]
    box = l40s().answer("driver.blocked_processes", found).answer("driver.blocked_lasting", found)
    return journal(
        box,
        "NVRM: Xid (PCI:0000:c1:00): 119, pid=3, name=nvidia-smi, Timeout after 6s of waiting for RPC response from"
        " GPU1 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20802068 0x4).",
        "INFO: task nvidia-smi:4711 blocked for more than 122 seconds.",
    )


def _hangs_for_an_ordinary_user() -> Box:
    box = closed_log(l40s()).answer("driver.blocked_processes", ["nvidia-smi (process 4711)"])
    return box.answer("driver.blocked_lasting", []).nvml(**{"sleep.nvmlInitWithFlags": 30})


def _contained() -> Box:
    """A broken row of an A100: contained error, row waits for a reset."""
    box = a100_mig().nvml(**{"0.remap": "0,1,1,0", "0.ecc_err.1.0": 1, "0.ecc_err.1.1": 1})
    return journal(
        box,
        "NVRM: Xid (PCI:0000:01:00): 94, pid=811, name=python3, Contained: SM (0x1). RST: No, D-RST: No",
        "NVRM: Xid (PCI:0000:01:00): 63, pid=811, name=python3, Row Remapper: New row marked for remapping, reset gpu"
        " to activate.",
    )


def _double_bit() -> Box:
    box = h100x8().nvml(**{"2.remap": "0,1,1,0", "2.ecc_err.1.0": 2, "2.ecc_err.1.1": 2})
    return journal(
        box,
        "NVRM: Xid (PCI:0000:52:00): 48, pid=811, name=python3, DBE (double bit error) ECC Error",
        "NVRM: Xid (PCI:0000:52:00): 45, pid=811, name=python3, Ch 00000008",
        "NVRM: Xid (PCI:0000:52:00): 63, pid=811, Row Remapper: New row marked for remapping, reset gpu to activate.",
    )


def _worn_out() -> Box:
    box = h100x8().nvml(**{"2.remap": "0,9,0,1", "2.ecc_err.1.1": 9, "2.remap_banks": "2556,2,1,0,1"})
    return journal(box, "NVRM: Xid (PCI:0000:52:00): 64, pid=811, Row Remapper Error: All reserved rows for bank used")


def _fabric_down(**unit: str) -> Box:
    settings = {"active": "inactive", "sub": "dead"} | unit
    box = manager(h100x8(), **settings).answer("process nv-fabricmanager", False)
    return box.nvml(**{"*.fabric": "2,0,0,0,0", "err.cuInit": 802})


def _switch_broke() -> Box:
    box = _fabric_down(active="failed", sub="failed", result="exit-code")
    return journal(
        box,
        "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 30 LTSSM Fault Up",
        *(
            f"NVRM: Xid (PCI:0000:{bus}:00): 74, pid=811, NVLink: fatal error detected on link 3(0x0, 0x0)"
            for bus in ("1b", "43", "52")
        ),
    )


def _no_devices(box: Box, *messages: str) -> Box:
    """nvidia-smi: No devices were found."""
    for number, folder in enumerate(functions(box)):
        box.without(f"{folder}/driver", f"/dev/nvidia{number}", f"/dev/char/195:{number}")
    return journal(box.nvml(count=0, **{"err.cuInit": 100}), *messages)


_OPEN_ONLY = """NVRM: The NVIDIA GPU 0000:41:00.0 (PCI ID: 10de:1db6)
NVRM: installed in this system is not supported by open
NVRM: nvidia.ko because it does not include the required GPU
NVRM: System Processor (GSP)."""


def _passed_through_without_room() -> Box:
    box = _no_devices(
        rtx5090(),
        "pci 0000:01:00.0: BAR 1 [mem size 0x800000000 64bit pref]: can't assign; no space",
        "NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:\n"
        "NVRM: BAR1 is 0M @ 0x0 (PCI:0000:01:00.0)",
        "nvidia 0000:01:00.0: probe with driver nvidia failed with error -1",
        "NVRM: The NVIDIA probe routine failed for 1 device(s).",
        "NVRM: None of the NVIDIA devices were initialized.",
    )
    windows = (
        "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n"
        "0x0000000000000000 0x00000007ffffffff 0x000000002014220c\n"
    )
    return box.file(f"{BUS}/0000:01:00.0/resource", windows)


def _daemon_reload(box: Box) -> Box:
    """A container whose device rules were lost: open() of the nodes is refused."""
    for name in list(box.looks["names", "/dev"].value):
        if name.startswith("nvidia") and ("access", f"/dev/{name}") in box.looks:
            status = box.looks["status", f"/dev/{name}"].value
            box.node(f"/dev/{name}", major=status["major"], minor=status["minor"], may_open=False)
    return box.nvml(**{INIT: 999, "err.cuInit": 100})


_CGROUP_BOX = ("driver.device_nodes",)

CASES: tuple[Case, ...] = (
    # Ask Ubuntu, "Failed to initialize NVML: Driver/library version mismatch" the day after an unattended upgrade.
    Case(
        "seen: the morning after an unattended upgrade",
        _morning_after,
        "driver.kmd_umd_match",
        says=("an unattended upgrade", "580.82.07", "580.95.05"),
        beside=(),
        remedy=("sudo reboot", "apt-mark hold"),
    ),
    # Rocky forum: dnf-automatic brought the driver, nvidia-smi fails until the restart.
    Case(
        "seen: dnf-automatic upgraded the libraries",
        _dnf_automatic,
        "driver.kmd_umd_match",
        beside=(),
        remedy=("dnf versionlock",),
        never=("apt", "dpkg", "initramfs"),
    ),
    # Fedora discussion, akmod-nvidia updated in the background.
    Case("seen: akmods built the next release", _akmods, "driver.kmd_umd_match", beside=(), never=("apt",)),
    # NVIDIA forum, HGX after apt upgrade: fabric manager fails and nothing else works either.
    Case("seen: an HGX upgraded under its jobs", _hgx_upgraded, "driver.kmd_umd_match", beside=()),
    # Two faults: restarting, the cure of the first, brings out the second.
    Case(
        "seen: mismatch now, no module at the next start",
        _mismatch_and_next_kernel,
        "driver.kmd_umd_match",
        beside=("kernel.next_boot_module",),
    ),
    # Linux Mint forum: libraries of a .run installer of last year before those of the packages.
    Case("seen: libraries of an old installer", _leftover_runfile, "driver.package_mix", "warn", beside=()),
    # apt sources that contradict each other do not make a mismatch.
    Case(
        "seen: mismatch and conflicting keys",
        _mismatch_and_conflicting_keys,
        "driver.kmd_umd_match",
        beside=("driver.package_mix",),
    ),
    # Proxmox forum: the driver inside of the LXC guest must be the host's.
    Case(
        "seen: an LXC guest with another driver",
        _lxc,
        "driver.kmd_umd_match",
        beside=(),
        never=("sudo reboot", "rmmod"),
    ),
    # Arch forum: "nvidia-smi has failed" after pacman -Syu without a restart.
    Case(
        "seen: the running kernel's modules are gone",
        _archlinux,
        "kernel.next_boot_module",
        beside=(),
        remedy=("sudo reboot",),
        never=("apt", "dnf"),
    ),
    # Proxmox forum: new pve kernel, proxmox-headers missing.
    Case(
        "seen: Proxmox kernel without headers",
        _pve,
        "kernel.headers",
        beside=(),
        remedy=("proxmox-headers-6.8.12-15-pve",),
    ),
    # Oracle Linux with UEK.
    Case(
        "seen: UEK without headers",
        _uek,
        "kernel.headers",
        beside=(),
        remedy=("kernel-uek-devel-5.15.0-312.187.5.el9uek.x86_64",),
    ),
    # SUSE: the KMP was built for the kernel of the service pack.
    Case(
        "seen: SLES kernel without the KMP",
        _sles,
        "kernel.next_boot_module",
        beside=(),
        never=("apt", "dkms autoinstall"),
    ),
    # Launchpad: package nvidia-dkms failed to install/upgrade: bad exit status 10.
    Case("seen: dpkg stopped where DKMS failed", _half_configured, "kernel.dkms", beside=(), says=("newer",)),
    # Ask Ubuntu: DKMS fails because /boot or / is full.
    Case("seen: DKMS without room on the disk", _no_space, "kernel.dkms", leads="sys.disk_free", beside=()),
    # Secure Boot after a kernel upgrade on a laptop.
    Case(
        "seen: unsigned module under Secure Boot",
        lambda: refused(rtx5090(), "Loading of unsigned module is rejected", signer=None, licence="Dual MIT/GPL"),
        "kernel.secure_boot",
        beside=(),
    ),
    # Debian wiki, SecureBoot: "Key was rejected by service".
    Case(
        "seen: DKMS key of Debian not enrolled",
        lambda: refused(
            rtx3090_p40(),
            "Loading of module with unavailable key is rejected",
            signer="DKMS module signing key",
            serial="6B:11:22",
            path="updates/dkms/nvidia-current.ko",
        ),
        "kernel.secure_boot",
        beside=(),
        remedy=("/var/lib/dkms/mok.pub",),
    ),
    # RPM Fusion, howto Secure Boot: key of kmodgenca never enrolled.
    Case(
        "seen: key of akmods not enrolled",
        _fedora_key,
        "kernel.secure_boot",
        beside=(),
        remedy=("/etc/pki/akmods/certs/public_key.der",),
    ),
    # A fresh Fedora: nouveau, because nothing else is installed.
    Case(
        "seen: fresh Fedora",
        lambda: _fresh(distribution(rtx5090(), "fedora", "42", rpm=())),
        "driver.nouveau",
        beside=(),
        says=("no NVIDIA driver is installed",),
        remedy=("dnf install",),
    ),
    # The same on a server of Ubuntu.
    Case(
        "seen: fresh Ubuntu server",
        lambda: _fresh(l40s()),
        "driver.nouveau",
        beside=(),
        says=("no NVIDIA driver is installed",),
        remedy=("ubuntu-drivers install",),
    ),
    # "The Nouveau kernel driver is currently in use by your system".
    Case(
        "seen: nouveau won at the start",
        _nouveau_after_runfile,
        "driver.nouveau",
        beside=(),
        remedy=("blacklist nouveau",),
    ),
    # r/LocalLLaMA, "Unable to determine the device handle ... GPU is lost".
    Case(
        "seen: a GPU falls off under load",
        lambda: fallen(
            l40s(),
            1,
            "pcieport 0000:00:02.0: AER: Uncorrectable (Fatal) error message received from 0000:c1:00.0",
            "INFO: task nvidia-smi:4711 blocked for more than 122 seconds.",
        ),
        "kernel.xid_fatal",
        says=("Xid 79", "0000:c1:00.0"),
        beside=(),
    ),
    # The same with the error counters of the port.
    Case(
        "seen: a GPU falls off, AER counted",
        lambda: aer(fallen(rtx3090_p40(), 1), port_of(1), "fatal", SDES=1),
        "kernel.xid_fatal",
        beside=(),
    ),
    # HGX: seven of eight, the eighth not even on the bus.
    Case("seen: seven of eight", _gone_from_the_bus, "kernel.xid_fatal", says=("Xid 79",), beside=()),
    # NVIDIA/open-gpu-kernel-modules #446: Xid 119, nvidia-smi in state D.
    Case("seen: the GSP hangs and programs with it", _gsp_hang, "kernel.xid_fatal", says=("Xid 119",), beside=()),
    # The same box for an ordinary user.
    Case(
        "seen: hanging, and the log is closed",
        _hangs_for_an_ordinary_user,
        "driver.nvml_init",
        "timed-out",
        leads="driver.dstate",
        beside=(),
    ),
    # A100: contained error and a row to be remapped.
    Case("seen: row waits for a reset", _contained, "gpu.remap_pending", leads="gpu.ecc_unc_volatile", beside=()),
    # H100: double-bit error.
    Case("seen: double-bit error", _double_bit, "kernel.xid_fatal", says=("Xid 48",), beside=()),
    # RMA: all spare rows used.
    Case("seen: no spare rows left", _worn_out, "gpu.remap_failed", leads="kernel.xid_fatal", beside=()),
    # "CUDA error 802: system not yet initialized" on HGX.
    Case("seen: 802, fabric manager stopped", _fabric_down, "fabric.manager", beside=(), remedy=("systemctl",)),
    # GPU Operator on HGX after an upgrade of the driver alone.
    Case(
        "seen: 802, fabric manager of the old release",
        lambda: _fabric_down(active="failed", sub="failed", result="exit-code", release="570.86.15"),
        "fabric.manager",
        beside=(),
        says=("570.86.15",),
    ),
    # A trunk link of an NVSwitch broke, and fabric manager gave up.
    Case("seen: a switch broke", _switch_broke, "kernel.sxid", beside=()),
    # Passthrough of a large board into a VM: "No devices were found".
    Case("seen: no room for the BAR", _passed_through_without_room, "pci.bar_assigned", beside=()),
    # Volta with nvidia-open: "No devices were found".
    Case(
        "seen: open modules on Volta",
        lambda: _no_devices(with_release(v100(), "580.82.07", "open"), _OPEN_ONLY),
        "driver.open_module",
        beside=(),
    ),
    # nvidia-container-toolkit #48: Unknown Error after systemctl daemon-reload.
    Case(
        "seen: a container after daemon-reload",
        lambda: _daemon_reload(container()),
        "ctr.gpu_granted",
        beside=(),
        remedy=("start the container again",),
        never=("usermod",),
    ),
)
