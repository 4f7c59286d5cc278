"""Records to JSON and back; every error names its place."""

from dataclasses import dataclass
from typing import Literal

import pytest

from provision.documents.codec import decode, encode
from provision.errors import InputError
from provision.plain_text import clean_text
from provision.records import Driver, Gpu, GpuState, Host, Machine, Reading, Unlock
from provision.versions import ComputeCapability, CudaVersion, DriverVersion, Glibc

MACHINE = Machine(
    host=Host(hostname="box", system="linux", arch="x86_64", glibc=Glibc(2, 35)),
    driver=Driver(driver_version=DriverVersion("535.104.05"), driver_cuda_version=CudaVersion(12, 2)),
    gpus=(Gpu(0, name="NVIDIA A10", compute_capability=ComputeCapability(8, 6), memory_bytes=24 * 2**30),),
    gpu_state=GpuState.USABLE,
    readings=(Reading("gpu.0.name", "nvml", "NVIDIA A10"), Reading("x", "sysfs", failure="not there")),
)


def test_a_machine_survives_the_round_trip():
    assert decode(Machine, encode(MACHINE), where="data") == MACHINE


def test_versions_travel_as_text_and_unknown_as_null():
    data = encode(MACHINE)
    assert data["driver"]["driver_version"] == "535.104.05"
    assert data["gpus"][0]["compute_capability"] == "8.6"
    assert data["gpus"][0]["mig_mode"] is None
    assert data["gpu_state"] == "usable"


def test_a_trailing_underscore_is_not_written():
    assert encode(Unlock("driver", "470", "525.60.13", "2.9.0", "cu126"))["from"] == "470"


def test_not_a_number_becomes_null():
    assert encode({"loss": float("nan")}) == {"loss": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpus": {}}, "data.gpus: expected a list, found {}"),
        ({"gpus": [{}]}, "data.gpus[0]: the field 'index' is missing"),
        ({"gpus": [{"index": "0"}]}, "data.gpus[0].index: expected a whole number, found '0'"),
        ({"gpus": [{"index": True}]}, "data.gpus[0].index: expected a whole number, found True"),
        ({"gpu_state": "fine"}, "data.gpu_state: expected 'none' or 'usable' or 'unusable', found 'fine'"),
        ({"driver": {"driver_version": "new"}}, "data.driver.driver_version: not a driver version: 'new'"),
        ({"host": {"is_wsl": "no"}}, "data.host.is_wsl: expected true or false, found 'no'"),
        ({"host": [1]}, "data.host: expected an object, found [1]"),
        ({"gpus": [{"index": 2**63}]}, "data.gpus[0].index: expected a number that a fact can have"),
        ({"gpus": [{"index": 10**4000}]}, "data.gpus[0].index: expected a number that a fact can have"),
        (
            {"readings": [{"name": "x", "source": "y", "value": float("inf")}]},
            "data.readings[0].value: expected a finite",
        ),
    ],
)
def test_the_error_names_place_found_and_expected(change, message):
    with pytest.raises(InputError) as caught:
        decode(Machine, encode(MACHINE) | change, where="data")
    assert caught.value.happened.startswith(message)


def test_fields_of_a_later_version_are_ignored():
    assert decode(Machine, {"invented_later": 1}, where="data") == Machine()


def test_control_and_bidirectional_characters_are_removed_on_reading():
    data = {"host": {"hostname": "box\x1b[31m\u202edlrow\r"}}
    assert decode(Machine, data, where="data").host.hostname == "box[31mdlrow"
    assert clean_text("a\tb\nc\x00") == "a\tb\nc"


def test_a_union_error_tells_of_the_option_that_fitted_best():
    @dataclass(frozen=True)
    class Inner:
        kind: Literal["a", "b"]

    with pytest.raises(InputError, match=r"x\.kind: expected 'a' or 'b'"):
        decode(Inner | str, {"kind": "c"}, where="x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e305, 10**400, -(2**63)])
def test_a_figure_that_no_fact_has_is_refused_with_its_place(value):
    with pytest.raises(InputError, match=r"^data\.seconds: expected a "):
        decode(float, value, where="data.seconds")


def test_figures_within_the_bounds_are_read():
    assert decode(float, 1e30, where="x") == 1e30
    assert decode(int, 2**63 - 1, where="x") == 2**63 - 1


def test_what_was_found_is_shown_in_bounds_however_deep_it_is():
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InputError) as caught:
        decode(int, value, where="x")
    assert len(caught.value.happened) < 120
