"""The matrix as a whole, and the questions that are asked of it. Pure lookups, no judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .model import python_minor

if TYPE_CHECKING:
    from ..versions import ComputeCapability, CudaVersion, DriverVersion
    from .model import (
        Architecture,
        CompanionMinor,
        CubinRow,
        CudaMajor,
        CudaToolkit,
        DriverBranch,
        GpuRow,
        ModuleBranches,
        Numbers,
        TorchRelease,
        TransformersMinor,
    )


def plain_name(name: str) -> str:
    """A GPU name without the vendor, in lower case and single blanks: drivers before 465 print no 'NVIDIA '."""
    words = name.casefold().split()
    return " ".join(words[1:] if words[:1] == ["nvidia"] else words)


def _newest(rows: tuple[CompanionMinor, ...], release: TorchRelease, python: str) -> Numbers | None:
    minor = python_minor(python)
    return next((row.last for row in reversed(rows) if row.python <= minor and row.torch <= release.key), None)


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Every compatibility fact. Tables keep the order of the file; releases are oldest first."""

    revision: str
    read_on: str
    origin: str
    """Name of the file that it was read from, for messages."""
    sources: tuple[tuple[str, str], ...]
    torch_index: str
    """Address of a variant's wheel index, with `{variant}` in it."""
    assumed_pythons: tuple[str, ...]
    """Pythons of a plan for a machine whose Python nobody named, best first."""
    releases: tuple[TorchRelease, ...]
    cubins: tuple[CubinRow, ...]
    tegra: tuple[ComputeCapability, ...]
    """Devices whose driver numbers do not compare with desktop branches."""
    cuda_majors: tuple[CudaMajor, ...]
    toolkits: tuple[CudaToolkit, ...]
    branches: tuple[DriverBranch, ...]
    architectures: tuple[Architecture, ...]
    module_branches: ModuleBranches
    transformers: tuple[TransformersMinor, ...]
    accelerate: tuple[CompanionMinor, ...]
    peft: tuple[CompanionMinor, ...]
    free_threaded: tuple[tuple[str, tuple[str, ...]], ...]
    """Per compiled companion, the free-threaded Python tags that it publishes wheels for."""
    gpus: tuple[GpuRow, ...]
    _names: dict[str, GpuRow] = field(init=False, repr=False, compare=False)
    _pci: dict[str, tuple[GpuRow, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {plain_name(name): row for row in self.gpus for name in (*row.nvml_names, row.name)}
        pci: dict[str, tuple[GpuRow, ...]] = {}
        for row in self.gpus:
            for device in row.pci_device_ids:
                pci[device] = (*pci.get(device, ()), row)
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_pci", pci)

    # --- GPUs -----------------------------------------------------------------------------------

    def gpu_by_name(self, name: str) -> GpuRow | None:
        """The row of a name as nvidia-smi prints it, with or without 'NVIDIA ', or of a row's own name.

        Short forms of data center boards (T4, V100-SXM2-16GB) and of GeForce boards (RTX 4090) are understood. A laptop
        GPU is another product than the desktop board of the same number and is not found here.
        """
        plain = plain_name(name)
        for candidate in (plain, f"tesla {plain}", f"geforce {plain}"):
            if row := self._names.get(candidate):
                return row
        return None

    def gpus_by_pci_id(self, pci_device_id: str) -> tuple[GpuRow, ...]:
        """Every row with that vendor:device."""
        return self._pci.get(pci_device_id.lower(), ())

    def gpu_by_pci_id(self, pci_device_id: str) -> GpuRow | None:
        """The row of a vendor:device such as 10de:2330; None when there is none or several products share the id."""
        rows = self.gpus_by_pci_id(pci_device_id)
        return rows[0] if len(rows) == 1 else None

    def capability_by_pci_id(self, pci_device_id: str) -> ComputeCapability | None:
        """Compute capability of a vendor:device, also where products share the id and agree on it."""
        found = {row.compute_capability for row in self.gpus_by_pci_id(pci_device_id)}
        return found.pop() if len(found) == 1 else None

    def capability_by_name(self, name: str) -> ComputeCapability | None:
        """Compute capability of a name, or of all data center boards whose name starts with it (H100, A100)."""
        if row := self.gpu_by_name(name):
            return row.compute_capability
        plain = plain_name(name)
        family = (plain + " ", plain + "-", f"tesla {plain}-", f"tesla {plain} ")
        found = {
            row.compute_capability
            for row in self.gpus
            if plain and row.gpu_class == "data_center" and plain_name(row.name).startswith(family)
        }
        return found.pop() if len(found) == 1 else None

    def architecture_of(self, capability: ComputeCapability) -> Architecture | None:
        """The architecture of a compute capability."""
        return next((row for row in self.architectures if capability in row.capabilities), None)

    # --- torch ----------------------------------------------------------------------------------

    def release(self, version: str) -> TorchRelease | None:
        """The release of that exact version."""
        return next((row for row in self.releases if row.version == version), None)

    def newest_accelerate(self, release: TorchRelease, python: str) -> Numbers | None:
        """The newest accelerate that takes that torch and that Python (3.12, 3.14t); None when none is known."""
        return _newest(self.accelerate, release, python)

    def newest_peft(self, release: TorchRelease, python: str) -> Numbers | None:
        """The newest peft that takes that torch and that Python (3.12, 3.14t); None when none is known."""
        return _newest(self.peft, release, python)

    def index_url(self, variant: str) -> str:
        """Address of the wheel index of a variant."""
        return self.torch_index.replace("{variant}", variant)

    def cubin(self, code: ComputeCapability) -> CubinRow | None:
        """The row of a binary code."""
        return next((row for row in self.cubins if row.code == code), None)

    # --- CUDA and drivers -----------------------------------------------------------------------

    def cuda_major(self, major: int) -> CudaMajor | None:
        """Driver floors of a CUDA major."""
        return next((row for row in self.cuda_majors if row.major == major), None)

    def native_driver(self, cuda: CudaVersion, *, is_windows: bool = False) -> DriverVersion | None:
        """Oldest driver known to serve everything of that CUDA minor: the least figure of its toolkits."""
        drivers = [row.windows if is_windows else row.linux for row in self.toolkits if row.cuda == cuda]
        return min((driver for driver in drivers if driver), default=None)

    def branch_of(self, driver: DriverVersion) -> DriverBranch | None:
        """The branch of a driver: its own, else the next older one (Windows numbers lie between the branches)."""
        older = [row for row in self.branches if row.branch <= driver.branch]
        return max(older, key=lambda row: row.branch, default=None)
