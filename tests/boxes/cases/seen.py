"""Sick machines as people describe them: several symptoms at once, and at times two faults.

Each stands for a kind of public thread; the comment before a case names it. Beside the cause nothing may be left
over that is only its symptom, and a fault of its own must still stand there.
"""

from __future__ import annotations

from provision.detect.probes.kernel_log import JOURNAL
from tests.boxes import NOW, Box
from tests.boxes.healthy import (
    a100_mig,
    add_driver,
    container,
    gh200,
    h100x8,
    l40s,
    rtx3090_p40,
    rtx5090,
    t4,
    v100,
    wsl,
)
from tests.boxes.layers.boot import MODULE, boot, dkms, modinfo
from tests.boxes.layers.containers import cdi
from tests.boxes.layers.driver import packages
from tests.boxes.layers.fabric import manager, port
from tests.boxes.layers.kernel_log import journal
from tests.boxes.layers.pci import BUS, aer, gpus_of, port_of, width

from . import Case
from .driver import HISTORY, INIT, bare, functions, mismatched, ubuntu, unbound, unloaded, with_release

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


def _lost_link(box: Box) -> Box:
    """A link that trained at fewer lanes, seen at both ends."""
    for bus_id in (gpus_of(box)[0], port_of(0)):
        width(box, bus_id, 4)
    return box


def _busy(box: Box) -> Box:
    """Too hot: the fan does not turn."""
    return box.nvml(**{"0.throttle": "0x60", "0.temp_c": 97})


