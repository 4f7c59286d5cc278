"""The health depth of NVML: what it reads, and that nothing which one function does costs the facts of the others."""

from __future__ import annotations

import time

import pytest

from provision.detect.nvml import code_of, detect_nvml
from provision.detect.surroundings import Kernel, Surroundings
from provision.records import Reading
from tests.bench.build import profile_names
from tests.bench.nvml_faults import EVERYTHING, box, complaints, documented, fake_functions, probe_all, stem

#: Not supported, function not found, GPU is lost, a code that nobody knows.
CODES = (3, *(pytest.param(code, marks=pytest.mark.e2e) for code in (13, 15, 999)))


@pytest.fixture
def ask(fake_nvml):
    """`ask("h100x8", **{"0.ecc": 0})`: readings by name, at the health depth."""

    def make(profile, *, depth="health", silence_s=2.0, **overrides):
        around = Surroundings(
            environ=fake_nvml(profile, **overrides),
            kernel=Kernel("Linux", "6.8.0", "x86_64", "box"),
            nvml_silence_s=silence_s,
        )
        facts = detect_nvml(around, depth)
        return facts, {reading.name: reading for reading in facts.readings}

    return make


@pytest.fixture(scope="session")
def clean(fake_libraries):
    """Lines of a run in which every function answers."""
    [(_, completed, told, facts)] = probe_all(fake_libraries, [("clean", box())])
    assert completed.returncode == 0
    assert facts.outcome == "answered"
    return told


# --- what is read


def test_the_base_depth_is_the_default_and_asks_no_more_than_before(ask):
    facts, readings = ask("h100x8", depth="base")
    assert {name.split(".", 2)[2] for name in readings if name.startswith("gpu.0.")} == {
        *("uuid", "pci_bus_id", "pci_device_id", "name", "compute_capability", "memory_bytes", "mig_mode"),
        *("mig_pending", "compute_mode", "persistence_mode"),
    }
    assert len(facts.healthy) == 8


def test_every_fact_is_documented_and_every_documented_fact_is_read(clean):
    told = {answer.fact.split(".")[-1] for answer in clean.answers} - {"end", "init"}
    names = set(documented()) - {"outcome", "init", "child", "usable"}
    assert told == names


def test_every_function_of_the_fake_library_that_the_probe_asks_answers(clean):
    assert [answer.fact for answer in clean.answers if answer.code == 13] == []


def test_an_h100(ask):
    facts, readings = ask("h100x8")
    value = {name: reading.value for name, reading in readings.items()}
    assert facts.outcome == "answered"
    assert value["gpu.7.architecture"] == "hopper"
    assert value["gpu.0.ecc_mode"] == "enabled"
    assert value["gpu.0.power_limit_enforced_w"] == 700.0
    assert value["gpu.0.temperature_shutdown_tlimit_c"] == -8
    assert value["gpu.0.temperature_margin_c"] == 56
    assert value["gpu.0.clock_event_reasons"] == 1
    assert value["gpu.0.nvlink_state"] == ("active",) * 18
    assert value["gpu.0.nvlink_remote"] == ("switch",) * 18
    assert value["gpu.0.nvlink_replay_errors"] == (0,) * 18
    assert value["gpu.0.fabric_state"] == "completed"
    assert value["gpu.0.fabric_health_mask"] == 0x1AA
    assert value["gpu.0.recovery_action"] == "none"
    assert value["gpu.0.compute_pids"] == ()
    assert value["gpu.0.inforom_valid"] is True
    assert (value["gpu.3.numa_affinity"], value["gpu.5.numa_affinity"]) == ((0,), (1,))
    assert (value["pair.0.1.topology"], value["pair.0.7.topology"]) == ("node", "system")
    assert value["pair.6.7.p2p_nvlink"] == "ok"
    assert "pair.7.6.p2p_nvlink" not in value
    assert value["nvml.conf_compute"] == "disabled"
    assert readings["gpu.0.memory_total_bytes"].source == "nvml"


def test_mig_devices(ask):
    _, readings = ask("a100-mig")
    assert readings["gpu.0.mig_gpu_slices"].value == (3, 2, 1, 1)
    assert readings["gpu.0.mig_memory_bytes"].value[0] == 40192 * 2**20
    assert readings["gpu.0.mig_uuids"].value[3] == "MIG-00000000-0000-5000-8000-000000000003"


