"""What a fleet shares, who holds it back and what would help, over resolutions made by hand and by the resolver."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from resolve_boxes import applied, box

from provision.documents.fleet import RowError
from provision.errors import ExitCode
from provision.examined import Examined
from provision.fleet import Member, Remarks, exit_code_of, failures_of, survey
from provision.planning import Entry, plan_fleet
from provision.records import Build, MatrixIdentity, Rejection, Request, Resolution, Unlock
from provision.report.fleet import render_fleet
from provision.report.style import Style
from provision.resolve import resolve
from provision.versions import CudaVersion

VARIANTS = {"cu118": (11, 8), "cu126": (12, 6), "cu130": (13, 0), "cu132": (13, 2)}
TORCHES = ("2.7.1", "2.9.1", "2.10.0", "2.15.0")


def build(torch: str, variant: str, python: str = "3.12", platform: str = "manylinux_2_28_x86_64") -> Build:
    tag = f"cp{python.replace('.', '')}"
    cuda = CudaVersion(*VARIANTS[variant]) if variant in VARIANTS else None
    return Build(torch, variant, cuda, python, f"{tag}-{tag}-{platform}", (), f"https://index/{variant}")


def member(
    name: str, *builds: Build, no: tuple[Rejection, ...] = (), unlocks: tuple[Unlock, ...] = (), **more
) -> Member:
    return Member(name, f"{name}.json", resolution=Resolution(builds, no, unlocks), **more)


def surveyed(*members: Member):
    return survey(members, Request(), MatrixIdentity("1", "2026-11-23"), Remarks())


OLD_DRIVER = Rejection("2.15.0", "cu130", "driver-too-old", "535.104.05", "580.65.06 or newer")
LIFTED = Unlock("driver", "535.104.05", "580.65.06", "2.15.0", "cu130")
NEW = (build("2.15.0", "cu130"), build("2.9.1", "cu126"))
HELD = member("node07", build("2.9.1", "cu126"), no=(OLD_DRIVER,), unlocks=(LIFTED,))


def test_one_old_driver_holds_the_others_back():
    fleet = surveyed(*(member(f"node{n:02}", *NEW) for n in range(6)), HELD)
    assert (fleet.common.torch, fleet.common.variant, fleet.common.machines) == ("2.9.1", "cu126", 7)
    (held,) = fleet.held_back_by
    assert (held.torch, held.variant, held.machines) == ("2.15.0", "cu130", 6)
    (refusal,) = held.refusals
    assert (refusal.rule, refusal.found, refusal.machines) == ("driver-too-old", ("535.104.05",), ("node07",))
    (lift,) = fleet.lifts
    assert (lift.machines, lift.is_enough, lift.changes[0].to) == (1, True, "580.65.06")
    assert lift.changes[0].machines == ("node07",)
    assert exit_code_of(fleet) == ExitCode.OK
    assert failures_of(fleet) == ()


def test_the_text_of_a_small_fleet_has_a_line_per_machine():
    fleet = surveyed(member("node01", *NEW, driver="580.82.07"), HELD)
    assert render_fleet(fleet, Style(has_unicode=True)) == (
        "fleet    2 machines\n"
        "common   torch 2.9.1+cu126  CUDA 12.6  Python 3.12\n"
        "wheel    cp312-cp312-manylinux_2_28_x86_64\n"
        "newer    torch 2.15.0+cu130: 1 of 2 machines\n"
        "         1 machine (node07): driver-too-old: found 535.104.05, needs 580.65.06\n"
        "         or newer\n"
        "lift     change 1 machine and all share torch 2.15.0+cu130\n"
        "         1 machine (node07): driver 535.104.05 -> 580.65.06\n"
        "machine  node01  torch 2.15.0+cu130  Python 3.12  driver 580.82.07\n"
        "machine  node07  torch 2.9.1+cu126   Python 3.12\n"
        "✓        1 build runs on all 2 machines; no source asked"
    )


def test_the_text_of_a_large_fleet_is_grouped_and_fits_the_width():
    fleet = surveyed(*(member(f"node{n:05}", *NEW, driver="580.82.07") for n in range(10_000)), HELD)
    text = render_fleet(fleet, Style(has_unicode=True))
    names = "         node00000, node00001, node00002, ..."
    assert f"machines 10,000  torch 2.15.0+cu130  Python 3.12\n{names}\n" in text
    assert "machine  node07  torch 2.9.1+cu126  Python 3.12\n" in text
    assert len(text.splitlines()) < 20
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_common_build_the_largest_group_and_who_is_outside():
    boxes = [member(f"gpu{n}", *NEW) for n in range(3)]
    fleet = surveyed(*boxes, member("login", build("2.15.0", "cpu")))
    assert fleet.common is None
    assert fleet.common_torch == "2.15.0"
    assert (fleet.largest_group.torch, fleet.largest_group.variant) == ("2.15.0", "cu130")
    assert [(no.rule, no.machines) for no in fleet.outside] == [("cpu-plan", ("login",))]
    assert exit_code_of(fleet) == ExitCode.NO_BUILD
    assert [finding.id for finding in failures_of(fleet)] == ["no-common-build"]


def test_a_variant_that_is_native_everywhere_comes_before_a_higher_cuda():
    newer = member("a", build("2.9.1", "cu132"), build("2.9.1", "cu130"))
    older = member("b", build("2.9.1", "cu130"), build("2.9.1", "cu132"))  # cu132 by minor version compatibility
    fleet = surveyed(newer, older)
    assert fleet.common.variant == "cu130"
    assert [(no.rule, no.machines) for no in fleet.held_back_by[0].refusals] == [("native-cuda", ("b",))]


def test_one_python_for_all_is_taken_before_the_ones_that_are_liked():
    first = member("a", build("2.9.1", "cu126", "3.10"), build("2.9.1", "cu126", "3.12"))
    second = member("b", build("2.9.1", "cu126", "3.12", "manylinux_2_28_aarch64"))
    shared = surveyed(first, second).common
    assert shared.python == "3.12"
    assert {wheel.wheel_tag: wheel.machines for wheel in shared.wheels} == {
        "cp312-cp312-manylinux_2_28_x86_64": ("a",),
        "cp312-cp312-manylinux_2_28_aarch64": ("b",),
    }
    third = member("c", build("2.9.1", "cu126", "3.11"))
    assert surveyed(first, second, third).common.python is None


def test_a_python_that_does_not_matter_is_no_reason():
    tag = Rejection("2.15.0", "cu130", "python-tag-missing", "cp310", "one of cp312", python="3.10")
    box = member("b", build("2.9.1", "cu126", "3.10"), build("2.9.1", "cu126", "3.12"), no=(OLD_DRIVER, tag))
    fleet = surveyed(member("a", *NEW), box)
    assert [no.rule for no in fleet.held_back_by[0].refusals] == ["driver-too-old"]
    only = member("b", build("2.9.1", "cu126", "3.10"), no=(tag,))
    fleet = surveyed(member("a", *NEW), only)
    assert [no.rule for no in fleet.held_back_by[0].refusals] == ["python-tag-missing"]


def test_a_build_that_no_change_admits_is_said_to_be_so():
    fleet = surveyed(member("a", *NEW), member("b", build("2.9.1", "cu126"), no=(OLD_DRIVER,)))
    assert [(lift.is_enough, lift.changes[0].change) for lift in fleet.lifts] == [(False, None)]


def test_what_could_not_be_read_is_a_row_and_never_counts_as_a_machine():
    unread = Member("x.json", "x.json", error=RowError("bad-input", 7, "x.json: not JSON"))
    fleet = surveyed(member("a", *NEW), unread)
    assert fleet.common.machines == fleet.summary.machines == 1
    assert exit_code_of(fleet) == ExitCode.BAD_INPUT
    assert failures_of(fleet)[0].evidence[0].value == "x.json: not JSON"
    assert "that were read; 1 could not be read" in render_fleet(fleet, Style())


def test_a_machine_whose_gpu_is_unusable_shares_nothing():
    broken = Member("b", "b.json", error=RowError("gpu-unusable", 3, "A GPU is there and cannot be used."))
    fleet = surveyed(member("a", *NEW), broken)
    assert fleet.common is None
    assert [(no.rule, no.machines) for no in fleet.outside] == [("gpu-unusable", ("b",))]
    assert exit_code_of(fleet) == ExitCode.NO_GPU


def test_a_host_name_that_comes_again_gets_its_place():
    twice = [Member("localhost", f"f:{n}", resolution=Resolution(NEW, ())) for n in (1, 2)]
    assert [row.name for row in surveyed(*twice).machines] == ["localhost", "localhost (f:2)"]


def test_nothing_fits_anywhere():
    error = RowError("no-compatible-build", 4, "No build fits.")
    fleet = surveyed(member("a", no=(OLD_DRIVER,), unlocks=(LIFTED,), error=error))
    assert (fleet.common, fleet.largest_group, fleet.lifts) == (None, None, ())
    assert exit_code_of(fleet) == ExitCode.NO_BUILD


@st.composite
def resolutions(draw) -> Resolution:
    """Of a few builds some fit, in the order of preference of a machine; the others are refused, some with a cure."""
    builds = [(torch, variant) for torch in reversed(TORCHES) for variant in reversed(VARIANTS)]
    fits = draw(st.lists(st.sampled_from(builds), unique=True, max_size=8))
    pythons = draw(st.lists(st.sampled_from(["3.10", "3.11", "3.12"]), unique=True, min_size=1))
    fits.sort(key=lambda name: (Version(name[0]), VARIANTS[name[1]]), reverse=True)
    refused = [name for name in builds if name not in fits]
    curable = draw(st.lists(st.sampled_from(refused), unique=True, max_size=3)) if refused else []
    return Resolution(
        tuple(build(*name, python) for name in fits for python in pythons),
        tuple(Rejection(*name, "driver-too-old", "535", "580") for name in refused),
        tuple(Unlock("driver", "535", "580", *name) for name in curable),
    )


def names_of(resolution: Resolution) -> set[tuple[str, str]]:
    return {(one.torch, one.variant) for one in resolution.candidates}


@settings(max_examples=150, deadline=None)
@given(st.lists(resolutions(), min_size=1, max_size=8))
def test_the_common_build_fits_all_and_no_newer_torch_does(found):
    error = RowError("no-compatible-build", 4, "No build fits.")
    fleet = surveyed(
        *(Member(f"n{n}", f"{n}", resolution=r, error=None if r.candidates else error) for n, r in enumerate(found))
    )
    everywhere = set.intersection(*map(names_of, found))
    shared = fleet.common
    assert (shared is None) == (not everywhere)
    if shared:
        # All prefer the higher CUDA here, so no newer build at all may be in every list.
        assert (shared.torch, shared.variant) in everywhere
        newest = max(everywhere, key=lambda name: (Version(name[0]), VARIANTS[name[1]]))
        assert (shared.torch, shared.variant) == newest
        wheels = [name for wheel in shared.wheels for name in wheel.machines]
        assert sorted(wheels) == sorted(f"n{n}" for n in range(len(found)))
    for held in fleet.held_back_by:
        refusing = {name for refusal in held.refusals for name in refusal.machines}
        assert refusing == {f"n{n}" for n, r in enumerate(found) if (held.torch, held.variant) not in names_of(r)}
    for lift in fleet.lifts:
        changed = {name for change in lift.changes for name in change.machines}
        lacking = {f"n{n}" for n, r in enumerate(found) if (lift.torch, lift.variant) not in names_of(r)}
        assert changed == lacking
        if lift.is_enough:
            for number in (int(name[1:]) for name in changed):
                given_ = {(unlock.torch, unlock.variant) for unlock in found[number].unlocks}
                assert (lift.torch, lift.variant) in given_


@settings(max_examples=100, deadline=None)
@given(st.lists(resolutions(), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_machines_changes_nothing_that_is_shared(found, chance):
    numbered = list(enumerate(found))
    shuffled = list(numbered)
    chance.shuffle(shuffled)
    one, other = (
        surveyed(*(Member(f"n{n}", f"{n}", resolution=r) for n, r in order)) for order in (numbered, shuffled)
    )
    heads = [
        (f.common and (f.common.torch, f.common.variant, f.common.machines), f.common_torch, len(f.held_back_by))
        for f in (one, other)
    ]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("words", [{}, {"cpu": True}, {"cuda": "cu126"}])
def test_over_the_real_resolver_the_common_build_is_a_candidate_of_every_machine(words, matrix):
    boxes = [
        box("H100", "595.58.03"),
        box("A100", "535.183.01", python="3.10", others=("3.12",)),
        box("T4", "580.82.07", glibc="2.31"),
        box("GH200", "550.54.15", arch="aarch64"),
    ]
    request = Request(**words)
    fleet = plan_fleet([Entry(f"n{n}", f"{n}", Examined(one)) for n, one in enumerate(boxes)], request, matrix)
    fits = [names_of(resolve(one, request, matrix)) for one in boxes]
    assert (fleet.common.torch, fleet.common.variant) in set.intersection(*fits)
    newer = [Version(torch) for torch, _ in set.intersection(*fits)]
    assert Version(fleet.common.torch) == max(newer)
    assert fleet.common.python == "3.12"


BOXES = st.builds(
    box,
    st.sampled_from(["H100", "A100", "T4", "V100", "4090", "B300", "A100 T4", "V100 5090"]),
    st.sampled_from(["470.82.01", "535.183.01", "550.54.15", "570.86.16", "580.82.07", "595.58.03"]),
    python=st.sampled_from(["3.9", "3.10", "3.12", "3.14"]),
    glibc=st.sampled_from(["2.17", "2.27", "2.35"]),
)


def changed(machine, change: str, to: str):
    """The machine after the change that an unlock names."""
    if change == "driver" and "." not in to.split(maxsplit=1)[0]:
        to = f"{to.split(maxsplit=1)[0]}.0{to[len(to.split(maxsplit=1)[0]) :]}"
    after = applied(machine, Unlock(change, "", to, "", ""))
    assert after is not None, change
    return after


@settings(max_examples=60, deadline=None)
@given(st.lists(BOXES, min_size=1, max_size=5))
def test_after_the_changes_of_a_lift_every_machine_can_run_the_build(matrix, catalogue, boxes):
    fleet = plan_fleet([Entry(f"n{n}", f"{n}", Examined(one)) for n, one in enumerate(boxes)], Request(), matrix)
    for lift in (lift for lift in fleet.lifts if lift.is_enough):
        after = dict(enumerate(boxes))
        for change in lift.changes:
            for number in (int(name[1:]) for name in change.machines):
                after[number] = changed(after[number], change.change, change.to)
        for one in after.values():
            fits = names_of(resolve(one, Request(), matrix, catalogue=catalogue))
            assert (lift.torch, lift.variant) in fits
