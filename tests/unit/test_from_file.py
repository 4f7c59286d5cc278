"""`plan --from`: facts typed in beside a file, and files that are no files."""

import json
import os
import threading
import time

import pytest

from provision.cli import run
from provision.documents.envelope import read_bytes
from provision.errors import InputError, UsageError
from provision.pasted import machine_from_paste
from provision.typed import TypedMachine, filled, machine_from_document
from tests.bench.matrix import shipped

MATRIX = shipped()
LIST = "GPU 0: NVIDIA L40S (UUID: GPU-masked)\n"
TABLE = """\
| NVIDIA-SMI 535.104.05             Driver Version: 535.104.05   CUDA Version: 12.2     |
| GPU  Name                 Persistence-M | Bus-Id        Disp.A | Volatile Uncorr. ECC |
|   0  NVIDIA L40S                    On  | 00000000:01:00.0 Off |                    0 |
+-----------------------------------------+----------------------+----------------------+
"""
UBUNTU = "Libc version: glibc-2.31\nIs CUDA available: True\nOS: Ubuntu 20.04.6 LTS (x86_64)\n"
WITHOUT_GPU = """\
PyTorch version: 2.4.0+cpu
Python platform: Linux-6.8.0-x86_64-with-glibc2.31
GPU models and configuration: No CUDA
Nvidia driver version: No CUDA
"""
HEADER_WITHOUT_DRIVER = TABLE.replace("Driver Version: 535.104.05", "Driver Version: N/A       ")


def with_words(text, **words):
    return filled(machine_from_paste(text, MATRIX, origin="box.txt"), TypedMachine(**words), MATRIX, origin="box.txt")


def test_typed_facts_fill_what_a_list_does_not_say():
    machine = with_words(LIST, driver="535.104.05", glibc="2.35", arch="amd64", os="ubuntu 22.04", python="3.12")
    host = machine.host
    assert (host.system, host.os, host.os_version, host.arch, str(host.glibc)) == (
        "linux",
        "ubuntu",
        "22.04",
        "x86_64",
        "2.35",
    )
    assert (str(machine.driver.driver_version), str(machine.driver.driver_cuda_version)) == ("535.104.05", "12.2")
    assert machine.assumptions == ()


def test_typed_facts_that_the_file_says_too_change_nothing():
    machine = with_words(TABLE, driver="535.104.05", os="linux")
    assert machine == machine_from_paste(TABLE, MATRIX, origin="box.txt")


def test_a_version_that_is_less_precise_than_the_file_is_none_that_contradicts():
    text = "OS: Debian GNU/Linux 12.5\nIs CUDA available: True\nGPU models and configuration: GPU 0: NVIDIA L4\nx\n"
    text += "Nvidia driver version: 550.90.07\nLibc version: glibc-2.36\n"
    assert with_words(text, os="debian 12").host.os_version == "12.5"


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (TABLE, {"driver": "550.54.14"}, "--driver: 550.54.14 is typed in, and box.txt says 535.104.05."),
        (TABLE, {"os": "windows 11"}, "--os: windows 11 is typed in, and box.txt says linux."),
        (
            HEADER_WITHOUT_DRIVER,
            {"driver": "580.65.06"},
            "--driver: 580.65.06, which implements CUDA 13.0, is typed in, and box.txt says a driver that implements",
        ),
        (
            WITHOUT_GPU,
            {"driver": "550.54.14"},
            "--driver: 550.54.14 is typed in, and box.txt says a machine without GPU.",
        ),
        (
            UBUNTU,
            {"glibc": "2.35"},
            "--glibc: 2.35 is typed in, and box.txt says 2.31.",
        ),
        (
            UBUNTU,
            {"arch": "arm64"},
            "--arch: aarch64 is typed in, and box.txt says x86_64.",
        ),
        (
            UBUNTU,
            {"os": "ubuntu 22.04"},
            "--os: ubuntu 22.04 is typed in, and box.txt says 20.04.",
        ),
        (LIST, {"gpus": ("NVIDIA A10",)}, "--from and --gpu exclude each other: the file says which GPUs there are."),
        (LIST, {"compute_capability": "8.6"}, "--from and --compute-capability exclude each other: the file says"),
        (LIST, {"driver": "new"}, "--driver: not a driver version: 'new'"),
    ],
)
def test_typed_facts_that_contradict_the_file_name_both(text, words, message):
    with pytest.raises(UsageError) as caught:
        with_words(text, **words)
    assert caught.value.happened.startswith(message)