def test_grace_hopper_links(ask):
    _, readings = ask("gh200", **{"*.field.171.3": 0, "*.field.194": 0xFFFFFFFE})
    assert readings["gpu.0.temperature_slowdown_tlimit_c"].value == -2
    assert readings["gpu.0.numa_node"].value == 1
    assert readings["gpu.0.c2c_mode"].value == "enabled"
    assert readings["gpu.0.c2c_link_state"].value == (*["active"] * 3, "inactive", *["active"] * 6)
    assert code_of(readings["gpu.0.nvlink_state"]) == 3


def test_old_driver_falls_back_to_what_it_has(ask):
    _, readings = ask("v100")
    assert readings["gpu.0.temperature_c"].value == 31
    assert readings["gpu.0.clock_event_reasons"].value == 1
    assert readings["gpu.0.memory_used_bytes"].value == 2**20 + 600000000
    assert readings["gpu.0.compute_pids"].value == ()
    assert code_of(readings["gpu.0.memory_reserved_bytes"]) == 13
    assert code_of(readings["gpu.0.gsp_mode"]) == 13


def test_older_fabric_structures_tell_less(ask):
    _, second = ask("h100-driver-535")
    assert second["gpu.0.fabric_health_mask"].value == 0x1AA
    assert code_of(second["gpu.0.fabric_health_summary"]) == 13
    _, first = ask("h100-driver-535", **{"missing.nvmlDeviceGetGpuFabricInfoV": 1})
    assert first["gpu.0.fabric_state"].value == "completed"
    assert code_of(first["gpu.0.fabric_health_mask"]) == 13


def test_sick_boxes_say_so(ask):
    lines = {
        "0.inforom_valid": 0,
        "0.remap": "3,2,1,0",
        "0.sram": "1,0,4,9,0,5,10,1,2,3,4,5",
        "0.field.230": 1,
        "0.throttle": "0x48",
        "0.nvlinks_down": 2,
        "0.nvlink_error.5.0": 7,
        "0.fabric": "3,0,0,0x1a9,2",
        "p2p.0.1.0": 4,
        "0.violation.1": 2500000,
    }
    _, readings = ask("h100x8", **lines)
    value = {name: reading.value for name, reading in readings.items()}
    assert value["gpu.0.inforom_valid"] is False
    assert (value["gpu.0.remapped_rows_uncorrected"], value["gpu.0.remapped_rows_pending"]) == (2, True)
    assert value["gpu.0.remapped_rows_failed"] is False
    assert value["gpu.0.sram_ecc_threshold_exceeded"] is True
    assert value["gpu.0.sram_ecc_uncorrected_secded_volatile"] == 4
    assert (value["gpu.0.sram_ecc_corrected_aggregate"], value["gpu.0.sram_ecc_uncorrected_l2"]) == (10, 1)
    assert value["gpu.0.recovery_action"] == "gpu-reset"
    assert value["gpu.0.clock_event_reasons"] == 0x48
    assert value["gpu.0.nvlink_state"][:3] == ("inactive", "inactive", "active")
    assert value["gpu.0.nvlink_replay_errors"][4:7] == (0, 7, 0)
    assert value["gpu.0.fabric_health_summary"] == "unhealthy"
    assert value["pair.0.1.p2p_read"] == "disabled-by-regkey"
    assert value["gpu.0.violation_thermal_ns"] == 2500000


def test_processes_pages_and_licence(ask):
    _, readings = ask("a100x2", **EVERYTHING, **{"0.pid.0": 4321})
    assert readings["gpu.0.compute_pids"].value == (4321, 1001)
    assert readings["gpu.0.compute_memory_bytes"].value == (2**20, 2**20)
    assert readings["gpu.0.retired_pages_double_bit"].value == 2
    assert readings["gpu.0.retired_pages_double_bit_times_s"].value == (1700000000, 1700000000)
    assert readings["gpu.0.licence_expires"].value == "2027-01-31T00:00:00Z"
    assert readings["gpu.0.nvlink_effective_ber"].value[0] == 15e-255
    assert readings["gpu.0.nvlink_symbol_ber"].value[0] == 1e-15


def test_more_processes_than_have_room(ask):
    _, readings = ask("t4", **{"0.procs": 5000})
    assert code_of(readings["gpu.0.compute_pids"]) == 7
    assert readings["gpu.0.graphics_pids"].value == ()


def test_every_healthy_box_is_read_to_its_end(fake_libraries):
    names = profile_names()
    assert {"t4", "v100", "a100-mig", "h100x8", "l40s", "rtx3090-p40", "rtx5090", "gh200"} <= set(names)
    for name, _, _, facts in probe_all(fake_libraries, [(name, box(name)) for name in names]):
        assert facts.outcome == "answered", name
        assert facts.healthy == facts.devices, name
        # what is not there has a code, but for the licence, which no box without a vGPU has
        odd = [one.name for one in facts.readings if one.failure and code_of(one) is None and "licence" not in one.name]
        assert odd == [], name


