"""The matrix as a whole, and the questions that are asked of it. Pure lookups, no judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from .model import python_minor
from .vgpu_names import parse_vgpu_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..versions import ComputeCapability, CudaVersion, DriverVersion
    from .containers import Containers
    from .driver_sources import DriverSources
    from .faults import ClockReason, Faults, Sxid, Xid
    from .model import (
        Architecture,
        ChipTable,
        CompanionMinor,
        CubinRow,
        CudaMajor,
        CudaToolkit,
        DriverBranch,
        ForwardCompatibility,
        ForwardRow,
        GpuClass,
        GpuFigures,
        GpuRow,
        ModuleBranches,
        Numbers,
        TorchRelease,
        TransformersMinor,
        VgpuTable,
    )
    from .site import Site


def plain_name(name: str) -> str:
    """A GPU name without the vendor, in lower case and single blanks: drivers before 465 print no 'NVIDIA '."""
    words = name.casefold().split()
    return " ".join(words[1:] if words[:1] == ["nvidia"] else words)


@dataclass(frozen=True, slots=True)
class GpuIdentity:
    """What a name or a PCI id tells of a GPU. None where the boards that share it differ, or one of them is unknown."""

    compute_capability: ComputeCapability | None = None
    architecture: str | None = None
    gpu_class: GpuClass | None = None

    def common_with(self, other: GpuIdentity) -> GpuIdentity:
        """What both tell alike."""
        return GpuIdentity(
            self.compute_capability if self.compute_capability == other.compute_capability else None,
            self.architecture if self.architecture == other.architecture else None,
            self.gpu_class if self.gpu_class == other.gpu_class else None,
        )


_MOST_TOLD = 4096


def _tell(found: dict[str, GpuIdentity], keys: Iterable[str], identity: GpuIdentity) -> None:
    for key in keys:
        known = found.get(key)
        found[key] = identity if known is None or known is identity else known.common_with(identity)


def _newest(rows: tuple[CompanionMinor, ...], release: TorchRelease, python: str) -> Numbers | None:
    minor = python_minor(python)
    return next((row.last for row in reversed(rows) if row.python <= minor and row.torch <= release.key), None)


@dataclass(frozen=True, eq=False)
class Matrix:
    """Every compatibility fact. Tables keep the order of the file; releases are oldest first.

    Without slots, because a table that a plan seldom asks for is built when it is first asked for, and kept.
    """

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
    wsl_branch: int
    """Oldest branch of the Windows driver under which CUDA runs in WSL."""
    forward: ForwardCompatibility
    """Which boards and driver branches the compatibility package of each CUDA works on."""
    toolkits: tuple[CudaToolkit, ...]
    branches: tuple[DriverBranch, ...]
    architectures: tuple[Architecture, ...]
    module_branches: ModuleBranches
    transformers: tuple[TransformersMinor, ...]
    accelerate: tuple[CompanionMinor, ...]
    peft: tuple[CompanionMinor, ...]
    free_threaded: tuple[tuple[str, tuple[str, ...]], ...]
    """Per compiled companion, the free-threaded Python tags that it publishes wheels for."""
    vgpu: VgpuTable
    read_gpus: Callable[[], tuple[GpuRow, ...]] = field(repr=False)
    """Reads the rows of `gpus`, which is what is asked for."""
    read_chips: Callable[[], ChipTable] = field(repr=False)
    read_containers: Callable[[], Containers] = field(repr=False)
    read_faults: Callable[[], Faults] = field(repr=False)
    read_driver_sources: Callable[[], DriverSources] = field(repr=False)
    site: Site | None = None
    """The site file whose rows are among these, and what it forbids."""

    # --- GPUs -----------------------------------------------------------------------------------

    @cached_property
    def gpus(self) -> tuple[GpuRow, ...]:
        """Every GPU product. A GPU that tells its compute capability needs none of them, and they are most rows."""
        return self.read_gpus()

    @cached_property
    def chips(self) -> ChipTable:
        """Boards that have no row of their own, by chip."""
        return self.read_chips()

    @cached_property
    def containers(self) -> Containers:
        """Images and boards whose system decides: no plan of wheels pays for them."""
        return self.read_containers()

    @cached_property
    def faults(self) -> Faults:
        """What codes and bits mean, which drivers and releases are denied: for checks and explanations, no plan."""
        return self.read_faults()

    @cached_property
    def driver_sources(self) -> DriverSources:
        """Distributions, repositories and package names of drivers: for the steps of a driver, no plan of wheels."""
        return self.read_driver_sources()

    def build(self) -> None:
        """Build the tables that are built late; PlaceError where a row is not what it should be."""
        _ = self.gpus, self.chips, self.containers, self.faults, self.driver_sources

    @cached_property
    def _names(self) -> dict[str, GpuRow]:
        return {plain_name(name): row for row in self.gpus for name in (*row.nvml_names, row.name)}

    @cached_property
    def _pci(self) -> dict[str, tuple[GpuRow, ...]]:
        pci: dict[str, tuple[GpuRow, ...]] = {}
        for row in self.gpus:
            for device in row.pci_device_ids:
                pci[device] = (*pci.get(device, ()), row)
        return pci

    @cached_property
    def _identities(self) -> tuple[dict[str, GpuIdentity], dict[str, GpuIdentity]]:
        """What each plain name and each vendor:device tells."""
        names: dict[str, GpuIdentity] = {}
        devices: dict[str, GpuIdentity] = {}
        for row in self.gpus:
            identity = GpuIdentity(row.compute_capability, row.architecture, row.gpu_class)
            _tell(names, (plain_name(name) for name in (*row.nvml_names, row.name)), identity)
            _tell(devices, row.pci_device_ids, identity)
        for chip in self.chips.rows:
            for board in chip.boards:
                identity = GpuIdentity(chip.compute_capability, chip.architecture, board.gpu_class)
                for name, ids in board.names:
                    _tell(names, (plain_name(name),), identity)
                    _tell(devices, (f"10de:{device}" for device in ids), identity)
            identity = GpuIdentity(chip.compute_capability, chip.architecture)
            _tell(devices, (f"10de:{device}" for device in chip.other_ids), identity)
        names.update((plain_name(name), GpuIdentity()) for name in self.chips.older_too)
        return names, devices

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
        """Every row with that vendor:device, such as 10de:2330."""
        return self._pci.get(pci_device_id.lower(), ())

    def gpu_figures(self, *, name: str | None = None, pci_device_id: str | None = None) -> GpuFigures | None:
        """What checks compare a GPU with: by the name that nvidia-smi prints, else by vendor:device (10de:2330).

        A name of one product is better than a PCI id that several have: for those only what they agree on is told. None
        for a GPU without a row, such as a laptop's.
        """
        from .gpu_rows import figures_of

        row = self.gpu_by_name(name) if name else None
        if row is None and pci_device_id:
            return figures_of(self.gpus_by_pci_id(pci_device_id))
        return figures_of((row,)) if row else None

    def identity_by_pci_id(self, pci_device_id: str) -> GpuIdentity | None:
        """What a vendor:device tells, as far as all products with it agree; None for an unknown one."""
        return self._identities[1].get(pci_device_id.lower())

    def identity_by_board(self, name: str) -> GpuIdentity | None:
        """What the name of a board tells, as far as all boards with it agree; None for an unknown one.

        The name is one that nvidia-smi or torch prints, a short form of it (T4, RTX 4070 Laptop), or the beginning of
        the names of several data center boards (H100, A100).
        """
        plain = plain_name(name).partition(" mig ")[0]  # torch and NVML add the profile of a MIG device to the name
        forms = (plain, f"tesla {plain}", f"geforce {plain}", f"geforce {plain} gpu")
        names = self._identities[0]
        if found := next((names[form] for form in forms if form in names), None):
            return found
        family = (plain + " ", plain + "-", f"tesla {plain}-", f"tesla {plain} ")
        for row in self.gpus:
            if plain and row.gpu_class == "data_center" and plain_name(row.name).startswith(family):
                identity = GpuIdentity(row.compute_capability, row.architecture, row.gpu_class)
                found = identity if found is None else found.common_with(identity)
        return found

    def identity_by_name(self, name: str) -> GpuIdentity | None:
        """What a name tells, as `identity_by_board` does, and for the name of a vGPU what its physical board is."""
        if name not in self._told:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told[name] = self._identity_by_name(name)
        return self._told[name]

    @cached_property
    def _told(self) -> dict[str, GpuIdentity | None]:
        """What names told before: fleets ask for few names, many times."""
        return {}

    def _identity_by_name(self, name: str) -> GpuIdentity | None:
        # First the vGPU: on a host there is an A100X, and in a guest an A100X-40C, which is another board.
        if vgpu := parse_vgpu_name(name):
            boards = {part.casefold(): board for part, board in self.vgpu.boards}
            return self.identity_by_board(boards.get(vgpu.board.casefold(), vgpu.board))
        return self.identity_by_board(name)

    def capability_by_pci_id(self, pci_device_id: str) -> ComputeCapability | None:
        """Compute capability of a vendor:device, also where products share the id and agree on it."""
        identity = self.identity_by_pci_id(pci_device_id)
        return identity.compute_capability if identity else None

    def capability_by_name(self, name: str) -> ComputeCapability | None:
        """Compute capability of a name of `identity_by_name`, also where boards share the name and agree on it."""
        identity = self.identity_by_name(name)
        return identity.compute_capability if identity else None

    def class_by_pci_id(self, pci_device_id: str) -> GpuClass | None:
        """Class of the board with a vendor:device, also where products share the id and agree on it."""
        identity = self.identity_by_pci_id(pci_device_id)
        return identity.gpu_class if identity else None

    def class_by_name(self, name: str) -> GpuClass | None:
        """Class of the board with a name, for a vGPU that of its physical board."""
        identity = self.identity_by_name(name)
        return identity.gpu_class if identity else None

    def vgpu_runs_cuda(self, name: str) -> bool | None:
        """Whether CUDA applications run on the vGPU of that name; None when it is no vGPU's or of no known series."""
        vgpu = parse_vgpu_name(name)
        series = next((row for row in self.vgpu.series if vgpu and row.letter == vgpu.series), None)
        return series.runs_cuda(vgpu.board.upper(), vgpu.size_gib) if vgpu and series else None

    def capabilities_of_beginning(self, beginning: str) -> frozenset[ComputeCapability | None]:
        """Compute capabilities of all names whose plain form has that beginning; None for a name that tells none."""
        return frozenset(
            identity.compute_capability for name, identity in self._identities[0].items() if name.startswith(beginning)
        )

    def architecture_of(self, capability: ComputeCapability) -> Architecture | None:
        """The architecture of a compute capability."""
        return next((row for row in self.architectures if capability in row.capabilities), None)

    # --- torch ----------------------------------------------------------------------------------

    def release(self, version: str) -> TorchRelease | None:
        """The release of that exact version."""
        return next((row for row in self.releases if row.version == version), None)

    def place_of_build(self, version: str, variant: str) -> str:
        """Where the row of a build stands, for `source` of a reason."""
        path = ("torch", "releases", version, "variants", variant)
        file = self.site.path if self.site and self.site.owns(*path) else "matrix.yaml"
        return f"{file}: torch.releases[{version!r}].variants.{variant}"

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

    def forward_row(self, cuda: CudaVersion) -> ForwardRow | None:
        """The row of the compatibility package of a CUDA minor."""
        return next((row for row in self.forward.rows if row.cuda == cuda), None)

    def forward_compatible(self, cuda: CudaVersion, branch: int) -> bool | None:
        """Whether the compatibility package of a CUDA runs on kernel drivers of a branch; None: nobody has read it.

        It is a question about branches older than that of the CUDA itself, on boards of `forward.classes`.
        """
        row = self.forward_row(cuda)
        if row is None:
            return None
        if branch in (row.refused or ()):
            return False
        return True if branch in (row.accepted or ()) else None

    def branch_of(self, driver: DriverVersion) -> DriverBranch | None:
        """The branch of a driver: its own, else the next older one (Windows numbers lie between the branches)."""
        found = None
        for row in self.branches:  # they stand in ascending order
            if row.branch > driver.branch:
                break
            found = row
        return found

    # --- faults ---------------------------------------------------------------------------------

    def xid(self, number: int) -> Xid | None:
        """The row of an Xid of the kernel log."""
        return self.faults.xid(number)

    def sxid(self, number: int) -> Sxid | None:
        """The row of an SXid of the kernel log."""
        return self.faults.sxid(number)

    @property
    def clock_reasons(self) -> tuple[ClockReason, ...]:
        """Bits of the reasons for a lower clock, lowest first."""
        return self.faults.clock_reasons
