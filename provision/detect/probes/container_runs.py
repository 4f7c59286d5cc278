"""What containers with GPUs see: one that is started for it, and those that run. Asks Docker on this machine only."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from ...plain_text import plain
from ...records import Reading
from . import Probe
from .containers import docker_info, is_looked_at, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...process import Completed
    from ...records import Machine
    from ..container_files import Kept
    from ..surroundings import Surroundings

_MOST_ASKED = 8
"""Running containers that are asked; each may take 5 s."""


def _engine_here(around: Surroundings, machine: Machine) -> Kept | None:
    """What Docker says of itself; None where none on this machine answers."""
    if not is_looked_at(machine) or not around.program("docker") or is_remote(around):
        return None
    found, _ = docker_info(around)
    return found if found and found["is_here"] and not found["is_desktop"] else None


# --- a container that is started

_SMALL = re.compile(r"(?:docker\.io/)?(?:library/)?(?:ubuntu|debian|rockylinux|almalinux|nvidia/cuda):[\w.-]*")
_FITS_CUDA = re.compile(r".*:[\w.]+-base-[\w.]+")
_SMOKE_NAME = "gpusetup-check"
_LONGEST_COMPLAINT = 800


# ubuntu:24.04
# nvidia/cuda:12.4.1-base-ubuntu22.04
# registry.example.com/team/secret:latest
def parse_images(text: str) -> tuple[str, ...]:
    """Of the images on this machine those that are small, well known and have glibc; plain ones first."""
    names = [line.strip() for line in text.splitlines() if _SMALL.fullmatch(line.strip())]
    fit = [name for name in names if "nvidia/cuda" not in name or _FITS_CUDA.fullmatch(name)]
    return tuple(sorted(fit, key=lambda name: ("nvidia/cuda" in name, name)))


def _started(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Lists the GPUs inside a container of an image that is already here; nothing is ever pulled."""
    found = _engine_here(around, machine)
    if found is None:
        return
    listed = around.tell(
        "docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", keep=lambda text: "\n".join(parse_images(text))
    )
    images = parse_images(listed.stdout)
    if not images:
        why = "no small image of Ubuntu, Debian, Rocky, Alma or nvidia/cuda base is on this machine; none is pulled"
        yield Reading("ctr.smoke_image", "docker image ls", failure=listed.failure or why)
        return
    yield Reading("ctr.smoke_image", "docker image ls", images[0])
    if any(name == "nvidia" for name, _ in found["runtimes"]) or not found["has_cdi"]:
        wanted = ("--gpus", "all")
    else:
        wanted = ("--device", "nvidia.com/gpu=all")
    path, name = around.program("docker") or "docker", f"{_SMOKE_NAME}-{os.getpid()}"
    asked = ("--entrypoint", "nvidia-smi", images[0], "--query-gpu=uuid", "--format=csv,noheader")
    argv = (path, "run", "--rm", "--pull=never", "--network=none", "--name", name, *wanted, *asked)
    told = around.ask("docker run nvidia-smi", ("env", "LC_ALL=C", *argv), deadline_s=45.0, keep=_kept_of_run)
    source = f"docker run {' '.join(wanted)} {images[0]} nvidia-smi"
    if told.timed_out:  # only the client was ended
        around.ask("docker rm of our container", (path, "rm", "--force", name), deadline_s=10.0)
        yield Reading("ctr.smoke", source, "timed-out")
    elif not told.ok:
        yield Reading("ctr.smoke", source, "failed")
        yield Reading(
            "ctr.smoke_error", source, told.failure or plain(told.stderr or told.stdout, longest=_LONGEST_COMPLAINT)
        )
    else:
        yield Reading("ctr.smoke", source, "answers")
        yield Reading("ctr.smoke_gpus", source, parse_uuids(told.stdout))


def _kept_of_run(text: str) -> str:
    """The ids of GPUs, or the beginning of a complaint."""
    found = parse_uuids(text)
    return "\n".join(found) if found else text[:_LONGEST_COMPLAINT]


