"""The driver plan of a machine: branch, kernel module, source and steps, from the matrix. Nothing is run (PURE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import NoBuildError, UsageError
from ..records import Evidence, Finding
from .box import box_of
from .branches import (
    admits_wish,
    against,
    architectures_of,
    boards_of,
    choose_branch,
    flavour_of,
    is_alive,
    needs_open_module,
    serves,
)
from .extras import container_toolkit_steps, cuda_toolkit_steps, is_switched, is_switched_by_nvlink5
from .fabric import fabric_steps
from .holds import hold_steps
from .job import Job
from .recipe import driver_steps
from .remarks import findings_of, notes_of
from .repositories import sources
from .wish import DriverWish, Flavour, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..matrix.driver_sources import Repository
    from ..matrix.model import Architecture, DriverBranch
    from ..matrix.tables import Matrix
    from ..records import Machine
    from .box import Box
    from .steps import Step

__all__ = ["DriverPlan", "architectures_of", "choose_branch", "plan_driver"]


@dataclass(frozen=True, slots=True)
class DriverPlan:
    """What a machine should get, and how. Nothing here has been run."""

    branch: int
    """Driver branch, 580."""
    kernel_module: Flavour
    architectures: tuple[str, ...]
    distribution: str
    """ubuntu 24.04: whose steps these are."""
    origin: Origin
    """Whose archive the driver comes from."""
    cuda: str
    """Newest CUDA that the branch implements."""
    steps: tuple[Step, ...]
    """Empty: there is nothing to do."""
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    is_dkms: bool = False
    """Whether the kernel module is built on the machine."""
    found: str | None = None
    """Release of the driver that is there; None: none, or nobody looked."""


def plan_driver(machine: Machine, matrix: Matrix, *, today: str, wish: DriverWish | None = None) -> DriverPlan:
    """The driver that every NVIDIA GPU of the machine can use, and the steps that put it there.

    `today` is an ISO date: a branch past its end of life is not chosen. NoUsableGpuError without an NVIDIA GPU that is
    this system's; NoBuildError when no branch serves all of them, the distribution is not known or the driver is
    somebody else's; UsageError for a wish that can't be read.
    """
    wish = wish or DriverWish()
    architectures = architectures_of(machine, matrix)
    box = box_of(machine, matrix)
    origin = _origin(box, machine, matrix, wish)
    branch = _branch(box, architectures, matrix, wish=wish, origin=origin, today=today)
    flavour = _flavour(architectures, branch, machine, matrix, wish)
    job = _job(box, branch, matrix, flavour=flavour, origin=origin, for_display=_for_display(machine, matrix))
    fabric = wish.fabric_manager or is_switched(machine, matrix)
    steps = tuple(_steps(job, matrix, wish, fabric=fabric, nvlink5=is_switched_by_nvlink5(machine, matrix)))
    return DriverPlan(
        branch=branch.branch,
        kernel_module=flavour,
        architectures=tuple(a.name for a in architectures),
        distribution=box.distribution.name,
        origin=origin,
        cuda=str(branch.cuda),
        steps=_without_repetition(steps),
        notes=notes_of(job, matrix, today=today, has_steps=bool(steps), fabric=fabric),
        findings=findings_of(job),
        is_dkms=not job.is_prebuilt,
        found=str(box.release) if box.release else None,
    )


def _steps(job: Job, matrix: Matrix, wish: DriverWish, *, fabric: bool, nvlink5: bool) -> Iterator[Step]:
    """What is missing: the driver, and what was asked for besides."""
    if not job.is_there:
        before = tuple(driver_steps(job, fabric=fabric, nvlink5=nvlink5))
    else:
        before = tuple(_beside(job, fabric=fabric, nvlink5=nvlink5))
    extras = (*container_toolkit_steps(job, matrix, wish), *cuda_toolkit_steps(job, matrix, wish))
    if before and before[-1].id == "reboot":
        yield from (*before[:-1], *extras, before[-1])
    else:
        yield from (*before, *extras)


def _beside(job: Job, *, fabric: bool, nvlink5: bool) -> Iterator[Step]:
    """What a right driver may lack."""
    is_missing = fabric and not job.box.has_fabric_manager
    if is_missing:
        yield from sources(job)
        yield from fabric_steps(job, nvlink5=nvlink5)
    if job.box.is_upgraded_unattended and not any("nvidia" in name for name in job.box.held):
        yield from hold_steps(job, with_fabric=fabric)


def _without_repetition(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Each step once: two parts may need the same repository."""
    return tuple({step.id: step for step in steps}.values())


