"""Report of the harness and build that was planned -> verdict. Pure: no clock, no disk, no randomness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..acceptance import (
    Acceptance,
    AcceptedDevice,
    AcceptedSoftware,
    Criterion,
    Numerics,
    Quality,
    StepTime,
    Throughput,
    Workload,
)
from ..records import Build, Evidence, Finding, Scalar
from .bars import BARS, DATA_WAIT_SHARE, FOREIGN_LOAD_SHARE, Bar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.contract import Report

NOT_MEASURED = "Probes, scaling over several GPUs and inference were not measured in this run."


@dataclass(frozen=True, slots=True)
class Outcome:
    """A criterion with the words for the case that it fails."""

    criterion: Criterion
    happened: str
    safe: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A sentence about figures that a passing run should not be trusted for."""

    text: str
    is_about_learning: bool = False
    """False when only the rates are doubtful."""


def accept(report: Report, *, expected: Build, on_cpu: bool = False) -> Acceptance:
    """The verdict on a report, for the build that was planned.

    Rejected when any criterion fails; degraded when all pass and something makes the figures doubtful.
    """
    outcomes = [
        _completed(report),
        *([_on_gpu(report)] if expected.kind == "cuda" and not on_cpu else []),
        *_software(report, expected),
        _steps(report),
        *_learning(report),
    ]
    criteria = tuple(outcome.criterion for outcome in outcomes)
    doubts = tuple(_doubts(report))
    # A doubt about a rate that nobody may compare anyway takes nothing away from the proof that the box trains.
    is_degraded = any(doubt.is_about_learning or _is_comparable(report) for doubt in doubts)
    verdict: Literal["accepted", "degraded", "rejected"] = "degraded" if is_degraded else "accepted"
    if not all(criterion.passed for criterion in criteria):
        verdict = "rejected"
    return Acceptance(
        verdict=verdict,
        device_class="gpu" if _ran_on_gpu(report) else "cpu",
        criteria=criteria,
        workload=_workload(report),
        throughput=_throughput(report),
        quality=_quality(report),
        numerics=_numerics(report),
        device=_devices(report),
        software=_seen_software(report),
        notes=(*(doubt.text for doubt in doubts), *report.notes, NOT_MEASURED),
        findings=tuple(_finding(outcome) for outcome in outcomes if not outcome.criterion.passed),
    )


# --- criteria -----------------------------------------------------------------------------------


def _completed(report: Report) -> Outcome:
    return Outcome(
        Criterion("acc.completed", report.status, None, "completed", "harness contract", report.status == "completed"),
        f"The acceptance run did not complete ({report.status}): {report.reason or 'no reason was given'}",
        ("gpusetup check", "gpusetup accept --json"),
    )


def _on_gpu(report: Report) -> Outcome:
    placement = report.placement
    where: Scalar = None
    if placement is not None and placement.parameters is not None:
        where = f"parameters on {placement.parameters}, batches on {placement.batches}"
    elif report.status == "device-unavailable":
        where = "device unavailable"
    happened = "A CUDA build was installed, and the training did not run on the GPU."
    if report.status == "device-unavailable":
        happened = f"A CUDA build was installed, and the GPU cannot be used: {report.reason}"
    return Outcome(
        Criterion("acc.on_gpu", where, None, "parameters on cuda, batches on cuda", "plan", _ran_on_gpu(report)),
        happened,
        ("gpusetup check", "gpusetup detect"),
    )


def _ran_on_gpu(report: Report) -> bool:
    placement = report.placement
    return placement is not None and (placement.parameters, placement.batches) == ("cuda", "cuda")


