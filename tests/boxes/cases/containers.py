"""Sick machines of the area containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.detect import container_files as files
from tests.boxes.healthy import container, gh200, h100x8, l40s, rtx5090, t4, v100
from tests.boxes.layers import containers as layer

from . import Case

if TYPE_CHECKING:
    from tests.boxes import Box

GIB = 2**30
MIB = 2**20
_DEFAULT = 64 * MIB
_ID = "0123456789abcdef" * 4
_ASKED = "docker run nvidia-smi"


def _config(box: Box, text: str) -> Box:
    return layer.config(box, files.DOCKER_CONFIG, text)


def _unlinked(box: Box) -> Box:
    return box.without("/dev/char")


def _inside(**variables: str | None) -> Box:
    """A container that was started with these variables."""
    box = container()
    for name in ("NVIDIA_REQUIRE_CUDA", "CUDA_VERSION", "NVIDIA_DRIVER_CAPABILITIES"):
        box.looks.pop(("variable", name), None)
    for name, value in variables.items():
        box.variable(name, value)
    return box


def _old_host(**variables: str) -> Box:
    return _inside(**variables).nvml(cuda=12020, driver="535.183.01", nvml="535.183.01")


def _many(box: Box) -> Box:
    """The container with two GPUs."""
    return box.node("/dev/nvidia1", minor=1).nvml(count=2)


def _smoke(**answer: Any) -> Box:
    """A t4 with an image of Ubuntu, in which nvidia-smi is started."""
    box = t4().command(layer.IMAGES, "ubuntu:24.04\n").command(_ASKED, **answer)
    return box.program("docker")


def _running(said: str, *, timed_out: bool = False) -> Box:
    """A t4 with one running container that was given the GPU, in which nvidia-smi says this."""
    box = t4().command("docker ps --quiet --no-trunc", f"{_ID}\n")
    box.command("docker inspect of device requests", f'{_ID[:12]} [{{"Capabilities":[["gpu"]]}}]')
    box.command(f"docker exec {_ID[:12]} nvidia-smi", said, returncode=255, timed_out=timed_out)
    return box.program("docker")


_KUBERNETES_PLAIN = """
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""


def _node(text: str) -> Box:
    """A Kubernetes node with one T4 and the toolkit from packages."""
    box = layer.toolkit(rtx5090().program("docker", None)).program("containerd").program("kubelet")
    return layer.config(box, files.CONTAINERD_CONFIG, text)


