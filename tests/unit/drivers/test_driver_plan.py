"""Branch, kernel module flavour and steps of a driver."""

import pytest

from provision.drivers import plan_driver
from provision.errors import NoBuildError, NoUsableGpuError
from provision.records import Gpu, GpuState, Host, Machine
from provision.report.driver import render_driver_plan
from provision.report.style import Style
from tests.bench.matrix import shipped

MATRIX = shipped()
TODAY = "2026-11-23"


def box(*names, os="ubuntu"):
    gpus = tuple(Gpu(i, name=name) for i, name in enumerate(names))
    return Machine(host=Host(system="linux", os=os, os_version="24.04"), gpus=gpus, gpu_state=GpuState.UNUSABLE)


def test_pascal_gets_its_last_branch_with_the_proprietary_module():
    plan = plan_driver(box("Tesla P100-PCIE-16GB"), MATRIX, today=TODAY)
    assert (plan.branch, plan.kernel_module) == (580, "proprietary")


def test_blackwell_gets_the_open_module():
    plan = plan_driver(box("NVIDIA GeForce RTX 5090"), MATRIX, today=TODAY)
    assert plan.kernel_module == "open"
    assert plan.branch >= 570


def test_a_mixed_box_gets_a_branch_that_serves_all():
    plan = plan_driver(box("NVIDIA GeForce RTX 3090", "Tesla P40"), MATRIX, today=TODAY)
    assert plan.branch == 580
    assert plan.architectures == ("Ampere", "Pascal")


def test_pascal_and_blackwell_have_no_common_module_and_a_human_must_choose():
    with pytest.raises(NoBuildError) as caught:
        plan_driver(box("Tesla P40", "NVIDIA GeForce RTX 5090"), MATRIX, today=TODAY)
    assert caught.value.code == "no-common-driver-branch"


def test_a_gpu_by_its_pci_id_alone():
    machine = Machine(host=Host(os="debian"), gpus=(Gpu(0, pci_device_id="10de:2330"),))
    assert plan_driver(machine, MATRIX, today=TODAY).architectures == ("Hopper",)


def test_ubuntu_steps_name_the_package_and_its_undo():
    plan = plan_driver(box("Tesla T4"), MATRIX, today=TODAY)
    commands = [step.command for step in plan.steps]
    assert f"apt-get install -y nvidia-driver-{plan.branch}-server-open" in commands
    assert commands[-1] == "reboot"
    assert any(step.undo and "unhold" in step.undo for step in plan.steps)


def test_other_distributions_are_said_not_to_be_covered():
    with pytest.raises(NoBuildError) as caught:
        plan_driver(box("Tesla T4", os="gentoo"), MATRIX, today=TODAY)
    assert caught.value.code == "distribution-not-covered"


def test_no_gpu_needs_no_driver():
    with pytest.raises(NoUsableGpuError):
        plan_driver(Machine(), MATRIX, today=TODAY)


def test_the_text_says_that_nothing_was_run():
    text = render_driver_plan(plan_driver(box("Tesla T4"), MATRIX, today=TODAY), Style())
    assert text.splitlines()[-1].endswith("none of them has been run")
