"""Checks inside a container: ctr."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..records import Evidence
from .base import check, from_a_warning_too

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_MIB: Final = 2**20
_GIB: Final = 2**30
_DEFAULT_SHM: Final = 64 * _MIB
"""What Docker, podman and Kubernetes give a container that asks for nothing."""
_GRANTED: Final = "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ..."


def _has_gpu_node(facts: Facts) -> bool:
    return any(node.removeprefix("/dev/nvidia").isdigit() for node in facts.texts("driver.device_nodes") or ())


@check(
    "ctr.capabilities",
    level="instant",
    needs=("gpu",),
    leads=("driver.nvml_init", "pci.count_vs_nvml", "ctr.gpu_granted", "cuda.libcuda", "cuda.init"),
    explains=from_a_warning_too,
)
def capabilities(facts: Facts, say: Verdict) -> Finding:
    """The container was given the driver's libraries for computing.

    What it finds
        A container with a GPU and without libcuda, because it was started for fewer capabilities than computing needs.

    Why it matters
        `libcuda.so.1: cannot open shared object file`, while nvidia-smi shows a healthy GPU: the toolkit mounts only
        the libraries of the capabilities that NVIDIA_DRIVER_CAPABILITIES lists.

    How it is decided
        Inside a container with a node /dev/nvidiaN: no libcuda.so.1 fails when the variable lacks compute; no
        libnvidia-ml.so.1 warns when it lacks utility. Libraries that are there pass, whatever the variable says.

    What to do
        Start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility, or `all`.

    Sources
        NVIDIA container toolkit, "Specialized configurations", driver capabilities; theroyallab/tabbyAPI issue 324
        (read 2026-11).
    """
    if facts.machine.host.container is None:
        return say.skipped("This is not a container.")
    if not _has_gpu_node(facts):
        return say.skipped("No GPU was given to this container; ctr.gpu_granted says more.")
    told = facts.text("ctr.driver_capabilities")
    wanted = set((told or "").split(","))
    seen = facts.evidence("ctr.driver_capabilities", "driver.cuda_library", "driver.nvml_library")
    if facts.value("driver.cuda_library") is None and told and wanted.isdisjoint({"compute", "all"}):
        return say.failed(
            f"The container was started with NVIDIA_DRIVER_CAPABILITIES={told}, without compute, and has no libcuda.",
            *seen,
            safe=(_GRANTED,),
        )
    if facts.value("driver.nvml_library") is None and told and wanted.isdisjoint({"utility", "all"}):
        return say.warned(
            f"The container was started with NVIDIA_DRIVER_CAPABILITIES={told}, without utility, and has no NVML.",
            *seen,
            safe=(_GRANTED,),
        )
    if facts.value("driver.cuda_library") is None:
        return say.skipped("libcuda is missing for another reason; the driver's checks say more.", *seen)
    return say.passed("The container has the driver's libraries for computing.", *seen)


# --- what the image asks for

_CLAUSE = re.compile(r"(cuda|driver|arch|brand)(!=|<=|>=|=|<|>)([\w.]+)")
Numbers = tuple[int, ...]


def unmet(requirement: str, have: dict[str, Numbers], brands: frozenset[str] | None) -> bool:
    """Whether no alternative of a NVIDIA_REQUIRE_CUDA holds: spaces separate alternatives, commas what they all need.

    Clauses on what `have` lacks, on brands where `brands` is None, and unknown ones count as met.
    """
    terms = [term for term in requirement.split(" ") if term]
    return bool(terms) and not any(all(_holds(one, have, brands) for one in term.split(",")) for term in terms)


def _holds(clause: str, have: dict[str, Numbers], brands: frozenset[str] | None) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        return True
    name, sign, value = match.groups()
    if name == "brand":
        return brands is None or (value in brands) == (sign != "!=")
    if name not in have or not re.fullmatch(r"\d+(?:\.\d+)*", value):
        return True
    wanted = tuple(int(part) for part in value.split("."))
    length = max(len(wanted), len(have[name]))
    left, right = (numbers + (0,) * (length - len(numbers)) for numbers in (have[name], wanted))
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[sign]


def _have(facts: Facts) -> dict[str, Numbers]:
    driver, found = facts.machine.driver, {}
    if driver and driver.driver_cuda_version:
        found["cuda"] = tuple(driver.driver_cuda_version)
    if driver and driver.driver_version:
        found["driver"] = tuple(int(part) for part in str(driver.driver_version).split("."))
    capabilities_ = [gpu.compute_capability for gpu in facts.gpus if gpu.compute_capability]
    if capabilities_:
        found["arch"] = tuple(min(capabilities_))
    return found


def _brands(facts: Facts) -> frozenset[str] | None:
    """Brands of the GPUs as the toolkit spells them: geforce, tesla, quadrortx; None where NVML names one not."""
    named = [facts.text(f"gpu.{gpu.index}.brand") for gpu in facts.gpus]
    if not named or None in named:
        return None
    return frozenset((name or "").replace("nvidia-v", "v").replace("-", "") for name in named)


def _major(version: str | None) -> int | None:
    match = re.match(r"\d+", version or "")
    return int(match.group()) if match else None


@check("ctr.image_requirements", level="quick", needs=("nvml",), leads=("wheel.driver_floor",))
def image_requirements(facts: Facts, say: Verdict) -> Finding:
    """The driver of the host is new enough for this image.

    What it finds
        An image that was built for a newer CUDA than the host's driver runs.

    Why it matters
        A start through the toolkit is refused: `requirement error: unsatisfied condition: cuda>=13.0`. Where the check
        was switched off or CDI was used, CUDA fails later; NGC images print that they were built for a newer driver.

    How it is decided
        The alternatives of NVIDIA_REQUIRE_CUDA are held against the driver's CUDA release, the driver's release, the
        brand and the compute capability. Where none holds, a newer CUDA major in the image fails and a newer minor
        warns, because builds of one major run on each other's drivers. Without that variable CUDA_VERSION of the image
        is taken. A libcuda from the image's own compat folder passes.

    What to do
        Take an older tag of the image, or a newer driver on the host.

    Sources
        NVIDIA container toolkit, requirements in images and issue 152; CUDA compatibility guide (read 2026-11).
    """
    if facts.machine.host.container is None:
        return say.skipped("This is not a container.")
    driver = facts.machine.driver
    cuda = driver.driver_cuda_version if driver else None
    requirement, image = facts.text("ctr.require_cuda"), facts.text("ctr.image_cuda")
    if requirement is None and image is None:
        return say.skipped("The image says nothing of the CUDA that it needs.")
    if cuda is None:
        return say.unknown("The driver did not say which CUDA it runs.", *facts.evidence("nvml.cuda_driver_version"))
    asked = _asked(requirement, image)
    seen = (
        Evidence("CUDA of the driver", str(cuda), source="nvml", needs=asked),
        *facts.evidence("ctr.image_cuda", "ctr.image_driver", "ctr.disable_require"),
    )
    if asked is None or "compat" in (facts.text("driver.cuda_library") or ""):
        return say.passed("The image asks for no newer CUDA, or brings a libcuda of its own.", *seen)
    is_demand = requirement is not None and f"cuda>={asked}" in requirement
    if not unmet(requirement if is_demand and requirement else f"cuda>={asked}", _have(facts), _brands(facts)):
        return say.passed(f"The driver's CUDA {cuda} is enough for this image.", *seen)
    safe = ("take an image for an older CUDA", "gpusetup driver plan    (on the host of this container)")
    if (_major(asked) or 0) > cuda.major:
        return say.failed(f"The image needs CUDA {asked}, and the host's driver runs CUDA {cuda}.", *seen, safe=safe)
    if not is_demand:  # CUDA_VERSION alone is no demand, and minor releases run on each other's drivers
        return say.passed(f"The image is built with CUDA {asked}; the driver's {cuda} is of the same major.", *seen)
    return say.warned(
        f"The image asks for CUDA {asked} and the host's driver runs {cuda}, of the same major: most programs work.",
        *seen,
        safe=safe,
    )


def _asked(requirement: str | None, image: str | None) -> str | None:
    """CUDA release that an image asks for, 12.8: the newer of its demand and of the CUDA that it is built with.

    NGC images demand cuda>=9.0 and check the rest when they start.
    """
    demanded = re.search(r"\bcuda>=(\d+(?:\.\d+)?)", requirement or "")
    built = re.match(r"\d+(?:\.\d+)?", image or "")
    if demanded and (built is None or (_major(demanded[1]) or 0) >= (_major(image) or 0)):
        return demanded[1]
    return built.group() if built else None


# --- shared memory


@check("ctr.shm", level="instant", needs=("gpu",))
def shm(facts: Facts, say: Verdict) -> Finding:
    """The container has room in /dev/shm.

    What it finds
        A container that was started with the 64 MiB of shared memory which engines give by default.

    Why it matters
        DataLoader workers hand their batches over in /dev/shm: "killed by signal: Bus error". NCCL takes 10 to 33 MB
        of it for every rank: "failed to extend /dev/shm/nccl-...".

    How it is decided
        Inside a container with a GPU, a /dev/shm of less than 1 GiB warns (our proposal), and one of 64 MiB is named as
        the default. It never fails: training without workers on one GPU needs none.

    What to do
        `--shm-size=16g` or `--ipc=host` for Docker and podman, an emptyDir of medium Memory on /dev/shm in Kubernetes,
        shm_size in compose. Inside, num_workers=0 gets by without it.

    Sources
        pytorch/pytorch issues 5040, 1355 and 108861; NVIDIA/nccl issues 290, 342 and 525 (read 2026-11); our proposal
        for the threshold.
    """
    kind = facts.machine.host.container
    if kind is None:
        return say.skipped("This is not a container; sys.shm looks at hosts.")
    if not _has_gpu_node(facts):
        return say.skipped("No GPU was given to this container; ctr.gpu_granted says more.")
    total = facts.number("ctr.shm_bytes")
    if total is None:
        return say.unknown(f"The room in /dev/shm was not read: {facts.why_not('ctr.shm_bytes')}.")
    size = f"{total / _GIB:.0f} GiB" if total >= _GIB else f"{total / _MIB:.0f} MiB"
    evidence = Evidence("size", int(total), "bytes", "/dev/shm", needs=_GIB)  # noqa: S108 -- named, not used
    if total >= _GIB:
        return say.passed(f"/dev/shm has {size}.", evidence)  # noqa: S108
    default = ", the default" if total == _DEFAULT_SHM else ""
    who = "DataLoader workers and NCCL" if len(facts.gpus) > 1 else "DataLoader workers"
    more = (
        "mount an emptyDir with medium: Memory on /dev/shm"
        if kind == "kubernetes"
        else "docker run --shm-size=16g ...    (or --ipc=host)"
    )
    return say.warned(
        f"/dev/shm of this container has {size}{default}: too little for {who}.",  # noqa: S108
        evidence,
        safe=(more, "num_workers=0 gets by without it"),
    )


CHECKS = (capabilities, image_requirements, shm)
