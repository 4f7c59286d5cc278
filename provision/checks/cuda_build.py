"""Checks of a torch build beside what the system brings: cuda.ld_shadow, cuda.minor_compat, nccl.version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..versions import CudaVersion
from .base import Check, check
from .cuda_variables import found_in

if TYPE_CHECKING:
    from ..records import Evidence, Finding
    from .base import Facts, Verdict

_DISTRIBUTIONS: Final = {
    "cudart": "nvidia-cuda-runtime",
    "cublas": "nvidia-cublas",
    "cublasLt": "nvidia-cublas",
    "cudnn": "nvidia-cudnn",
    "nccl": "nvidia-nccl",
    "nvJitLink": "nvidia-nvjitlink",
    "nvrtc": "nvidia-cuda-nvrtc",
    "cusparse": "nvidia-cusparse",
    "cusolver": "nvidia-cusolver",
    "cufft": "nvidia-cufft",
    "curand": "nvidia-curand",
}
"""Distribution that brings a library to a torch build; libcupti counts its releases otherwise."""
Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class First:
    """A CUDA library that a variable puts before all others."""

    variable: str
    stem: str
    """nccl of libnccl.so.2."""
    major: int
    path: str
    release: Numbers | None
    """From the name of the file behind the links; None where that has only the major."""


def libraries_first(facts: Facts) -> tuple[First, ...]:
    """What LD_PRELOAD and LD_LIBRARY_PATH put first."""
    found = []
    for reading in facts.readings("cuda.library_first"):
        if isinstance(reading.value, tuple) and len(reading.value) == 3:  # noqa: PLR2004 -- name, path, file behind it
            name, path, real = (str(one) for one in reading.value)
            match = re.fullmatch(r"lib(\w+)\.so\.(\d+)", name)
            release = re.search(r"\.so\.(\d+(?:\.\d+)+)$", real)
            if match:
                numbers = tuple(int(one) for one in release[1].split(".")) if release else None
                found.append(First(reading.source, match[1], int(match[2]), path, numbers))
    return tuple(found)


def _installed(facts: Facts, stem: str, major: int) -> Numbers | None:
    """Release that the environment has of a library, of that major; None: it has none, or nobody looked."""
    wanted = _DISTRIBUTIONS.get(stem, "?")
    for value in facts.values("env.distribution"):
        if not isinstance(value, tuple) or not re.fullmatch(rf"{wanted}(?:-cu\d+)?", str(value[0])):
            continue
        numbers = tuple(int(one) for one in re.findall(r"\d+", str(value[1]).partition("+")[0]))
        if numbers[:1] == (major,):
            return numbers
    return None


def _dotted(numbers: Numbers | None) -> str:
    return ".".join(map(str, numbers)) if numbers else "unknown"


def _is_older(one: Numbers, other: Numbers) -> bool:
    """By the parts that both have: file names of cuDNN lack the last one."""
    size = min(len(one), len(other))
    return one[:size] < other[:size]


# --- cuda.ld_shadow


@check("cuda.ld_shadow", level="instant", needs=("gpu",), leads=("nccl.version",))
def ld_shadow(facts: Facts, say: Verdict) -> Finding:
    """No variable puts other CUDA libraries before those of the torch build.

    What it finds
        LD_LIBRARY_PATH or LD_PRELOAD leading to libcublas, libcudnn, libnvJitLink, libnccl and others of a toolkit.

    Why it matters
        A torch build brings these libraries in the releases that it was made with. Some of them find each other after
        LD_LIBRARY_PATH was searched. An older one there ends in an undefined symbol, or in a cuDNN that does not fit.

    How it is decided
        With --env: a library there that is older than the environment's of the same major warns; another major has
        another name and does no harm. Without: LD_PRELOAD of one warns, and outside of containers, whose images are
        made to fit, so does LD_LIBRARY_PATH with libnvJitLink or libcudnn.

    What to do
        `unset LD_LIBRARY_PATH` for Python, or take the toolkit's folder out of it. PyTorch does not need it.

    Sources
        ld.so(8), the order of the search; PyTorch issues on __nvJitLinkAddData (read 2026-11).
    """
    if not facts.was_looked_at("environment.looked_at"):
        return say.skipped("Variables are not among these facts.")
    found = [one for one in libraries_first(facts) if one.stem != "cuda"]
    if not found:
        return say.passed("LD_LIBRARY_PATH and LD_PRELOAD lead to no CUDA library.")
    if facts.value("env.torch_version"):
        return _against_build(facts, say, found)
    preloaded = [one for one in found if one.variable == "LD_PRELOAD"]
    risky = [one for one in found if one.stem in {"nvJitLink", "cudnn"} and not facts.machine.host.container]
    if preloaded or risky:
        one = (preloaded or risky)[0]
        return _shadowed(facts, say, one, f"{one.variable} puts {one.path} before the library of a torch build")
    return say.passed(
        f"{found[0].variable} leads to CUDA libraries, such as {found[0].path}; with --env they are compared.",
        *_shown(facts),
    )


def _against_build(facts: Facts, say: Verdict, found: list[First]) -> Finding:
    for one in found:
        mine = _installed(facts, one.stem, one.major)
        if mine and one.release and _is_older(one.release, mine):
            return _shadowed(
                facts,
                say,
                one,
                f"{one.variable} puts lib{one.stem} {_dotted(one.release)} before the environment's {_dotted(mine)}",
            )
    return say.passed(
        f"{found[0].variable} leads to CUDA libraries, none of them older than the environment's.", *_shown(facts)
    )


def _shown(facts: Facts) -> tuple[Evidence, ...]:
    return facts.evidence("cuda.library_first")[:12]


def _shadowed(facts: Facts, say: Verdict, one: First, happened: str) -> Finding:
    return say.warned(
        f"{happened}.",
        *_shown(facts),
        *facts.evidence(f"environment_set_in.{one.variable}"),
        safe=(f"env -u {one.variable} python -c 'import torch'", *found_in(facts, one.variable)),
    )


# --- cuda.minor_compat


@check("cuda.minor_compat", level="quick", needs=("gpu",), not_on=("jetson",))
def minor_compat(facts: Facts, say: Verdict) -> Finding:
    """What is built here for CUDA can run on this driver.

    What it finds
        A CUDA toolkit that is newer than the driver, and a torch build that lives on minor-version compatibility.

    Why it matters
        Within one major, programs of a newer CUDA start on an older driver. What they can't do is have PTX compiled by
        it (error 222), or call what only a newer driver has (error 36). torch brings machine code and meets neither;
        extensions that are built on the box do.

    How it is decided
        The CUDA of libcuda against the toolkit in /usr/local/cuda and, with --env, torch.version.cuda. A newer toolkit
        warns. A torch of a newer minor passes with a sentence; one of a newer major is a matter for wheel.driver_floor.

    What to do
        Update the driver, or build with a toolkit of the driver's CUDA or older.

    Sources
        CUDA Compatibility guide, minor version compatibility (read 2026-11).
    """
    driver, toolkit, build = _cuda_of_driver(facts), _cuda_of_toolkit(facts), _cuda(facts.text("env.torch_cuda"))
    if driver is None:
        return say.skipped("The driver's CUDA is not known.")
    shown = facts.evidence("cuda.driver_version", "cuda.toolkit", "env.torch_cuda")
    if toolkit is not None and toolkit > driver:
        end = "can't run" if toolkit.major > driver.major else "can't have PTX compiled (error 222)"
        return say.warned(
            f"The toolkit is CUDA {toolkit} and the driver is for {driver}: what is built here {end}.",
            *shown,
            safe=(f"build with CUDA {driver} or older", "gpusetup driver plan"),
        )
    if build is not None and build.major == driver.major and build > driver:
        return say.passed(f"torch is for CUDA {build} and runs on a driver for {driver}; PTX it could not use.", *shown)
    return say.passed(f"The driver is for CUDA {driver}; nothing here is built for a newer one of that major.", *shown)


def _cuda(text: str | None) -> CudaVersion | None:
    return CudaVersion.parse(text) if text and re.fullmatch(r"\d+\.\d+(\.\d+)*", text) else None


def _cuda_of_driver(facts: Facts) -> CudaVersion | None:
    number = facts.number("cuda.driver_version")
    if number:
        return CudaVersion.from_nvml(int(number))
    return facts.machine.driver.driver_cuda_version if facts.machine.driver else None


def _cuda_of_toolkit(facts: Facts) -> CudaVersion | None:
    """Of the toolkit that builds take when nobody says otherwise."""
    named = (reading for reading in facts.readings("cuda.toolkit") if reading.source == "/usr/local/cuda")
    return next((_cuda(str(reading.value)) for reading in named if reading.failure is None), None)


# --- nccl.version


@check("nccl.version", level="quick", needs=("gpu", "env"))
def nccl_version(facts: Facts, say: Verdict) -> Finding:
    """Programs get the NCCL that the torch build brings.

    What it finds
        A libnccl in LD_LIBRARY_PATH or LD_PRELOAD of another release than the environment's.

    Why it matters
        All ranks of a job must have one NCCL. A second one on the way of the loader makes "Mismatched NCCL versions",
        or a library without a function that torch needs.

    How it is decided
        The release in the file name that the variable leads to, against the distribution nvidia-nccl of the
        environment. Another one warns. An NCCL in the loader's cache does no harm: the build's own is found first.

    What to do
        Take the folder out of LD_LIBRARY_PATH, or remove the preload.

    Sources
        ld.so(8); NCCL documentation, environment variables (read 2026-11).
    """
    mine = _installed(facts, "nccl", 2)
    if mine is None:
        return say.skipped("The environment has no NCCL of its own.")
    other = next((one for one in libraries_first(facts) if one.stem == "nccl"), None)
    if other is None or other.release is None:
        return say.passed(f"Only the environment's NCCL {_dotted(mine)} is in the way of the loader.")
    if other.release[:3] == mine[:3]:
        return say.passed(f"Both NCCL that the loader can find are {_dotted(mine)}.")
    return say.warned(
        f"{other.variable} leads to NCCL {_dotted(other.release)}, and the environment has {_dotted(mine)}.",
        *_shown(facts),
        safe=(f"env -u {other.variable} python -c 'import torch; print(torch.cuda.nccl.version())'",),
    )


CHECKS: tuple[Check, ...] = (ld_shadow, minor_compat, nccl_version)
