"""Checks of which libcuda programs are given: cuda.compat_shadow, cuda.libcuda, cuda.api_version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from ..versions import CudaVersion, DriverVersion
from .base import Check, check

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_VARIABLE = "LD_LIBRARY_PATH"


def where(facts: Facts) -> str | None:
    """The libcuda that programs get: the file that the child had, else the one that the loader would take."""
    return facts.text("cuda.library") or facts.text("driver.cuda_library")


def release(facts: Facts) -> DriverVersion | None:
    """Driver release in the name of that libcuda."""
    text = facts.text("cuda.library_release")
    return DriverVersion(text) if text else None


def module_release(facts: Facts) -> DriverVersion | None:
    """Release of the loaded kernel module."""
    text = facts.text("driver.module_version") or facts.text("driver.proc_version")
    return DriverVersion(text) if text else None


def _places(facts: Facts) -> tuple[str, ...]:
    return tuple(filter(None, (facts.text("cuda.library"), facts.text("driver.cuda_library"))))


def _is_stub(facts: Facts) -> bool:
    return any("/stubs/" in place for place in _places(facts)) or facts.number("cuda.init_code") == _STUB


def _is_compat(facts: Facts) -> bool:
    return any("/compat/" in place for place in _places(facts))


def _way_out(facts: Facts, folder: str) -> tuple[str, ...]:
    """How to keep the loader from that folder."""
    if any(reading.source == _VARIABLE for reading in facts.readings("driver.cuda_library")):
        return (f"take the folder {folder} out of {_VARIABLE}, or `unset {_VARIABLE}` for this program",)
    files = facts.texts("cuda.library_configured_in") or ()
    named = " ".join(f"/etc/ld.so.conf.d/{file}" for file in files)
    return (
        f"grep -n {folder} {named}" if named else f"grep -rn {folder} /etc/ld.so.conf /etc/ld.so.conf.d",
        "take that line out, then: sudo ldconfig",
    )


def _shown(facts: Facts) -> tuple[Evidence, ...]:
    names = ("cuda.library", "driver.cuda_library", "cuda.library_configured_in", "cuda.library_release")
    return facts.evidence(*names, "driver.module_version", "cuda.init")


# --- cuda.compat_shadow


@check(
    "cuda.compat_shadow",
    level="instant",
    needs=("gpu",),
    not_on=("jetson", "wsl"),
    leads=("cuda.libcuda", "cuda.init", "cuda.api_version", "cuda.context"),
)
def compat_shadow(facts: Facts, say: Verdict) -> Finding:
    """No compatibility package (cuda-compat) stands in for the driver's libcuda where it can't work.

    What it finds
        A libcuda from a folder `compat` that the loader takes before the driver's own, on a board that refuses it, or
        beside a driver that it does not fit.

    Why it matters
        cuda-compat lets a newer CUDA run on an older driver of data-center boards. On a GeForce or workstation board
        cuInit ends with 804. A package that is older than the driver ends with 803. nvidia-smi shows nothing of it.

    How it is decided
        The path of libcuda.so.1, by the loader's order and from the process that loaded it. A compat folder passes
        where cuInit succeeded. Otherwise it fails when cuInit answered 803 or 804, when a board is of a class that
        the matrix lists as refused, or when the package is older than the loaded kernel module. A driver branch that
        the matrix lists as refused warns.

    What to do
        Take the folder out of LD_LIBRARY_PATH or ld.so.conf.d, or bring the driver to the package's release.

    Sources
        CUDA Compatibility guide, forward compatibility; the matrix, forward_compatibility (read 2026-11).
    """
    if not _places(facts):
        return say.skipped("No libcuda was found; see cuda.libcuda.")
    if not _is_compat(facts):
        return say.passed("libcuda is not from a compatibility package.")
    code = facts.number("cuda.init_code")
    if code == 0:
        return say.passed("libcuda is from a compatibility package, and cuInit accepts it here.", *_shown(facts))
    why = _refusal(facts, code)
    if why is not None:
        return say.failed(
            f"libcuda is from a compatibility package, and {why}.", *_shown(facts), safe=_way_out(facts, "compat")
        )
    if _is_listed_as_refused(facts):
        return say.warned(
            "libcuda is from a compatibility package that is not made for this driver branch.",
            *_shown(facts),
            safe=_way_out(facts, "compat"),
        )
    return say.passed("libcuda is from a compatibility package, which this board and driver can have.", *_shown(facts))


def _refusal(facts: Facts, code: float | None) -> str | None:
    """Why the package can't work here, as the end of a sentence."""
    if code == 804:  # noqa: PLR2004 -- CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE
        return "CUDA does not take it on this board (error 804)"
    if code == 803:  # noqa: PLR2004 -- CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        return "it does not fit the loaded driver (error 803)"
    mine, module = release(facts), module_release(facts)
    if mine is not None and module is not None and mine < module:
        return f"its release {mine} is older than the driver {module} that it stands in for"
    matrix = facts.matrix
    refused = matrix.forward.refused_classes if matrix else ()
    for gpu in facts.machine.gpus:
        found = matrix.class_by_name(gpu.name) if matrix and gpu.name else None
        if found is None and matrix and gpu.pci_device_id:
            found = matrix.class_by_pci_id(gpu.pci_device_id)
        if found in refused:
            return f"{gpu.name or gpu.pci_device_id} does not take one: cuInit would end with error 804"
    return None