def _jetson() -> Box:
    """A Jetson Orin: its GPU is part of the chip."""
    box = Box("orin", profile=None, kernel="5.15.148-tegra", arch="aarch64")
    box.file("/etc/os-release", 'ID=ubuntu\nVERSION_ID="22.04"\nID_LIKE="debian"\n')
    box.file("/etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    box.file("/proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    box.file("/proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0")
    box.file("/sys/module/nvgpu/initstate", "live\n").answer("driver.blocked_processes", [])
    box.file("/proc/version", "Linux version 5.15.148-tegra (gcc)\n").file("/proc/cpuinfo", "processor\t: 0\n")
    return box.library("libcuda.so.1", "/usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1", real="libcuda.so.1.1")


def _closed_by_group(box: Box) -> Box:
    """Nodes of a site's own group, in which this user is not."""
    for name in list(box.looks["names", "/dev"].value):
        if name.startswith("nvidia") and ("access", f"/dev/{name}") in box.looks:
            status = box.looks["status", f"/dev/{name}"].value
            box.node(f"/dev/{name}", mode=0o660, major=status["major"], minor=status["minor"], may_open=False)
            box.looks["status", f"/dev/{name}"].value["gid"] = 44
    return box.nvml(**{INIT: 4, "err.cuInit": 100})


def _pascal() -> Box:
    """Arch went on to a branch that no longer serves Pascal."""
    box = plain(rtx5090(), "arch").program("dkms", None).without_command("dkms status")
    board(box, "NVIDIA GeForce GTX 1080 Ti", "1b06", "6.1")
    add_driver(box, "590.48.01", "open", 1)
    box.nvml(driver="590.48.01", nvml="590.48.01").file("/lib/firmware/nvidia/590.48.01/gsp_ga10x.bin", "")
    modinfo(box, "590.48.01", path="extramodules/nvidia.ko.zst")
    return _no_devices(
        box,
        "NVRM: The NVIDIA GPU 0000:01:00.0 (PCI ID: 10de:1b06)\nNVRM: installed in this system is not supported by"
        " open\nNVRM: nvidia.ko because it does not include the required GPU\nNVRM: System Processor (GSP).",
        "NVRM: None of the NVIDIA devices were initialized.",
    )


def _kepler() -> Box:
    box = with_release(rtx5090(), "535.183.01", "proprietary")
    board(box, "Tesla K80", "102d", "3.7")
    return _no_devices(
        box,
        "NVRM: The NVIDIA Tesla K80 GPU installed in this system is\n"
        "NVRM:  supported through the NVIDIA 470.xx Legacy drivers.",
        "NVRM: ignoring the legacy GPU 0000:01:00.0",
    )


def _unplugged() -> Box:
    """The board in a workstation without its power cable."""
    return _no_devices(
        rtx3090_p40(),
        "NVRM: GPU 0000:01:00.0: GPU does not have the necessary power cables connected.",
        "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x24:0x1c:1445)",
        "NVRM: GPU 0000:01:00.0: rm_init_adapter failed, device minor number 0",
    )


def _one_does_not_start() -> Box:
    """RmInitAdapter fails for one of two boards."""
    box = l40s().nvml(count=1).without("/dev/nvidia1")
    return journal(
        box,
        "NVRM: GPU 0000:c1:00.0: RmInitAdapter failed! (0x31:0x40:2537)",
        "NVRM: GPU 0000:c1:00.0: rm_init_adapter failed, device minor number 1",
    )


def _after_sleep() -> Box:
    box = journal(rtx5090(), (900.0, "PM: suspend entry (deep)"), (600.0, "PM: suspend exit"))
    return box.nvml(**{"err.cuInit": 999})


def _asleep(box: Box) -> Box:
    """A notebook's GPU in D3cold: its configuration space reads as ones."""
    bus_id = gpus_of(box)[0]
    for name in ("current_link_width", "max_link_width"):
        box.file(f"{BUS}/{bus_id}/{name}", "63\n")
    box.file(f"{BUS}/{bus_id}/power/runtime_status", "suspended\n").file(f"{BUS}/{bus_id}/power_state", "D3cold\n")
    return board(box, "NVIDIA GeForce RTX 5090 Laptop GPU", "2c18", "12.0")


def _compat_in_container(release: str, code: int) -> Box:
    box = container()
    place = "/usr/local/cuda/compat/libcuda.so.1"
    return box.library("libcuda.so.1", place, real=f"libcuda.so.{release}").nvml(**{"err.cuInit": code})


def _wsl_linux_driver() -> Box:
    box = wsl()
    for name in ("libnvidia-ml.so.1", "libcuda.so.1"):
        real = f"{name.removesuffix('.1')}.580.95.05"
        box.library(name, f"/usr/lib/x86_64-linux-gnu/{name}", real=real)
    return box.nvml(**{INIT: 9, "err.cuInit": 100})


def _wsl_without_windows_driver() -> Box:
    box = wsl().without("/usr/lib/wsl").library("libnvidia-ml.so.1", None).library("libcuda.so.1", None)
    return box.nvml(**{INIT: 12})


def _stale_cdi() -> Box:
    """The driver was upgraded and the machine restarted; the specification names files of the old release."""
    missing = ("/usr/lib/x86_64-linux-gnu/libcuda.so.570.86.15", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.570.86.15")
    return cdi(v100(), "/etc/cdi/nvidia.yaml", "570.86.15", missing=missing)


def _mps_left_behind() -> Box:
    box = l40s().variable("CUDA_MPS_PIPE_DIRECTORY", None).nvml(**{"err.cuInit": 805})
    return box.answer("cuda.mps_folder", "there")


def _dgx_pcie() -> Box:
    """Four A100 without switches, and somebody installed fabric manager."""
    box = manager(l40s(), active="failed", sub="failed", result="exit-code", release="580.82.07")
    return box.answer("process nv-fabricmanager", False)


def _machine_check() -> Box:
    box = fallen(l40s(), 0, "mce: [Hardware Error]: Machine check events logged")
    return box.file("/proc/sys/kernel/tainted", "12305\n")


def _headless_group_and_uvm() -> Box:
    return (
        l40s()
        .without("/sys/module/nvidia_uvm", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
        .nvml(**{"err.cuInit": 999, "0.remap": "0,1,1,0"})
    )


def _lost_without_a_log() -> Box:
    """One of eight is lost, for a user who may not read the log."""
    return closed_log(h100x8()).nvml(**{"6.err.*": 15})


def _silent_daemon(box: Box) -> Box:
    return box.nvml(**{INIT: 999, "err.cuInit": 999})


def _operator() -> Box:
    """A node of Kubernetes whose driver comes in a container: the module is loaded, the host has no libraries."""
    box = a100_mig().library("libnvidia-ml.so.1", None).library("libcuda.so.1", None).nvml(**{INIT: 12})
    box.folder("/run/nvidia/driver/usr").file("/run/nvidia/validations/driver-ready", "")
    box.answer(MODULE, {box.kernel: ""}).command("dkms status", "").program("dkms", None)
    for name in ("nvidia", "nvidia-current"):
        box.command(f"modinfo {name}", returncode=1, stderr=f"modinfo: ERROR: Module {name} not found.\n")
    return packages(box, "dpkg-query")


def _nouveau_took_over() -> Box:
    """No module for the new kernel, so nouveau has the GPU."""
    box = into_kernel(rtx5090(), "6.14.0-35-generic", has_headers=False)
    unbound(box, "nouveau").file("/sys/module/nouveau/initstate", "live\n")
    return box.without("/etc/modprobe.d/blacklist-nouveau.conf")


def _two_at_once() -> Box:
    """A GPU was lost, and a port of InfiniBand is down."""
    box = fallen(h100x8(), 3)
    return port(box, "mlx5_3", 1, state="1: DOWN", physical="2: Polling", rate="10 Gb/sec (4X SDR)", link_downed=1)


def _lost_days_ago() -> Box:
    """Nobody looked for three days."""
    box = h100x8().nvml(**{"4.err.*": 15})
    return journal(box, (3 * 86400.0, "NVRM: Xid (PCI:0000:9d:00): 79, pid=1, name=x, GPU has fallen off the bus."))


def _lost_and_next_kernel() -> Box:
    """A GPU was lost today; the kernel of the next start has no module."""
    box = boot(fallen(l40s(), 1), "6.8.0-90-generic")
    return box.answer(MODULE, {box.kernel: "kernel/nvidia-580srv-open/nvidia.ko.zst", "6.8.0-90-generic": ""})


def _disk_and_mismatch() -> Box:
    return _dnf_automatic().space("/", total=100 * 2**30, free=100 * 2**20)


def _reset_pending_mig() -> Box:
    """MIG was switched on and waits, and nobody made instances."""
    return h100x8().nvml(**{"0.mig": 0, "0.mig_pending": 1})


def _prohibited() -> Box:
    return t4().nvml(**{"*.compute_mode": 2, "err.cuInit": 100})


def _hidden() -> Box:
    return l40s().variable("CUDA_VISIBLE_DEVICES", "").nvml(**{"err.cuInit": 100})


def _stub_and_module() -> Box:
    """A build container's stub in LD_LIBRARY_PATH, and a node that was removed."""
    stub = "/usr/local/cuda/lib64/stubs/libcuda.so.1"
    box = l40s().library("libcuda.so.1", stub, real="libcuda.so", source="LD_LIBRARY_PATH")
    return box.nvml(**{"err.cuInit": 34})


def _pod_lost() -> Box:
    """A pod whose GPU fell off: neither log nor other GPUs to be seen."""
    box = container().nvml(**{"0.err.*": 15, "err.cuInit": 100})
    return box.variable("KUBERNETES_SERVICE_HOST", None)


def _host_mismatch_in_container() -> Box:
    """The host was upgraded without a restart, and a new container got its new libraries."""
    return mismatched(container(), "580.95.05").nvml(**{"err.cuInit": 803})


def _vgpu() -> Box:
    box = t4().nvml(**{"0.virtualization": 2, "0.licence_product": "NVIDIA Virtual Compute Server", "0.ecc": None})
    return journal(box, "nvidia-uvm: UVM is not supported in legacy virtualization mode").nvml(**{"err.cuInit": 801})


def _killed_for_memory() -> Box:
    """A loader's worker was killed; the Xid 43 is only the wake."""
    return journal(
        l40s(),
        "Memory cgroup out of memory: Killed process 4711 (pt_main_thread) total-vm:1kB, anon-rss:1kB",
        "NVRM: Xid (PCI:0000:41:00): 45, pid=4711, name=pt_main_thread, Ch 00000008",
    )


def _not_root_and_no_uvm() -> Box:
    box = closed_log(rtx5090()).unreadable("/proc/driver/nvidia/params")
    box.without("/sys/module/nvidia_uvm", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
    return box.nvml(**{"err.cuInit": 999})


def _imex_like_mismatch_on_grace() -> Box:
    box = mismatched(gh200(), "580.95.05").nvml(**{"err.cuInit": 803})
    return ubuntu(box, **{"libnvidia-compute-580": "580.95.05", "nvidia-dkms-580": "580.95.05"})


def _blacklisted() -> Box:
    """prime-select intel, and somebody wonders about CUDA."""
    box = dark(rtx5090()).file("/lib/modprobe.d/blacklist-nvidia.conf", "blacklist nvidia\nblacklist nvidia-drm\n")
    return box.file("/usr/lib/modprobe.d/blacklist-nvidia.conf", "blacklist nvidia\nblacklist nvidia-drm\n")


def _only_modprobe() -> Box:
    """All is installed and fits; nobody has loaded the module, as after an rmmod."""
    return dark(l40s())


def _thousand_lines() -> Box:
    """A GPU without GSP answers floods the log, and nvidia-smi hangs."""
    box = l40s().nvml(**{"sleep.nvmlInitWithFlags": 30})
    return journal(
        box,
        *(
            f"NVRM: Xid (PCI:0000:41:00): 119, pid={number}, name=nvidia-smi, Timeout after 45s of waiting for RPC"
            " response from GPU0 GSP! Expected function 76 (GSP_RM_CONTROL)"
            for number in range(40)
        ),
    )


def _all_passed_through() -> Box:
    """A hypervisor that keeps its GPUs for its guests."""
    box = unloaded(l40s(), "vfio-pci").file("/etc/os-release", 'ID=debian\nVERSION_ID="12"\n')
    return box.folder("/sys/module/vfio_pci", "x").library("libcuda.so.1", None).library("libnvidia-ml.so.1", None)


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
    # r/archlinux, December 2025: Pascal and the branch after 580.
    Case(
        "seen: Pascal under the next branch",
        _pascal,
        "driver.arch_supported",
        beside=("wheel.arch_list",),
        says=("Pascal", "580"),
        never=("apt", "dnf"),
    ),
    # A Tesla K80 under 535.
    Case(
        "seen: Kepler",
        _kepler,
        "driver.arch_supported",
        beside=("driver.branch_life", "wheel.arch_list"),
        says=("470",),
    ),
    # NVIDIA forum: "GPU does not have the necessary power cables connected".
    Case("seen: power cable forgotten", _unplugged, "hw.power_connector", beside=()),
    # RmInitAdapter failed for one of two.
    Case("seen: one of two does not start", _one_does_not_start, "kernel.xid_fatal", says=("0000:c1:00.0",), beside=()),
    # CUDA dies with 999 after a laptop slept.
    Case("seen: CUDA 999 after sleep", _after_sleep, "cuda.init", beside=(), says=("999",), remedy=("nvidia_uvm",)),
    # Nodes of a group, as Debian and some sites have them.
    Case(
        "seen: nodes of a group",
        lambda: _closed_by_group(rtx3090_p40()),
        "sys.user_access",
        beside=(),
        remedy=("usermod",),
    ),
    # NGC image on a workstation: 804.
    Case(
        "seen: NGC image on a GeForce",
        lambda: board(_compat_in_container("590.48.01", 804), "NVIDIA GeForce RTX 4090", "2684", "8.9"),
        "cuda.compat_shadow",
        beside=(),
        says=("804",),
        never=("sudo ldconfig --purge",),
    ),
    # NGC image older than the host's driver: 803.
    Case(
        "seen: old compat in an image",
        lambda: _compat_in_container("550.54.14", 803),
        "cuda.compat_shadow",
        beside=(),
        says=("803",),
    ),
    # microsoft/WSL: apt install nvidia-driver inside of WSL.
    Case("seen: a Linux driver inside of WSL", _wsl_linux_driver, "sys.wsl", beside=(), never=("sudo reboot",)),
    # microsoft/WSL #9962: "GPU access blocked by the operating system".
    Case(
        "seen: WSL blocked by Windows",
        lambda: wsl().nvml(**{INIT: 17, "err.cuInit": 100}),
        "sys.wsl",
        beside=(),
        remedy=("wsl --shutdown",),
        never=("sudo reboot", "modprobe"),
    ),
    # podman after a driver upgrade: stat libcuda.so.570...: no such file.
    Case("seen: CDI of the old driver", _stale_cdi, "ctr.cdi_fresh", beside=(), remedy=("nvidia-ctk cdi generate",)),
    # CUDA error 805 on a workstation where MPS was stopped.
    Case("seen: MPS left its variable behind", _mps_left_behind, "cuda.init", beside=(), says=("805",)),
    # Fabric manager on a box without switches only fails.
    Case("seen: fabric manager without switches", _dgx_pcie, "fabric.manager", "warn", beside=()),
    # Two faults: a machine check is not a symptom of a lost GPU.
    Case(
        "seen: machine check and a lost GPU",
        _machine_check,
        "kernel.xid_fatal",
        leads="kernel.xid_fatal",
        beside=("kernel.taint",),
    ),
    # Two faults: no unified memory module, and a row that waits.
    Case("seen: no nvidia_uvm, and a broken row", _headless_group_and_uvm, "driver.uvm", beside=("gpu.remap_pending",)),
    # One of eight lost, the log closed.
    Case(
        "seen: one of eight lost, the log closed", _lost_without_a_log, "pci.count_vs_nvml", says=("GPU 6",), beside=()
    ),
    # NVML says unknown error on the host.
    Case("seen: unknown error on the host", lambda: _silent_daemon(l40s()), "driver.nvml_init", beside=()),
    # Two faults: a narrow link, and a hot GPU.
    Case("seen: half of the lanes", lambda: _lost_link(rtx5090()), "pci.link_width", "warn", beside=()),
    Case("seen: hot", lambda: _busy(l40s()), "gpu.throttle_now", beside=()),
    Case(
        "seen: hot and on half of the lanes",
        lambda: _busy(_lost_link(l40s())),
        "gpu.throttle_now",
        leads="gpu.throttle_now",
        beside=("pci.link_width",),
    ),
    # gpu-operator: the driver in a container of its own.
    Case(
        "seen: the driver comes in a container",
        _operator,
        "driver.nvml_init",
        "warn",
        beside=(),
        says=("/run/nvidia/driver",),
        never=("install",),
    ),
    # A kernel upgrade, and nouveau in place of the module that was not built.
    Case("seen: nouveau took over", _nouveau_took_over, "kernel.headers", beside=()),
    # Two faults at once on one box.
    Case("seen: a lost GPU and a port down", _two_at_once, "kernel.xid_fatal", beside=("ib.ports",)),
    # Lost three days ago, and still so.
    Case("seen: lost days ago", _lost_days_ago, "kernel.xid_fatal", beside=(), says=("3 days ago",)),
    # What fails today before what will fail.
    Case(
        "seen: lost now, no module next", _lost_and_next_kernel, "kernel.xid_fatal", beside=("kernel.next_boot_module",)
    ),
    # A full disk has nothing to do with a mismatch.
    Case("seen: mismatch and a full disk", _disk_and_mismatch, "driver.kmd_umd_match", beside=("sys.disk_free",)),
    # nvidia-smi -mig 1: "pending".
    Case("seen: MIG waits", _reset_pending_mig, "gpu.mig_state", beside=()),
    # nvidia-smi -c PROHIBITED, forgotten.
    Case("seen: compute prohibited", _prohibited, "gpu.compute_mode", beside=()),
    # torch.cuda.is_available() is False under a scheduler.
    Case("seen: devices hidden", _hidden, "cuda.visible_devices", beside=()),
    # "CUDA driver is a stub library".
    Case("seen: a stub comes first", _stub_and_module, "cuda.libcuda", beside=(), says=("stub",)),
    # A pod whose GPU fell off.
    Case(
        "seen: a pod whose GPU is lost",
        _pod_lost,
        "pci.count_vs_nvml",
        beside=(),
        remedy=("on the host of this container",),
        never=("sudo reboot",),
    ),
    # nvidia-container-toolkit: the host was upgraded under its containers.
    Case(
        "seen: a container of an upgraded host",
        _host_mismatch_in_container,
        "driver.kmd_umd_match",
        beside=(),
        remedy=("on the host",),
    ),
    # NVIDIA vGPU without unified memory, and without a licence.
    Case("seen: vGPU of the wrong kind", _vgpu, "kernel.xid_fatal", "warn", beside=()),
    # "exit code 137" of a data loader.
    Case("seen: killed for memory", _killed_for_memory, "kernel.oom", "warn", beside=()),
    # An ordinary user, and half of the facts closed.
    Case("seen: no nvidia_uvm, seen by an ordinary user", _not_root_and_no_uvm, "driver.uvm", beside=()),
    # The same mismatch on Grace.
    Case("seen: mismatch on Grace", _imex_like_mismatch_on_grace, "driver.kmd_umd_match", beside=()),
    # Laptop set to the processor's graphics.
    Case("seen: prime-select intel", _blacklisted, "driver.module_options", beside=()),
    # Everything fits, and the module is just not loaded.
    Case(
        "seen: nobody loaded the module",
        _only_modprobe,
        "driver.module_loaded",
        beside=(),
        remedy=("sudo modprobe nvidia",),
        never=("apt", "ubuntu-drivers"),
    ),
    # A GSP that does not answer, and a query that hangs.
    Case("seen: RPC timeouts and a hanging query", _thousand_lines, "kernel.xid_fatal", beside=(), says=("40 times",)),
    # A hypervisor: nothing is broken, and this system has no GPU to use.
    Case("seen: all GPUs are for guests", _all_passed_through, "pci.driver_binding", beside=()),
)


# --- boxes that look odd and are well


def _cloud_of_eight() -> Box:
    """A virtual machine with eight GPUs, whose host looks after the switches."""
    box = h100x8().file("/sys/class/dmi/id/sys_vendor", "Microsoft Corporation\n")
    box.file("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu sse hypervisor\n")
    for bus in ("05", "06", "07", "08"):
        box.without(f"{BUS}/0000:{bus}:00.0", f"/proc/driver/nvidia-nvswitch/devices/0000:{bus}:00.0")
    box.without("/lib/systemd/system/nvidia-fabricmanager.service").program("nv-fabricmanager", None)
    return box.answer("process nv-fabricmanager", False)


def _programs_fail() -> Box:
    """A student's program, a few times today."""
    return journal(
        l40s(),
        "NVRM: Xid (PCI:0000:41:00): 13, pid=1, name=python3, Graphics SM Warp Exception on (GPC 0, TPC 0, SM 0)",
        "NVRM: Xid (PCI:0000:41:00): 43, pid=1, name=python3, Ch 00000008",
        "NVRM: Xid (PCI:0000:c1:00): 31, pid=2, name=python3, Ch 00000010, intr 00000000. MMU Fault",
    )


def _other_rejected() -> Box:
    """Secure Boot kept VirtualBox's module out; the driver is signed by the distribution and loaded."""
    return journal(l40s(), "Loading of module with unavailable key is rejected")


WELL = (
    _cloud_of_eight,
    _programs_fail,
    _other_rejected,
    lambda: _asleep(rtx5090()),
    lambda: closed_log(l40s()),
    lambda: closed_log(h100x8()),
    _wsl_without_windows_driver,
    _jetson,
    lambda: distribution(l40s(), "linuxmint", "22", "ubuntu debian"),
    lambda: l40s().given(expected_gpus=2),
)
"""Healthy boxes that something about them could make look sick."""
