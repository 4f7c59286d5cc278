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
    return tuple((*_of_the_driver(job, matrix, today=today), *(_of_the_steps(job, fabric=fabric) if has_steps else ())))


def _of_the_driver(job: Job, matrix: Matrix, *, today: str) -> Iterator[str]:
    box, branch = job.box, job.branch
    if branch.eol and branch.eol < today:
        yield f"Branch {branch.branch} ended on {branch.eol}: no newer one serves these GPUs, or it was asked for."
    if reason := against(branch, box.kernels, boards_of(box.machine, matrix), matrix):
        yield reason
    for kernel in box.kernels:
        rows = [row for row in matrix.faults.kernel_drivers if branch.branch in row.branches and row.needs]
        needs = [
            row.needs for row in rows if row.needs and row.denies(_numbers(kernel), DriverVersion(str(branch.branch)))
        ]
        if needs and reason is None:
            yield f"On kernel {kernel} it takes release {max(needs)} or newer of the branch."
    for denied in matrix.faults.denied_drivers_of(_release(branch.latest_linux), boards_of(box.machine, matrix)):
        if denied.severity == "warn":
            yield f"Driver {branch.latest_linux}: {denied.means} {denied.do}"
    if box.distribution.eol and box.distribution.eol < today:
        yield f"{box.distribution.name} is past the end of its free support ({box.distribution.eol})."
    for what, doubt in (
        (box.distribution.name, box.distribution.doubtful),
        (job.names.name, job.names.doubtful),
        (job.repository.name if job.repository else "", job.repository.doubtful if job.repository else None),
    ):
        if doubt and (what != (job.repository.name if job.repository else "") or job.origin == "nvidia"):
            yield f"Not certain of {what}: {doubt}."
    given = [gpu for gpu in box.machine.gpus if gpu.kernel_driver == "vfio-pci"]
    if given:
        yield f"{len(given)} of the GPUs are kept for virtual machines (vfio-pci) and stay so."


def _numbers(kernel: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", kernel)
    return tuple(int(one) for one in match.group().split(".")) if match else ()


def _release(text: str | None) -> DriverVersion:
    return DriverVersion(text or "0")


def _of_the_steps(job: Job, *, fabric: bool) -> Iterator[str]:
    box = job.box
    if not job.is_prebuilt:
        yield from _of_secure_boot(job)
    elif box.has_secure_boot:
        yield "Secure Boot is on: the module is signed by the distribution, so no key has to be enrolled."
    if box.is_pinned:
        yield f"The boot loader is told to start {box.next_kernel}, not the newest kernel: the module is built for that one."
    if box.packages is None and box.release is not None:
        yield (
            f"Driver {box.release} is there; how it was installed is not known. Packages of another source must go first:"
            " run this on the machine itself, or from its snapshot."
        )
    if job.origin == "distro" and job.is_prebuilt and not box.has_ubuntu_drivers and not job.for_display:
        flavour = "-open" if job.flavour == "open" else ""
        yield f"Where ubuntu-drivers is installed, it does the same: ubuntu-drivers install --gpgpu nvidia:{job.branch.branch}-server{flavour}"
    if box.distribution_id == "rhel" and not job.is_prebuilt:
        yield "DKMS is in EPEL: on RHEL enable EPEL and CodeReady Builder first, as your subscription documents it."
    if box.cloud or box.distribution.name.startswith("amzn"):
        yield (
            "Images of cloud vendors with GPU software bring their own driver and update it their own way: on such an image"
            " (Deep Learning AMI, GCP GPU images) leave it to them."
        )
    if fabric:
        yield "The fabric manager must be of exactly the driver's release: it is installed, held and upgraded with it."
    if box.has_docker:
        yield "Docker learns of the container toolkit by: nvidia-ctk runtime configure --runtime=docker; systemctl restart docker"


def _of_secure_boot(job: Job) -> Iterator[str]:
    box = job.box
    if box.has_secure_boot is None:
        yield (
            "Whether Secure Boot is on is not known (mokutil --sb-state). If it is, a module built here loads only after its"
            f" key, {box.distribution.key_for_modules}, was enrolled: mokutil --import, then the console at the next start."
        )
    elif box.has_secure_boot:
        where = (
            "has no console for that in many clouds"
            if box.cloud or box.machine.host.virtualization
            else "is needed then"
        )
        yield (
            "Secure Boot is on: the key is enrolled at the console while the machine starts, before the system is up; the"
            f" console {where}. Without it the module does not load."
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
                f"Driver packages come from two sources: {archive[0]} from Ubuntu's archive, {nvidia[0]} from NVIDIA's.",
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