# --- choices ------------------------------------------------------------------------------------


def _origin(box: Box, machine: Machine, matrix: Matrix, wish: DriverWish) -> Origin:
    if wish.origin == "distro" and box.distribution.distro is None:
        raise NoBuildError(
            f"The archive of {box.distribution.name} has no NVIDIA driver.",
            code="distribution-not-covered",
            do=("gpusetup driver plan --source nvidia",),
        )
    if wish.origin:
        return wish.origin
    # NVLink 5 needs the subnet manager, which only NVIDIA's repository has: two sources fit nowhere.
    is_archive = box.distribution.distro == "ubuntu-archive" and not is_switched_by_nvlink5(machine, matrix)
    return "distro" if is_archive else "nvidia"


def _scheme(box: Box, origin: Origin) -> str:
    return box.distribution.nvidia if origin == "nvidia" else box.distribution.distro or box.distribution.nvidia


def _branch(
    box: Box, architectures: tuple[Architecture, ...], matrix: Matrix, *, wish: DriverWish, origin: Origin, today: str
) -> DriverBranch:
    """The branch that was named, else the one that is there and good enough, else the newest that fits."""
    machine, sources_ = box.machine, matrix.driver_sources
    boards = boards_of(machine, matrix)
    scheme, there = _scheme(box, origin), box.distribution.branches_in(origin)
    fits = admits_wish(wish, machine, matrix)

    def admits(branch: DriverBranch) -> bool:
        has_names = sources_.names(scheme, branch.branch) is not None and (there is None or branch.branch in there)
        return has_names and fits(branch) and against(branch, box.kernels, boards, matrix) is None

    if wish.branch is not None:
        return _named(wish.branch, architectures, matrix)
    here = next((b for b in matrix.branches if box.release and b.branch == box.release.branch), None)
    site = matrix.site
    if (
        here is not None
        and serves(here, architectures)
        and is_alive(here, today)
        and fits(here)
        and not (site and site.forbids_branch(here.branch))
        and sources_.names(scheme, here.branch) is not None
        and against(here, box.kernels, boards, matrix) is None
    ):
        return here
    return choose_branch(architectures, matrix, today=today, admits=admits)


def _named(number: int, architectures: tuple[Architecture, ...], matrix: Matrix) -> DriverBranch:
    branch = next((b for b in matrix.branches if b.branch == number), None)
    if branch is None:
        known = ", ".join(str(b.branch) for b in matrix.branches)
        raise UsageError(f"--branch: the matrix has no driver branch {number}; expected one of {known}.")
    if not serves(branch, architectures):
        names = ", ".join(a.name for a in architectures if not serves(branch, (a,)))
        raise NoBuildError(
            f"Driver branch {number} does not serve {names}.",
            code="no-common-driver-branch",
            do=("gpusetup driver plan    (without --branch)",),
        )
    return branch


def _flavour(
    architectures: tuple[Architecture, ...], branch: DriverBranch, machine: Machine, matrix: Matrix, wish: DriverWish
) -> Flavour:
    best = flavour_of(architectures, branch, matrix, open_only=needs_open_module(machine, matrix))
    if wish.kernel_module in (None, best):
        return best
    wanted: Flavour = "open" if best == "proprietary" else "proprietary"
    needs = {a.kernel_module for a in architectures} - {"either"}
    is_there = (
        branch.branch >= matrix.module_branches.first_open
        if wanted == "open"
        else branch.branch <= matrix.module_branches.last_proprietary
    )
    if needs or not is_there or (wanted == "proprietary" and needs_open_module(machine, matrix)):
        raise NoBuildError(
            f"These GPUs on branch {branch.branch} need the {best} kernel module.",
            code="no-common-driver-branch",
            evidence=tuple(
                Evidence(a.name, a.kernel_module, source="matrix.yaml: architectures") for a in architectures
            ),
            do=(f"gpusetup driver plan --kernel-module {best}",),
        )
    return wanted


