"""Every check, in the order in which a report ranks causes.

Causes stand before what they cause: of two unexplained failures of one severity the first leads the report.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from .base import LEVELS

if TYPE_CHECKING:
    from .base import Check, Level

MODULES: Final[dict[str, Level]] = {
    "hw_board": "quick",
    "pci_setup": "instant",
    "driver_release": "instant",
    "driver_packages": "quick",
    "pci_gpu_present": "instant",
    "sys_wsl": "instant",
    "ctr_gpu_granted": "instant",
    "driver_nouveau": "instant",
    "driver_module_loaded": "instant",
    "pci_driver_binding": "instant",
    "driver_kmd_umd_match": "quick",
    "driver_dstate": "instant",
    "driver_device_nodes": "instant",
    "driver_nvml_init": "quick",
    "driver_query_latency": "quick",
    "driver_uvm": "instant",
    "pci_count_vs_nvml": "quick",
    "gpu_mig_state": "quick",
    "gpu_compute_mode": "quick",
    "cuda_visible_devices": "quick",
    "kernel_log": "quick",
    "kernel_host": "instant",
    "cuda_library": "instant",
    "cuda_start": "quick",
    # Of now they explain what is above; of the next start they come after what fails now.
    "kernel_state": "instant",
    "kernel_boot": "instant",
    "cuda_build": "instant",
    "cuda_variables": "instant",
    "driver_setup": "instant",
    "fabric": "quick",
    "links": "quick",
    "gpu_repairs": "quick",
    "gpu_ecc": "quick",
    "gpu_virtual": "quick",
    "gpu_clocks": "quick",
    "gpu_power": "quick",
    "gpu_memory": "quick",
    "gpu_dcgm": "deep",
    "pci_link": "instant",
    "pci_peers": "instant",
    "multi_gpu": "instant",
    "infiniband": "quick",
    "wheel_build": "quick",
    "wheel_code": "quick",
    "wheel_system": "quick",
    "wheel_packages": "quick",
    "wheel_record": "quick",
    "wheel_use": "quick",
    "container_inside": "instant",
    "container_toolkit": "quick",
    "container_engine": "quick",
    "container_devices": "instant",
    "sys_platform": "instant",
    "sys_drives": "instant",
    "sys_disk": "instant",
    "sys_memory": "instant",
    "sys_cpu": "instant",
    "sys_host": "instant",
    "sys_services": "quick",
    "net": "instant",
    "driver_life": "instant",
}
"""Modules of checks in their order, each with the least level of its checks: a cheap run imports only what it makes."""


@cache
def checks_up_to(level: Level) -> tuple[Check, ...]:
    """The checks whose facts that level gathers."""
    paid = LEVELS[: LEVELS.index(level) + 1]
    names = (name for name, least in MODULES.items() if least in paid)
    checks = (check for name in names for check in import_module(f".{name}", __package__).CHECKS)
    return tuple(check for check in checks if check.level in paid)
