"""Which checks the words of the command line choose."""

import pytest

from provision.documents.check import CatalogueRow
from provision.errors import UsageError
from provision.selection import LEVELS, Selection, patterns_of, select

CHECKS = tuple(
    CatalogueRow(id_, level, id_.split(".")[0], "")
    for id_, level in (
        ("pci.gpu_present", "instant"),
        ("driver.uvm", "instant"),
        ("driver.nvml_init", "quick"),
        ("gpu.ecc_mode", "quick"),
        ("gpu.ecc_errors", "quick"),
        ("gpu.bandwidth", "deep"),
    )
)


def chosen(level="quick", only=(), skip=()):
    return [check.id for check in select(CHECKS, Selection(level, tuple(only), tuple(skip)))]


def test_levels_are_ordered_by_what_they_cost():
    assert LEVELS == ("instant", "quick", "standard", "deep")
    assert chosen("instant") == ["pci.gpu_present", "driver.uvm"]
    assert len(chosen("quick")) == len(chosen("standard")) == 5
    assert len(chosen("deep")) == 6


@pytest.mark.parametrize(
    ("only", "skip", "found"),
    [
        (["driver"], [], ["driver.uvm", "driver.nvml_init"]),
        (["gpu.*"], [], ["gpu.ecc_mode", "gpu.ecc_errors"]),
        (["gpu.ecc_?*"], ["gpu.ecc_mode"], ["gpu.ecc_errors"]),
        (["gpu.bandwidth"], [], ["gpu.bandwidth"]),
        (["pci", "driver.uvm"], [], ["pci.gpu_present", "driver.uvm"]),
        ([], ["driver", "gpu"], ["pci.gpu_present"]),
    ],
)
def test_ids_components_and_patterns(only, skip, found):
    assert chosen(only=only, skip=skip) == found


def test_options_repeat_and_hold_commas():
    assert patterns_of(("gpu, driver.uvm", "", "pci,gpu")) == ("gpu", "driver.uvm", "pci")


@pytest.mark.parametrize(("only", "skip", "option"), [(["gpu.ecc_mod"], [], "--only"), ([], ["gpu.ecc_mod"], "--skip")])
def test_an_unknown_word_is_told_with_near_ones(only, skip, option):
    with pytest.raises(UsageError) as caught:
        chosen(only=only, skip=skip)
    assert caught.value.happened.startswith(f"{option}: found 'gpu.ecc_mod', expected the id of a check")
    assert "near it: gpu.ecc_mode" in caught.value.happened
    assert caught.value.do == (f"{option} gpu.ecc_mode", "gpusetup check --list")


def test_a_pattern_that_means_nothing_is_an_error_too():
    with pytest.raises(UsageError):
        chosen(only=["nvlink.*"])


@pytest.mark.parametrize(
    ("level", "only", "skip", "do"),
    [
        ("instant", ["gpu"], [], ("--level quick",)),
        ("quick", ["driver"], ["driver.*"], ("gpusetup check --list",)),
    ],
)
def test_nothing_left_is_an_error_with_its_cure(level, only, skip, do):
    with pytest.raises(UsageError) as caught:
        chosen(level, only, skip)
    assert caught.value.do == do
