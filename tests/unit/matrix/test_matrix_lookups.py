"""Questions to the matrix."""
# ruff: noqa: E501  cases stand on one line each

import pytest

from provision.matrix import load_matrix, read_matrix
from provision.matrix.companions import companions_of
from provision.versions import ComputeCapability, CudaVersion, DriverVersion


@pytest.fixture(scope="module")
def matrix():
    return read_matrix()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3 (SXM5)"),
        ("H100 80GB HBM3", "H100 80GB HBM3 (SXM5)"),
        ("nvidia  h100 80gb hbm3", "H100 80GB HBM3 (SXM5)"),
        ("NVIDIA A100-PCIE-80GB", "A100 80GB PCIe"),
        ("Tesla T4", "Tesla T4"),
        ("T4", "Tesla T4"),
        ("RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 D", "GeForce RTX 4090 D"),
    ],
)
def test_a_name_finds_its_row(matrix, name, row):
    assert matrix.gpu_by_name(name).name == row


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090 Laptop GPU", "Radeon RX 7900", "", "NVIDIA", "A100"])
def test_other_names_find_none(matrix, name):
    assert matrix.gpu_by_name(name) is None


@pytest.mark.parametrize(
    ("name", "capability"),
    [("H100", (9, 0)), ("A100", (8, 0)), ("V100", (7, 0)), ("B200", (10, 0)), ("A10", (8, 6)), ("GeForce", None), ("", None), ("NVIDIA", None)],
)  # fmt: skip
def test_a_family_of_data_center_boards_has_a_capability(matrix, name, capability):
    assert matrix.capability_by_name(name) == capability


def test_a_pci_id_finds_its_row(matrix):
    assert [row.name for row in matrix.gpus_by_pci_id("10de:2330")] == ["H100 80GB HBM3 (SXM5)"]
    assert matrix.gpus_by_pci_id("10DE:2330") == matrix.gpus_by_pci_id("10de:2330")
    assert matrix.gpus_by_pci_id("10de:ffff") == ()


def test_a_shared_pci_id_gives_only_what_its_products_share(mini):
    matrix = load_matrix(mini, origin="m.yaml")
    assert [row.name for row in matrix.gpus_by_pci_id("10de:25b6")] == ["A16", "A2"]
    assert matrix.capability_by_pci_id("10de:25b6") == ComputeCapability(8, 6)
    other = load_matrix(mini.replace('capability: 8.6, class: data_center, pci: ["10de:25b6"], subsystem: ["25b6:10de:14a9"]', 'capability: 8.0, class: data_center, pci: ["10de:25b6"], subsystem: ["25b6:10de:14a9"]'), origin="m.yaml")  # fmt: skip
    assert other.capability_by_pci_id("10de:25b6") is None


@pytest.mark.parametrize(
    ("driver", "branch", "cuda"),
    [
        ("535.104.05", 535, "12.2"),
        ("580.65.06", 580, "13.0"),
        ("528.33", 525, "12.0"),
        ("551.61", 550, "12.4"),
        ("999.1", 620, "13.5"),
    ],
)
def test_a_driver_belongs_to_the_next_older_branch(matrix, driver, branch, cuda):
    row = matrix.branch_of(DriverVersion(driver))
    assert (row.branch, str(row.cuda)) == (branch, cuda)


def test_a_driver_before_all_branches_has_none(matrix):
    assert matrix.branch_of(DriverVersion("390.157")) is None


def test_native_drivers_are_those_of_the_first_toolkit(matrix):
    assert matrix.native_driver(CudaVersion(12, 2)) == DriverVersion("535.54.03")
    assert matrix.native_driver(CudaVersion(12, 2), is_windows=True) == DriverVersion("536.25")
    assert matrix.native_driver(CudaVersion(12, 7)) is None


@pytest.mark.parametrize(
    ("cuda", "branch", "works"),
    [
        ("12.8", 470, True),
        ("12.8", 560, False),
        ("12.8", 515, None),
        ("13.0", 535, True),
        ("13.0", 530, None),
        ("12.6", 545, None),
        ("12.7", 535, None),
        ("13.9", 580, None),
    ],
)
def test_forward_compatibility_is_known_per_branch_or_unknown(matrix, cuda, branch, works):
    assert matrix.forward_compatible(CudaVersion.parse(cuda), branch) is works


def test_forward_compatibility_serves_data_center_boards_and_jetson(matrix):
    assert matrix.forward.classes == ("data_center", "embedded")
    assert matrix.forward.refused_classes == ("geforce", "workstation")


@pytest.mark.parametrize(
    ("code", "device", "cuda", "runs"),
    [
        ("8.0", "8.0", "12.8", True),
        ("8.0", "8.6", "12.8", True),
        ("8.6", "8.0", "12.8", False),
        ("8.0", "8.7", "12.8", False),
        ("8.0", "8.7", "13.2", True),
        ("8.6", "8.9", "11.8", True),
        ("9.0", "10.0", "13.0", False),
        ("10.0", "10.3", "12.8", True),
        ("11.0", "11.0", "13.0", True),
        ("11.0", "10.1", "13.0", True),
        ("12.0", "12.1", "13.0", True),
        ("7.0", "7.2", "12.8", False),
        ("7.0", "7.5", "12.8", True),
        ("3.7", "3.5", "11.8", False),
        ("3.7", "3.7", "11.8", True),
    ],
)
def test_binary_code_runs_within_its_major_and_not_across_the_tegra_border(matrix, code, device, cuda, runs):
    row = matrix.cubin(ComputeCapability.parse(code))
    assert row.runs_on(ComputeCapability.parse(device), CudaVersion.parse(cuda)) is runs


@pytest.mark.parametrize(
    ("torch", "python", "accelerate", "peft"),
    [
        ("2.0.1", "3.8", (1, 0, 1), (0, 13, 2)),
        ("2.4.1", "3.9", (1, 10, 1), (0, 17, 1)),
        ("2.15.0", "3.14t", (1, 15, 0), (0, 21, 2)),
        ("2.15.0", "pypy3.10", None, None),
        ("2.15.0", "3.6", None, None),
    ],
)
def test_the_newest_companions_are_those_that_take_the_python(matrix, torch, python, accelerate, peft):
    release = matrix.release(torch)
    assert matrix.newest_accelerate(release, python) == accelerate
    assert matrix.newest_peft(release, python) == peft


def test_the_newest_companion_takes_the_torch(mini):
    matrix = load_matrix(mini, origin="m.yaml")
    assert matrix.newest_accelerate(matrix.release("2.9.0"), "3.12") == (1, 10, 1)
    assert matrix.newest_accelerate(matrix.release("2.10.0"), "3.12") == (1, 11, 0)


def test_what_works_beside_a_release(matrix):
    release = matrix.release("2.14.1")
    beside = {c.name: c.specifier for c in companions_of(matrix, release, "3.12", has_triton=True)}
    assert beside == {
        "torchvision": "==0.29.1",
        "torchaudio": "==2.11.0",
        "triton": "~=3.8.0",
        "tokenizers": ">=0.23.1,<0.24.0",
        "accelerate": "<=1.15.0",
        "peft": "<=0.21.2",
    }
    older = companions_of(matrix, release, "3.12", has_triton=False, allows=lambda text: text.startswith("5.0."))
    assert {c.name: c.specifier for c in older}["tokenizers"] == ">=0.22.0,<=0.23.0"
    assert "triton" not in {c.name for c in older}
    assert [c.name for c in companions_of(matrix, release, "pypy3.10", has_triton=False)] == [
        "torchvision",
        "torchaudio",
    ]
