"""The resolver before an independent judge: the same choice on every machine, and unlocks that keep their promise."""
# ruff: noqa: E501  cases stand on one line each

import ast
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.versions import DriverVersion
from tests.bench.matrix import shipped
from tests.oracle import changes, facts, judge, machines
from tests.oracle.compare import Comparison
from tests.oracle.facts import Facts
from tests.oracle.judge import Build
from tests.oracle.machines import Pool

FACTS = Facts()
POOL = Pool(FACTS)
COMPARISON = Comparison(shipped(), FACTS)
NO_WISH = {"torch": None, "cuda": None, "transformers": None, "python": None, "cpu": False}


def machine(*names, **values):
    gpus = [{"name": name, "pci": None, "capability": None, "mig": None, "instances": None} for name in names]
    plain = {"system": "linux", "os": None, "arch": "x86_64", "is_wsl": False, "glibc": "2.35", "glibc_failure": None}
    plain |= {"python": "3.12", "others": [], "python_failure": None, "driver": None, "driver_cuda": None}
    return plain | {"module": None, "gpus": gpus, "state": "usable" if gpus else "none"} | values


# --- the judge itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("module", [changes, facts, judge, machines])
def test_the_judge_shares_nothing_with_the_product(module):
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert names
    assert not [name for name in names if name.split(".")[0] in ("provision", "harness", "resolve_boxes")]


@pytest.mark.parametrize(
    ("box", "build", "broken"),
    [
        (machine("Tesla T4", driver="525.60.13"), ("2.14.1", "cu126", "3.12"), set()),
        (machine("Tesla T4", driver="525.60.12"), ("2.14.1", "cu126", "3.12"), {"driver-too-old"}),
        (machine("Tesla T4", driver="528.33", is_wsl=True), ("2.14.1", "cu126", "3.12"), set()),
        (machine("Tesla T4", driver="528.32", is_wsl=True), ("2.14.1", "cu126", "3.12"), {"driver-too-old"}),
        (machine("Tesla T4"), ("2.14.1", "cu126", "3.12"), {"driver-unknown"}),
        (machine("Tesla T4", driver="535.54.03", driver_cuda="13.2"), ("2.15.0", "cu132", "3.12"), set()),
        (
            machine("Tesla T4", driver="550.54.14", driver_cuda="13.2"),
            ("2.15.0", "cu132", "3.12"),
            {"forward-compatibility-not-allowed"},
        ),
        (
            machine("NVIDIA GeForce RTX 4090", driver="535.54.03", driver_cuda="13.2"),
            ("2.15.0", "cu132", "3.12"),
            {"forward-compatibility-not-allowed"},
        ),
        (machine("NVIDIA B200", driver="570.86.14"), ("2.11.0", "cu128", "3.12"), {"driver-too-old-for-gpu"}),
        (machine("Tesla P4", driver="590.44.01"), ("2.14.1", "cu126", "3.12"), {"gpu-dropped-by-driver-branch"}),
        (machine("Tesla P4", driver="580.65.06"), ("2.14.1", "cu130", "3.12"), {"no-code-for-gpu"}),
        (machine("Tesla T4", driver="580.65.06", python="3.10"), ("2.15.0", "cu130", "3.10"), {"python-tag-missing"}),
        (machine("Tesla T4", driver="580.65.06", glibc="2.27"), ("2.15.0", "cu130", "3.12"), {"glibc-too-old"}),
        (machine("NVIDIA B200", driver="580.65.06", module="proprietary"), ("2.15.0", "cu130", "3.12"), {"kernel-module-unsuitable"}),
        (machine("NVIDIA GB200", driver="580.65.06", arch="aarch64"), ("2.10.0", "cu128", "3.12"), {"arch-list-unknown"}),
        (machine("unheard-of", driver="580.65.06"), ("2.15.0", "cu130", "3.12"), {"compute-capability-unknown"}),
        (machine("NVIDIA Thor", driver="540.4.0", driver_cuda="13.0", arch="aarch64"), ("2.15.0", "cu130", "3.12"), set()),
    ],
)  # fmt: skip
def test_the_judge_knows_the_borders(box, build, broken):
    assert COMPARISON.judge.objections(box, NO_WISH, Build(*build)) == broken


def test_the_judge_reads_text_so_that_ten_is_not_one():
    assert "2.10.0" in FACTS.releases
    assert FACTS.releases["2.10.0"]["platforms"]["linux_x86_64"]["pythons"][0] == "cp310"
    assert facts.numbers("12.10") > facts.numbers("12.9")


@pytest.mark.parametrize("floor", ["525.60.12", "525.60.14"])
def test_a_floor_that_is_off_by_one_is_seen(floor):
    """The comparison can fail: a resolver with a wrong floor of CUDA 12 is contradicted at that floor."""
    matrix = shipped()
    rows = tuple(replace(row, linux=DriverVersion(floor)) if row.major == 12 else row for row in matrix.cuda_majors)
    wrong = Comparison(replace(matrix, cuda_majors=rows), FACTS)
    border = machine("Tesla T4", driver="525.60.12" if floor < "525.60.13" else "525.60.13")
    assert list(wrong.disagreements(border, NO_WISH))
    assert not list(COMPARISON.disagreements(border, NO_WISH))


# --- the resolver before the judge --------------------------------------------------------------


def agree(data):
    box, request = POOL.case(lambda options: data.draw(st.sampled_from(options)))
    assert list(COMPARISON.disagreements(box, request)) == []


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_judge_agrees_on_any_machine(data):
    agree(data)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_judge_agrees_on_twenty_thousand_machines(data):
    agree(data)


def test_the_machines_are_worth_trying():
    """A seeded draw meets boxes with builds, boxes that leave GPUs out, and every kind of unlock."""
    rng, comparison = random.Random(20), Comparison(shipped(), FACTS)
    unlocks = set()
    for _ in range(250):
        box, request = POOL.case(rng.choice)
        answer = comparison.resolve(box, request)
        comparison.counts["with_a_build"] += answer.chosen is not None
        comparison.counts["gpus_left_out"] += len(answer.gpus_left_out)
        unlocks |= {step.change for step in answer.unlocks}
    assert comparison.counts["with_a_build"] > 50
    assert comparison.counts["gpus_left_out"] > 10
    assert unlocks >= {
        "driver",
        "python",
        "os",
        "torch",
        "cuda",
        "mig",
        "gpu",
        "kernel-module",
        "forward-compatibility",
    }
