"""Processes of the GPUs, and NVIDIA's own diagnosis."""

from __future__ import annotations

import json
import os

import pytest

from provision.detect.memory import Look, Replay
from provision.detect.probes import dcgm, gpu_processes
from provision.detect.surroundings import Kernel, Surroundings
from provision.records import Gpu, Machine, Reading

HERE = "pid:[4026531836]"
SMI = "nvidia-smi --query-compute-apps=pid --format=csv,noheader,nounits"


def around(*, namespace=HERE, gone=(), smi=None, dcgmi=None):
    looks = {("answer", "gpu.pids_gone"): Look("present", list(gone))}
    if namespace:
        looks["link", "/proc/self/ns/pid"] = Look("present", namespace)
    for line, stdout in ((SMI, smi), ("dcgmi diag -j -r 2", dcgmi)):
        name = line.split(" ", maxsplit=1)[0]
        looks["answer", f"program {name}"] = Look("present", None if stdout is None else f"/usr/bin/{name}")
        completed = {
            "returncode": 0,
            "stdout": stdout or "",
            "stderr": "",
            "duration_s": 0.1,
            "timed_out": False,
            "abandoned": False,
            "truncated": False,
            "failure": None,
        }
        looks["command", line] = Look("present", completed)
    memory = Replay(looks, otherwise=Look("absent", why="it is not there"))
    return Surroundings(environ={}, kernel=Kernel("Linux", "6.8", "x86_64", "box"), memory=memory)


def using(*pids):
    return Machine(gpus=(Gpu(0, in_nvml=True),), readings=(Reading("gpu.0.compute_pids", "nvml", pids),))


def dead(machine, **changes):
    return [(one.value, one.failure) for one in gpu_processes.read(around(**changes), machine)]


def test_nothing_without_processes():
    assert dead(using()) == []
    assert dead(Machine()) == []


def test_all_alive():
    assert dead(using(7, 8)) == [((), None)]


def test_only_those_that_are_still_listed_are_dead():
    assert dead(using(7, 8), gone=[7, 8], smi="8\n") == [((8,), None)]


def test_without_nvidia_smi_nobody_is_called_dead():
    ((value, failure),) = dead(using(7), gone=[7])
    assert value is None
    assert "nvidia-smi is not installed" in failure


@pytest.mark.parametrize("namespace", ["pid:[4026532758]", None])
def test_another_namespace_is_not_compared(namespace):
    ((value, failure),) = dead(using(7), namespace=namespace, gone=[7], smi="7\n")
    assert value is None
    assert "the host's numbers" in failure


def test_this_process_is_alive_and_an_impossible_one_is_not():
    assert gpu_processes._is_alive(os.getpid())
    assert gpu_processes._is_alive(1)  # also where it is somebody else's
    assert not gpu_processes._is_alive(2**22 + 1)  # beyond the kernel's largest number


def test_lines_of_nvidia_smi():
    assert gpu_processes.parse_listed_pids("4242\n4243\n[Not Found]\n") == {4242, 4243}


# --- dcgmi

VERSION_4 = {
    "DCGM Diagnostic": {
        "test_categories": [
            {
                "category": "Deployment",
                "tests": [
                    {
                        "name": "software",
                        "results": [
                            {
                                "entity_group": "GPU",
                                "entity_group_id": 1,
                                "entity_id": 0,
                                "status": "Fail",
                                "warnings": [
                                    {
                                        "error_category": 8,
                                        "error_id": 29,
                                        "error_severity": 5,
                                        "warning": "Persistence Mode: Persistence mode for GPU 0 is disabled.",
                                    }
                                ],
                            },
                            {"entity_group": "GPU", "entity_group_id": 1, "entity_id": 1, "status": "Pass"},
                        ],
                        "test_summary": {"status": "Fail"},
                    }
                ],
            },
            {"category": "Hardware", "tests": [{"name": "pcie", "results": [{"entity_id": 0, "status": "Skip"}]}]},
        ]
    },
    "metadata": {"version": "4.2.3", "GPU Device Serials": {"0": "1650522003820"}},
}
VERSION_3 = {
    "DCGM GPU Diagnostic": {
        "test_categories": [
            {"category": "Deployment", "tests": [{"name": "Denylist", "results": [{"status": "Pass"}]}]},
            {
                "category": "Hardware",
                "tests": [
                    {
                        "name": "GPU Memory",
                        "results": [
                            {"gpu_ids": "0, 1", "status": "Fail", "warnings": "Found 3 faulty memory elements"}
                        ],
                    }
                ],
            },
        ],
        "version": "3.1.8",
    }
}


def test_results_of_dcgm_4():
    assert [tuple(one) for one in dcgm.parse_diag(json.dumps(VERSION_4))] == [
        ("Deployment", "software", "0", "fail", 5, "Persistence Mode: Persistence mode for GPU 0 is disabled."),
        ("Deployment", "software", "1", "pass", None, ""),
        ("Hardware", "pcie", "0", "skip", None, ""),
    ]


def test_results_of_dcgm_3():
    assert [tuple(one) for one in dcgm.parse_diag(json.dumps(VERSION_3))] == [
        ("Deployment", "Denylist", "", "pass", None, ""),
        ("Hardware", "GPU Memory", "0,1", "fail", None, "Found 3 faulty memory elements"),
    ]


def test_the_gravest_error_counts():
    text = json.dumps(VERSION_4).replace('"error_severity": 5', '"error_severity": 6')
    assert dcgm.parse_diag(text)[0].severity == 6


def test_serial_numbers_are_not_kept():
    kept = dcgm.results_only(json.dumps(VERSION_4))
    assert "1650522003820" not in kept
    assert dcgm.parse_diag(kept) == dcgm.parse_diag(json.dumps(VERSION_4))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Error: unable to establish a connection to the specified host: localhost", "wrote no result"),
        ("", "wrote no result"),
        ('{"metadata": {}}', "wrote no result"),
        ('{"DCGM Diagnostic": []}', "unknown form"),
        ('{"DCGM Diagnostic": {"runtime_error": "GPUs are of several kinds"}}', "GPUs are of several kinds"),
        ('{"DCGM Diagnostic": {"test_categories": [1, {"tests": [null]}]}}', "without tests"),
        ("[" * 100_000, "wrote no result"),
        ('{"a":' * 100_000 + "}", "wrote no result"),
    ],
)
def test_what_is_no_result(text, why):
    with pytest.raises(ValueError, match=why):
        dcgm.parse_diag(dcgm.results_only(text))


def test_readings_of_the_diagnosis():
    found = list(dcgm.read(around(dcgmi=json.dumps(VERSION_3)), using()))
    assert [one.name for one in found] == ["dcgm.diag", "dcgm.test", "dcgm.test"]
    assert found[0].value == 2
    (missing,) = dcgm.read(around(), using())
    assert missing.failure == "dcgmi is not installed"
    (broken,) = dcgm.read(around(dcgmi="Error: unable to establish a connection"), using())
    assert broken.failure == "dcgmi wrote no result: Error: unable to establish a connection"
    assert list(dcgm.read(around(), Machine())) == []
