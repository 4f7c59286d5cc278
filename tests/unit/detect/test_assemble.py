from __future__ import annotations

from provision.detect.assemble import Parts, assemble, join_gpus
from provision.detect.driver_files import DeviceNode, DriverFiles
from provision.detect.loader import Library
from provision.detect.nvml import NvmlDevice, NvmlFacts
from provision.detect.pci import PciBus, PciDevice
from provision.records import GpuState, Host, OtherGpu
from provision.versions import DriverVersion

A = PciDevice("0000:07:00.0", "10de", "20b2", 0x0302, "nvidia")
B = PciDevice("0000:0a:00.0", "10de", "20b2", 0x0302, "nvidia")
NVML_A = NvmlDevice(0, uuid="GPU-a", bus_id="0000:07:00.0", device_id="10de:20b2")
NVML_B = NvmlDevice(1, uuid="GPU-b", bus_id="0000:0a:00.0", device_id="10de:20b2")
SILENT = NvmlFacts("not-asked")
INJECTED = Library("/x/libnvidia-ml.so.1", "LD_LIBRARY_PATH")
INSTALLED = Library("/usr/lib/libnvidia-ml.so.1", "/etc/ld.so.cache", DriverVersion("550.90.07"))


def machine(*, pci=(), others=(), nvml=SILENT, smi=None, files=None, container=None, readable=True):
    bus = PciBus(tuple(pci), tuple(others), is_readable=readable)
    return assemble(Parts(Host(container=container), None, (), bus, files or DriverFiles(), nvml, smi))


def answered(*devices):
    return NvmlFacts("answered", devices=devices)


def test_nothing_is_none():
    assert machine().gpu_state is GpuState.NONE


def test_another_makers_gpu_is_named_and_none():
    found = machine(others=(OtherGpu("AMD", "0000:03:00.0", "1002:74a1"),))
    assert found.gpu_state is GpuState.NONE
    assert found.other_gpus[0].vendor == "AMD"


def test_nvml_and_bus_are_joined_by_bus_id():
    found = machine(pci=(A, B), nvml=answered(NVML_A, NVML_B))
    assert found.gpu_state is GpuState.USABLE
    assert [(gpu.index, gpu.gpu_uuid, gpu.kernel_driver, gpu.in_nvml) for gpu in found.gpus] == [
        (0, "GPU-a", "nvidia", True),
        (1, "GPU-b", "nvidia", True),
    ]


def test_card_without_driver_is_unusable():
    found = machine(pci=(A,), nvml=NvmlFacts("library-not-found"))
    assert found.gpu_state is GpuState.UNUSABLE
    assert (found.gpus[0].pci_device_id, found.gpus[0].in_nvml) == ("10de:20b2", None)


def test_gpu_that_nvml_does_not_list_is_kept():
    found = machine(pci=(A, B), nvml=answered(NVML_A))
    assert found.gpu_state is GpuState.USABLE
    assert [gpu.in_nvml for gpu in found.gpus] == [True, False]


def test_lost_gpu_without_bus_id_takes_the_place_on_the_bus_that_nobody_claims():
    gpus = join_gpus((A, B), answered(NVML_A, NvmlDevice(1, failure="GPU is lost")))
    assert [(gpu.index, gpu.pci_bus_id, gpu.in_nvml) for gpu in gpus] == [
        (0, "0000:07:00.0", True),
        (1, "0000:0a:00.0", False),
    ]


def test_every_gpu_lost_is_unusable():
    found = machine(nvml=answered(NvmlDevice(0, failure="GPU is lost")))
    assert found.gpu_state is GpuState.UNUSABLE


def test_container_with_one_gpu_of_two_has_one():
    files = DriverFiles(nodes=(DeviceNode("/dev/nvidia0"), DeviceNode("/dev/nvidiactl")))
    found = machine(pci=(A, B), nvml=answered(NVML_A), files=files, container="docker")
    assert [gpu.gpu_uuid for gpu in found.gpus] == ["GPU-a"]
    assert [one.value for one in found.readings if one.name == "pci.not_granted"] == ["0000:0a:00.0"]


def test_container_that_was_given_a_gpu_which_fell_off_keeps_it():
    files = DriverFiles(
        nodes=(DeviceNode("/dev/nvidia0"), DeviceNode("/dev/nvidia1")), minors=((A.bus_id, 0), (B.bus_id, 1))
    )
    found = machine(pci=(A, B), nvml=answered(NVML_A), files=files, container="docker")
    assert [gpu.in_nvml for gpu in found.gpus] == [True, False]


def test_container_without_any_gpu_keeps_the_hosts_as_unusable():
    found = machine(pci=(A,), nvml=NvmlFacts("library-not-found"), container="docker")
    assert found.gpu_state is GpuState.UNUSABLE


def test_device_node_alone_shows_that_a_gpu_is_there():
    found = machine(files=DriverFiles(nodes=(DeviceNode("/dev/nvidia0"),)), nvml=NvmlFacts("library-not-found"))
    assert found.gpu_state is GpuState.UNUSABLE
    assert [one.value for one in found.readings if one.name == "gpu.sign"] == ["/dev/nvidia0 exists"]


def test_left_over_libraries_on_a_machine_without_a_gpu_are_no_gpu():
    found = machine(files=DriverFiles(nvml_library=INSTALLED), nvml=NvmlFacts("driver-not-loaded"))
    assert found.gpu_state is GpuState.NONE


def test_library_given_to_the_process_is_a_sign():
    for library, readable in ((INJECTED, True), (INSTALLED, False)):
        files = DriverFiles(nvml_library=library)
        for outcome in ("driver-not-loaded", "no-module"):
            found = machine(files=files, nvml=NvmlFacts(outcome), readable=readable)
            assert found.gpu_state is GpuState.UNUSABLE


def test_driver_that_answers_with_no_device_is_none():
    assert machine(files=DriverFiles(nvml_library=INJECTED), nvml=answered()).gpu_state is GpuState.NONE


def test_mismatch_is_unusable_even_where_the_bus_is_hidden():
    found = machine(files=DriverFiles(nvml_library=INSTALLED), nvml=NvmlFacts("version-mismatch"))
    assert found.gpu_state is GpuState.UNUSABLE


def test_windows_driver_under_wsl_is_a_sign():
    files = DriverFiles(nvml_library=INSTALLED, has_wsl_library=True)
    assert machine(files=files, nvml=NvmlFacts("driver-not-loaded")).gpu_state is GpuState.UNUSABLE


def test_nvidia_smi_stands_in_for_nvml():
    smi = NvmlFacts("answered", DriverVersion("535.54.03"), devices=(NVML_A,))
    found = machine(nvml=NvmlFacts("no-module"), smi=smi)
    assert found.gpu_state is GpuState.USABLE
    assert found.driver.driver_version == DriverVersion("535.54.03")


def test_module_release_stands_in_for_a_silent_nvml():
    files = DriverFiles(module_version=DriverVersion("550.90.07"), flavour="open", nvml_library=INSTALLED)
    found = machine(pci=(A,), files=files, nvml=NvmlFacts("version-mismatch"))
    assert found.driver.driver_version == DriverVersion("550.90.07")
    assert found.driver.kernel_module == "open"
    assert found.driver.user_library_version == DriverVersion("550.90.07")
