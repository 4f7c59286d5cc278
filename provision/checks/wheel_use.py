"""Checks of what a torch build can do here: import, compile for triton, compute in a precision."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .environment import installed, label_of, served_gpus, why_no_cuda_build, why_no_torch
from .remedies import compiler, python_headers

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Check, Facts, Verdict

_SLOW_IMPORT_S = 30.0
"""Our proposal: 1 to 5 s were seen from a local disk."""
_REMOTE = re.compile(r"nfs\d?|cifs|smb3|lustre|gpfs|beegfs|fuse\..*|9p|ceph|wekafs|afs")


@check("wheel.import_time", level="standard", needs=("env",), leads=("wheel.triton_toolchain",))
def import_time(facts: Facts, say: Verdict) -> Finding:
    """Importing torch works in the environment, and within 30 s.

    What it finds
        A torch that can't be imported, one whose cuDNN is of another release than it was built with, and an environment
        on a filesystem that is too slow for it.

    Why it matters
        torch consists of thousands of files: on a busy network filesystem every process of every job waits for
        minutes before it starts, and eight ranks wait eight times.

    How it is decided
        A child of the environment's Python imports torch with the options -I and -B: it sees neither PYTHONPATH nor
        the user's site-packages, and writes nothing. An exception fails, more than 30 s warn (our proposal; 1 to 5 s
        are usual), no end within 120 s is reported as timed out. It is a matter of `--level standard`.

    What to do
        By the error: see `gpusetup explain wheel.nvidia_deps` and `gpusetup explain cuda.ld_shadow`. For a slow one,
        keep the environment on a local disk, or in an image.

    Sources
        Measured with torch 2.13; torch/backends/cudnn/__init__.py for the comparison of cuDNN releases.
    """
    if (skip := why_no_torch(facts, say)) is not None:
        return skip
    if not facts.was_looked_at("env.import_s"):
        return say.skipped("torch is imported at --level standard.")
    seen = facts.evidence("env.import_s", "env.filesystem")
    if why := facts.failure("env.import_s"):
        if why.startswith("not tried"):
            return say.unknown(f"torch was not imported: {why.partition(': ')[2]}.", *seen)
        if why.startswith("it did not end"):
            return say.timed_out(f"`import torch` did not end: {why}.", *seen, safe=_slow_steps(facts))
        return say.failed(f"`import torch` ends with an error: {why}", *seen, safe=_steps_for(why))
    if why := facts.failure("env.cudnn"):
        return say.failed(f"torch can't use its cuDNN: {why}", *facts.evidence("env.cudnn"), safe=_steps_for(why))
    seconds = facts.number("env.import_s") or 0.0
    if seconds > _SLOW_IMPORT_S:
        held = facts.text("env.filesystem") or "unknown filesystem"
        return say.warned(
            f"`import torch` took {seconds:.0f} s; the environment is on {held}.",
            Evidence("import_s", seconds, unit="s", source="import torch", needs=f"<= {_SLOW_IMPORT_S:.0f}"),
            *facts.evidence("env.filesystem"),
            safe=_slow_steps(facts),
        )
    return say.passed(f"`import torch` took {seconds:.1f} s.", *seen)


def _slow_steps(facts: Facts) -> tuple[str, ...]:
    if _REMOTE.fullmatch(facts.text("env.filesystem") or ""):
        return ("keep the environment on a local disk: gpusetup install --env /local/path", "put it into an image")
    return (
        "run it again: the first import of the day reads everything from the disk",
        "look at what else uses the disk",
    )


# "version `GLIBCXX_3.4.30' not found", "undefined symbol: __nvJitLinkAddData_12_1", "libcudart.so.12: cannot open ..."
_STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"GLIBCXX_|CXXABI_",
        (
            "unset LD_LIBRARY_PATH and try again: an older libstdc++ is found first",
            "in a conda environment: its package libstdcxx-ng has a newer one",
        ),
    ),
    (r"GLIBC_", ("gpusetup explain wheel.glibc", "use a newer distribution or a container image")),
    (r"iJIT_NotifyEvent", ("use mkl 2024.0 or older in that environment of conda", "or an environment of pip alone")),
    (
        r"undefined symbol|cuDNN version incompat|SUBLIBRARY_VERSION",
        (
            "unset LD_LIBRARY_PATH and try again: libraries of another CUDA are found first",
            "python -m pip check    (in that environment)",
        ),
    ),
    (
        r"lib(?:cu|nv|nccl)\S*\.so",
        ("python -m pip check    (in that environment)", "gpusetup explain wheel.nvidia_deps"),
    ),
    (r"signal 4\b", ("the build uses instructions that this processor lacks: gpusetup detect",)),
)


def _steps_for(why: str) -> tuple[str, ...]:
    for pattern, steps in _STEPS:
        if re.search(pattern, why):
            return steps
    return ("python -c 'import torch'    (in that environment, shows the whole error)",)


@check("wheel.triton_toolchain", level="quick", needs=("env",))
def triton_toolchain(facts: Facts, say: Verdict) -> Finding:
    """torch.compile finds a C compiler, the headers of Python and ptxas.

    What it finds
        A box without a C compiler, a Python without its headers, a triton without ptxas.

    Why it matters
        torch.compile and triton build a small C module at run time: "Failed to find C compiler", "Python.h: No such
        file or directory", "Cannot find ptxas". Without torch.compile the same programs run.

    How it is decided
        Files alone, and only where triton is installed beside a CUDA build: CC, or cc, gcc or clang on PATH; Python.h
        of the environment's Python; triton/backends/nvidia/bin/ptxas. What is missing warns. No kernel is compiled.

    What to do
        Install a compiler and the headers of Python, or run without torch.compile.

    Sources
        triton/runtime/build.py and triton/backends/nvidia of the wheels 2.0 to 3.8; nnUNet issue 2268.
    """
    if (skip := why_no_cuda_build(facts, say)) is not None:
        return skip
    if not {"triton", "pytorch-triton"} & installed(facts).keys():
        return say.skipped("triton is not installed, so nothing is compiled at run time.")
    seen = facts.evidence("env.compiler", "env.python_h", "env.ptxas")
    missing, steps = [], []
    if facts.text("env.compiler") == "":
        missing.append("a C compiler")
        steps.append(compiler(facts.machine))
    if facts.flag("env.python_h") is False:
        missing.append(f"Python.h of Python {facts.text('env.python_version')}")
        steps.append(python_headers(facts.machine, facts.text("env.python_version") or "3"))
    if facts.flag("env.ptxas") is False:
        missing.append("ptxas")
        steps.append("python -m pip install --force-reinstall --no-deps triton    (at the same release)")
    if missing:
        return say.warned(
            f"torch.compile will fail here: {' and '.join(missing)} is missing.",
            *seen,
            safe=("run without torch.compile",),
            risky=tuple(steps),
        )
    if facts.text("env.compiler") is None:
        return say.unknown("Which C compiler triton would take is not known.", *seen)
    return say.passed("A C compiler, the headers of Python and ptxas are there.", *seen)


@check("wheel.precision", level="quick", needs=("gpu", "env"))
def precision(facts: Facts, say: Verdict) -> Finding:
    """The GPUs compute in the precision that this session asks for.

    What it finds
        ACCELERATE_MIXED_PRECISION=fp8 or bf16 on GPUs that have no such arithmetic.

    Why it matters
        fp8 ends with an error after the model was loaded; bf16 is emulated there and slower than fp32.

    How it is decided
        The variable against the published peaks of each GPU in the matrix: a product with an fp16 figure and none for
        the precision that was asked for does not compute in it. fp8 then fails, bf16 warns, because torch emulates it.
        GPUs without figures are not judged. Nothing asked for passes, and the sentence says what the GPUs have.

    What to do
        Ask for fp16 on Volta and Turing, for bf16 on Ampere.

    Sources
        matrix.yaml, gpus (tflops); accelerate, environment variables of `accelerate launch`.
    """
    if (skip := why_no_cuda_build(facts, say)) is not None:
        return skip
    wish = facts.text("env.precision")
    gpus = served_gpus(facts)
    if wish in (None, "no", "fp16"):
        has = [name for name in ("bf16", "fp8") if gpus and all(_computes(facts, gpu, name) for gpu in gpus)]
        also = f"; the GPUs also compute in {' and '.join(has)}" if has else ""
        return say.passed(f"{f'{wish} is' if wish and wish != 'no' else 'No precision is'} asked for{also}.")
    without = [gpu for gpu in gpus if _computes(facts, gpu, wish) is False]
    seen = facts.evidence("env.precision")
    if without:
        names = ", ".join(dict.fromkeys(label_of(gpu) for gpu in without))
        words = f"{wish} is asked for by ACCELERATE_MIXED_PRECISION, and {names} does not compute in it."
        steps = (
            ("export ACCELERATE_MIXED_PRECISION=fp16",)
            if wish == "bf16"
            else ("export ACCELERATE_MIXED_PRECISION=bf16",)
        )
        return say.failed(words, *seen, safe=steps) if wish == "fp8" else say.warned(words, *seen, safe=steps)
    if not gpus or any(_computes(facts, gpu, wish) is None for gpu in gpus):
        return say.unknown(f"It is not known whether every GPU computes in {wish}.", *seen)
    return say.passed(f"Every GPU computes in {wish}, which is asked for.", *seen)


def _computes(facts: Facts, gpu: Gpu, name: str) -> bool | None:
    """Whether a GPU computes in a precision, by its published peaks; None where there are none."""
    matrix = facts.matrix
    figures = matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id) if matrix else None
    peaks = figures.peaks if figures else None
    if peaks is None or peaks.fp16 is None:
        return None
    return getattr(peaks, name) is not None


CHECKS: tuple[Check, ...] = (import_time, triton_toolchain, precision)
