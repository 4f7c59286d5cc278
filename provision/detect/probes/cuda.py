"""libcuda: where it comes from, what it answers in a child, and what lies around it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ...records import GpuState, Reading
from ..loader import find_library
from ..nvml import KEPT_LINES, parse_probe_lines
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...process import Completed
    from ...records import Machine
    from ..nvml import Answer, Told
    from ..surroundings import Surroundings

_LIBRARY: Final = "libcuda.so.1"
_JIT_COMPILER: Final = "libnvidia-ptxjitcompiler.so.1"
_LARGEST_COUNT: Final = 256
_CONTEXT_S: Final = 20.0
"""Longest that making a context and 1 MiB may take on one GPU."""
_SILENCE: Final = 4
"""cuInit starts every GPU in one call: so many times the longest that one NVML call may take."""
_ASKED_AFTER: Final = frozenset({"answered", "no-module", "library-not-found", "no-permission"})
"""Ends of asking NVML after which libcuda may be asked too: the others mean that it would hang, or fail alike."""


# --- files


def is_for_cuda(around: Surroundings, machine: Machine) -> bool:
    """Whether the files show a GPU, or at least a libcuda: some containers hide the bus."""
    return machine.gpu_state is not GpuState.NONE or find_library(around, _LIBRARY) is not None


def read_files(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Which libcuda the loader takes, the compiler beside it, and toolkits."""
    if not is_for_cuda(around, machine):
        return
    found = find_library(around, _LIBRARY)
    if found is not None:
        why = None if found.version else "the file's name holds no release"
        yield Reading("cuda.library_release", found.path, str(found.version) if found.version else None, why)
        if found.source == "/etc/ld.so.cache":
            yield from _configured_in(around, found.path)
    compiler = find_library(around, _JIT_COMPILER)
    why = None if compiler else f"{_JIT_COMPILER} is in no folder that the loader searches"
    yield Reading("cuda.jit_compiler", "loader search", compiler.path if compiler else None, why)
    yield from _toolkits(around)
    if around.exists("/tmp/nvidia-mps"):  # noqa: S108 -- where MPS has its pipes unless a variable says otherwise
        yield Reading("cuda.mps_folder", "/tmp/nvidia-mps", "control" in around.names("/tmp/nvidia-mps"))  # noqa: S108


def is_odd_place(path: str) -> bool:
    """Whether a library lies where no driver puts one: a toolkit's stubs, or a compatibility package."""
    return "/stubs/" in path or "/compat/" in path


def _odd_places_in(text: str) -> str:
    """Of a file of ld.so.conf.d no path is kept: it may be anybody's folder."""
    return "\n".join(mark for mark in ("/stubs", "/compat") if mark in text)


def _configured_in(around: Surroundings, path: str) -> Iterator[Reading]:
    """The file that put an odd folder into the loader's cache."""
    if not is_odd_place(path):
        return
    folder = "/etc/ld.so.conf.d"
    mark = "/stubs" if "/stubs/" in path else "/compat"
    files = tuple(
        name for name in around.names(folder) if mark in (around.text(f"{folder}/{name}", keep=_odd_places_in) or "")
    )
    yield Reading(
        "cuda.library_configured_in", folder, files or None, None if files else f"no file of it names a folder {mark}"
    )


def _toolkits(around: Surroundings) -> Iterator[Reading]:
    for name in around.names("/usr/local"):
        if not name.startswith("cuda"):
            continue
        folder = f"/usr/local/{name}"
        text, why = around.attempt(f"{folder}/version.json", longest=65536, keep=_kept_of_version)
        version = parse_toolkit_version(text or "")
        if version:
            yield Reading("cuda.toolkit", folder, version)
        elif text is not None or around.exists(f"{folder}/bin/nvcc"):
            yield Reading("cuda.toolkit", folder, failure=why or "version.json names no release")
    nvcc = around.program("nvcc")
    yield Reading("cuda.nvcc", "PATH", nvcc, None if nvcc else "nvcc is not on PATH")


