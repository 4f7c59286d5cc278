"""Ordinary machines: what people really have, odd in one way or another and well all the same.

None of them may get a warning or a failure. Facts are those of real machines: names and sizes of instances, what their
images install, lines of their kernel logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.boxes.layers import boot, containers, driver, fabric, kernel_log, python_packages, system
from tests.boxes.layers import pci as bus

from . import healthy

if TYPE_CHECKING:
    from . import Box

GIB = 2**30
DEBIAN = ("debian", "12", "")
AMAZON = ("amzn", "2023", "fedora")
ORACLE = ("ol", "9.5", "fedora")
UBUNTU = ("ubuntu", "22.04", "debian")
NOBLE = ("ubuntu", "24.04", "debian")
T4 = ("Tesla T4", "1eb8", 7.5, 16)
V100 = ("Tesla V100-SXM2-32GB", "1db5", 7.0, 32)
A100 = ("NVIDIA A100-SXM4-40GB", "20b0", 8.0, 40)
H100 = ("NVIDIA H100 80GB HBM3", "2330", 9.0, 80)
L4 = ("NVIDIA L4", "27b8", 8.9, 23)
A10G = ("NVIDIA A10G", "2237", 8.6, 24)
DESKTOP = ("3", ("powersave", "intel_pstate"))
SERVER = ("23", ("performance", "intel_pstate"))


def _ordinary(
    name: str,
    profile: str | None,
    board: tuple[str, str, float, int] | None = None,
    *buses: str,
    release: str = "580.126.09",
    cpus: int = 32,
    nodes: int = 1,
    memory: int = 128,
    chassis: tuple[str, tuple[str, str] | None] = SERVER,
    torch: tuple[str, str] = ("2.13.0", "cu126"),
    vendor: str | None = None,
    product: str | None = None,
    container: str | None = None,
    **more: Any,
) -> Box:
    """A machine with that many boards of a kind, layered as the healthy ones are."""
    virtualization = more.get("virtualization")
    system.SHAPES[name] = (cpus, nodes, memory, None if virtualization else chassis[1], chassis[0])
    python_packages.BUILDS[name] = torch
    devices = {f"0000:{one}.0" if one.count(":") == 1 else f"{one}.0": board[1] for one in buses} if board else {}
    box = healthy._machine(name, profile, driver=release if board else "", devices=devices, **more)
    if board:
        for index in range(len(devices)):
            box.nvml(
                **{
                    f"{index}.name": board[0],
                    f"{index}.uuid": f"GPU-{index:08d}-0000-0000-0000-000000000000",
                    f"{index}.pci_device_id": f"0x{board[1].upper()}10DE",
                    f"{index}.cc": board[2],
                    f"{index}.mem_total": board[3] * GIB,
                    f"{index}.numa_affinity": "0x1",
                }
            )
    if vendor:
        box.file("/sys/class/dmi/id/sys_vendor", f"{vendor}\n")
    if product:
        box.file("/sys/class/dmi/id/product_name", f"{product}\n")
    if container:
        box.file("/.dockerenv", "")
        box.file("/proc/self/cgroup", "0::/\n")
    if container == "kubernetes":
        box.variable("KUBERNETES_SERVICE_HOST", None)
    healthy._layered(box)
    if board and release >= "510" and board[2] >= 7.5:
        box.nvml(**{"*.gsp_version": release})
    return box


def _runfile(box: Box) -> Box:
    """The driver of NVIDIA's own installer: no package of any manager brings it."""
    box.file("/usr/bin/nvidia-uninstall", "")
    name = "rpm" if ("exists", "/etc/dnf") in box.looks else "dpkg-query"
    return driver.packages(box, name)


def _rpm(box: Box, *names: str) -> Box:
    box.without("/etc/apt").folder("/etc/dnf").program("dpkg-query", None).program("apt-mark", None)
    for line in [key for kind, key in box.looks if kind == "command" and key.startswith(("dpkg-query", "apt-mark"))]:
        box.without_command(line)
    return driver.packages(box, "rpm", *(f"ii\t{name}" for name in names))


def _log(box: Box, *lines: str | tuple[float, str], uptime_s: float | None = None) -> Box:
    kernel_log.journal(box, *lines)
    if uptime_s:
        box.file("/proc/uptime", f"{uptime_s} {uptime_s * 20}\n")
    return box


# --- instances of clouds


def gcp_g2() -> Box:
    """g2-standard-4 of Google: one L4, Debian 12, persistence off as their images have it."""
    box = _ordinary(
        "gcp-g2", "l40s", L4, "00:03", cpus=4, memory=16, chassis=("1", None), virtualization="kvm", os=DEBIAN,
        kernel="6.1.0-40-cloud-amd64", vendor="Google", product="Google Compute Engine", torch=("2.13.0", "cu130"),
    )  # fmt: skip
    return _runfile(box).nvml(**{"*.persistence": 0, "*.virtualization": 1, "*.power_limit_mw": 72000,
                                 "*.power_default_mw": 72000})  # fmt: skip


def gcp_a2() -> Box:
    """a2-highgpu-4g of Google: four A100 on NVLink, whose switches the guest does not see."""
    box = _ordinary(
        "gcp-a2", "a100x2", A100, "00:04", "00:05", "80:04", "80:05", cpus=48, nodes=2, memory=340,
        chassis=("1", None), virtualization="kvm", os=DEBIAN, kernel="6.1.0-40-cloud-amd64", vendor="Google",
        product="Google Compute Engine",
    )  # fmt: skip
    box.file("/sys/devices/system/node/has_cpu", "0-1\n")
    for bus_id in ("00:04", "00:05", "80:04", "80:05"):
        box.file(f"/sys/bus/pci/devices/0000:{bus_id}.0/numa_node", "-1\n")
    return box.nvml(**{"*.nvlinks": 12, "*.virtualization": 1, "*.persistence": 0})


def gcp_a3() -> Box:
    """a3-highgpu-8g of Google: eight H100, Container-Optimized OS."""
    buses = ("04:00", "05:00", "0a:00", "0b:00", "84:00", "85:00", "8a:00", "8b:00")
    box = _ordinary(
        "gcp-a3", "h100x8", H100, *buses, cpus=208, nodes=2, memory=1872, chassis=("1", None), virtualization="kvm",
        os=("cos", "121", ""), kernel="6.6.105+", vendor="Google", product="Google Compute Engine",
    )  # fmt: skip
    box.without("/etc/apt", "/boot", "/usr/bin/unattended-upgrade").program("dpkg-query", None).program("dkms", None)
    return box.nvml(**{"*.virtualization": 1})


def aws_g4dn() -> Box:
    """g4dn.xlarge of Amazon: one T4 under Amazon Linux 2023 with NVIDIA's packages."""
    box = _ordinary(
        "aws-g4dn", "t4", T4, "00:1e", cpus=4, memory=16, chassis=("1", None), virtualization="amazon", os=AMAZON,
        kernel="6.1.155-176.282.amzn2023.x86_64", torch=("2.13.0", "cu130"),
    )  # fmt: skip
    _rpm(
        box,
        "nvidia-driver\t3:580.126.09-1.amzn2023",
        "nvidia-driver-cuda\t3:580.126.09-1.amzn2023",
        "nvidia-driver-cuda-libs\t3:580.126.09-1.amzn2023",
        "kmod-nvidia-open-dkms\t3:580.126.09-1.amzn2023",
        "nvidia-container-toolkit\t1.18.1-1",
    )
    # 256 MiB is what a T4 has.
    return box.nvml(**{"*.virtualization": 1, "*.bar1_total": 256 * 2**20, "*.persistence": 0})


def aws_g5() -> Box:
    """g5.xlarge of Amazon: an A10G, Ubuntu's deep learning image, with a desktop over DCV."""
    box = _ordinary(
        "aws-g5", "l40s", A10G, "00:1e", cpus=4, memory=16, chassis=("1", None), virtualization="amazon", os=UBUNTU,
        kernel="6.8.0-1041-aws", torch=("2.13.0", "cu130"),
    )  # fmt: skip
    return _runfile(box).nvml(
        **{"*.virtualization": 1, "*.power_limit_mw": 300000, "*.power_default_mw": 300000, "*.clock.0": 1710}
    )


