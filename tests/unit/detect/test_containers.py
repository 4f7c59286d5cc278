"""What is kept of container engines' files and answers, and what is not."""

from __future__ import annotations

import json

import pytest

from provision.detect import container_files as files
from provision.detect.probes import container_runs as runs
from provision.detect.probes import containers as probe
from provision.detect.surroundings import Surroundings
from provision.process import Completed
from provision.records import GpuState, Host, Machine

GPU_HOST = Machine(gpu_state=GpuState.USABLE)
CDI = """
---
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidiactl
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - args:
    - nvidia-cdi-hook
    - update-ldcache
    hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
  mounts:
  - containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20
    hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20
    options:
    - ro
  - containerPath: /usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2
    hostPath: /usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2
devices:
- containerEdits:
    deviceNodes:
    - hostPath: /dev/nvidia0
      path: /dev/nvidia0
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: all
kind: nvidia.com/gpu
"""


def machine_at(tmp_path, **texts):
    for path, text in texts.items():
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Surroundings(root=tmp_path, environ={"PATH": ""})


def readings(around, probe_name, machine=GPU_HOST):
    found = next(one for one in (*probe.PROBES, *runs.PROBES) if one.name == probe_name)
    return {one.name: one for one in found.read(around, machine)}


# --- daemon.json


def test_daemon_json_keeps_what_is_needed_and_no_more():
    text = json.dumps(
        {
            "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": ["--token=hidden"]}},
            "default-runtime": "nvidia",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "features": {"cdi": True},
            "proxies": {"https-proxy": "http://ada:hidden@proxy.example"},
            "data-root": "/data/docker",
        }
    )
    kept = files.keep_daemon_json(text)
    assert kept == {
        "runtimes": [["nvidia", "nvidia-container-runtime"]],
        "default_runtime": "nvidia",
        "cgroup_driver": "cgroupfs",
        "cdi": True,
        "data_root": "/data/docker",
    }
    assert "hidden" not in json.dumps(kept)


@pytest.mark.parametrize(
    ("text", "state", "why"),
    [
        ("", "read", None),
        (" \n", "read", None),
        ("{}", "read", None),
        ('{"a": 1,}', "broken", "line 1, column"),
        ('{\n// note\n"a": 1}', "broken", "line 2, column 1"),
        ("[]", "broken", "no JSON object"),
        ("[" * 100_000, "broken", ""),
    ],
)
def test_daemon_json_that_docker_refuses_is_broken_at_a_place(text, state, why):
    kept = files.read_kept(text, files.keep_daemon_json)
    assert kept["state"] == state
    assert why is None or why in kept["why"]


def test_odd_types_in_daemon_json_are_no_facts():
    kept = files.keep_daemon_json(
        '{"runtimes": {"nvidia": "x", "b": {"path": 3}}, "features": [], "exec-opts": "a", "data-root": 4}'
    )
    assert kept == {
        "runtimes": [["b", None], ["nvidia", None]],
        "default_runtime": None,
        "cgroup_driver": None,
        "cdi": None,
        "data_root": None,
    }


def test_a_byte_order_mark_is_no_fault(tmp_path):
    around = machine_at(tmp_path, **{files.DOCKER_CONFIG: b"\xef\xbb\xbf{}"})
    assert readings(around, "container engines")["ctr.docker_config"].value == "read"


def test_a_missing_file_and_an_unreadable_one_are_told_apart(tmp_path):
    (tmp_path / "etc/docker/daemon.json").mkdir(parents=True)
    found = readings(machine_at(tmp_path), "container engines")
    assert found["ctr.docker_config"].failure == "/etc/docker/daemon.json: Is a directory"
    assert found["ctr.containerd_config"].value == "absent"


def test_runtimes_are_looked_up_where_they_are_named(tmp_path):
    config = {"runtimes": {"nvidia": {"path": "/usr/bin/nvidia-container-runtime"}, "kata": {"path": "/opt/kata"}}}
    around = machine_at(tmp_path, **{files.DOCKER_CONFIG: json.dumps(config)})
    reading = readings(around, "container engines")["ctr.docker_config_runtime"]
    assert reading.value == ("nvidia", "/usr/bin/nvidia-container-runtime", False)
    around = machine_at(tmp_path, **{"/usr/bin/nvidia-container-runtime": ""})
    reading = readings(around, "container engines")["ctr.docker_config_runtime"]
    assert reading.value == ("nvidia", "/usr/bin/nvidia-container-runtime", True)


# --- docker info


def test_docker_info_keeps_no_proxies_labels_or_registries():
    told = json.dumps(
        {
            "ServerVersion": "28.3.2",
            "Name": "node1.example.org",
            "Labels": ["owner=hidden"],
            "HttpsProxy": "http://hidden@proxy",
            "RegistryConfig": {"IndexConfigs": {"hidden.example": {}}},
            "Swarm": {"NodeID": "hidden"},
            "Runtimes": {"runc": {"path": "runc", "status": {"hidden": "x"}}},
            "SecurityOptions": ["name=rootless", "name=cgroupns"],
            "CDISpecDirs": [],
            "CgroupDriver": "systemd",
        }
    )
    kept = files.kept_docker_info("node1")(told)
    assert "hidden" not in kept
    found = files.parse_docker_info(kept)
    assert found is not None
    assert (found["version"], found["is_here"], found["is_rootless"], found["has_cdi"]) == ("28.3.2", True, True, False)
    assert files.kept_docker_info("laptop")(told) != kept


