"""One function per constraint on a container image: why it does not fit a machine, or None when it may.

An image brings its own glibc and Python; the driver, the GPUs and the processor stay those of the host. The name of a
function with hyphens is the id of its rule, and its docstring the page that `gpusetup explain` prints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..matrix.model import numbers
from ..records import Rejection
from . import box
from .image_candidates import ImageCandidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..matrix.containers import NgcImage
    from ..matrix.model import DriverBranch, GpuClass
    from ..records import Basis
    from ..versions import ComputeCapability, CudaVersion, DriverVersion
    from .devices import Device
    from .situation import BoxQuestion, Situation

PLATFORMS: Final = {"linux_x86_64": "linux/amd64", "linux_aarch64": "linux/arm64"}
"""Names that container tools give the platforms of the matrix."""

ImageRule = Callable[["Situation", ImageCandidate], Rejection | None]


def rejected(candidate: ImageCandidate, rule: str, found: str, needs: str, source: str | None = None) -> Rejection:
    """The reason of a rule against an image."""
    place = source or candidate.place
    return Rejection(candidate.torch, candidate.variant, rule, found, needs, place, image=candidate.reference)


def driver_cuda(situation: Situation) -> CudaVersion | None:
    """Newest CUDA that the driver itself implements: a compatibility package of the host stays outside of an image."""
    if situation.driver.forward is None:
        return situation.driver.driver_cuda_version
    row = _branch_row(situation)
    return row.cuda if row else None


def _branch_row(situation: Situation) -> DriverBranch | None:
    driver = situation.driver.driver_version
    return situation.catalogue.matrix.branch_of(driver) if driver else None


def basis_of(situation: Situation, candidate: ImageCandidate) -> Basis | None:
    """What the CUDA of an image would stand on here; None where its CUDA or the driver is not known."""
    cuda, implemented = candidate.cuda, driver_cuda(situation)
    if cuda is None:
        return None
    # Also below the oldest branch of the matrix, of which no CUDA is known.
    if cuda.major in situation.driver.majors_out_of_reach:
        return "forward"
    if implemented is None:
        return None
    return "native" if implemented >= cuda else "minor-version"


def driver_floor(situation: Situation, candidate: ImageCandidate) -> DriverVersion | None:
    """The oldest driver of the image's CUDA major."""
    row = situation.catalogue.matrix.cuda_major(candidate.cuda.major) if candidate.cuda else None
    return (row.windows if situation.driver.is_windows else row.linux) if row else None


def _or_newer(situation: Situation, candidate: ImageCandidate) -> str:
    floor = driver_floor(situation, candidate)
    return f"driver {floor} or newer" if floor else f"a driver of CUDA {candidate.cuda}"


def _could_forward(situation: Situation, candidate: ImageCandidate) -> bool:
    """Whether forward compatibility is a question here: the kernel driver is one of Linux, the package is inside.

    Below the oldest branch of the matrix it is none: no list of the vendor accepts a driver from there.
    """
    is_linux_driver = _branch(situation) is not None and not situation.driver.is_windows
    return candidate.has_compat and is_linux_driver and not situation.driver.is_tegra


def _classes(situation: Situation) -> tuple[tuple[str, GpuClass | None], ...]:
    """Label and class of every distinct board; None where the matrix does not know the board."""
    return tuple(dict.fromkeys((device.label, _class_of(situation, device)) for device in situation.gpus.devices))


def _class_of(situation: Situation, device: Device) -> GpuClass | None:
    return "embedded" if device.compute_capability in situation.catalogue.matrix.tegra else device.gpu_class


def _branch(situation: Situation) -> int | None:
    row = _branch_row(situation)
    return row.branch if row else None


def _host_jetpacks(situation: Situation) -> str:
    cuda = situation.driver.driver_cuda_version
    return f"a Jetson with CUDA {cuda}" if cuda else "a Jetson"


def _fits_jetpack(situation: Situation, candidate: ImageCandidate) -> bool | None:
    """Whether NVIDIA pairs the image with the JetPack of this Jetson; None: nobody has read a pair."""
    jetpack = candidate.ngc.jetpack if candidate.ngc else None
    cuda = situation.driver.driver_cuda_version
    if jetpack is None or cuda is None:
        return None
    known = situation.catalogue.matrix.containers
    wanted = numbers(jetpack)
    return all(
        any(numbers(row.version)[: len(wanted)] == wanted for row in known.jetpacks_with(cuda, capability))
        for capability in situation.gpus.capabilities
    )


