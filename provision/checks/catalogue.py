"""Every check, in the order in which a report ranks causes.

Causes stand before what they cause: of two unexplained failures of one severity the first leads the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import (
    container_devices,
    container_engine,
    container_inside,
    container_toolkit,
    core,
    cuda_library,
    cuda_variables,
    driver_packages,
    driver_release,
    driver_setup,
    fabric,
    gpu_clocks,
    gpu_dcgm,
    gpu_ecc,
    gpu_memory,
    gpu_power,
    gpu_repairs,
    gpu_virtual,
    hw_board,
    infiniband,
    kernel_boot,
    kernel_log,
    links,
    multi_gpu,
    net,
    pci_link,
    pci_setup,
    sys_cpu,
    sys_disk,
    sys_host,
    sys_memory,
    sys_platform,
    wheel_build,
    wheel_packages,
)

if TYPE_CHECKING:
    from .base import Check

_MODULES: Final = (
    hw_board,
    pci_setup,
    kernel_boot,
    driver_release,
    driver_packages,
    core,
    kernel_log,
    cuda_variables,
    cuda_library,
    driver_setup,
    fabric,
    links,
    gpu_repairs,
    gpu_ecc,
    gpu_virtual,
    gpu_clocks,
    gpu_power,
    gpu_memory,
    gpu_dcgm,
    pci_link,
    multi_gpu,
    infiniband,
    wheel_build,
    wheel_packages,
    container_inside,
    container_toolkit,
    container_engine,
    container_devices,
    sys_platform,
    sys_memory,
    sys_disk,
    sys_cpu,
    sys_host,
    net,
)
CHECKS: Final[tuple[Check, ...]] = tuple(check for module in _MODULES for check in module.CHECKS)
