from __future__ import annotations

from dataclasses import replace

import pytest

from harness.contract import (
    Counts,
    Device,
    HostLoad,
    Job,
    Memory,
    Numerics,
    Placement,
    Quality,
    Report,
    Software,
    StepTime,
    Throughput,
    Workload,
)
from provision.accept.bars import BARS
from provision.accept.judge import accept, is_planned_torch
from provision.records import Build
from provision.versions import CudaVersion

BAR = BARS["smoke"]
CPU = Build("2.13.0", "cpu", None, "3.11", "cp311-cp311-linux_x86_64", ("torch==2.13.0",), "https://index.test")
CUDA = replace(CPU, variant="cu128", cuda_runtime_version=CudaVersion(12, 8))

ON_CPU = Report(
    status="completed",
    job=Job(device="cpu"),
    software=Software("3.11.7", "2.13.0+cpu", transformers="5.23.0"),
    devices=(Device("cpu", 0, name="EPYC", threads=2),),
    placement=Placement("cpu", "cpu", "cpu", 1e-7, 2e-3),
    workload=Workload(
        "bert-intents-smoke-v1", "d" * 64, BAR.data_digest, "smoke", "intents", "BERT", 450_000, 64, 16, "fp32", 1100, 1
    ),
    counts=Counts(1100, 1100, 17_600, 500_000, 520_000),
    throughput=Throughput(False, "too small", 500.0, 16_000.0, StepTime(0.03, 0.04, 0.05), 0.2, 50, None, 0.01, 35.0),
    quality=Quality(1.0, 1.0, 0.01, 1.8, 0.01, 1 / 6, 0.18, 1536),
    numerics=Numerics(finite=True, max_gradient_norm=4.0),
    memory=Memory("rss", peak_rss_bytes=500_000_000),
    host_load=HostLoad(0.01, 0.0, 2),
)
ON_GPU = replace(
    ON_CPU,
    job=Job(device="cuda"),
    software=Software("3.11.7", "2.13.0+cu128", "12.8", ("sm_90",), "5.23.0", driver="570.86.15"),
    devices=(Device("cuda", 0, name="NVIDIA H100", compute_capability="9.0", memory_bytes=80 * 2**30),),
    placement=Placement("cuda", "cuda", "cuda", 1e-4, 2e-3),
    memory=Memory("cuda", 10**8, 2 * 10**8, 10**9),
)


def failed(report, build=CPU):
    verdict = accept(report, expected=build)
    return {criterion.id for criterion in verdict.criteria if not criterion.passed}


def criterion(report, name, build=CPU):
    return next(one for one in accept(report, expected=build).criteria if one.id == name)


def test_healthy_cpu_run_is_accepted_as_cpu():
    verdict = accept(ON_CPU, expected=CPU)
    assert (verdict.verdict, verdict.device_class, verdict.findings) == ("accepted", "cpu", ())
    assert {one.id for one in verdict.criteria} == {
        "acc.completed",
        "acc.software",
        "acc.steps",
        "acc.loss",
        "acc.quality",
    }
    assert all(one.passed and one.source and one.bar is not None for one in verdict.criteria)


def test_healthy_gpu_run_is_accepted_as_gpu():
    verdict = accept(ON_GPU, expected=CUDA)
    assert (verdict.verdict, verdict.device_class) == ("accepted", "gpu")
    assert "acc.on_gpu" in {one.id for one in verdict.criteria}


def test_figures_are_passed_on():
    verdict = accept(ON_GPU, expected=CUDA)
    assert verdict.throughput.samples_per_s == 500.0
    assert verdict.throughput.step_time_s.p90 == 0.04
    assert verdict.workload.digest == "d" * 64
    assert verdict.quality.macro_f1 == 1.0
    assert verdict.numerics.kernel_error == 1e-4
    assert (verdict.device[0].name, verdict.device[0].peak_reserved_bytes) == ("NVIDIA H100", 2 * 10**8)
    assert (verdict.software.torch, verdict.software.driver) == ("2.13.0+cu128", "570.86.15")


def test_smoke_is_never_comparable():
    assert accept(ON_GPU, expected=CUDA).throughput.comparable is False


def test_cpu_rate_is_not_comparable_even_if_the_report_says_so():
    boast = replace(ON_CPU, throughput=replace(ON_CPU.throughput, comparable=True, reason=None))
    assert accept(boast, expected=CPU).throughput.comparable is False


def test_cuda_build_that_trained_on_the_cpu_is_rejected():
    report = replace(ON_GPU, placement=Placement("cuda", "cpu", "cpu"))
    verdict = accept(report, expected=CUDA)
    assert (verdict.verdict, verdict.device_class) == ("rejected", "cpu")
    assert failed(report, CUDA) == {"acc.on_gpu"}
    assert verdict.findings[0].happened == "A CUDA build was installed, and the training did not run on the GPU."


def test_batches_on_another_device_are_rejected():
    assert failed(replace(ON_GPU, placement=Placement("cuda", "cuda", "cpu+cuda")), CUDA) == {"acc.on_gpu"}


def test_device_unavailable_is_rejected_in_the_words_of_torch():
    report = Report("device-unavailable", Job(), "RuntimeError: No CUDA GPUs are available", software=ON_GPU.software)
    verdict = accept(report, expected=CUDA)
    assert verdict.verdict == "rejected"
    assert failed(report, CUDA) == {"acc.completed", "acc.on_gpu", "acc.steps", "acc.loss", "acc.quality"}
    assert any("No CUDA GPUs are available" in finding.happened for finding in verdict.findings)