def _software(report: Report, expected: Build) -> Iterable[Outcome]:
    seen = report.software
    wanted_cuda = None if expected.cuda_runtime_version is None else str(expected.cuda_runtime_version)
    versions = "none" if seen is None else f"{seen.torch} with CUDA {seen.torch_cuda or 'none'}"
    passed = seen is not None and is_planned_torch(seen.torch, expected) and seen.torch_cuda == wanted_cuda
    yield Outcome(
        Criterion(
            "acc.software",
            None if seen is None else versions,
            None,
            f"{expected.local_version} with CUDA {wanted_cuda or 'none'}",
            "plan",
            passed,
        ),
        f"The environment holds torch {versions}, which is not what was planned.",
        ("gpusetup install",),
    )


def is_planned_torch(found: str, expected: Build) -> bool:
    """Whether torch.__version__ names the build; the general index publishes its default without a local label."""
    if found == expected.local_version:
        return True
    return expected.is_general_index_default and found == expected.torch


def _steps(report: Report) -> Outcome:
    counts = report.counts
    planned = None if counts is None else counts.planned_steps
    executed = None if counts is None else counts.executed_steps
    return Outcome(
        Criterion("acc.steps", executed, "steps", planned, "harness job", executed is not None and executed == planned),
        f"{_or_none(executed)} of {_or_none(planned)} training steps were executed.",
        ("gpusetup accept",),
    )


def _learning(report: Report) -> Iterable[Outcome]:
    bar = BARS.get(report.job.preset)
    if bar is None:
        yield Outcome(
            Criterion("acc.quality", None, None, None, "provision/accept/bars.py", passed=False),
            f"There is no bar for the preset {report.job.preset}.",
            ("gpusetup accept --preset smoke",),
        )
        return
    yield _loss(report, bar)
    yield _accuracy(report, bar)


def _loss(report: Report, bar: Bar) -> Outcome:
    quality, numerics = report.quality, report.numerics
    ratio = None
    if quality is not None and quality.first_loss and quality.last_loss is not None:
        ratio = quality.last_loss / quality.first_loss
    finite = numerics is not None and numerics.finite
    happened = "The training loss did not fall as it must: " + (
        f"it ended at {ratio:.3f} of where it began." if ratio is not None else "there is no loss to judge."
    )
    if numerics is not None and not numerics.finite:
        happened = f"The loss or the gradient norm of step {numerics.first_non_finite_step} is not a finite number."
    return Outcome(
        Criterion(
            "acc.loss",
            ratio if finite else None,
            "last / first tenth of the steps",
            bar.loss_ratio,
            bar.source,
            finite and ratio is not None and ratio <= bar.loss_ratio,
        ),
        happened,
        ("gpusetup check", "gpusetup accept"),
    )


def _accuracy(report: Report, bar: Bar) -> Outcome:
    digest = None if report.workload is None else report.workload.data_digest
    if digest is not None and digest != bar.data_digest:
        return Outcome(
            Criterion(
                "acc.quality", f"data {digest[:12]}", None, f"data {bar.data_digest[:12]}", bar.source, passed=False
            ),
            "The run learned from other data than the bar was set on, so its accuracy says nothing.",
            ("gpusetup accept",),
        )
    accuracy = None if report.quality is None else report.quality.accuracy
    happened = "There is no held-out accuracy to judge."
    if accuracy is not None:
        happened = f"The model learned too little: it is right on {accuracy:.1%} of the held-out messages."
    return Outcome(
        Criterion(
            "acc.quality",
            accuracy,
            "share of held-out messages",
            bar.accuracy,
            bar.source,
            accuracy is not None and accuracy >= bar.accuracy,
        ),
        happened,
        ("gpusetup accept --seed 2", "gpusetup check"),
    )


def _finding(outcome: Outcome) -> Finding:
    criterion = outcome.criterion
    evidence = Evidence(criterion.id, criterion.measured, criterion.unit, criterion.source, criterion.bar)
    return Finding(criterion.id, "fail", outcome.happened, (evidence,), outcome.safe)


def _or_none(number: int | None) -> str:
    return "none" if number is None else str(number)


def _is_comparable(report: Report) -> bool:
    return report.throughput is not None and report.throughput.comparable and _ran_on_gpu(report)


