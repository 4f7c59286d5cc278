import pytest
from paste_texts import LIST

from provision.records import Driver, GpuState


def test_a_list_of_two_gpus(pasted):
    machine = pasted(LIST)
    assert [(gpu.index, gpu.name, gpu.gpu_uuid, gpu.mig_mode) for gpu in machine.gpus] == [
        (0, "NVIDIA H200", "GPU-11111111-2222-3333-4444-555555555555", "enabled"),
        (1, "NVIDIA H200", None, None),
    ]
    assert (machine.gpu_state, machine.driver) == (GpuState.USABLE, Driver())
    assert machine.assumptions == ("The paste names no driver version.",)


@pytest.mark.parametrize(
    ("text", "name", "capability"),
    [
        ("GPU 0: NVIDIA A10", "NVIDIA A10...", None),  # or an A100
        ("GPU 0: NVIDIA L40", "NVIDIA L40...", "8.9"),  # an L40S has the same
        ("GPU 0: NVIDIA A10 (UU", "NVIDIA A10", None),
        ("GPU 0: NVIDIA A10\n", "NVIDIA A10", None),
    ],
)
def test_a_name_at_the_very_end_may_be_cut(text, name, capability, pasted):
    (gpu,) = pasted(text).gpus
    assert gpu.name == name
    assert (str(gpu.compute_capability) if gpu.compute_capability else None) == capability


def test_a_gpu_that_could_not_be_opened(pasted):
    machine = pasted(
        LIST + "Unable to determine the device handle for gpu 0000:41:00.0: GPU is lost.  Reboot the system\n"
    )
    assert [(gpu.index, gpu.pci_bus_id, gpu.in_nvml) for gpu in machine.gpus][2:] == [(2, "0000:41:00.0", False)]