def aws_p4d() -> Box:
    """p4d.24xlarge of Amazon: eight A100 and their switches passed through, EFA adapters, fabric manager."""
    buses = ("10:1c", "10:1d", "20:1c", "20:1d", "90:1c", "90:1d", "a0:1c", "a0:1d")
    box = _ordinary(
        "aws-p4d", "h100x8", A100, *buses, cpus=96, nodes=2, memory=1152, chassis=("1", None),
        virtualization="amazon", os=AMAZON, kernel="6.1.155-176.282.amzn2023.x86_64",
    )  # fmt: skip
    box.nvml(**{"*.nvlinks": 12, "*.virtualization": 1, "*.fabric": None, "*.pcie_gen_max": 4})
    for bus_id in ("e0:1c", "e0:1d", "e0:1e", "e0:1f", "e0:1a", "e0:1b"):
        healthy.pci(box, f"0000:{bus_id}.0", "1af1", driver="nvidia-nvswitch", class_code="0x068000")
    fabric.manager(box, release="580.126.09")
    box.answer("process nv-fabricmanager", True)
    for number in range(4):
        name = f"rdmap{16 + number}s27"
        box.file(f"/sys/class/infiniband/{name}/fw_ver", "0.0.0.0\n")
        folder = f"/sys/class/infiniband/{name}/ports/1"
        box.file(f"{folder}/link_layer", "Unknown\n").file(f"{folder}/state", "4: ACTIVE\n")
        box.file(f"{folder}/phys_state", "5: LinkUp\n").file(f"{folder}/rate", "100 Gb/sec (4X EDR)\n")
    box.node("/dev/infiniband/uverbs0", major=231, minor=192).answer("limit memlock", 8388608)
    return _rpm(box, "nvidia-driver-cuda-libs\t3:580.126.09-1.amzn2023", "kmod-nvidia-latest-dkms\t3:580.126.09-1")


def azure_nd_h100() -> Box:
    """ND96isr H100 v5 of Azure: eight H100, eight InfiniBand functions, no switch in the guest's sight, HPC image."""
    buses = tuple(f"000{number}:00:00" for number in range(1, 9))
    box = _ordinary(
        "azure-h100", "h100x8", H100, *buses, cpus=96, nodes=2, memory=1900, chassis=("3", None),
        virtualization="kvm", os=UBUNTU, kernel="5.15.0-1096-azure", vendor="Microsoft Corporation",
        product="Virtual Machine", release="580.95.05",
    )  # fmt: skip
    for number in range(8):
        fabric.card(box, f"mlx5_{number}", board="MT_0000000838", firmware="28.39.3560")
        fabric.port(box, f"mlx5_{number}", 1, rate="400 Gb/sec (4X NDR)")
    fabric.card(box, "mlx5_8", board="MSF0010110035", firmware="16.30.5000")
    fabric.port(box, "mlx5_8", 1, layer="Ethernet", rate="100 Gb/sec (4X EDR)")
    fabric.verbs(box, 9).file("/sys/module/nvidia_peermem/refcnt", "0\n")
    return box.nvml(**{"*.virtualization": 1})


def azure_nc_t4() -> Box:
    """NC4as T4 v3 of Azure, an hour after its start: Ubuntu with packages of Microsoft's extension."""
    return _ordinary(
        "azure-t4", "t4", T4, "0001:00:00", cpus=4, memory=28, chassis=("3", None), virtualization="kvm",
        os=UBUNTU, kernel="6.8.0-1041-azure", vendor="Microsoft Corporation", product="Virtual Machine",
    ).nvml(**{"*.persistence": 0, "*.virtualization": 1, "*.bar1_total": 256 * 2**20, "*.ecc": 1})  # fmt: skip


def azure_nv_vgpu() -> Box:
    """NV12ads A10 v5 of Azure: a third of an A10 as a licensed virtual GPU."""
    box = _ordinary(
        "azure-vgpu", "l40s", ("NVIDIA A10-8Q", "2236", 8.6, 8), "0002:00:00", cpus=12, memory=110,
        chassis=("3", None), virtualization="kvm", os=UBUNTU, kernel="6.8.0-1041-azure",
        vendor="Microsoft Corporation", product="Virtual Machine", torch=("2.13.0", "cu130"), release="580.105.08",
        flavour="proprietary",
    )  # fmt: skip
    return _runfile(box).nvml(
        **{
            "*.virtualization": 2, "*.licence": "1,1,1,2,2027,1,31", "*.persistence": 1, "*.ecc": 0, "*.gsp": 0,
            "*.gsp_default": 0, "*.licence_product": "NVIDIA RTX Virtual Workstation", "*.bar1_total": 256 * 2**20,
            "*.temp_c": None, "*.power_mw": None, "*.power_limit_mw": None, "*.mem_used": 900 * 2**20,
        }
    )  # fmt: skip


def oracle_h100() -> Box:
    """BM.GPU.H100.8 of Oracle: bare metal, Oracle Linux, sixteen RoCE ports."""
    box = _ordinary(
        "bm-gpu-h100", "h100x8", H100, "0f:00", "2d:00", "44:00", "5b:00", "89:00", "a8:00", "c0:00", "d8:00",
        cpus=224, nodes=2, memory=2048, os=ORACLE, kernel="5.15.0-312.187.5.3.el9uek.x86_64",
    )  # fmt: skip
    for number in ("05", "06", "07", "08"):
        healthy.pci(box, f"0000:{number}:00.0", "22a3", driver="nvidia-nvswitch", class_code="0x068000")
    fabric.manager(box, release="580.126.09").answer("process nv-fabricmanager", True)
    for number in range(18):
        fabric.card(box, f"mlx5_{number}", board="ORC0000000007", firmware="28.41.1000")
        fabric.port(box, f"mlx5_{number}", 1, layer="Ethernet", rate="200 Gb/sec (2X NDR)")
    fabric.verbs(box, 18)
    return _rpm(
        box,
        "nvidia-driver-cuda-libs\t3:580.126.09-1.el9",
        "kmod-nvidia-open-dkms\t3:580.126.09-1.el9",
        "nvidia-fabricmanager\t580.126.09-1",
    )


def lambda_h100() -> Box:
    """One H100 of an HGX board in a virtual machine: its NVLinks are off, its fabric is not there."""
    return _ordinary(
        "lambda-h100", "h100x8", H100, "07:00", cpus=26, memory=225, chassis=("1", None), virtualization="kvm",
        os=UBUNTU, kernel="6.8.0-87-generic",
    ).nvml(**{"*.nvlink.*": 0, "*.nvlinks": 0, "*.virtualization": 1, "*.fabric": None})  # fmt: skip


# --- containers and shared machines


def runpod() -> Box:
    """Two RTX 4090 of six in a rented container: the host's bus is in sight, the other boards are not."""
    box = _ordinary(
        "3f9d8c7b6a51", "rtx5090", ("NVIDIA GeForce RTX 4090", "2684", 8.9, 24), "41:00", "81:00", cpus=64,
        memory=256, os=UBUNTU, container="docker", torch=("2.13.0", "cu130"), chassis=("23", None),
    )  # fmt: skip
    for number in ("01", "21", "a1", "c1"):
        healthy.pci(box, f"0000:{number}:00.0", "2684", driver="nvidia")
    box.variable("NVIDIA_VISIBLE_DEVICES", None).answer("cpu.affinity", "0-63")
    box.file("/sys/fs/cgroup/cpu.max", "1600000 100000\n").file("/sys/fs/cgroup/memory.max", f"{100 * GIB}\n")
    box.file("/sys/fs/cgroup/memory.current", f"{9 * GIB}\n")
    return box.nvml(**{"*.power_limit_mw": 450000, "*.power_default_mw": 450000, "*.persistence": 0, "topology": 40})


def colab() -> Box:
    """A notebook with a T4: a container of two processors, its driver libraries mounted, no systemd."""
    box = _ordinary(
        "a1b2c3d4e5f6", "t4", T4, "00:04", cpus=2, memory=13, os=UBUNTU, container="docker", virtualization="kvm",
        kernel="6.6.105+", vendor="Google", product="Google Compute Engine", release="580.82.07",
    )  # fmt: skip
    box.without("/sys/bus/pci/devices/0000:00:04.0/resource", "/etc/apt")
    box.library("libcuda.so.1", "/usr/lib64-nvidia/libcuda.so.1", real="libcuda.so.580.82.07", source="LD_LIBRARY_PATH")
    box.library(
        "libnvidia-ml.so.1", "/usr/lib64-nvidia/libnvidia-ml.so.1", real="libnvidia-ml.so.580.82.07",
        source="LD_LIBRARY_PATH",
    )  # fmt: skip
    return box.nvml(**{"*.persistence": 0, "*.virtualization": 1, "*.bar1_total": 256 * 2**20})


