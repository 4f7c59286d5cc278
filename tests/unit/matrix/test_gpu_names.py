"""What the matrix tells of a GPU by the name that a driver prints, and by its PCI id."""
# ruff: noqa: E501  cases stand in lines that can be compared with the lists of the driver

import pytest

from provision.matrix import load_matrix, read_matrix
from provision.matrix.tables import GpuIdentity
from provision.versions import ComputeCapability


@pytest.fixture(scope="module")
def matrix():
    return read_matrix()


# Written from the driver's own lists of supported GPUs; the capability is that of the chip which pci.ids gives the device.
BY_CAPABILITY = {
    "3.0": ["GeForce GTX 680", "GeForce GTX 770", "GeForce GTX 660 Ti", "GeForce GTX 650", "GeForce GT 750M", "GeForce GTX 780M", "Quadro K5000", "Quadro K2000", "Quadro K1100M", "Tesla K10", "GRID K520", "GRID K1", "GRID K2"],
    "3.2": ["GK20A"],
    "3.5": ["Tesla K20m", "Tesla K20Xm", "Tesla K40c", "Tesla K40m", "Tesla K40", "GeForce GTX 780", "GeForce GTX 780 Ti", "GeForce GTX TITAN", "GeForce GTX TITAN Black", "GeForce GT 710", "GeForce 920M", "Quadro K6000", "Quadro K5200", "Quadro K610M"],
    "3.7": ["Tesla K80"],
    "5.0": ["GeForce GTX 750 Ti", "GeForce GTX 850M", "GeForce GTX 960M", "GeForce 940MX", "GeForce 830M", "GeForce MX110", "GeForce MX130", "Quadro K620", "Quadro K2200", "Quadro M1000M", "Quadro M2000M", "Quadro M1200", "NVS 810", "Tesla M10"],
    "5.2": ["GeForce GTX 980M", "GeForce GTX 970M", "GeForce GTX 965M", "GeForce GTX TITAN X", "Quadro M4000", "Quadro M5000M", "Quadro M2000", "Quadro M2200", "Quadro M6000", "Tesla M4", "Tesla M40", "Tesla M60", "Tesla M6"],
    "5.3": ["NVIDIA Tegra X1", "Jetson Nano"],
    "6.0": ["Tesla P100-SXM2-16GB", "Tesla P100-PCIE-12GB", "Quadro GP100"],
    "6.1": ["NVIDIA GeForce GT 1030", "GeForce GT 1010", "GeForce GTX 1050", "GeForce GTX 1050 with Max-Q Design", "GeForce GTX 1060", "GeForce GTX 1060 3GB", "GeForce GTX 1070 with Max-Q Design", "GeForce GTX 1080 with Max-Q Design", "GeForce MX150", "GeForce MX250", "GeForce MX350", "Quadro P400", "Quadro P620", "Quadro P1000", "Quadro P2000", "Quadro P2200", "Quadro P3200 with Max-Q Design", "Quadro P4000", "Quadro P5200", "Tesla P4", "Tesla P6", "Tesla P40", "P106-100", "P104-100", "NVIDIA TITAN Xp"],
    "6.2": ["NVIDIA Tegra X2", "GP10B"],
    "7.0": ["Tesla V100-FHHL-16GB", "Tesla V100-DGXS-32GB", "Tesla V100-SXM2-16GB", "Tesla PG503-216", "NVIDIA TITAN V", "TITAN V JHH Special Edition", "Quadro GV100", "CMP 100-210"],
    "7.2": ["Xavier", "Jetson Xavier NX"],
    "7.5": ["NVIDIA GeForce GTX 1630", "GeForce GTX 1650 SUPER", "GeForce GTX 1650 Ti with Max-Q Design", "NVIDIA GeForce GTX 1660 Ti with Max-Q Design", "GeForce RTX 2060 with Max-Q Design", "GeForce RTX 2070 Super", "NVIDIA GeForce RTX 2080 Super with Max-Q Design", "NVIDIA GeForce MX450", "NVIDIA GeForce MX550", "Quadro RTX 3000", "Quadro RTX 5000 with Max-Q Design", "Quadro T1000", "Quadro T2000 with Max-Q Design", "NVIDIA T400", "NVIDIA T400 4GB", "NVIDIA T600", "NVIDIA T1000 8GB", "NVIDIA T500", "NVIDIA T550 Laptop GPU", "NVIDIA T1200 Laptop GPU", "NVIDIA T4G", "NVIDIA CMP 30HX", "NVIDIA CMP 40HX", "NVIDIA CMP 50HX"],
    "8.0": ["NVIDIA A100X", "NVIDIA PG506-232", "NVIDIA PG506-243", "NVIDIA A100-PG509-200", "NVIDIA A800-SXM4-40GB", "NVIDIA AX800", "NVIDIA DRIVE-PG199-PROD", "CMP 170HX"],
    "8.6": ["NVIDIA GeForce RTX 2050", "NVIDIA GeForce MX570", "NVIDIA GeForce MX570 A", "NVIDIA GeForce RTX 3050 Laptop GPU", "NVIDIA GeForce RTX 3050 6GB Laptop GPU", "NVIDIA GeForce RTX 3050 Ti Laptop GPU", "NVIDIA GeForce RTX 3060 Laptop GPU", "NVIDIA GeForce RTX 3070 Laptop GPU", "NVIDIA GeForce RTX 3070 Ti Laptop GPU", "NVIDIA GeForce RTX 3080 Laptop GPU", "NVIDIA GeForce RTX 3080 Ti Laptop GPU", "NVIDIA RTX A500 Laptop GPU", "NVIDIA RTX A1000", "NVIDIA RTX A1000 6GB Laptop GPU", "NVIDIA RTX A2000 8GB Laptop GPU", "NVIDIA RTX A3000 12GB Laptop GPU", "NVIDIA RTX A4000 Laptop GPU", "NVIDIA RTX A5500 Laptop GPU", "NVIDIA RTX A400", "NVIDIA A10M", "NVIDIA CMP 70HX", "NVIDIA CMP 90HX"],
    "8.7": ["Orin", "Orin (nvgpu)", "NVIDIA Tegra Orin (nvgpu)", "Jetson Orin Nano"],
    "8.9": ["NVIDIA GeForce RTX 4050 Laptop GPU", "NVIDIA GeForce RTX 4060 Laptop GPU", "NVIDIA GeForce RTX 4070 Laptop GPU", "NVIDIA GeForce RTX 4080 Laptop GPU", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3050 A Laptop GPU", "NVIDIA RTX 500 Ada Generation Laptop GPU", "NVIDIA RTX 2000 Ada Generation Laptop GPU", "NVIDIA RTX 5000 Ada Generation Laptop GPU", "NVIDIA RTX 2000E Ada Generation", "L40G"],
    "9.0": ["NVIDIA H100 NVL", "NVIDIA H200 NVL", "NVIDIA H800 NVL", "NVIDIA GH200 120GB", "NVIDIA GH200 480GB", "NVIDIA H20", "NVIDIA H100 80GB HBM2e"],
    "10.0": ["NVIDIA B200", "NVIDIA GB200"],
    "10.3": ["NVIDIA GB300", "NVIDIA B300 SXM6 AC"],
    "11.0": ["NVIDIA Thor", "Jetson AGX Thor"],
    "12.0": ["NVIDIA GeForce RTX 5050 Laptop GPU", "NVIDIA GeForce RTX 5060 Laptop GPU", "NVIDIA GeForce RTX 5070 Ti Laptop GPU", "NVIDIA GeForce RTX 5080 Laptop GPU", "NVIDIA GeForce RTX 5090 Laptop GPU", "NVIDIA RTX PRO 500 Blackwell Generation Laptop GPU", "NVIDIA RTX PRO 3000 Blackwell Generation Laptop GPU", "NVIDIA RTX PRO 5000 Blackwell Generation Laptop GPU", "NVIDIA RTX PRO 6000 Blackwell Server Edition", "NVIDIA RTX PRO 6000D Blackwell Workstation Edition", "NVIDIA RTX PRO 4000 Blackwell Embedded GPU"],
    "12.1": ["NVIDIA GB10"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "capability"), [(name, capability) for capability, names in BY_CAPABILITY.items() for name in names]
)
def test_a_name_tells_the_capability(matrix, name, capability):
    assert str(matrix.capability_by_name(name)) == capability


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("RTX 3070 Laptop GPU", "8.6"),
        ("rtx 4070 laptop", "8.9"),
        ("K80", "3.7"),
        ("GTX 1050", "6.1"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "8.0"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "9.0"),
    ],
)
def test_short_forms_and_the_names_of_mig_devices(matrix, name, capability):
    assert str(matrix.capability_by_name(name)) == capability


