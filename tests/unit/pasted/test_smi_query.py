import pytest
from paste_texts import QUERY

from provision.records import GpuState
from provision.versions import CudaVersion, DriverVersion


def test_a_query_of_two_gpus(pasted):
    machine = pasted(QUERY)
    assert machine.driver.driver_version == DriverVersion("570.133.20")
    assert machine.driver.driver_cuda_version == CudaVersion(12, 8)
    first, second = machine.gpus
    assert (first.name, first.gpu_uuid) == ("NVIDIA H100 80GB HBM3", "GPU-11111111-2222-3333-4444-555555555555")
    assert (first.pci_bus_id, first.pci_device_id) == ("0000:17:00.0", "10de:2330")
    assert (second.pci_bus_id, second.mig_mode, second.memory_bytes) == ("0000:65:00.0", "disabled", 81559 << 20)
    assert (machine.gpu_state, machine.assumptions) == (GpuState.USABLE, ())


def test_the_memory_of_a_mig_device_is_not_that_of_the_gpu(pasted):
    machine = pasted(QUERY)
    assert (machine.gpus[0].memory_bytes, machine.gpus[0].mig_mode) == (81559 << 20, "enabled")
    assert machine.reading("gpu.0.mig_devices").value == 1


def test_the_words_of_r610(pasted):
    note = "[Deprecated; will be removed in CUDA 14.0. Use KMD Version instead]"
    text = QUERY.replace(": 570.133.20\n", f": 610.57.04 {note}\n").replace(": 12.8\n", f": 13.3 {note}\n")
    driver = pasted(text).driver
    assert (driver.driver_version, driver.driver_cuda_version) == (DriverVersion("610.57.04"), CudaVersion(13, 3))
    text = text.replace(": 610.57.04 [", ': Deprecated, see "KMD Version" instead [').replace(
        "\nAttached", "KMD Version   : 610.57.04\nCUDA UMD Version   : 13.3\n\nAttached"
    )
    assert pasted(text).driver == driver


def test_a_gpu_that_is_counted_and_not_shown(pasted):
    machine = pasted(QUERY[: QUERY.index("GPU 00000000:65")])
    assert machine.assumptions == ("The paste speaks of 2 GPUs and shows 1: the others are taken to be alike.",)


def test_a_head_alone_never_becomes_a_machine_without_gpu(pasted):
    machine = pasted(QUERY[: QUERY.index("GPU 00000000:17")])
    assert (machine.gpu_state, len(machine.gpus)) == (GpuState.USABLE, 1)


def test_no_attached_gpu_is_a_gpu_that_the_driver_does_not_list(pasted):
    machine = pasted(QUERY[: QUERY.index("Attached")] + "Attached GPUs : 0\n")
    assert (machine.gpu_state, machine.gpus) == (GpuState.UNUSABLE, ())
    assert machine.reading("nvml.init").failure == "nvidia-smi -q lists no GPU"


def test_a_section_without_its_heading(pasted):
    machine = pasted(QUERY[QUERY.index("    Product Name") : QUERY.index("GPU 00000000:65")])
    (gpu,) = machine.gpus
    assert (gpu.name, gpu.pci_bus_id, gpu.pci_device_id) == ("NVIDIA H100 80GB HBM3", "0000:17:00.0", "10de:2330")
    assert machine.assumptions == ("The paste names no driver version.",)


def test_a_part_of_the_query_names_no_model(pasted):
    """`nvidia-smi -q -d MEMORY`: the GPU works, its name is not part of the text."""
    machine = pasted(
        "==NVSMI LOG==\nDriver Version : 570.133.20\nGPU 00000000:17:00.0\nFB Memory Usage\nTotal : 81559 MiB\n"
    )
    assert (machine.gpu_state, machine.gpus[0].memory_bytes) == (GpuState.USABLE, 81559 << 20)
    assert machine.assumptions == ("The paste names no model and no compute capability for GPU 0.",)


def test_a_gpu_that_gives_errors_is_lost(pasted):
    text = QUERY.replace(": NVIDIA H100 80GB HBM3", ": GPU is lost", 1).replace(": GPU-1111", ": Unknown Error 1111")
    assert [gpu.in_nvml for gpu in pasted(text).gpus] == [False, True]


def test_a_gpu_that_comes_twice_is_one(pasted):
    assert pasted(QUERY + QUERY).gpus == pasted(QUERY).gpus


@pytest.mark.parametrize(("lines", "instances"), [("    MIG Devices : None\n", 0), ("", None)])
def test_a_gpu_that_is_split_into_nothing(pasted, lines, instances):
    text = "GPU 00000000:01:00.0\n    Product Name : NVIDIA A100-SXM4-40GB\n    MIG Mode\n        Current : Enabled\n"
    (gpu,) = pasted(text + lines).gpus
    assert (gpu.mig_mode, gpu.mig_instances) == ("enabled", instances)
