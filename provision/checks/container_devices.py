"""Checks of how containers of a host are given GPUs: CDI, cgroups, and one container that is started: ctr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted, from_a_warning_too
from .container_engine import (
    NOT_HERE,
    engines,
    has_docker,
    has_toolkit,
    is_kubernetes_node,
    registered,
    why_no_gpu_containers,
)

if TYPE_CHECKING:
    from ..records import Finding, Reading
    from .base import Facts, Verdict

_GENERATE = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
_REFRESH = "systemctl status nvidia-cdi-refresh.service --no-pager    (from toolkit 1.18 on it does that by itself)"


def _in_force(facts: Facts) -> Reading | None:
    """The specification whose devices an engine takes: of several the one in the later folder, /var/run/cdi."""
    read = [one for one in facts.readings("ctr.cdi_spec") if one.failure is None]
    return max(read, key=lambda one: one.source.startswith("/var/run/"), default=None)


def _of(facts: Facts, name: str, source: str) -> tuple[str, ...]:
    """The list that a reading of that name holds for one specification."""
    for one in facts.readings(name):
        if one.source == source and isinstance(one.value, tuple):
            return tuple(str(value) for value in one.value)
    return ()


@check(
    "ctr.cdi_fresh",
    level="instant",
    needs=("gpu", "driver"),
    not_on=NOT_HERE,
    leads=("ctr.smoke", "ctr.cdi_enabled"),
    explains=from_a_warning_too,
)
def cdi_fresh(facts: Facts, say: Verdict) -> Finding:
    """The CDI specification fits the driver that is installed.

    What it finds
        A CDI specification that was written before a driver upgrade, or for GPUs that are not there any more.

    Why it matters
        It names the driver's files with their release. After an upgrade they are gone: `stat ...: no such file or
        directory`, `unresolvable CDI devices nvidia.com/gpu=all`, and no container with a GPU starts.

    How it is decided
        Of the specifications of kind nvidia.com/gpu in /etc/cdi and /var/run/cdi that of the later folder counts. A
        file or device node in it that is not there fails; so does another driver release than the loaded one. GPUs
        that it lacks warn. With podman as the only engine, a toolkit, and no specification it warns.

    What to do
        Write it again after every driver change, or let nvidia-cdi-refresh.service do it.

    Sources
        CDI specification, "Specification file locations"; NVIDIA container toolkit issues 146, 885 and 1239;
        containers/podman issues 23935 and 26233 (read 2026-11).
    """
    broken = [one for one in facts.readings("ctr.cdi_spec") if one.failure is not None]
    spec = _in_force(facts)
    if spec is None and broken:
        return say.unknown(f"{broken[0].source} was not read ({broken[0].failure}).", *facts.evidence("ctr.cdi_spec"))
    if spec is None:
        return _without(facts, say)
    missing, releases = _of(facts, "ctr.cdi_missing", spec.source), _of(facts, "ctr.cdi_releases", spec.source)
    loaded = facts.text("driver.module_version") or facts.text("driver.proc_version")
    others = tuple(release for release in releases if release != loaded)
    evidence = (
        Evidence("driver in the specification", releases, source=spec.source, needs=loaded),
        Evidence("missing", missing[:8], source=spec.source),
        *facts.evidence("ctr.cdi_spec"),
    )
    again = _GENERATE.replace("/etc/cdi/nvidia.yaml", spec.source)
    if others and loaded:
        return say.failed(
            f"{spec.source} is for driver {', '.join(others)}; {loaded} is loaded.", *evidence, safe=(again, _REFRESH)
        )
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return say.failed(
            f"{spec.source} names {missing[0]}{more}, and that is not there.", *evidence, safe=(again, _REFRESH)
        )
    nodes = set(_of(facts, "ctr.cdi_nodes", spec.source))
    lacking = [
        node
        for node in facts.texts("driver.device_nodes") or ()
        if node.removeprefix("/dev/nvidia").isdigit() and node not in nodes
    ]
    if lacking and nodes:
        return say.warned(
            f"{spec.source} lacks {counted(len(lacking), 'GPU')} of this box ({', '.join(lacking)}).",
            *evidence,
            safe=(again,),
        )
    return say.passed(f"{spec.source} fits the driver.", *evidence[:1])


def _without(facts: Facts, say: Verdict) -> Finding:
    if engines(facts) == ("podman",) and has_toolkit(facts):
        return say.warned(
            "podman gives GPUs by CDI, and there is no CDI specification of them.",
            *facts.evidence("ctr.program.podman", "ctr.program.nvidia-ctk"),
            safe=(_GENERATE, "podman run --device nvidia.com/gpu=all ...", _REFRESH),
        )
    return say.skipped("There is no CDI specification of NVIDIA GPUs, and nothing here needs one.")


@check(
    "ctr.cdi_enabled",
    level="quick",
    needs=("gpu", "driver"),
    not_on=NOT_HERE,
    leads=("ctr.smoke",),
    explains=from_a_warning_too,
)
def cdi_enabled(facts: Facts, say: Verdict) -> Finding:
    """The engine reads the CDI specification that is there.

    What it finds
        A CDI specification and an engine whose CDI is switched off, with no NVIDIA runtime beside it.

    Why it matters
        `could not select device driver "cdi" with capabilities: []`: the specification is there for nothing.

    How it is decided
        `docker info` lists the CDI folders only where CDI is on; Docker has it from 25.0 on behind features.cdi and
        by default from 28.2 on. containerd's switch is enable_cdi. Off, with a specification and without the runtime
        nvidia, warns. With that runtime it passes: containers get GPUs by it.

    What to do
        Set features.cdi in daemon.json, or enable_cdi in containerd's configuration, and restart the engine.

    Sources
        moby pull request 49963; Docker, dockerd reference, "Configure CDI devices"; containerd, CRI configuration (read
        2026-11).
    """
    spec = _in_force(facts)
    if spec is None:
        return say.skipped("There is no CDI specification of NVIDIA GPUs.")
    names = engines(facts)
    if "podman" in names:
        return say.passed("podman reads CDI specifications by itself.", *facts.evidence("ctr.podman_version"))
    seen = facts.evidence("ctr.cdi_spec", "ctr.docker_version", "ctr.docker_has_cdi", "ctr.docker_config_cdi")
    if has_docker(facts) and facts.text("ctr.docker") == "answers":
        if facts.flag("ctr.docker_has_cdi"):
            return say.passed("Docker reads CDI specifications.", *seen)
        if registered(facts):
            return say.passed("CDI is off in Docker; it gives GPUs by the runtime nvidia.", *seen)
        return say.warned(
            f"{spec.source} is there, and CDI is off in Docker {facts.text('ctr.docker_version')}.",
            *seen,
            safe=('add "features": {"cdi": true} to /etc/docker/daemon.json    (Docker 25.0 or newer)',),
            risky=("sudo systemctl restart docker",),
        )
    is_off = facts.flag("ctr.containerd_cdi") is False
    if is_kubernetes_node(facts) and is_off and not facts.values("ctr.containerd_runtime"):
        return say.warned(
            f"{spec.source} is there, and CDI is off in containerd.",
            *facts.evidence("ctr.cdi_spec", "ctr.containerd_cdi"),
            safe=("set enable_cdi = true in the CRI part of /etc/containerd/config.toml",),
            risky=("sudo systemctl restart containerd",),
        )
    return say.skipped("No engine says whether it reads CDI specifications.")


@check(
    "ctr.device_loss_risk",
    level="quick",
    needs=("gpu", "driver"),
    not_on=NOT_HERE,
    leads=("ctr.running_lost",),
    explains=from_a_warning_too,
)
def device_loss_risk(facts: Facts, say: Verdict) -> Finding:
    """Running containers keep their GPUs when systemd reloads.

    What it finds
        A Docker that lets systemd manage cgroups, gives GPUs by the NVIDIA runtime, and device nodes that systemd
        can't find.

    Why it matters
        `systemctl daemon-reload`, which package upgrades call, sets the device rules of every container anew and
        leaves out the GPUs: "Failed to initialize NVML: Unknown Error" in containers that ran for days.

    How it is decided
        All of it together warns: `docker info` names the cgroup driver systemd, the runtime nvidia is registered and
        its mode is not `cdi`, and a node /dev/nvidia* has no link in /dev/char.

    What to do
        Make the links, or give GPUs by CDI, or set Docker's cgroup driver to cgroupfs.

    Sources
        NVIDIA container toolkit, troubleshooting, and its issues 48, 251 and 1227 (read 2026-11).
    """
    if why := why_no_gpu_containers(facts):
        return say.skipped(why)
    driver, missing = facts.text("ctr.docker_cgroup_driver"), facts.texts("ctr.unlinked_nodes")
    if facts.text("ctr.docker") != "answers" or driver is None or missing is None:
        return say.skipped("Docker does not run here, or did not say how it manages cgroups.")
    seen = facts.evidence("ctr.docker_cgroup_driver", "ctr.unlinked_nodes", "ctr.toolkit_mode")
    if driver != "systemd" or not registered(facts) or facts.text("ctr.toolkit_mode") == "cdi" or not missing:
        return say.passed("Docker's containers keep their GPUs over a reload of systemd.", *seen)
    return say.warned(
        f"Containers lose their GPUs when systemd reloads: {counted(len(missing), 'device node')}"
        " without a link in /dev/char.",
        *seen,
        safe=(
            "sudo nvidia-ctk system create-dev-char-symlinks --create-all",
            "docker run --device nvidia.com/gpu=all ...    (by CDI)",
        ),
    )


_SAID = (
    ("could not select device driver", "Docker found no way to give GPUs"),
    ("unknown or invalid runtime", "Docker does not know the runtime nvidia"),
    ("unresolvable CDI devices", "the CDI specification does not know the GPUs"),
    ("initialization error", "the toolkit could not reach the driver"),
    ("unsatisfied condition", "the image wants a newer driver"),
    ("bpf_prog_query", "the engine may not set device rules"),
    ("Unknown Error", "NVML found no GPU that it may open"),
)


@check("ctr.smoke", level="standard", needs=("nvml",), not_on=NOT_HERE)
def smoke(facts: Facts, say: Verdict) -> Finding:
    """A container that is started with all GPUs sees the GPUs of the host.

    What it finds
        An engine that starts no container with GPUs, and containers that see others, or fewer, than the host.

    Why it matters
        It is the proof that all the parts work together.

    How it is decided
        Only with a small image that is already on the machine (Ubuntu, Debian, Rocky, Alma, nvidia/cuda base); none is
        ever pulled. `nvidia-smi` inside, without network, within 45 s, must list the ids that NVML lists outside.

    What to do
        The engine's own words say what is missing; ctr.toolkit and ctr.runtime_config show how to set it up.

    Sources
        NVIDIA container toolkit, "Running a sample workload" (read 2026-11).
    """
    state = facts.text("ctr.smoke")
    if state is None:
        why = facts.failure("ctr.smoke_image")
        return say.skipped(f"No container was started: {why or 'Docker does not run here'}.")
    seen = facts.evidence("ctr.smoke_image", "ctr.smoke", "ctr.smoke_error")
    if state == "timed-out":
        return say.timed_out("A container with GPUs gave no answer within 45 s.", *seen, safe=("docker ps",))
    if state == "failed":
        said = facts.text("ctr.smoke_error") or ""
        if "executable file not found" in said and registered(facts):
            return say.unknown("The image on this machine was given no nvidia-smi.", *seen)
        word = next((meaning for words, meaning in _SAID if words in said), "the engine refused")
        if not has_toolkit(facts):
            return say.skipped(f"No container is given a GPU on this box: {word}.", *seen)
        return say.failed(
            f"A container with GPUs did not start: {word}.", *seen, safe=("gpusetup explain ctr.toolkit",)
        )
    inside = set(facts.texts("ctr.smoke_gpus") or ())
    outside = {gpu.gpu_uuid for gpu in facts.gpus if gpu.gpu_uuid}
    counts = (Evidence("GPUs inside", len(inside), source="docker run nvidia-smi", needs=len(outside)),)
    if inside != outside:
        how = "other GPUs than the host" if len(inside) == len(outside) else f"{len(inside)} of {len(outside)} GPUs"
        return say.failed(
            f"A container sees {how}.",
            *counts,
            *seen,
            safe=("docker run --rm --gpus all <image> nvidia-smi -L", "nvidia-smi -L"),
        )
    return say.passed(f"A container sees the same {counted(len(inside), 'GPU')} as the host.", *counts, *seen)


@check("ctr.running_lost", level="standard", needs=("nvml",), not_on=NOT_HERE)
def running_lost(facts: Facts, say: Verdict) -> Finding:
    """Running containers still have the GPUs that they were given.

    What it finds
        Containers that lost their GPUs while they ran.

    Why it matters
        Whoever uses the GPU already goes on, the next program inside finds none: "Failed to initialize NVML: Unknown
        Error".

    How it is decided
        `nvidia-smi -L` is run in up to 8 containers that were started with `--gpus` or a CDI device, 5 s each. That
        error fails; no answer is timed out. An image without nvidia-smi says nothing. It needs the permission to speak
        to Docker.

    What to do
        Start these containers again, then mend the cause: ctr.device_loss_risk tells it.

    Sources
        NVIDIA container toolkit, troubleshooting, and its issue 48 (read 2026-11).
    """
    count = facts.number("ctr.running_count")
    if count is None:
        return say.skipped("Docker does not run here, or this user may not ask it.")
    asked = [value for value in facts.values("ctr.running") if isinstance(value, tuple)]
    lost = [str(name) for name, state in asked if state == "lost"]
    silent = [str(name) for name, state in asked if state == "timed-out"]
    seen = facts.evidence("ctr.running_count", "ctr.running")
    if lost:
        return say.failed(
            f"{counted(len(lost), 'running container')} lost the GPU ({', '.join(lost)}).",
            *seen,
            safe=(f"docker exec {lost[0]} nvidia-smi", "gpusetup explain ctr.device_loss_risk"),
            risky=(f"docker restart {' '.join(lost)}",),
        )
    if silent:
        return say.timed_out(f"nvidia-smi gave no answer in container {', '.join(silent)}.", *seen, safe=("docker ps",))
    answered = sum(state == "answers" for _, state in asked)
    if not answered:
        return say.skipped("No running container with a GPU can tell whether it still has it.", *seen)
    return say.passed(f"{counted(answered, 'running container')} with a GPU still see it.", *seen)


CHECKS = (cdi_fresh, cdi_enabled, device_loss_risk, running_lost, smoke)
