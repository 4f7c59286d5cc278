"""Real machines from public reports, with the plans that are right for them: `tests/hosts/`.

The expectation of a machine was written from its source before the resolver saw it. It is changed only when it was
wrong by its source, never because the resolver disagrees.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from provision.commands.options import request_of, typed_machine_of
from provision.errors import ExitCode, NoUsableGpuError
from provision.examined import examine_paste
from provision.gate import require_plannable, without_lost_gpus
from provision.pasted import machine_from_paste
from provision.records import Build, Driver, Gpu, Host, Interpreter, Machine, Request
from provision.resolve import Catalogue, resolve
from provision.resolve.rules import RULES
from provision.typed import machine_from_document, machine_from_words, with_driver_of_a_list
from tests.bench.matrix import shipped

HOSTS = Path(__file__).resolve().parent.parent / "hosts"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FILES = {path.stem: yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) for path in sorted(HOSTS.glob("*.yaml"))}  # noqa: S506 -- both are safe loaders
ROWS: list[dict[str, Any]] = list(chain.from_iterable(FILES.values()))

OUTCOMES = {"plan": ExitCode.OK, "none": ExitCode.NO_BUILD, "unusable": ExitCode.NO_GPU}
DESCRIPTIONS = ("machine", "paste", "options")
KEYS = {"id", "source", *DESCRIPTIONS, "request", "rules", "boundary", "acceptable", "forbidden", "outcome"}
KEYS |= {"left_out", "note", "derived"}
OPTIONS = {"gpu": "gpus", "os": "os_name"}
"""Options whose parameter is not called as they are."""
BOUNDED = (
    "driver-too-old",
    "driver-too-old-for-gpu",
    "gpu-dropped-by-driver-branch",
    "no-code-for-gpu",
    "kernel-module-unsuitable",
    "forward-compatibility-not-allowed",
    "glibc-too-old",
    "python-tag-missing",
    "no-transformers-pair",
    "macos-too-old",
)
"""Rules with a boundary: a machine stands just on the good side (equal) or on the bad one (below)."""
UNBOUNDED = (
    "musl-libc",
    "platform-not-published",
    "arch-list-unknown",
    "compute-capability-unknown",
    "driver-unknown",
    "not-asked-for",
)
DATACENTER = ("mig-without-instance", "vgpu-without-cuda")
"""Rules about boards of data centers alone."""
NO_MACHINE = ("ptx-needs-newer-driver",)
"""Rules that no real machine meets: `test_no_known_gpu_runs_on_ptx_alone` holds that against the matrix."""
LEAST_MACHINES, LEAST_PER_RULE = 150, 5


@dataclass(frozen=True)
class Answer:
    """What the planner says of one machine."""

    outcome: str
    builds: tuple[Build, ...] = ()
    left_out: tuple[int, ...] = ()
    why: str = ""

    def __str__(self):
        chosen = self.builds[0].local_version if self.builds else self.outcome
        return f"{chosen} {f'without GPU {self.left_out} ' if self.left_out else ''}{self.why}".strip()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(shipped())


def words_of(row) -> dict[str, Any]:
    """The words of the command line that a row stands for."""
    options = {OPTIONS.get(name, name): value for name, value in row.get("options", {}).items()}
    return {**options, **{name: value for name, value in (row.get("request") or {}).items() if value is not None}}


def machine_of_row(row, matrix) -> Machine:
    """The machine that a row describes, in whichever way."""
    if "machine" in row:
        return machine_from_document(row["machine"], matrix, origin=row["id"])
    if "paste" in row:
        return with_driver_of_a_list(machine_from_paste(row["paste"], matrix, origin=row["id"]), matrix)
    return machine_from_words(typed_machine_of(words_of(row)), matrix)


def answer_of(row, catalogue: Catalogue) -> Answer:
    """The way of `gpusetup plan`, with one catalogue for all machines."""
    matrix, request = catalogue.matrix, request_of(words_of(row))
    examined = examine_paste(machine_of_row(row, matrix)) if "paste" in row else None
    machine = examined.machine if examined else machine_of_row(row, matrix)
    findings = examined.findings if examined else ()
    try:
        require_plannable(machine, request, findings)
    except NoUsableGpuError as err:
        return Answer("unusable", why=err.happened)
    resolution = resolve(without_lost_gpus(machine), request, matrix, catalogue=catalogue)
    reasons = ", ".join(sorted({no.rule for no in resolution.rejections}))
    return Answer(
        "plan" if resolution.candidates else "none",
        resolution.candidates,
        tuple(gpu.index for gpu in resolution.gpus_left_out),
        f"({reasons})",
    )


def is_meant(build: Build, rule: dict[str, str]) -> bool:
    """Whether a line of `acceptable` or `forbidden` speaks of the build."""
    wanted = rule["torch"]
    is_version = wanted == "*" or SpecifierSet(wanted).contains(build.torch, prereleases=True)
    return is_version and fnmatchcase(build.variant, rule["variant"])


def sources_of(row) -> list[dict[str, Any]]:
    source = row["source"]
    return source if isinstance(source, list) else [source]


def boundaries_of(row) -> list[dict[str, str]]:
    boundary = row.get("boundary") or []
    return boundary if isinstance(boundary, list) else [boundary]


by_id = pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])


@by_id
def test_the_plan_is_one_of_those_that_are_right(row, catalogue):
    answer = answer_of(row, catalogue)
    assert answer.outcome == row.get("outcome", "plan"), f"{answer}; {sources_of(row)[0]['url']}"
    if answer.outcome == "plan":
        assert any(is_meant(answer.builds[0], rule) for rule in row["acceptable"]), f"{answer}: {row['acceptable']}"


@by_id
def test_no_build_that_is_offered_is_known_not_to_run(row, catalogue):
    """Of all builds that fit, because the next one is taken where no source holds the first."""
    answer = answer_of(row, catalogue)
    wrong = [
        f"{build.local_version} on {build.python}: {rule['why']}"
        for build in answer.builds
        for rule in row.get("forbidden", ())
        if is_meant(build, rule)
    ]
    assert not wrong, f"{answer}: {wrong[:3]}"


@by_id
def test_exactly_the_gpus_that_a_plan_cannot_serve_are_left_out(row, catalogue):
    assert answer_of(row, catalogue).left_out == tuple(row.get("left_out", ()))


@by_id
def test_a_row_is_well_formed(row):
    assert set(row) <= KEYS, f"unknown: {set(row) - KEYS}"
    assert sum(key in row for key in DESCRIPTIONS) == 1, f"one of {DESCRIPTIONS}"
    assert row.get("outcome", "plan") in OUTCOMES
    assert bool(row.get("acceptable")) == (row.get("outcome", "plan") == "plan"), "acceptable: for a plan, only then"
    for source in sources_of(row):
        assert source["url"].startswith("https://")
        assert source.get("vendor", "https://").startswith("https://")
        assert source["says"].strip()
        assert source["read_on"]
    for rule in (*row.get("acceptable", ()), *row.get("forbidden", ())):
        assert rule["torch"] == "*" or SpecifierSet(rule["torch"])
        assert rule["variant"]
    assert all(rule["why"] for rule in row.get("forbidden", ()))
    known = {*BOUNDED, *UNBOUNDED, *DATACENTER, *NO_MACHINE, *(rule.__name__.replace("_", "-") for rule in RULES)}
    assert {*row.get("rules", ()), *(at["rule"] for at in boundaries_of(row))} <= known
    assert {at["side"] for at in boundaries_of(row)} <= {"equal", "below"}


@by_id
def test_a_row_says_nothing_that_would_be_overlooked(row):
    """Fields of a machine that nobody knows are ignored by design, so a slip of the pen would go unseen."""
    assert set(row.get("request") or {}) <= {field.name for field in fields(Request)}
    assert set(row.get("options", {})) <= {"gpu", "driver", "compute_capability", "python", "glibc", "arch", "os"}
    machine = row.get("machine", {})
    gpus = machine.get("gpus") or ()
    for kind, values in (
        (Machine, (machine,)),
        (Host, (machine.get("host") or {},)),
        (Driver, (machine.get("driver") or {},)),
        (Interpreter, (machine.get("python") or {}, *(machine.get("interpreters") or ()))),
        (Gpu, gpus),
    ):
        known = {field.name for field in fields(kind)}
        assert all(set(value) <= known for value in values), kind.__name__
    count = len(gpus) or len(row.get("options", {}).get("gpu", ()))
    assert all(0 <= index < count for index in row.get("left_out", ()))


def test_ids_are_unique():
    assert [name for name, count in Counter(row["id"] for row in ROWS).items() if count > 1] == []


def test_the_table_covers_every_rule():
    """At least five machines per rule, and both sides of every boundary."""
    has_datacenter = any(name.startswith("datacenter") for name in FILES)
    rules = (*BOUNDED, *UNBOUNDED, *(DATACENTER if has_datacenter else ()))
    count = Counter(rule for row in ROWS for rule in row.get("rules", ()))
    sides = Counter((at["rule"], at["side"]) for row in ROWS for at in boundaries_of(row))
    print(f"{len(ROWS)} machines in {len(FILES)} files of tests/hosts")  # `pytest -s` shows it
    for rule in rules:
        at = f"  equal {sides[rule, 'equal']}  below {sides[rule, 'below']}" if rule in BOUNDED else ""
        print(f"  {rule:<36}{count[rule]:>4}{at}")
    assert len(ROWS) >= LEAST_MACHINES
    assert {rule: count[rule] for rule in rules if count[rule] < LEAST_PER_RULE} == {}
    assert [(rule, side) for rule in BOUNDED for side in ("equal", "below") if not sides[rule, side]] == []


def test_no_known_gpu_runs_on_ptx_alone(catalogue):
    """Why no machine of the table is decided by `ptx-needs-newer-driver`: all GPUs with PTX have binary code too."""
    capabilities = {row.compute_capability for row in catalogue.matrix.gpus}
    candidates = [c for arch in ("x86_64", "aarch64") for c in catalogue.candidates(f"linux_{arch}", is_cpu=False)]
    assert capabilities
    assert candidates
    by_ptx = {
        (candidate.place, str(capability))
        for candidate in candidates
        for capability in capabilities
        if catalogue.code_for(candidate, capability) == "ptx"
    }
    assert by_ptx == set()
