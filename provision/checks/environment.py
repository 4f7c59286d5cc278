"""The environment that was named with --env, as the checks of torch builds see it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..versions import CudaVersion
from .base import passed_through

if TYPE_CHECKING:
    from ..matrix.model import TorchRelease, Variant, WheelPlatform
    from ..records import Finding, Gpu
    from ..versions import ComputeCapability
    from .base import Facts, Verdict

ANEW = "gpusetup install --env NEW_FOLDER    (makes a new environment)"
"""What mends most of it without touching the environment that is there."""
PIP_CHECK = "python -m pip check    (in that environment; with uv: uv pip check)"
_BUILD = re.compile(r"(\d+(?:\.\d+)+)((?:a|b|rc|\.dev)\d+)?(?:\+(.+))?")
_VARIANT = re.compile(r"cu\d{3}|cpu")


@dataclass(frozen=True, slots=True)
class Installed:
    """One distribution, as its dist-info states it."""

    name: str
    version: str
    installer: str | None
    origin: str
    """index, file, url, vcs, folder, editable or unknown."""
    sha256: str | None
    """Of the archive that it came from, where it was recorded."""
    tags: tuple[str, ...]

    @property
    def public(self) -> str:
        """The version without its local label."""
        return self.version.partition("+")[0]

    @property
    def label(self) -> str | None:
        """cu130 or cpu of a version such as 2.13.0+cu130."""
        found = _VARIANT.fullmatch(self.version.partition("+")[2])
        return found.group() if found else None


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """The torch of an environment, with what the matrix knows of it."""

    version: str
    """What torch.__version__ prints: 2.13.0+cu130."""
    public: str
    is_final: bool
    """Not a nightly build, nor a preview of NVIDIA's images."""
    cuda: CudaVersion | None
    """CUDA of the build; None for a CPU build."""
    is_rocm: bool
    variant_name: str | None
    """cu130, cpu; None where neither its label nor the matrix tells."""
    release: TorchRelease | None
    variant: Variant | None
    """Row of the matrix; None for a build that it does not list."""
    platform: str

    @property
    def wheels(self) -> WheelPlatform | None:
        """What the release offers on this platform."""
        return self.release.platform(self.platform) if self.release else None


def installed(facts: Facts) -> dict[str, Installed]:
    """The distributions by normal name; of two with one name the first on the path."""
    found: dict[str, Installed] = {}
    for value in facts.values("env.distribution"):
        if isinstance(value, tuple) and len(value) == 6:  # noqa: PLR2004 -- as the probe writes it
            name, version, installer, origin, digest, tags = (None if one is None else str(one) for one in value)
            row = Installed(name or "", version or "", installer, origin or "", digest, tuple((tags or "").split(",")))
            found.setdefault(row.name, row)
    return found


def rows(facts: Facts, name: str) -> tuple[tuple[str, ...], ...]:
    """Readings that hold tuples, as text."""
    return tuple(tuple(str(one) for one in value) for value in facts.values(name) if isinstance(value, tuple))


def platform_of(facts: Facts) -> str:
    """linux_x86_64 or linux_aarch64."""
    return f"linux_{facts.machine.host.arch or 'x86_64'}"


def torch_build(facts: Facts) -> TorchBuild | None:
    """The torch of the environment; None where there is none, or its version could not be read."""
    version, cuda_text = facts.text("env.torch_version"), facts.text("env.torch_cuda")
    match = _BUILD.match(version or "")
    if version is None or match is None:
        return None
    cuda = _cuda(cuda_text)
    matrix, platform = facts.matrix, platform_of(facts)
    is_final = match[2] is None and _is_plain(match[3])
    release = matrix.release(match[1]) if matrix and is_final else None
    name = _variant_name(match[3], cuda, release, platform)
    variant = release.variant(name) if release and name else None
    is_rocm = bool(facts.text("env.torch_hip"))
    return TorchBuild(version, match[1], is_final, cuda, is_rocm, name, release, variant, platform)


def _is_plain(label: str | None) -> bool:
    return label is None or bool(_VARIANT.fullmatch(label))


def _cuda(text: str | None) -> CudaVersion | None:
    try:
        return CudaVersion.parse(text) if text else None
    except ValueError:
        return None


def _variant_name(
    label: str | None, cuda: CudaVersion | None, release: TorchRelease | None, platform: str
) -> str | None:
    if label is not None:
        return label if _VARIANT.fullmatch(label) else None
    if cuda is None:
        return "cpu"
    # Builds of conda, of distributions and of one's own carry no label either, and other code.
    row = release.variant(f"cu{cuda.major}{cuda.minor}") if release else None
    return row.name if row and platform in row.unlabelled_on else None


# --- why a check does not apply -------------------------------------------------------------------


def why_no_torch(facts: Facts, say: Verdict) -> Finding | None:
    """A skip where there is no environment or no torch in it: wheel.torch_present tells of both."""
    if facts.failure("env.path"):
        return say.skipped("The environment could not be read (wheel.torch_present).")
    if torch_build(facts) is None:
        return say.skipped("No torch whose version can be read is in the environment (wheel.torch_present).")
    return None


def why_no_cuda_build(facts: Facts, say: Verdict) -> Finding | None:
    """A skip where there is no CUDA build of torch."""
    if (finding := why_no_torch(facts, say)) is not None:
        return finding
    build = torch_build(facts)
    if build is not None and build.cuda is None:
        return say.skipped("torch is no CUDA build (wheel.cuda_build).")
    return None


# --- the GPUs that the environment is for ---------------------------------------------------------


def capability_of(facts: Facts, gpu: Gpu) -> ComputeCapability | None:
    """From the driver, else from the matrix by PCI id or name; None when nobody knows."""
    matrix = facts.matrix
    if gpu.compute_capability or matrix is None:
        return gpu.compute_capability
    by_id = matrix.capability_by_pci_id(gpu.pci_device_id) if gpu.pci_device_id else None
    return by_id or (matrix.capability_by_name(gpu.name) if gpu.name else None)


def served_gpus(facts: Facts) -> tuple[Gpu, ...]:
    """The GPUs of the box, less those that were given away and those that the receipt leaves out.

    Where the driver lists some, the others are no concern of a build: an old board for the screen, on another driver.
    """
    left_out = facts.value("env.receipt_left_out")
    without = set(left_out) if isinstance(left_out, tuple) else set()
    given_away = passed_through(facts)
    gpus = facts.gpus or facts.machine.gpus
    return tuple(gpu for gpu in gpus if gpu not in given_away and gpu.index not in without)


def label_of(gpu: Gpu) -> str:
    """Name of a GPU for a sentence."""
    return gpu.name or gpu.pci_device_id or f"GPU {gpu.index}"
