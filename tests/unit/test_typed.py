"""Machines that are not this one."""

import pytest

from provision.errors import InputError, UsageError
from provision.records import GpuState
from provision.typed import TypedMachine, machine_from_document, machine_from_words
from tests.bench.matrix import shipped

MATRIX = shipped()


def test_a_typed_machine_has_what_was_typed_and_nothing_else():
    machine = machine_from_words(TypedMachine(gpus=("NVIDIA A10*2",), driver="535.104.05", glibc="2.28"), MATRIX)
    assert [str(gpu.compute_capability) for gpu in machine.gpus] == ["8.6", "8.6"]
    assert str(machine.driver.driver_version) == "535.104.05"
    assert str(machine.driver.driver_cuda_version) == "12.2"
    assert machine.gpu_state is GpuState.USABLE
    assert machine.python is None
    assert machine.assumptions == ()


@pytest.mark.parametrize(
    ("name", "capability"),
    [("NVIDIA GeForce RTX 3070 Laptop GPU", "8.6"), ("Tesla K80", "3.7"), ("GRID A100D-40C", "8.0"), ("Orin", "8.7")],
)
def test_a_board_without_figures_is_typed_by_its_name(name, capability):
    machine = machine_from_words(TypedMachine(gpus=(name,), driver="535.104.05"), MATRIX)
    assert str(machine.gpus[0].compute_capability) == capability


def test_a_capability_tells_which_of_the_gpus_of_one_name_it_is():
    machine = machine_from_words(
        TypedMachine(gpus=("GeForce GT 730",), compute_capability="3.5", driver="470.161.03"), MATRIX
    )
    assert str(machine.gpus[0].compute_capability) == "3.5"


def test_a_driver_that_nobody_named_is_assumed_and_said():
    machine = machine_from_words(TypedMachine(gpus=("NVIDIA H100 PCIe",)), MATRIX)
    assert machine.driver.driver_version is not None
    assert "The driver was not given" in machine.assumptions[0]


def test_the_assumed_driver_is_one_that_serves_the_gpu():
    """Pascal ends with branch 580: a newer one would ignore the GPU."""
    machine = machine_from_words(TypedMachine(gpus=("Tesla P100-PCIE-16GB",)), MATRIX)
    assert machine.driver.driver_version.branch == 580


def test_no_gpu_typed_is_a_cpu_machine():
    assert machine_from_words(TypedMachine(arch="arm64"), MATRIX).gpu_state is GpuState.NONE


def test_a_capability_serves_a_gpu_that_the_matrix_does_not_know():
    machine = machine_from_words(
        TypedMachine(gpus=("Prototype",), compute_capability="9.0", driver="580.65.06"), MATRIX
    )
    assert str(machine.gpus[0].compute_capability) == "9.0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (TypedMachine(gpus=("Voodoo 2",)), "the matrix has no GPU named 'Voodoo 2'"),
        (TypedMachine(gpus=("GeForce GT 730",)), "GPUs of several compute capabilities are named 'GeForce GT 730'"),
        (TypedMachine(gpus=("NVIDIA A10*0",)), "expected 1 to 1024"),
        (TypedMachine(gpus=("NVIDIA A10*-3",)), "the count of 'NVIDIA A10*-3' is '-3'; expected 1 to 1024"),
        (TypedMachine(gpus=("NVIDIA A10*99999",)), "expected 1 to 1024"),
        (TypedMachine(gpus=("NVIDIA A10*",)), "expected 1 to 1024"),
        (TypedMachine(gpus=("*8",)), "found '*8', expected a name"),
        (TypedMachine(gpus=(" ",)), "found ' ', expected a name"),
        (TypedMachine(gpus=("AMD Instinct MI300X",)), "'AMD Instinct MI300X' is not supported: only NVIDIA GPUs are"),
        (TypedMachine(gpus=("Tesla T4",), compute_capability="9.0"), "9.0 is typed in, and Tesla T4 has 7.5"),
        (TypedMachine(driver="latest"), "--driver: not a driver version: 'latest'"),
        (TypedMachine(arch="sparc"), "--arch: found 'sparc', expected x86_64 or aarch64"),
        (TypedMachine(glibc="new"), "--glibc: not a glibc version"),
        (TypedMachine(gpus=("NVIDIA A10",), python="three"), "--python: 'three' is not a Python version"),
    ],
)
def test_words_that_cannot_be_read_are_named(words, message):
    with pytest.raises(UsageError) as caught:
        machine_from_words(words, MATRIX)
    assert message in caught.value.happened


def test_a_capability_is_for_the_gpus_that_the_matrix_does_not_know():
    machine = machine_from_words(TypedMachine(gpus=("Tesla T4", "Prototype"), compute_capability="9.0"), MATRIX)
    assert [str(gpu.compute_capability) for gpu in machine.gpus] == ["7.5", "9.0"]


