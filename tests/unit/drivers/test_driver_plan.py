"""Branch, kernel module flavour, source and steps of a driver."""

import pytest
from driver_boxes import box, plan

from provision.errors import NoBuildError, NoUsableGpuError
from provision.records import Gpu, Host, Machine
from provision.report.driver import render_driver_plan
from provision.report.style import Style


def test_pascal_gets_its_last_branch_with_the_proprietary_module():
    made = plan(box("Tesla P100-PCIE-16GB"))
    assert (made.branch, made.kernel_module) == (580, "proprietary")


def test_blackwell_gets_the_open_module():
    made = plan(box("NVIDIA GeForce RTX 5090"))
    assert made.kernel_module == "open"
    assert made.branch >= 570


def test_a_mixed_box_gets_a_branch_that_serves_all():
    made = plan(box("NVIDIA GeForce RTX 3090", "Tesla P40"))
    assert made.branch == 580
    assert made.architectures == ("Ampere", "Pascal")


def test_pascal_and_blackwell_have_no_common_module_and_a_human_must_choose():
    with pytest.raises(NoBuildError) as caught:
        plan(box("Tesla P40", "NVIDIA GeForce RTX 5090"))
    assert caught.value.code == "no-common-driver-branch"


def test_a_gpu_by_its_pci_id_alone():
    made = plan(Machine(host=Host(os="debian", os_version="12"), gpus=(Gpu(0, pci_device_id="10de:2330"),)))
    assert made.architectures == ("Hopper",)


def test_other_distributions_are_said_not_to_be_covered():
    with pytest.raises(NoBuildError) as caught:
        plan(box("Tesla T4", os="gentoo", version="2.17"))
    assert caught.value.code == "distribution-not-covered"
    assert "ubuntu 24.04" in caught.value.evidence[0].needs


def test_no_gpu_needs_no_driver():
    with pytest.raises(NoUsableGpuError):
        plan(Machine())


def test_the_text_says_that_nothing_was_run():
    text = render_driver_plan(plan(box("Tesla T4")), Style())
    assert text.splitlines()[-1].endswith("none of them has been run")
