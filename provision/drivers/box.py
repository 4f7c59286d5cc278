"""What a driver plan needs to know of a machine, from its facts and readings (PURE)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import NoBuildError, NoUsableGpuError
from ..records import Evidence
from ..versions import DriverVersion
from .branches import capability_of

if TYPE_CHECKING:
    from ..matrix.driver_sources import Distribution
    from ..matrix.tables import Matrix
    from ..records import Machine, Reading

#: Rebuilds and flavours of a distribution, which use its packages under the same numbers.
_SAME_AS = {
    "rocky": "rhel",
    "almalinux": "rhel",
    "centos": "rhel",
    "ol": "rhel",
    "sles_sap": "sles",
    "sle_hpc": "sles",
}
_CLOUDS = ("aws", "gcp", "azure", "oracle", "gke", "ibm")

# nvidia-driver-580-server-open, libnvidia-compute-580, kmod-nvidia-open-dkms, cuda-drivers-580, nvidia-open
_DRIVER_PACKAGE = re.compile(
    r"(?:nvidia-(?:driver|dkms|headless|kernel|utils|compute|open|firmware|persistenced|modprobe|smi|legacy|tesla|alternative)"
    r"|linux-(?:modules|objects|signatures)-nvidia|libnvidia-(?!container)|xserver-xorg-video-nvidia|libcuda1|cuda-drivers"
    r"|a?kmod-nvidia|xorg-x11-drv-nvidia|nvidia-settings|nvidia-xconfig|nvidia-kmod|firmware-nvidia)"
)
_FABRIC_PACKAGE = re.compile(r"nvidia-fabric-?manager")


@dataclass(frozen=True, slots=True)
class Box:
    """A machine, as far as its driver goes. None: nobody looked."""

    machine: Machine
    distribution: Distribution
    distribution_id: str
    """ID of os-release, which tells Rocky from RHEL."""
    arch: str
    kernel: str | None
    """The running one, as uname tells it."""
    next_kernel: str | None
    """What the next start loads, as far as known."""
    is_pinned: bool
    """Whether the boot loader is told to start a kernel that is not the newest."""
    has_secure_boot: bool | None
    packages: tuple[tuple[str, str], ...] | None
    """Name and version of installed driver packages."""
    release: DriverVersion | None
    """Release of the driver that is there."""
    flavour: str | None
    """Kernel module of the driver that is there."""
    has_runfile: bool
    """Whether NVIDIA's own installer was used."""
    held: tuple[str, ...]
    sources: tuple[str, ...]
    """Addresses of repositories for drivers that are configured."""
    has_ubuntu_drivers: bool
    is_upgraded_unattended: bool | None
    nouveau: bool
    """Whether nouveau holds a GPU."""
    lacks_module: bool
    """Whether the kernel of the next start is known to have no module of the driver."""
    has_docker: bool
    has_fabric_manager: bool
    cloud: str | None

    @property
    def kernels(self) -> tuple[str, ...]:
        """The running kernel and that of the next start."""
        return tuple(dict.fromkeys(name for name in (self.kernel, self.next_kernel) if name))

    @property
    def driver_packages(self) -> tuple[str, ...]:
        """Names of installed packages of the driver, fabric manager aside."""
        return tuple(name for name, _ in self.packages or () if _DRIVER_PACKAGE.match(name))

    @property
    def fabric_packages(self) -> tuple[str, ...]:
        """Names of installed packages of the fabric manager."""
        return tuple(name for name, _ in self.packages or () if _FABRIC_PACKAGE.match(name))

    def has_source(self, address: str) -> bool:
        """Whether a repository is configured."""
        return any(found.rstrip("/") == address.rstrip("/") for found in self.sources)