CASES: tuple[Case, ...] = (
    # --- toolkit
    Case(
        "docker-without-toolkit",
        lambda: layer.without_toolkit(_config(layer.docker(t4(), Runtimes={}), "{}")),
        "ctr.toolkit",
        status="warn",
        pitfall=("docker-no-nvidia-runtime",),
        says=("Docker on a GPU box", "can't use the GPU"),
    ),
    Case(
        "toolkit-removed-and-still-configured",
        lambda: layer.without_toolkit(t4()),
        "ctr.toolkit",
        says=("nvidia: nvidia-container-runtime",),
    ),
    Case(
        "toolkit-with-weaknesses",
        lambda: layer.toolkit(t4(), "1.16.1"),
        "ctr.toolkit",
        status="warn",
        says=("CVE-2024-0132", "CVE-2025-23266", "1.17.8"),
    ),
    Case("toolkit-just-below-the-minimum", lambda: layer.toolkit(t4(), "1.17.7"), "ctr.toolkit", status="warn"),
    # --- the runtime
    Case(
        "docker-without-the-runtime",
        lambda: _config(layer.docker(t4(), Runtimes={}), '{"log-driver": "journald"}'),
        "ctr.runtime_config",
        status="warn",
        pitfall=("docker-unknown-runtime",),
        says=("does not know the runtime nvidia",),
    ),
    Case(
        "docker-not-restarted",
        lambda: layer.docker(t4(), Runtimes={}),
        "ctr.runtime_config",
        status="warn",
        says=("not restarted",),
    ),
    Case(
        "containerd-without-the-runtime",
        lambda: _node(_KUBERNETES_PLAIN),
        "ctr.runtime_config",
        status="warn",
        says=("containerd has no NVIDIA runtime",),
    ),
    Case(
        "containerd-runtime-without-its-program",
        lambda: _node(layer.KUBERNETES.replace("/usr/local/nvidia/toolkit", "/opt/nvidia")),
        "ctr.runtime_config",
        says=("/opt/nvidia/nvidia-container-runtime",),
    ),
    Case(
        "daemon-json-broken",
        lambda: _config(layer.dead_docker(t4()), '{\n  "data-root": "/data",\n}\n'),
        "ctr.runtime_config",
        says=("line 3, column 1", "will not start"),
    ),
    Case(
        "daemon-json-with-a-comment",
        lambda: _config(t4(), '{\n  // for the GPUs\n  "default-runtime": "nvidia"\n}\n'),
        "ctr.runtime_config",
        says=("line 2",),
    ),
    Case(
        "default-runtime-undefined",
        lambda: _config(layer.dead_docker(t4()), '{"default-runtime": "nvidia"}'),
        "ctr.runtime_config",
        says=("nothing defines it",),
    ),
    # --- the engine
    Case("docker-dead", lambda: layer.dead_docker(t4()), "ctr.engine", says=("does not answer",)),
    Case(
        "docker-hangs",
        lambda: t4().command(layer.INFO, timed_out=True),
        "ctr.engine",
        status="timed-out",
    ),
    Case(
        "docker-from-the-snap",
        lambda: (
            layer.docker(t4(), Runtimes={}, DockerRootDir="/var/snap/docker/common/var-lib-docker")
            .program("docker", "/snap/bin")
            .program("dockerd", None)
        ),
        "ctr.engine",
        status="warn",
        pitfall=("docker-snap",),
        says=("snap store",),
    ),
    Case(
        "rootless-with-cgroups",
        lambda: layer.toolkit(l40s(), settings="[nvidia-container-cli]\n#no-cgroups = false\n"),
        "ctr.rootless",
        status="warn",
        pitfall=("docker-rootless",),
        says=("rootless",),
    ),
    Case(
        "root-without-cgroups",
        lambda: layer.toolkit(t4(), settings="[nvidia-container-cli]\nno-cgroups = true\n"),
        "ctr.rootless",
        status="warn",
        says=("runs as root",),
    ),
    Case(
        "image-store-full",
        lambda: t4().space("/var/lib/docker", total=100 * GIB, free=10 * GIB - 1),
        "ctr.storage",
        status="warn",
        says=("10.0 GiB left",),
    ),
    Case("image-store-vfs", lambda: layer.docker(t4(), Driver="vfs"), "ctr.storage", status="warn", says=("vfs",)),
    # --- CDI
    Case(
        "cdi-of-the-old-driver",
        lambda: layer.cdi(v100(), "/etc/cdi/nvidia.yaml", "575.57.08", missing=("/usr/lib64/libcuda.so.575.57.08",)),
        "ctr.cdi_fresh",
        pitfall=("cdi-spec-missing-or-stale",),
        says=("575.57.08", "580.82.07 is loaded"),
    ),
    Case(
        "cdi-of-a-gone-gpu",
        lambda: layer.cdi(v100(), "/etc/cdi/nvidia.yaml", "580.82.07", count=2, missing=("/dev/nvidia1",)),
        "ctr.cdi_fresh",
        says=("/dev/nvidia1",),
    ),
    Case(
        "cdi-without-a-new-gpu",
        lambda: layer.cdi(h100x8(), "/var/run/cdi/nvidia.yaml", "570.124.06", count=6),
        "ctr.cdi_fresh",
        status="warn",
        says=("lacks 2 GPUs", "/dev/nvidia6"),
    ),
    Case(
        "podman-without-cdi",
        lambda: v100().without("/etc/cdi"),
        "ctr.cdi_fresh",
        status="warn",
        says=("podman gives GPUs by CDI",),
    ),
    Case(
        "cdi-off-in-docker",
        lambda: layer.docker(gh200(), ServerVersion="27.5.1", Runtimes={}, CDISpecDirs=[]),
        "ctr.cdi_enabled",
        status="warn",
        says=("CDI is off in Docker 27.5.1",),
    ),
    Case(
        "systemd-takes-the-gpus-away",
        lambda: _unlinked(t4()),
        "ctr.device_loss_risk",
        status="warn",
        says=("3 device nodes", "/dev/nvidia0"),
    ),
    # --- a container that is started
    Case(
        "container-does-not-start",
        lambda: _smoke(
            returncode=125,
            stderr="docker: Error response from daemon: failed to create task for container: error running prestart"
            " hook #0: exit status 1, stderr: nvidia-container-cli: initialization error: load library failed",
        ),
        "ctr.smoke",
        level="standard",
        says=("could not reach the driver",),
    ),
    Case(
        "container-sees-other-gpus",
        lambda: _smoke(stdout="GPU-955ef018-3bd9-5f27-80b3-fa20ee8d19c5\n"),
        "ctr.smoke",
        level="standard",
        says=("sees other GPUs",),
    ),
    Case(
        "container-never-ends",
        lambda: _smoke(timed_out=True),
        "ctr.smoke",
        status="timed-out",
        level="standard",
    ),
    Case(
        "running-container-lost-its-gpu",
        lambda: _running("Failed to initialize NVML: Unknown Error\n"),
        "ctr.running_lost",
        level="standard",
        says=("0123456789ab",),
    ),
    Case(
        "running-container-hangs",
        lambda: _running("", timed_out=True),
        "ctr.running_lost",
        status="timed-out",
        level="standard",
    ),
    # --- inside
    Case(
        "container-only-utility",
        lambda: _inside(NVIDIA_DRIVER_CAPABILITIES="utility").library("libcuda.so.1", None),
        "ctr.capabilities",
        pitfall=("container-driver-caps",),
        says=("NVIDIA_DRIVER_CAPABILITIES=utility", "no libcuda"),
    ),
    Case(
        "container-only-compute",
        lambda: (
            _inside(NVIDIA_DRIVER_CAPABILITIES="compute")
            .library("libnvidia-ml.so.1", None)
            .nvml(**{"err.nvmlInit": 12})
        ),
        "ctr.capabilities",
        status="warn",
        says=("without utility",),
    ),
    Case(
        "container-lost-its-gpu",
        lambda: container().nvml(**{"err.nvmlInit": 999}),
        "ctr.gpu_granted",
        pitfall=("container-cgroup-lost-gpu",),
        says=("lost it",),
    ),
    Case(
        "image-for-a-newer-cuda",
        lambda: _old_host(NVIDIA_REQUIRE_CUDA="cuda>=13.0 brand=tesla,driver>=550,driver<551", CUDA_VERSION="13.0.1"),
        "ctr.image_requirements",
        pitfall=("container-cuda-requirement",),
        says=("needs CUDA 13.0", "runs CUDA 12.2"),
    ),
    Case(
        "image-for-a-newer-minor",
        lambda: _inside(NVIDIA_REQUIRE_CUDA="cuda>=13.3 brand=tesla,driver>=535,driver<536", CUDA_VERSION="13.3.0"),
        "ctr.image_requirements",
        status="warn",
        says=("asks for CUDA 13.3", "runs 13.0"),
    ),
    Case(
        "ngc-image-for-a-newer-driver",
        lambda: _old_host(NVIDIA_REQUIRE_CUDA="cuda>=9.0", CUDA_VERSION="13.0.1.012", CUDA_DRIVER_VERSION="580.82.07"),
        "ctr.image_requirements",
        pitfall=("ngc-image-driver-too-old",),
        says=("needs CUDA 13.0", "580.82.07"),
    ),
    Case(
        "container-with-default-shm",
        lambda: container().space(layer.SHM, total=_DEFAULT, free=_DEFAULT),
        "ctr.shm",
        status="warn",
        pitfall=("container-shm-too-small",),
        says=("64 MiB, the default", "DataLoader"),
    ),
    Case(
        "container-with-little-shm-for-nccl",
        lambda: _many(container()).space(layer.SHM, total=GIB - 1, free=GIB - 1),
        "ctr.shm",
        status="warn",
        pitfall=("nccl-shm-too-small",),
        says=("NCCL",),
    ),
)
