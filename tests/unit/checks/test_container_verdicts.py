"""Container checks at their thresholds, and what they leave alone."""

from __future__ import annotations

import shutil

import pytest

from provision.checks import PROBLEMS, all_checks, run_checks
from provision.checks.facts import Facts
from provision.detect import container_files as files
from provision.records import GpuState, Host, Machine
from tests.boxes.healthy import container, cpu_only, rtx3090_p40, rtx5090, t4, v100
from tests.boxes.layers import containers as layer

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

GIB = 2**30
REFUSED = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"


def found(box, check_id, level="quick"):
    result = box.results(level)[check_id]
    return result.status, result.happened


def problems(box):
    return {one.id for one in box.results().values() if one.status in PROBLEMS and one.component == "ctr"}


def test_ten_gibibytes_are_room_enough():
    assert found(t4().space("/var/lib/docker", total=99 * GIB, free=10 * GIB), "ctr.storage")[0] == "pass"


def test_one_gibibyte_of_shared_memory_is_enough():
    assert found(container().space(layer.SHM, total=GIB, free=GIB), "ctr.shm")[0] == "pass"


def test_the_minimum_release_of_the_toolkit_passes_and_an_unknown_one_is_unknown():
    assert found(t4(), "ctr.toolkit") == ("pass", "NVIDIA container toolkit 1.17.8 is installed.")
    assert found(t4().command("nvidia-ctk --version", "?"), "ctr.toolkit")[0] == "unknown"


def test_a_user_who_may_not_speak_to_docker_is_told_so():
    box = t4().command(layer.INFO, returncode=1, stderr=REFUSED)
    assert found(box, "ctr.engine")[0] == "unknown"
    assert problems(box) == set()


def test_a_docker_that_nobody_enabled_is_left_alone():
    box = layer.without_toolkit(layer.dead_docker(rtx5090())).without(
        "/etc/systemd/system/multi-user.target.wants/docker.service"
    )
    assert found(box, "ctr.engine")[0] == "skip"
    assert problems(box) == set()


@pytest.mark.parametrize(
    "changes",
    [{"Name": "node7"}, {"OperatingSystem": "Docker Desktop"}],
    ids=["another machine", "a virtual machine of its own"],
)
def test_an_engine_that_is_elsewhere_is_left_alone(changes):
    box = layer.without_toolkit(layer.docker(t4(), Runtimes={}, **changes))
    layer.config(box, files.DOCKER_CONFIG, None)
    assert found(box, "ctr.engine")[0] == "skip"
    assert problems(box) == set()


def test_a_configuration_that_is_left_of_a_removed_docker_is_no_fault():
    box = layer.config(rtx3090_p40(), files.DOCKER_CONFIG, layer.DAEMON_JSON)
    assert problems(box) == set()


def test_a_box_without_a_gpu_needs_no_toolkit():
    assert found(cpu_only(), "ctr.toolkit")[0] == "skip"
    assert problems(layer.config(cpu_only(), files.DOCKER_CONFIG, "{")) == set()


def test_gpus_that_virtual_machines_have_need_no_toolkit():
    box = layer.without_toolkit(layer.docker(t4(), Runtimes={}))
    layer.config(box, files.DOCKER_CONFIG, None)
    box.link("/sys/bus/pci/devices/0000:00:1e.0/driver", "../../../bus/pci/drivers/vfio-pci")
    assert found(box, "ctr.toolkit") == ("skip", "All GPUs are given to virtual machines.")


def test_a_specification_that_a_later_folder_hides_is_no_fault():
    box = layer.cdi(v100(), "/var/run/cdi/nvidia.yaml", "580.82.07")
    stale = layer.cdi(box, "/etc/cdi/nvidia.yaml", "550.54.15", missing=("/usr/lib64/libcuda.so.550.54.15",))
    assert found(stale, "ctr.cdi_fresh")[0] == "pass"


def test_a_container_without_a_gpu_is_not_told_of_shared_memory():
    box = container().without("/dev/nvidia0").space(layer.SHM, total=64 * 2**20, free=0)
    assert found(box, "ctr.shm")[0] == "skip"


def test_a_libcuda_of_the_image_serves_an_older_driver():
    box = container().nvml(cuda=12020).variable("CUDA_VERSION", "13.0.1").variable("NVIDIA_REQUIRE_CUDA", "cuda>=13.0")
    assert found(box, "ctr.image_requirements")[0] == "fail"
    box.library("libcuda.so.1", "/usr/local/cuda-13.0/compat/libcuda.so.1", real="libcuda.so.580.82.07")
    assert found(box, "ctr.image_requirements")[0] == "pass"


def test_without_readings_nothing_is_claimed():
    checks = [one for one in all_checks() if one.component == "ctr"]
    for host in (Host(system="linux"), Host(system="linux", container="docker")):
        results = run_checks(Facts(Machine(host=host, gpu_state=GpuState.USABLE)), checks)
        assert {one.status for one in results} <= {"skip", "unknown"}
