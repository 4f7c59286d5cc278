"""The whole of detection, with a fake file tree, the fake NVML in a real child process, or both."""

from __future__ import annotations

import time

import pytest

from provision.checks import PROBLEMS, core_checks, lead, run_checks
from provision.detect import Surroundings, detect_machine
from provision.detect.surroundings import Kernel
from provision.process import Completed
from provision.records import GpuState
from provision.versions import ComputeCapability, CudaVersion, DriverVersion
from tests.bench.build import profile_names

KERNEL = Kernel("Linux", "6.8.0", "x86_64", "box")


@pytest.fixture
def detect(tree):
    """`detect(environ)`: on a host with an empty file tree unless the test wrote into it."""

    def make(environ=None, **changes):
        given = {
            "root": tree.root,
            "environ": environ or {},
            "kernel": KERNEL,
            "libc": "glibc 2.35",
            "nvml_silence_s": 1.0,
        }
        return detect_machine(Surroundings(**{**given, **changes}))

    return make


def problems(machine):
    return {result.id: result.status for result in run_checks(machine) if result.status in PROBLEMS}


def never(*_, **__):
    pytest.fail("a program was started")


def test_machine_without_nvidia_starts_no_program(detect):
    machine = detect(runner=never)
    assert machine.gpu_state is GpuState.NONE
    assert machine.driver is None
    assert problems(machine) == {}
    assert machine.reading("nvml.init").failure.startswith("not asked")


def test_two_a100(detect, fake_nvml):
    machine = detect(fake_nvml("a100x2"))
    assert machine.gpu_state is GpuState.USABLE
    assert machine.driver.driver_version == DriverVersion("550.90.07")
    assert machine.driver.driver_cuda_version == CudaVersion(12, 4)
    assert [
        (gpu.index, gpu.name, gpu.compute_capability, gpu.pci_bus_id, gpu.pci_device_id) for gpu in machine.gpus
    ] == [
        (0, "NVIDIA A100-SXM4-80GB", ComputeCapability(8, 0), "0000:07:00.0", "10de:20b2"),
        (1, "NVIDIA A100-SXM4-80GB", ComputeCapability(8, 0), "0000:0a:00.0", "10de:20b2"),
    ]
    assert {gpu.memory_bytes for gpu in machine.gpus} == {85899345920}


@pytest.mark.parametrize("profile", profile_names())
def test_healthy_boxes_have_nothing_to_complain_about(detect, fake_nvml, profile):
    machine = detect(fake_nvml(profile))
    assert machine.gpu_state is GpuState.USABLE
    assert problems(machine) == {}


def test_healthy_box_with_driver_files(detect, fake_nvml, tree):
    tree.driver("550.90.07")
    tree.node("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm")
    tree.pci("0000:07:00.0", "10de:20b2", driver="nvidia")
    tree.pci("0000:0a:00.0", "10de:20b2", driver="nvidia")
    machine = detect(fake_nvml("a100x2"))
    assert {result.id: result.status for result in run_checks(machine, core_checks())} == {
        "pci.gpu_present": "pass",
        "sys.wsl": "skip",
        "ctr.gpu_granted": "skip",
        "driver.nouveau": "pass",
        "driver.module_loaded": "pass",
        "pci.driver_binding": "pass",
        "driver.kmd_umd_match": "pass",
        "driver.dstate": "pass",
        "driver.device_nodes": "pass",
        "driver.nvml_init": "pass",
        "driver.query_latency": "pass",
        "driver.uvm": "pass",
        "pci.count_vs_nvml": "pass",
        "gpu.mig_state": "pass",
        "gpu.compute_mode": "pass",
        "cuda.visible_devices": "pass",
    }


def test_mig_without_instances(detect, fake_nvml):
    machine = detect(fake_nvml("a100-mig", **{"0.mig_instances": 0}))
    assert machine.gpus[0].mig_mode == "enabled"
    assert problems(machine) == {"gpu.mig_state": "fail"}


def test_release_mismatch(detect, fake_nvml):
    machine = detect(fake_nvml("a100x2", **{"err.nvmlInit": 18}))
    assert machine.gpu_state is GpuState.UNUSABLE
    assert problems(machine) == {"driver.kmd_umd_match": "fail", "driver.nvml_init": "fail"}
    assert lead(run_checks(machine)) == ("driver.kmd_umd_match", ("driver.nvml_init",))


def test_driver_not_loaded(detect, fake_nvml):
    machine = detect(fake_nvml("a100x2", **{"err.nvmlInit": 9}))
    assert machine.gpu_state is GpuState.UNUSABLE
    assert lead(run_checks(machine)) == ("driver.module_loaded", ("driver.nvml_init",))


def test_library_that_hangs_meets_its_deadline(detect, fake_nvml):
    started = time.monotonic()
    machine = detect(fake_nvml("a100x2", with_smi=False, **{"sleep.nvmlDeviceGetCount_v2": 30}), nvml_silence_s=0.5)
    assert time.monotonic() - started < 3
    assert machine.gpu_state is GpuState.UNUSABLE
    assert "nvmlDeviceGetCount did not return" in machine.reading("nvml.init").failure
    assert problems(machine) == {"driver.nvml_init": "timed-out"}
    assert machine.driver.driver_version == DriverVersion("550.90.07")


