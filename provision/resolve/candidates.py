"""Every build that could be installed, in the order in which it is preferred, made once per matrix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..matrix.binary_code import how_it_runs
from ..matrix.companions import newest_transformers
from ..records import Build

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..matrix.model import Numbers, TorchRelease, Variant, WheelPlatform
    from ..records import Rejection
    from ..versions import ComputeCapability, CudaVersion, DriverVersion, Glibc
    from .choose import Verdict
    from .wishes import Versions

Code = Literal["binary", "ptx", "unknown", "none"]

SAFETENSORS = "safetensors>=0.3.1"


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One build on one platform, with what the rules compare."""

    release: TorchRelease
    variant: Variant
    platform: str
    wheels: WheelPlatform | None
    """None when the release has nothing for the platform."""
    release_order: int
    """0 for the newest release."""
    order: int
    """Place in the catalogue: the newest release first, within it the highest CUDA."""
    arch_list: tuple[ComputeCapability, ...] | None
    is_published: bool | None
    glibc: Glibc | None
    floors: tuple[DriverVersion, DriverVersion] | None
    """Oldest driver of the CUDA major on Linux and Windows; None for CPU builds."""

    cuda: CudaVersion | None
    """CUDA inside the wheel."""
    codes: str
    """What it was compiled for, as people write it: sm_80, sm_90, compute_120."""
    place: str
    """Where the matrix holds the row, for `source` of a reason."""


@dataclass(slots=True, eq=False)
class Catalogue:
    """Candidates and builds of one matrix, each made when it is first asked for and kept.

    Asking is pure: the same question always has the same answer, so planning many machines may share one catalogue.
    """

    matrix: Matrix
    _lists: dict[tuple[str, bool], tuple[Candidate, ...]] = field(default_factory=dict)
    _builds: dict[tuple[int, str, str, bool, str | None], Build] = field(default_factory=dict)
    _codes: dict[tuple[int, str, ComputeCapability], Code] = field(default_factory=dict)
    verdicts: dict[tuple[object, ...], Verdict] = field(default_factory=dict)
    """Verdicts of situations that were judged before; filled by the rules' caller."""
    columns: dict[tuple[object, ...], tuple[tuple[Rejection, ...], ...] | None] = field(default_factory=dict)
    """What one rule has against every candidate, by the facts that it reads; filled by the rules' caller."""
    python_columns: dict[tuple[object, ...], tuple[tuple[tuple[str, ...], tuple[Rejection, ...]], ...]] = field(
        default_factory=dict
    )
    """On which Pythons every candidate fits, by the Pythons of the machine; filled by the rules' caller."""
    _pairs: dict[tuple[str, str, str | None], bool] = field(default_factory=dict)

    def candidates(self, platform: str, *, is_cpu: bool) -> tuple[Candidate, ...]:
        """All CPU or all CUDA builds seen from a platform, the newest torch and the highest CUDA first."""
        key = (platform, is_cpu)
        if key not in self._lists:
            self._lists[key] = tuple(self._make(platform, is_cpu=is_cpu))
        return self._lists[key]

    def _make(self, platform: str, *, is_cpu: bool) -> list[Candidate]:
        made: list[Candidate] = []
        for release_order, release in enumerate(reversed(self.matrix.releases)):
            wheels = release.platform(platform)
            variants = [variant for variant in release.variants if (variant.cuda is None) is is_cpu]
            variants.sort(key=lambda variant: variant.cuda or (0, 0), reverse=True)
            for variant in variants:
                major = self.matrix.cuda_major(variant.cuda.major) if variant.cuda else None
                made.append(
                    Candidate(
                        release=release,
                        variant=variant,
                        platform=platform,
                        wheels=wheels,
                        release_order=release_order,
                        order=len(made),
                        arch_list=variant.arch_list(platform),
                        is_published=variant.is_published(platform),
                        glibc=dict(variant.glibc).get(platform, wheels.glibc if wheels else None),
                        floors=(major.linux, major.windows) if major else None,
                        cuda=variant.cuda,
                        codes=_codes(variant, platform),
                        place=self.matrix.place_of_build(release.version, variant.name),
                    )
                )
        return made

    def code_for(self, candidate: Candidate, capability: ComputeCapability) -> Code:
        """How a device would run the build: on binary code, on PTX, not at all, or nobody has read it."""
        key = (candidate.order, candidate.platform, capability)
        if key not in self._codes:
            self._codes[key] = code_for(self.matrix, candidate, capability)
        return self._codes[key]

    def has_pair(self, candidate: Candidate, python: str, wish: Versions | None) -> bool:
        """Whether a transformers release works with that torch on that Python, within what was asked for."""
        key = (candidate.release.version, python, wish.text if wish else None)
        if key not in self._pairs:
            self._pairs[key] = bool(newest_pair(self.matrix, candidate.release, python, wish))
        return self._pairs[key]

    def build(self, candidate: Candidate, python: str, wish: Versions | None) -> Build:
        """The build of a candidate on a Python."""
        key = (candidate.order, candidate.platform, python, candidate.cuda is None, wish.text if wish else None)
        if key not in self._builds:
            self._builds[key] = _build(self.matrix, candidate, python, wish)
        return self._builds[key]


