"""Checks of variables and files that change what CUDA does: cuda.env_debug, cuda.jit_cache, cuda.toolkit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .base import Check, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..records import Evidence, Finding
    from ..versions import ComputeCapability
    from .base import Facts, Verdict

_EFFECTS: Final = {
    ("CUDA_LAUNCH_BLOCKING", "1"): "every kernel is waited for, so all work is slower",
    ("CUDA_DISABLE_PTX_JIT", "1"): "code can't be compiled for a GPU, programs end with error 223",
    ("CUDA_FORCE_PTX_JIT", "1"): "all kernels are compiled anew, and those without PTX fail",
    ("CUDA_AUTO_BOOST", "0"): "GPUs stay below their boost clocks",
    ("CUDA_PROFILE", "1"): "every program is profiled",
    ("COMPUTE_PROFILE", "1"): "every program is profiled",
    ("CUDA_ENABLE_COREDUMP_ON_EXCEPTION", "1"): "a failing kernel writes the memory of the GPU to disk",
    ("CUDA_ENABLE_USER_TRIGGERED_COREDUMP", "1"): "programs wait for a request to write their GPU's memory to disk",
    ("CUDA_DEVICE_WAITS_ON_EXCEPTION", "1"): "a failing kernel waits for a debugger for ever",
    ("CUDA_DEBUGGER_SOFTWARE_PREEMPTION", "1"): "kernels are interrupted for a debugger",
    ("CUDA_MANAGED_FORCE_DEVICE_ALLOC", "1"): "memory that is shared with the CPU stays on the GPU",
    ("PYTORCH_NO_CUDA_MEMORY_CACHING", "1"): "PyTorch asks the driver for every tensor, which is slow",
    ("NVIDIA_TF32_OVERRIDE", "0"): "TF32 is off in every library, whatever the program asks",
    ("NVIDIA_TF32_OVERRIDE", "1"): "TF32 is on in every library, whatever the program asks",
}
_INJECTED: Final = ("CUDA_INJECTION64_PATH", "CUDA_INJECTION32_PATH", "NVTX_INJECTION64_PATH")
_ALLOCATORS: Final = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
_PIDFD_KERNEL = (5, 6)
"""Linux with pidfd_getfd, by which processes hand each other expandable segments."""


def variable(facts: Facts, name: str) -> str | None:
    """Value of a variable that is set and has its form."""
    return facts.text(f"environment.{name}")


def found_in(facts: Facts, *names: str) -> tuple[str, ...]:
    """Command that shows where these are set, in the files that were seen to set them."""
    files: dict[str, None] = {}
    for name in names:
        files |= dict.fromkeys(facts.texts(f"environment_set_in.{name}") or ())
    looked = " ".join(files) or "~/.bashrc ~/.profile /etc/environment /etc/profile.d"
    return (f"grep -rsn -e {' -e '.join(names)} {looked}",)


def set_in(facts: Facts, *names: str) -> tuple[Evidence, ...]:
    """The variables with the files that set them."""
    return facts.evidence(*(one for name in names for one in (f"environment.{name}", f"environment_set_in.{name}")))


# --- cuda.env_debug


@check("cuda.env_debug", level="instant", needs=("gpu",))
def env_debug(facts: Facts, say: Verdict) -> Finding:
    """No variable for debugging or profiling was left on.

    What it finds
        Variables that slow every CUDA program down, load a tool into it, or make it fail: CUDA_LAUNCH_BLOCKING,
        CUDA_INJECTION64_PATH, CUDA_DISABLE_PTX_JIT and others. Also a TORCH_CUDA_ARCH_LIST without this box's GPUs,
        and expandable segments on a kernel that can't share them.

    Why it matters
        They are set for an hour of debugging and stay in a profile for years. No error tells of them.

    How it is decided
        The value of each variable, where it is one of the few that it may have. A value that changes something warns.
        TORCH_CUDA_ARCH_LIST warns when no entry makes code that a GPU here can run. expandable_segments:True warns on
        Linux before 5.6, which lacks pidfd_getfd.

    What to do
        `unset` the variable, in the file that sets it.

    Sources
        CUDA C++ Programming Guide, environment variables; NVIDIA DCGM, nvvs/src/Software.cpp; PyTorch, memory
        management; pidfd_getfd(2) (read 2026-11).
    """
    if not facts.was_looked_at("environment.looked_at"):
        return say.skipped("Variables are not among these facts.")
    found = [*_debugging(facts), *_injected(facts), *_architectures(facts), *_allocator(facts)]
    if not found:
        return say.passed("No variable for debugging is set.")
    names = tuple(dict.fromkeys(name for name, _ in found))
    said = "; ".join(f"{name} is set: {effect}" for name, effect in found)
    return say.warned(f"{said}.", *set_in(facts, *names), safe=(f"unset {' '.join(names)}", *found_in(facts, *names)))


def _debugging(facts: Facts) -> Iterator[tuple[str, str]]:
    for (name, value), effect in _EFFECTS.items():
        if variable(facts, name) == value:
            yield name, effect


def _injected(facts: Facts) -> Iterator[tuple[str, str]]:
    for name in _INJECTED:
        end = variable(facts, name)
        if end == "exists":
            yield name, "a tool is loaded into every program"
        elif end == "missing":
            yield name, "it names a file that does not exist"


def _architectures(facts: Facts) -> Iterator[tuple[str, str]]:
    name = "TORCH_CUDA_ARCH_LIST"
    if facts.failure(f"environment.{name}"):
        yield name, "to something that is no list of architectures, so extensions can't be built"
    value = variable(facts, name)
    for gpu in facts.gpus if value else ():
        if gpu.compute_capability and not is_built_for(value or "", gpu.compute_capability):
            yield name, f"extensions that are built here will not run on {gpu.name} ({gpu.compute_capability})"
            return


# 7.5 8.0;8.6 9.0+PTX     Ampere
def is_built_for(architectures: str, capability: ComputeCapability) -> bool:
    """Whether a list of architectures holds code that such a GPU can run; names of families are believed."""
    for entry in filter(None, re.split(r"[\s;,]+", architectures)):
        match = re.fullmatch(r"(\d+)\.(\d)([a-f]?)(\+PTX)?", entry, re.IGNORECASE)
        if match is None:
            return True
        built = (int(match[1]), int(match[2]))
        if match[3] and built == tuple(capability):
            return True
        # Machine code runs on later GPUs of the same major, PTX on all later ones; a letter ties both to one GPU.
        if not match[3] and built <= tuple(capability) and (built[0] == capability.major or match[4]):
            return True
    return False


def _allocator(facts: Facts) -> Iterator[tuple[str, str]]:
    kernel = re.match(r"(\d+)\.(\d+)", facts.machine.host.kernel or "")
    if kernel is None or (int(kernel[1]), int(kernel[2])) >= _PIDFD_KERNEL:
        return
    for name in _ALLOCATORS:
        if re.search(r"expandable_segments\s*:\s*true", variable(facts, name) or "", re.IGNORECASE):
            yield name, f"Linux {kernel.group()} can't share expandable segments between processes"


# --- cuda.jit_cache


@check("cuda.jit_cache", level="instant", needs=("gpu",))
def jit_cache(facts: Facts, say: Verdict) -> Finding:
    """Code that CUDA compiles for this GPU can be kept for the next start.

    What it finds
        A folder for compiled code that this user can't write to.

    Why it matters
        Builds without machine code for a GPU are compiled when a program starts, which takes seconds to minutes. With
        nowhere to keep the outcome that happens at every start, in every process.

    How it is decided
        The folder of CUDA_CACHE_PATH, else ~/.nv/ComputeCache, or the nearest folder above that exists: one that this
        user may not write to warns. On a filesystem of the network nothing is tried, and its type is told.

    What to do
        Set CUDA_CACHE_PATH to a folder on a local disk.

    Sources
        CUDA C++ Programming Guide, environment variables (read 2026-11).
    """
    writable = facts.flag("cuda.jit_cache.is_writable")
    kind = facts.text("cuda.jit_cache.filesystem")
    reading = facts.reading("cuda.jit_cache.filesystem") or facts.reading("cuda.jit_cache.is_writable")
    if reading is None:
        return say.skipped("The folder for compiled code is not among these facts.")
    if writable is False:
        return say.warned(
            f"Code that CUDA compiles can't be kept: {reading.source} can't be written to by this user.",
            *facts.evidence("cuda.jit_cache.is_writable", "cuda.jit_cache.filesystem"),
            safe=('export CUDA_CACHE_PATH="${TMPDIR:-/tmp}/cuda-cache-$(id -u)"',),
        )
    if writable is None and kind is not None:
        return say.passed(
            f"{reading.source} is on {kind}; a local folder in CUDA_CACHE_PATH is faster.",
            *facts.evidence("cuda.jit_cache.filesystem"),
        )
    if writable is None:
        return say.unknown("Neither HOME nor CUDA_CACHE_PATH says where compiled code is kept.")
    return say.passed(f"{reading.source} can be written to.", *facts.evidence("cuda.jit_cache.filesystem"))


# --- cuda.toolkit


@check("cuda.toolkit", level="instant", needs=("gpu",))
def toolkit(facts: Facts, say: Verdict) -> Finding:
    """CUDA_HOME leads to a CUDA toolkit, or is not set.

    What it finds
        A CUDA_HOME or CUDA_PATH that names a folder which is gone, or one without nvcc. Otherwise it tells which
        toolkits are installed.

    Why it matters
        A toolkit is neither the driver nor the CUDA of a torch build, which brings its own: it is needed only to build
        extensions. Those builds trust CUDA_HOME.

    How it is decided
        A folder that does not exist warns, and outside of containers one without bin/nvcc. Toolkits are read from
        /usr/local/cuda*/version.json; having none passes.

    What to do
        `unset CUDA_HOME`, or set it to the toolkit of the release that torch.version.cuda names.

    Sources
        PyTorch, torch/utils/cpp_extension.py (read 2026-11).
    """
    if not facts.was_looked_at("environment.looked_at"):
        return say.skipped("Variables are not among these facts.")
    shown = facts.evidence("cuda.toolkit", "cuda.nvcc")
    for name in ("CUDA_HOME", "CUDA_PATH"):
        end = variable(facts, name)
        if end == "missing" or (end == "no-compiler" and not facts.machine.host.container):
            fault = "a folder that does not exist" if end == "missing" else "a folder without nvcc"
            return say.warned(
                f"{name} names {fault}: extensions can't be built.",
                *set_in(facts, name),
                *shown,
                safe=(f"unset {name}", "ls -d /usr/local/cuda*", *found_in(facts, name)),
            )
    versions = ", ".join(str(one) for one in facts.values("cuda.toolkit"))
    if versions:
        return say.passed(f"Toolkits for building: CUDA {versions}. PyTorch does not need them.", *shown)
    return say.passed("No CUDA toolkit is installed. PyTorch does not need one; building extensions would.", *shown)


CHECKS: tuple[Check, ...] = (env_debug, jit_cache, toolkit)
