"""A GPU that is there and unusable never becomes a CPU plan."""

import pytest

from provision.errors import ExitCode, NoUsableGpuError
from provision.gate import require_gpus, require_plannable, usable_gpus
from provision.records import Finding, Gpu, GpuState, Machine, OtherGpu, Request

NONE = Machine()
BROKEN = Machine(gpus=(Gpu(0),), gpu_state=GpuState.UNUSABLE)
TWO = Machine(gpus=(Gpu(0, in_nvml=True), Gpu(1, in_nvml=True)), gpu_state=GpuState.USABLE)
ONE_LOST = Machine(gpus=(Gpu(0, in_nvml=True), Gpu(1, in_nvml=False)), gpu_state=GpuState.USABLE)
CAUSE = Finding("driver.kmd_umd_match", "fail", "Library and module differ.", safe=("reload the module",))


def test_an_unusable_gpu_stops_the_plan_with_its_cause():
    with pytest.raises(NoUsableGpuError) as caught:
        require_plannable(BROKEN, Request(), (CAUSE,))
    assert caught.value.exit_code is ExitCode.NO_GPU
    assert caught.value.code == "driver.kmd_umd_match"
    assert caught.value.do[0] == "reload the module"


def test_cpu_on_purpose_passes_an_unusable_gpu():
    require_plannable(BROKEN, Request(cpu=True), (CAUSE,))


def test_a_box_without_gpu_gets_its_plan():
    require_plannable(NONE, Request(), ())


@pytest.mark.parametrize(("machine", "count"), [(NONE, 0), (BROKEN, 0), (TWO, 2), (ONE_LOST, 1)])
def test_usable_gpus_are_those_that_nvml_answers_for(machine, count):
    assert usable_gpus(machine) == count


def test_require_gpu_counts_usable_ones():
    require_gpus(TWO, Request(require_gpu=2), ())
    with pytest.raises(NoUsableGpuError, match="1 usable GPU here, 2 asked for"):
        require_gpus(ONE_LOST, Request(require_gpu=2), ())


def test_require_gpu_is_not_met_by_asking_for_the_cpu():
    with pytest.raises(NoUsableGpuError):
        require_plannable(NONE, Request(cpu=True, require_gpu=1), ())


def test_another_vendor_is_named():
    machine = Machine(other_gpus=(OtherGpu("AMD", "0000:03:00.0", "1002:744c"),))
    with pytest.raises(NoUsableGpuError) as caught:
        require_gpus(machine, Request(require_gpu=1), ())
    assert caught.value.evidence[1].value == "AMD 1002:744c"
