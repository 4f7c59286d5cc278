"""NVML, asked in a child process under a deadline: its answers as values, its failures as readings."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..plain_text import plain
from ..records import Reading
from ..spellings import normal_bus_id
from ..versions import ComputeCapability, CudaVersion, DriverVersion
from .memory import lines_with

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..process import Completed
    from .surroundings import Surroundings

Outcome = Literal[
    "answered",
    "not-asked",
    "library-not-found",
    "driver-not-loaded",
    "version-mismatch",
    "no-permission",
    "gpu-lost",
    "failed",
    "timed-out",
    "crashed",
    "no-module",
]
"""How asking ended. `answered`: NVML started and every call returned, whatever it returned."""

# Return codes of NVML (nvmlReturn_t, NVML API reference)
_OUTCOMES: dict[int, Outcome] = {
    4: "no-permission",
    9: "driver-not-loaded",
    12: "library-not-found",
    15: "gpu-lost",
    17: "no-permission",
    18: "version-mismatch",
}
_LOST = {15, 16}
"""GPU is lost, GPU needs a reset: from any call these mean that the device does not work."""
_LONGEST_LINE = 65536
_MOST_IN_A_LIST = 1024
_KEPT_BYTES = {"base": 1024 * 1024, "health": 8 * 1024 * 1024}
KEPT_LINES = lines_with(r"^\{\"(?:at|facts?)\"")
"""The lines of our own children: libraries that they load may write, too."""
Depth = Literal["base", "health"]
"""`base`: what a GPU is and whether it answers. `health`: also all that the checks read (docs/readings.md)."""


@dataclass(frozen=True, slots=True)
class NvmlDevice:
    """One GPU as NVML (or nvidia-smi) lists it; None where it gave no value."""

    index: int
    uuid: str | None = None
    bus_id: str | None = None
    device_id: str | None = None
    name: str | None = None
    compute_capability: ComputeCapability | None = None
    memory_bytes: int | None = None
    mig_mode: Literal["enabled", "disabled"] | None = None
    mig_instances: int | None = None
    failure: str | None = None
    """Why the device can't be used: no handle, lost, or the library died while it was asked; None when it answers."""


@dataclass(frozen=True, slots=True)
class NvmlFacts:
    """Everything that one way of asking the driver brought."""

    outcome: Outcome
    driver_version: DriverVersion | None = None
    cuda_version: CudaVersion | None = None
    devices: tuple[NvmlDevice, ...] = ()
    readings: tuple[Reading, ...] = ()

    @property
    def healthy(self) -> tuple[NvmlDevice, ...]:
        """The devices that answer."""
        return tuple(device for device in self.devices if device.failure is None)


def not_asked(why: str) -> NvmlFacts:
    """NVML was left alone, for this reason."""
    return NvmlFacts(
        "not-asked",
        readings=(
            Reading("nvml.outcome", "nvml", "not-asked"),
            Reading("nvml.init", "nvml", failure=f"not asked: {why}"),
        ),
    )


def detect_nvml(around: Surroundings, depth: Depth = "base") -> NvmlFacts:
    """What NVML says on this machine, within the deadline."""
    module = around.answer("module pynvml", _pynvml_folder)
    if module is None:
        why = "the Python module pynvml (distribution nvidia-ml-py) is not installed beside gpusetup"
        return NvmlFacts(
            "no-module",
            readings=(Reading("nvml.outcome", "nvml", "no-module"), Reading("nvml.init", "nvml", failure=why)),
        )
    probe = os.path.join(os.path.dirname(__file__), "nvml_probe.py")  # noqa: PTH118, PTH120 -- handed to argv
    completed = around.ask(
        f"nvml {depth}",
        # -I and -S: neither the user's PYTHONPATH nor site-packages, which also starts faster
        [around.python, "-I", "-S", probe, module, depth],
        deadline_s=around.nvml_deadline_s,
        silence_s=around.nvml_silence_s,
        keep_bytes=_KEPT_BYTES[depth],
        keep=KEPT_LINES,
    )
    return judge(completed, parse_probe_lines(completed.stdout))


