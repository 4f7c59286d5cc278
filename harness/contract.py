"""Job and report: the two files that the harness reads and writes. Standard library only, no side effects.

Both are JSON objects with a `schema`. Within a major version fields may be added, never renamed or removed; a reader
ignores fields that it does not know and refuses another major version. Unknown is null, and a neighbouring `reason`
or the notes say why.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Optional, Tuple, Type, TypeVar, Union, get_args, get_origin, get_type_hints

JOB_SCHEMA = "gpusetup.harness-job/1"
REPORT_SCHEMA = "gpusetup.harness-report/1"
STATUSES = ("completed", "device-unavailable", "failed", "not-finite", "interrupted")
DEVICES = ("cuda", "cpu")
PRECISIONS = ("fp32", "bf16", "fp16")
MAX_FILE_BYTES = 64 * 2**20


class Exit(IntEnum):
    """Exit codes of the harness. With every code except BAD_JOB there is a whole report."""

    COMPLETED = 0
    BAD_JOB = 2
    DEVICE_UNAVAILABLE = 10
    NOT_FINITE = 11
    FAILED = 12
    INTERRUPTED = 130
    TERMINATED = 143


class ContractError(ValueError):
    """A job or report that is not what it should be; the text names the place, what was found and what is expected."""


@dataclass(frozen=True)
class Job:
    """What to run."""

    preset: str = "smoke"
    device: str = "cuda"
    """`cuda` never falls back to the CPU."""
    seed: int = 1
    """Seed of the initial weights, the order of the samples and dropout."""
    steps: Optional[int] = None
    """Optimizer steps instead of the preset's; None is the preset's number."""
    threads: Optional[int] = None
    """CPU threads; None is the physical cores that the process may use, as far as the preset has use for them."""
    output: Optional[str] = None
    """Folder for the trained model (safetensors, configuration, vocabulary); None saves nothing."""
    deadline_s: Optional[float] = None
    """Seconds of training after which the run ends as interrupted."""
    precision: Optional[str] = None
    """fp32, bf16 or fp16; None is what the device computes best."""


@dataclass(frozen=True)
class Software:
    """Versions as seen from inside the target environment."""

    python: str
    torch: str
    """torch.__version__ with its local label."""
    torch_cuda: Optional[str] = None
    """torch.version.cuda; None in a CPU build."""
    arch_list: Tuple[str, ...] = ()
    """GPU architectures that the build carries code for; empty when torch sees no GPU."""
    transformers: Optional[str] = None
    numpy: Optional[str] = None
    cudnn: Optional[str] = None
    driver: Optional[str] = None
    """NVIDIA driver release as the kernel module or NVML states it; None without one."""


@dataclass(frozen=True)
class Device:
    """One device that took part."""

    kind: str
    """cuda or cpu."""
    index: int
    name: Optional[str] = None
    compute_capability: Optional[str] = None
    memory_bytes: Optional[int] = None
    threads: Optional[int] = None
    """CPU threads that torch used; None for a GPU."""


@dataclass(frozen=True)
class Placement:
    """Where the work really was, read from the tensors, and whether a kernel gave the right result there."""

    requested: str
    parameters: Optional[str] = None
    """Device type of the model's parameters; several are joined by +."""
    batches: Optional[str] = None
    """Device types of the batches that were trained on, joined by +."""
    kernel_error: Optional[float] = None
    """Largest relative difference between a matrix product on the device and the same in fp64 on the CPU."""
    kernel_bar: Optional[float] = None


@dataclass(frozen=True)
class Workload:
    """Identity of the work: two runs are compared only where the digests are equal."""

    id: str
    digest: str
    """SHA-256 over everything below, the data, their order and the model's configuration."""
    data_digest: str
    preset: str
    task: str
    model: str
    parameters: int
    sequence: int
    """Longest sequence in tokens."""
    batch: int
    precision: str
    """fp32, bf16 or fp16 of the matrix products; weights and optimizer are fp32."""
    steps: int
    seed: int


@dataclass(frozen=True)
class Counts:
    """What was really executed, counted as it was consumed."""

    planned_steps: int
    executed_steps: int
    samples: int
    tokens: int
    """Real tokens, padding excluded."""
    padded_tokens: int
    """All positions of the batches, padding included."""
    skipped_updates: int = 0
    """Steps whose update the fp16 loss scaler left out; they count as executed."""


