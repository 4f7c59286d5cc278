"""The shape of matrix.yaml as frozen records: the classes are the schema.

None means that nobody has read the fact; an empty tuple means that it was read and there is none.
Every table is in the order of the file. Rows are compared by identity: there is one object per row, and generating
comparisons for every class would take a tenth of the time that a cold plan may take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ..versions import DriverVersion

if TYPE_CHECKING:
    from ..versions import ComputeCapability, CudaVersion, Glibc

GpuClass = Literal["data_center", "workstation", "geforce", "embedded"]

Form = Literal["pcie", "sxm", "superchip", "soc"]
"""A card in a slot, a module on a baseboard, a module with its processor, or both on one chip."""

PLATFORMS: Final = ("linux_x86_64", "linux_aarch64", "windows_x86_64", "darwin_arm64", "darwin_x86_64")
"""The platforms that torch wheels are listed for; darwin is macOS, where every wheel counts as a CPU build."""

Numbers = tuple[int, ...]
"""A plain release number such as (2, 9, 1); shorter ones compare like a prefix."""


def numbers(text: str) -> Numbers:
    """(2, 9, 1) from '2.9.1'; ValueError when anything but numbers and dots is there."""
    return tuple(int(part) for part in text.split("."))


def python_minor(python: str) -> tuple[int, ...]:
    """(3, 14) of 3.14t; (0, 0) of what is not CPython, so that nothing fits it."""
    return tuple(int(part) for part in python.rstrip("t").split(".")) if python[:1].isdigit() else (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class VersionRange:
    """A half-open range of releases, `>=4.48,<6`, less single minors or patches: `>=4.48,<6,!=4.52.*,!=5.20.0`."""

    at_least: str
    below: str
    without: tuple[str, ...] = ()
    """What in its midst does not belong to it: 4.52.* or 5.20.0."""

    def __str__(self) -> str:
        return ",".join([f">={self.at_least}", f"<{self.below}", *(f"!={release}" for release in self.without)])

    def holds(self, version: Numbers) -> bool:
        """Whether the release lies inside."""
        is_within = numbers(self.at_least) <= version < numbers(self.below)
        return is_within and not any(_names(release, version) for release in self.without)


def _names(release: str, version: Numbers) -> bool:
    named = numbers(release.removesuffix(".*"))
    return version[: len(named)] == named


@dataclass(frozen=True, slots=True, eq=False)
class WheelPlatform:
    """What one release offers on one platform."""

    platform: str
    pythons: tuple[str, ...]
    """Python tags with their ABI flag: cp312, cp313t."""
    glibc: Glibc | None
    """Least glibc that the binaries really need; None on Windows and macOS."""
    tag: str
    """Platform tag of the wheels on the PyTorch index."""
    general_tag: str
    """Platform tag of the wheels on the general package index."""
    general_variant: str | None
    """Variant that the general package index publishes without a local label; None when it has no wheel at all."""
    requires: tuple[tuple[str, str], ...] | None = None
    """What the wheels of the general index ask for by exact version: name (with extras) and a version, a specifier, or
    either with a marker for Pythons. None when nobody has read it."""
    macos: Numbers | None = None
    """Least macOS that the libraries inside were built for."""
    other_tags: tuple[tuple[str, str], ...] = ()
    """Python tags whose wheels carry another platform tag."""
    abi_none: tuple[str, ...] = ()
    """Python tags whose wheels say `none` where others name their ABI."""

    def wheel_tag(self, python_tag: str, platform_tag: str | None = None) -> str:
        """cp312-cp312-manylinux_2_28_x86_64 of cp312; `platform_tag` where a variant carries its own."""
        abi = "none" if python_tag in self.abi_none else python_tag
        platform = dict(self.other_tags).get(python_tag, platform_tag or self.tag)
        return f"{python_tag.rstrip('t')}-{abi}-{platform}"


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One build of a release: its CUDA and what it was compiled for."""

    name: str
    cuda: CudaVersion | None
    """CUDA inside the wheel; None for the CPU build."""
    toolkit: str | None
    """Full toolkit release, 12.8.1."""
    on: tuple[str, ...]
    """Platforms that it is published for."""
    unknown_on: tuple[str, ...]
    """Platforms where nobody could look."""
    arch: tuple[tuple[str, tuple[ComputeCapability, ...] | None], ...]
    """Binary code per platform."""
    ptx: tuple[ComputeCapability, ...] | None
    """Virtual code, compiled on the machine for devices that are newer."""
    cudnn: str | None
    nccl: str | None
    glibc: tuple[tuple[str, Glibc], ...]
    """Where this build needs another glibc than its release."""
    tag: tuple[tuple[str, str], ...]
    """Where its wheels carry another platform tag than those of its release."""
    unlabelled_on: tuple[str, ...]
    """Platforms whose wheels carry no local label: torch.__version__ prints 2.5.1, not 2.5.1+cu124."""
    doubtful: str | None
    note: str | None
    source: tuple[str, ...]

    def arch_list(self, platform: str) -> tuple[ComputeCapability, ...] | None:
        """Binary code on that platform, None when nobody has read it; Windows is listed with Linux x86_64."""
        lists = dict(self.arch)
        return lists.get(platform, lists.get("linux_x86_64") if platform == "windows_x86_64" else None)

    def is_published(self, platform: str) -> bool | None:
        """Whether wheels for that platform exist; None when nobody could look."""
        if platform in self.on:
            return True
        return None if platform in self.unknown_on else False