def pod_with_slice() -> Box:
    """A pod that was granted one MIG instance of one A100 of four, with 2 processors and 16 GiB."""
    box = _ordinary(
        "jupyter-ada", "a100-mig", ("NVIDIA A100-SXM4-80GB", "20b2", 8.0, 80), "47:00",
        cpus=128, nodes=2, memory=1024, os=UBUNTU, container="kubernetes",
    )  # fmt: skip
    for number in ("07", "87", "c7"):
        healthy.pci(box, f"0000:{number}:00.0", "20b2", driver="nvidia")
    box.file("/sys/fs/cgroup/cpu.max", "200000 100000\n").file("/sys/fs/cgroup/memory.max", f"{16 * GIB}\n")
    box.file("/sys/fs/cgroup/memory.current", f"{2 * GIB}\n")
    return box.nvml(**{"*.persistence": 1, "*.gsp_version": "580.126.09"})


def pod_with_one_of_eight() -> Box:
    """A pod with one H100 of eight, 16 processors and 200 GiB."""
    box = _ordinary(
        "trainer-0", "h100x8", H100, "1b:00", cpus=224, nodes=2, memory=2048, os=UBUNTU, container="kubernetes",
    )  # fmt: skip
    for number in ("43", "52", "61", "9d", "c3", "d1", "df"):
        healthy.pci(box, f"0000:{number}:00.0", "2330", driver="nvidia")
    for number in ("05", "06", "07", "08"):
        healthy.pci(box, f"0000:{number}:00.0", "22a3", driver="nvidia-nvswitch", class_code="0x068000")
    box.file("/sys/fs/cgroup/cpu.max", "1600000 100000\n").file("/sys/fs/cgroup/memory.max", f"{200 * GIB}\n")
    return box.file("/sys/fs/cgroup/memory.current", f"{20 * GIB}\n")


def slurm_job() -> Box:
    """A job with two of eight GPUs by device rules: the bus shows eight, NVML two, sixteen processors are its own."""
    box = _ordinary(
        "node042", "h100x8", H100, "1b:00", "43:00", cpus=192, nodes=2, memory=2048,
        os=("rocky", "9.5", "rhel centos fedora"), kernel="5.14.0-503.40.1.el9_5.x86_64",
    )  # fmt: skip
    for number in ("52", "61", "9d", "c3", "d1", "df"):
        bus_id = f"0000:{number}:00.0"
        healthy.pci(box, bus_id, "2330", driver="nvidia")
    for number in range(2, 8):
        box.node(f"/dev/nvidia{number}", minor=number, may_open=False)
        box.link(f"/dev/char/195:{number}", f"../nvidia{number}")
    for bus_id in ("05", "06", "07", "08"):
        healthy.pci(box, f"0000:{bus_id}:00.0", "22a3", driver="nvidia-nvswitch", class_code="0x068000")
    fabric.manager(box, release="580.126.09").answer("process nv-fabricmanager", True)
    box.variable("CUDA_VISIBLE_DEVICES", "0,1").variable("SLURM_JOB_ID", None)
    box.answer("cpu.affinity", "0-15")
    group = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"
    box.file("/proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_7\n")
    box.file(f"{group}/memory.max", f"{256 * GIB}\n").file(f"{group}/memory.current", f"{3 * GIB}\n")
    return _rpm(box, "nvidia-driver-cuda-libs\t3:580.126.09-1.el9", "kmod-nvidia-open-dkms\t3:580.126.09-1.el9")