def _for_display(machine: Machine, matrix: Matrix) -> bool:
    """Whether a board may drive a screen: anything that is not known as one of a data center."""
    for gpu in machine.gpus:
        known = matrix.class_by_name(gpu.name) if gpu.name else None
        known = known or (matrix.class_by_pci_id(gpu.pci_device_id) if gpu.pci_device_id else None)
        if known != "data_center":
            return True
    return False


def _job(box: Box, branch: DriverBranch, matrix: Matrix, *, flavour: Flavour, origin: Origin, for_display: bool) -> Job:
    scheme = _scheme(box, origin)
    names = matrix.driver_sources.names(scheme, branch.branch)
    there = box.distribution.branches_in(origin)
    is_there = there is None or branch.branch in there
    if names is None or not is_there or not (names.open if flavour == "open" else names.proprietary):
        branches = there or matrix.driver_sources.branches_of(scheme)
        raise NoBuildError(
            f"{_whose(box, origin)} has no driver branch {branch.branch} with the {flavour} kernel module.",
            code="no-common-driver-branch",
            evidence=(Evidence("branches there", ", ".join(map(str, sorted(branches)))),) if branches else (),
            do=(f"gpusetup driver plan --source {'nvidia' if origin == 'distro' else 'distro'}", "another --branch"),
        )
    repository = matrix.driver_sources.repository(box.distribution.repository or "")
    if origin == "nvidia":
        _require_trust(box, repository)
    return Job(box, branch, flavour, origin, names, repository, kernel_flavour(box), for_display)


def _whose(box: Box, origin: Origin) -> str:
    return "NVIDIA's repository" if origin == "nvidia" else f"The archive of {box.distribution.name}"


def _require_trust(box: Box, repository: Repository | None) -> None:
    """NoBuildError where NVIDIA has no repository for the box, or nobody has read its key's whole fingerprint."""
    do = ("gpusetup driver plan --source distro",) if box.distribution.distro else ()
    address = repository.address_for(box.arch) if repository else None
    if repository is None or address is None:
        raise NoBuildError(
            f"NVIDIA has no repository for {box.distribution.name} on {box.arch}.",
            code="distribution-not-covered",
            do=do,
        )
    if repository.fingerprint is None and not box.has_source(address):
        raise NoBuildError(
            f"Nobody has read the whole fingerprint of the key that signs {address}, and no step trusts one unseen.",
            code="repository-key-unknown",
            evidence=(Evidence("key", repository.key_for(box.arch), source="matrix.yaml: repositories"),),
            do=(
                *do,
                "add the repository as NVIDIA documents it, compare the key by another way, and run this again",
            ),
        )


def kernel_flavour(box: Box) -> str | None:
    """Rest of the name of Ubuntu's kernel package: generic, generic-hwe-24.04, aws; None elsewhere."""
    distribution = box.distribution
    if distribution.distro != "ubuntu-archive":
        return None
    kernel = box.next_kernel or box.kernel
    if kernel is None:
        return "generic"
    word = kernel.partition("-")[2].partition("-")[2]
    if not word or kernel.endswith("-pve"):
        return None
    numbers = tuple(int(one) for one in kernel.split("-", 1)[0].split(".")[:2] if one.isdigit())
    if word in ("generic", "generic-64k", "lowlatency") and distribution.kernel and numbers > distribution.kernel[:2]:
        return f"{word}-hwe-{distribution.name.partition(' ')[2]}"
    return word
