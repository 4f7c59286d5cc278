"""Checks of the NVIDIA container toolkit and of its entry in the engines: ctr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..records import Evidence
from .base import check, from_a_warning_too
from .container_engine import (
    NOT_HERE,
    dangling_runtimes,
    engines,
    has_docker,
    has_toolkit,
    is_kubernetes_node,
    is_snap,
    registered,
    why_no_gpu_containers,
)
from .remedies import install_toolkit

if TYPE_CHECKING:
    from ..records import Finding, Scalar
    from .base import Facts, Verdict

_RESTART: Final = "sudo systemctl restart docker    (ends running containers, unless live-restore is on)"
_REGISTER: Final = (
    "sudo nvidia-ctk runtime configure --runtime=docker --dry-run    (shows; without --dry-run it writes)"
)
_DOCKER_CONFIG: Final = "/etc/docker/daemon.json"


@check(
    "ctr.toolkit",
    level="quick",
    needs=("gpu", "driver"),
    not_on=NOT_HERE,
    leads=("ctr.runtime_config", "ctr.engine", "ctr.cdi_fresh", "ctr.cdi_enabled", "ctr.smoke", "ctr.running_lost"),
    explains=from_a_warning_too,
)
def toolkit(facts: Facts, say: Verdict) -> Finding:
    """The NVIDIA container toolkit is installed, and of a release without known weaknesses.

    What it finds
        A GPU box that runs containers and lacks the toolkit, a configuration that names a program of a toolkit that is
        gone, or a toolkit with a published weakness.

    Why it matters
        Without it no container gets a GPU: `could not select device driver "" with capabilities: [[gpu]]`. An old one
        lets a crafted image out of its container.

    How it is decided
        A configured runtime whose program is missing fails: containers that ask for it can't start. A box with an
        engine and without the toolkit warns, and does not fail, because many run containers that need no GPU. With
        podman alone, which desktops bring for other ends, it passes. A release below the minimum of the matrix, or
        with a weakness listed there, warns.

    What to do
        Install or update nvidia-container-toolkit from NVIDIA's repository, register it with the engine, restart the
        engine.

    Sources
        NVIDIA container toolkit, installation guide; its issues 854 and 871; NVIDIA security bulletins, as the matrix
        lists them (read 2026-11).
    """
    if why := why_no_gpu_containers(facts):
        return say.skipped(why)
    if is_snap(facts) and engines(facts) == ("Docker",):
        return say.skipped("The snap of Docker does not use the host's toolkit; ctr.engine says more.")
    names = " and ".join(engines(facts))
    steps = {"safe": (_REGISTER,), "risky": install_toolkit(facts.machine)}
    if not has_toolkit(facts):
        dangling = dangling_runtimes(facts)
        seen = facts.evidence("ctr.program.nvidia-ctk", "ctr.program.nvidia-container-runtime")
        if dangling:
            return say.failed(
                f"The NVIDIA container toolkit is not installed, and a runtime is configured that needs it"
                f" ({_named(dangling)}).",
                *seen,
                *facts.evidence("ctr.docker_config_runtime", "ctr.docker_runtime", "ctr.containerd_runtime"),
                **steps,
            )
        if facts.texts("ctr.cdi_nodes"):
            return say.passed(f"{names} give GPUs by a CDI specification.", *facts.evidence("ctr.cdi_spec"))
        if engines(facts) == ("podman",):
            return say.passed("podman is here without the NVIDIA container toolkit: no container gets the GPU.", *seen)
        return say.warned(
            f"{names} on a GPU box without the NVIDIA container toolkit: containers can't use the GPU.",
            *seen,
            **steps,
        )
    release = facts.text("ctr.toolkit_version")
    if release is None:
        return say.unknown(
            f"The NVIDIA container toolkit is installed; its release is not known"
            f" ({facts.why_not('ctr.toolkit_version')}).",
            *facts.evidence("ctr.program.nvidia-ctk", "ctr.toolkit_version"),
        )
    return _release(facts, say, release)


def _release(facts: Facts, say: Verdict, release: str) -> Finding:
    faults = facts.matrix.faults if facts.matrix else None
    weak = faults.container_toolkit_of(release) if faults else ()
    minimum = faults.container_toolkit_minimum if faults else None
    evidence = Evidence("toolkit", release, source="nvidia-ctk --version", needs=minimum)
    if weak:
        return say.warned(
            f"NVIDIA container toolkit {release} has published weaknesses ({', '.join(row.name for row in weak)});"
            f" {minimum} has none.",
            evidence,
            *(Evidence(row.name, row.means, needs=".".join(map(str, row.below))) for row in weak),
            safe=("nvidia-ctk --version",),
            risky=install_toolkit(facts.machine),
        )
    return say.passed(f"NVIDIA container toolkit {release} is installed.", evidence)


def _named(found: tuple[tuple[Scalar, ...], ...]) -> str:
    return ", ".join(f"{name}: {path}" for name, path in found)


@check(
    "ctr.runtime_config",
    level="quick",
    needs=("gpu", "driver"),
    not_on=NOT_HERE,
    leads=("ctr.engine", "ctr.smoke"),
    explains=from_a_warning_too,
)
def runtime_config(facts: Facts, say: Verdict) -> Finding:
    """The container engine knows the runtime that gives GPUs.

    What it finds
        A daemon.json that Docker refuses, a configured runtime whose program is missing, a default runtime that nobody
        defines, or a Docker or containerd that was never told of the NVIDIA runtime, or not restarted since.

    Why it matters
        Docker does not start with a broken daemon.json, and ends with it every container of the box. Without the
        runtime: `unknown or invalid runtime name: nvidia`, `no runtime for "nvidia" is configured`.

    How it is decided
        JSON that does not parse, a runtime without its program, and an undefined default runtime fail. An installed
        toolkit of which a running Docker knows nothing, and a Kubernetes node whose containerd knows no NVIDIA
        runtime, warn unless a CDI specification is there: `docker run --gpus` may work without the name.

    What to do
        Mend the file at the place that is named; `nvidia-ctk runtime configure` writes the entry; restart the engine.

    Sources
        Docker, daemon configuration file; NVIDIA container toolkit, user guide and issue 854; GPU Operator,
        troubleshooting (read 2026-11).
    """
    if why := why_no_gpu_containers(facts):
        return say.skipped(why)
    if is_snap(facts) and engines(facts) == ("Docker",):
        return say.skipped("The snap of Docker has a configuration of its own; ctr.engine says more.")
    seen = facts.evidence("ctr.docker_config", "ctr.docker_config_runtime", "ctr.docker_runtimes")
    if has_docker(facts) and (found := _broken_docker(facts, say)):
        return found
    if dangling := dangling_runtimes(facts):
        sources = facts.evidence("ctr.docker_config_runtime", "ctr.docker_runtime", "ctr.containerd_runtime")
        return say.failed(
            f"A runtime is configured whose program is missing ({_named(dangling)}).",
            *sources,
            safe=("sudo nvidia-ctk runtime configure --runtime=docker --dry-run",),
            risky=install_toolkit(facts.machine),
        )
    if not has_toolkit(facts):
        return say.skipped("No NVIDIA runtime is configured and the toolkit is not installed; ctr.toolkit says more.")
    if not facts.values("ctr.cdi_spec") and (found := _unknown_runtime(facts, say)):
        return found
    if facts.failure("ctr.docker_config") and facts.text("ctr.docker") != "answers":
        return say.unknown(f"Docker's configuration was not read: {facts.why_not('ctr.docker_config')}.", *seen)
    return say.passed("The configured runtimes are there.", *seen)


def _unknown_runtime(facts: Facts, say: Verdict) -> Finding | None:
    if has_docker(facts):
        return _not_registered(facts, say) if facts.text("ctr.docker") == "answers" and not registered(facts) else None
    if is_kubernetes_node(facts) and _lacks_nvidia(facts):
        return say.warned(
            "containerd has no NVIDIA runtime, and there is no CDI specification: pods can't be given a GPU.",
            *facts.evidence("ctr.containerd_config", "ctr.containerd_default_runtime"),
            safe=("sudo nvidia-ctk runtime configure --runtime=containerd --dry-run",),
            risky=("sudo systemctl restart containerd",),
        )
    return None


def _broken_docker(facts: Facts, say: Verdict) -> Finding | None:
    reading = facts.reading("ctr.docker_config")
    path = reading.source if reading else _DOCKER_CONFIG
    if where := facts.text("ctr.docker_config_broken"):
        return say.failed(
            f"Docker can't read {path} and will not start with it ({where}).",
            *facts.evidence("ctr.docker_config", "ctr.docker_config_broken"),
            safe=(f"python3 -m json.tool {path}", f"dockerd --validate --config-file={path}"),
        )
    default = facts.text("ctr.docker_config_default_runtime")
    known = {value[0] for value in facts.values("ctr.docker_config_runtime") if isinstance(value, tuple)}
    if default == "nvidia" and "nvidia" not in known and not registered(facts):
        return say.failed(
            f"{path} makes nvidia the default runtime and nothing defines it, so Docker will not start.",
            *facts.evidence("ctr.docker_config_default_runtime", "ctr.docker_config_runtime"),
            safe=(_REGISTER,),
        )
    return None


def _not_registered(facts: Facts, say: Verdict) -> Finding:
    seen = facts.evidence("ctr.docker_runtimes", "ctr.docker_config_runtime", "ctr.docker_version")
    if facts.values("ctr.docker_config_runtime"):
        return say.warned(
            f"{_DOCKER_CONFIG} names the NVIDIA runtime and the running Docker does not know it: it was not restarted.",
            *seen,
            risky=(_RESTART,),
        )
    return say.warned(
        "Docker does not know the runtime nvidia, and there is no CDI specification.",
        *seen,
        safe=(_REGISTER, "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"),
        risky=(_RESTART,),
    )


def _lacks_nvidia(facts: Facts) -> bool:
    """Whether containerd's configuration was read, serves Kubernetes, and names no NVIDIA runtime."""
    was_read = "read" in facts.values("ctr.containerd_config")
    return was_read and facts.flag("ctr.containerd_has_cri") is not False and not facts.values("ctr.containerd_runtime")


CHECKS = (toolkit, runtime_config)