def login_node() -> Box:
    """A login node: no GPU, two hundred users, homes on NFS, CUDA modules in the environment, memory well used."""
    box = _ordinary(
        "login1", None, cpus=64, nodes=2, memory=256, os=("rocky", "9.5", "rhel centos fedora"),
        kernel="5.14.0-503.40.1.el9_5.x86_64", torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.given(declared=frozenset({"login-node"}))
    box.answer("processes", {"count": 5200, "zombies": 44, "parents": [[9, "sshd", 9]], "time_daemons": ["chronyd"]})
    _network_home(box)
    return box.answer("user", {"uid": 1000, "gids": [1000]})


def _network_home(box: Box) -> Box:
    places = [["system", "/", "xfs", "/", False], ["temporary files", system.TMP, "xfs", "/", False]]
    places += [[role, f"/home/me/{path}", "nfs4", "/home", False] for role, path in system.HOME.items()]
    mounts = [["/", "xfs", False, False, True], ["/home", "nfs4", True, False, True]]
    box.answer("mounts", {"mounts": mounts, "places": places})
    return box


def runner() -> Box:
    """A runner of a public CI service: a virtual machine without a GPU, a CPU build of torch."""
    return _ordinary(
        "fv-az1234", None, cpus=4, memory=16, chassis=("3", None), virtualization="kvm", os=NOBLE,
        kernel="6.11.0-1018-azure", vendor="Microsoft Corporation", product="Virtual Machine", torch=("2.13.0", "cpu"),
    )  # fmt: skip


# --- desktops and laptops


def optimus() -> Box:
    """A laptop with an Intel and an NVIDIA GPU, on battery: the NVIDIA GPU sleeps while nothing uses it."""
    box = _ordinary(
        "optimus", "rtx5090", ("NVIDIA GeForce RTX 3060 Laptop GPU", "2520", 8.6, 6), "01:00", cpus=16, memory=16,
        chassis=("10", ("powersave", "intel_pstate")), os=NOBLE, torch=("2.13.0", "cu130"), vendor="LENOVO",
    )  # fmt: skip
    healthy.pci(box, "0000:00:02.0", "46a6", driver="i915", class_code="0x030000", vendor="0x8086")
    bus.width(box, "0000:01:00.0", 8)
    _log(
        box,
        (70000.0, "PM: suspend exit"),
        (70001.0, "ACPI BIOS Error (bug): Could not resolve symbol [_SB.PC00.PEG1.PEGP], AE_NOT_FOUND"),
        "pcieport 0000:00:1c.0: AER: Corrected error message received from 0000:02:00.0",
        "pcieport 0000:00:1c.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
        "nvidia-modeset: WARNING: GPU:0: Correcting number of heads for current head configuration (0x00)",
        "NVRM: GPU 0000:01:00.0: PreserveVideoMemoryAllocations module parameter is set. System Power Management "
        "attempted without driver procfs suspend interface.",
    )
    box.answer("adjtimex", {"state": 5, "status": 0x40})
    box.file("/etc/modprobe.d/nvidia-graphics-drivers-kms.conf", "options nvidia_drm modeset=1\n"
             "options nvidia NVreg_PreserveVideoMemoryAllocations=1 NVreg_TemporaryFilePath=/var\n")  # fmt: skip
    box.file("/lib/modprobe.d/nvidia-runtimepm.conf", "options nvidia NVreg_DynamicPowerManagement=0x02\n")
    box.file("/proc/driver/nvidia/params", "EnableMSI: 1\nDeviceFileMode: 438\nPreserveVideoMemoryAllocations: 1\n"
             'DynamicPowerManagement: 2\nTemporaryFilePath: "/var"\n')  # fmt: skip
    # On battery the board is braked, and the system gives it less power.
    return box.nvml(
        **{
            "*.power_limit_mw": 35000, "*.power_default_mw": 80000, "*.throttle": 0x89, "*.pcie_width": 8,
            "*.persistence": 0, "*.part_number": None, "*.graphics_procs": 1, "*.temp_c": 52,
        }
    )  # fmt: skip


def gnome() -> Box:
    """A desktop with GNOME on Wayland and its screen on an RTX 3060; a game has filled most of the memory."""
    box = _ordinary(
        "gnome", "rtx5090", ("NVIDIA GeForce RTX 3060", "2504", 8.6, 12), "01:00", cpus=12, memory=32, chassis=DESKTOP,
        os=NOBLE, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    _log(
        box,
        "nvidia-modeset: ERROR: GPU:0: Idling display engine timed out: 0x0000c67d:0:0:0x00000040",
        (400000.0, "NVRM: Xid (PCI:0000:01:00): 13, pid=2321, name=gnome-shell, Graphics Exception: ESR 0x404490"),
        "[drm] [nvidia-drm] [GPU ID 0x00000100] Loading driver",
        "ACPI Warning: SystemIO range conflicts with OpRegion",
    )
    return box.nvml(
        **{
            "*.display_mode": 1, "*.display_active": 1, "*.graphics_procs": 3, "*.mem_used": 2 * GIB,
            "*.power_limit_mw": 170000, "*.power_default_mw": 170000, "*.part_number": None, "*.persistence": 0,
            "*.bar1_total": 256 * 2**20,
        }
    )  # fmt: skip


def fedora() -> Box:
    """Fedora 42 with RPM Fusion: akmods builds the module, a newer kernel waits and has its module."""
    box = _ordinary(
        "fedora", "rtx5090", ("NVIDIA GeForce RTX 4070 Ti SUPER", "2705", 8.9, 16), "01:00", cpus=16, memory=32,
        chassis=DESKTOP, os=("fedora", "42", ""), kernel="6.17.7-200.fc42.x86_64", torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.program("dkms", None).without_command("dkms status")
    box.command("podman --version", "podman version 5.6.2\n")
    box.command(system.SERVICES, "● nvidia-powerd.service loaded failed failed nvidia-powerd service\n")
    path = "extra/nvidia/nvidia.ko.xz"
    box.answer(boot.MODULE, {box.kernel: path})
    boot.modinfo(box, "580.126.09", path=path, signer="fedora_1700000000_abcd")
    release = "580.126.09-1.fc42"
    _rpm(
        box,
        f"akmod-nvidia\t3:{release}",
        f"kmod-nvidia-6.17.7-200.fc42.x86_64\t3:{release}",
        f"xorg-x11-drv-nvidia\t3:{release}",
        f"xorg-x11-drv-nvidia-cuda\t3:{release}",
        f"xorg-x11-drv-nvidia-cuda-libs\t3:{release}",
        f"xorg-x11-drv-nvidia-libs\t3:{release}",
        "nvidia-gpu-firmware\t20251111-1.fc42",
        "nvidia-settings\t3:580.126.09-1.fc42",
    )
    return box.nvml(**{"*.persistence": 0, "*.display_active": 1, "*.graphics_procs": 2, "*.mem_used": GIB})


def arch() -> Box:
    """Arch with nvidia-open: pacman, which nobody here asks; a kernel of the day, no dkms."""
    box = _ordinary(
        "archbox", "rtx5090", ("NVIDIA GeForce RTX 4080 SUPER", "2702", 8.9, 16), "01:00", cpus=24, memory=64,
        chassis=DESKTOP, os=("arch", "", ""), kernel="7.0.8-arch1-1", torch=("2.13.0", "cu130"), release="595.71.05",
    )  # fmt: skip
    box.without("/etc/apt", "/boot", "/etc/default/grub").program("dpkg-query", None).program("apt-mark", None)
    box.program("dkms", None).without_command("dkms status")
    box.file("/boot/vmlinuz-linux", "").file(f"/lib/modules/{box.kernel}/vmlinuz", "")
    path = "extramodules/nvidia.ko.zst"
    box.answer(boot.MODULE, {box.kernel: path})
    boot.modinfo(box, "595.71.05", path=path, signer=None)
    box.file("/etc/modprobe.d/nvidia.conf", "options nvidia NVreg_PreserveVideoMemoryAllocations=1\n")
    box.file("/proc/driver/nvidia/params", "EnableMSI: 1\nPreserveVideoMemoryAllocations: 1\n")
    return box.nvml(**{"*.persistence": 0, "*.display_active": 1, "*.graphics_procs": 4, "*.mem_used": 3 * GIB})


def pop_os() -> Box:
    """Pop!_OS with its own build of the driver; no GRUB but systemd-boot."""
    box = _ordinary(
        "pop-os", "rtx5090", ("NVIDIA GeForce RTX 2080 Ti", "1e07", 7.5, 11), "0a:00", cpus=24, memory=64,
        chassis=DESKTOP, os=("pop", "24.04", "ubuntu debian"), kernel="6.17.4-76061704-generic",
        torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.without("/etc/default/grub")
    version = "580.126.09-1pop1~1762450914~24.04~a1b2c3d"
    names = ("nvidia-driver-580-open", "libnvidia-compute-580", "nvidia-dkms-580-open", "nvidia-kernel-common-580")
    driver.packages(box, "dpkg-query", *(f"ii \t{name}\t{version}" for name in names))
    return box.nvml(**{"*.persistence": 0, "*.display_active": 1, "*.graphics_procs": 4, "*.mem_used": GIB})


def tumbleweed() -> Box:
    """openSUSE Tumbleweed with the signed open module and three kernels, of which the oldest lacks the module."""
    box = _ordinary(
        "tumbleweed", "rtx5090", ("NVIDIA GeForce RTX 5070", "2f04", 12.0, 12), "01:00", cpus=16, memory=32,
        chassis=DESKTOP, os=("opensuse-tumbleweed", "20261118", "opensuse suse"), kernel="7.0.5-1-default",
        torch=("2.13.0", "cu130"),
    )  # fmt: skip
    path = "updates/nvidia-open-driver-G07-signed/nvidia.ko.zst"
    boot.boot(box, "6.18.9-1-default", has_headers=False)
    box.answer(boot.MODULE, {box.kernel: path, "6.18.9-1-default": ""})
    boot.modinfo(box, "580.126.09", path=path, signer="openSUSE Secure Boot CA")
    box.program("dkms", None).without_command("dkms status").folder("/etc/zypp")
    _rpm(
        box,
        "nvidia-open-driver-G06-signed-kmp-default\t580.126.09_k7.0.5_1-1.1",
        "nvidia-compute-G06\t580.126.09-1.1",
        "nvidia-compute-utils-G06\t580.126.09-1.1",
        "nvidia-video-G06\t580.126.09-1.1",
    )
    places = [["system", "/", "btrfs", "/", False], ["temporary files", system.TMP, "tmpfs", system.TMP, False]]
    places += [[role, f"/home/me/{name}", "btrfs", "/home", False] for role, name in system.HOME.items()]
    box.answer("mounts", {"mounts": [["/", "btrfs", False, False, True], ["/home", "btrfs", False, False, True]],
                          "places": places})  # fmt: skip
    box.space(system.TMP, total=16 * GIB, free=15 * GIB)
    box.space("/", total=500 * GIB, free=200 * GIB, inodes=0, free_inodes=0)
    return box.nvml(**{"*.persistence": 0, "*.display_active": 1, "*.graphics_procs": 2, "*.mem_used": GIB})


def proxmox() -> Box:
    """Proxmox: one GPU for a virtual machine, one for the host, huge pages in use by the guests, ZFS root."""
    box = _ordinary(
        "pve", "rtx5090", ("NVIDIA RTX A4000", "24b0", 8.6, 16), "01:00", cpus=32, memory=128, os=DEBIAN,
        kernel="6.14.11-4-pve", chassis=("3", ("performance", "acpi-cpufreq")), torch=("2.13.0", "cu130"),
    )  # fmt: skip
    healthy.pci(box, "0000:02:00.0", "2204", driver="vfio-pci")
    healthy.pci(box, "0000:02:00.1", "1aef", driver="vfio-pci", class_code="0x040300")
    box.file("/proc/cmdline", "initrd=\\EFI\\proxmox root=ZFS=rpool/ROOT/pve-1 boot=zfs intel_iommu=on iommu=pt\n")
    box.file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", f"{40 * 512}\n")
    box.file("/proc/sys/kernel/tainted", "4097\n")
    places = [["system", "/", "zfs", "/", False], ["temporary files", system.TMP, "zfs", "/", False]]
    places += [[role, f"/root/{name}", "zfs", "/", False] for role, name in system.HOME.items()]
    box.answer("mounts", {"mounts": [["/", "zfs", False, False, False]], "places": places})
    kib = 128 * 1024**2
    # Most of the memory is guests' and ZFS's own cache.
    box.file("/proc/meminfo", system.meminfo(total=kib, available=kib * 6 // 100, swap=0, swap_free=0))
    box.file("/proc/spl/kstat/zfs/arcstats", f"13 1 0x01 147 39984 1 2\nname type data\nc_min 4 {4 * GIB}\n"
             f"size 4 {40 * GIB}\n")  # fmt: skip
    names = ("nvidia-driver", "nvidia-kernel-dkms", "libcuda1", "nvidia-alternative", "nvidia-kernel-support")
    lines = [f"ii \t{name}\t580.126.09-1~bpo12+1" for name in names]
    driver.packages(
        box, "dpkg-query", *lines, "ii \tnvidia-installer-cleanup\t20220217+3~deb12u1",
        "ii \tnvidia-support\t20220217+3~deb12u1", "ii \tnvidia-modprobe\t535.161.07-1~deb12u1",
        "ii \tfirmware-nvidia-gsp\t580.126.09-1~bpo12+1",
    )  # fmt: skip
    return box.answer("user", {"uid": 0, "gids": [0]}).nvml(**{"*.persistence": 0})


def secure_boot() -> Box:
    """A second system beside Windows with Secure Boot on: DKMS signs with a key that is enrolled, two kernels built."""
    box = _ordinary(
        "dual-boot", "rtx5090", ("NVIDIA GeForce RTX 5080", "2c02", 12.0, 16), "01:00", cpus=16, memory=32,
        chassis=DESKTOP, os=NOBLE, torch=("2.13.0", "cu130"), kernel="6.14.0-35-generic",
    )  # fmt: skip
    box.answer("SecureBoot of EFI", 1)
    following = "6.14.0-36-generic"
    boot.boot(box, following)
    path = "updates/dkms/nvidia.ko.zst"
    box.answer(boot.MODULE, {box.kernel: path, following: path})
    boot.dkms(
        box,
        f"nvidia/580.126.09, {box.kernel}, x86_64: installed\nnvidia/580.126.09, {following}, x86_64: installed\n",
    )
    _log(box, "nvidia: module verification failed: signature and/or required key missing - tainting kernel")
    box.answer("adjtimex", {"state": 0, "status": 0x1})
    return box.nvml(**{"*.persistence": 0, "*.display_active": 1, "*.graphics_procs": 2, "*.mem_used": GIB})


def wsl_laptop() -> Box:
    """Ubuntu under WSL 2 on a laptop: the driver of Windows, a docker integration, the clock after sleep."""
    box = healthy.wsl()
    box.nvml(
        **{
            "0.name": "NVIDIA GeForce RTX 4070 Laptop GPU", "0.mem_total": 8 * GIB, "0.cc": 8.9, "driver": "591.86",
            "0.pci_device_id": "0x286010DE", "*.power_limit_mw": None, "*.mem_used": 1200 * 2**20, "*.temp_c": 61,
            "nvml": "590.57", "cuda": 13010, "*.persistence": 1, "*.display_active": 1, "*.throttle": 0x4,
        }
    )  # fmt: skip
    box.answer("adjtimex", {"state": 5, "status": 0x40})
    return box


# --- workstations and servers


def runfile_server() -> Box:
    """A headless server whose driver NVIDIA's installer built, with `nomodeset` from the provider's image."""
    box = _ordinary(
        "gex44", "rtx5090", ("NVIDIA RTX 4000 SFF Ada Generation", "27b0", 8.9, 20), "01:00", cpus=20, memory=64,
        os=NOBLE, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.file("/proc/cmdline", f"BOOT_IMAGE=/vmlinuz-{box.kernel} root=UUID=1 ro nomodeset consoleblank=0\n")
    return _runfile(box).nvml(**{"*.power_limit_mw": 70000, "*.power_default_mw": 70000, "*.persistence": 0})


def held() -> Box:
    """A driver fresh from apt and held, while updates of other packages wait for a restart."""
    box = _ordinary(
        "held", "l40s", ("NVIDIA L40S", "26b9", 8.9, 45), "41:00", "c1:00", cpus=64, memory=512, os=NOBLE,
        torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.command("apt-mark showhold", "libnvidia-compute-580\nnvidia-dkms-580\nnvidia-driver-580\n")
    return box


def training() -> Box:
    """Eight H100 at work: hot, at their power limit, the memory nearly full, the kernel log of a hundred days."""
    buses = ("1b:00", "43:00", "52:00", "61:00", "9d:00", "c3:00", "d1:00", "df:00")
    box = _ordinary(
        "dgx-busy", "h100x8", H100, *buses, cpus=224, nodes=2, memory=2048, os=UBUNTU, kernel="6.8.0-79-generic",
    )  # fmt: skip
    for number in ("05", "06", "07", "08"):
        healthy.pci(box, f"0000:{number}:00.0", "22a3", driver="nvidia-nvswitch", class_code="0x068000")
    fabric.manager(box, release="580.126.09").answer("process nv-fabricmanager", True)
    users = (
        "NVRM: Xid (PCI:0000:43:00): 31, pid=88421, name=python, Ch 00000008, intr 0. MMU Fault: ENGINE GRAPHICS",
        "NVRM: Xid (PCI:0000:52:00): 13, pid=77111, name=python3, Graphics SM Warp Exception on (GPC 1, TPC 0, SM 0)",
        "NVRM: Xid (PCI:0000:52:00): 43, pid=77111, name=python3, Ch 00000008",
        "NVRM: Xid (PCI:0000:61:00): 45, pid=77112, name=python3, Ch 00000008",
    )
    day = 86400.0
    _log(
        box,
        *((60 * day - 3600 * number, line) for number, line in enumerate(users)),
        (20 * day, users[0]),
        (3000.0, users[0]),
        (80 * day, "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 24007, Non-fatal, Link 32 sourcetrack timeout error"),
        (50 * day, "INFO: task kworker/u448:1:9123 blocked for more than 122 seconds."),
        (40 * day, "Memory cgroup out of memory: Killed process 4711 (python) total-vm:9kB"),
        (30 * day, "mlx5_core 0000:1a:00.0: Port module event[error]: module 0, Cable error, Bus stuck"),
        (30 * day, "pcieport 0000:15:01.0: AER: Corrected error message received from 0000:18:00.0"),
        (10 * day, "perf: interrupt took too long (3201 > 3200), lowering kernel.perf_event_max_sample_rate to 62000"),
        uptime_s=100 * day,
    )
    return box.nvml(
        **{
            "*.util": 100, "*.util_mem": 70, "*.throttle": 0x4, "*.temp_c": 83, "*.power_mw": 699000, "*.procs": 1,
            "*.mem_used": 76 * GIB, "*.clock.0": 1500, "*.clock.1": 1500, "*.temp_margin": 7, "*.pcie_gen": 5,
        }
    )  # fmt: skip


def old_server() -> Box:
    """Six hundred days without a restart: a newer kernel waits with its module, swap was used, processes abound."""
    box = _ordinary(
        "old-server", "a100x2", ("NVIDIA A100 80GB PCIe", "20b5", 8.0, 80), "17:00", "65:00", cpus=64, nodes=2,
        memory=256, os=UBUNTU, kernel="5.15.0-91-generic",
    )  # fmt: skip
    following = "5.15.0-161-generic"
    boot.boot(box, following)
    path = "updates/dkms/nvidia.ko"
    box.answer(boot.MODULE, {box.kernel: path, following: path})
    boot.dkms(
        box,
        f"nvidia/580.126.09, {box.kernel}, x86_64: installed\nnvidia/580.126.09, {following}, x86_64: installed\n",
    )
    kib = 256 * 1024**2
    box.file("/proc/meminfo", system.meminfo(total=kib, available=kib * 4 // 10, swap=8 * 1024**2, swap_free=1024**2))
    box.answer("processes", {"count": 9100, "zombies": 120, "parents": [[2, "dockerd", 80]],
                             "time_daemons": ["systemd-timesyn"]})  # fmt: skip
    box.file("/proc/loadavg", "40.71 44.44 42.42 33/31200 30370\n")
    _log(box, uptime_s=600 * 86400.0)
    # A bridge of three pieces joins the pair.
    return box.nvml(**{"*.nvlinks": 12, "*.power_limit_mw": 300000, "*.power_default_mw": 300000, "*.persistence": 1})


def ib_partly_used() -> Box:
    """A server with four InfiniBand cards of which one is cabled, on NFS homes, looked at as root."""
    box = _ordinary(
        "gpu07", "a100x2", ("NVIDIA A100-SXM4-80GB", "20b2", 8.0, 80), "07:00", "0a:00", cpus=128, nodes=2,
        memory=1024, os=UBUNTU,
    )  # fmt: skip
    for number in range(4):
        fabric.card(box, f"mlx5_{number}", board="MT_0000000223", firmware="20.43.2566")
        if number:
            fabric.port(box, f"mlx5_{number}", 1, state="1: DOWN", physical="2: Polling", rate="10 Gb/sec (4X SDR)")
        else:
            fabric.port(box, "mlx5_0", 1, rate="200 Gb/sec (4X HDR)", link_downed=3, symbol_error=2)
    fabric.verbs(box, 4).answer("limit memlock", 67108864).answer("user", {"uid": 0, "gids": [0]})
    _network_home(box)
    return box.nvml(**{"*.nvlinks": 12})


def not_root() -> Box:
    """A user who may read neither the journal nor dmesg, with a small quota of everything."""
    box = _ordinary(
        "shared", "l40s", ("NVIDIA RTX A6000", "2230", 8.6, 48), "25:00", "c1:00", cpus=64, memory=256, os=UBUNTU,
        torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.command(
        kernel_log.JOURNAL, returncode=1, stderr="No journal files were opened due to insufficient permissions."
    )
    box.command("dmesg", returncode=1, stderr="dmesg: read kernel buffer failed: Operation not permitted\n")
    box.answer("processes", {"count": 900, "zombies": 1, "parents": [], "time_daemons": ["chronyd"]})
    return box.nvml(**{"*.power_limit_mw": 300000, "*.power_default_mw": 300000, "*.persistence": 0})


def small_docker() -> Box:
    """A host with Docker and the toolkit straight from NVIDIA's instructions."""
    box = _ordinary(
        "docker-host", "rtx5090", ("NVIDIA GeForce RTX 3090", "2204", 8.6, 24), "01:00", cpus=16, memory=64,
        chassis=DESKTOP, os=NOBLE, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    containers.config(box, "/etc/docker/daemon.json", containers.DAEMON_JSON)
    containers.toolkit(containers.docker(box, ServerVersion="28.5.2"), "1.18.1")
    containers.links(box)
    return box.nvml(**{"*.persistence": 0, "*.power_limit_mw": 350000, "*.power_default_mw": 350000})


# --- boards of other ages and kinds


def jetson() -> Box:
    """A Jetson AGX Orin with JetPack 6."""
    name = "orin"
    system.SHAPES[name] = (12, 1, 62, ("schedutil", "tegra194"), "")
    box = healthy._machine(
        name, None, driver="", devices={}, os=UBUNTU, arch="aarch64", kernel="5.15.148-tegra",
    )  # fmt: skip
    box.file("/etc/nv_tegra_release", "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64\n")
    box.file("/proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0")
    box.without("/sys/class/dmi").file("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd\n")
    healthy._layered(box)
    box.looks.pop(("answer", "env.path"))
    box.folder("/sys/fs/pstore", "console-ramoops-0", "pmsg-ramoops-0")
    box.file("/sys/fs/pstore/console-ramoops-0", "").file("/sys/fs/pstore/pmsg-ramoops-0", "")
    folder = "/usr/lib/aarch64-linux-gnu/nvidia"
    box.library("libcuda.so.1", f"{folder}/libcuda.so.1", real="libcuda.so.1.1")
    box.library("libnvidia-ml.so.1", f"{folder}/libnvidia-ml.so.1", real="libnvidia-ml.so.1")
    for node in ("nvhost-gpu", "nvmap"):
        box.node(f"/dev/{node}", major=506)
    return box


def spark() -> Box:
    """A DGX Spark: GB10, one memory for both, a network adapter that complains at every start."""
    box = _ordinary(
        "spark", "rtx5090", ("NVIDIA GB10", "2e12", 12.1, 119), "000f:01:00", arch="aarch64",
        kernel="6.14.0-1013-nvidia", cpus=20, memory=119, chassis=("3", ("performance", "cppc_cpufreq")), os=NOBLE,
        release="580.95.05", torch=("2.13.0", "cu130"), vendor="NVIDIA",
    )  # fmt: skip
    _log(
        box,
        "mlx5_core 0000:01:00.0: mlx5_pcie_event:299:(pid 268): Detected insufficient power on the PCIe slot (27W).",
        "arm-smmu-v3 arm-smmu-v3.0.auto: ias 48-bit, oas 48-bit (features 0x001c1fff)",
    )
    bus.width(box, "000f:01:00.0", 1)
    return box.nvml(
        **{
            "*.power_limit_mw": None, "*.power_default_mw": None, "*.power_min_mw": None, "*.power_max_mw": None,
            "*.mem_total": None, "0.mem_total": None, "*.mem_used": None, "*.mem_reserved": None, "*.pcie_width": 1,
            "*.pcie_gen_max": 1, "*.bar1_total": None, "*.graphics_procs": 2, "*.part_number": None,
        }
    )  # fmt: skip


def grace() -> Box:
    """A GH200 with pages of 64 KiB: the GPU's memory is a node without processors, more nodes wait for MIG."""
    box = _ordinary(
        "gh200-64k", "gh200", ("NVIDIA GH200 480GB", "2342", 9.0, 96), "0009:01:00", arch="aarch64",
        kernel="6.8.0-1044-nvidia-64k", cpus=72, memory=480, chassis=("23", ("performance", "cppc_cpufreq")), os=UBUNTU,
        torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.answer("page size", 65536)
    for node in range(1, 9):
        size = 97871 * 1024 if node == 1 else 0
        folder = f"{system.NODES}/node{node}"
        box.file(f"{folder}/cpulist", "\n").file(f"{folder}/meminfo", f"Node {node} MemTotal:       {size} kB\n")
        box.file(f"{folder}/distance", " ".join("10" if other == node else "80" for other in range(9)) + "\n")
    box.file(f"{system.NODES}/node0/distance", " ".join(["10", *["80"] * 8]) + "\n")
    box.file("/sys/bus/pci/devices/0009:01:00.0/numa_node", "0\n")
    return box.nvml(**{"*.mem_used": 3 * GIB, "*.numa_affinity": "0x1"})


def b200() -> Box:
    """An HGX board of eight B200: NVLink 5, its switches behind adapters, the fabric completed."""
    buses = ("1a:00", "3c:00", "4d:00", "5e:00", "9b:00", "bc:00", "cd:00", "dd:00")
    box = _ordinary(
        "b200x8", "h100x8", ("NVIDIA B200", "2901", 10.0, 179), *buses, cpus=224, nodes=2, memory=3072, os=NOBLE,
        torch=("2.13.0", "cu130"), kernel="6.8.0-87-generic",
    )  # fmt: skip
    for number in range(8):
        fabric.card(box, f"mlx5_{number}", board="MT_0000000838", firmware="28.46.1006")
        fabric.port(box, f"mlx5_{number}", 1, rate="400 Gb/sec (4X NDR)")
    fabric.verbs(box, 8)
    fabric.manager(box, release="580.126.09").answer("process nv-fabricmanager", True)
    return box.nvml(
        **{"*.nvlinks": 18, "*.nvlink_version": 7, "*.power_limit_mw": 1000000, "*.power_default_mw": 1000000,
           "*.power_max_mw": 1000000, "*.bar1_total": 256 * GIB, "*.architecture": 10}
    )  # fmt: skip


def dgx1() -> Box:
    """A DGX-1: eight V100 wired to each other without a switch; some pairs have no link."""
    buses = ("06:00", "07:00", "0a:00", "0b:00", "85:00", "86:00", "89:00", "8a:00")
    box = _ordinary(
        "dgx1", "v100", V100, *buses, cpus=80, nodes=2, memory=512, os=UBUNTU, flavour="proprietary",
        kernel="5.15.0-161-generic", torch=("2.14.0", "cu126"),
    )  # fmt: skip
    for number in range(4):
        fabric.card(box, f"mlx5_{number}", board="MT_2180110032", firmware="12.28.2006")
        fabric.port(box, f"mlx5_{number}", 1, rate="100 Gb/sec (4X EDR)")
    fabric.verbs(box, 4).file("/sys/module/nvidia_peermem/refcnt", "0\n")
    return box.nvml(
        **{"*.nvlinks": 6, "topology": 30, "*.power_limit_mw": 300000, "*.power_default_mw": 300000,
           "*.power_max_mw": 300000, "*.retired.0": 2, "*.retired.1": 1}
    )  # fmt: skip


def k80() -> Box:
    """A K80, two GPUs on one board, with the last branch that serves it."""
    box = _ordinary(
        "k80", "v100", ("Tesla K80", "102d", 3.7, 11), "05:00", "06:00", release="470.256.02", cpus=24, memory=64,
        os=UBUNTU, flavour="proprietary", kernel="5.15.0-161-generic",
    )  # fmt: skip
    box.looks.pop(("answer", "env.path"))  # no torch that is looked after has code for it
    return box.nvml(
        cuda=11040,
        **{"*.ecc": 1, "*.power_limit_mw": 149000, "*.power_default_mw": 149000, "*.power_max_mw": 175000,
           "*.temp_c": 72, "*.temp_limit.0": 93, "*.temp_limit.1": 88, "*.persistence": 1, "*.appclock.0": 562,
           "*.appclock_default.0": 562, "*.maxclock.0": 875, "*.pcie_width": 16, "*.bar1_total": 16 * GIB},
    )  # fmt: skip


def pascal() -> Box:
    """Two GTX 1080 Ti without a bridge, with the last branch that serves them."""
    box = _ordinary(
        "pascal", "v100", ("NVIDIA GeForce GTX 1080 Ti", "1b06", 6.1, 11), "01:00", "02:00", cpus=12, memory=64,
        os=NOBLE, flavour="proprietary", chassis=DESKTOP, torch=("2.13.0", "cu126"),
    )  # fmt: skip
    for name in ("0000:01:00.0", "0000:02:00.0"):
        bus.width(box, name, 8)
    _log(box, "NVRM: GPU at PCI:0000:02:00: GPU-00000001-0000-0000-0000-000000000000")
    return box.nvml(
        **{"*.ecc": None, "*.retired.0": None, "*.retired.1": None, "*.power_limit_mw": 250000, "*.temp_c": 84,
           "*.power_default_mw": 250000, "*.power_max_mw": 300000, "*.display_active": 1, "*.graphics_procs": 1,
           "*.mem_used": 500 * 2**20, "*.part_number": None, "*.temp_limit.0": 99, "*.temp_limit.1": 96,
           "*.throttle": 0x20, "*.util": 98, "*.appclock.0": None, "*.appclock_default.0": None, "*.appclock.2": None,
           "*.appclock_default.2": None, "*.persistence": 0, "p2p.0": 3, "p2p.1": 3, "p2p.2": 3}
    )  # fmt: skip


def two_makers() -> Box:
    """Two RTX 3090 of two makers with a bridge: other firmware, other default power, one of them on 8 lanes."""
    box = _ordinary(
        "rig", "rtx5090", ("NVIDIA GeForce RTX 3090", "2204", 8.6, 24), "01:00", "02:00", cpus=24, memory=64,
        chassis=("3", ("schedutil", "acpi-cpufreq")), os=NOBLE, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    bus.width(box, "0000:02:00.0", 8)
    for number in (10, 11):
        box.file(f"/sys/kernel/iommu_groups/{number}/type", "DMA-FQ\n")
    _log(
        box,
        "NVRM: Xid (PCI:0000:01:00): 31, pid='<unknown>', name=<unknown>, Ch 00000008, intr 00000000. MMU Fault",
        "NVRM: Xid (PCI:0000:01:00): 43, pid=991, name=python, Ch 00000008",
        "nvidia 0000:01:00.0: vgaarb: VGA decodes changed: olddecodes=io+mem,decodes=none:owns=none",
        "snd_hda_intel 0000:01:00.1: CORB reset timeout#2, CORBRP = 65535",
        "pcieport 0000:00:01.1: PME: Spurious native interrupt!",
        (80000.0, "python[991]: segfault at 0 ip 00007f error 4 in libtorch_cpu.so[7f]"),
    )
    return box.nvml(
        **{"*.part_number": None, "0.vbios": "94.02.42.00.a9", "1.vbios": "94.02.26.08.1c", "*.persistence": 0,
           "0.power_limit_mw": 350000, "0.power_default_mw": 350000, "1.power_limit_mw": 390000, "topology": 40,
           "1.power_default_mw": 390000, "*.power_max_mw": 400000, "*.nvlinks": 4, "p2p.0": 0, "p2p.1": 0, "p2p.2": 0}
    )  # fmt: skip


def rtx_pro() -> Box:
    """A workstation with an RTX PRO 6000 in a slot that shares its lanes."""
    box = _ordinary(
        "rtx-pro", "rtx5090", ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "2bb1", 12.0, 96), "01:00",
        cpus=32, memory=128, chassis=("3", ("powersave", "amd-pstate-epp")), os=NOBLE, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    bus.width(box, "0000:01:00.0", 8)
    return box.nvml(
        **{"*.power_limit_mw": 600000, "*.power_default_mw": 600000, "*.pcie_width": 8, "*.persistence": 0,
           "*.display_active": 1, "*.graphics_procs": 2, "*.mem_used": GIB, "*.ecc": 0}
    )  # fmt: skip


# --- other systems


def nixos() -> Box:
    """NixOS: no package manager that is asked, no /lib/modules, the libraries in /run/opengl-driver."""
    box = _ordinary(
        "nixos", "rtx5090", ("NVIDIA GeForce RTX 4090", "2684", 8.9, 24), "01:00", cpus=32, memory=64, chassis=DESKTOP,
        os=("nixos", "25.11", ""), kernel="6.12.58", torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.without("/etc/apt", "/boot", "/lib/modules", "/etc/default/grub", "/lib/firmware", "/etc/modprobe.d")
    for name in ("dpkg-query", "rpm", "apt-mark", "dkms", "mokutil"):
        box.program(name, None)
    folder = "/run/opengl-driver/lib"
    for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1"):
        real = name.replace(".so.1", ".so.580.126.09")
        box.library(name, f"{folder}/{name}", real=real, source="LD_LIBRARY_PATH")
    return box.nvml(**{"*.persistence": 0, "*.display_active": 1, "*.graphics_procs": 3, "*.mem_used": GIB,
                       "*.power_limit_mw": 450000, "*.power_default_mw": 450000})  # fmt: skip


def bazzite() -> Box:
    """An image-based Fedora for games: /usr can't be written, the module came with the image, podman is there."""
    kernel = "6.17.7-ba14.fc43.x86_64"
    box = _ordinary(
        "bazzite", "rtx5090", ("NVIDIA GeForce RTX 5070 Ti", "2c05", 12.0, 16), "03:00", cpus=16, memory=32,
        chassis=DESKTOP, os=("bazzite", "43", "fedora"), kernel=kernel, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.without("/boot", "/etc/default/grub").program("dkms", None).without_command("dkms status")
    box.file(f"/lib/modules/{kernel}/vmlinuz", "")
    path = "extra/nvidia/nvidia.ko.xz"
    box.answer(boot.MODULE, {kernel: path})
    boot.modinfo(box, "580.126.09", path=path, signer="Universal Blue kernel module signing key")
    box.answer("SecureBoot of EFI", 1)
    release = "580.126.09-1.fc43"
    _rpm(
        box,
        f"kmod-nvidia-{kernel}\t3:{release}",
        f"nvidia-driver\t3:{release}",
        f"nvidia-driver-cuda\t3:{release}",
        f"nvidia-driver-cuda-libs\t3:{release}",
        f"nvidia-driver-libs\t3:{release}",
        "nvidia-container-toolkit\t1.18.1-1",
    )
    containers.toolkit(box, "1.18.1").command("podman --version", "podman version 5.7.0\n")
    containers.cdi(box, "/etc/cdi/nvidia.yaml", "580.126.09").space(
        "/var/lib/containers", total=GIB * 900, free=GIB * 90
    )
    places = [["system", "/", "overlay", "/", True], ["temporary files", system.TMP, "tmpfs", system.TMP, False]]
    places += [[role, f"/var/home/me/{name}", "btrfs", "/var/home", False] for role, name in system.HOME.items()]
    for name in system.HOME.values():
        box.space(f"/var/home/me/{name}", total=900 * GIB, free=90 * GIB, inodes=0, free_inodes=0)
        system.on_device(box, f"/var/home/me/{name}", 40)
    mounts = [["/var/home", "btrfs", False, False, True], ["/sysroot", "btrfs", True, False, False]]
    box.answer("mounts", {"mounts": mounts, "places": places}).space("/", total=30 * 2**20, free=0)
    box.space(system.TMP, total=16 * GIB, free=16 * GIB)
    return box.nvml(**{"*.persistence": 0, "*.display_active": 1, "*.graphics_procs": 6, "*.mem_used": 2 * GIB})


def rhel() -> Box:
    """RHEL 9 with NVIDIA's module stream, three kernels and saved entries of the boot loader."""
    kernel = "5.14.0-570.58.1.el9_6.x86_64"
    box = _ordinary(
        "rhel", "l40s", ("NVIDIA H100 PCIe", "2331", 9.0, 80), "41:00", "c1:00", cpus=64, nodes=2, memory=512,
        os=("rhel", "9.6", "fedora"), kernel=kernel, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    old = "5.14.0-503.40.1.el9_5.x86_64"
    boot.boot(box, old)
    boot.boot(box, "0-rescue-0123456789abcdef", has_headers=False).without("/lib/modules/0-rescue-0123456789abcdef")
    path = "extra/nvidia.ko.xz"
    box.answer(boot.MODULE, {kernel: path, old: "weak-updates/nvidia.ko.xz"})
    boot.dkms(box, f"nvidia/580.126.09, {kernel}, x86_64: installed\nnvidia/580.126.09, {old}, x86_64: installed\n")
    box.file("/etc/default/grub", "GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\n")
    box.file("/boot/grub2/grubenv", f"# GRUB Environment Block\nsaved_entry=0123456789abcdef-{kernel}\n")
    _rpm(
        box,
        "nvidia-driver\t3:580.126.09-1.el9",
        "nvidia-driver-cuda-libs\t3:580.126.09-1.el9",
        "kmod-nvidia-open-dkms\t3:580.126.09-1.el9",
        "nvidia-persistenced\t3:580.126.09-1.el9",
    )
    box.file("/etc/dnf/modules.d/nvidia-driver.module", "[nvidia-driver]\nstream=580-open\nstate=enabled\n")
    box.file("/etc/dnf/automatic.conf", "apply_updates = yes\n")
    box.command("podman --version", "podman version 5.4.0\n")
    return box.nvml(
        **{"*.power_limit_mw": 350000, "*.power_default_mw": 350000, "*.nvlinks": 18, "*.nvlink.*": 0,
           "*.bar1_total": 128 * GIB}
    )  # fmt: skip


def system_container() -> Box:
    """An unprivileged LXC container of Proxmox with the nodes of one GPU bound into it."""
    box = _ordinary(
        "ct101", "rtx5090", ("NVIDIA GeForce RTX 3060", "2504", 8.6, 12), "01:00", cpus=8, memory=32, os=DEBIAN,
        kernel="6.14.11-4-pve", chassis=("3", None), torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.answer("container of process 1", "lxc").file("/proc/self/cgroup", "0::/.lxc\n")
    box.without("/boot", "/lib/modules", "/dev/char", "/proc/driver/nvidia/params")
    for line in ("dmesg", kernel_log.JOURNAL):
        box.command(line, returncode=1, stderr="Operation not permitted\n")
    _runfile(box).space(system.SHM, total=16 * GIB, free=16 * GIB)
    places = [["system", "/", "zfs", "/", False], ["temporary files", system.TMP, "zfs", "/", False]]
    box.answer("mounts", {"mounts": [], "places": places})
    return box.nvml(**{"*.persistence": 0, "*.power_limit_mw": 170000, "*.power_default_mw": 170000})


def apptainer() -> Box:
    """A job in an Apptainer image with --nv on a cluster: the driver's libraries are bound into one folder."""
    box = _ordinary(
        "gpu12", "a100x2", ("NVIDIA A100-SXM4-80GB", "20b2", 8.0, 80), "07:00", cpus=128, nodes=2, memory=1024,
        os=UBUNTU, kernel="5.14.0-503.40.1.el9_5.x86_64",
    )  # fmt: skip
    box.folder("/.singularity.d", "libs").without("/boot", "/lib/modules", "/etc/apt")
    for number in ("0a", "47", "4e"):
        healthy.pci(box, f"0000:{number}:00.0", "20b2", driver="nvidia")
    for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1"):
        real = name.replace(".so.1", ".so.580.126.09")
        box.library(name, f"/.singularity.d/libs/{name}", real=real, source="LD_LIBRARY_PATH")
    box.variable("CUDA_VISIBLE_DEVICES", "0").answer("cpu.affinity", "0-15")
    for number in range(1, 4):
        box.node(f"/dev/nvidia{number}", minor=number, may_open=False)
    return box.nvml(**{"*.nvlinks": 12})


def arm_server() -> Box:
    """An Ampere Altra server with an A30, the kernel with pages of 4 KiB."""
    box = _ordinary(
        "altra", "l40s", ("NVIDIA A30", "20b7", 8.0, 24), "000d:01:00", arch="aarch64", cpus=128, memory=256,
        kernel="6.8.0-79-generic", os=NOBLE, chassis=("23", ("ondemand", "cppc_cpufreq")), torch=("2.13.0", "cu130"),
    )  # fmt: skip
    box.file("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd evtstrm\n")
    clock = "/sys/devices/system/clocksource/clocksource0"
    box.file(f"{clock}/current_clocksource", "arch_sys_counter\n")
    return box.nvml(**{"*.power_limit_mw": 165000, "*.power_default_mw": 165000})


def two_pairs() -> Box:
    """Four A100 PCIe: two joined by bridges, two without one; half of the GPUs of the room were lent elsewhere."""
    box = _ordinary(
        "pairs", "a100x2", ("NVIDIA A100 80GB PCIe", "20b5", 8.0, 80), "17:00", "31:00", "b1:00", "ca:00", cpus=64,
        nodes=2, memory=512, os=UBUNTU,
    )  # fmt: skip
    return box.nvml(
        **{"0.nvlinks": 12, "1.nvlinks": 12, "2.nvlinks": 12, "3.nvlinks": 12, "2.nvlink.*": 0, "3.nvlink.*": 0,
           "*.power_limit_mw": 300000, "*.power_default_mw": 300000, "topology": 40, "p2p.2": 5}
    )  # fmt: skip


def egpu() -> Box:
    """A laptop with a GeForce in a Thunderbolt box, plugged in this morning."""
    box = _ordinary(
        "egpu", "rtx5090", ("NVIDIA GeForce RTX 3070", "2484", 8.6, 8), "52:00", cpus=16, memory=32,
        chassis=("10", ("powersave", "intel_pstate")), os=NOBLE, torch=("2.13.0", "cu130"),
    )  # fmt: skip
    bus.width(box, "0000:52:00.0", 4)
    for port in ("0000:00:01.0",):
        bus.width(box, port, 4, 4)
    _log(
        box,
        (40000.0, "pcieport 0000:00:07.0: pciehp: Slot(3): Link Down"),
        (39000.0, "pcieport 0000:00:07.0: pciehp: Slot(3): Card present"),
        (
            38990.0,
            "pci 0000:52:00.0: 8.000 Gb/s available PCIe bandwidth, limited by 2.5 GT/s PCIe x4 link at 0000:00:07.0",
        ),
        (38980.0, "pci 0000:50:00.0: BAR 13: no space for [io size 0x1000]"),
        (38980.0, "thunderbolt 0-3: new device found, vendor=0x127 device=0x1"),
    )
    return box.nvml(**{"*.persistence": 0, "*.pcie_width": 4, "*.part_number": None, "*.power_limit_mw": 220000,
                       "*.power_default_mw": 220000, "*.graphics_procs": 1})  # fmt: skip


def kubernetes_node() -> Box:
    """A node of Kubernetes with the operator's driver and toolkit, containerd 2, other people's pods at work."""
    box = _ordinary(
        "ip-10-0-1-7", "a100x2", A100, "10:1c", "10:1d", cpus=96, memory=1152, chassis=("1", None),
        virtualization="amazon", os=("bottlerocket", "1.50.0", ""), kernel="6.12.55", torch=("2.13.0", "cu126"),
    )  # fmt: skip
    box.without("/etc/apt", "/boot", "/lib/modules", "/etc/default/grub")
    for name in ("dpkg-query", "rpm", "apt-mark", "dkms"):
        box.program(name, None)
    box.program("containerd").program("kubelet")
    for name in ("nvidia-ctk", "nvidia-container-runtime"):
        box.file(f"/usr/local/nvidia/toolkit/{name}", "")
    text = containers.KUBERNETES.replace("version = 2", "version = 3").replace(
        "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
    )
    containers.config(box, containers.files.CONTAINERD_CONFIG, text)
    containers.cdi(box, "/var/run/cdi/nvidia.yaml", "580.126.09", count=2)
    line = "NVRM: Xid (PCI:0000:10:1c): 43, pid='<unknown>', name=<unknown>, Ch 00000008"
    _log(box, *((600.0 * number, line) for number in range(1, 5)))
    return box.nvml(**{"*.nvlinks": 12, "*.virtualization": 1, "*.procs": 1, "*.mem_used": 20 * GIB})


ORDINARY = (
    gcp_g2, gcp_a2, gcp_a3, aws_g4dn, aws_g5, aws_p4d, azure_nd_h100, azure_nc_t4, azure_nv_vgpu, oracle_h100,
    lambda_h100, runpod, colab, pod_with_slice, pod_with_one_of_eight, slurm_job, login_node, runner, optimus, gnome,
    fedora, arch, pop_os, tumbleweed, proxmox, secure_boot, wsl_laptop, runfile_server, held, training, old_server,
    ib_partly_used, not_root, small_docker, jetson, spark, grace, b200, dgx1, k80, pascal, two_makers, rtx_pro,
    nixos, bazzite, rhel,
    system_container, apptainer, arm_server, two_pairs, egpu, kubernetes_node,
)  # fmt: skip
