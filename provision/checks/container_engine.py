"""Checks of container engines on a host: ctr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..records import Evidence
from .base import check, from_a_warning_too, on_bus, passed_through

if TYPE_CHECKING:
    from ..records import Finding, Scalar
    from .base import Facts, Verdict
    from .facts import HostClass

NOT_HERE: Final[tuple[HostClass, ...]] = ("container", "wsl", "jetson", "paste")
_GIB: Final = 2**30


# --- what is on the box


def has_docker(facts: Facts) -> bool:
    """Whether Docker's daemon is on this box; the command alone, or one that speaks to another machine, is not it."""
    if facts.text("ctr.docker") in {"elsewhere", "unknown"}:
        return False
    asked = facts.text("ctr.docker") in {"answers", "no-permission"}
    return bool(facts.value("ctr.program.docker") and (asked or facts.value("ctr.program.dockerd") or is_snap(facts)))


def is_idle(facts: Facts) -> bool:
    """Whether Docker is installed, does not run, and is not meant to."""
    is_wanted = facts.flag("ctr.docker_enabled") and facts.flag("ctr.has_systemd")
    return facts.text("ctr.docker") == "dead" and not is_wanted


def is_snap(facts: Facts) -> bool:
    """Whether Docker comes from Ubuntu's snap store."""
    path, root = facts.text("ctr.program.docker") or "", facts.text("ctr.docker_root") or ""
    return path.startswith("/snap/") or root.startswith("/var/snap/")


def is_kubernetes_node(facts: Facts) -> bool:
    """Whether containerd serves a kubelet here."""
    return bool(facts.value("ctr.program.containerd") and facts.value("ctr.program.kubelet"))


def engines(facts: Facts) -> tuple[str, ...]:
    """Engines that run containers on this box, by their names."""
    found = (
        ("Docker", has_docker(facts) and not is_idle(facts)),
        ("podman", facts.value("ctr.program.podman") is not None),
        ("containerd for Kubernetes", is_kubernetes_node(facts)),
    )
    return tuple(name for name, is_there in found if is_there)


def why_no_gpu_containers(facts: Facts) -> str | None:
    """Why this box can't be expected to give GPUs to containers; None when it can."""
    given = passed_through(facts)
    if given and len(given) == len(on_bus(facts)):
        return "All GPUs are given to virtual machines."
    if not engines(facts):
        return "No container engine runs on this box."
    return None


def has_toolkit(facts: Facts) -> bool:
    """Whether a part of the NVIDIA container toolkit is installed."""
    return any(facts.value(f"ctr.program.{name}") for name in ("nvidia-ctk", "nvidia-container-runtime"))


def dangling_runtimes(facts: Facts) -> tuple[tuple[Scalar, ...], ...]:
    """(name, program) of the runtimes that an engine of this box is told to use and whose program is missing."""
    names: tuple[str, ...] = ("ctr.docker_config_runtime", "ctr.docker_runtime") if has_docker(facts) else ()
    names += ("ctr.containerd_runtime",) if is_kubernetes_node(facts) else ()
    found = (value for name in names for value in facts.values(name) if isinstance(value, tuple))
    return tuple(dict.fromkeys(value[:2] for value in found if value[2] is False))


def registered(facts: Facts) -> bool:
    """Whether the running Docker knows the runtime nvidia."""
    return "nvidia" in (facts.texts("ctr.docker_runtimes") or ())


# --- checks


@check("ctr.engine", level="quick", needs=("gpu",), not_on=NOT_HERE, leads=("ctr.smoke",), explains=from_a_warning_too)
def engine(facts: Facts, say: Verdict) -> Finding:
    """The container engine answers.

    What it finds
        A Docker that is meant to run and is dead or hangs, and one from the snap store, which does not see the host's
        driver.

    Why it matters
        No container starts. The snap is confined: `libnvidia-ml.so.1: cannot open shared object file`.

    How it is decided
        `docker info` must answer within 5 s. A daemon that does not answer although systemd is told to start it fails;
        one that nobody enabled is left alone, and so is a command that speaks to another machine or to Docker Desktop.
        A user without permission gets unknown. The snap warns unless it brings the runtime nvidia.

    What to do
        Look at the log of the service; install docker-ce in place of the snap.

    Sources
        Docker, daemon troubleshooting; canonical/docker-snap issue 148; NVIDIA container toolkit issue 1092 (read
        2026-11).
    """
    if has_docker(facts):
        return _docker(facts, say)
    if facts.text("ctr.docker") == "elsewhere":
        return say.skipped("The docker command speaks to an engine that is not here.", *facts.evidence("ctr.docker"))
    podman = facts.text("ctr.podman_version")
    if podman:
        return say.passed(f"podman {podman}; it needs no daemon.", *facts.evidence("ctr.podman_version"))
    return say.skipped("No container engine runs on this box.")


