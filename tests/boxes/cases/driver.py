"""Sick machines of the area driver."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from provision.detect.memory import Look
from tests.boxes import NOW
from tests.boxes.healthy import (
    a100_mig,
    add_driver,
    container,
    cpu_only,
    gh200,
    h100x8,
    l40s,
    rtx3090_p40,
    rtx5090,
    t4,
    v100,
    wsl,
)
from tests.boxes.layers.boot import modinfo
from tests.boxes.layers.driver import packages

from . import Case

if TYPE_CHECKING:
    from tests.boxes import Box

INIT = "err.nvmlInitWithFlags"
_UBUNTU = "-0ubuntu0.24.04.1"
HISTORY = "driver upgrades in the history of apt"


def is_gpu(box: Box, folder: str) -> bool:
    kind = box.looks.get(("text", f"{folder}/class"))
    return kind is not None and str(kind.value).startswith("0x03")


def functions(box: Box) -> list[str]:
    """Folders of the box's NVIDIA GPUs on the bus."""
    names = box.looks["names", "/sys/bus/pci/devices"].value
    folders = [f"/sys/bus/pci/devices/{name}" for name in names]
    return [one for one in folders if is_gpu(box, one)]


def unbound(box: Box, driver: str | None = None) -> Box:
    """The GPUs without a kernel driver, or with another one."""
    for folder in functions(box):
        box.without(f"{folder}/driver")
        if driver:
            box.link(f"{folder}/driver", f"../../../bus/pci/drivers/{driver}")
    return box


def unloaded(box: Box, driver: str | None = None) -> Box:
    """The driver is installed and its module is not loaded."""
    modules = ("nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm")
    box.without(*(f"/sys/module/{name}" for name in modules), "/proc/driver/nvidia")
    for name in list(box.looks["names", "/dev"].value):
        if name.startswith("nvidia"):
            box.without(f"/dev/{name}")
    return unbound(box, driver).nvml(**{INIT: 9})


def bare(box: Box) -> Box:
    """No driver at all."""
    unloaded(box).library("libnvidia-ml.so.1", None).library("libcuda.so.1", None)
    box.answer("driver modules on disk", {box.kernel: ""}).command("dkms status", "")
    box.command("modinfo nvidia", returncode=1, stderr="modinfo: ERROR: Module nvidia not found.\n")
    box.command("modinfo nvidia-current", returncode=1, stderr="modinfo: ERROR: Module nvidia-current not found.\n")
    return packages(box, "dpkg-query").nvml(**{INIT: 12})


def with_release(box: Box, version: str, flavour: str, count: int = 1) -> Box:
    """The loaded module and the libraries are of that release and serve no GPU."""
    add_driver(box, version, flavour, count)
    box.nvml(driver=version, nvml=version, count=0).without("/proc/driver/nvidia/gpus")
    branch = version.split(".", maxsplit=1)[0]
    box.file(f"/lib/firmware/nvidia/{version}/gsp_ga10x.bin", "")
    box.answer("driver modules on disk", {box.kernel: "updates/dkms/nvidia.ko"})
    box.command("dkms status", f"nvidia/{version}, {box.kernel}, {box.arch}: installed\n")
    modinfo(box, version)
    return ubuntu(box, **{f"libnvidia-compute-{branch}": version, f"nvidia-dkms-{branch}": version})


def on_ubuntu() -> Box:
    """The V100 under another distribution."""
    box = v100().file("/etc/os-release", 'ID=ubuntu\nVERSION_ID="24.04"\nID_LIKE="debian"\n').without("/etc/dnf")
    return box.command("apt-mark showhold", "")


def ubuntu(box: Box, **versions: str) -> Box:
    """Driver packages of Ubuntu's archive."""
    return packages(box, "dpkg-query", *(f"ii \t{name}\t{version}{_UBUNTU}" for name, version in versions.items()))


def mismatched(box: Box, version: str) -> Box:
    """Libraries of another release than the loaded module."""
    lib = f"/usr/lib/{box.arch}-linux-gnu"
    box.library("libnvidia-ml.so.1", f"{lib}/libnvidia-ml.so.1", real=f"libnvidia-ml.so.{version}")
    box.library("libcuda.so.1", f"{lib}/libcuda.so.1", real=f"libcuda.so.{version}")
    return box.nvml(**{INIT: 18})


