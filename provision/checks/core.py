"""The checks that decide whether a GPU can be used at all: `plan`, `install` and `accept` run these alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import (
    ctr_gpu_granted,
    cuda_visible_devices,
    driver_device_nodes,
    driver_dstate,
    driver_kmd_umd_match,
    driver_module_loaded,
    driver_nouveau,
    driver_nvml_init,
    driver_query_latency,
    driver_uvm,
    gpu_compute_mode,
    gpu_mig_state,
    pci_count_vs_nvml,
    pci_driver_binding,
    pci_gpu_present,
    sys_wsl,
)

if TYPE_CHECKING:
    from .base import Check

_MODULES: Final = (
    # Causes stand before what they cause: of two unexplained failures the first leads the report.
    pci_gpu_present,
    sys_wsl,
    ctr_gpu_granted,
    driver_nouveau,
    driver_module_loaded,
    pci_driver_binding,
    driver_kmd_umd_match,
    driver_dstate,
    driver_device_nodes,
    driver_nvml_init,
    driver_query_latency,
    driver_uvm,
    pci_count_vs_nvml,
    gpu_mig_state,
    gpu_compute_mode,
    cuda_visible_devices,
)
CHECKS: Final[tuple[Check, ...]] = tuple(check for module in _MODULES for check in module.CHECKS)
