"""Where the packages of a plan come from: keys, repositories, components of the archive, what is preferred (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .job import (
    packages,
    refresh,
    repository_steps,
    write,
)
from .steps import Proof, Run, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .job import Job

CUDA_KEYRING = "/usr/share/keyrings/cuda-archive-keyring.gpg"
TOOLKIT_KEYRING = "/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg"


def sources(job: Job) -> Iterator[Step]:
    """Where the packages come from."""
    if job.names.scheme == "debian-archive":
        yield _non_free(job)
    if job.origin == "nvidia" and job.repository is not None:
        yield from cuda_repository(job)
        if job.manager == "apt" and job.box.distribution.name.startswith("ubuntu"):
            yield _prefer_nvidia()
    else:
        yield refresh(job)


def cuda_repository(job: Job) -> Iterator[Step]:
    """NVIDIA's repository for this release."""
    repository = job.repository
    if repository is None:
        return
    if job.manager == "apt":
        word = dict(repository.arch)[job.box.arch]
        yield from repository_steps(job, repository, name=f"{repository.name}-{word}", keyring=CUDA_KEYRING)
    else:
        keyring = f"/etc/pki/rpm-gpg/RPM-GPG-KEY-NVIDIA-{repository.name}"
        yield from repository_steps(job, repository, name=repository.name, keyring=keyring)


def _non_free(job: Job) -> Step:
    path = "/etc/apt/sources.list.d/debian.sources"
    old = job.box.distribution.name == "debian 11"
    words = "main contrib non-free" if old else "main contrib non-free non-free-firmware"
    before = "main" if old else "main non-free-firmware"
    return Step(
        id="non-free",
        why="the driver lives in non-free; with a one-line sources.list add the words there",
        actions=(
            Run(("sed", "-i", f"s/^Components: main.*/Components: {words}/", path)),
            packages(job, "refresh"),  # the lists are what the proof reads
        ),
        undo=(Run(("sed", "-i", f"s/^Components: main.*/Components: {before}/", path)),),
        needs=(Proof(("test", "-f", path), f"{path} is there", do=f"add `{words}` to the lines of sources.list"),),
        done_when=(
            Proof(("apt-cache", "policy", "nvidia-driver"), "the archive has a driver", r"Candidate: (?!\(none\))\S"),
        ),
    )


def _prefer_nvidia() -> Step:
    path = "/etc/apt/preferences.d/gpusetup-nvidia"
    text = "Package: *\nPin: origin developer.download.nvidia.com\nPin-Priority: 600\n"
    return write(
        "prefer-nvidia", path, text, "Ubuntu's archive has packages of the same names: a mix of both fits nowhere"
    )


def keep_distro_driver() -> Step:
    """NVIDIA's repository gives toolkits, and the driver stays that of the distribution."""
    path = "/etc/apt/preferences.d/gpusetup-driver"
    kinds = ("driver", "open", "dkms", "kernel", "utils", "headless", "compute", "firmware")
    names = " ".join((*(f"nvidia-{kind}*" for kind in kinds), "libnvidia-*", "cuda-drivers*"))
    text = f"Package: {names}\nPin: origin developer.download.nvidia.com\nPin-Priority: -1\n"
    return write(
        "keep-distro-driver", path, text, "NVIDIA's repository has driver packages, too, and would exchange this one"
    )