# --- doubts -------------------------------------------------------------------------------------


def _doubts(report: Report) -> Iterable[Doubt]:
    """What makes the figures of a passing run doubtful."""
    load = report.host_load
    if load is not None and load.foreign_share is not None and load.foreign_share > FOREIGN_LOAD_SHARE:
        yield Doubt(f"Other processes used {load.foreign_share:.0%} of the host's CPU time, so the rates are too low.")
    rates = report.throughput
    if rates is not None and rates.data_wait_share is not None and rates.data_wait_share > DATA_WAIT_SHARE:
        yield Doubt(f"{rates.data_wait_share:.0%} of the time passed waiting for data.")
    counts = report.counts
    if counts is not None and counts.skipped_updates * 20 > counts.executed_steps:
        text = f"The fp16 loss scaler left out {counts.skipped_updates} of {counts.executed_steps} updates."
        yield Doubt(text, is_about_learning=True)


# --- figures ------------------------------------------------------------------------------------


def _workload(report: Report) -> Workload | None:
    work = report.workload
    if work is None:
        return None
    return Workload(
        id=work.id,
        digest=work.digest,
        preset=work.preset,
        task=work.task,
        model=work.model,
        parameters=work.parameters,
        sequence=work.sequence,
        batch=work.batch,
        precision=work.precision,
        steps=work.steps,
        seed=work.seed,
    )


def _throughput(report: Report) -> Throughput | None:
    rates = report.throughput
    if rates is None:
        return None
    times = rates.step_time_s
    return Throughput(
        comparable=_is_comparable(report),
        samples_per_s=rates.samples_per_s,
        tokens_per_s=rates.tokens_per_s,
        step_time_s=None if times is None else StepTime(times.p50, times.p90, times.p99),
        cv=rates.cv,
        warmup_steps=rates.warmup_steps,
        compile_s=rates.compile_s,
        data_wait_share=rates.data_wait_share,
        reason=rates.reason,
    )


def _quality(report: Report) -> Quality | None:
    found = report.quality
    if found is None:
        return None
    return Quality(
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        eval_loss=found.eval_loss,
        first_loss=found.first_loss,
        last_loss=found.last_loss,
        chance=found.chance,
        majority_baseline=found.majority_baseline,
        samples=found.samples,
    )


def _numerics(report: Report) -> Numerics | None:
    if report.numerics is None and report.placement is None:
        return None
    found, placement, counts = report.numerics, report.placement, report.counts
    return Numerics(
        finite=None if found is None else found.finite,
        first_non_finite_step=None if found is None else found.first_non_finite_step,
        max_gradient_norm=None if found is None else found.max_gradient_norm,
        skipped_updates=None if counts is None else counts.skipped_updates,
        kernel_error=None if placement is None else placement.kernel_error,
    )


def _devices(report: Report) -> tuple[AcceptedDevice, ...]:
    memory = report.memory
    return tuple(
        AcceptedDevice(
            kind="cuda" if device.kind == "cuda" else "cpu",
            index=device.index,
            name=device.name,
            compute_capability=device.compute_capability,
            memory_bytes=device.memory_bytes,
            threads=device.threads,
            peak_allocated_bytes=None if memory is None else memory.peak_allocated_bytes,
            peak_reserved_bytes=None if memory is None else memory.peak_reserved_bytes,
            peak_rss_bytes=None if memory is None else memory.peak_rss_bytes,
        )
        for device in report.devices
    )


def _seen_software(report: Report) -> AcceptedSoftware | None:
    seen = report.software
    if seen is None:
        return None
    return AcceptedSoftware(
        torch=seen.torch,
        torch_cuda=seen.torch_cuda,
        arch_list=seen.arch_list,
        transformers=seen.transformers,
        driver=seen.driver,
        python=seen.python,
        numpy=seen.numpy,
        cudnn=seen.cudnn,
    )
