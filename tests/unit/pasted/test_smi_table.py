import pytest
from paste_texts import OLD_TABLE, TABLE

from provision.records import GpuState
from provision.versions import ComputeCapability, CudaVersion, DriverVersion


def test_a_table_of_two_gpus(pasted):
    machine = pasted(TABLE)
    assert machine.driver.driver_version == DriverVersion("575.57.08")
    assert machine.driver.driver_cuda_version == CudaVersion(12, 9)
    assert [(gpu.index, gpu.name, gpu.pci_bus_id) for gpu in machine.gpus] == [
        (0, "NVIDIA L40S", "0000:01:00.0"),
        (1, "NVIDIA RTX PRO 6000 Blac...", "0000:81:00.0"),
    ]
    assert [gpu.memory_bytes for gpu in machine.gpus] == [46068 << 20, 97887 << 20]
    assert [gpu.mig_mode for gpu in machine.gpus] == [None, "disabled"]
    assert (machine.gpu_state, machine.host.system, machine.host.is_wsl) == (GpuState.USABLE, "linux", None)
    assert machine.reading("driver.driver_version").source == "nvidia-smi"
    assert machine.assumptions == (
        "NVIDIA RTX PRO 6000 Blac... has compute capability 12.0, as every name of the matrix with this beginning.",
    )


def test_an_old_table_of_wsl_with_mig_devices(pasted):
    machine = pasted(OLD_TABLE)
    (gpu,) = machine.gpus
    assert (gpu.name, gpu.mig_mode, gpu.memory_bytes) == ("NVIDIA A100-SXM...", "enabled", None)
    assert gpu.compute_capability == ComputeCapability(8, 0)
    assert machine.reading("gpu.0.mig_devices").value == 2
    assert (machine.host.system, machine.host.is_wsl) == ("linux", True)
    assert machine.assumptions[0] == (
        "The table shows a Linux nvidia-smi 525.60.02 on driver 526.98: this is WSL on Windows."
    )


@pytest.mark.parametrize(
    "header",
    [
        "| NVIDIA-SMI 610.57.04              KMD Version: 610.57.04     CUDA UMD Version: 13.3     |",
        "| NVIDIA-SMI 610.57.04      Driver Version: 610.57.04 [Deprecated]  CUDA Version: 13.3  |",
    ],
)
def test_the_header_of_r610(header, pasted):
    machine = pasted(TABLE.replace(TABLE.splitlines()[2], header))
    assert machine.driver.driver_version == DriverVersion("610.57.04")
    assert machine.driver.driver_cuda_version == CudaVersion(13, 3)


@pytest.mark.parametrize(
    ("header", "driver", "cuda"),
    [
        ("| NVIDIA-SMI 390.116                Driver Version: 390.116                   |", "390.116", None),
        ("| NVIDIA-SMI 540.3.0     Driver Version: N/A      CUDA Version: 12.2     |", None, CudaVersion(12, 2)),
        ("| NVIDIA-SMI 470.256.02   Driver Version: 470.256.02   CUDA Version: N/A  |", "470.256.02", None),
    ],
)
def test_headers_with_parts_missing(header, driver, cuda, pasted):
    found = pasted(TABLE.replace(TABLE.splitlines()[2], header)).driver
    assert found.driver_version == (DriverVersion(driver) if driver else None)
    assert found.driver_cuda_version == cuda


def test_a_header_that_names_nothing_is_said(pasted):
    header = "| NVIDIA-SMI 540.3.0     Driver Version: N/A      CUDA Version: N/A     |"
    line = "The paste names no driver version: the header of the table has no number for it."
    assert line in pasted(TABLE.replace(TABLE.splitlines()[2], header)).assumptions


@pytest.mark.parametrize(("column", "mode"), [("Driver-Model", "WDDM"), ("    TCC/WDDM", " TCC")])
def test_a_table_of_windows(column, mode, pasted):
    machine = pasted(TABLE.replace("Persistence-M", column).replace("On  |   0", f"{mode} |   0"))
    assert (machine.host.system, machine.host.is_wsl) == ("windows", False)
    assert machine.gpus[0].name == "NVIDIA L40S"


@pytest.mark.parametrize("releases", [("595.80", "595.80"), ("535.161.07", "535.154.05"), ("551.61", "551.86")])
def test_a_number_alone_is_no_proof_of_wsl(releases, pasted):
    header = f"| NVIDIA-SMI {releases[0]}    Driver Version: {releases[1]}    CUDA Version: 12.4 |"
    assert pasted(TABLE.replace(TABLE.splitlines()[2], header)).host.is_wsl is None


