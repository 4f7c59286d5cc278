"""What comes with a driver on request or by the boards: NVSwitches, container toolkit, CUDA toolkit (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NoBuildError, UsageError
from ..records import Evidence
from ..versions import CudaVersion
from .branches import capability_of
from .job import install, known, repository_steps
from .repositories import TOOLKIT_KEYRING, cuda_repository, keep_distro_driver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..matrix.driver_sources import Repository
    from ..matrix.tables import Matrix
    from ..records import Machine
    from .job import Job
    from .steps import Step
    from .wish import DriverWish

_FIRST_OF_NVLINK5 = 10
"""Major compute capability of the data center Blackwell boards, whose NVSwitches are reached through adapters."""


def is_switched(machine: Machine, matrix: Matrix) -> bool:
    """Whether NVSwitches join the GPUs, so that CUDA waits for the fabric manager.

    Seen in /proc, or several boards of a kind that is sold on switched baseboards only where the matrix says so. One
    such GPU alone is one that a hypervisor gave to this guest.
    """
    devices = machine.reading("fabric.switch_devices")
    if devices is not None and devices.failure is None and isinstance(devices.value, int) and devices.value > 0:
        return True
    if machine.host.virtualization and len(machine.gpus) < 8:  # noqa: PLR2004  a whole baseboard is given with its switches
        return False
    wanting = [
        gpu
        for gpu in machine.gpus
        if (figures := matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id))
        and figures.needs_fabric_manager
    ]
    return len(wanting) > 1


def is_switched_by_nvlink5(machine: Machine, matrix: Matrix) -> bool:
    """Whether these NVSwitches are of NVLink 5, which a subnet manager runs."""
    if not is_switched(machine, matrix):
        return False
    capabilities = [capability_of(gpu, matrix) for gpu in machine.gpus]
    return any(found is not None and found.major == _FIRST_OF_NVLINK5 for found in capabilities)


def container_toolkit_steps(job: Job, matrix: Matrix, wish: DriverWish) -> Iterator[Step]:
    """NVIDIA's container toolkit, from the repository of the distribution's kind."""
    if not wish.container_toolkit:
        return
    repository = matrix.driver_sources.repository(job.box.distribution.toolkit_repository)
    if repository is None or not can_be_used(job, repository):
        raise NoBuildError(
            f"There is no repository with a known key that has the container toolkit for {job.box.distribution.name}.",
            code="repository-key-unknown",
        )
    if job.manager == "apt":
        yield from repository_steps(job, repository, name="nvidia-container-toolkit", keyring=TOOLKIT_KEYRING)
    else:
        yield from cuda_repository(job)
    name = "nvidia-container-toolkit"
    yield install(
        job,
        "container-toolkit",
        (name,),
        "gives containers the GPUs and the driver's libraries",
        needs=(known(job, name),),
    )


def can_be_used(job: Job, repository: Repository) -> bool:
    """Whether a repository serves the processor, and its key is known whole or was taken by somebody before."""
    address = repository.address_for(job.box.arch)
    return address is not None and (repository.fingerprint is not None or job.box.has_source(address))


def cuda_toolkit_steps(job: Job, matrix: Matrix, wish: DriverWish) -> Iterator[Step]:
    """Nvcc and the libraries to build with; no PyTorch wheel needs them."""
    if wish.cuda_toolkit is None:
        return
    cuda = _toolkit_cuda(job, matrix, wish.cuda_toolkit)
    if job.repository is None or not can_be_used(job, job.repository):
        raise NoBuildError(
            f"NVIDIA has no repository with a known key for {job.box.distribution.name} on {job.box.arch}.",
            code="repository-key-unknown",
        )
    if job.origin == "distro":
        yield keep_distro_driver()
    yield from cuda_repository(job)
    name = f"cuda-toolkit-{cuda.major}-{cuda.minor}"
    yield install(
        job,
        "cuda-toolkit",
        (name,),
        f"nvcc and libraries of CUDA {cuda} in /usr/local/cuda-{cuda}; PyTorch's wheels bring their own",
        needs=(known(job, name),),
    )


def _toolkit_cuda(job: Job, matrix: Matrix, word: str) -> CudaVersion:
    versions = sorted({row.cuda for row in matrix.toolkits})
    if word == "newest":
        return max(found for found in versions if found <= job.branch.cuda)
    try:
        wanted = CudaVersion.parse(word)
    except ValueError:
        raise UsageError(f"--with cuda-toolkit: found {word!r}, expected a CUDA such as 12.8.") from None
    if wanted not in versions:
        raise UsageError(f"--with cuda-toolkit: the matrix has no CUDA toolkit {wanted}.", do=("gpusetup matrix show",))
    if wanted.major > job.branch.cuda.major:
        raise NoBuildError(
            f"Programs of CUDA {wanted} do not start on driver branch {job.branch.branch}.",
            code="no-common-driver-branch",
            evidence=(Evidence("CUDA of the branch", str(job.branch.cuda), needs=str(wanted)),),
            do=(f"gpusetup driver plan --cuda {wanted} --with cuda-toolkit={wanted}",),
        )
    return wanted
