"""The `data` of matrix/1: rows of the matrix as `matrix show` answers, apart from what a plan needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..versions import ComputeCapability, CudaVersion, DriverVersion, Glibc


@dataclass(frozen=True, slots=True)
class MatrixPlatform:
    """Wheels of a release on one platform."""

    platform: str
    pythons: tuple[str, ...]
    glibc: Glibc | None
    general_variant: str | None
    """Variant that the general package index publishes without a local label."""


@dataclass(frozen=True, slots=True)
class MatrixRelease:
    """A torch release."""

    version: str
    released: str
    platforms: tuple[MatrixPlatform, ...]
    companions: dict[str, str]
    """What goes with it, as requirements: transformers, torchvision, ..."""
    note: str | None
    source: tuple[str, ...]
    read_on: str


@dataclass(frozen=True, slots=True)
class MatrixBuild:
    """A build of a release, with how it stands to the driver and the GPU that were asked about."""

    torch: str
    variant: str
    cuda: CudaVersion | None
    toolkit: str | None
    platforms: tuple[str, ...]
    unknown_platforms: tuple[str, ...]
    """Platforms where nobody has seen a wheel, nor that there is none."""
    codes: dict[str, tuple[str, ...] | None]
    """Binary code per platform; null: not read."""
    ptx: tuple[str, ...] | None
    starts_on: DriverVersion | None
    """Oldest Linux driver, minor version compatibility included."""
    native_from: DriverVersion | None
    """Oldest Linux driver that serves everything of its CUDA; null for a CPU build and where nobody has read it."""
    start: Literal["native", "minor-version"] | None
    """How it starts on the driver that was asked about; null: none was, or it is a CPU build."""
    runs_as: Literal["binary", "ptx", "unknown"] | None
    """How the GPUs that were asked about run it; null: none were."""
    doubtful: str | None
    note: str | None
    place: str
    """File and path of the row."""


@dataclass(frozen=True, slots=True)
class MatrixToolkit:
    """A toolkit release and the oldest drivers that serve all of it."""

    version: str
    released: str | None
    linux: DriverVersion | None
    windows: DriverVersion | None
    doubtful: str | None


@dataclass(frozen=True, slots=True)
class MatrixCuda:
    """A CUDA minor."""

    cuda: CudaVersion
    toolkits: tuple[MatrixToolkit, ...]
    linux: DriverVersion | None
    """Oldest driver on which any wheel of its major starts."""
    windows: DriverVersion | None
    first_branch: int | None
    """First driver branch that implements it."""
    architectures: tuple[str, ...]
    """GPU architectures that it compiles for."""
    doubtful: str | None


@dataclass(frozen=True, slots=True)
class MatrixGpu:
    """A GPU product and the drivers that serve it."""

    name: str
    nvml_names: tuple[str, ...]
    architecture: str
    compute_capability: ComputeCapability
    gpu_class: str
    pci_device_ids: tuple[str, ...]
    memory_gib: float | None
    memory_mib: int | None
    bandwidth_gb_s: float | None
    tdp_w: int | None
    nvlink_gb_s: float | None
    dense_tflops: dict[str, float]
    kernel_module: str
    """open, proprietary, or either."""
    first_branch: int | None
    first_driver: DriverVersion | None
    """Oldest Linux driver, by its branch where no release is known."""
    last_branch: int | None
    is_served: bool | None
    """Whether the driver branch that was asked about serves it; null: none was."""
    note: str | None
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MatrixBoard:
    """A board of which the matrix knows what it is and nothing more."""

    name: str
    chip: str
    architecture: str
    compute_capability: ComputeCapability
    gpu_class: str
    pci_device_ids: tuple[str, ...]
    is_served: bool | None
    """Whether the driver branch that was asked about serves it; null: none was."""


@dataclass(frozen=True, slots=True)
class MatrixDriver:
    """A driver branch."""

    asked: str
    branch: int
    cuda: CudaVersion
    type: str | None
    released: str | None
    eol: str | None
    latest_linux: str | None
    latest_windows: str | None
    kernel_modules: tuple[str, ...]
    """Flavours that there are, the default first."""
    serves: tuple[str, ...]
    dropped: dict[str, int]
    """Architectures that an earlier branch served last."""
    not_yet: dict[str, int]
    """Architectures that a later branch serves first."""
    is_forbidden: bool
    """Whether a site file forbids every build on it."""
    doubtful: str | None


@dataclass(frozen=True, slots=True)
class MatrixBan:
    """An entry by which a site forbids builds."""

    what: str
    reason: str
    place: str


@dataclass(frozen=True, slots=True)
class MatrixSite:
    """The site file that is laid over the matrix."""

    path: str
    summary: str
    forbids: tuple[MatrixBan, ...]
    rows: tuple[str, ...]
    """Paths of its rows."""


@dataclass(frozen=True, slots=True)
class MatrixOverview:
    """The whole in a few lines."""

    torch: tuple[str, str]
    """Oldest and newest release."""
    newest_variants: tuple[str, ...]
    cuda: tuple[str, ...]
    """CUDA minors that a toolkit or a driver branch is known of."""
    branches: tuple[int, ...]
    supported_branches: tuple[int, ...]
    """Long-term and production branches before their end on the day of the reading."""
    architectures: dict[str, tuple[ComputeCapability, ...]]
    gpu_classes: dict[str, int]
    sources: int
    driver_distributions: dict[str, str | None]
    """Distributions with steps for a driver, and the fingerprint of NVIDIA's key for each; null: unknown."""


@dataclass(frozen=True, slots=True)
class MatrixData:
    """Data of matrix/1: what a matrix holds, with the rows that were asked for."""

    path: str
    revision: str
    read_on: str
    torch_releases: int
    builds: int
    gpus: int
    rows: tuple[str, ...] = ()
    """Builds and GPUs that were asked for by --torch and --gpu, as lines of text."""
    overview: MatrixOverview | None = None
    release_rows: tuple[MatrixRelease, ...] = ()
    build_rows: tuple[MatrixBuild, ...] = ()
    """Builds that everything that was asked for admits, oldest release first."""
    cuda_rows: tuple[MatrixCuda, ...] = ()
    gpu_rows: tuple[MatrixGpu, ...] = ()
    board_rows: tuple[MatrixBoard, ...] = ()
    """Boards without a row in gpus whose name or PCI id was asked about."""
    driver_rows: tuple[MatrixDriver, ...] = ()
    site: MatrixSite | None = None