def upgraded_unattended() -> Box:
    box = mismatched(rtx5090(), "580.95.05")
    change = ["libnvidia-compute-580", "580.82.07-0ubuntu0.24.04.1", "580.95.05-0ubuntu0.24.04.1"]
    ubuntu(box, **{"libnvidia-compute-580": "580.95.05", "nvidia-dkms-580": "580.95.05"})
    # DKMS built the new module after this start.
    modinfo(box, "580.95.05", built_at=NOW - 3600.0)
    return box.answer(HISTORY, [["2026-11-20 06:12:33", True, *change]])


def old_initramfs() -> Box:
    box = mismatched(rtx5090(), "580.95.05")
    ubuntu(box, **{"libnvidia-compute-580": "580.95.05", "nvidia-dkms-580": "580.95.05"})
    return modinfo(box, "580.95.05")  # built a month before this start


def suse_drift() -> Box:
    box = mismatched(l40s(), "580.95.05").program("dpkg-query", None)
    box.file("/etc/os-release", 'ID=sles\nVERSION_ID="15.7"\nID_LIKE="suse"\n').without("/etc/apt")
    kmp = "nvidia-open-driver-G06-signed-cuda-kmp-default\t580.82.07_k6.4.0_150700.51-150700.3.1"
    return packages(box, "rpm", f"ii\t{kmp}", "ii\tnvidia-compute-G06\t580.95.05-0", "ii\tnvidia-settings\t580.95.05-0")


def two_origins() -> Box:
    lines = ("ii \tnvidia-driver-580\t580.82.07-0ubuntu1", f"ii \tlibnvidia-compute-580\t580.82.07{_UBUNTU}")
    return packages(rtx5090(), "dpkg-query", *lines)


def sources(box: Box, **files: str) -> Box:
    for name, text in files.items():
        box.file(f"/etc/apt/sources.list.d/{name}", text)
    return box


_TOOLKIT = "https://nvidia.github.io/libnvidia-container/stable/ubuntu18.04/$(ARCH) /"
_CUDA = "https://developer.download.nvidia.com/compute/cuda/repos"


def conflicting_keys() -> Box:
    key = "[signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg]"
    files = {
        "libnvidia-container.list": f"deb {_TOOLKIT}\n",
        "nvidia-container-toolkit.list": f"deb {key} {_TOOLKIT}\n",
    }
    return sources(l40s(), **files)


def debian13() -> Box:
    box = rtx3090_p40().file("/etc/os-release", 'ID=debian\nVERSION_ID="13"\n')
    key = "[signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg]"
    return sources(box, **{"cuda-debian12-x86_64.list": f"deb {key} {_CUDA}/debian12/x86_64/ /\n"})


def stuck(*, lasting: bool) -> Box:
    found = ["nvidia-smi (process 4711)"]
    return t4().answer("driver.blocked_processes", found).answer("driver.blocked_lasting", found if lasting else [])


def answers_slowly() -> Box:
    box = t4()
    memory: Any = box.around().memory
    look = memory._looks["command", "nvml health"]
    lines = [json.loads(line) for line in look.value["stdout"].splitlines()]
    for line in lines:
        if line.get("fact") == "sweep_s":
            line["value"] = 6.5
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    box.looks["command", "nvml health"] = Look("present", {**look.value, "stdout": text})
    return box


def with_runtime(box: Box) -> Box:
    return box.without("/dev/char").file("/usr/bin/nvidia-container-runtime", "")


def half_mig() -> Box:
    """Eight GPUs, one of them cut into instances, under a driver that lists such a mix wrongly."""
    return h100x8().nvml(**{"0.mig": 1, "0.mig_max": 7, "0.mig_instances": 1})


def server_edition() -> Box:
    """A board that its driver can't cut into instances yet."""
    box = with_release(rtx5090(), "575.57.08", "open").nvml(count=1)
    box.nvml(**{"0.name": "NVIDIA RTX PRO 6000 Blackwell Server Edition", "0.pci_device_id": "0x2BB510DE"})
    box.file(f"{functions(box)[0]}/device", "0x2bb5\n")
    return box.nvml(**{"*.gsp_version": "575.57.08", "0.mig": 1, "0.mig_max": 4, "0.mig_instances": 4})