@pytest.mark.parametrize("status", ["failed", "interrupted", "not-finite"])
def test_a_run_that_did_not_complete_is_rejected(status):
    assert failed(replace(ON_CPU, status=status, reason="why")) == {"acc.completed"}


@pytest.mark.parametrize(
    "software",
    [
        Software("3.11.7", "2.12.0+cu128", "12.8"),
        Software("3.11.7", "2.13.0+cu126", "12.6"),
        Software("3.11.7", "2.13.0+cu128", "12.6"),
        Software("3.11.7", "2.13.0+cpu", None),
        Software("3.11.7", "2.13.0", "12.8"),
        None,
    ],
)
def test_other_software_than_planned_is_rejected(software):
    assert failed(replace(ON_GPU, software=software), CUDA) == {"acc.software"}


def test_label_may_be_missing_only_where_the_general_index_leaves_it_out():
    assert is_planned_torch("2.13.0", replace(CUDA, is_general_index_default=True))
    assert is_planned_torch("2.13.0+cu128", replace(CUDA, is_general_index_default=True))
    assert not is_planned_torch("2.13.0", CUDA)
    assert not is_planned_torch("2.13.0+cpu", replace(CUDA, is_general_index_default=True))


def test_missing_steps_are_rejected():
    report = replace(ON_CPU, counts=replace(ON_CPU.counts, executed_steps=1099))
    assert failed(report) == {"acc.steps"}
    assert (criterion(report, "acc.steps").measured, criterion(report, "acc.steps").bar) == (1099, 1100)


@pytest.mark.parametrize(("accuracy", "passes"), [(BAR.accuracy, True), (BAR.accuracy - 0.001, False), (0.5, False)])
def test_accuracy_is_held_against_the_bar(accuracy, passes):
    report = replace(ON_CPU, quality=replace(ON_CPU.quality, accuracy=accuracy))
    assert criterion(report, "acc.quality").passed is passes
    assert accept(report, expected=CPU).verdict == ("accepted" if passes else "rejected")


def test_accuracy_on_other_data_says_nothing():
    report = replace(ON_CPU, workload=replace(ON_CPU.workload, data_digest="0" * 64))
    assert failed(report) == {"acc.quality"}


def test_no_accuracy_is_no_pass():
    assert failed(replace(ON_CPU, quality=None)) == {"acc.loss", "acc.quality"}


@pytest.mark.parametrize(
    ("first", "last", "passes"),
    [(2.0, 2.0 * BAR.loss_ratio, True), (2.0, 1.9, False), (None, 0.1, False), (2.0, None, False)],
)
def test_loss_must_fall(first, last, passes):
    report = replace(ON_CPU, quality=replace(ON_CPU.quality, first_loss=first, last_loss=last))
    assert criterion(report, "acc.loss").passed is passes


def test_not_a_number_is_rejected_and_names_the_step():
    report = replace(ON_CPU, numerics=Numerics(finite=False, first_non_finite_step=7))
    assert failed(report) == {"acc.loss"}
    assert accept(report, expected=CPU).findings[0].happened == (
        "The loss or the gradient norm of step 7 is not a finite number."
    )


def test_preset_without_a_bar_is_rejected():
    assert "acc.quality" in failed(replace(ON_CPU, job=Job(preset="other", device="cpu")))


def test_every_failed_criterion_has_a_finding_with_its_figures_and_a_way_out():
    verdict = accept(Report("failed", Job(), "ImportError: libcudart.so.12"), expected=CUDA)
    assert [finding.id for finding in verdict.findings] == [one.id for one in verdict.criteria if not one.passed]
    for finding in verdict.findings:
        assert finding.status == "fail"
        assert finding.safe
        assert finding.evidence[0].source


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host_load": HostLoad(0.4, 0.0, 2)}, "Other processes used 40% of the host's CPU time"),
        ({"throughput": replace(ON_CPU.throughput, data_wait_share=0.2)}, "20% of the time passed waiting for data"),
        ({"counts": replace(ON_CPU.counts, skipped_updates=100)}, "left out 100 of 1100 updates"),
    ],
)
def test_doubtful_figures_degrade(change, words):
    comparable = replace(ON_GPU, throughput=replace(ON_GPU.throughput, comparable=True, reason=None))
    if "throughput" in change:
        change = {"throughput": replace(change["throughput"], comparable=True, reason=None)}
    assert accept(comparable, expected=CUDA).verdict == "accepted"
    verdict = accept(replace(comparable, **change), expected=CUDA)
    assert verdict.verdict == "degraded"
    assert any(words in note for note in verdict.notes)


def test_load_beside_a_rate_that_nobody_compares_is_only_a_note():
    verdict = accept(replace(ON_CPU, host_load=HostLoad(0.4, 0.0, 2)), expected=CPU)
    assert verdict.verdict == "accepted"
    assert any("Other processes used 40%" in note for note in verdict.notes)


def test_skipped_updates_degrade_any_run():
    report = replace(ON_CPU, counts=replace(ON_CPU.counts, skipped_updates=100))
    assert accept(report, expected=CPU).verdict == "degraded"


def test_doubts_do_not_soften_a_rejection():
    report = replace(ON_CPU, host_load=HostLoad(0.4, 0.0, 2), quality=replace(ON_CPU.quality, accuracy=0.2))
    assert accept(report, expected=CPU).verdict == "rejected"


def test_unknown_load_is_no_doubt():
    assert accept(replace(ON_CPU, host_load=HostLoad()), expected=CPU).verdict == "accepted"
