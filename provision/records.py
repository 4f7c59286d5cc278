"""The frozen records that travel between stages. Nothing here touches the machine.

Order of the flow: Machine -> Resolution -> Plan -> Receipt -> Acceptance, with Findings at every stage.
Unknown is None, and the reading of that name says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from .versions import ComputeCapability, CudaVersion, DriverVersion, Glibc

Scalar = str | int | float | bool | None


# --- evidence -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """One attempt to learn one fact, failed ones too."""

    name: str
    """Dotted name of the fact, such as `driver.driver_version` or `gpu.0.name`."""
    source: str
    """Where it was read: `nvml`, `sysfs`, `/proc/driver/nvidia/version`, `nvidia-smi`, ..."""
    value: Scalar | tuple[Scalar, ...] = None
    """What was read; None when the attempt failed."""
    failure: str | None = None
    """Why there is no value, in one sentence; None when there is one."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One figure behind a statement: what was found, and what is needed."""

    name: str
    value: Scalar | tuple[Scalar, ...] = None
    unit: str | None = None
    source: str | None = None
    needs: Scalar = None


FindingStatus = Literal["pass", "warn", "fail", "skip", "unknown", "crashed", "timed-out", "suppressed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know: what happened, the evidence, what to do."""

    id: str
    """Catalogue id (`driver.kmd_umd_match`) or kebab-case rule or error id."""
    status: FindingStatus
    happened: str
    """One sentence in the user's words."""
    evidence: tuple[Evidence, ...] = ()
    safe: tuple[str, ...] = ()
    """Commands or sentences that change nothing or can be undone, most likely first."""
    risky: tuple[str, ...] = ()
    """Commands that change the machine: reboots, resets, package changes."""


# --- detect -------------------------------------------------------------------------------------

Container = Literal["docker", "podman", "kubernetes", "lxc", "other"]


class GpuState(str, Enum):
    """Whether the box has GPUs that can be used."""

    NONE = "none"
    USABLE = "usable"
    UNUSABLE = "unusable"
    """A GPU is there and cannot be used; the findings say why."""


@dataclass(frozen=True, slots=True)
class Host:
    """Operating system facts."""

    hostname: str | None = None
    system: Literal["linux", "windows", "darwin"] | None = None
    os: str | None = None
    """ID of os-release: ubuntu, debian, rhel, ..."""
    os_version: str | None = None
    kernel: str | None = None
    arch: str | None = None
    """x86_64 or aarch64."""
    glibc: Glibc | None = None
    """None on a musl system (Alpine) or when it could not be read; the reading says which."""
    is_wsl: bool | None = None
    container: Container | None = None
    virtualization: str | None = None
    l4t: str | None = None
    """Release of Jetson Linux on a Jetson: 36.4.3."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that an environment could be made from."""

    version: str
    """3.11.7, or 3.12 where only the name of the executable is known."""
    implementation: str = "cpython"
    is_free_threaded: bool = False
    executable: str | None = None

    @property
    def minor(self) -> tuple[int, int]:
        """(3, 11) for 3.11.7."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    @property
    def tag(self) -> str:
        """Python tag of a wheel with its ABI flag: cp311, cp314t; `pp310` for PyPy."""
        prefix = {"cpython": "cp", "pypy": "pp"}.get(self.implementation, self.implementation)
        return f"{prefix}{self.minor[0]}{self.minor[1]}{'t' if self.is_free_threaded else ''}"


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver of the box."""

    driver_version: DriverVersion | None = None
    """Release that user space meets (NVML, else the kernel module)."""
    driver_cuda_version: CudaVersion | None = None
    """Newest CUDA that the driver implements: NVML 12020 is 12.2."""
    kernel_module: Literal["open", "proprietary"] | None = None
    kernel_module_version: DriverVersion | None = None
    """Release of the loaded kernel module, /sys/module/nvidia/version."""
    user_library_version: DriverVersion | None = None
    """Release in the file name of the NVML library that the loader finds."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU, from every source that knows it."""

    index: int
    name: str | None = None
    gpu_uuid: str | None = None
    pci_bus_id: str | None = None
    """Domain:bus:device.function in lower case with a 4-digit domain: 0000:07:00.0."""
    pci_device_id: str | None = None
    """vendor:device in lower case: 10de:2330."""
    compute_capability: ComputeCapability | None = None
    memory_bytes: int | None = None
    mig_mode: Literal["enabled", "disabled"] | None = None
    mig_instances: int | None = None
    """Compute instances that CUDA programs can be given; None when MIG is off or nobody counted."""
    kernel_driver: str | None = None
    """Kernel driver bound to the PCI function: nvidia, nouveau, vfio-pci; None when nothing is bound or unknown."""
    in_nvml: bool | None = None
    """Whether NVML lists it; None when NVML could not be asked."""


@dataclass(frozen=True, slots=True)
class OtherGpu:
    """A display controller that is not NVIDIA's: named, never served."""

    vendor: str
    pci_bus_id: str
    pci_device_id: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that detect learned about one host: document machine/1."""

    host: Host = field(default_factory=Host)
    python: Interpreter | None = None
    interpreters: tuple[Interpreter, ...] = ()
    """Other interpreters that are already there, newest first."""
    driver: Driver | None = None
    gpus: tuple[Gpu, ...] = ()
    other_gpus: tuple[OtherGpu, ...] = ()
    gpu_state: GpuState = GpuState.NONE
    readings: tuple[Reading, ...] = ()
    assumptions: tuple[str, ...] = ()
    """Facts that nobody gave and that the plan had to do without, one sentence each."""

    def reading(self, name: str) -> Reading | None:
        """The first reading of that name that has a value, else the first of that name."""
        named = [reading for reading in self.readings if reading.name == name]
        return next((reading for reading in named if reading.failure is None), named[0] if named else None)

    def failure_of(self, name: str) -> str | None:
        """Why the reading of that name has no value; None when it has one or was never tried."""
        reading = self.reading(name)
        return reading.failure if reading else None


# --- check ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a result does not count: somebody wrote it into a file of suppressions, with a last day."""

    was: FindingStatus
    """The state that the check itself ended in."""
    until: str
    """Last day on which the result does not count, 2027-01-31."""
    reason: str
    by: str | None = None
    """Who answers for it, where the file says so."""
    place: str = ""
    """File and line of the entry."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of the catalogue found on one machine: an entry of document check/1."""

    id: str
    """Catalogue id, `component.name`."""
    component: str
    status: FindingStatus
    happened: str
    """One sentence in the user's words."""
    evidence: tuple[Evidence, ...] = ()
    safe: tuple[str, ...] = ()
    risky: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    """Ids of other failing checks that this one explains."""
    duration_s: float = 0.0
    title: str | None = None
    """What the check is about, in one line of the catalogue."""
    suppression: Suppression | None = None
    """Set where the status is `suppressed`."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one remedy that `check --fix` offered."""

    check: str
    """Id of the check that names it."""
    command: str
    undo: str
    """What takes it back."""
    is_done: bool
    said: str
    """What the program said, or why it was not run."""


# --- resolve and plan ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; None or empty means: no wish."""

    torch: str | None = None
    """PEP 440 specifier or a prefix: '2.0' means 2.0.*."""
    cuda: str | None = None
    """cu121, 12.1 or a specifier such as <13."""
    transformers: str | None = None
    python: str | None = None
    """3.11, 3.14t."""
    cpu: bool = False
    require_gpu: int = 0
    """Least number of usable GPUs; 0: no demand."""
    why_not: tuple[str, ...] = ()
    """Builds to be told about: cu130, 2.9, 2.9.1+cu130."""
    container: bool = False
    """A container image instead of an environment."""
    python_download: bool = False
    """Whether a Python that is not there may be fetched."""


@dataclass(frozen=True, slots=True)
class Build:
    """One wheel build that could be installed: identity and where it is published."""

    torch: str
    """Public version: 2.9.1."""
    variant: str
    """cu128 or cpu."""
    cuda_runtime_version: CudaVersion | None
    """CUDA inside the wheel; None for CPU builds."""
    python: str
    """3.11 (3.14t for the free-threaded build)."""
    wheel_tag: str
    """Python tag - ABI tag - platform tag, as published."""
    requirements: tuple[str, ...]
    """PEP 508 lines for the environment; the first is torch itself without its local label."""
    index: str
    """Address of the wheel index that the matrix names for this variant."""
    is_general_index_default: bool = False
    """Whether the general package index publishes exactly this build without a local label."""
    is_unlabelled: bool = False
    """Whether the wheels themselves carry no local label, so that torch.__version__ prints the number alone."""

    @property
    def kind(self) -> Literal["cuda", "cpu"]:
        """CPU builds are never exchanged for CUDA builds, nor the other way round."""
        return "cpu" if self.cuda_runtime_version is None else "cuda"

    @property
    def local_version(self) -> str:
        """What torch.__version__ prints: 2.9.1+cu128."""
        return self.torch if self.is_unlabelled else f"{self.torch}+{self.variant}"


@dataclass(frozen=True, slots=True)
class Companion:
    """A package that works beside a build; named, not installed by default."""

    name: str
    specifier: str
    """PEP 440: ==0.24.1, or <=1.15.0 where that is the newest known to work."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one build was not chosen: the rule, both sides, and the source of the need."""

    torch: str
    variant: str
    rule: str
    found: str
    needs: str
    source: str | None = None
    python: str | None = None
    image: str | None = None
    """Reference of the image, where an image was passed over."""


@dataclass(frozen=True, slots=True)
class Unlock:
    """The smallest change of one thing that would admit a newer build."""

    change: str
    """driver, kernel-module, forward-compatibility, python, os, mig, torch, cuda, transformers, gpu."""
    from_: str
    to: str
    torch: str
    variant: str

    @property
    def words(self) -> str:
        """The change for people: driver 535.104.05 -> 580.65.06."""
        if self.change == "forward-compatibility":
            return f"{self.to} over {self.from_.removesuffix(' alone')}"
        if self.from_.startswith("--"):  # an option that can be left out names itself
            return f"{self.from_} -> {self.to}"
        return f"{self.change} {self.from_} -> {self.to}"


@dataclass(frozen=True, slots=True)
class GpuLeftOut:
    """A GPU that the chosen build cannot run on; the plan is for the others."""

    index: int
    name: str | None
    rule: str
    """Rule that the chosen build fails on this GPU."""
    found: str
    needs: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer of the resolver with all its reasons. No build is a result, not an exception."""

    candidates: tuple[Build, ...]
    """Every build that fits, best first; the first is the choice; empty when none fits."""
    rejections: tuple[Rejection, ...]
    unlocks: tuple[Unlock, ...] = ()
    assumptions: tuple[str, ...] = ()
    notes: tuple[Finding, ...] = ()
    gpus_left_out: tuple[GpuLeftOut, ...] = ()
    """GPUs that no build serves together with the more capable ones of the box."""
    asked_about: frozenset[tuple[str, str]] = frozenset()
    """Torch and variant of the builds of --why-not, the choice aside."""

    @property
    def chosen(self) -> Build | None:
        """The best build that fits."""
        return self.candidates[0] if self.candidates else None


Basis = Literal["native", "minor-version", "forward"]


@dataclass(frozen=True, slots=True)
class Image:
    """A container image that holds torch."""

    image: str
    """Reference: nvcr.io/nvidia/pytorch:26.09-py3."""
    family: Literal["ngc", "pytorch"]
    digest: str | None
    """sha256:... of the image or of its index; None when nobody has read it."""
    platform: str
    """linux/amd64 or linux/arm64."""
    torch: str
    """As the image spells it; images of NVIDIA hold builds of their own: 2.14.0a0+b2c75dd062."""
    variant: str
    """cu132: that of its CUDA."""
    cuda_runtime_version: CudaVersion | None
    python: str | None
    """Python inside; None when nobody has read it."""
    basis: Basis | None
    """What its CUDA stands on with the driver of the host; None when that is not known."""
    run_flags: tuple[str, ...]
    """Flags of `docker run` that it needs: GPUs, shared memory, limits."""
    requirements: tuple[str, ...]
    """PEP 508 lines of what the acceptance workload needs beside it."""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MatrixIdentity:
    """Which matrix decided."""

    revision: str
    read_on: str


@dataclass(frozen=True, slots=True)
class Source:
    """One place that packages come from. `url` never carries credentials; `secret_url` may and is never shown."""

    kind: Literal["index", "flat"]
    """index: PEP 503/691 pages per project; flat: a folder or page with links to files (find-links)."""
    url: str
    name: str = ""
    """Where the user's configuration names it: PIP_FIND_LINKS, /etc/pip.conf [global] find-links, matrix, ..."""
    is_default: bool = False
    """Whether it is the general index that every other package comes from."""


@dataclass(frozen=True, slots=True)
class HeldWheel:
    """A wheel of the chosen build that a source really holds."""

    source: Source
    filename: str
    sha256: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What one package source said about torch."""

    source: Source
    answer: str
    """How many wheels it holds, or why it gave no answer."""
    has_answered: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """Document plan/1: what to install, why, and what was passed over."""

    build: Build | None
    resolution: Resolution
    matrix: MatrixIdentity
    request: Request
    availability: Literal["not looked", "held", "not held", "partly looked"] = "not looked"
    wheel: HeldWheel | None = None
    asked: tuple[Asked, ...] = ()
    """The sources that were asked, with their answers; empty when nobody looked."""
    download_bytes: int | None = None
    findings: tuple[Finding, ...] = ()
    image: Image | None = None
    """The image of a container plan; then there is no build."""
    other_images: tuple[Image, ...] = ()
    """Further images that fit, best first."""
    companions: tuple[Companion, ...] = ()
    """What works beside the build; empty also where another build was installed than planned."""


# --- install ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution of an environment, with the artifact that it came from."""

    name: str
    version: str
    sha256: str | None
    source: str | None
    """Index or folder that held the artifact, without credentials."""


@dataclass(frozen=True, slots=True)
class SourceConflict:
    """Several configured sources hold different files of one project."""

    project: str
    version: str
    filename: str
    source: str
    """Where the file is taken from: address of an index or folder, without credentials."""
    sha256: str | None
    other_source: str
    other_sha256: str | None
    """Digest of the file of that name there; None when that source holds the project without this file."""
    kind: Literal["same-file", "other-files", "foreign-left"]
    """same-file: one name, two contents; other-files: the general index has the project, not this file; foreign-left:
    an NVIDIA library of a source that the plan does not name was left alone, and that of the named one taken."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One comparison of the finished environment with the plan."""

    id: str
    expected: str | None
    found: str | None
    passed: bool | None
    """None: it could not be looked at, which is not a pass."""


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One way in which an environment differs from its receipt."""

    name: str
    """The distribution; python where the interpreter itself is at fault."""
    found: str | None
    """The version that is there now, or what is wrong with its files; None when it is gone."""
    expected: str | None
    """The version of the receipt; None when the receipt has no such distribution."""
    requirement: str | None = None
    """What installs an added one again; None where it did not come from a package index."""

    @property
    def is_addition(self) -> bool:
        """Whether it came on top of what was installed, which is whole all the same."""
        return self.expected is None

    @property
    def text(self) -> str:
        """The difference in a few words."""
        if self.is_addition:
            return f"{self.name} {self.found} was added"
        if self.found is None:
            return f"{self.name} {self.expected} is gone"
        return f"{self.name} {self.expected}: found {self.found}"


@dataclass(frozen=True, slots=True)
class EnvironmentInUse:
    """An environment that would have been removed, if a process did not use it."""

    name: str
    pid: int
    process: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Document receipt/1: what the environment holds, read back from it, never the planned versions."""

    path: str
    """Path of the environment as the user named it."""
    python: str
    """Full version of its interpreter."""
    backend: str
    plan_digest: str
    """Identity of the plan that it was made from; an equal digest means that nothing needs to be done."""
    build: Build
    distributions: tuple[Distribution, ...]
    verified: tuple[Verification, ...]
    seconds: tuple[tuple[str, float], ...]
    """Wall seconds of each phase: resolve, venv, install, verify."""
    reused: bool = False
    """True when an earlier receipt answered and nothing was installed."""
    wheel: HeldWheel | None = None
    """The torch wheel and the source that held it."""
    passed_over: tuple[Rejection, ...] = ()
    """Better builds that no source holds."""
    asked: tuple[Asked, ...] = ()
    """What every source that was asked said."""
    gpus_left_out: tuple[GpuLeftOut, ...] = ()
    """GPUs of a mixed box that the environment is not for."""
    resumed: tuple[str, ...] = ()
    """Phases that an interrupted run had finished, and that were not repeated: resolve, install, verify."""
    changes: tuple[PackageChange, ...] = ()
    """How the environment before this one had been changed since it was made."""
    in_use: tuple[EnvironmentInUse, ...] = ()
    """Old environments that stayed because a process uses them."""
    conflicts: tuple[SourceConflict, ...] = ()
    """Projects of which the configured sources hold different files."""