SHARED = [
    ("GeForce GTX 750", "Maxwell", "geforce"),
    ("GeForce GT 740M", "Kepler", "geforce"),
    ("GeForce GT 730M", "Kepler", "geforce"),
    ("GeForce GTX 860M", None, "geforce"),
    ("GeForce GT 630", None, None),
    ("GeForce GT 640", None, None),
    ("NVIDIA GeForce GT 730", None, None),
    ("GeForce 710M", None, None),
    ("GeForce 820M", None, None),
]


@pytest.mark.parametrize(("name", "architecture", "gpu_class"), SHARED)
def test_a_name_of_several_chips_tells_only_what_they_share(matrix, name, architecture, gpu_class):
    assert matrix.identity_by_name(name) == GpuIdentity(None, architecture, gpu_class)
    assert matrix.capability_by_name(name) is None


@pytest.mark.parametrize(
    "name", ["", "NVIDIA", "Graphics Device", "GeForce", "GeForce GPU", "GeForce GTX 580", "Quadro 6000", "Voodoo 2"]
)
def test_names_of_no_chip(matrix, name):
    assert matrix.identity_by_name(name) is None
    assert matrix.class_by_name(name) is None


@pytest.mark.parametrize(
    ("name", "gpu_class"),
    [
        ("Tesla K80", "data_center"),
        ("NVIDIA A100X", "data_center"),
        ("H100", "data_center"),
        ("NVIDIA L40S", "data_center"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "data_center"),
        ("Quadro P2000", "workstation"),
        ("NVIDIA T1200 Laptop GPU", "workstation"),
        ("NVIDIA RTX A4000 Laptop GPU", "workstation"),
        ("NVIDIA RTX PRO 5000 Blackwell Generation Laptop GPU", "workstation"),
        ("NVS 510", "workstation"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "geforce"),
        ("NVIDIA CMP 90HX", "geforce"),
        ("NVIDIA TITAN RTX", "geforce"),
        ("Orin (nvgpu)", "embedded"),
        ("DRIVE A100 PROD", "embedded"),
        ("GRID RTX6000P-6Q", "workstation"),
        ("GRID T4-16Q", "data_center"),
    ],
)
def test_a_name_tells_the_class(matrix, name, gpu_class):
    assert matrix.class_by_name(name) == gpu_class


