"""What a person should know beside the steps: doubts, surroundings, sources that contradict each other (PURE)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence, Finding
from ..versions import DriverVersion
from .branches import against, boards_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..matrix.tables import Matrix
    from .job import Job


def notes_of(job: Job, matrix: Matrix, *, today: str, has_steps: bool, fabric: bool) -> tuple[str, ...]:
    """Sentences for people, the most important first."""
    of_steps = _of_the_steps(job, fabric=fabric) if has_steps else ()
    return (*_of_the_branch(job, matrix, today=today), *_of_the_box(job, today=today), *of_steps)


def _of_the_branch(job: Job, matrix: Matrix, *, today: str) -> Iterator[str]:
    box, branch = job.box, job.branch
    boards = boards_of(box.machine, matrix)
    if branch.eol and branch.eol < today:
        yield f"Branch {branch.branch} ended on {branch.eol}: no newer one serves these GPUs, or it was asked for."
    if branch.type not in ("LTS", "PB"):
        yield f"Branch {branch.branch} is not known as long-term or production: expect the next one soon."
    reason = against(branch, box.kernels, boards, matrix)
    if reason:
        yield reason
    oldest = DriverVersion(str(branch.branch))
    for kernel in box.kernels:
        row = matrix.faults.kernel_driver(kernel, oldest)
        if row and row.needs and not reason:
            yield f"On kernel {kernel} it takes release {row.needs} or newer of the branch."
    for denied in matrix.faults.denied_drivers_of(DriverVersion(branch.latest_linux or "0"), boards):
        if denied.severity == "warn":
            yield f"Driver {branch.latest_linux}: {denied.means} {denied.do}"


def _of_the_box(job: Job, *, today: str) -> Iterator[str]:
    box, kernel = job.box, job.box.kernel or ""
    if box.machine.host.arch is None:
        yield f"The processor was not given; {box.arch} is assumed (--arch)."
    if box.distribution.eol and box.distribution.eol < today:
        yield f"{box.distribution.name} is past the end of its free support ({box.distribution.eol})."
    doubts = [(box.distribution.name, box.distribution.doubtful), (job.names.name, job.names.doubtful)]
    if job.origin == "nvidia" and job.repository:
        doubts.append((job.repository.name, job.repository.doubtful))
    for what, doubt in doubts:
        if doubt:
            yield f"Not certain of {what}: {doubt}."
    given = [gpu for gpu in box.machine.gpus if gpu.kernel_driver == "vfio-pci"]
    if given:
        yield f"{len(given)} of the GPUs are kept for virtual machines (vfio-pci) and stay so."
    if kernel.endswith("-pve"):
        yield (
            "This is a Proxmox host: it needs a driver for its own programs and for containers; a GPU that is passed to"
            " a virtual machine gets its driver inside the guest."
        )
    if kernel.endswith(("-nvidia", "-nvidia-64k")):
        yield "The kernel is NVIDIA's own: on DGX OS take the driver of its repositories, as its guide says."


def _of_the_steps(job: Job, *, fabric: bool) -> Iterator[str]:
    box, branch = job.box, job.branch.branch
    if not job.is_prebuilt:
        yield from _of_secure_boot(job)
    elif box.has_secure_boot:
        yield "Secure Boot is on: the module is signed by the distribution, so no key has to be enrolled."
    if box.is_pinned:
        yield f"The boot loader is told to start {box.next_kernel}, not the newest kernel: that one gets the module."
    if box.packages is None and box.release is not None:
        yield (
            f"Driver {box.release} is there; how it was installed is not known. Packages of another source must go"
            " first: run this on the machine itself, or from its snapshot."
        )
    if job.origin == "distro" and job.is_prebuilt and not box.has_ubuntu_drivers and not job.for_display:
        word = f"nvidia:{branch}-server{'-open' if job.flavour == 'open' else ''}"
        yield f"Where ubuntu-drivers is installed, it does the same: ubuntu-drivers install --gpgpu {word}"
    if box.distribution_id in ("rhel", "ol") and not job.is_prebuilt:
        yield "DKMS is in EPEL: enable EPEL and CodeReady Builder first, as your subscription documents it."
    if box.cloud or box.distribution.name.startswith("amzn"):
        yield (
            "Images of cloud vendors with GPU software bring their own driver and update it their own way: on such an"
            " image (Deep Learning AMI, GCP GPU images) leave it to them."
        )
    if fabric:
        yield "The fabric manager must be of exactly the driver's release: it is installed, held and upgraded with it."
    if box.has_docker:
        yield "Docker learns of the container toolkit by: nvidia-ctk runtime configure, then systemctl restart docker"


def _of_secure_boot(job: Job) -> Iterator[str]:
    box = job.box
    key = box.distribution.key_for_modules
    if box.has_secure_boot is None:
        yield (
            "Whether Secure Boot is on is not known (mokutil --sb-state). If it is, a module that is built here loads"
            f" only after its key, {key}, was enrolled: mokutil --import, then the console at the next start."
        )
    elif box.has_secure_boot:
        is_guest = box.cloud or box.machine.host.virtualization
        console = "is needed then" + (", which many clouds do not give" if is_guest else "")
        yield (
            "Secure Boot is on: the key is enrolled while the machine starts, before the system is up; the console"
            f" {console}. Without it the module does not load."
        )


def findings_of(job: Job) -> tuple[Finding, ...]:
    """Sources that contradict each other."""
    box = job.box
    versions = {name: version for name, version in box.packages or () if name in box.driver_packages}
    archive = sorted(name for name, version in versions.items() if re.search(r"-\d+ubuntu0[.~]", version))
    nvidia = sorted(name for name, version in versions.items() if re.search(r"-\d+ubuntu1$", version))
    found = []
    if archive and nvidia:
        found.append(
            Finding(
                "mixed-driver-sources",
                "warn",
                f"Driver packages come from two sources: {archive[0]} from Ubuntu's, {nvidia[0]} from NVIDIA's.",
                (Evidence(archive[0], versions[archive[0]]), Evidence(nvidia[0], versions[nvidia[0]])),
                safe=(f"apt-cache policy {archive[0]} {nvidia[0]}",),
            )
        )
    if box.has_runfile and versions:
        found.append(
            Finding(
                "mixed-driver-sources",
                "warn",
                "NVIDIA's own installer was used here, and packages bring a driver, too.",
                (Evidence("uninstaller", "/usr/bin/nvidia-uninstall"), Evidence("packages", ", ".join(versions))),
            )
        )
    return tuple(found)
