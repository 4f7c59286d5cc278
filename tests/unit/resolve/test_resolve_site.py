"""What a site forbids is passed over with the site's own reason, never chosen and never offered as a way out."""

import pytest
from resolve_boxes import ask, box

from provision.drivers.plan import choose_branch
from provision.errors import NoBuildError
from provision.examined import Examined
from provision.matrix import read_matrix
from provision.planning import plan_for
from provision.resolve import Catalogue, resolve
from provision.resolve.choose import judge, judge_all
from provision.resolve.situation import situate
from tests.bench.matrix import shipped


@pytest.fixture
def under(tmp_path):
    """A catalogue of the shipped matrix under a site file with those entries."""

    def lay(*entries):
        path = tmp_path / "site.yaml"
        path.write_text("schema: gpusetup.site/1\nforbid:\n" + "".join(f"- {{{entry}}}\n" for entry in entries))
        return Catalogue(read_matrix(site=path))

    return lay


def chosen(catalogue, machine, **words):
    choice = resolve(machine, ask(**words), catalogue.matrix, catalogue=catalogue).chosen
    return choice and (choice.local_version, choice.python)


def test_a_forbidden_variant_is_passed_over_with_the_reason_of_the_site(under, tmp_path):
    catalogue = under("torch: '>=2.14', variant: 'cu13*', reason: not tested here")
    machine = box("H100", "580.95.05")
    assert chosen(catalogue, machine) == ("2.14.1+cu126", "3.12")
    resolution = resolve(machine, ask(), catalogue.matrix, catalogue=catalogue)
    said = {
        (no.torch, no.variant, no.found, no.needs, no.source)
        for no in resolution.rejections
        if no.rule == "forbidden-by-site"
    }
    expected = ("torch >=2.14, cu13*", "not tested here", f"{tmp_path}/site.yaml:3")
    assert ("2.15.0", "cu132", *expected) in said
    assert ("2.14.1", "cu130", *expected) in said
    assert all(variant.startswith("cu13") and torch >= "2.14" for torch, variant, *_ in said)


def test_a_forbidden_python_leaves_the_others(under):
    catalogue = under("python: '3.12', reason: retired")
    assert chosen(catalogue, box("H100", "580.95.05", others=("3.13",)))[1] == "3.13"
    assert chosen(catalogue, box("H100", "580.95.05")) is None
    resolution = resolve(box("H100", "580.95.05"), ask(), catalogue.matrix, catalogue=catalogue)
    assert {no.python for no in resolution.rejections if no.rule == "forbidden-by-site"} == {"3.12"}
    assert "3.12" not in [unlock.to for unlock in resolution.unlocks]


def test_a_forbidden_python_is_not_offered(under):
    free = resolve(box("H100", "580.95.05", python="3.9"), ask(torch="2.15"), Catalogue(shipped()).matrix)
    assert "3.11" in [unlock.to for unlock in free.unlocks]
    catalogue = under("python: '3.11', reason: retired")
    bound = resolve(box("H100", "580.95.05", python="3.9"), ask(torch="2.15"), catalogue.matrix, catalogue=catalogue)
    assert [unlock.to for unlock in bound.unlocks if unlock.change == "python"] == ["3.12"]


def test_a_forbidden_driver_is_judged_per_machine_of_one_catalogue(under):
    catalogue = under("driver: '>=580', variant: 'cu126', python: '3.12', reason: crashes", "driver: '595', reason: no")
    assert chosen(catalogue, box("H100", "570.133.20"), cuda="cu126") == ("2.14.1+cu126", "3.12")
    assert chosen(catalogue, box("H100", "580.95.05"), cuda="cu126") is None
    assert chosen(catalogue, box("H100", "570.133.20"), cuda="cu126") == ("2.14.1+cu126", "3.12")
    assert chosen(catalogue, box("H100", "595.58.03")) is None
    assert chosen(catalogue, box("H100", "580.95.05", python="3.13"), cuda="cu126") == ("2.14.1+cu126", "3.13")


def test_a_forbidden_driver_is_not_offered(under):
    machine = box("H100", "535.104.05")
    free = resolve(machine, ask(), Catalogue(shipped()).matrix)
    assert [unlock.to for unlock in free.unlocks if unlock.change == "driver"] == ["580.65.06"]
    catalogue = under("driver: '>=580', reason: not certified")
    assert not [
        u for u in resolve(machine, ask(), catalogue.matrix, catalogue=catalogue).unlocks if u.change == "driver"
    ]


def test_no_plan_of_a_driver_takes_a_forbidden_branch(under):
    matrix = under("driver: '>=590', reason: not certified").matrix
    hopper = tuple(row for row in matrix.architectures if row.name == "Hopper")
    assert choose_branch(hopper, matrix, today=matrix.read_on).branch == 580
    with pytest.raises(NoBuildError):
        choose_branch(hopper, under("driver: '>=1', reason: none").matrix, today=matrix.read_on)
    assert (
        choose_branch(hopper, under("driver: '>=1', torch: 2.9, reason: so").matrix, today=matrix.read_on).branch == 595
    )


def test_a_cpu_build_can_be_forbidden(under):
    assert chosen(under("torch: 2.15, variant: cpu, reason: slow"), box()) == ("2.14.1+cpu", "3.12")
    assert chosen(under("torch: 2.15, variant: 'cu*', reason: slow"), box()) == ("2.15.0+cpu", "3.12")


@pytest.mark.parametrize("driver", ["535.104.05", "595.58.03", None])
def test_answers_that_are_kept_are_those_of_the_rule(driver, under):
    catalogue = under(
        "driver: '>=590', reason: a",
        "torch: 2.9, python: '3.12', reason: b",
        "variant: 'cu12*', driver: 535, reason: c",
    )
    for machine in (box("H100", driver, others=("3.13",)), box("V100", driver)):
        situation = situate(machine, ask(), catalogue)
        candidates = catalogue.candidates(situation.platform, is_cpu=situation.is_cpu)
        assert judge_all(situation) == [judge(situation, candidate) for candidate in candidates]


def test_the_plan_says_that_a_site_file_counts(under, tmp_path):
    matrix = under("variant: 'cu13*', reason: so").matrix
    plan = plan_for(Examined(box("H100", "580.95.05")), ask(), matrix)
    assert plan.matrix.revision == matrix.revision
    assert "+site." in plan.matrix.revision
    assert plan.resolution.assumptions[-1] == (
        f"The site file {tmp_path}/site.yaml counts: 1 entry that forbids builds."
    )
    assert "site" not in " ".join(plan_for(Examined(box()), ask(), shipped()).resolution.assumptions)