def test_a_name_that_says_too_little_has_no_capability(pasted):
    machine = pasted(TABLE.replace("NVIDIA L40S      ", "NVIDIA GeForce ..."))
    assert machine.gpus[0].compute_capability is None
    assert (
        "The paste names no compute capability for GPU 0: its name, 'NVIDIA GeForce ...', is cut off."
        in machine.assumptions
    )


def test_rows_alone_without_header(pasted):
    machine = pasted("\n".join(TABLE.splitlines()[8:11]))
    assert [gpu.name for gpu in machine.gpus] == ["NVIDIA L40S"]
    assert machine.assumptions == (
        "The paste names no driver version: the header of the table was not copied.",
        "No line closes the table below GPU 0: GPUs further down may be missing.",
    )


def test_a_header_alone_never_becomes_a_machine_without_gpu(pasted):
    machine = pasted("\n".join(TABLE.splitlines()[:8]))
    assert (machine.gpu_state, len(machine.gpus)) == (GpuState.USABLE, 1)
    assert machine.assumptions == (
        "No GPU can be read from the table: one GPU of unknown kind is taken to be there.",
        "The paste names no model and no compute capability for GPU 0.",
    )


def test_a_row_of_errors_is_a_lost_gpu(pasted):
    machine = pasted(TABLE.replace("NVIDIA L40S ", "ERR!        "))
    assert [gpu.in_nvml for gpu in machine.gpus] == [False, True]
    assert machine.reading("gpu.0.usable").failure == "the table shows an error in place of its name"


def test_a_gpu_that_could_not_be_opened_stands_beside_the_table(pasted):
    machine = pasted("Unable to determine the device handle for GPU2: 0000:C1:00.0: Unknown Error\n" + TABLE)
    assert [(gpu.index, gpu.pci_bus_id, gpu.in_nvml) for gpu in machine.gpus] == [
        (0, "0000:01:00.0", True),
        (1, "0000:81:00.0", True),
        (2, "0000:c1:00.0", False),
    ]
    assert machine.gpu_state is GpuState.USABLE


def test_of_several_tables_the_first_is_read(pasted):
    machine = pasted(TABLE + OLD_TABLE)
    assert [gpu.name for gpu in machine.gpus] == ["NVIDIA L40S", "NVIDIA RTX PRO 6000 Blac..."]
    line = "The paste holds 2 tables that differ (they start at lines 3, 26): the one at line 3 is read."
    assert line in machine.assumptions


def test_a_table_whose_bars_were_lost(pasted):
    assert [gpu.name for gpu in pasted(TABLE.replace("|", "\t")).gpus] == ["NVIDIA L40S", "NVIDIA RTX PRO 6000 Blac..."]


def test_box_drawing_bars(pasted):
    assert pasted(TABLE.replace("|", "│")).gpus == pasted(TABLE).gpus


def test_a_row_of_a_board_without_bus_id(pasted):
    row = "|   0  Orin (nvgpu)                  N/A  | N/A              N/A |                  N/A |"
    machine = pasted("\n".join([*TABLE.splitlines()[:8], row]))
    assert [(gpu.name, gpu.pci_bus_id) for gpu in machine.gpus] == [("Orin (nvgpu)", None)]


SPLIT_TABLE = """\
| NVIDIA-SMI 590.48.01              Driver Version: 590.48.01      CUDA Version: 13.1     |
|   0  NVIDIA H100 80GB HBM3          On  |   00000000:00:09.0 Off |                   On |
| N/A   42C    P0             98W /  700W |      59MiB /  81559MiB |     N/A      Default |
|                                         |                        |              Enabled |
+-----------------------------------------------------------------------------------------+
| MIG devices:                                                                            |
"""


@pytest.mark.parametrize(
    ("lines", "instances"),
    [
        ("|  0    2   0   0  |    26MiB / 40448MiB    | 60      0 |  3   0    3    0    3 |\n", 1),
        ("|  No MIG devices found                                                       |\n", 0),
        ("", None),
    ],
)
def test_mig_devices_are_counted_and_their_absence_is_told(pasted, lines, instances):
    (gpu,) = pasted(SPLIT_TABLE + lines).gpus
    assert (gpu.mig_mode, gpu.mig_instances) == ("enabled", instances)