def _codes(variant: Variant, platform: str) -> str:
    arch_list = variant.arch_list(platform)
    if arch_list is None:
        return "the architectures that its CUDA compiles for"
    codes = [f"sm_{code.major}{code.minor}" for code in arch_list]
    codes += [f"compute_{code.major}{code.minor}" for code in variant.ptx or ()]
    return ", ".join(codes)


def code_for(matrix: Matrix, candidate: Candidate, capability: ComputeCapability) -> Code:
    """How a device of that capability would run a CUDA build, by the lists and the cubin table of the matrix."""
    cuda = candidate.cuda
    if cuda is None:
        return "none"
    if candidate.arch_list is None and not _some_read_runs_on(matrix, candidate, capability):
        return "none"
    if candidate.arch_list is None:
        owner = matrix.architecture_of(capability)
        is_out = (
            owner is None
            or (owner.last_cuda and cuda > owner.last_cuda)
            or (owner.first_cuda and cuda < owner.first_cuda)
        )
        return "none" if is_out else "unknown"
    return how_it_runs(matrix, candidate.arch_list, candidate.variant.ptx or (), cuda, capability)


def _some_read_runs_on(matrix: Matrix, candidate: Candidate, capability: ComputeCapability) -> bool:
    """Whether any list that was read serves the device; True when none was read.

    Those of the same variant on the same platform decide, else those of all variants there: wheels for Arm servers
    leave out what no Arm server has, whatever the wheels for x86_64 hold.
    """
    builds = [variant for release in matrix.releases for variant in release.variants if variant.cuda]
    read = [(row.name, codes) for row in builds if (codes := row.arch_list(candidate.platform)) is not None]
    lists = [codes for name, codes in read if name == candidate.variant.name] or [codes for _, codes in read]
    cubins = {row for codes in lists for code in codes if (row := matrix.cubin(code))}
    cuda = candidate.cuda
    return not lists or any(cuda is not None and row.runs_on(capability, cuda) for row in cubins)


def newest_pair(matrix: Matrix, release: TorchRelease, python: str, wish: Versions | None) -> Numbers | None:
    """The newest transformers known to work with a torch release on a Python; None when there is none."""
    pair = newest_transformers(matrix, release, python, wish.allows if wish else None)
    return pair[1] if pair else None


def python_tag(python: str) -> str:
    """cp312 of 3.12, cp314t of 3.14t; a Python that is not CPython keeps its name and fits no wheel."""
    return f"cp{python.replace('.', '')}" if python[:1].isdigit() else python


def preference(candidate: Candidate, cuda: CudaVersion | None) -> tuple[int, bool, int]:
    """Lowest for the newest torch; in it a CUDA that the driver implements comes first, then the highest."""
    return candidate.release_order, bool(cuda and candidate.cuda and candidate.cuda > cuda), candidate.order


def python_name(tag: str) -> str:
    """3.12 of cp312, 3.14t of cp314t."""
    return f"{tag[2]}.{tag[3:]}"


def _build(matrix: Matrix, candidate: Candidate, python: str, wish: Versions | None) -> Build:
    tag = python_tag(python)
    wheels, variant, platform = candidate.wheels, candidate.variant, candidate.platform
    own_tag = dict(variant.tag).get(platform)
    is_default = wheels is not None and wheels.general_variant == variant.name and tag in wheels.pythons
    return Build(
        torch=candidate.release.version,
        variant=variant.name,
        cuda_runtime_version=variant.cuda,
        python=python,
        wheel_tag=wheels.wheel_tag(tag, own_tag) if wheels else f"{tag.rstrip('t')}-{tag}-{own_tag or platform}",
        is_unlabelled=platform in variant.unlabelled_on,
        requirements=_requirements(candidate, wish),
        index=matrix.index_url(variant.name),
        is_general_index_default=is_default,
    )


def _requirements(candidate: Candidate, wish: Versions | None) -> tuple[str, ...]:
    companions = candidate.release.companions
    numpy = companions.numpy_windows if candidate.platform.startswith("windows") else companions.numpy
    transformers = f"transformers{companions.transformers}"
    if wish:
        transformers += f",{wish.specifier}" if wish.specifier is not None else f",=={wish.text}.*"
    safetensors = f"{SAFETENSORS},{companions.safetensors}" if companions.safetensors else SAFETENSORS
    lines = [f"torch=={candidate.release.version}", transformers, f"numpy{numpy or ''}", safetensors]
    if companions.setuptools:
        lines.append(f"setuptools{companions.setuptools}")
    if candidate.cuda is not None:
        lines.append("nvidia-ml-py")
    return tuple(lines)