def _is_listed_as_refused(facts: Facts) -> bool:
    number, module, matrix = facts.number("cuda.driver_version"), module_release(facts), facts.matrix
    if number is None or module is None or matrix is None:
        return False
    return matrix.forward_compatible(CudaVersion.from_nvml(int(number)), module.branch) is False


# --- cuda.libcuda

_STUB = 34
"""CUDA_ERROR_STUB_LIBRARY."""


@check("cuda.libcuda", level="quick", needs=("gpu",), leads=("cuda.init", "cuda.api_version", "cuda.context"))
def libcuda(facts: Facts, say: Verdict) -> Finding:
    """Programs are given the driver's own libcuda, and it loads.

    What it finds
        A libcuda.so.1 that is missing, that can't be loaded, that is a toolkit's stub for linking, or that is of
        another release than the kernel module. Also one that the loader's cache does not know, and a missing compiler
        for PTX.

    Why it matters
        libcuda is the part of the driver that PyTorch talks to; nvidia-smi works without it. Triton, and with it
        torch.compile, looks for libcuda in the loader's cache.

    How it is decided
        A child process loads libcuda.so.1 as any program would, and the kernel says which file that was. Not loaded,
        or below a folder `stubs`, or cuInit answering 34: fails. Another release than the module: fails where cuInit
        fails too, else warns. Found only in a folder that is not in the loader's cache, or without
        libnvidia-ptxjitcompiler.so.1 beside it: warns.

    What to do
        Take folders `stubs` out of LD_LIBRARY_PATH and ld.so.conf.d. Install the driver's compute libraries. In a
        container ask for the capability `compute`.

    Sources
        CUDA driver API, CUresult; Triton, third_party/nvidia/backend/driver.py (read 2026-11).
    """
    if not (facts.was_looked_at("cuda.library") or facts.was_looked_at("cuda.outcome")):
        return say.skipped("Nobody loaded libcuda.")
    if facts.text("cuda.outcome") == "library-not-loaded":
        return _not_loaded(facts, say)
    if _is_stub(facts):
        return say.failed(
            "libcuda is the stub that toolkits bring for linking, and not the driver.",
            *_shown(facts),
            safe=_way_out(facts, "stubs"),
        )
    place = where(facts)
    if place is None:
        return say.unknown(f"Which libcuda programs get is not known: {facts.why_not('cuda.init')}.")
    return _of_another_release(facts, say) or _hard_to_find(facts, say) or say.passed(f"libcuda is {place}.")


def _not_loaded(facts: Facts, say: Verdict) -> Finding:
    if folder := facts.text("driver.container_root"):
        return say.skipped(f"The driver runs from a container ({folder}); see driver.nvml_init.")
    found = facts.text("driver.cuda_library")
    said = facts.why_not("cuda.library")
    if facts.machine.host.container:
        safe: tuple[str, ...] = (
            "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility and --gpus all",
            "ldconfig -p | grep libcuda    (inside of the container)",
        )
    elif facts.machine.host.is_wsl:
        safe = ("ls /usr/lib/wsl/lib; cat /etc/ld.so.conf.d/ld.wsl.conf", "sudo ldconfig")
    else:
        safe = ("ldconfig -p | grep libcuda", "gpusetup driver plan")
    happened = f"libcuda.so.1 is at {found} and can't be loaded" if found else "libcuda.so.1 can't be found"
    return say.failed(f"{happened}: CUDA programs can't start.", Evidence("dlopen", said), *_shown(facts), safe=safe)


