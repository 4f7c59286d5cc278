from __future__ import annotations

import json

import pytest

from provision.detect.nvml import device_id, judge, parse_probe_lines
from provision.process import Completed
from provision.versions import ComputeCapability, CudaVersion, DriverVersion

DONE = Completed(("python",), returncode=0)


def lines(*entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def fact(name, value=None, *, gpu=None, **rest):
    return {"fact": name, "gpu": gpu, "value": value, **rest}


START = (fact("init", True), fact("driver_version", "535.104.05"), fact("cuda_driver_version", 12020), fact("count", 1))
GPU = (
    fact("handle", True, gpu=0),
    fact("uuid", "GPU-1", gpu=0),
    fact("pci_bus_id", "00000000:07:00.0", gpu=0),
    fact("pci_device_id", 0x20B210DE, gpu=0),
    fact("name", "NVIDIA A100", gpu=0),
    fact("compute_capability", [8, 0], gpu=0),
    fact("memory_bytes", 85899345920, gpu=0),
    fact("mig_mode", 1, gpu=0),
    fact("end", True, gpu=0),
)


def facts(*entries, completed=DONE):
    return judge(completed, parse_probe_lines(lines(*entries)))


def test_a_whole_answer():
    found = facts(*START, *GPU, fact("end", True))
    assert found.outcome == "answered"
    assert found.driver_version == DriverVersion("535.104.05")
    assert found.cuda_version == CudaVersion(12, 2)
    device = found.devices[0]
    assert (device.uuid, device.bus_id, device.device_id) == ("GPU-1", "0000:07:00.0", "10de:20b2")
    assert device.compute_capability == ComputeCapability(8, 0)
    assert (device.memory_bytes, device.mig_mode, device.failure) == (85899345920, "enabled", None)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (4, "no-permission"),
        (9, "driver-not-loaded"),
        (12, "library-not-found"),
        (15, "gpu-lost"),
        (17, "no-permission"),
        (18, "version-mismatch"),
        (999, "failed"),
    ],
)
def test_error_classes_of_init(code, outcome):
    found = facts({"fact": "init", "gpu": None, "code": code, "failure": "words"})
    assert found.outcome == outcome
    assert [one.failure for one in found.readings if one.name == "nvml.init"] == [f"words (NVML code {code})"]


def test_cut_off_by_a_crash_keeps_what_was_said():
    text = lines(*START, {"at": "nvmlDeviceGetName", "gpu": 0}) + '{"fact": "na'
    found = judge(Completed(("python",), returncode=-11), parse_probe_lines(text))
    assert found.outcome == "crashed"
    assert found.driver_version == DriverVersion("535.104.05")
    assert found.devices[0].failure == "the process was ended by signal 11 in nvmlDeviceGetName"
    assert found.healthy == ()


def test_a_hang_at_the_second_gpu_leaves_the_first_usable():
    two = (*START[:3], fact("count", 2))
    hung = Completed(("python",), returncode=-9, timed_out=True, duration_s=5.0)
    found = facts(*two, *GPU, {"at": "nvmlDeviceGetHandleByIndex", "gpu": 1}, completed=hung)
    assert found.outcome == "timed-out"
    assert [one.index for one in found.healthy] == [0]


def test_a_child_that_survives_is_a_reading():
    hung = Completed(("python",), timed_out=True, abandoned=True, duration_s=6.0)
    found = facts({"at": "nvmlInit", "gpu": None}, completed=hung)
    assert "survived SIGKILL" in next(one.failure for one in found.readings if one.name == "nvml.child")


def test_a_device_that_says_it_is_lost_is_not_healthy():
    lost = {"fact": "name", "gpu": 0, "code": 15, "failure": "GPU is lost"}
    found = facts(*START, GPU[0], lost, GPU[-1], fact("end", True))
    assert found.outcome == "answered"
    assert found.devices[0].failure == "GPU is lost (NVML code 15)"


def test_what_a_library_prints_is_not_an_answer():
    told = parse_probe_lines("warning from a library\n[1, 2]\n" + lines(fact("count", 1)))
    assert [answer.fact for answer in told.answers] == ["count"]


@pytest.mark.parametrize(
    "answer",
    [
        fact("count", "many"),
        fact("count", -1),
        fact("count", None),
        fact("count", True),
        fact("driver_version", "not a version"),
        fact("driver_version", 5),
        fact("cuda_driver_version", "x"),
    ],
)
def test_answers_of_a_wrong_kind_are_unknown(answer):
    found = facts(fact("init", True), answer, fact("end", True))
    assert found.devices == ()
    assert found.driver_version is None
    assert found.cuda_version is None


@pytest.mark.parametrize("value", [[8], [8, 0, 1], ["8", "0"], "8.0", None, [0, 0], [999, 0]])
def test_broken_capabilities_are_unknown(value):
    found = facts(*START, *GPU[:5], fact("compute_capability", value, gpu=0), GPU[-1], fact("end", True))
    assert found.devices[0].compute_capability is None
    assert found.healthy


def test_control_characters_never_get_through():
    found = facts(*START, *GPU[:4], fact("name", "\x1b]0;x\x07Evil\u202e GPU\n", gpu=0), GPU[-1], fact("end", True))
    assert found.devices[0].name == "]0;x Evil GPU"


def test_device_number():
    assert device_id(0x233010DE) == "10de:2330"