@pytest.mark.parametrize(
    "told",
    [
        '{"ServerVersion":"","Runtimes":null,"ClientInfo":{"Version":"28.2.2"}}',  # docker 28.2.2, no daemon
        '{"host":{"hostname":"vm"},"version":{"Version":"4.9.3"}}',  # podman that answers to the name docker
        "",
        "{",
        "[]",
    ],
)
def test_what_no_engine_said_is_no_answer(told):
    assert files.parse_docker_info(files.kept_docker_info("vm")(told)) is None


@pytest.mark.parametrize(
    ("stderr", "state"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "dead"),
        (
            (
                "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is"
                " correct and if the daemon is running: dial unix /var/run/docker.sock: connect: no such file"
            ),
            "dead",
        ),
        (
            (
                "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock:"
                ' Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.47/info": dial unix: connect: permission denied'
            ),
            "no-permission",
        ),
        ("", "unknown"),
    ],
)
def test_why_docker_did_not_answer(stderr, state):
    kept = files.kept_docker_info("vm")(stderr)
    assert probe.parse_docker_trouble(Completed(("docker",), returncode=1, stderr=kept))[0] == state


def test_a_silent_docker_timed_out():
    assert probe.parse_docker_trouble(Completed(("docker",), timed_out=True))[0] == "timed-out"


def test_an_engine_elsewhere_is_not_asked(tmp_path):
    docker = tmp_path / "usr/bin/docker"
    docker.parent.mkdir(parents=True)
    docker.write_text("#!/bin/sh\nexit 9\n")
    docker.chmod(0o755)

    def never(*_, **__):
        raise AssertionError("started")

    around = Surroundings(root=tmp_path, environ={"PATH": "", "DOCKER_HOST": "ssh://ada@node1"}, runner=never)
    found = readings(around, "container engines asked")
    assert found["ctr.docker"].value == "elsewhere"
    assert readings(around, "GPUs in a container") == {}


# --- TOML


def test_containerd_of_both_generations():
    old = files.keep_containerd(
        'version = 2\ndisabled_plugins = []\n[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = true\n'
        '[plugins."io.containerd.grpc.v1.cri".containerd]\ndefault_runtime_name = "nvidia"\n'
        '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]\n'
        'BinaryName = "/usr/bin/nvidia-container-runtime"\n'
        '[plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]\npassword = "hidden"\n'
    )
    assert old["runtimes"] == [["nvidia", "/usr/bin/nvidia-container-runtime"]]
    assert (old["version"], old["cdi"], old["default_runtime"], old["has_cri"]) == (2, True, "nvidia", True)
    assert "hidden" not in json.dumps(old)
    new = files.keep_containerd(
        "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia]\n"
        'runtime_type = "io.containerd.runc.v2"\n'
    )
    assert (new["version"], new["runtimes"], new["cdi"]) == (3, [["nvidia", None]], None)


def test_containerd_as_docker_packages_it_serves_no_kubernetes():
    assert files.keep_containerd('disabled_plugins = ["cri"]\n')["has_cri"] is False


def test_broken_toml_is_broken_and_quotes_nothing():
    kept = files.read_kept('password = "hidden\n', files.keep_containerd)
    assert kept["state"] == "broken"
    assert "hidden" not in kept["why"]


def test_toolkit_settings():
    text = '[nvidia-container-cli]\n#no-cgroups = true\n[nvidia-container-runtime]\nmode = "auto"\n'
    assert files.keep_toolkit_config(text) == {"no_cgroups": None, "mode": "auto"}
    assert files.keep_toolkit_config("[nvidia-container-cli]\nno-cgroups = true\n")["no_cgroups"] is True


# --- CDI


def test_cdi_names_the_hosts_files_and_the_driver():
    kept = files.keep_cdi(CDI)
    assert (kept["kind"], kept["cdi_version"], kept["devices"], kept["has_all"]) == ("nvidia.com/gpu", "0.5.0", 2, True)
    assert kept["releases"] == ["570.133.20"]
    assert kept["paths"] == [
        "/usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20",
        "/usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2",
        "/dev/nvidiactl",
        "/usr/bin/nvidia-cdi-hook",
        "/dev/nvidia0",
    ]