def _pynvml_folder() -> str | None:
    """Folder that holds the module pynvml, without importing it."""
    from importlib.util import find_spec

    try:
        spec = find_spec("pynvml")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    folder = os.path.dirname(spec.origin)  # noqa: PTH120 -- handed to argv
    return os.path.dirname(folder) if spec.submodule_search_locations else folder  # noqa: PTH120


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the child about one call."""

    fact: str
    gpu: int | None
    value: Any = None
    code: int | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """All lines of the child."""

    answers: tuple[Answer, ...] = ()
    last_call: str | None = None
    """The call that the child was in when it wrote its last line."""

    def of(self, gpu: int | None) -> dict[str, Answer]:
        """Answers about one GPU, or about the system for None."""
        return {answer.fact: answer for answer in self.answers if answer.gpu == gpu}


# {"at": "nvmlDeviceGetName", "gpu": 0}
# {"fact": "name", "gpu": 0, "value": "NVIDIA A100-SXM4-80GB"}
# {"facts": {"ecc_mode": "enabled", "ecc_pending": "enabled"}, "gpu": 0}
# {"fact": "mig_mode", "gpu": 0, "code": 3, "failure": "Not Supported"}
def parse_probe_lines(text: str) -> Told:
    """Answers of the child; a last line that a crash cut off, and anything that a library printed, is left out."""
    import json

    decode = json.JSONDecoder(parse_constant=_no_number).decode  # once, and not for each of some thousand lines
    answers: list[Answer] = []
    last_call = None
    for raw in text.splitlines():
        try:
            line = decode(raw[:_LONGEST_LINE])
        except ValueError:
            continue
        if not isinstance(line, dict):
            continue
        gpu = line.get("gpu") if isinstance(line.get("gpu"), int) else None
        if isinstance(line.get("at"), str):
            last_call = line["at"]
        elif isinstance(line.get("facts"), dict):
            answers.extend(Answer(fact, gpu, value) for fact, value in line["facts"].items())
        elif isinstance(line.get("fact"), str):
            failure = plain(str(line["failure"])) if line.get("failure") is not None else None
            code = line.get("code") if isinstance(line.get("code"), int) else None
            answers.append(Answer(line["fact"], gpu, line.get("value"), code, failure))
    return Told(tuple(answers), last_call)


def _no_number(word: str) -> None:
    """NaN and Infinity are no JSON and no measurement."""
    raise ValueError(word)


def judge(completed: Completed, told: Told) -> NvmlFacts:
    """What the child's lines and its end mean together."""
    system = told.of(None)
    outcome, why = _outcome(completed, told, system)
    devices = _devices(told, system, ended="end" in system, why=why)
    readings = [
        Reading("nvml.outcome", "nvml", outcome),
        Reading("nvml.init", "nvml", True if why is None else None, why),
        *_system_readings(system),
        *_device_readings(told, devices),
    ]
    if completed.abandoned:
        readings.append(
            Reading("nvml.child", "nvml", failure="the process that asked NVML survived SIGKILL and was left behind")
        )
    return NvmlFacts(
        outcome,
        _driver_version(_value(system, "driver_version")),
        _cuda_version(_value(system, "cuda_driver_version")),
        devices,
        tuple(readings),
    )


def _outcome(completed: Completed, told: Told, system: dict[str, Answer]) -> tuple[Outcome, str | None]:
    """The class of the end, and its sentence unless everything was answered."""
    if completed.failure:
        return "failed", f"the process that asks NVML could not be started: {completed.failure}"
    if imported := system.get("import"):
        return "no-module", f"pynvml could not be imported: {imported.failure}"
    init = system.get("init")
    if init is not None and init.failure:
        return _OUTCOMES.get(init.code or 0, "failed"), _with_code(init)
    if "end" in system:
        return "answered", None
    call = told.last_call or "its start"
    if completed.timed_out:
        return "timed-out", f"{call} did not return within the deadline ({completed.duration_s:.1f} s in all)"
    if completed.returncode is not None and completed.returncode < 0:
        return "crashed", f"the process was ended by signal {-completed.returncode} in {call}"
    return "crashed", f"the process ended with status {completed.returncode} in {call}"


def _with_code(answer: Answer) -> str:
    return f"{answer.failure} (NVML code {answer.code})" if answer.code is not None else str(answer.failure)


def _devices(told: Told, system: dict[str, Answer], *, ended: bool, why: str | None) -> tuple[NvmlDevice, ...]:
    count = _value(system, "count")
    if not isinstance(count, int) or isinstance(count, bool):
        return ()
    by_gpu: dict[int | None, dict[str, Answer]] = {}
    for answer in told.answers:
        by_gpu.setdefault(answer.gpu, {})[answer.fact] = answer
    return tuple(_device(index, by_gpu.get(index, {}), None if ended else why) for index in range(min(count, 256)))