def box_of(machine: Machine, matrix: Matrix) -> Box:
    """The machine for a driver plan; NoBuildError where its driver is no matter of its packages."""
    _require_own_driver(machine, matrix)
    reading = _Readings(machine)
    packages = tuple((str(row[0]), str(row[1])) for row in reading.rows("driver.package") if row[2] == "installed")
    distribution = _distribution(machine, matrix)
    installed = reading.texts("kernel.installed")
    following = reading.text("kernel.next")
    modules = {str(row[0]): row[1] for row in reading.rows("kernel.driver_module")}
    driver = machine.driver
    release = (driver.kernel_module_version or driver.driver_version) if driver else None
    kernel = machine.host.kernel
    return Box(
        machine=machine,
        distribution=distribution,
        distribution_id=machine.host.os or "",
        arch={"arm64": "aarch64", "amd64": "x86_64"}.get(machine.host.arch or "", machine.host.arch or "x86_64"),
        kernel=kernel,
        next_kernel=following,
        is_pinned=bool(reading.value("kernel.next_is_sure")) and bool(installed) and following != installed[-1],
        has_secure_boot=reading.flag("kernel.secure_boot"),
        packages=packages if reading.value("driver.packages") is not None else None,
        release=release or _release_of(packages),
        flavour=(driver.kernel_module if driver else None) or _flavour_of(packages),
        has_runfile=reading.text("driver.runfile") is not None,
        held=tuple(name for key in ("driver.held", "driver.locked") for name in reading.all_texts(key)),
        sources=tuple(
            str(row[1]) for key in ("driver.repository", "driver.rpm_repository") for row in reading.rows(key)
        ),
        has_ubuntu_drivers=reading.flag("driver.has_ubuntu_drivers") is True,
        is_upgraded_unattended=reading.flag("driver.automatic_upgrades"),
        nouveau=any(gpu.kernel_driver in ("nouveau", "nova", "nova_core") for gpu in machine.gpus),
        lacks_module=following in modules and modules[following] is None if following else False,
        has_docker=reading.text("ctr.program.docker") is not None,
        has_fabric_manager=any(_FABRIC_PACKAGE.match(name) for name, _ in packages)
        or "manager" in reading.texts("fabric.unit_files"),
        cloud=next((word for word in _CLOUDS if kernel and kernel.endswith(f"-{word}")), None),
    )


@dataclass(frozen=True, slots=True)
class _Readings:
    machine: Machine

    def _named(self, name: str) -> list[Reading]:
        return [one for one in self.machine.readings if one.name == name and one.failure is None]

    def value(self, name: str) -> object:
        found = self._named(name)
        return found[0].value if found else None

    def text(self, name: str) -> str | None:
        value = self.value(name)
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool | None:
        value = self.value(name)
        return value if isinstance(value, bool) else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.value(name)
        return tuple(map(str, value)) if isinstance(value, tuple) else ()

    def all_texts(self, name: str) -> tuple[str, ...]:
        """Of every source: a machine may have the settings of two package managers."""
        return tuple(str(text) for row in self.rows(name) for text in row)

    def rows(self, name: str) -> list[tuple[object, ...]]:
        return [one.value for one in self._named(name) if isinstance(one.value, tuple)]


# 535.183.01-0ubuntu0.22.04.1     3:580.82.07-1.el9     580.82.07_k6.4.0_150600.21-lp156.1
def _release_of(packages: tuple[tuple[str, str], ...]) -> DriverVersion | None:
    """Release in the versions of driver packages; the highest where they differ."""
    found = []
    for name, version in packages:
        match = re.match(r"(?:\d+:)?(\d{3}\.\d+(?:\.\d+)?)(?![\d.])", version)
        if match and re.match(
            r"libnvidia-compute|libnvidia-ml|nvidia-compute|nvidia-driver|libcuda1|kmod-nvidia", name
        ):
            found.append(DriverVersion(match[1]))
    return max(found, default=None)


_MODULE_PACKAGE = re.compile(
    r"(?:nvidia-(?:kernel-|open-kernel-)?(?:open-)?dkms|linux-(?:modules|objects)-nvidia|kmod-nvidia)"
)