# GPU-955ef018-3bd9-5f27-80b3-fa20ee8d19c5
def parse_uuids(text: str) -> tuple[str, ...]:
    """GPU ids, one per line."""
    return tuple(re.findall(r"^(GPU-[0-9a-fA-F-]{8,40})\s*$", text, re.MULTILINE))


# --- containers that run


# 0123456789abcdef... [{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}]
# fedcba9876543210... [{"Driver":"cdi","Count":0,"DeviceIDs":["nvidia.com/gpu=all"],"Capabilities":null,"Options":null}]
# 00112233445566... null
def parse_gpu_containers(text: str) -> tuple[str, ...]:
    """Short ids of the containers that were started with NVIDIA GPUs."""
    found = []
    for line in text.splitlines():
        name, _, requests = line.partition(" ")
        try:
            asked = json.loads(requests)
        except ValueError:
            continue
        if re.fullmatch(r"[0-9a-f]{12,64}", name) and any(_wants_gpu(one) for one in asked or ()):
            found.append(name[:12])
    return tuple(found)


def _kept_inside(text: str) -> str:
    """The words that `parse_inside` knows: what else a container writes is its own."""
    return "\n".join(word for word in ("GPU ", "NVML: Unknown Error") if word in text)


def _wants_gpu(request: object) -> bool:
    if not isinstance(request, dict):
        return False
    return '"gpu"' in json.dumps(request.get("Capabilities")) or "nvidia.com/gpu=" in json.dumps(
        request.get("DeviceIDs")
    )


# GPU 0: Tesla T4 (UUID: GPU-955ef018-3bd9-5f27-80b3-fa20ee8d19c5)
# Failed to initialize NVML: Unknown Error
# OCI runtime exec failed: exec failed: unable to start container process: exec: "nvidia-smi": executable file not found
def parse_inside(told: Completed) -> str:
    """What nvidia-smi found in a running container: answers, lost, timed-out or unknown."""
    if told.timed_out:
        return "timed-out"
    if told.ok and "GPU " in told.stdout:
        return "answers"
    return "lost" if "NVML: Unknown Error" in told.stdout + told.stderr else "unknown"


def _running(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Whether the containers that were given GPUs still have them; they are known by their ids, not their names."""
    if _engine_here(around, machine) is None:
        return
    path = around.program("docker") or "docker"
    listed = around.tell("docker", "ps", "--quiet", "--no-trunc", keep=lambda text: "\n".join(_ids(text)))
    ids = _ids(listed.stdout)
    if not listed.ok:
        yield Reading("ctr.running_count", "docker ps", failure=listed.failure or plain(listed.stderr) or "it failed")
        return
    asked: tuple[str, ...] = ()
    if ids:
        shown = around.ask(
            "docker inspect of device requests",
            (path, "inspect", "--format", "{{.Id}} {{json .HostConfig.DeviceRequests}}", *ids),
            deadline_s=5.0,
            keep=lambda text: "\n".join(f'{one} [{{"Capabilities":[["gpu"]]}}]' for one in parse_gpu_containers(text)),
        )
        asked = parse_gpu_containers(shown.stdout)
    yield Reading("ctr.running_count", "docker ps", len(asked))
    for one in asked[:_MOST_ASKED]:
        told = around.ask(
            f"docker exec {one} nvidia-smi", (path, "exec", one, "nvidia-smi", "-L"), deadline_s=5.0, keep=_kept_inside
        )
        yield Reading("ctr.running", f"docker exec {one} nvidia-smi -L", (one, parse_inside(told)))


def _ids(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"^[0-9a-f]{12,64}$", text, re.MULTILINE))


PROBES: tuple[Probe, ...] = (
    Probe("GPUs in a container", "standard", _started, is_after_driver=True),
    Probe("GPUs of running containers", "standard", _running, is_after_driver=True),
)