@pytest.mark.parametrize(
    ("text", "system", "name", "version"),
    [
        ("ubuntu 22.04", "linux", "ubuntu", "22.04"),
        ("rhel-8.9", "linux", "rhel", "8.9"),
        ("win11", "windows", "windows", "11"),
        ("Windows Server 2022", "windows", "windows", "server 2022"),
        ("windows", "windows", "windows", None),
        ("macOS 14.2", "darwin", "macos", "14.2"),
        ("mac", "darwin", "macos", None),
        ("OS X 10.13", "darwin", "macos", "10.13"),
    ],
)
def test_a_system_is_known_by_every_name_that_people_give_it(text, system, name, version):
    host = machine_from_words(TypedMachine(gpus=("Tesla T4",), os=text), MATRIX).host
    assert (host.system, host.os, host.os_version, host.is_wsl) == (system, name, version, False)


def test_wsl_is_linux_under_the_driver_of_windows():
    machine = machine_from_words(TypedMachine(gpus=("Tesla T4",), os="wsl2"), MATRIX)
    assert (machine.host.system, machine.host.os, machine.host.is_wsl) == ("linux", None, True)
    assert "The driver was not given" in machine.assumptions[0]
    text = str(MATRIX.branch_of(machine.driver.driver_version).latest_windows)
    assert str(machine.driver.driver_version) == text


def test_wsl_fills_a_file_that_says_nothing_of_it_and_contradicts_one_that_does():
    words = TypedMachine(os="wsl")
    data = {"gpus": [{"name": "Tesla T4"}], "driver": {"driver_version": "528.49"}}
    assert machine_from_document(data, MATRIX, origin="f", words=words).host.is_wsl is True
    with pytest.raises(UsageError, match="--os: wsl is typed in"):
        machine_from_document({**data, "host": {"is_wsl": False}}, MATRIX, origin="f", words=words)


def test_a_document_may_hold_any_subset():
    machine = machine_from_document({"gpus": [{"name": "Tesla T4"}, {"name": "Tesla T4"}]}, MATRIX, origin="x")
    assert [gpu.index for gpu in machine.gpus] == [0, 1]
    assert machine.gpu_state is GpuState.USABLE


def test_fields_that_are_not_known_are_named():
    machine = machine_from_document({"gpu": [{"name": "Tesla T4"}], "driverr\x1b": {}}, MATRIX, origin="f")
    assert "Fields that are not known were left out: 'driverr\\x1b', 'gpu'." in machine.assumptions


def test_driver_null_says_that_there_is_none():
    machine = machine_from_document({"gpus": [{"name": "Tesla T4"}], "driver": None}, MATRIX, origin="x")
    assert machine.gpu_state is GpuState.UNUSABLE


def test_an_empty_document_is_a_machine_without_gpu():
    assert machine_from_document({}, MATRIX, origin="x").gpu_state is GpuState.NONE


@pytest.mark.parametrize("data", [[], "x", None, 3])
def test_a_document_that_is_none_is_refused(data):
    with pytest.raises(InputError, match="x: data: expected an object"):
        machine_from_document(data, MATRIX, origin="x")


def test_a_driver_without_gpus_is_never_a_cpu_plan():
    """Somebody's driver says that a GPU is there; of what kind, nobody said."""
    machine = machine_from_document({"driver": {"driver_version": "535.104.05"}}, MATRIX, origin="x")
    assert machine.gpu_state is GpuState.USABLE
    assert machine.gpus[0].compute_capability is None
    assert "GPUs were not given" in machine.assumptions[-1]
    with pytest.raises(UsageError, match="nothing says which GPUs"):
        machine_from_words(TypedMachine(driver="535.104.05"), MATRIX)


def test_gpus_that_nobody_mentioned_are_an_assumption():
    assert "GPUs were not given" in machine_from_document({}, MATRIX, origin="x").assumptions[0]
    assert machine_from_document({"gpus": []}, MATRIX, origin="x").assumptions == ()


def test_a_state_that_contradicts_the_gpus_is_not_believed():
    data = {"gpus": [{"name": "Tesla T4"}], "gpu_state": "none", "driver": None}
    assert machine_from_document(data, MATRIX, origin="x").gpu_state is GpuState.UNUSABLE


def test_a_jetpack_brings_its_system():
    machine = machine_from_words(TypedMachine(gpus=("Orin",), os="JetPack 6.2"), MATRIX)
    host = machine.host
    assert (host.system, host.os, host.os_version, host.arch, str(host.glibc), host.l4t) == (
        *("linux", "ubuntu", "22.04", "aarch64"),
        *("2.35", "36.4.3"),
    )
    assert machine.python.version == "3.10"
    assert machine.driver is None


def test_a_jetson_without_a_jetpack_is_taken_to_have_the_newest_of_its_board():
    machine = machine_from_words(TypedMachine(gpus=("Xavier",)), MATRIX)
    assert machine.host.l4t == "35.6.2"
    assert machine.assumptions == ("The JetPack was not given; 5.1.5, the newest that serves this board, is assumed.",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (TypedMachine(gpus=("Orin",), os="jetpack 9"), "the matrix has no JetPack '9'"),
        (TypedMachine(gpus=("Orin",), os="jetpack 6.2", arch="x86_64"), "exclude each other"),
    ],
)
def test_a_jetpack_that_cannot_be_is_refused(words, message):
    with pytest.raises(UsageError, match=message):
        machine_from_words(words, MATRIX)


def test_wsl_can_be_typed_in():
    machine = machine_from_words(TypedMachine(gpus=("T4",), driver="551.88", os="wsl"), MATRIX)
    assert (machine.host.system, machine.host.is_wsl) == ("linux", True)
