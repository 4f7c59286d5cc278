"""A plan file is input like any other: edited by hand, it is refused where it contradicts itself or oversteps."""

from dataclasses import replace

import pytest

from provision.commands.install import plan_of_file
from provision.documents.envelope import Outcome, dumps
from provision.documents.envelope import document as envelope
from provision.documents.plan import plan_data, plan_from_data
from provision.errors import InputError, UsageError
from provision.records import Build, MatrixIdentity, Plan, Request, Resolution
from provision.versions import CudaVersion

BUILD = Build(
    torch="2.9.1",
    variant="cu128",
    cuda_runtime_version=CudaVersion(12, 8),
    python="3.12",
    wheel_tag="cp312-cp312-manylinux_2_28_x86_64",
    requirements=("torch==2.9.1", "transformers>=4.48,<6"),
    index="https://download.pytorch.org/whl/cu128",
)


def document(build: Build):
    plan = Plan(BUILD, Resolution((BUILD,), ()), MatrixIdentity("1", "2026-11-23"), Request())
    return replace(plan_data(plan), build=build, torch=build.torch, variant=build.variant, python=build.python)


def test_a_plan_as_it_was_written_is_taken():
    assert plan_from_data(document(BUILD)).build == BUILD


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"requirements": ("torch==2.9.1", "evil @ https://host/evil-1-py3-none-any.whl")}, "requirements[1]"),
        ({"requirements": ("torch==2.9.1", "--index-url https://host/simple")}, "requirements[1]"),
        ({"requirements": ("torch==2.9.1", "../../etc")}, "requirements[1]"),
        ({"requirements": ("transformers", "torch==2.9.1")}, "requirements[0]"),
        ({"index": "https://user:secret@host/whl/cu128"}, "index"),
        ({"index": "http://host/whl/cu128"}, "index"),
        ({"python": "abc"}, "python"),
        ({"torch": "abc"}, "torch"),
        ({"variant": "../cpu"}, "variant"),
    ],
)
def test_an_edited_build_is_refused_with_its_place(change, place):
    with pytest.raises(InputError) as caught:
        plan_from_data(document(replace(BUILD, **change)), origin="plan.json")
    assert caught.value.happened.startswith(f"plan.json: data.build.{place}")
    assert "secret" not in caught.value.happened


def test_a_head_that_contradicts_the_build_is_refused():
    with pytest.raises(InputError, match="not by hand"):
        plan_from_data(replace(document(BUILD), torch="2.8.0"))


def test_whether_a_python_is_fetched_is_said_where_the_plan_is_installed(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(dumps(envelope(Outcome("gpusetup.plan/1", "plan", document(BUILD)))))
    assert plan_of_file(path, Request(python_download=True)).build == BUILD
    with pytest.raises(UsageError, match="--python exclude it"):
        plan_of_file(path, Request(python="3.13", python_download=True))