def closed_nodes() -> Box:
    return t4().node("/dev/nvidia0", mode=0o660, may_open=False).nvml(**{INIT: 4})


def rebound() -> Box:
    box = t4()
    folder = functions(box)[0]
    return (
        unloaded(box).link(f"{folder}/driver", "../../../bus/pci/drivers/vfio-pci").folder("/sys/module/vfio_pci", "x")
    )


def nouveau() -> Box:
    box = unloaded(rtx5090(), "nouveau").file("/sys/module/nouveau/initstate", "live\n")
    return box.without("/etc/modprobe.d/blacklist-nouveau.conf")


_NVML = {
    "no-permission": (4, "refuses this user"),
    "not-loaded": (9, "no driver is loaded"),
    "no-library": (12, "is not found"),
    "gpu-lost": (15, "lost GPU"),
    "no-access": (17, "refuses this user"),
    "unknown": (999, "failed to start"),
}
"""Errors of nvmlInit on a box whose files all look right."""

CASES: tuple[Case, ...] = (
    # --- the module, the libraries, the nodes
    Case("no driver", lambda: bare(rtx5090()), "driver.module_loaded", pitfall=("no-driver",)),
    Case(
        "nothing on the bus though a GPU is expected",
        lambda: cpu_only().given(expected_gpus=1),
        "pci.gpu_present",
        pitfall=("gpu-not-on-pcie",),
    ),
    Case("module not loaded", lambda: unloaded(rtx5090()), "driver.module_loaded", says=("libraries are installed",)),
    Case("nouveau holds the GPU", nouveau, "driver.nouveau", pitfall=("nouveau-loaded",)),
    Case(
        "nouveau beside the driver",
        lambda: t4().file("/sys/module/nouveau/initstate", "live\n"),
        "driver.nouveau",
        "warn",
    ),
    Case("vfio-pci holds the GPU", rebound, "pci.driver_binding", pitfall=("gpu-bound-to-vfio",)),
    Case(
        "one GPU of two unbound",
        lambda: l40s().without("/sys/bus/pci/devices/0000:c1:00.0/driver").nvml(count=1),
        "pci.driver_binding",
        says=("0000:c1:00.0 is held by no driver",),
    ),
    Case(
        "libraries upgraded under the module",
        lambda: mismatched(rtx5090(), "580.95.05"),
        "driver.kmd_umd_match",
        pitfall=("driver-library-mismatch",),
    ),
    Case(
        "unattended upgrade of the libraries",
        upgraded_unattended,
        "driver.kmd_umd_match",
        pitfall=("unattended-upgrade-driver",),
        says=("an unattended upgrade", "2026-11-20"),
    ),
    Case(
        "old module in the initramfs",
        old_initramfs,
        "driver.kmd_umd_match",
        pitfall=("driver-library-mismatch-initramfs",),
        says=("initramfs still holds the old one",),
    ),
    Case(
        "libraries of the image hide the host's",
        lambda: mismatched(container(), "570.86.15"),
        "driver.kmd_umd_match",
        says=("this container's",),
    ),
    Case(
        "a node that is closed", closed_nodes, "driver.device_nodes", pitfall=("dev-node-permissions",), says=("0660",)
    ),
    Case(
        "a node too few",
        lambda: h100x8().without("/dev/nvidia7"),
        "driver.device_nodes",
        says=("7 of 8 GPUs have one",),
    ),
    Case(
        "no nvidia_uvm",
        lambda: t4().without("/sys/module/nvidia_uvm", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"),
        "driver.uvm",
        pitfall=("nvidia-uvm-missing",),
    ),
    Case(
        "no GPU granted",
        lambda: (
            container()
            .without("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
            .library("libnvidia-ml.so.1", None)
            .library("libcuda.so.1", None)
            .nvml(**{INIT: 12})
        ),
        "ctr.gpu_granted",
    ),
    Case(
        "Linux libraries in WSL",
        lambda: (
            wsl()
            .library(
                "libnvidia-ml.so.1", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", real="libnvidia-ml.so.580.82.07"
            )
            .library("libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", real="libcuda.so.580.82.07")
            .nvml(**{INIT: 9})
        ),
        "sys.wsl",
        pitfall=("wsl-linux-driver-installed",),
    ),
    Case(
        "WSL without its device",
        lambda: wsl().without("/dev/dxg").nvml(**{INIT: 17}),
        "sys.wsl",
        pitfall=("wsl-gpu-blocked-by-os",),
    ),
    # --- NVML
    *(
        Case(
            f"NVML starts with error {code}",
            lambda code=code: t4().nvml(**{INIT: code}),
            "driver.nvml_init",
            says=(said,),
        )
        for code, said in _NVML.values()
    ),
    Case(
        "NVML does not come back",
        lambda: t4().nvml(**{"sleep.nvmlInitWithFlags": 30}),
        "driver.nvml_init",
        "timed-out",
    ),
    Case("NVML crashes", lambda: t4().nvml(**{"crash.nvmlInitWithFlags": 1}), "driver.nvml_init", says=("crashed",)),
    Case(
        "gpusetup lacks pynvml", lambda: t4().answer("module pynvml", None), "driver.nvml_init", says=("Python module",)
    ),
    Case("a GPU is lost", lambda: h100x8().nvml(**{"3.err.*": 15}), "pci.count_vs_nvml", says=("GPU 3",)),
    Case("slow answers", answers_slowly, "driver.query_latency", "warn", says=("6.5 s",)),
    Case("stuck for a moment", lambda: stuck(lasting=False), "driver.dstate", "warn"),
    Case("stuck for good", lambda: stuck(lasting=True), "driver.dstate", says=("nvidia-smi (process 4711)",)),
    # --- modes
    Case(
        "MIG without instances",
        lambda: a100_mig().nvml(**{"0.mig_instances": 0}),
        "gpu.mig_state",
        pitfall=("mig-enabled-no-instances",),
    ),
    Case(
        "MIG waits for a reset",
        lambda: a100_mig().nvml(**{"0.mig_pending": 0}),
        "gpu.mig_state",
        pitfall=("mig-change-pending",),
    ),
    Case("compute prohibited", lambda: t4().nvml(**{"*.compute_mode": 2}), "gpu.compute_mode"),
    Case(
        "exclusive process",
        lambda: t4().nvml(**{"*.compute_mode": 3}),
        "gpu.compute_mode",
        "warn",
        pitfall=("exclusive-process-mode",),
    ),
    Case(
        "CUDA_VISIBLE_DEVICES is empty",
        lambda: t4().variable("CUDA_VISIBLE_DEVICES", ""),
        "cuda.visible_devices",
        pitfall=("cuda-visible-devices-empty",),
    ),
    Case(
        "CUDA_VISIBLE_DEVICES is out of range",
        lambda: t4().variable("CUDA_VISIBLE_DEVICES", "1"),
        "cuda.visible_devices",
        pitfall=("invalid-device-ordinal",),
    ),
    # --- the release
    Case("branch past its end", lambda: t4("535.183.01"), "driver.branch_life", "warn", says=("535", "2026-06-01")),
    Case(
        "GPU dropped by the branch",
        lambda: with_release(on_ubuntu(), "595.91.07", "proprietary"),
        "driver.arch_supported",
        pitfall=("gpu-dropped-by-driver-branch",),
        says=("branch 580 or older",),
    ),
    Case(
        "GPU newer than the driver",
        lambda: with_release(rtx5090(), "550.163.01", "open"),
        "driver.arch_supported",
        says=("570.86.15 or newer",),
    ),
    Case(
        "open module needed",
        lambda: with_release(rtx5090(), "580.82.07", "proprietary"),
        "driver.open_module",
        pitfall=("open-modules-required",),
    ),
    Case(
        "open module needed and not loaded",
        lambda: modinfo(unloaded(gh200()), "580.82.07", licence="NVIDIA"),
        "driver.open_module",
    ),
    Case(
        "open module on an old GPU",
        lambda: with_release(on_ubuntu(), "580.82.07", "open"),
        "driver.open_module",
        pitfall=("open-modules-unsupported",),
    ),
    Case("MIG beside whole GPUs", half_mig, "driver.denylist", "warn", pitfall=("mig-mixed-570-regression",)),
    Case(
        "board without MIG under this driver",
        server_edition,
        "driver.denylist",
        "warn",
        pitfall=("rtx-pro-6000-se-mig",),
        says=("575.57.08",),
    ),
    # --- packages
    Case(
        "module and libraries drift apart", suse_drift, "driver.package_mix", pitfall=("sles-userspace-kmp-mismatch",)
    ),
    Case(
        "installer and packages",
        lambda: rtx5090().file("/usr/bin/nvidia-uninstall", ""),
        "driver.package_mix",
        "warn",
        pitfall=("runfile-and-package-mixed",),
    ),
    Case("two package sources", two_origins, "driver.package_mix", "warn", pitfall=("mixed-archive-and-nvidia-repo",)),
    Case(
        "package half installed",
        lambda: packages(rtx5090(), "dpkg-query", f"iF \tnvidia-dkms-580\t580.82.07{_UBUNTU}"),
        "driver.package_mix",
        "warn",
    ),
    Case(
        "two keys for one address",
        conflicting_keys,
        "driver.package_mix",
        "warn",
        pitfall=("toolkit-repo-conflicting-signed-by",),
    ),
    Case("repository of Debian 12", debian13, "driver.package_mix", "warn", pitfall=("debian13-sha1-key",)),
    Case(
        "repository without its key",
        lambda: sources(l40s(), **{"cuda.list": f"deb {_CUDA}/ubuntu2204/x86_64/ /\n"}),
        "driver.package_mix",
        "warn",
        pitfall=("cuda-repo-gpg-key-rotated",),
    ),
    Case(
        "transitional package",
        lambda: ubuntu(rtx5090(), **{"nvidia-driver-570": "580.82.07", "libnvidia-compute-580": "580.82.07"}),
        "driver.wanted_vs_installed",
        "warn",
        says=("nvidia-driver-570",),
    ),
    Case(
        "stream of another branch",
        lambda: v100().file(
            "/etc/dnf/modules.d/nvidia-driver.module", "[nvidia-driver]\nstream=570-dkms\nstate=enabled\n"
        ),
        "driver.wanted_vs_installed",
        "warn",
        pitfall=("rhel-modular-filtering",),
    ),
    Case(
        "upgraded unattended before",
        lambda: rtx5090().answer(
            HISTORY, [["2026-11-02 06:12:33", True, "libnvidia-compute-580", "580.65.06", "580.82.07"]]
        ),
        "driver.packages_held",
        "warn",
    ),
    # --- set-up
    Case(
        "persistence mode off",
        lambda: h100x8().nvml(**{"*.persistence": 0}),
        "driver.persistence",
        "warn",
        pitfall=("persistence-mode-off",),
    ),
    Case(
        "no firmware",
        lambda: rtx5090().without("/lib/firmware/nvidia").nvml(count=0),
        "driver.gsp",
        pitfall=("gsp-firmware-missing",),
    ),
    Case("firmware of another release", lambda: l40s().nvml(**{"*.gsp_version": "570.86.15"}), "driver.gsp", "warn"),
    Case("firmware switched off", lambda: l40s().nvml(**{"*.gsp": 0}), "driver.gsp", "warn"),
    Case("no links in /dev/char", lambda: with_runtime(l40s()), "driver.dev_char_links", "warn"),
    Case(
        "a desktop on a server",
        lambda: l40s().nvml(**{"0.graphics_procs": 1}),
        "driver.graphics_clients",
        "warn",
        pitfall=("module-in-use-cannot-unload",),
    ),
    Case(
        "option not in effect",
        lambda: t4().file("/etc/modprobe.d/nvidia.conf", "options nvidia NVreg_DeviceFileMode=0660\n"),
        "driver.module_options",
        "warn",
        says=("DeviceFileMode is 438",),
    ),
    Case(
        "laptop with its GPU switched off",
        lambda: unloaded(rtx5090()).file("/usr/lib/modprobe.d/blacklist-nvidia.conf", "blacklist nvidia\n"),
        "driver.module_options",
        pitfall=("laptop-hybrid-powered-off",),
    ),
    Case(
        "NVML says that releases differ where names agree",
        lambda: l40s().nvml(**{"err.nvmlInitWithFlags": 18, "err.nvmlInit_v2": 18}),
        "driver.kmd_umd_match",
        says=("the names of both files say 580.82.07",),
    ),
)
