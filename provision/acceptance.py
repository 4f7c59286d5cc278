"""The records of an acceptance run: document acceptance/1 with its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .records import Finding, Scalar

Verdict = Literal["accepted", "degraded", "rejected"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One demand on the acceptance run: what was measured, what it must reach, and who says so."""

    id: str
    measured: Scalar
    """None when it could not be measured, which never passes."""
    unit: str | None
    bar: Scalar
    source: str
    """Where the bar comes from."""
    passed: bool


@dataclass(frozen=True, slots=True)
class Workload:
    """Identity of the work; runs are compared only where the digests are equal."""

    id: str
    digest: str
    preset: str
    task: str
    model: str
    parameters: int
    sequence: int
    """Longest sequence in tokens."""
    batch: int
    """Samples per optimizer step."""
    precision: str
    steps: int
    seed: int


@dataclass(frozen=True, slots=True)
class StepTime:
    """Percentiles of the step time, seconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """Totals over one wall-clock interval after the warm-up."""

    comparable: bool
    """Whether the rate may be held against other machines."""
    samples_per_s: float | None = None
    tokens_per_s: float | None = None
    """Real tokens, never padding."""
    tflops: float | None = None
    mfu: float | None = None
    step_time_s: StepTime | None = None
    cv: float | None = None
    """Standard deviation of the step times over their mean."""
    warmup_steps: int | None = None
    compile_s: float | None = None
    data_wait_share: float | None = None
    reason: str | None = None
    """Why a rate is None or not comparable."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What the model learned, on held-out messages."""

    accuracy: float
    macro_f1: float
    eval_loss: float | None
    first_loss: float | None
    """Mean training loss over the first tenth of the steps."""
    last_loss: float | None
    """Mean training loss over the last tenth of the steps."""
    chance: float
    majority_baseline: float
    samples: int


@dataclass(frozen=True, slots=True)
class Numerics:
    """Whether all losses and gradient norms were finite, and how exact a kernel was."""

    finite: bool | None = None
    first_non_finite_step: int | None = None
    max_gradient_norm: float | None = None
    skipped_updates: int | None = None
    """Updates that the fp16 loss scaler left out."""
    kernel_error: float | None = None
    """Error of a matrix product on the device, relative to its largest element in fp64 on the CPU."""


@dataclass(frozen=True, slots=True)
class AcceptedDevice:
    """One device that took part, as torch names it."""

    kind: Literal["cuda", "cpu"]
    index: int
    name: str | None = None
    compute_capability: str | None = None
    memory_bytes: int | None = None
    threads: int | None = None
    """CPU threads; None for a GPU."""
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    peak_rss_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class AcceptedSoftware:
    """Versions as seen from inside the environment."""

    torch: str
    torch_cuda: str | None = None
    arch_list: tuple[str, ...] = ()
    transformers: str | None = None
    driver: str | None = None
    python: str | None = None
    numpy: str | None = None
    cudnn: str | None = None


@dataclass(frozen=True, slots=True)
class Probes:
    """Measured ceilings of the machine; None: not measured, and the notes say why."""

    gemm: float | None = None
    memory_bandwidth: float | None = None
    h2d: float | None = None
    d2h: float | None = None
    p2p: float | None = None
    all_reduce: float | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Document acceptance/1: the verdict on one run of the workload, with everything that it rests on."""

    verdict: Verdict
    device_class: Literal["gpu", "cpu"]
    """What the work really ran on; a verdict reached on the CPU never counts as a GPU acceptance."""
    criteria: tuple[Criterion, ...]
    workload: Workload | None = None
    throughput: Throughput | None = None
    quality: Quality | None = None
    numerics: Numerics | None = None
    device: tuple[AcceptedDevice, ...] = ()
    probes: Probes | None = None
    scaling: None = None
    """Several GPUs were not measured."""
    inference: None = None
    """Inference was not measured."""
    software: AcceptedSoftware | None = None
    notes: tuple[str, ...] = ()
    """What a reader of the figures must know, one sentence each."""
    findings: tuple[Finding, ...] = ()
    """One for each criterion that failed; they belong to the document's findings, beside its data."""
