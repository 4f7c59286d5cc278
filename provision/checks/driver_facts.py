"""What several checks of the driver and of the kernel ask of the facts. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..versions import DriverVersion
from .base import not_from_a_warning

if TYPE_CHECKING:
    from ..matrix.model import Architecture
    from ..records import Finding, Gpu
    from .facts import Facts, HostClass

NOT_THE_HOST: Final[tuple[HostClass, ...]] = ("paste", "container", "wsl", "jetson")
"""Boxes whose kernel and driver somebody else looks after, or nobody looked at."""

WITHOUT_MODULE: Final = (
    "driver.module_loaded",
    "driver.nouveau",
    "pci.driver_binding",
    "pci.count_vs_nvml",
    "driver.kmd_umd_match",
    "driver.device_nodes",
    "driver.nvml_init",
    "driver.uvm",
    "cuda.libcuda",
    "cuda.init",
)
"""Checks that fail because the driver's module does not load, or takes no GPU."""


def explains_without_module(facts: Facts, mine: Finding, other: Finding) -> bool:
    """Whether a finding about the module on disk explains another: a module that runs is not missing."""
    if other.id in WITHOUT_MODULE:
        return mine.status != "warn" and loaded_release(facts) is None
    return not_from_a_warning(facts, mine, other)


# 535.183.01-0ubuntu0.22.04.1     3:580.82.07-1.el9     580.82.07_k6.4.0_150600.21-lp156.1
def package_release(version: str) -> DriverVersion | None:
    """Driver release in the version of a package; None where it holds none."""
    match = re.match(r"(?:\d+:)?(\d{3}\.\d+(?:\.\d+)?)(?![\d.])", version)
    return DriverVersion(match[1]) if match else None


def packages(facts: Facts) -> dict[str, str]:
    """Version by name of the installed packages of the driver."""
    rows = (value for value in facts.values("driver.package") if isinstance(value, tuple))
    return {str(name): str(version) for name, version, state in rows if state == "installed"}


_KERNEL_PACKAGE = re.compile(
    r"nvidia-(?:dkms|kernel-source|kernel-open-dkms|kernel-dkms|open-kernel-dkms|open-dkms)(?:-\d{3}.*)?$"
    r"|a?kmod-nvidia(?!.*(?:fs|peermem))|nvidia-open-driver-G\d+.*-kmp-|nvidia-driver-G\d+-kmp-"
)
_LIBRARY_PACKAGE = re.compile(
    r"libnvidia-compute-\d|libnvidia-ml1?$|libcuda1$|nvidia-compute-(?:utils-)?G\d+$|nvidia-driver-(?:cuda-)?libs$"
    r"|xorg-x11-drv-nvidia(?:-cuda)?-libs$"
)


def module_packages(facts: Facts) -> dict[str, DriverVersion]:
    """Release by name of the packages that bring the kernel module."""
    return _releases(facts, _KERNEL_PACKAGE)


def library_packages(facts: Facts) -> dict[str, DriverVersion]:
    """Release by name of the packages that bring the user libraries."""
    return _releases(facts, _LIBRARY_PACKAGE)


def _releases(facts: Facts, wanted: re.Pattern[str]) -> dict[str, DriverVersion]:
    found = {name: package_release(version) for name, version in packages(facts).items() if wanted.match(name)}
    return {name: release for name, release in found.items() if release}


def dkms_entries(facts: Facts) -> tuple[tuple[str, str, str | None, str], ...]:
    """Module, release, kernel and state of every line of `dkms status` about the driver."""
    rows = (value for value in facts.values("kernel.dkms") if isinstance(value, tuple))
    return tuple((str(row[0]), str(row[1]), None if row[2] is None else str(row[2]), str(row[3])) for row in rows)


def loaded_release(facts: Facts) -> DriverVersion | None:
    """Release of the loaded kernel module."""
    return facts.machine.driver.kernel_module_version if facts.machine.driver else None


def installed_release(facts: Facts) -> tuple[DriverVersion, str] | None:
    """Release of the driver and where that is known from: the loaded module, else the one that is installed."""
    if release := loaded_release(facts):
        return release, "/sys/module/nvidia/version"
    told = facts.text("driver.modinfo_version")
    if told and (release := package_release(told)):
        return release, "modinfo nvidia"
    for _, version, _, _ in dkms_entries(facts):
        if release := package_release(version):
            return release, "dkms status"
    for found in (module_packages(facts), library_packages(facts)):
        if found:
            return max(found.values()), "installed packages"
    return None


def architecture_of(facts: Facts, gpu: Gpu) -> Architecture | None:
    """Architecture of a GPU; None where the matrix does not know it."""
    if facts.matrix is None:
        return None
    capability = gpu.compute_capability
    if capability is None and gpu.pci_device_id:
        capability = facts.matrix.capability_by_pci_id(gpu.pci_device_id)
    if capability is None and gpu.name:
        capability = facts.matrix.capability_by_name(gpu.name)
    return facts.matrix.architecture_of(capability) if capability else None


def is_data_center(facts: Facts, gpu: Gpu) -> bool:
    """Whether the matrix knows the GPU as a data-centre board."""
    if facts.matrix is None:
        return False
    known = facts.matrix.class_by_name(gpu.name) if gpu.name else None
    if known is None and gpu.pci_device_id:
        known = facts.matrix.class_by_pci_id(gpu.pci_device_id)
    return known == "data_center"


def modules_on_disk(facts: Facts) -> dict[str, str | None]:
    """Path of the driver's module by kernel, None for a kernel that has none; unreadable ones are left out."""
    rows = (value for value in facts.values("kernel.driver_module") if isinstance(value, tuple))
    return {str(name): None if path is None else str(path) for name, path in rows}


def has_headers(facts: Facts, kernel: str) -> bool | None:
    """Whether the headers of a kernel are installed; None when nobody looked."""
    rows = (value for value in facts.values("kernel.headers") if isinstance(value, tuple))
    return next((bool(is_there) for name, is_there in rows if name == kernel), None)


def running_kernel(facts: Facts) -> str | None:
    """Release of the running kernel, as uname tells it."""
    return facts.machine.host.kernel
