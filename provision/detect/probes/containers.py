"""Container engines, the NVIDIA container toolkit and CDI; and inside a container, what it was started with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...plain_text import plain
from ...records import GpuState, Reading, Scalar
from .. import container_files as files
from ..memory import lines_with
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...process import Completed
    from ...records import Machine
    from ..surroundings import Surroundings

_PROGRAMS = ("docker", "dockerd", "podman", "containerd", "kubelet", "nvidia-ctk", "nvidia-container-runtime")
_OPERATOR_FOLDER = "/usr/local/nvidia/toolkit"
"""Where NVIDIA's GPU Operator puts the toolkit of a Kubernetes node."""
_DOCKER_ENABLED = (
    "/etc/systemd/system/multi-user.target.wants/docker.service",
    "/etc/systemd/system/sockets.target.wants/docker.socket",
)
_SHM = "/dev/shm"  # noqa: S108 -- looked at, not written to


def is_looked_at(machine: Machine) -> bool:
    """Whether this is a host with a GPU: engines of others are nobody's business here."""
    return machine.gpu_state is not GpuState.NONE and not machine.host.container


# --- files of a host


def _engines(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    if not is_looked_at(machine):
        return
    for name in _PROGRAMS:
        yield _program(around, name)
    socket = next((path for path in ("/run/docker.sock", "/var/run/docker.sock") if around.exists(path)), None)
    yield Reading("ctr.docker_socket", socket or "/run/docker.sock", socket is not None)
    enabled = next((path for path in _DOCKER_ENABLED if around.exists(path)), None)
    yield Reading("ctr.docker_enabled", enabled or _DOCKER_ENABLED[0], enabled is not None)
    yield from _docker_config(around)
    yield from _containerd_config(around)
    yield from _toolkit_config(around)
    for folder in files.CDI_FOLDERS:
        for name in around.names(folder):
            if name.endswith((".yaml", ".yml", ".json")):
                yield from _cdi(around, f"{folder}/{name}")
    yield from _unlinked(around)


def _program(around: Surroundings, name: str) -> Reading:
    path = around.program(name)
    if path is None and name.startswith("nvidia-") and around.exists(f"{_OPERATOR_FOLDER}/{name}"):
        path = f"{_OPERATOR_FOLDER}/{name}"
    return Reading(f"ctr.program.{name}", path or "PATH", path, None if path else f"{name} is not installed")


def _is_there(around: Surroundings, path: str | None) -> bool | None:
    """Whether a runtime's program is installed; None where the configuration names none."""
    if path is None:
        return None
    return around.exists(path) if path.startswith("/") else around.program(path) is not None


def _runtimes(around: Surroundings, name: str, source: str, found: list[list[str | None]]) -> Iterator[Reading]:
    for runtime, path in found:
        if "nvidia" in f"{runtime} {path}":
            yield Reading(name, source, (runtime, path, _is_there(around, path)))


def _docker_config(around: Surroundings) -> Iterator[Reading]:
    path, kept = files.DOCKER_CONFIG, files.kept_of_file(around, files.DOCKER_CONFIG, files.keep_daemon_json)
    if kept["state"] == "absent" and around.exists(files.SNAP_DOCKER_CONFIG):
        path = files.SNAP_DOCKER_CONFIG
        kept = files.kept_of_file(around, path, files.keep_daemon_json)
    yield from _state("ctr.docker_config", path, kept)
    if kept["state"] == "read":
        yield from _runtimes(around, "ctr.docker_config_runtime", path, kept["runtimes"])
        for key in ("default_runtime", "cgroup_driver", "cdi", "data_root"):
            if kept[key] is not None:
                yield Reading(f"ctr.docker_config_{key}", path, kept[key])


def _state(name: str, path: str, kept: files.Kept) -> Iterator[Reading]:
    """How reading a file ended, as a word; the place where it is broken as the reading `<name>_broken`."""
    if kept["state"] == "unreadable":
        yield Reading(name, path, failure=kept["why"])
    else:
        yield Reading(name, path, kept["state"])
    if kept["state"] == "broken":
        yield Reading(f"{name}_broken", path, kept["why"])


def _containerd_config(around: Surroundings) -> Iterator[Reading]:
    names = [name for name in around.names(files.CONTAINERD_DROP_INS) if name.endswith(".toml")]
    # Drop-ins are read after the main file, which imports them, so the last word is theirs.
    for path in (files.CONTAINERD_CONFIG, *(f"{files.CONTAINERD_DROP_INS}/{name}" for name in names)):
        kept = files.kept_of_file(around, path, files.keep_containerd)
        yield from _state("ctr.containerd_config", path, kept)
        if kept["state"] == "read":
            yield from _runtimes(around, "ctr.containerd_runtime", path, kept["runtimes"])
            for key in ("version", "has_cri", "default_runtime", "cdi"):
                if kept[key] is not None:
                    yield Reading(f"ctr.containerd_{key}", path, kept[key])


def _toolkit_config(around: Surroundings) -> Iterator[Reading]:
    path = files.TOOLKIT_CONFIG
    kept = files.kept_of_file(around, path, files.keep_toolkit_config)
    yield from _state("ctr.toolkit_config", path, kept)
    for key in ("no_cgroups", "mode"):
        if kept.get(key) is not None:
            yield Reading(f"ctr.toolkit_{key}", path, kept[key])


def _cdi(around: Surroundings, path: str) -> Iterator[Reading]:
    kept = files.kept_of_file(around, path, files.keep_cdi_on(around))
    if kept["state"] != "read":
        yield Reading("ctr.cdi_spec", path, failure=kept["why"])
        return
    if kept["kind"] != files.GPU_KIND:
        return
    yield Reading("ctr.cdi_spec", path, (path, kept["cdi_version"], kept["devices"]))
    yield Reading("ctr.cdi_releases", path, tuple(kept["releases"]))
    yield Reading("ctr.cdi_missing", path, tuple(kept["missing"]))
    yield Reading("ctr.cdi_nodes", path, tuple(kept["nodes"]))


def _unlinked(around: Surroundings) -> Iterator[Reading]:
    """Device nodes without the link in /dev/char by which systemd finds them."""
    found = []
    for name in around.names("/dev"):
        if re.fullmatch(r"nvidia\d+|nvidiactl|nvidia-uvm", name):
            status, _ = around.status(f"/dev/{name}")
            if status and not around.exists(f"/dev/char/{status.major}:{status.minor}"):
                found.append(f"/dev/{name}")
    yield Reading("ctr.unlinked_nodes", "/dev/char", tuple(found))
    yield Reading("ctr.has_systemd", "/run/systemd/system", around.exists("/run/systemd/system"))


# --- programs of a host

_LOCAL = re.compile(r"unix://[\w./-]{1,200}")
_DOCKER_ASKED = "docker info --format {{json .}}"


def is_remote(around: Surroundings) -> bool:
    """Whether DOCKER_HOST leads to another machine."""
    host = around.variable("DOCKER_HOST", _LOCAL)
    return host.is_set and host.value is None


def _asked(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    if not is_looked_at(machine):
        return
    if around.program("nvidia-ctk"):
        told = around.tell("nvidia-ctk", "--version", keep=lines_with(r"\bversion \d"))
        release = parse_toolkit_version(told.stdout)
        why = None if release else told.failure or "nvidia-ctk --version names no release"
        yield Reading("ctr.toolkit_version", "nvidia-ctk --version", release, why)
    if around.program("docker"):
        yield from _docker(around)
    if around.program("podman"):
        yield _podman(around)
    yield from _room(around)


# NVIDIA Container Toolkit CLI version 1.17.8
# commit: f202b80a9b9d0db00d9b1d73c0128c8962c55f4d
def parse_toolkit_version(text: str) -> str | None:
    """Release in what `nvidia-ctk --version` writes; 1.18.0-rc.2 keeps its mark."""
    match = re.search(r"\bversion (\d+\.\d+\.\d+(?:-[\w.]+)?)", text)
    return match[1] if match else None


def docker_info(around: Surroundings) -> tuple[files.Kept | None, Completed]:
    """What is kept of Docker's answer, None without one; and how asking ended. Asked once for all probes."""
    keep = files.kept_docker_info(around.kernel.hostname)
    told = around.tell("docker", "info", "--format", "{{json .}}", keep=keep)
    return files.parse_docker_info(told.stdout), told


def _docker(around: Surroundings) -> Iterator[Reading]:
    source = _DOCKER_ASKED
    if is_remote(around):
        yield Reading("ctr.docker", "environment DOCKER_HOST", "elsewhere")
        return
    found, told = docker_info(around)
    if found is None:
        state, why = parse_docker_trouble(told)
        yield Reading("ctr.docker", source, state)
        yield Reading("ctr.docker_version", source, failure=why)
        return
    yield Reading("ctr.docker", source, "answers" if found["is_here"] and not found["is_desktop"] else "elsewhere")
    for key in ("version", "default_runtime", "cgroup_driver", "storage_driver", "root", "is_rootless", "has_cdi"):
        if found[key] is not None:
            yield Reading(f"ctr.docker_{key}", source, found[key])
    yield Reading("ctr.docker_runtimes", source, tuple(name for name, _ in found["runtimes"]))
    yield from _runtimes(around, "ctr.docker_runtime", source, found["runtimes"])


# Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?
# failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is
# permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: ...
# permission denied while trying to connect to the docker API at unix:///var/run/docker.sock
def parse_docker_trouble(told: Completed) -> tuple[str, str]:
    """Why no engine answered as a word (timed-out, no-permission, dead, unknown) and in a sentence."""
    said = plain(told.stderr)
    if told.timed_out:
        return "timed-out", "docker info gave no answer within its deadline"
    if told.failure:
        return "unknown", told.failure
    if "permission denied" in said.lower():
        return "no-permission", said
    if re.search(r"(?:cannot|failed to) connect to the docker", said, re.IGNORECASE):
        return "dead", said
    return "unknown", said or "docker info brought no answer that we know"  # also podman in Docker's clothes


def _podman(around: Surroundings) -> Reading:
    told = around.tell("podman", "--version", keep=lines_with(r"^podman version \d"))
    match = re.search(r"podman version (\d+(?:\.\d+)+)", told.stdout)  # podman version 4.9.3
    why = None if match else told.failure or "podman --version names no release"
    return Reading("ctr.podman_version", "podman --version", match[1] if match else None, why)


def _room(around: Surroundings) -> Iterator[Reading]:
    """Room where images lie: where Docker says, else where it puts them by default."""
    found = docker_info(around)[0] if around.program("docker") and not is_remote(around) else None
    if found is not None and (not found["is_here"] or found["is_desktop"]):
        return
    places = [found["root"]] if found and found["root"] else ["/var/lib/docker", "/var/lib/containers"]
    for place in places:
        space, why = around.space(place)
        if space is not None:
            yield Reading("ctr.store", place, (place, space.total_bytes, space.free_bytes))
        elif found:
            yield Reading("ctr.store", place, failure=why)


# --- inside a container

_CAPABILITY = r"(?:all|compat32|compute|display|graphics|ngx|utility|video)"
_WORDS = re.compile(rf"(?:{_CAPABILITY}(?:,{_CAPABILITY}){{0,15}})?")
_CONDITION = r"(?:cuda|driver|brand|arch)(?:[<>!]=?|=)[A-Za-z0-9.]{1,24}"
_REQUIREMENT = re.compile(rf"\s?{_CONDITION}(?:[ ,]{{1,2}}{_CONDITION}){{0,500}}\s?")
_VERSION = re.compile(r"\d+(?:\.\d+){0,4}")
_TRUE = re.compile(r"1|t|T|true|True|TRUE|0|f|F|false|False|FALSE")
_INSIDE = (
    ("ctr.visible_devices", "NVIDIA_VISIBLE_DEVICES", re.compile(r"all|none|void|")),
    ("ctr.driver_capabilities", "NVIDIA_DRIVER_CAPABILITIES", _WORDS),
    ("ctr.require_cuda", "NVIDIA_REQUIRE_CUDA", _REQUIREMENT),
    ("ctr.disable_require", "NVIDIA_DISABLE_REQUIRE", _TRUE),
    ("ctr.image_cuda", "CUDA_VERSION", _VERSION),
    ("ctr.image_driver", "CUDA_DRIVER_VERSION", _VERSION),
)


def _inside(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    if not machine.host.container:
        return
    for name, variable, form in _INSIDE:
        found = around.variable(variable, form)
        value: Scalar = found.value
        if found.is_set and value is None:
            yield Reading(name, f"environment {variable}", failure=f"{variable} is set, and of no form that we know")
        elif found.is_set:
            yield Reading(name, f"environment {variable}", value)
    space, why = around.space(_SHM)
    value = None if space is None else space.total_bytes
    yield Reading("ctr.shm_bytes", _SHM, value, why)
    if space is not None:
        yield Reading("ctr.shm_free_bytes", _SHM, space.free_bytes)


PROBES: tuple[Probe, ...] = (
    Probe("container engines", "instant", _engines),
    Probe("inside a container", "instant", _inside),
    Probe("container engines asked", "quick", _asked),
)