@dataclass(frozen=True)
class StepTime:
    """Percentiles of the step times of the window, seconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Throughput:
    """Totals over one wall-clock interval; null rates have their reason."""

    comparable: bool
    reason: Optional[str] = None
    """Why the rates are null or must not be compared with other machines."""
    samples_per_s: Optional[float] = None
    tokens_per_s: Optional[float] = None
    step_time_s: Optional[StepTime] = None
    cv: Optional[float] = None
    """Standard deviation of the step times over their mean."""
    warmup_steps: int = 0
    compile_s: Optional[float] = None
    data_wait_share: Optional[float] = None
    """Share of the window spent waiting for the next batch."""
    window_s: Optional[float] = None


@dataclass(frozen=True)
class Quality:
    """What was learned, measured on held-out messages after training."""

    accuracy: float
    macro_f1: float
    eval_loss: Optional[float]
    first_loss: Optional[float]
    """Mean training loss of the first tenth of the steps."""
    last_loss: Optional[float]
    """Mean training loss of the last tenth of the steps."""
    chance: float
    majority_baseline: float
    samples: int


@dataclass(frozen=True)
class Numerics:
    """Whether every loss and gradient norm was a finite number."""

    finite: bool
    first_non_finite_step: Optional[int] = None
    max_gradient_norm: Optional[float] = None
    """Largest norm before clipping."""


@dataclass(frozen=True)
class Memory:
    """Peak memory; `kind` says of what: cuda (torch's allocator) or rss (resident set of the process)."""

    kind: str
    peak_allocated_bytes: Optional[int] = None
    peak_reserved_bytes: Optional[int] = None
    peak_rss_bytes: Optional[int] = None


@dataclass(frozen=True)
class HostLoad:
    """How much of the host's CPU time in the window went to others; null when /proc/stat cannot be read."""

    foreign_share: Optional[float] = None
    steal_share: Optional[float] = None
    cores: Optional[int] = None


@dataclass(frozen=True)
class Phase:
    """Wall seconds of one phase."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """What happened. Everything that could not be learned is None."""

    status: str
    job: Job
    reason: Optional[str] = None
    """Why the status is not completed, in the words of whoever failed."""
    software: Optional[Software] = None
    devices: Tuple[Device, ...] = ()
    placement: Optional[Placement] = None
    workload: Optional[Workload] = None
    counts: Optional[Counts] = None
    throughput: Optional[Throughput] = None
    quality: Optional[Quality] = None
    numerics: Optional[Numerics] = None
    memory: Optional[Memory] = None
    host_load: Optional[HostLoad] = None
    phases: Tuple[Phase, ...] = ()
    losses: Tuple[Optional[float], ...] = ()
    """Training loss of every executed step; null where it was not finite."""
    notes: Tuple[str, ...] = field(default=())


Document = TypeVar("Document", Job, Report)


def dump(document: Union[Job, Report]) -> str:
    """The document as JSON text with its schema."""
    schema = JOB_SCHEMA if isinstance(document, Job) else REPORT_SCHEMA
    content = {"schema": schema, **dataclasses.asdict(document)}
    return json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def write(document: Union[Job, Report], path: str) -> None:
    """Writes the document whole or not at all. Raises OSError."""
    text = dump(document)
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def read_job(path: str) -> Job:
    """The job in a file. Raises ContractError, OSError."""
    return parse_job(_read(path))


def read_report(path: str) -> Report:
    """The report in a file. Raises ContractError, OSError."""
    return parse_report(_read(path))


def parse_job(text: str) -> Job:
    """The job in JSON text. Raises ContractError."""
    job = _document(text, Job, JOB_SCHEMA, "job")
    _one_of(job.device, DEVICES, "job.device")
    if job.precision is not None:
        _one_of(job.precision, PRECISIONS, "job.precision")
    for name, number in (("steps", job.steps), ("threads", job.threads), ("deadline_s", job.deadline_s)):
        if number is not None and number <= 0:
            raise ContractError(f"job.{name}: found {number}, expected a number above 0 or null")
    return job


def parse_report(text: str) -> Report:
    """The report in JSON text. Raises ContractError."""
    report = _document(text, Report, REPORT_SCHEMA, "report")
    _one_of(report.status, STATUSES, "report.status")
    return report


def _read(path: str) -> str:
    if os.path.getsize(path) > MAX_FILE_BYTES:
        raise ContractError(f"{path}: found more than {MAX_FILE_BYTES} bytes, expected a small JSON file")
    with open(path, "rb") as stream:
        raw = stream.read()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise ContractError(f"{path}: found a byte that is not UTF-8 at {err.start}, expected JSON text") from err


def _document(text: str, kind: Type[Document], schema: str, place: str) -> Document:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ContractError(f"{place}: found text that is not JSON ({err}), expected one JSON object") from err
    if not isinstance(content, dict):
        raise ContractError(f"{place}: found {_shown(content)}, expected a JSON object")
    found = content.get("schema")
    if found != schema:
        raise ContractError(f"{place}.schema: found {_shown(found)}, expected {schema!r}")
    document: Document = _record(content, kind, place)
    return document


def _record(content: Any, kind: Any, place: str) -> Any:
    if not isinstance(content, dict):
        raise ContractError(f"{place}: found {_shown(content)}, expected an object")
    hints = get_type_hints(kind)
    values = {}
    for item in dataclasses.fields(kind):
        if item.name in content:
            values[item.name] = _value(content[item.name], hints[item.name], f"{place}.{item.name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ContractError(f"{place}.{item.name}: found nothing, expected {_wanted(hints[item.name])}")
    return kind(**values)


def _value(content: Any, hint: Any, place: str) -> Any:
    if get_origin(hint) is Union:
        if content is None:
            return None
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is tuple:
        if not isinstance(content, list):
            raise ContractError(f"{place}: found {_shown(content)}, expected a list")
        return tuple(_value(item, get_args(hint)[0], f"{place}[{number}]") for number, item in enumerate(content))
    if dataclasses.is_dataclass(hint):
        return _record(content, hint, place)
    return _scalar(content, hint, place)


def _scalar(content: Any, hint: Any, place: str) -> Any:
    if hint is float and type(content) in (int, float) and math.isfinite(content):
        return float(content)
    # A bool is an int in Python, and not in a document.
    if hint is not float and type(content) is hint:
        return content
    raise ContractError(f"{place}: found {_shown(content)}, expected {_wanted(hint)}")


def _one_of(found: str, options: Tuple[str, ...], place: str) -> None:
    if found not in options:
        raise ContractError(f"{place}: found {_shown(found)}, expected one of {', '.join(options)}")


def _wanted(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}
    return names.get(hint, "a value of its type")


def _shown(content: Any) -> str:
    shown = json.dumps(content, ensure_ascii=True)
    return shown if len(shown) <= 60 else shown[:57] + "..."
