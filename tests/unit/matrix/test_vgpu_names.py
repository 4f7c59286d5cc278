"""Names of vGPUs, and what they tell."""

import pytest

from provision.matrix import read_matrix
from provision.matrix.vgpu_names import VgpuName, parse_vgpu_name


@pytest.fixture(scope="module")
def matrix():
    return read_matrix()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("GRID T4-16Q", VgpuName("T4", 16, "Q")),
        ("GRID A100D-40C", VgpuName("A100D", 40, "C")),
        ("NVIDIA A100-4-20C", VgpuName("A100", 20, "C")),
        ("GRID A100X-1-5CME", VgpuName("A100X", 5, "C")),
        ("NVIDIA L40S-24A", VgpuName("L40S", 24, "A")),
        ("GRID M60-2B4", VgpuName("M60", 2, "B")),
        ("GRID M10-0Q", VgpuName("M10", 0.5, "Q")),
        ("NVIDIA RTX6000-Ada-48Q", VgpuName("RTX6000-Ada", 48, "Q")),
        (
            "NVIDIA RTX Pro 6000 Blackwell DC-4-96Q",
            VgpuName("RTX Pro 6000 Blackwell DC", 96, "Q"),
        ),
        ("a40-48c", VgpuName("a40", 48, "C")),
        ("NVIDIA GRID  T4-8C", VgpuName("T4", 8, "C")),
    ],
)
def test_the_parts_of_a_name(name, parts):
    assert parse_vgpu_name(name) == parts


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A100-SXM4-40GB",
        "Tesla V100-PCIE-16GB-LS",
        "NVIDIA PG506-232",
        "P106-100",
        "NVIDIA H20-3e",
        "GRID K520",
        "Tesla P100-DGXS-16GB",
        "GeForce GTX 1050 with Max-Q Design",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "-16Q",
        "GRID -16Q",
        "",
    ],
)
def test_names_of_boards_are_none(name):
    assert parse_vgpu_name(name) is None


def test_no_board_of_the_matrix_has_the_name_of_a_vgpu(matrix):
    names = [name for chip in matrix.chips.rows for boards in chip.boards for name, _ in boards.names]
    names += [name for row in matrix.gpus for name in (*row.nvml_names, row.name)]
    assert [name for name in names if parse_vgpu_name(name)] == []


@pytest.mark.parametrize(
    ("name", "capability", "runs_cuda"),
    [
        ("GRID A100D-40C", "8.0", True),
        ("GRID A100X-1-5CME", "8.0", True),
        ("GRID A100DX-80C", "8.0", True),
        ("NVIDIA A100-4-20C", "8.0", True),
        ("NVIDIA A30-2-12C", "8.0", True),
        ("NVIDIA A40-48C", "8.6", True),
        ("NVIDIA A16-8Q", "8.6", True),
        ("NVIDIA A10-24Q", "8.6", True),
        ("NVIDIA A2-4C", "8.6", True),
        ("NVIDIA RTXA5000-24Q", "8.6", True),
        ("NVIDIA L40S-24A", "8.9", False),
        ("NVIDIA L4-2B", "8.9", False),
        ("NVIDIA RTX6000-Ada-2Q", "8.9", True),
        ("RTX5880-Ada-48Q", "8.9", True),
        ("NVIDIA H100XM-80C", "9.0", True),
        ("NVIDIA H100L-94C", "9.0", True),
        ("NVIDIA H200X-1-18C", "9.0", True),
        ("NVIDIA RTX Pro 6000 Blackwell DC-1-12Q", "12.0", True),
        ("GRID T4-16Q", "7.5", True),
        ("GRID T4-1B4", "7.5", False),
        ("GRID RTX6000P-6Q", "7.5", True),
        ("GRID V100D-32C", "7.0", True),
        ("GRID V100DX-32Q", "7.0", True),
        ("GRID V100L-1Q", "7.0", True),
        ("GRID P100C-12Q", "6.0", True),
        ("GRID P40-24Q", "6.1", True),
        ("GRID M60-8Q", "5.2", True),
        ("grid m60-4q", "5.2", False),
        ("GRID M10-0Q", "5.0", False),
        ("GRID M6-8A", "5.2", False),
    ],
)
def test_a_vgpu_is_its_board_and_its_series(matrix, name, capability, runs_cuda):
    assert str(matrix.capability_by_name(name)) == capability
    assert matrix.vgpu_runs_cuda(name) is runs_cuda


@pytest.mark.parametrize("name", ["NVIDIA A100-SXM4-40GB", "GRID T4-16X", "GRID K2", ""])
def test_other_names_tell_nothing_of_vgpus(matrix, name):
    assert matrix.vgpu_runs_cuda(name) is None


def test_a_part_that_is_no_board_has_no_capability(matrix):
    assert matrix.capability_by_name("GRID Z9-16Q") is None


def test_a_part_may_be_the_name_of_another_board(matrix):
    """A100X is a converged card on a host, and the SXM4 board with 40 GB in the name of a vGPU."""
    assert dict(matrix.vgpu.boards)["A100X"] == "A100-SXM4-40GB"
    assert matrix.identity_by_pci_id("10de:20b8") == matrix.identity_by_name("NVIDIA A100X")
