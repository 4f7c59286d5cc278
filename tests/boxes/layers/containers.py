"""What the containers probes and checks look at on a healthy machine; `box.name` says which one it is.

Files and answers of which only a part is kept pass through the product's own filters, as on a live machine.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from provision.detect import container_files as files

if TYPE_CHECKING:
    from tests.boxes import Box

GIB = 2**30
SHM = "/dev/shm"  # noqa: S108 -- looked at, not written to
RUNTIME = "/usr/bin/nvidia-container-runtime"
DAEMON_JSON = json.dumps({"runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}})
INFO = "docker info --format {{json .}}"
IMAGES = "docker image ls --format {{.Repository}}:{{.Tag}}"
_KEEPERS = {
    files.DOCKER_CONFIG: files.keep_daemon_json,
    files.CONTAINERD_CONFIG: files.keep_containerd,
    files.TOOLKIT_CONFIG: files.keep_toolkit_config,
}
KUBERNETES = """
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  enable_cdi = false
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "nvidia"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
        BinaryName = "/usr/local/nvidia/toolkit/nvidia-container-runtime"
        SystemdCgroup = true
"""


def config(box: Box, path: str, text: str | None) -> Box:
    """A configuration file; None takes it away."""
    if text is None:
        return box.answer(f"kept of {path}", {"state": "absent", "why": f"{path} is not there"})
    return box.answer(f"kept of {path}", files.read_kept(text, _KEEPERS[path]))


def docker(box: Box, **changes: Any) -> Box:
    """Docker's daemon, with lines of what `docker info` says changed; None removes the line."""
    runtimes = {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}}
    info: dict[str, Any] = {
        "ID": "fdd17e44-fa14-44a6-bcea-675088894c15",
        "Driver": "overlay2",
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "OperatingSystem": "Ubuntu 24.04.3 LTS",
        "DockerRootDir": "/var/lib/docker",
        "HttpsProxy": "http://proxy.example:3128",
        "Name": box.name,
        "ServerVersion": "28.3.2",
        "Runtimes": {**runtimes, "nvidia": {"path": "nvidia-container-runtime"}},
        "DefaultRuntime": "runc",
        "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
        "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
        "Warnings": None,
        "ClientInfo": {"Version": "28.3.2", "Context": "default"},
    }
    for name, value in changes.items():
        info[name] = {**runtimes, **value} if name == "Runtimes" else value
    told = json.dumps({name: value for name, value in info.items() if value is not None})
    box.command(INFO, files.kept_docker_info(box.name)(told)).program("dockerd")
    box.file("/run/systemd/system/docker.slice", "").file("/run/docker.sock", "")
    box.link("/etc/systemd/system/multi-user.target.wants/docker.service", "/usr/lib/systemd/system/docker.service")
    box.command(IMAGES, "").command("docker ps --quiet --no-trunc", "")
    return box.space("/var/lib/docker", total=900 * GIB, free=400 * GIB)