def _docker(facts: Facts, say: Verdict) -> Finding:
    state = facts.text("ctr.docker")
    seen = facts.evidence("ctr.docker", "ctr.docker_version", "ctr.docker_enabled")
    log = ("systemctl status docker --no-pager", "sudo journalctl --unit docker --no-pager | tail -n 40")
    if state == "timed-out":
        return say.timed_out("Docker gave no answer within 5 s.", *seen, safe=log)
    if state == "no-permission":
        return say.unknown(
            "This user may not speak to Docker; run `sudo gpusetup check`, or join the group docker.", *seen
        )
    if state == "answers" and is_snap(facts) and not registered(facts):
        return say.warned(
            "Docker comes from the snap store and does not see the host's NVIDIA driver.",
            *facts.evidence("ctr.program.docker", "ctr.docker_root", "ctr.docker_runtimes"),
            safe=("snap list docker", "docker image ls    (what would have to be kept)"),
            risky=("sudo snap remove docker", "install docker-ce from Docker's repository"),
        )
    if state == "answers":
        return say.passed(f"Docker {facts.text('ctr.docker_version')} answers.", *seen)
    if state is None:
        return say.unknown("Docker was not asked.")
    if is_idle(facts):
        return say.skipped("Docker is installed and not enabled; nobody asked it to run.", *seen)
    return say.failed("Docker is enabled at boot and does not answer.", *seen, safe=log)


@check(
    "ctr.rootless",
    level="quick",
    needs=("gpu", "driver"),
    not_on=NOT_HERE,
    leads=("ctr.smoke",),
    explains=from_a_warning_too,
)
def rootless(facts: Facts, say: Verdict) -> Finding:
    """The toolkit's cgroup setting fits the way in which Docker runs.

    What it finds
        A rootless Docker whose toolkit wants to set device cgroups, and a Docker of root whose toolkit was told not to.

    Why it matters
        Rootless: `bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted`, and no container with a GPU
        starts. With root and `no-cgroups = true`: "Failed to initialize NVML: Unknown Error" inside.

    How it is decided
        `docker info` says whether it is rootless, /etc/nvidia-container-runtime/config.toml holds no-cgroups. A
        mismatch warns where the runtime nvidia is registered and its mode is not `cdi`, because CDI needs no setting.

    What to do
        Set no-cgroups with `nvidia-ctk config`, or give GPUs by CDI.

    Sources
        NVIDIA container toolkit issues 139 and 434, libnvidia-container issue 154 (read 2026-11).
    """
    is_rootless, is_off = facts.flag("ctr.docker_is_rootless"), facts.flag("ctr.toolkit_no_cgroups") is True
    if is_rootless is None or facts.text("ctr.docker") != "answers":
        return say.skipped("Docker does not run here, or did not say how.")
    if not registered(facts) or facts.text("ctr.toolkit_mode") == "cdi":
        return say.skipped("Docker does not give GPUs by the hook of the toolkit.")
    if facts.failure("ctr.toolkit_config") or facts.text("ctr.toolkit_config") == "broken":
        return say.unknown("The toolkit's configuration could not be read.", *facts.evidence("ctr.toolkit_config"))
    seen = facts.evidence("ctr.docker_is_rootless", "ctr.toolkit_no_cgroups", "ctr.toolkit_config")
    setting = "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups={} --in-place"
    if is_rootless and not is_off:
        return say.warned(
            "Docker is rootless, and the toolkit sets device cgroups, which only root may (no-cgroups = false).",
            *seen,
            safe=(setting.format("true"), "docker run --device nvidia.com/gpu=all ...    (by CDI)"),
        )
    if not is_rootless and is_off:
        return say.warned(
            "Docker runs as root, and the toolkit leaves its device cgroups alone (no-cgroups = true).",
            *seen,
            safe=(setting.format("false"),),
        )
    return say.passed(f"Docker runs {'rootless' if is_rootless else 'as root'}, and the toolkit fits that.", *seen)


@check(
    "ctr.storage",
    level="quick",
    needs=("gpu", "driver"),
    not_on=NOT_HERE,
    leads=("ctr.smoke",),
    explains=from_a_warning_too,
)
def storage(facts: Facts, say: Verdict) -> Finding:
    """There is room for images with CUDA.

    What it finds
        A full disk under the image store, or a store that copies every layer.

    Why it matters
        An image with PyTorch and CUDA needs 5 to 25 GB unpacked; a pull that fills the disk takes the box's other
        services with it.

    How it is decided
        Where Docker keeps its images, less than 10 GiB free warns (our proposal); it never fails. The storage driver
        vfs warns, because it stores each layer whole. Judged only where the NVIDIA container toolkit is installed.

    What to do
        `docker system df`, then prune what is not needed, or move data-root to a larger disk.

    Sources
        Docker, storage drivers; our proposal for the threshold.
    """
    if not has_toolkit(facts) or (why_no_gpu_containers(facts) is not None):
        return say.skipped("No container is given a GPU on this box.")
    rooms = [value for value in facts.values("ctr.store") if isinstance(value, tuple)]
    if not rooms:
        if facts.was_looked_at("ctr.store"):
            return say.unknown(f"The room for images was not read: {facts.why_not('ctr.store')}.")
        return say.skipped("No image store is here yet.")
    for place, _, free in rooms:
        if isinstance(free, int) and free < 10 * _GIB:
            return say.warned(
                f"{place} has {free / _GIB:.1f} GiB left for images.",
                Evidence("free", free, "bytes", str(place), needs=10 * _GIB),
                safe=("docker system df", f"df -h {place}"),
                risky=("docker system prune    (removes what no container uses)",),
            )
    if facts.text("ctr.docker_storage_driver") == "vfs":
        return say.warned(
            "Docker stores images with vfs, which keeps every layer whole.",
            *facts.evidence("ctr.docker_storage_driver"),
            safe=("docker info --format '{{.Driver}}'",),
        )
    room = ", ".join(f"{place} {free / _GIB:.0f} GiB" for place, _, free in rooms if isinstance(free, int))
    return say.passed(f"Room for images: {room}.", *facts.evidence("ctr.store"))


CHECKS = (engine, rootless, storage)