# --- rules --------------------------------------------------------------------------------------


def image_not_asked_for(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """The image is outside of what --torch, --cuda or --python asked for.

    It may fit the machine very well. Drop the option to have it considered.
    """
    wishes, rule = situation.wishes, "image-not-asked-for"
    release = ".".join(map(str, candidate.release))
    if wishes.torch and not wishes.torch.allows(release):
        return rejected(candidate, rule, release, f"torch {wishes.torch.text}", "request")
    if wishes.cuda and not (candidate.cuda and wishes.cuda.allows(candidate.variant, candidate.cuda)):
        return rejected(candidate, rule, candidate.variant, f"CUDA {wishes.cuda.text}", "request")
    if wishes.python and candidate.python and candidate.python != wishes.python:
        return rejected(candidate, rule, f"Python {candidate.python}", f"Python {wishes.python}", "request")
    return None


def image_needs_gpu(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """Every image of the matrix holds a CUDA build, and no NVIDIA GPU is there, or --cpu was given.

    A CPU plan is met only by a CPU build: plan an environment instead, without --container.
    """
    if situation.is_cpu:
        return rejected(candidate, "image-needs-gpu", "a plan for the CPU", "an NVIDIA GPU", "machine")
    return None


def image_not_for_platform(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """There is no such image for the system and processor of the machine.

    Images are Linux images; on Windows plan for the WSL 2 system itself. pytorch/pytorch publishes for x86_64 alone. A
    Jetson takes the images that NVIDIA pairs with its JetPack: the CUDA of its driver says which JetPack that is.
    """
    rule = "image-not-for-platform"
    if situation.platform not in PLATFORMS:
        return rejected(candidate, rule, situation.platform, " or ".join(PLATFORMS), "machine")
    if candidate.family == "pytorch" and situation.platform not in candidate.on:
        return rejected(candidate, rule, situation.platform, ", ".join(candidate.on))
    if situation.driver.is_tegra and _fits_jetpack(situation, candidate) is False and candidate.ngc:
        return rejected(candidate, rule, _host_jetpacks(situation), f"JetPack {candidate.ngc.jetpack}")
    return None


def image_driver_too_old(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """The driver of the host is older than the oldest one of that CUDA major, and nothing in the image makes up for it.

    Within a major every image starts from that floor on. Below it only the compatibility package (cuda-compat) helps,
    which NGC images and those on nvidia/cuda bring and pytorch/pytorch runtime images do not; it is for Linux drivers,
    so on WSL the floor of the Windows driver holds. Install a newer driver branch.
    """
    if basis_of(situation, candidate) != "forward" or situation.driver.is_tegra or _could_forward(situation, candidate):
        return None
    major = candidate.cuda.major if candidate.cuda else 0
    found = (
        f"driver {situation.driver.driver_version}"
        if situation.driver.driver_version
        else f"CUDA {driver_cuda(situation)}"
    )
    source = f"matrix.yaml: cuda_majors.{major}"
    return rejected(candidate, "image-driver-too-old", found, _or_newer(situation, candidate), source)


def image_needs_data_center_gpu(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """The image would need forward compatibility on this driver, and that is for data center GPUs and Jetson.

    On GeForce and workstation boards cuInit ends with error 804, whatever the image brings. Install a newer driver
    branch.
    """
    if basis_of(situation, candidate) != "forward" or not _could_forward(situation, candidate):
        return None
    refused = situation.catalogue.matrix.forward.refused_classes
    for label, gpu_class in _classes(situation):
        if gpu_class in refused:
            found = f"{label} ({gpu_class}) on driver {situation.driver.driver_version}"
            needs = f"{_or_newer(situation, candidate)}, or a data center GPU"
            return rejected(
                candidate, "image-needs-data-center-gpu", found, needs, "matrix.yaml: forward_compatibility"
            )
    return None


def image_driver_refused(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """NVIDIA names this driver branch as one that the compatibility package of the image's CUDA does not run on.

    The branches that it does run on are listed. Install one of them, or a driver of the newer major.
    """
    branch = _branch(situation)
    if basis_of(situation, candidate) != "forward" or not _could_forward(situation, candidate) or branch is None:
        return None
    matrix = situation.catalogue.matrix
    row = matrix.forward_row(candidate.cuda) if candidate.cuda else None
    if row is None or matrix.forward_compatible(row.cuda, branch) is not False:
        return None
    others = ", ".join(map(str, row.accepted or ()))
    needs = _or_newer(situation, candidate) + (f", or a branch of {others}" if others else "")
    source = f"matrix.yaml: forward_compatibility.rows[{str(row.cuda)!r}]"
    return rejected(candidate, "image-driver-refused", f"driver branch {branch}", needs, source)


def image_gpu_not_served(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """The image holds no code that a GPU of this machine can run: kernels end with 'no kernel image is available'.

    For an NGC image the least compute capability of its release notes counts, what its CUDA compiles for, and the first
    tag that NVIDIA supports on a system such as DGX Spark; for a pytorch/pytorch image the code of the wheel inside.
    All GPUs of the box count. Code that the driver compiles (PTX) needs a driver that implements the image's CUDA.
    """
    if candidate.cuda is None or (situation.driver.is_tegra and candidate.family == "ngc"):
        return None
    rule = "image-gpu-not-served"
    for device in situation.gpus.devices:
        label, capability = device.label, device.compute_capability
        if capability is None:
            continue
        found = f"{label} with compute capability {capability}"
        if candidate.wheel is not None:
            code = situation.catalogue.code_for(candidate.wheel, capability)
            if code == "none":
                return rejected(candidate, rule, found, f"one of {candidate.wheel.codes}", candidate.wheel.place)
            if code == "ptx" and basis_of(situation, candidate) != "native":
                return rejected(candidate, rule, found, f"a driver that implements CUDA {candidate.cuda}")
        elif candidate.ngc is not None and (needs := _needed_of(situation, candidate.ngc, label, capability)):
            return rejected(candidate, rule, found, needs)
    return None


def _needed_of(situation: Situation, row: NgcImage, label: str, capability: ComputeCapability) -> str | None:
    """What a GPU needs instead of an NGC image that does not serve it; None where it serves it or nobody knows."""
    matrix = situation.catalogue.matrix
    owner, board = matrix.architecture_of(capability), matrix.gpu_by_name(label)
    system = matrix.containers.system_of(board.name) if board else None
    if system and numbers(row.tag) < numbers(system.first_image):
        return f"a tag of {system.first_image} or newer, which {system.name} begins with"
    if capability in row.runs_on or row.cuda is None:
        return None
    if row.least_capability is not None and capability < row.least_capability:
        return f"compute capability {row.least_capability} or higher"
    if owner and owner.last_cuda and row.cuda > owner.last_cuda:
        return f"an image with CUDA {owner.last_cuda} or older"
    if owner and owner.first_cuda and row.cuda < owner.first_cuda:
        return f"an image with CUDA {owner.first_cuda} or newer"
    return None


def image_requires_newer_cuda(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """The image stands on nvidia/cuda, whose NVIDIA_REQUIRE_CUDA keeps it from starting on this driver.

    The container runtime ends with 'unsatisfied condition: cuda>=...' even where minor version compatibility would
    carry the image. Some older branches are let in, on boards other than GeForce. `-e NVIDIA_DISABLE_REQUIRE=1` lifts
    the gate and changes nothing about what the driver can run; the runtime flavour has no such gate.
    """
    if not _is_at_gate(situation, candidate) or candidate.cuda is None:
        return None
    known = situation.catalogue.matrix.containers
    gate = known.gate(candidate.cuda)
    if gate is None or situation.driver.driver_version is None:
        return None
    closed = [label for label, gpu_class in _classes(situation) if gpu_class in known.gated_classes]
    if situation.driver.driver_version.branch in gate and not closed:
        return None
    implemented = driver_cuda(situation)
    found = f"CUDA {implemented}" if implemented else f"driver {situation.driver.driver_version}"
    found += f" on {closed[0]}" if closed else ""
    needs = f"a driver that implements CUDA {candidate.cuda}, or {known.override}"
    return rejected(candidate, "image-requires-newer-cuda", found, needs, "matrix.yaml: containers.cuda_base.gates")


def _is_at_gate(situation: Situation, candidate: ImageCandidate) -> bool:
    return candidate.is_gated and basis_of(situation, candidate) in ("minor-version", "forward")


def image_fact_unknown(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    """A fact that decides about the image is not known; it is passed over while an image with known facts fits.

    The tag was never seen, or not for this processor; nobody has read its CUDA, which GPUs it serves, or whether this
    driver branch runs it. Where no other fits it is offered, with a note.
    """
    found = next(_unknown(situation, candidate), None)
    return (
        rejected(candidate, "image-fact-unknown", f"not known: {found}", "an image whose facts were read")
        if found
        else None
    )


def _unknown(situation: Situation, candidate: ImageCandidate) -> Iterator[str]:
    if candidate.cuda is None:
        yield "the CUDA inside"
    if not candidate.is_seen:
        yield "whether the tag exists, which follows from the build matrix alone"
    has_own_tag = situation.driver.is_tegra and candidate.igpu_reference is not None
    if situation.platform in PLATFORMS and situation.platform not in candidate.on and not has_own_tag:
        yield f"whether the tag is there for {PLATFORMS[situation.platform]}"
    if situation.wishes.python and candidate.python is None:
        yield "the Python inside"
    if situation.driver.is_tegra:
        if _fits_jetpack(situation, candidate) is None:
            yield "the JetPack that it is for"
    else:
        yield from unknown_gpus(situation, candidate)
    yield from _unknown_driver(situation, candidate)


def unknown_gpus(situation: Situation, candidate: ImageCandidate) -> Iterator[str]:
    """The GPUs that nobody has read of the image whether it serves them."""
    for capability in situation.gpus.capabilities:
        if candidate.family == "pytorch":
            is_unknown = (
                candidate.wheel is None or situation.catalogue.code_for(candidate.wheel, capability) == "unknown"
            )
        else:
            row = candidate.ngc
            is_unknown = row is not None and row.least_capability is None and capability not in row.runs_on
        if is_unknown:
            yield f"whether it serves compute capability {capability}"


def _unknown_driver(situation: Situation, candidate: ImageCandidate) -> Iterator[str]:
    matrix, branch, cuda = situation.catalogue.matrix, _branch(situation), candidate.cuda
    if cuda and _is_at_gate(situation, candidate) and matrix.containers.gate(cuda) is None:
        yield f"the start gate of CUDA {cuda}"
    if basis_of(situation, candidate) != "forward" or not _could_forward(situation, candidate):
        return
    forward = matrix.forward
    for label, gpu_class in _classes(situation):
        if gpu_class is None or gpu_class not in (*forward.classes, *forward.refused_classes):
            yield f"whether forward compatibility works on {label}"
    if branch is None or (cuda and matrix.forward_compatible(cuda, branch) is None):
        yield f"whether CUDA {cuda} runs on driver branch {branch or situation.driver.driver_version}"


IMAGE_RULES: Final[tuple[ImageRule, ...]] = (
    image_not_asked_for,
    image_needs_gpu,
    image_not_for_platform,
    image_driver_too_old,
    image_needs_data_center_gpu,
    image_driver_refused,
    image_gpu_not_served,
    image_requires_newer_cuda,
)
"""Rules of an image alone, in the order in which reasons are listed."""

LAST_RESORT_IMAGE_RULES: Final[tuple[ImageRule, ...]] = (image_fact_unknown,)
"""Rules that hold only while another image fits."""


def _driver_unknown(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
    if candidate.cuda is None or not box.has_unknown_driver(situation):
        return None
    return rejected(candidate, "driver-unknown", "unknown", _or_newer(situation, candidate), "machine")


def _of_box(ask: BoxQuestion) -> ImageRule:
    """What speaks against the box speaks against every image on it."""

    def rule(situation: Situation, candidate: ImageCandidate) -> Rejection | None:
        objection = situation.objection(ask)
        return rejected(candidate, *objection) if objection else None

    return rule


SHARED_IMAGE_RULES: Final[tuple[ImageRule, ...]] = (
    _of_box(box.unknown_capability),
    _driver_unknown,
    _of_box(box.dropped_gpu),
    _of_box(box.unserved_gpu),
    _of_box(box.wrong_module),
    _of_box(box.missing_instance),
    _of_box(box.vgpu_of_other_series),
)
"""Rules that images share with wheels: same id, same page, the same facts of the host."""

DRIVER_IMAGE_RULES: Final = frozenset(
    (
        "driver-unknown",
        "driver-too-old-for-gpu",
        "image-driver-too-old",
        "image-needs-data-center-gpu",
        "image-driver-refused",
    )
)
"""Rules that a newer driver satisfies."""
