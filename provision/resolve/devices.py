"""The GPUs of a machine with what the matrix knows of them, and what their driver does with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..matrix.model import Architecture, GpuClass
    from ..records import Gpu, Machine
    from ..versions import ComputeCapability
    from .driver import DriverFacts


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """One GPU of the box with what the matrix adds to it."""

    place: int
    """Place among the GPUs of the machine; a hand-written document may repeat an index."""
    index: int
    label: str
    """Name of the GPU for people."""
    compute_capability: ComputeCapability | None
    architecture: Architecture | None
    gpu_class: GpuClass | None
    """None when neither the name nor the PCI id is known."""
    kernel_module: Literal["open", "proprietary", "either"] | None
    """Kernel module that it needs; None when its architecture is not known."""
    is_split_to_nothing: bool
    """MIG is on and there is no instance: CUDA sees no device."""
    is_vgpu_without_cuda: bool
    """A vGPU of a series on which CUDA does not run."""

    @property
    def board(self) -> tuple[object, ...]:
        """Everything that the rules ask about one GPU, so that equal boards are judged alike."""
        kind = (self.label, self.compute_capability, self.gpu_class, self.kernel_module)
        return *kind, self.is_split_to_nothing, self.is_vgpu_without_cuda


@dataclass(frozen=True, slots=True, eq=False)
class Gpus:
    """The GPUs of a box, and those among them that something speaks against."""

    devices: tuple[Device, ...]
    boards: tuple[tuple[object, ...], ...]
    """Distinct GPUs: name, compute capability, class, kernel module."""
    capabilities: tuple[ComputeCapability, ...]
    """Distinct known compute capabilities, lowest first."""
    unknown: tuple[Device, ...]
    """Those whose compute capability nobody knows."""
    dropped: tuple[tuple[Device, Architecture], ...]
    """Those that the driver branch no longer serves."""
    unserved: tuple[tuple[Device, Architecture], ...]
    """Those that the driver does not serve yet."""
    wrong_module: tuple[Device, ...]
    """Those that need the other kernel module than the one that is loaded, or than the most capable GPU beside them."""
    split_to_nothing: tuple[Device, ...]
    """Those in MIG mode without an instance."""
    vgpus_without_cuda: tuple[Device, ...]
    """vGPUs of a series on which CUDA does not run."""


def devices_of(machine: Machine, matrix: Matrix, assumptions: list[str]) -> tuple[Device, ...]:
    """The NVIDIA GPUs of a machine; what the matrix had to add is told in the assumptions."""
    return tuple(_device(place, gpu, matrix, assumptions) for place, gpu in enumerate(machine.gpus))


def _device(place: int, gpu: Gpu, matrix: Matrix, assumptions: list[str]) -> Device:
    capability, row_by = gpu.compute_capability, None
    if capability is None and gpu.pci_device_id and (capability := matrix.capability_by_pci_id(gpu.pci_device_id)):
        row_by = f"its PCI id {gpu.pci_device_id}"
    if capability is None and gpu.name and (capability := matrix.capability_by_name(gpu.name)):
        row_by = "its name"
    label = gpu.name or gpu.pci_device_id or f"GPU {gpu.index}"
    if row_by:
        assumptions.append(f"{label} has compute capability {capability}, by {row_by}.")
    architecture = matrix.architecture_of(capability) if capability else None
    return Device(
        place=place,
        index=gpu.index,
        label=label,
        compute_capability=capability,
        architecture=architecture,
        gpu_class=_class_of(gpu, matrix),
        kernel_module=_module_of(gpu, architecture, matrix),
        is_split_to_nothing=gpu.mig_mode == "enabled" and gpu.mig_instances == 0,
        is_vgpu_without_cuda=bool(gpu.name) and matrix.vgpu_runs_cuda(gpu.name or "") is False,
    )


def _class_of(gpu: Gpu, matrix: Matrix) -> GpuClass | None:
    found = matrix.class_by_name(gpu.name) if gpu.name else None
    return found or (matrix.class_by_pci_id(gpu.pci_device_id) if gpu.pci_device_id else None)


def _module_of(
    gpu: Gpu, architecture: Architecture | None, matrix: Matrix
) -> Literal["open", "proprietary", "either"] | None:
    row = matrix.gpu_by_name(gpu.name) if gpu.name else None
    rows = (row,) if row else matrix.gpus_by_pci_id(gpu.pci_device_id) if gpu.pci_device_id else ()
    if rows and all(known.name in matrix.module_branches.open_only for known in rows):
        return "open"
    return architecture.kernel_module if architecture else None


def gpus_under(driver: DriverFacts, devices: tuple[Device, ...], matrix: Matrix) -> Gpus:
    """The GPUs of a box under its driver."""
    number = driver.comparable
    branch = matrix.branch_of(number) if number else None
    served = [(device, device.architecture) for device in devices if device.architecture]
    return Gpus(
        devices=devices,
        boards=tuple(dict.fromkeys([device.board for device in devices])),
        capabilities=tuple(sorted({device.compute_capability for device in devices if device.compute_capability})),
        unknown=tuple([device for device in devices if device.compute_capability is None]),
        dropped=tuple([(device, row) for device, row in served if branch and _is_past(branch.branch, row.last_branch)]),
        unserved=tuple(
            [
                (device, row)
                for device, row in served
                if number
                and (oldest := row.oldest_driver(device.compute_capability, is_windows=driver.is_windows))
                and number < oldest
            ]
        ),
        wrong_module=() if driver.is_windows else _wrong_module(devices, driver.kernel_module),
        split_to_nothing=tuple([device for device in devices if device.is_split_to_nothing]),
        vgpus_without_cuda=tuple([device for device in devices if device.is_vgpu_without_cuda]),
    )


def _wrong_module(devices: tuple[Device, ...], module: str | None) -> tuple[Device, ...]:
    """One kernel module drives all GPUs of a box: where nobody said which it is, the most capable GPU decides."""
    bound = [device for device in devices if device.kernel_module not in (None, "either")]
    if module is None and bound:
        module = max(bound, key=lambda device: device.compute_capability or (0, 0)).kernel_module
    return tuple(device for device in bound if device.kernel_module != module)


def _is_past(branch: int, limit: int | None) -> bool:
    return limit is not None and branch > limit