def _device(index: int, answers: dict[str, Answer], why_cut_short: str | None) -> NvmlDevice:
    device_number = _value(answers, "pci_device_id")
    mig, instances = _value(answers, "mig_mode"), _value(answers, "mig_instances")
    device = NvmlDevice(
        index,
        uuid=_text(answers, "uuid"),
        bus_id=normal_bus_id(_text(answers, "pci_bus_id") or ""),
        device_id=device_id(device_number) if isinstance(device_number, int) else None,
        name=_text(answers, "name"),
        compute_capability=_capability(_value(answers, "compute_capability")),
        memory_bytes=_positive(_value(answers, "memory_bytes")),
        mig_mode={0: "disabled", 1: "enabled"}.get(mig) if isinstance(mig, int) else None,  # type: ignore[arg-type]
        mig_instances=instances if isinstance(instances, int) else None,
    )
    return replace(device, failure=_why_unusable(answers, why_cut_short))


def _why_unusable(answers: dict[str, Answer], why_cut_short: str | None) -> str | None:
    handle = answers.get("handle")
    if handle is not None and handle.failure:
        return _with_code(handle)
    lost = next((answer for answer in answers.values() if answer.code in _LOST), None)
    if lost is not None:
        return _with_code(lost)
    return None if "end" in answers else why_cut_short or "NVML was not asked about it"


# 0x20b210de
def device_id(number: int) -> str:
    """10de:20b2 from NVML's number, which holds the device id above the vendor id."""
    return f"{number & 0xFFFF:04x}:{number >> 16 & 0xFFFF:04x}"


def _value(answers: dict[str, Answer], fact: str) -> Any:
    return answers[fact].value if fact in answers else None


def _text(answers: dict[str, Answer], fact: str) -> str | None:
    value = _value(answers, fact)
    return plain(value) or None if isinstance(value, str) else None


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _capability(value: Any) -> ComputeCapability | None:
    match value:
        case [int(major), int(minor)] if 0 < major < 100 and 0 <= minor < 10:  # noqa: PLR2004 -- bounds of the form
            return ComputeCapability(major, minor)
    return None


def _driver_version(value: Any) -> DriverVersion | None:
    try:
        return DriverVersion(value.strip()) if isinstance(value, str) else None
    except ValueError:
        return None


def _cuda_version(value: Any) -> CudaVersion | None:
    number = _positive(value)
    return CudaVersion.from_nvml(number) if number else None


# --- readings

_SYSTEM_FACTS = (
    "driver_version",
    "nvml_version",
    "cuda_driver_version",
    "count",
    "conf_compute",
    "conf_compute_environment",
    "conf_compute_dev_tools",
    "conf_compute_ready",
    "sweep_s",
)
_CODE = re.compile(r"\(NVML code (-?\d+)\)$")


def code_of(reading: Reading | None) -> int | None:
    """NVML's return code behind a reading that failed, such as 3 for "not supported"; None where there is none.

    13 also stands for a function that nvidia-ml-py does not have.
    """
    found = _CODE.search(reading.failure) if reading is not None and reading.failure else None
    return int(found[1]) if found else None


def _system_readings(system: dict[str, Answer]) -> Iterable[Reading]:
    """Those of the box, and `pair.<I>.<J>.<fact>` of two GPUs."""
    known = [_reading(f"nvml.{fact}", system[fact]) for fact in _SYSTEM_FACTS if fact in system]
    return [*known, *(_reading(fact, answer) for fact, answer in system.items() if fact.startswith("pair."))]


def _device_readings(told: Told, devices: tuple[NvmlDevice, ...]) -> Iterable[Reading]:
    """One reading per call and GPU; the facts that a list keeps (`end`, `handle`) only when they failed."""
    readings = [
        _reading(f"gpu.{answer.gpu}.{answer.fact}", answer)
        for answer in told.answers
        if answer.gpu is not None and answer.fact != "end" and (answer.fact != "handle" or answer.failure)
    ]
    failed = [Reading(f"gpu.{one.index}.usable", "nvml", failure=one.failure) for one in devices if one.failure]
    return [*readings, *failed]


def _reading(name: str, answer: Answer) -> Reading:
    if answer.failure:
        return Reading(name, "nvml", failure=_with_code(answer))
    value = answer.value
    if isinstance(value, str):
        value = plain(value)
    elif isinstance(value, list) and name.endswith(".compute_capability"):
        value = ".".join(str(part) for part in value)
    elif isinstance(value, list):
        value = tuple(plain(one) if isinstance(one, str) else one for one in value[:_MOST_IN_A_LIST])
        if not all(one is None or isinstance(one, str | int | float) for one in value):
            return Reading(name, "nvml", failure="the answer was no list of plain values")
    elif isinstance(value, int) and name.endswith(".pci_device_id"):
        value = device_id(value)
    if value is None or value == "":
        return Reading(name, "nvml", failure="the answer was empty")
    return Reading(name, "nvml", value)
