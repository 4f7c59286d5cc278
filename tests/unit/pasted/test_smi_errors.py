import pytest

from provision.checks import lead, run_checks
from provision.errors import NoUsableGpuError
from provision.gate import require_plannable
from provision.records import GpuState, Request

COMMUNICATE = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running."
)
LIBRARY = "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system."


@pytest.mark.parametrize(
    ("text", "outcome", "cause"),
    [
        (COMMUNICATE, "driver-not-loaded", "driver.module_loaded"),
        (COMMUNICATE.replace("'", "\u2019"), "driver-not-loaded", "driver.module_loaded"),
        ("Failed to initialize NVML: Driver/library version mismatch", "version-mismatch", "driver.kmd_umd_match"),
        ("Failed to initialize NVML: Insufficient Permissions", "no-permission", "driver.nvml_init"),
        ("Failed to initialize NVML: Unknown Error", "failed", "driver.nvml_init"),
        ("Failed to initialize NVML: GPU access blocked by the operating system", "no-permission", "driver.nvml_init"),
        (LIBRARY, "library-not-found", "driver.nvml_init"),
        ("No devices were found", "answered", "pci.count_vs_nvml"),
    ],
)
def test_errors_are_a_gpu_that_cannot_be_used(text, outcome, cause, pasted):
    machine = pasted(f"$ nvidia-smi\n{text}\n\n")
    assert machine.gpu_state is GpuState.UNUSABLE
    assert machine.reading("nvml.outcome").value == outcome
    assert machine.reading("nvml.init").failure == text
    assert machine.assumptions == ()
    assert lead(run_checks(machine))[0] == cause


def test_windows_that_keeps_its_gpu_is_not_cured_by_a_restart_of_linux(pasted):
    results = {
        one.id: one
        for one in run_checks(pasted("Failed to initialize NVML: GPU access blocked by the operating system"))
    }
    found = results["driver.nvml_init"]
    assert any("wsl --shutdown" in step for step in found.safe)
    assert not [step for step in (*found.safe, *found.risky) if "sudo" in step]


def test_an_unknown_error_may_be_that_of_a_container(pasted):
    results = {one.id: one for one in run_checks(pasted("Failed to initialize NVML: Unknown Error"))}
    assert "container" in results["driver.nvml_init"].safe[0]


def test_the_release_of_the_library_is_read(pasted):
    text = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.173\n"
    assert str(pasted(text).driver.user_library_version) == "580.173"


@pytest.mark.parametrize(
    ("text", "index", "bus_id"),
    [
        ("Unable to determine the device handle for GPU0000:3D:00.0: Unknown Error", 0, "0000:3d:00.0"),
        ("Unable to determine the device handle for GPU1: 0000:34:00.0: Unknown Error", 1, "0000:34:00.0"),
        ("Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot", 0, "0000:02:00.0"),
        ("Unable to determine the device handle for GPU3: Unknown Error", 3, None),
    ],
)
def test_a_gpu_that_could_not_be_opened(text, index, bus_id, pasted):
    machine = pasted(text + "\nNo devices were found\n")
    (gpu,) = machine.gpus
    assert (gpu.index, gpu.pci_bus_id, gpu.in_nvml) == (index, bus_id, False)
    assert machine.gpu_state is GpuState.UNUSABLE


def test_what_nvidia_smi_said_is_the_evidence_where_no_check_names_it(pasted):
    with pytest.raises(NoUsableGpuError) as caught:
        require_plannable(pasted("No devices were found"), Request(), ())
    assert [(one.name, one.value) for one in caught.value.evidence] == [("nvml.init", "No devices were found")]