def test_nvidia_smi_that_hangs_too_gets_a_second(detect, fake_nvml):
    started = time.monotonic()
    machine = detect(fake_nvml("a100x2", **{"sleep.nvmlInit": 30, "smi.sleep": 30}), nvml_silence_s=0.5)
    assert time.monotonic() - started < 4
    assert "did not end within 1 s" in machine.reading("smi.query").failure


def test_library_that_crashes(detect, fake_nvml):
    machine = detect(fake_nvml("a100x2", with_smi=False, **{"crash.nvmlDeviceGetName": 1}))
    assert machine.gpu_state is GpuState.UNUSABLE
    assert machine.reading("nvml.init").failure == "the process was ended by signal 6 in nvmlDeviceGetName"
    assert problems(machine)["driver.nvml_init"] == "fail"
    assert machine.gpus[0].gpu_uuid == "GPU-00000000-0000-0000-0000-000000000000"


def test_nvidia_smi_answers_where_the_library_crashes(detect, fake_nvml):
    machine = detect(fake_nvml("a100x2", **{"crash.nvmlDeviceGetName": 1}))
    assert machine.gpu_state is GpuState.USABLE
    assert [gpu.compute_capability for gpu in machine.gpus] == [ComputeCapability(8, 0)] * 2
    assert problems(machine) == {"driver.nvml_init": "warn"}


def test_function_that_is_not_supported_is_null_with_a_reason(detect, fake_nvml):
    machine = detect(fake_nvml("a100x2", **{"*.err.nvmlDeviceGetCudaComputeCapability": 3}))
    assert machine.gpu_state is GpuState.USABLE
    assert machine.gpus[0].compute_capability is None
    assert machine.reading("gpu.0.compute_capability").failure == "Not Supported (NVML code 3)"


def test_function_that_an_old_driver_lacks(detect, fake_nvml):
    machine = detect(fake_nvml("a100x2", **{"missing.nvmlSystemGetCudaDriverVersion_v2": 1}))
    assert machine.gpu_state is GpuState.USABLE
    assert machine.driver.driver_cuda_version is None
    assert machine.reading("nvml.cuda_driver_version").failure == "Function Not Found (NVML code 13)"


@pytest.mark.parametrize("key", ["1.err.*", "1.err.nvmlDeviceGetName"])
def test_second_gpu_lost(detect, fake_nvml, key):
    machine = detect(fake_nvml("a100x2", **{key: 15}))
    assert machine.gpu_state is GpuState.USABLE
    assert [gpu.in_nvml for gpu in machine.gpus] == [True, False]
    assert problems(machine) == {"pci.count_vs_nvml": "fail"}


def test_garbage_names_are_stripped(detect, fake_nvml):
    machine = detect(fake_nvml("t4", **{"0.name": "\x1b]0;own\x07Tesla\u202e T4\x9b2J"}))
    assert machine.gpus[0].name == "]0;own Tesla T4 2J"


def test_library_that_is_not_nvml(detect, tree):
    library = tree.library("/given/libnvidia-ml.so.1.0")
    machine = detect({"LD_LIBRARY_PATH": str(library.parent)})
    assert machine.gpu_state is GpuState.NONE
    assert machine.reading("nvml.outcome").value == "library-not-found"


def test_card_without_any_driver(detect, tree):
    tree.pci("0000:07:00.0", "10de:2330", class_code="0x030200")
    tree.module("nothing_of_ours")
    tree.os_release("ubuntu", "22.04", like="debian")
    machine = detect()
    assert machine.gpu_state is GpuState.UNUSABLE
    cause, _ = lead(run_checks(machine))
    result = next(one for one in run_checks(machine) if one.id == cause)
    assert cause == "driver.module_loaded"
    assert result.safe[0] == "gpusetup driver plan"
    assert "ubuntu-drivers install" in result.risky[0]


def test_a_runner_that_finds_no_program_is_survived(detect, tree):
    tree.pci("0000:07:00.0", "10de:2330")
    machine = detect(runner=lambda argv, **_: Completed(tuple(argv), failure="No such file or directory"))
    assert machine.gpu_state is GpuState.UNUSABLE
    assert "could not be started" in machine.reading("nvml.init").failure


@pytest.mark.parametrize("value", ["0,1", "GPU-0000", "", "-1", "all", "void", "MIG-GPU-1/2/3"])
def test_device_selection_is_recorded(detect, value):
    machine = detect({"CUDA_VISIBLE_DEVICES": value})
    assert machine.reading("environment.CUDA_VISIBLE_DEVICES").value == value


@pytest.mark.parametrize("value", ["https://user:token@host", "0; rm -rf", "hf_Abc123", "x" * 5000])
def test_values_of_unknown_form_are_not_kept(detect, value):
    machine = detect({"CUDA_VISIBLE_DEVICES": value})
    assert value not in repr(machine)


def test_real_samples_of_this_host_do_not_raise():
    assert detect_machine().host.kernel