@pytest.mark.parametrize(
    ("device", "capability", "architecture", "gpu_class"),
    [
        ("10de:102d", "3.7", "Kepler", "data_center"),
        ("10de:1c8d", "6.1", "Pascal", "geforce"),
        ("10DE:25A7", "8.6", "Ampere", "geforce"),
        ("10de:249d", "8.6", "Ampere", "geforce"),
        ("10de:2860", "8.9", "Ada Lovelace", "geforce"),
        ("10de:1fbc", "7.5", "Turing", "workstation"),
        ("10de:20b8", "8.0", "Ampere", "data_center"),
        ("10de:2330", "9.0", "Hopper", "data_center"),
        ("10de:2c58", "12.0", "Blackwell", "geforce"),
        ("10de:25b6", "8.6", "Ampere", "data_center"),
        ("10de:1eb1", "7.5", "Turing", "workstation"),
        ("10de:1b04", "6.1", "Pascal", None),
        ("10de:2b00", "11.0", "Blackwell", "embedded"),
    ],
)
def test_a_pci_id_tells_all_three(matrix, device, capability, architecture, gpu_class):
    identity = GpuIdentity(ComputeCapability.parse(capability), architecture, gpu_class)
    assert matrix.identity_by_pci_id(device) == identity
    assert matrix.capability_by_pci_id(device) == identity.compute_capability
    assert matrix.class_by_pci_id(device) == gpu_class


@pytest.mark.parametrize("device", ["10de:1140", "10de:0fc5", "10de:ffff", "1002:73bf", "", "2330"])
def test_pci_ids_of_no_chip(matrix, device):
    assert matrix.identity_by_pci_id(device) is None
    assert matrix.capability_by_pci_id(device) is None


def test_a_pci_id_of_two_classes_tells_the_capability_alone(matrix):
    """10de:1dba is the Quadro GV100 and one TITAN V."""
    assert matrix.identity_by_pci_id("10de:1dba") == GpuIdentity(ComputeCapability(7, 0), "Volta", None)


def test_every_row_and_every_board_is_found(matrix):
    for row in matrix.gpus:
        expected = (row.compute_capability, row.gpu_class)
        for name in (*row.nvml_names, row.name):
            assert (matrix.capability_by_name(name), matrix.class_by_name(name)) == expected
        for device in row.pci_device_ids:
            assert matrix.capability_by_pci_id(device) == row.compute_capability
    names = {name for chip in matrix.chips.rows for boards in chip.boards for name, _ in boards.names}
    untold = {name for name in names if matrix.capability_by_name(name) is None}
    assert untold == {*matrix.chips.older_too, "GeForce GT 740M", "GeForce GT 730M", "GeForce GTX 750", "GeForce GTX 860M"}  # fmt: skip


def test_the_small_matrix_tells_what_it_holds(mini):
    matrix = load_matrix(mini, origin="m.yaml")
    assert matrix.identity_by_name("GeForce RTX 2050") == GpuIdentity(None, "Ampere", "geforce")
    assert matrix.identity_by_name("GeForce GT 930") == GpuIdentity()
    assert matrix.identity_by_pci_id("10de:25a3") == GpuIdentity(ComputeCapability(8, 6), "Ampere", None)
    assert [(board.gpu_class, board.names) for board in matrix.chips.rows[1].boards] == [
        ("geforce", (("GeForce RTX 2050", ()), ("CMP 170HX", ("2082",))))
    ]


def test_a_beginning_that_names_share(matrix):
    assert matrix.capabilities_of_beginning("geforce rtx 40") == {ComputeCapability(8, 9)}
    assert matrix.capabilities_of_beginning("geforce gt 7") > {None, ComputeCapability(3, 5)}
    assert matrix.capabilities_of_beginning("radeon") == frozenset()
