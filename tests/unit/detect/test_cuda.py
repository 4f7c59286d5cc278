"""libcuda, asked in a child: what its lines and its end become."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from provision.detect.nvml import parse_probe_lines
from provision.detect.probes import cuda
from provision.detect.probes.cuda import is_odd_place, judged, parse_toolkit_version, read_contexts, read_library
from provision.detect.surroundings import Surroundings
from provision.process import Completed, run
from provision.records import GpuState, Host, Machine, Reading
from tests.bench import build

GPU_BOX = Machine(gpu_state=GpuState.USABLE, readings=(Reading("nvml.outcome", "nvml", "answered"),))
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="the fake libcuda needs gcc")


def lines(*given, **ended):
    """Readings by name of a child that wrote these lines."""
    text = "".join(json.dumps({"gpu": None, **one}) + "\n" for one in given)
    completed = Completed(("cuda",), **{"returncode": 0, "stdout": text, "duration_s": 1.0, **ended})
    return {one.name: one for one in judged(completed, parse_probe_lines(text))}


LIBRARY = {"fact": "library", "value": "/usr/lib/x86_64-linux-gnu/libcuda.so.550.90.07"}
STARTED = ({"at": "dlopen"}, LIBRARY, {"fact": "driver_version", "value": 12040}, {"at": "cuInit"})


def test_a_whole_answer():
    found = lines(
        *STARTED,
        {"fact": "init", "value": True},
        {"fact": "init_s", "value": 0.21},
        {"fact": "count", "value": 1},
        {"fact": "pci_bus_id", "gpu": 0, "value": "0000:3B:00.0"},
        {"fact": "capability_major", "gpu": 0, "value": 9},
        {"fact": "capability_minor", "gpu": 0, "value": 0},
        {"fact": "end", "value": True},
    )
    assert found["cuda.outcome"].value == "answered"
    assert found["cuda.init"].value is True
    assert found["cuda.init_code"].value == 0
    assert found["cuda.device.0.compute_capability"].value == "9.0"
    assert found["cuda.device.0.pci_bus_id"].value == "0000:3B:00.0"


def test_an_error_of_cuinit_has_its_code():
    found = lines(
        *STARTED,
        {"fact": "init", "code": 802, "failure": "CUDA_ERROR_SYSTEM_NOT_READY"},
        {"fact": "end", "value": True},
    )
    assert found["cuda.init"].failure == "CUDA_ERROR_SYSTEM_NOT_READY (CUDA code 802)"
    assert (found["cuda.init_code"].value, found["cuda.outcome"].value) == (802, "answered")


@pytest.mark.parametrize(
    ("ended", "outcome", "said"),
    [
        ({"timed_out": True, "returncode": -9}, "timed-out", "cuInit did not return within the deadline"),
        ({"returncode": -11}, "crashed", "signal 11 in cuInit"),
        ({"returncode": 1}, "crashed", "status 1 in cuInit"),
        ({"failure": "No such file"}, "failed", "could not be started: No such file"),
    ],
)
def test_how_a_child_ends(ended, outcome, said):
    found = lines(*STARTED, **ended)
    assert found["cuda.outcome"].value == outcome
    assert said in found["cuda.init"].failure


def test_a_library_that_does_not_load():
    found = lines({"at": "dlopen"}, {"fact": "library", "code": None, "failure": "libcuda.so.1: file too short"})
    assert found["cuda.outcome"].value == "library-not-loaded"
    assert "file too short" in found["cuda.library"].failure
    assert "cuda.init_code" not in found


def test_a_child_that_survives_is_told():
    assert "survived SIGKILL" in lines(*STARTED, timed_out=True, abandoned=True)["cuda.child"].failure


def test_an_answer_that_makes_no_sense():
    found = lines(*STARTED, {"fact": "init", "value": True}, {"fact": "count", "value": [1]}, {"fact": "end"})
    assert found["cuda.count"].failure == "an answer that makes no sense"


# --- when CUDA is left alone


def machine(**values):
    readings = tuple(Reading(name.replace("__", "."), "test", value) for name, value in values.items())
    return replace(GPU_BOX, readings=readings)


def never(*_, **__):
    raise AssertionError("no child may be started")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"nvml__outcome": "answered", "driver__blocked_processes": ("nvidia-smi",)}, "stuck in the kernel"),
        ({"nvml__outcome": "timed-out"}, "NVML ended as timed-out"),
        ({"nvml__outcome": "gpu-lost"}, "NVML ended as gpu-lost"),
        ({"nvml__outcome": "driver-not-loaded"}, "NVML ended as driver-not-loaded"),
        ({}, "NVML was not asked"),
    ],
)
def test_cuda_is_left_alone(values, why):
    around = Surroundings(environ={}, runner=never)
    found = {one.name: one for one in read_library(around, machine(**values))}
    assert found["cuda.outcome"].value == "not-asked"
    assert why in found["cuda.init"].failure
    assert list(read_contexts(around, machine(**values))) == []


def test_nothing_is_asked_without_a_gpu(tmp_path):
    around = Surroundings(root=tmp_path, environ={}, runner=never)
    for read in (cuda.read_files, read_library, read_contexts):
        assert list(read(around, Machine(gpu_state=GpuState.NONE))) == []


def test_a_jetson_without_nvml_is_asked():
    started = []

    def runner(argv, **_):
        started.append(argv)
        return Completed(tuple(argv), returncode=0)

    list(read_library(Surroundings(environ={}, runner=runner), replace(machine(), host=Host(l4t="36.4.3"))))
    assert started[0][1:3] == ["-I", "-S"]


# --- the real child


@needs_gcc
def test_the_child_on_a_pretended_box(tmp_path):
    libraries = build.build_fake_cuda(tmp_path)
    conf = build.write_conf(tmp_path / "box.conf", "h100x8", **{"2.err.cuMemAlloc_v2": 2})
    around = Surroundings(environ=build.environment(libraries, conf))
    found = {one.name: one for one in (*read_library(around, GPU_BOX), *read_contexts(around, GPU_BOX))}
    assert found["cuda.library"].value == str(libraries / "libcuda.so.1")
    assert found["cuda.count"].value == 8
    assert found["cuda.device.7.compute_capability"].value == "9.0"
    assert found["cuda.device.0.context"].value is True
    assert found["cuda.device.0.equal"].value is True
    assert found["cuda.device.1.uuid"].value == "11111111-1111-1111-1111-111111111111"
    assert found["cuda.device.2.context"].failure == "taking 1 MiB: CUDA_ERROR_OUT_OF_MEMORY (CUDA code 2)"
    assert "cuda.device.2.equal" not in found


@needs_gcc
def test_a_gpu_that_hangs_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "_CONTEXT_S", 1.0)
    libraries = build.build_fake_cuda(tmp_path)
    conf = build.write_conf(tmp_path / "box.conf", "a100x2", **{"0.sleep.cuDevicePrimaryCtxRetain": 30})
    around = Surroundings(environ=build.environment(libraries, conf), runner=run)
    found = {one.name: one for one in read_contexts(around, GPU_BOX)}
    assert found["cuda.device.0.context_outcome"].value == "timed-out"
    assert "cuDevicePrimaryCtxRetain did not return" in found["cuda.device.0.context"].failure
    assert found["cuda.device.1.context"].failure == "not tried: device 0 did not answer"


def test_the_child_imports_nothing_of_the_package():
    text = Path(cuda.__file__).parents[1].joinpath("cuda_probe.py").read_text(encoding="utf-8")
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"__future__", "ctypes", "json", "os", "sys", "time"}


# --- files


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('{"cuda": {"name": "CUDA SDK", "version": "12.4.1"}, "nsight": {"version": "2024.1"}}', "12.4.1"),
        ('{"cuda": "12.4"}', None),
        ("[]", None),
        ("CUDA Version 10.2.89", None),
        ('{"cuda": {"version": 12}}', None),
        ("", None),
    ],
)
def test_release_of_a_toolkit(text, version):
    assert parse_toolkit_version(text) == version


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        ("/usr/local/cuda/lib64/stubs/libcuda.so.1", True),
        ("/usr/local/cuda-12.4/compat/libcuda.so.1", True),
        ("/usr/local/cuda/compat/lib.real/libcuda.so.1", True),
        ("/usr/lib/x86_64-linux-gnu/libcuda.so.1", False),
        ("/opt/compatible/libcuda.so.1", False),
    ],
)
def test_odd_places(path, odd):
    assert is_odd_place(path) is odd