# {"cuda": {"name": "CUDA SDK", "version": "12.4.1"}, "cuda_cccl": {"name": "CUDA C++ Core Compute Libraries", ...
def parse_toolkit_version(text: str) -> str | None:
    """Release of a toolkit from its version.json."""
    import json

    try:
        version = json.loads(text)["cuda"]["version"]
    except (ValueError, LookupError, TypeError):
        return None
    return version if isinstance(version, str) and version[:1].isdigit() and len(version) < 32 else None  # noqa: PLR2004


def _kept_of_version(text: str) -> str:
    version = parse_toolkit_version(text)
    return '{"cuda": {"version": "%s"}}' % version if version else ""  # noqa: UP031 -- braces


# --- the child


def read_library(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """What libcuda says without a context."""
    if machine.gpu_state is GpuState.NONE:
        return
    why_not = _why_left_alone(machine)
    if why_not:
        yield Reading("cuda.outcome", "libcuda", "not-asked")
        yield Reading("cuda.init", "libcuda", failure=f"not asked: {why_not}")
        return
    completed = around.ask(
        "cuda",
        _argv(around, "init"),
        deadline_s=around.nvml_deadline_s,
        silence_s=_SILENCE * around.nvml_silence_s,
        keep_bytes=1024 * 1024,
        keep=KEPT_LINES,
    )
    yield from judged(completed, parse_probe_lines(completed.stdout))


def _argv(around: Surroundings, *words: str) -> list[str]:
    probe = os.path.join(os.path.dirname(os.path.dirname(__file__)), "cuda_probe.py")  # noqa: PTH118, PTH120 -- argv
    # -I and -S: neither the user's PYTHONPATH nor site-packages; the loader's variables stay, they are the question
    return [around.python, "-I", "-S", probe, *words]


def _why_left_alone(machine: Machine) -> str | None:
    """Why CUDA is not started: it would wait for what already hangs, or fail for a reason that is known."""
    values = {reading.name: reading.value for reading in machine.readings if reading.failure is None}
    if values.get("driver.blocked_processes"):
        return "a program of the driver is stuck in the kernel"
    outcome = values.get("nvml.outcome")
    if machine.host.l4t:
        return None  # older Jetsons have no NVML at all
    if outcome not in _ASKED_AFTER:
        return f"NVML ended as {outcome}" if outcome else "NVML was not asked"
    return None


def judged(completed: Completed, told: Told) -> Iterator[Reading]:
    """Readings from the child's lines and its end."""
    system = told.of(None)
    outcome, why = _end(completed, told, system)
    yield Reading("cuda.outcome", "libcuda", outcome)
    yield from _answers(system, "cuda", ("library", "driver_version", "init_s", "count"))
    init = system.get("init")
    if init is None:
        yield Reading("cuda.init", "libcuda", failure=why or "cuInit was not reached")
    else:
        yield _reading("cuda.init", init)
        if init.code is not None or init.failure is None:
            yield Reading("cuda.init_code", "libcuda", init.code or 0)
    if why and init is not None and init.failure is None:
        yield Reading("cuda.child", "libcuda", failure=why)
    if completed.abandoned:
        yield Reading("cuda.child", "libcuda", failure="the process survived SIGKILL and was left behind")
    for gpu in sorted({answer.gpu for answer in told.answers if answer.gpu is not None}):
        yield from _device(told.of(gpu), f"cuda.device.{gpu}")


def _device(answers: dict[str, Answer], name: str) -> Iterator[Reading]:
    facts = ("handle", "name", "pci_bus_id", "uuid", "kernel_timeout", "compute_mode")
    yield from _answers(answers, name, facts)
    major, minor = answers.get("capability_major"), answers.get("capability_minor")
    if major and minor and major.failure is None and minor.failure is None:
        yield Reading(f"{name}.compute_capability", "libcuda", f"{major.value}.{minor.value}")


def _answers(answers: dict[str, Answer], name: str, facts: Iterable[str]) -> Iterator[Reading]:
    for fact in facts:
        answer = answers.get(fact)
        if answer is not None and not (fact == "handle" and answer.failure is None):
            yield _reading(f"{name}.{fact}", answer)


def _reading(name: str, answer: Answer) -> Reading:
    value = answer.value if isinstance(answer.value, (str, int, float, bool)) else None
    failure = answer.failure
    if failure is not None and answer.code is not None:
        failure = f"{failure} (CUDA code {answer.code})"
    if failure is None and value is None:
        failure = "an answer that makes no sense"
    return Reading(name, "libcuda", value, failure)


def _end(completed: Completed, told: Told, system: dict[str, Answer]) -> tuple[str, str | None]:
    """The class of the end, and its sentence unless everything was asked."""
    if completed.failure:
        return "failed", f"the process that asks libcuda could not be started: {completed.failure}"
    library = system.get("library")
    if library is not None and library.failure:
        return "library-not-loaded", library.failure
    if "end" in system:
        return "answered", None
    call = told.last_call or "its start"
    if completed.timed_out:
        return "timed-out", f"{call} did not return within the deadline ({completed.duration_s:.1f} s in all)"
    if completed.returncode is not None and completed.returncode < 0:
        return "crashed", f"the process was ended by signal {-completed.returncode} in {call}"
    if completed.returncode == 0 and system.get("init") is not None and system["init"].failure:
        return "answered", None
    return "crashed", f"the process ended with status {completed.returncode} in {call}"


# --- a context on every GPU


def read_contexts(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """One context, 1 MiB written and read back, on each device that CUDA shows."""
    if machine.gpu_state is GpuState.NONE or _why_left_alone(machine):
        return
    # Remembered since the probe before this one: the child is not started again.
    first = around.ask("cuda", lambda: _argv(around, "init"), deadline_s=around.nvml_deadline_s, keep=KEPT_LINES)
    count = parse_probe_lines(first.stdout).of(None).get("count")
    hung: int | None = None
    # The child believes no larger count, but a snapshot may say anything.
    devices = min(count.value, _LARGEST_COUNT) if count and isinstance(count.value, int) else 0
    for gpu in range(devices):
        name = f"cuda.device.{gpu}"
        if hung is not None:
            yield Reading(f"{name}.context", "libcuda", failure=f"not tried: device {hung} did not answer")
            continue
        completed = around.ask(
            f"cuda context {gpu}", _argv(around, "context", str(gpu)), deadline_s=_CONTEXT_S, keep=KEPT_LINES
        )
        yield from _tried(completed, parse_probe_lines(completed.stdout), gpu, name)
        if completed.timed_out:
            hung = gpu


def _tried(completed: Completed, told: Told, gpu: int, name: str) -> Iterator[Reading]:
    system, answers = told.of(None), told.of(gpu)
    outcome, why = _end(completed, told, system)
    yield Reading(f"{name}.context_outcome", "libcuda", outcome)
    steps = ("init", "handle", "context", "current", "allocated", "written", "read", "freed", "released")
    failed = next(
        ((step, one) for step in steps for one in (system.get(step), answers.get(step)) if one and one.failure), None
    )
    if failed is not None:
        code = f" (CUDA code {failed[1].code})" if failed[1].code is not None else ""
        yield Reading(f"{name}.context", "libcuda", failure=f"{_STEPS[failed[0]]}: {failed[1].failure}{code}")
        if failed[1].code is not None:
            yield Reading(f"{name}.context_code", "libcuda", failed[1].code)
    elif why is not None:
        yield Reading(f"{name}.context", "libcuda", failure=why)
    else:
        yield Reading(f"{name}.context", "libcuda", value=True)
    yield from _answers(answers, name, ("context_s", "seconds", "equal"))


_STEPS: Final = {
    "init": "cuInit",
    "handle": "cuDeviceGet",
    "context": "making a context",
    "current": "making a context",
    "allocated": "taking 1 MiB",
    "written": "writing 1 MiB",
    "read": "reading 1 MiB back",
    "freed": "giving 1 MiB back",
    "released": "letting go of the context",
}

PROBES: tuple[Probe, ...] = (
    Probe("cuda-files", "instant", read_files),
    Probe("cuda", "quick", read_library, is_after_driver=True),
    Probe("cuda-context", "standard", read_contexts, is_after_driver=True),
)