def _of_another_release(facts: Facts, say: Verdict) -> Finding | None:
    mine, module, code = release(facts), module_release(facts), facts.number("cuda.init_code")
    if mine is None or module is None or mine == module or _is_compat(facts):
        return None
    happened = f"libcuda is of release {mine}, and the loaded kernel module is {module}"
    safe = ("ldconfig -p | grep libcuda", f'echo "${_VARIABLE}"')
    if code == 0:
        return say.warned(f"{happened}; it starts all the same.", *_shown(facts), safe=safe)
    if code is None:
        return say.unknown(f"{happened}, and nobody knows whether it starts.", *_shown(facts))
    return say.failed(f"{happened}: CUDA can't start.", *_shown(facts), safe=safe, risky=("sudo reboot",))


def _hard_to_find(facts: Facts, say: Verdict) -> Finding | None:
    if facts.machine.host.l4t:
        return None
    reading = facts.reading("driver.cuda_library")
    if reading is not None and reading.source in {"default folder", "/usr/lib/wsl/lib"}:
        return say.warned(
            "The loader's cache does not know libcuda.so.1, so Triton (torch.compile) will not find it.",
            *facts.evidence("driver.cuda_library"),
            safe=("sudo ldconfig", f"export TRITON_LIBCUDA_PATH={(where(facts) or '').rpartition('/')[0]}"),
        )
    # It lies beside libcuda; where the loader's own search misses both, nothing is known of it.
    if facts.failure("cuda.jit_compiler") and facts.text("driver.cuda_library") and not facts.machine.host.is_wsl:
        return say.warned(
            "libnvidia-ptxjitcompiler.so.1 is missing: code that has to be compiled for this GPU ends with error 221.",
            *facts.evidence("cuda.jit_compiler", "cuda.library"),
            safe=("ldconfig -p | grep ptxjitcompiler",),
        )
    return None


# --- cuda.api_version


@check("cuda.api_version", level="quick", needs=("nvml",), not_on=("jetson",))
def api_version(facts: Facts, say: Verdict) -> Finding:
    """The CUDA version of libcuda is that of NVML.

    What it finds
        A libcuda that is not the one of the driver that nvidia-smi shows.

    Why it matters
        nvidia-smi prints the CUDA version of the driver. Programs get that of libcuda, and PyTorch decides by it.

    How it is decided
        cuDriverGetVersion against nvmlSystemGetCudaDriverVersion; a difference fails. It passes behind a compatibility
        package that cuInit accepted, since that package is there to differ.

    What to do
        See which libcuda is loaded (cuda.libcuda) and take the other out of the loader's way.

    Sources
        CUDA driver API, cuDriverGetVersion; NVML API reference (read 2026-11).
    """
    mine, nvml = facts.number("cuda.driver_version"), facts.number("nvml.cuda_driver_version")
    if mine is None or nvml is None:
        missing = "cuda.driver_version" if mine is None else "nvml.cuda_driver_version"
        return say.skipped(f"There is nothing to compare: {missing} was not read ({facts.why_not(missing)}).")
    shown = facts.evidence("cuda.driver_version", "nvml.cuda_driver_version", "cuda.library")
    ours, theirs = CudaVersion.from_nvml(int(mine)), CudaVersion.from_nvml(int(nvml))
    if ours == theirs:
        return say.passed(f"libcuda and NVML are both for CUDA {ours}.")
    if _is_compat(facts) and facts.number("cuda.init_code") == 0:
        return say.passed(f"A compatibility package brings CUDA {ours} to a driver for {theirs}.", *shown)
    return say.failed(
        f"libcuda is for CUDA {ours} and the driver for {theirs}: it is not the driver's own libcuda.",
        *shown,
        safe=("ldconfig -p | grep libcuda", f'echo "${_VARIABLE}"'),
    )


CHECKS: tuple[Check, ...] = (compat_shadow, libcuda, api_version)
