"""The shipped workload, judged by the shipped bar: the healthy run passes, each sabotaged one is rejected."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.smoke_seeds.sabotage import SABOTAGES  # noqa: E402
from harness.contract import Job, Report  # noqa: E402
from harness.run import JobRunner  # noqa: E402
from provision.accept.judge import accept  # noqa: E402
from provision.accept.launch import Progress, launch  # noqa: E402
from provision.acceptance import Acceptance  # noqa: E402, TC001
from provision.records import Build  # noqa: E402

pytestmark = pytest.mark.e2e


def judged(report: Report) -> Acceptance:
    """The verdict for the build that is really installed here; the device is the CPU."""
    version, _, label = torch.__version__.partition("+")
    build = Build(version, label or "cpu", None, "3.11", "", (), "", is_general_index_default=not label)
    return accept(report, expected=build)


def test_healthy_run_in_the_target_interpreter_is_accepted():
    progress: list[Progress] = []
    report = launch(sys.executable, Job(device="cpu"), on_progress=progress.append)
    verdict = judged(report)
    assert verdict.verdict == "accepted", verdict.findings
    assert verdict.device_class == "cpu"
    assert verdict.throughput.samples_per_s > 10
    assert {one.event for one in progress} == {"phase", "step", "eval"}


@pytest.mark.parametrize("name", [name for name in SABOTAGES if name != "none"])
def test_sabotaged_run_is_rejected_for_what_it_learned(name):
    report = JobRunner(Job(device="cpu"), lambda _: None, SABOTAGES[name]).run()
    assert report.status == "completed"
    verdict = judged(report)
    assert verdict.verdict == "rejected"
    assert "acc.quality" in {one.id for one in verdict.criteria if not one.passed}
