"""The GPUs of a machine with what the matrix knows of them, and what their driver does with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..matrix.model import Architecture, GpuClass
    from ..records import Driver, Gpu, Machine
    from ..versions import ComputeCapability, CudaVersion


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


@dataclass(frozen=True, slots=True)
class Forward:
    """A libcuda of a newer CUDA than the kernel driver implements: the compatibility package is in use."""

    cuda: CudaVersion
    """CUDA that this libcuda implements."""
    refusal: str | None
    """Why it does not work on this box; None where it does."""
    needs: str
    """What it would need."""


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


def forward_of(driver: Driver | None, devices: tuple[Device, ...], matrix: Matrix) -> Forward | None:
    """The compatibility package that is in use on a Linux box whose driver numbers compare; None when there is none."""
    if driver is None or driver.driver_version is None or driver.driver_cuda_version is None:
        return None
    branch, cuda = matrix.branch_of(driver.driver_version), driver.driver_cuda_version
    if branch is None or cuda <= branch.cuda:
        return None
    outside = next((device for device in devices if device.gpu_class not in matrix.forward.classes), None)
    classes = " or ".join(name.replace("_", " ") for name in matrix.forward.classes)
    needs = f"the libcuda of the driver itself (CUDA {branch.cuda}), or a newer driver"
    if outside is not None:
        kind = outside.gpu_class.replace("_", " ") if outside.gpu_class else "unknown class"
        return Forward(cuda, f"{outside.label} is a board of {kind}, not {classes}", needs)
    allowed = matrix.forward_compatible(cuda, branch.branch)
    if not allowed:
        word = "is not known to accept" if allowed is None else "refuses"
        return Forward(cuda, f"its package {word} driver branch {branch.branch}", needs)
    return Forward(cuda, None, needs)