def _flavour_of(packages: tuple[tuple[str, str], ...]) -> str | None:
    """Kernel module of the installed packages, for a driver that is not loaded; None where none or both are there."""
    found = {"open" if "-open" in name else "proprietary" for name, _ in packages if _MODULE_PACKAGE.match(name)}
    return found.pop() if len(found) == 1 else None


# --- whose driver it is -------------------------------------------------------------------------


def _require_own_driver(machine: Machine, matrix: Matrix) -> None:
    host = machine.host
    if host.is_wsl:
        raise NoBuildError(
            "Under WSL the driver is that of Windows: a Linux driver inside would hide it.",
            code="driver-of-another",
            do=("update the NVIDIA driver in Windows, then: wsl --shutdown",),
        )
    if host.system in ("windows", "darwin"):
        raise NoBuildError("Driver plans are for Linux.", code="distribution-not-covered")
    if host.container:
        raise NoBuildError(
            "This is a container: the driver belongs on its host, and one inside would hide it.",
            code="driver-of-another",
            evidence=(Evidence("container", host.container),),
            do=("gpusetup driver plan    (on the host)", "gpusetup driver plan --gpu NAME --os 'ubuntu 24.04'"),
        )
    if host.l4t or any(capability_of(gpu, matrix) in matrix.tegra for gpu in machine.gpus):
        raise NoBuildError(
            "On a Jetson the driver comes with JetPack: packages for PCIe cards would break it.",
            code="driver-of-another",
            evidence=(Evidence("Jetson Linux", host.l4t),) if host.l4t else (),
            do=("update JetPack: https://developer.nvidia.com/embedded/jetpack",),
        )
    readings = _Readings(machine)
    virtual = [
        gpu
        for gpu in machine.gpus
        if readings.text(f"gpu.{gpu.index}.virtualization_mode") == "vgpu"
        or (gpu.name and matrix.vgpu_runs_cuda(gpu.name) is not None)
    ]
    if virtual:
        raise NoBuildError(
            "This is a guest with a virtual GPU: its driver must be the vGPU guest driver that fits the host.",
            code="driver-of-another",
            evidence=(Evidence("GPU", virtual[0].name),),
            do=(
                "get the vGPU guest driver (GRID) from whoever runs the hypervisor, or from NVIDIA's licensing portal",
            ),
        )
    given = [gpu for gpu in machine.gpus if gpu.kernel_driver == "vfio-pci"]
    if machine.gpus and len(given) == len(machine.gpus):
        raise NoUsableGpuError(
            "Every GPU of this host is kept for virtual machines (vfio-pci): the driver belongs into the guests.",
            code="driver-of-another",
            evidence=tuple(Evidence(gpu.pci_bus_id or "GPU", "vfio-pci", source="sysfs") for gpu in given),
            do=("gpusetup driver plan    (inside the guest that has the GPU)",),
        )
    if machine.gpus and machine.host.arch not in (None, "x86_64", "aarch64", "amd64", "arm64"):
        raise NoBuildError(f"NVIDIA has no driver packages for {machine.host.arch}.", code="distribution-not-covered")


def _distribution(machine: Machine, matrix: Matrix) -> Distribution:
    host = machine.host
    like = _Readings(machine).text("host.os_like") or ""
    version = host.os_version or ""
    known = matrix.driver_sources
    for word in (host.os or "", *like.split()):
        name = _SAME_AS.get(word, word)
        numbers = version if name == "ubuntu" else version.partition(".")[0]
        if found := known.distribution(f"{name} {numbers}"):
            return found
    names = ", ".join(row.name for row in known.distributions)
    found_name = f"{host.os or 'unknown'} {version}".strip()
    raise NoBuildError(
        f"The driver steps of {found_name} are not written.",
        code="distribution-not-covered",
        evidence=(Evidence("distribution", found_name, source="os-release", needs=names),),
        do=(
            "install the driver as this distribution documents it",
            "gpusetup driver plan --os 'ubuntu 24.04' --gpu NAME    (the steps of another one)",
        ),
    )
