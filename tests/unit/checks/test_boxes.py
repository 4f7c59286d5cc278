"""Healthy machines are silent, and every sick one is named by the check that knows it."""

from __future__ import annotations

import shutil

import pytest

from provision.checks import PROBLEMS, all_checks, lead, run_checks
from tests.boxes import healthy, ordinary
from tests.boxes.cases import all_cases, seen
from tests.boxes.catalogue import CATALOGUE, OWN
from tests.boxes.pitfalls import PITFALLS
from tests.boxes.remedies import misplaced
from tests.boxes.uncovered import UNCOVERED

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

CASES = all_cases()


@pytest.mark.parametrize("make", healthy.BOXES, ids=lambda make: make.__name__)
def test_a_healthy_machine_is_silent(make):
    results = make().results("quick")
    assert {one.id: f"{one.status}: {one.happened}" for one in results.values() if one.status in PROBLEMS} == {}


@pytest.mark.parametrize("make", seen.WELL, ids=lambda make: make.__name__)
def test_a_machine_that_only_looks_odd_is_silent(make):
    results = make().results("quick")
    assert {one.id: f"{one.status}: {one.happened}" for one in results.values() if one.status in PROBLEMS} == {}


@pytest.mark.parametrize("make", ordinary.ORDINARY, ids=lambda make: make.__name__)
def test_an_ordinary_machine_is_silent(make):
    results = make().results("standard")
    assert {one.id: f"{one.status}: {one.happened}" for one in results.values() if one.status in PROBLEMS} == {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sick_machine_is_named(case):
    results = case.box().results(case.level)
    found = results[case.fires]
    assert (found.status, found.happened) == (case.status, found.happened)
    told = " ".join((found.happened, *(f"{one.name} {one.value} {one.needs}" for one in found.evidence)))
    assert [words for words in case.says if words not in told] == []
    if case.status == "fail":
        assert found.safe or found.risky
    assert misplaced(results.values()) == []
    cause, folded = lead(tuple(results.values()))
    others = {one.id: one.happened for one in results.values() if one.status in PROBLEMS}
    assert cause == (case.leads or case.fires), others
    steps = " ".join((*found.safe, *found.risky))
    assert [words for words in case.remedy if words not in steps] == []
    assert [words for words in case.never if words in f"{found.happened} {steps}"] == []
    if case.beside is not None:
        explained = {one for result in results.values() for one in result.leads}
        assert sorted(set(others) - {cause, *folded} - explained) == sorted(case.beside), others


def test_a_warning_is_no_reason_of_a_failure():
    """Two keys for one apt address, beside a mismatch: the sources file mismatches nothing."""
    case = next(case for case in seen.CASES if case.name == "seen: mismatch and conflicting keys")
    results = {result.id: result for result in run_checks(case.box().facts())}
    assert results["driver.package_mix"].status == "warn"
    assert results["driver.package_mix"].leads == ()


def test_names_of_cases_are_unique():
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_ids_are_those_of_the_catalogue():
    assert {check.id for check in all_checks()} <= CATALOGUE | OWN


def test_which_checks_count(capsys):
    """A check counts when a case makes it fire; that the healthy machines are silent is tested above."""
    fired = {case.fires for case in CASES}
    known = {check.id for check in all_checks()}
    assert fired <= known
    with capsys.disabled():
        print(f"\n{len(fired)} of {len(known)} checks fire in a case; of the catalogue's {len(CATALOGUE)}:")
        print("  count:", " ".join(sorted(fired & CATALOGUE)))
        print("  there, without a case:", " ".join(sorted(known - fired)))
        print("  not there:", " ".join(sorted(CATALOGUE - known)))


def test_every_known_failure_has_a_case_or_a_reason(capsys):
    covered = {pitfall for case in CASES for pitfall in case.pitfall}
    assert covered <= PITFALLS
    assert set(UNCOVERED) <= PITFALLS
    assert covered.isdisjoint(UNCOVERED)
    with capsys.disabled():
        print(
            f"\n{len(covered)} of {len(PITFALLS)} known failures have a case that names them, {len(UNCOVERED)} can't:"
        )
        for pitfall, why in sorted(UNCOVERED.items()):
            print(f"  {pitfall}: {why}")
    assert PITFALLS - covered - set(UNCOVERED) == set()