def test_the_code_behind_a_failure():
    assert code_of(Reading("x", "nvml", failure="Not Supported (NVML code 3)")) == 3
    assert code_of(Reading("x", "nvml", failure="ValueError: broken")) is None
    assert code_of(Reading("x", "nvml", 3)) is None
    assert code_of(None) is None


# --- what one broken function costs


@pytest.fixture(scope="session")
def crashes(fake_libraries):
    """What became of a run in which the function crashes, for every function that the probe calls."""
    cases = [(name, box(**{f"crash.{name}": 1})) for name in fake_functions()]
    return {name: found for name, *found in probe_all(fake_libraries, cases) if found[0].returncode}


@pytest.fixture(scope="session")
def functions(crashes):
    """Every function of the library that the probe calls on a box where nothing is missing."""
    return list(crashes)


def test_nearly_every_function_of_the_fake_library_is_called(functions):
    assert set(fake_functions()) - set(functions) == {
        # what nvidia-ml-py does not call by these names
        *("nvmlInit_v2", "nvmlDeviceGetCount", "nvmlSystemGetCudaDriverVersion"),
        # what nobody needs
        *("nvmlDeviceGetHandleByUUID", "nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetIndex"),
        *("nvmlDeviceGetSerial", "nvmlDeviceGetNumGpuCores", "nvmlDeviceGetTotalEnergyConsumption"),
        # what is asked where newer functions are missing
        *("nvmlDeviceGetTemperature", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetGpuFabricInfo"),
        *("nvmlDeviceGetSupportedClocksThrottleReasons", "nvmlDeviceGetRetiredPages"),
        *("nvmlDeviceGetComputeRunningProcesses_v2", "nvmlDeviceGetGraphicsRunningProcesses_v2"),
        "nvmlDeviceGetMPSComputeRunningProcesses_v2",
    }


@pytest.mark.parametrize("code", CODES)
def test_one_function_that_fails_costs_only_its_own_facts(fake_libraries, clean, functions, code):
    cases = [(name, box(**{f"err.{name}": code})) for name in functions]
    seen = 0
    for name, completed, told, facts in probe_all(fake_libraries, cases):
        seen += 1
        assert completed.returncode == 0, name
        assert complaints(clean, name, told, facts) == [], name
        codes = {answer.code for answer in told.answers if answer.failure}
        assert codes <= {code, 3, 13, None}, name
        if name == "nvmlInitWithFlags":
            assert facts.outcome == ("gpu-lost" if code == 15 else "failed")
        else:
            assert facts.outcome == "answered", name
    assert seen == len(functions)


@pytest.mark.e2e
def test_one_function_that_answers_rubbish_costs_only_its_own_facts(fake_libraries, clean, functions):
    cases = [(name, box(**{f"garbage.{name}": 7})) for name in functions]
    for name, completed, told, facts in probe_all(fake_libraries, cases):
        assert completed.returncode == 0, name
        assert facts.outcome == "answered", name
        assert complaints(clean, name, told, facts) == [], name


def test_a_function_that_crashes_loses_only_what_comes_after(clean, crashes):
    order = [(answer.gpu, answer.fact) for answer in clean.answers]
    for name, (completed, told, facts) in crashes.items():
        assert completed.returncode == -6, name
        assert facts.outcome == "crashed", name
        called = stem(name).removesuffix("WithFlags")
        assert stem(facts.readings[1].failure) == f"the process was ended by signal 6 in {called}", name
        assert [(answer.gpu, answer.fact) for answer in told.answers] == order[: len(told.answers)], name


@pytest.mark.parametrize("function", ["nvmlDeviceGetPowerUsage", "nvmlDeviceGetP2PStatus", "nvmlInitWithFlags"])
def test_a_function_that_hangs_is_left_within_the_deadline(ask, function):
    started = time.monotonic()
    facts, readings = ask("a100x2", silence_s=0.5, **{f"sleep.{function}": 30})
    assert time.monotonic() - started < 2
    assert facts.outcome == "timed-out"
    assert function.removesuffix("WithFlags") in readings["nvml.init"].failure
    # the base depth of every GPU comes before the health of the first
    assert len(facts.healthy) == (0 if function == "nvmlInitWithFlags" else 2)