def test_cdi_files_that_are_gone(tmp_path):
    around = machine_at(
        tmp_path,
        **{
            "/etc/cdi/nvidia.yaml": CDI,
            "/etc/cdi/other.json": '{"kind": "vendor.example/nic", "devices": []}',
            "/etc/cdi/broken.yaml": "a: [",
            "/dev/nvidia0": "",
            "/dev/nvidiactl": "",
            "/usr/bin/nvidia-cdi-hook": "",
            "/usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.2": "",
        },
    )
    found = [one for one in probe.PROBES[0].read(around, GPU_HOST) if one.name.startswith("ctr.cdi")]
    assert found[0].failure is not None
    assert found[0].failure.endswith(": no YAML")
    assert [(one.name, one.value, one.failure) for one in found[1:]] == [
        ("ctr.cdi_spec", ("/etc/cdi/nvidia.yaml", "0.5.0", 2), None),
        ("ctr.cdi_releases", ("570.133.20",), None),
        ("ctr.cdi_missing", ("/usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20",), None),
        ("ctr.cdi_nodes", ("/dev/nvidia0",), None),
    ]


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "- a", "a: &a [*a", "{" * 20_000, "\x00"])
def test_hostile_cdi_is_broken(text):
    assert files.read_kept(text, files.keep_cdi)["state"] == "broken"


def test_a_cdi_that_multiplies_itself_ends():
    lines = ["a0: &a0 [{hostPath: /x}]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)]
    kept = files.keep_cdi("\n".join([*lines, "containerEdits: {mounts: *a8}", "kind: nvidia.com/gpu"]))
    assert kept["paths"] == []


# --- others


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80a9b9d0db00d9b1d73c0128c8962c55f4d\n", "1.17.8"),
        ("NVIDIA Container Toolkit CLI version 1.18.0-rc.2\ncommit: x\n", "1.18.0-rc.2"),
        ("nvidia-ctk: error", None),
    ],
)
def test_toolkit_version(text, release):
    assert probe.parse_toolkit_version(text) == release


def test_only_small_known_images_are_started_and_named():
    text = (
        "registry.example.com/team/secret:latest\nnvidia/cuda:12.4.1-devel-ubuntu22.04\n"
        "nvidia/cuda:12.4.1-base-ubuntu22.04\nubuntu:24.04\nubuntu:<none>\nalpine:3.20\nsomeone/ubuntu:1\n"
        "debian:bookworm; rm\n"
    )
    assert runs.parse_images(text) == ("ubuntu:24.04", "nvidia/cuda:12.4.1-base-ubuntu22.04")


def test_gpu_ids():
    text = "GPU-955ef018-3bd9-5f27-80b3-fa20ee8d19c5\nwarning: x\nGPU-00000000-0000-0000-0000-000000000001 \n"
    assert runs.parse_uuids(text) == (
        "GPU-955ef018-3bd9-5f27-80b3-fa20ee8d19c5",
        "GPU-00000000-0000-0000-0000-000000000001",
    )


def test_inside_a_container_free_text_of_variables_is_not_kept(tmp_path):
    environ = {
        "PATH": "",
        "NVIDIA_REQUIRE_CUDA": "cuda>=12.4 brand=tesla,driver>=535,driver<536",
        "NVIDIA_VISIBLE_DEVICES": "GPU-955ef018-3bd9-5f27-80b3-fa20ee8d19c5",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        "CUDA_VERSION": "$(hidden)",
    }
    around = Surroundings(root=tmp_path, environ=environ)
    found = readings(around, "inside a container", Machine(host=Host(container="docker")))
    assert found["ctr.require_cuda"].value == environ["NVIDIA_REQUIRE_CUDA"]
    assert found["ctr.driver_capabilities"].value == "compute,utility"
    assert found["ctr.visible_devices"].value is None
    assert "hidden" not in str(found["ctr.image_cuda"])
    assert str(found["ctr.shm_bytes"].failure).endswith("No such file or directory")


@pytest.mark.parametrize("name", [one.name for one in (*probe.PROBES, *runs.PROBES)])
def test_a_box_without_a_gpu_is_not_looked_at(tmp_path, name):
    assert readings(machine_at(tmp_path), name, Machine()) == {}


def test_running_containers_with_gpus():
    whole = "0123456789abcdef" * 4
    text = "\n".join(
        [
            f'{whole} [{{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{{}}}}]',
            f'f{whole[1:]} [{{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=all"],"Capabilities":null}}]',
            f'e{whole[1:]} [{{"Driver":"cdi","DeviceIDs":["vendor.example/nic=0"],"Capabilities":null}}]',
            f"d{whole[1:]} null",
            "Error: No such object",
        ]
    )
    assert runs.parse_gpu_containers(text) == ("0123456789ab", "f123456789ab")


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (Completed(("docker",), returncode=0, stdout="GPU 0: Tesla T4 (UUID: GPU-x)\n"), "answers"),
        (Completed(("docker",), returncode=255, stdout="Failed to initialize NVML: Unknown Error\n"), "lost"),
        (Completed(("docker",), returncode=126, stderr='exec: "nvidia-smi": executable file not found'), "unknown"),
        (Completed(("docker",), timed_out=True), "timed-out"),
    ],
)
def test_what_a_running_container_sees(told, state):
    assert runs.parse_inside(told) == state