def test_a_newer_cuda_than_the_drivers_may_be_that_of_a_compatibility_package():
    text = HEADER_WITHOUT_DRIVER.replace("12.2", "13.0")
    driver = with_words(text, driver="535.104.05").driver
    assert (str(driver.driver_version), str(driver.driver_cuda_version)) == ("535.104.05", "13.0")


@pytest.mark.parametrize(
    ("data", "driver", "assumed"),
    [
        ({"gpus": [{"name": "NVIDIA L40S"}]}, "535.104.05", []),
        ({}, "535.104.05", ["GPUs were not given; the driver says that there is one, of a kind that is not known."]),
    ],
)
def test_a_document_takes_a_typed_driver_in_place_of_an_assumed_one(data, driver, assumed):
    words = TypedMachine(driver=driver)
    machine = machine_from_document(data, MATRIX, origin="box.json", words=words)
    assert str(machine.driver.driver_version) == driver
    assert (len(machine.gpus), machine.gpu_state.value, list(machine.assumptions)) == (1, "usable", assumed)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"gpus": [{"name": "NVIDIA L40S"}], "driver": None}, "that there is no driver"),
        ({"gpus": []}, "a machine without GPU"),
        ({"gpus": [{"name": "NVIDIA L40S"}], "driver": {"driver_version": "550.54.14"}}, "550.54.14"),
    ],
)
def test_a_document_that_a_typed_driver_contradicts(data, said):
    with pytest.raises(UsageError, match=f"box.json says {said}"):
        machine_from_document(data, MATRIX, origin="box.json", words=TypedMachine(driver="535.104.05"))


def test_the_command_takes_both(tmp_path, capsys):
    path = tmp_path / "list.txt"
    path.write_text(LIST)
    words = ["--driver", "550.54.14", "--python", "3.12", "--glibc", "2.35", "--arch", "x86_64", "--os", "ubuntu 22.04"]
    assert run(["plan", "--json", "--from", str(path), *words]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["python"], data["variant"]) == ("3.12", "cu126")
    assert [line for line in data["assumptions"] if "driver" in line or "glibc" in line] == []
    assert run(["plan", "--from", str(path), "--gpu", "NVIDIA A10"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_fleet_takes_no_typed_facts(tmp_path, capsys):
    (tmp_path / "list.txt").write_text(LIST)
    assert run(["plan", "--from", str(tmp_path), "--driver", "550.54.14"]) == 2
    assert "--from names many machines" in capsys.readouterr().err


def test_the_command_reads_a_pipe(capsys):
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as stream:
        stream.write(TABLE)
    try:
        assert run(["plan", "--from", f"/dev/fd/{ours}"]) == 0
    finally:
        os.close(ours)
    assert "choice" in capsys.readouterr().out


# --- what --from names


def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    start = time.perf_counter()
    with pytest.raises(InputError, match="nobody writes to this pipe"):
        read_bytes(path)
    assert time.perf_counter() - start < 5


def test_a_pipe_is_read_while_somebody_writes_to_it():
    ours, theirs = os.pipe()

    def write():
        with os.fdopen(theirs, "wb") as stream:
            for part in (LIST, TABLE):
                stream.write(part.encode())
                stream.flush()
                time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert read_bytes(f"/dev/fd/{ours}") == (LIST + TABLE).encode()  # as the shell's <(...) names it
    finally:
        writer.join()
        os.close(ours)


def test_a_pipe_that_says_nothing_is_given_up():
    ours, theirs = os.pipe()
    try:
        with pytest.raises(InputError, match=r"this pipe said nothing for 0.05 s"):
            read_bytes(f"/dev/fd/{ours}", silence_s=0.05)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_pipe_without_end_is_read_up_to_the_limit():
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b"x" * 4096)
        with pytest.raises(InputError, match="larger than 100 bytes"):
            read_bytes(f"/dev/fd/{ours}", limit=100)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_devices_are_refused(name, capsys):
    assert run(["plan", "--from", name]) == 7
    assert f"{name}: cannot be read: a device or socket" in " ".join(capsys.readouterr().err.split())
