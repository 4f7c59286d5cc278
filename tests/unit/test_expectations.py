"""Files of expectations: made from good machines, held against others, refused where they make no sense."""

from __future__ import annotations

import shutil

import pytest

from provision.errors import InputError, UsageError
from provision.expectations import (
    FACTS,
    ExpectationData,
    ExpectedFact,
    expectation_of,
    judge_expectation,
    require_sound,
)
from provision.explain import page
from tests.boxes.healthy import h100x8, l40s, t4

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)


def expected(*machines):
    return expectation_of([box.facts() for box in machines], today="2026-11-23")


def told(data, box):
    return {one.id: one for one in judge_expectation(data, box.facts(), origin="team.json")}


@pytest.mark.parametrize("make", [t4, l40s, h100x8])
def test_a_good_machine_is_as_it_was_written_down(make):
    data = expected(make())
    assert {one.status for one in told(data, make()).values()} == {"pass"}
    names = {row.name for row in data.facts}
    assert names >= {"gpu.count", "driver.driver_version", "gpu.pcie_link_width_max", "host.cpus", "host.memory_bytes"}
    assert names >= {"env.torch", "env.python"}
    require_sound(data, origin="team.json")


def test_two_good_machines_give_what_both_reach():
    rows = {row.name: row for row in expected(t4("535.183.01"), l40s()).facts}
    assert rows["gpu.count"] == ExpectedFact("gpu.count", "one-of", (1, 2))
    assert rows["driver.driver_version"].value == "535.183.01"
    assert rows["driver.driver_version"].must_be == "at-least"


def test_fewer_links_an_older_driver_and_another_board_are_named():
    data = expected(l40s())
    sick = l40s().nvml(**{"1.pcie_width_max": 8})
    found = told(data, sick)["expect.links"]
    assert found.status == "fail"
    assert "gpu.pcie_link_width_max is 16, 8, expected at least 16 lanes" in found.happened
    other = told(data, t4("535.183.01"))
    assert {one for one, result in other.items() if result.status == "fail"} >= {"expect.gpus", "expect.driver"}
    assert "driver.driver_version is 535.183.01, expected at least 580.82.07" in other["expect.driver"].happened


def test_what_was_not_read_is_unknown():
    data = expected(l40s())
    blind = l40s().nvml(**{"*.err.nvmlDeviceGetMaxPcieLinkWidth": 3})
    assert told(data, blind)["expect.links"].status == "unknown"


def test_a_version_is_compared_as_one():
    data = ExpectationData(1, "2026-11-23", (ExpectedFact("driver.driver_version", "at-least", "99.1"),))
    assert told(data, t4("535.183.01"))["expect.driver"].status == "pass"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ExpectedFact("gpu.cuont", "equal", 8), "data.facts[0].name: found 'gpu.cuont', did you mean gpu.count"),
        (ExpectedFact("gpu.count", "one-of", 8), "data.facts[0].value: found 8, expected a list for 'one-of'"),
        (ExpectedFact("gpu.count", "at-least", "many"), "data.facts[0].value: found 'many', expected a number"),
        (ExpectedFact("driver.driver_version", "at-least", "newest"), "expected a version such as 580.82.07"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_place(row, said):
    with pytest.raises(InputError) as err:
        require_sound(ExpectationData(1, "2026-11-23", (row,)), origin="team.json")
    assert said in err.value.happened


def test_no_machine_is_refused():
    with pytest.raises(UsageError):
        expectation_of([], today="2026-11-23")


def test_every_result_has_a_page_that_names_its_facts():
    for fact in FACTS:
        assert fact.name in (page(fact.check) or "")


def test_facts_have_one_line_each():
    names = [fact.name for fact in FACTS]
    assert sorted(set(names)) == sorted(names)