def dead_docker(box: Box, said: str = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.") -> Box:
    """The same Docker, without an answer."""
    return docker(box).command(INFO, returncode=1, stderr=f"{said} Is the docker daemon running?")


def toolkit(box: Box, release: str = "1.19.0", *, settings: str = "[nvidia-container-cli]\n") -> Box:
    """The NVIDIA container toolkit."""
    box.command("nvidia-ctk --version", f"NVIDIA Container Toolkit CLI version {release}\ncommit: f202b80a9b9d\n")
    box.program("nvidia-container-runtime")
    return config(box, files.TOOLKIT_CONFIG, settings)


def without_toolkit(box: Box) -> Box:
    box.without_command("nvidia-ctk --version").program("nvidia-ctk", None).program("nvidia-container-runtime", None)
    return config(box, files.TOOLKIT_CONFIG, None)


def links(box: Box) -> Box:
    """The links by which systemd finds the driver's nodes."""
    for name in box.looks["names", "/dev"].value:
        if name.startswith("nvidia") and name != "nvidia-uvm-tools":
            value = box.looks["status", f"/dev/{name}"].value
            box.link(f"/dev/char/{value['major']}:{value['minor']}", f"../{name}")
    return box


def cdi(
    box: Box, path: str, release: str, *, count: int = 1, missing: tuple[str, ...] = (), kind: str = files.GPU_KIND
) -> Box:
    """A CDI specification as nvidia-ctk writes it; `missing` are those of its files that are gone."""
    lib = f"/usr/lib/{box.arch}-linux-gnu"
    nodes = [f"/dev/nvidia{number}" for number in range(count)]
    tree = {
        "cdiVersion": "0.7.0",
        "kind": kind,
        "devices": [
            *({"name": str(at), "containerEdits": {"deviceNodes": [{"path": node}]}} for at, node in enumerate(nodes)),
            {"name": "all", "containerEdits": {"deviceNodes": [{"path": node} for node in nodes]}},
        ],
        "containerEdits": {
            "deviceNodes": [{"path": "/dev/nvidiactl"}, {"path": "/dev/nvidia-uvm"}],
            "hooks": [{"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook"]}],
            "mounts": [
                {"hostPath": f"{lib}/lib{name}.so.{release}", "containerPath": f"{lib}/lib{name}.so.{release}"}
                for name in ("cuda", "nvidia-ml", "nvidia-ptxjitcompiler")
            ],
        },
    }
    kept = files.keep_cdi(json.dumps(tree))
    kept.pop("paths")
    box.file(path, "")
    return box.answer(f"kept of {path}", {"state": "read", **kept, "missing": list(missing), "nodes": nodes})


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    for path in _KEEPERS:
        config(box, path, None)
    adders = {
        "t4": _runtime,
        "v100": _podman,
        "a100-mig": _kubernetes,
        "h100x8": _cdi_docker,
        "l40s": _rootless,
        "rtx5090": _desktop,
        "gh200": _new_docker,
        "cpu-only": _plain_docker,
        "c0ffee123456": _container,
        "laptop": _plain_docker,
    }
    if box.name in adders:
        adders[box.name](box)


def _runtime(box: Box) -> None:
    links(toolkit(config(docker(box), files.DOCKER_CONFIG, DAEMON_JSON), "1.17.8"))


def _podman(box: Box) -> None:
    toolkit(box, "1.18.0").command("podman --version", "podman version 5.4.0\n")
    cdi(box, "/etc/cdi/nvidia.yaml", "580.82.07").space("/var/lib/containers", total=400 * GIB, free=90 * GIB)


def _kubernetes(box: Box) -> None:
    for name in ("nvidia-ctk", "nvidia-container-runtime"):
        box.file(f"/usr/local/nvidia/toolkit/{name}", "")
    config(box.program("containerd").program("kubelet"), files.CONTAINERD_CONFIG, KUBERNETES)


def _cdi_docker(box: Box) -> None:
    links(toolkit(config(docker(box), files.DOCKER_CONFIG, DAEMON_JSON)))
    cdi(box, "/etc/cdi/nvidia.yaml", "550.90.07", count=8)  # an old one that the refreshed one hides
    cdi(box, "/var/run/cdi/nvidia.yaml", "570.124.06", count=8)


def _rootless(box: Box) -> None:
    options = ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]
    docker(box, SecurityOptions=options, DockerRootDir="/home/ada/.local/share/docker")
    toolkit(links(box), settings="[nvidia-container-cli]\nno-cgroups = true\n")
    box.space("/home/ada/.local/share/docker", total=900 * GIB, free=300 * GIB)


def _desktop(box: Box) -> None:
    docker(box, OperatingSystem="Docker Desktop", Name="docker-desktop").program("dockerd", None)


def _new_docker(box: Box) -> None:
    toolkit(docker(box, ServerVersion="29.1.0", Runtimes={}), "1.19.1")
    cdi(links(box), "/var/run/cdi/nvidia.yaml", "580.82.07")


def _plain_docker(box: Box) -> None:
    docker(box, Runtimes={})


def _container(box: Box) -> None:
    box.variable("NVIDIA_DRIVER_CAPABILITIES", "compute,utility").variable("NVIDIA_VISIBLE_DEVICES", "all")
    box.variable("NVIDIA_REQUIRE_CUDA", "cuda>=12.8 brand=unknown,driver>=535,driver<536 brand=tesla,driver>=535")
    box.variable("CUDA_VERSION", "12.8.1")
