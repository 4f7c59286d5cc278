"""Checks of the torch of an environment: is it there, is it a build for CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .environment import (
    ANEW,
    installed,
    label_of,
    rows,
    served_gpus,
    torch_build,
    why_no_torch,
)
from .wheel_code import other_builds

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Check, Facts, Verdict


@check("wheel.torch_present", level="quick", needs=("env",))
def torch_present(facts: Facts, say: Verdict) -> Finding:
    """The environment holds one whole torch.

    What it finds
        A folder that is no environment, one whose Python is gone, an environment without torch, one whose torch has
        lost its metadata or its files, and two records of torch in one place.

    Why it matters
        `import torch` fails, or imports files of another release than the installer believes in, and the next upgrade
        leaves a mixture behind.

    How it is decided
        The files of the environment are read; nothing is imported. No torch folder, no version in torch/version.py, a
        release there that differs from the one in the dist-info, or two dist-info folders fail. A torch without
        dist-info passes: images that build it from source look like that; so does an editable one. bin/python must lead
        to a program.

    What to do
        Let `gpusetup install` make an environment, or install torch into this one.

    Sources
        Core metadata and recording installed projects, packaging.python.org (read 2026-11).
    """
    held, version = installed(facts).get("torch"), facts.text("env.torch_version")
    if (finding := _not_there(facts, say)) is not None or version is None:
        return finding or say.unknown("The version of torch is not known.")
    seen = facts.evidence("env.torch_version", "env.kind")
    twice = next((row for row in rows(facts, "env.duplicates") if row[0] == "torch"), None)
    if twice:
        return say.failed(
            f"torch is recorded {len(twice) - 1} times in one place: {', '.join(twice[1:])}.",
            *facts.evidence("env.duplicates"),
            safe=("python -m pip list --path SITE_PACKAGES    (shows both)",),
            risky=("python -m pip uninstall torch    (until it is gone), then install it once",),
        )
    if lost := next((row for row in rows(facts, "env.missing") if row[0] == "torch"), None):
        return say.failed(
            f"Libraries of torch {version} are gone from the disk, such as {lost[2]}.",
            *facts.evidence("env.missing"),
            safe=(ANEW,),
            risky=(f"python -m pip install --force-reinstall --no-deps 'torch=={version}'",),
        )
    if held and held.public != version.partition("+")[0]:
        return say.failed(
            f"The metadata says torch {held.version} and the files say {version}: two installations are mixed.",
            *seen,
            Evidence("dist-info", held.version, source="torch-*.dist-info"),
            safe=(ANEW,),
            risky=("python -m pip uninstall torch, remove the folder torch, install it again",),
        )
    if held is None:
        return say.passed(f"torch {version} is there, without metadata of an installer.", *seen)
    return say.passed(f"torch {version} is there.", *seen)


def _not_there(facts: Facts, say: Verdict) -> Finding | None:
    """What is to be said where there is no environment, or no torch in it whose files can be read."""
    if why := facts.failure("env.path"):
        return say.failed(f"The environment could not be used: {why}.", *facts.evidence("env.path"), safe=(_ENV_HELP,))
    if facts.flag("env.python_runs") is False:
        return say.failed(
            "The environment's Python can't be started: bin/python is missing or leads to a program that is gone.",
            *facts.evidence("env.python_runs", "env.python_version"),
            safe=("ls -l PATH/bin/python*    (shows where it leads)", ANEW),
        )
    if facts.text("env.torch_version") is not None:
        return None
    held = installed(facts).get("torch")
    if held and held.origin == "editable":
        return say.passed("torch is there as an editable installation; its files are elsewhere and were not read.")
    what = "its metadata is there and its files are not" if held else "neither files nor metadata are there"
    return say.failed(
        f"The environment holds no usable torch: {what}.",
        *facts.evidence("env.torch_version", "env.kind", "env.broken"),
        safe=("gpusetup plan", ANEW),
    )


_ENV_HELP = "name the folder that has bin/python in it: gpusetup check --env /path/to/env"


@check("wheel.cuda_build", level="quick", needs=("env",), not_on=("cpu-only",), leads=("wheel.import_time",))
def cuda_build(facts: Facts, say: Verdict) -> Finding:
    """The build of torch is one for CUDA where the box has an NVIDIA GPU.

    What it finds
        A CPU build, or a build for AMD GPUs, on a box with an NVIDIA GPU, also where its driver is broken.

    Why it matters
        Programs run without an error, on the CPU and a hundred times slower, or end with "Torch not compiled with CUDA
        enabled". It happens when an installer falls back silently: a lock from another machine, the general index on
        aarch64 up to torch 2.10, the index of CPU builds in a configuration file.

    How it is decided
        `cuda` and `hip` in torch/version.py, without importing it. A CPU build fails on a box with any NVIDIA GPU on
        its PCI bus, unless gpusetup's receipt in the environment says that a CPU build was asked for, or the box was
        declared to be without a GPU. The wheel of a CUDA build without torch/lib/libtorch_cuda.so fails too.

    What to do
        Install the build that `gpusetup plan` names, from its own index.

    Sources
        torch/version.py of the wheels of torch 2.0 to 2.15; matrix.yaml, torch (which builds each index holds).
    """
    if (skip := why_no_torch(facts, say)) is not None:
        return skip
    build = torch_build(facts)
    assert build is not None  # noqa: S101 -- why_no_torch has looked
    seen = facts.evidence("env.torch_version", "env.torch_cuda")
    if build.cuda is not None:
        held = installed(facts).get("torch")
        # conda and distributions keep libtorch in a folder of the system.
        is_wheel = held is not None and held.installer not in (None, "conda")
        if is_wheel and facts.flag("env.torch_cuda_library") is False:
            return say.failed(
                f"torch {build.version} says CUDA {build.cuda} and its library libtorch_cuda.so is missing.",
                *facts.evidence("env.torch_cuda_library"),
                safe=(ANEW,),
                risky=(f"python -m pip install --force-reinstall 'torch=={build.version}'",),
            )
        return say.passed(f"torch {build.version} is built for CUDA {build.cuda}.", *seen)
    if not facts.has_gpu or (facts.machine.gpus and not served_gpus(facts)):
        return say.passed(f"torch {build.version} is a CPU build, and the box has no NVIDIA GPU for it.", *seen)
    kind = "a build for AMD GPUs" if build.is_rocm else "a CPU build"
    receipt = facts.value("env.receipt")
    if not build.is_rocm and isinstance(receipt, tuple) and receipt[1] == "cpu":
        return say.passed(
            f"torch {build.version} is a CPU build, as it was asked for.", *seen, *facts.evidence("env.receipt")
        )
    gpus = ", ".join(dict.fromkeys(label_of(gpu) for gpu in facts.machine.gpus)) or "an NVIDIA GPU"
    return say.failed(
        f"torch {build.version} is {kind}: it will not use {gpus}.",
        *seen,
        safe=("gpusetup plan", ANEW),
        risky=(*other_builds(facts, build, served_gpus(facts)),),
    )


CHECKS: tuple[Check, ...] = (torch_present, cuda_build)
