"""One healthy machine of each kind. What an area of the checks looks at is added by its layer in `layers/`."""

from __future__ import annotations

from importlib import import_module

from . import Box

_CUDA = {"470": 11040, "535": 12020, "550": 12040, "570": 12080, "580": 13000, "595": 13020}
"""CUDA release of a driver branch, as NVML writes it."""
LAYERS = (
    "pci",
    "driver",
    "boot",
    "kernel_log",
    "cuda",
    "variables",
    "python_packages",
    "containers",
    "fabric",
    "network",
    "system",
    "gpu",
)


def _machine(
    name: str,
    profile: str | None,
    *,
    driver: str,
    devices: dict[str, str],
    flavour: str = "open",
    os: tuple[str, str, str] = ("ubuntu", "24.04", "debian"),
    arch: str = "x86_64",
    kernel: str = "6.8.0-79-generic",
    virtualization: str | None = None,
) -> Box:
    """A Linux machine with the NVIDIA driver: `devices` is PCI device id by bus id."""
    box = Box(name, profile=profile, kernel=kernel, arch=arch)
    box.file("/etc/os-release", f'ID={os[0]}\nVERSION_ID="{os[1]}"\nID_LIKE="{os[2]}"\n')
    box.file("/proc/version", f"Linux version {kernel} (gcc 13.3.0)\n").folder("/proc/self", "cgroup")
    box.file("/proc/self/cgroup", "0::/user.slice\n").file("/proc/sys/kernel/osrelease", f"{kernel}\n")
    box.answer(
        "python.interpreters",
        [["running interpreter", "3.12.3", "cpython", False, "/usr/bin/python3.12", "/usr/bin/python3.12"]],
    )
    box.answer("driver.blocked_processes", [])
    _processor(box, virtualization)
    for bus_id, device in devices.items():
        pci(box, bus_id, device, driver="nvidia")
    if driver:
        add_driver(box, driver, flavour, len(devices))
        places = {f"{index}.pci": bus_id.split(".")[0] for index, bus_id in enumerate(devices)}
        box.nvml(driver=driver, nvml=driver, cuda=_CUDA[driver.split(".", maxsplit=1)[0]], count=len(devices), **places)
    return box


def _processor(box: Box, virtualization: str | None) -> None:
    """Marks by which detection knows a virtual machine."""
    flags = " hypervisor" if virtualization else ""
    box.file("/proc/cpuinfo", f"processor\t: 0\nflags\t\t: fpu sse{flags}\n")
    names = {"amazon": "Amazon EC2", "kvm": "QEMU", None: "Supermicro"}
    box.file("/sys/class/dmi/id/sys_vendor", f"{names[virtualization]}\n")


def pci(
    box: Box, bus_id: str, device: str, *, driver: str | None, class_code: str = "0x030200", vendor: str = "0x10de"
) -> Box:
    """One PCI function."""
    folder = f"/sys/bus/pci/devices/{bus_id}"
    box.file(f"{folder}/vendor", f"{vendor}\n")
    box.file(f"{folder}/device", f"0x{device}\n")
    box.file(f"{folder}/class", f"{class_code}\n")
    if driver:
        box.link(f"{folder}/driver", f"../../../bus/pci/drivers/{driver}")
    return box


def add_driver(box: Box, version: str, flavour: str, count: int) -> Box:
    """Loaded modules, device nodes and user libraries of one release."""
    lib = f"/usr/lib/{box.arch}-linux-gnu"
    words = f"Open Kernel Module for {box.arch}" if flavour == "open" else f"{box.arch} Kernel Module"
    box.file("/sys/module/nvidia/version", f"{version}\n")
    box.file(
        "/proc/driver/nvidia/version",
        f"NVRM version: NVIDIA UNIX {words}  {version}  Release Build\nGCC version:  gcc 13.3.0\n",
    )
    for module in ("nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm"):
        box.file(f"/sys/module/{module}/initstate", "live\n").file(f"/sys/module/{module}/refcnt", "0\n")
    for number in range(count):
        box.node(f"/dev/nvidia{number}", minor=number)
    box.node("/dev/nvidiactl", minor=255).node("/dev/nvidia-uvm", major=510).node(
        "/dev/nvidia-uvm-tools", major=510, minor=1
    )
    box.library("libnvidia-ml.so.1", f"{lib}/libnvidia-ml.so.1", real=f"libnvidia-ml.so.{version}")
    box.library("libcuda.so.1", f"{lib}/libcuda.so.1", real=f"libcuda.so.{version}")
    return box