@dataclass(frozen=True, slots=True, eq=False)
class Companions:
    """What belongs to a release."""

    torchvision: str
    torchaudio: str
    triton: str
    transformers: VersionRange
    numpy: str | None
    """Specifier that the release needs, None when any numpy will do."""
    numpy_windows: str | None
    setuptools: str | None
    safetensors: str | None
    """Specifier that ends the range of safetensors, None when any newer one will do."""


@dataclass(frozen=True, slots=True, eq=False)
class TorchRelease:
    """One torch release with all its builds."""

    version: str
    key: Numbers
    released: str
    platforms: tuple[WheelPlatform, ...]
    variants: tuple[Variant, ...]
    companions: Companions
    note: str | None
    source: tuple[str, ...]
    read_on: str

    def platform(self, name: str) -> WheelPlatform | None:
        """The row of that platform."""
        return next((row for row in self.platforms if row.platform == name), None)

    def variant(self, name: str) -> Variant | None:
        """The build of that name."""
        return next((row for row in self.variants if row.name == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class CubinRow:
    """Which devices one binary code runs on."""

    code: ComputeCapability
    only: tuple[ComputeCapability, ...]
    """When given, exactly these devices."""
    at_least: ComputeCapability | None
    below: ComputeCapability | None
    excluded: tuple[ComputeCapability, ...]
    unified_from: CudaVersion | None
    """CUDA release from which the code also runs on the excluded devices."""

    def runs_on(self, device: ComputeCapability, cuda: CudaVersion) -> bool:
        """Whether code of a wheel with that CUDA runs on the device."""
        if self.only:
            return device in self.only
        if self.at_least is None or self.below is None or not self.at_least <= device < self.below:
            return False
        is_unified = self.unified_from is not None and cuda >= self.unified_from
        return is_unified or device not in self.excluded


@dataclass(frozen=True, slots=True, eq=False)
class CudaMajor:
    """Oldest drivers on which any wheel of a CUDA major starts."""

    major: int
    linux: DriverVersion
    windows: DriverVersion
    doubtful: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ForwardRow:
    """Driver branches under the compatibility package of one CUDA minor."""

    cuda: CudaVersion
    accepted: tuple[int, ...] | None
    """Branches of the kernel driver that the package runs on."""
    refused: tuple[int, ...] | None
    """Branches that NVIDIA names as not working."""
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ForwardCompatibility:
    """Where user space of a newer CUDA runs on an older kernel driver (cuda-compat): by board class and branch."""

    classes: tuple[GpuClass, ...]
    """Boards that it works on."""
    refused_classes: tuple[GpuClass, ...]
    """Boards on which cuInit refuses it (error 804)."""
    rows: tuple[ForwardRow, ...]
    doubtful: str | None
    """Why the classes are not certain."""


@dataclass(frozen=True, slots=True, eq=False)
class CudaToolkit:
    """A toolkit release and the drivers that serve all of it."""

    version: str
    key: Numbers
    cuda: CudaVersion
    released: str | None
    linux: DriverVersion | None
    windows: DriverVersion | None
    doubtful: str | None


@dataclass(frozen=True, slots=True, eq=False)
class DriverBranch:
    """A driver branch."""

    branch: int
    cuda: CudaVersion
    """Newest CUDA that it implements."""
    type: Literal["LTS", "PB", "NFB"] | None
    """Long-term support, production, new feature."""
    released: str | None
    eol: str | None
    latest_linux: str | None
    latest_windows: str | None
    doubtful: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """A GPU architecture."""

    name: str
    capabilities: tuple[ComputeCapability, ...]
    first_branch: int | None
    """First driver branch that serves it; None when it is older than every branch listed."""
    first_driver: DriverVersion | None
    """Oldest public Linux driver that lists it, where that is not the first of its branch."""
    later: tuple[tuple[ComputeCapability, int], ...]
    """First driver branch of the capabilities that came later than the architecture."""
    last_branch: int | None
    """Last driver branch that serves it; None while there is none."""
    kernel_module: Literal["open", "proprietary", "either"]
    first_cuda: CudaVersion | None
    last_cuda: CudaVersion | None
    doubtful: str | None

    def oldest_driver(self, capability: ComputeCapability | None, *, is_windows: bool) -> DriverVersion | None:
        """Oldest driver that serves a GPU of it, by its branch where no release is known; None: every listed one."""
        branch = next((branch for code, branch in self.later if code == capability), None)
        if branch is not None:
            return DriverVersion(str(branch))
        if self.first_driver and not is_windows:
            return self.first_driver
        return None if self.first_branch is None else DriverVersion(str(self.first_branch))


@dataclass(frozen=True, slots=True, eq=False)
class ModuleBranches:
    """Driver branches at which the flavour of the kernel module changed."""

    first_open: int
    open_default: int
    last_proprietary: int
    open_only: tuple[str, ...]
    """GPU rows that need the open module though their architecture runs on either."""


@dataclass(frozen=True, slots=True, eq=False)
class TransformersMinor:
    """One minor of transformers."""

    first: Numbers
    last: Numbers
    """Newest patch release."""
    python: tuple[int, int]
    torch: Numbers | None
    """Oldest torch that it does not hide at import; None before there was such a check."""
    tokenizers: str | None = None
    """Specifier of the tokenizers that it takes."""
    python_below: tuple[int, int] | None = None
    """First Python without a wheel of any tokenizers that it takes; None while there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class CompanionMinor:
    """One minor of a companion that is written in Python: accelerate, peft."""

    first: Numbers
    last: Numbers
    """Newest patch release."""
    python: tuple[int, int]
    torch: Numbers
    """Oldest torch that it takes."""
    numpy: str | None
    """Specifier that ends its range of numpy; None when any will do."""


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Dense peaks in TFLOP/s, fp32 accumulation; `_fast` accumulate in fp16. None: not published or not there."""

    fp32: float | None = None
    tf32: float | None = None
    fp16: float | None = None
    bf16: float | None = None
    fp8: float | None = None
    fp16_fast: float | None = None
    fp8_fast: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GpuRow:
    """One GPU product."""

    name: str
    nvml_names: tuple[str, ...]
    architecture: str
    compute_capability: ComputeCapability
    gpu_class: GpuClass
    pci_device_ids: tuple[str, ...]
    subsystems: tuple[str, ...]
    """device:subvendor:subdevice where one device id carries several products."""
    memory_gib: float | None
    """As sold."""
    memory_mib: int | None
    """Total that nvidia-smi prints."""
    bandwidth_gb_s: float | None
    tdp_w: int | None
    nvlink_gb_s: float | None
    form: Form | None
    pcie_generation: int | None
    pcie_lanes: int | None
    """The most that the board can do; the slot may have less."""
    nvlinks: int | None
    """Links of one GPU, on a PCIe card those that bridges can use."""
    needs_fabric_manager: bool | None
    """Whether CUDA waits for the fabric manager on machines that join these boards by NVSwitches; False on boards that
    never are, or whose fabric is managed elsewhere."""
    has_ecc: bool | None
    dense_tflops: Peaks
    note: str | None
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GpuFigures:
    """What checks compare a GPU with, as far as all products of its name or PCI id agree. None: unknown or several."""

    names: tuple[str, ...]
    """The rows of `gpus` that it is from."""
    compute_capability: ComputeCapability | None
    architecture: str | None
    gpu_class: GpuClass | None
    memory_mib: int | None
    """Total that nvidia-smi prints."""
    bandwidth_gb_s: float | None
    tdp_w: int | None
    """Default power limit in W."""
    nvlink_gb_s: float | None
    form: Form | None
    pcie_generation: int | None
    pcie_lanes: int | None
    nvlinks: int | None
    needs_fabric_manager: bool | None
    has_ecc: bool | None
    peaks: Peaks | None
    """Of one product alone."""
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Boards:
    """The boards of one class that carry a chip."""

    gpu_class: GpuClass
    names: tuple[tuple[str, tuple[str, ...]], ...]
    """Name without 'NVIDIA ', and its PCI device ids without the vendor; none where nobody has read one."""


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """One chip and the boards that have no row of their own."""

    name: str
    architecture: str
    compute_capability: ComputeCapability
    boards: tuple[Boards, ...]
    other_ids: tuple[str, ...]
    """PCI device ids, without the vendor, of which only the chip is known."""


@dataclass(frozen=True, slots=True, eq=False)
class ChipTable:
    """Which chip the boards have that carry no figures."""

    rows: tuple[Chip, ...]
    older_too: tuple[str, ...]
    """Names that a chip before Kepler bears as well."""


@dataclass(frozen=True, slots=True, eq=False)
class VgpuSeries:
    """One series of vGPUs: what it is for, and where CUDA runs in it."""

    letter: str
    use: str
    has_cuda: bool
    only_gib: tuple[tuple[str, int], ...]
    """Boards that run CUDA with a vGPU of this one size only."""

    def runs_cuda(self, board: str, size_gib: float) -> bool:
        """Whether CUDA applications run on a vGPU of that size on the board of that part of the name."""
        only = dict(self.only_gib).get(board)
        return self.has_cuda and (only is None or size_gib == only)


@dataclass(frozen=True, slots=True, eq=False)
class VgpuTable:
    """How the names of vGPUs are read."""

    series: tuple[VgpuSeries, ...]
    boards: tuple[tuple[str, str], ...]
    """Part of a vGPU's name and the name of the physical board, where they differ."""