def t4(driver: str = "580.82.07") -> Box:
    """A cloud instance with one T4."""
    return _layered(
        _machine(
            "t4",
            "t4",
            driver=driver,
            devices={"0000:00:1e.0": "1eb8"},
            flavour="proprietary",
            os=("ubuntu", "22.04", "debian"),
            kernel="6.5.0-1024-aws",
            virtualization="amazon",
        )
    )


def v100() -> Box:
    """A server with one V100 and the last branch that serves it."""
    return _layered(
        _machine(
            "v100",
            "v100",
            driver="580.82.07",
            devices={"0000:3b:00.0": "1db5"},
            flavour="proprietary",
            os=("rhel", "9.4", "fedora"),
            kernel="5.14.0-427.el9.x86_64",
        )
    )


def a100_mig() -> Box:
    """A server with an A100 cut into MIG instances."""
    return _layered(_machine("a100-mig", "a100-mig", driver="580.82.07", devices={"0000:01:00.0": "20b2"}))


def h100x8() -> Box:
    """An HGX server: eight H100 behind four NVSwitches."""
    buses = ("1b", "43", "52", "61", "9d", "c3", "d1", "df")
    box = _machine("h100x8", "h100x8", driver="570.124.06", devices={f"0000:{bus}:00.0": "2330" for bus in buses})
    for bus in ("05", "06", "07", "08"):
        pci(box, f"0000:{bus}:00.0", "22a3", driver="nvidia-nvswitch", class_code="0x068000")
    return _layered(box)


def l40s() -> Box:
    """A server with two L40S."""
    devices = {"0000:41:00.0": "26b9", "0000:c1:00.0": "26b9"}
    return _layered(_machine("l40s", "l40s", driver="580.82.07", devices=devices))


def rtx3090_p40() -> Box:
    """A workstation with GPUs of two generations."""
    return _layered(
        _machine(
            "rtx3090-p40",
            "rtx3090-p40",
            driver="570.86.15",
            devices={"0000:01:00.0": "2204", "0000:02:00.0": "1b38"},
            flavour="proprietary",
            os=("debian", "12", ""),
            kernel="6.1.0-38-amd64",
        )
    )


def rtx5090() -> Box:
    """A desktop with an RTX 5090."""
    return _layered(_machine("rtx5090", "rtx5090", driver="580.82.07", devices={"0000:01:00.0": "2b85"}))


def gh200() -> Box:
    """An aarch64 server with a Grace Hopper board."""
    return _layered(
        _machine(
            "gh200",
            "gh200",
            driver="580.82.07",
            devices={"0009:01:00.0": "2342"},
            arch="aarch64",
            kernel="6.8.0-1021-nvidia-64k",
        )
    )


def cpu_only() -> Box:
    """A server that never had a GPU."""
    return _layered(_machine("cpu-only", None, driver="", devices={}))


def container() -> Box:
    """A container on a host with an L40S that was granted to it."""
    box = _machine(
        "c0ffee123456", "l40s", driver="580.82.07", devices={"0000:41:00.0": "26b9"}, os=("ubuntu", "22.04", "debian")
    )
    box.file("/.dockerenv", "").nvml(count=1)
    return _layered(box)


def wsl() -> Box:
    """Ubuntu under WSL 2 with the driver of Windows."""
    box = Box("laptop", profile="rtx5090", kernel="5.15.167.4-microsoft-standard-WSL2")
    box.file("/etc/os-release", 'ID=ubuntu\nVERSION_ID="24.04"\nID_LIKE="debian"\n')
    box.node("/dev/dxg", major=10, minor=125)
    box.file("/usr/lib/wsl/lib/libnvidia-ml.so.1", "").file("/usr/lib/wsl/lib/libcuda.so.1", "")
    box.library("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1", real="libnvidia-ml.so.1")
    box.library("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", real="libcuda.so.1.1")
    box.answer(
        "python.interpreters",
        [["running interpreter", "3.12.3", "cpython", False, "/usr/bin/python3.12", "/usr/bin/python3.12"]],
    )
    box.answer("driver.blocked_processes", [])
    _processor(box, "kvm")
    return _layered(box)


BOXES = (t4, v100, a100_mig, h100x8, l40s, rtx3090_p40, rtx5090, gh200, cpu_only, container, wsl)


def _layered(box: Box) -> Box:
    for name in LAYERS:
        import_module(f"tests.boxes.layers.{name}").add(box)
    return box
