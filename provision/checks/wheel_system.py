"""Checks of a torch build against the system below it: Python, C library, processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .environment import ANEW, installed, platform_of, torch_build, why_no_torch

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Check, Facts, Verdict

_DYNAMO = ((3, 12), (2, 4))
"""Python from which on torch.compile needs that torch."""


@check("wheel.python_abi", level="quick", needs=("env",), leads=("wheel.torch_present", "wheel.import_time"))
def python_abi(facts: Facts, say: Verdict) -> Finding:
    """There are wheels of torch for the environment's Python, and the one that is there is for it.

    What it finds
        A Python that was exchanged below the environment, one that is too new or too old for every torch, a
        free-threaded one without wheels, PyPy, a torch that was installed for another Python, and torch.compile on a
        Python that this torch does not serve yet.

    Why it matters
        Installers say "No matching distribution found for torch", whatever is wrong; a wheel of another ABI fails at
        import with "No module named torch._C".

    How it is decided
        bin/python3 must lead to the Python that the environment was made with, and the tags in the dist-info of torch
        must name it, or they fail. Without torch, a Python for
        which no release of the matrix has wheels fails. Python 3.12 with a torch older than 2.4 warns: that torch runs
        there, and torch.compile refuses.

    What to do
        Make the environment from a Python that the release serves: `gpusetup plan` names it.

    Sources
        File lists of the wheels in matrix.yaml, torch.releases; torch._dynamo of the wheels of 2.3 and 2.4.
    """
    if facts.failure("env.path"):
        return say.skipped("The environment could not be read (wheel.torch_present).")
    tag = facts.text("env.python_tag")
    seen = facts.evidence("env.python_version", "env.python_tag")
    if tag is None:
        return say.unknown("The version of the environment's Python is not known.", *seen)
    other = (
        "gpusetup install --python 3.12 --env NEW_FOLDER    (makes a new environment)",
        "python3.12 -m venv NEW    (a Python that the release serves)",
    )
    started, version = facts.text("env.python_started"), facts.text("env.python_version") or ""
    is_venv = facts.text("env.kind") in ("venv", "uv", "virtualenv")
    if is_venv and started and started.removesuffix("t") != ".".join(version.split(".")[:2]):
        return say.failed(
            f"The packages are those of Python {version}, and bin/python3 now starts {started}.",
            *seen,
            *facts.evidence("env.python_started"),
            safe=(ANEW,),
        )
    held, build = installed(facts).get("torch"), torch_build(facts)
    if build is None:
        pythons = _served_pythons(facts)
        if pythons and tag not in pythons:
            return say.failed(
                f"No release of torch has wheels for this Python ({tag}).",
                Evidence("python", tag, source="the environment", needs=", ".join(sorted(pythons))),
                safe=other,
            )
        return say.passed(f"Releases of torch have wheels for this Python ({tag}).", *seen)
    tags = {word.split("-")[0] for word in held.tags if word} if held else set()
    plain = tag.removesuffix("t")
    abis = {word.split("-")[1] for word in held.tags if word.count("-") >= 2} if held else set()  # noqa: PLR2004 -- python-abi-platform
    is_for_it = not tags or (plain in tags and (tag in abis or "none" in abis)) or "py3" in tags or "abi3" in abis
    if not is_for_it:
        return say.failed(
            f"torch {build.version} was installed for {', '.join(sorted(abis))}, and the environment runs {tag}.",
            *seen,
            Evidence("wheel", ",".join(held.tags) if held else "", source="torch-*.dist-info/WHEEL", needs=tag),
            safe=other,
        )
    if build.release and tuple(_numbers(facts)) >= _DYNAMO[0] and build.release.key < _DYNAMO[1]:
        return say.warned(
            f"torch.compile of torch {build.public} does not serve Python {facts.text('env.python_version')}.",
            *seen,
            Evidence("torch", build.version, source="torch/version.py", needs=">= 2.4 for torch.compile"),
            safe=("run without torch.compile", "gpusetup plan    (names a newer torch)"),
        )
    return say.passed(f"torch {build.version} is built for this Python ({tag}).", *seen)


def _numbers(facts: Facts) -> tuple[int, ...]:
    words = (facts.text("env.python_version") or "").split(".")[:2]
    return tuple(int(word) for word in words if word.isdigit())


def _served_pythons(facts: Facts) -> set[str]:
    matrix, platform = facts.matrix, platform_of(facts)
    rows = [row for release in matrix.releases if (row := release.platform(platform))] if matrix else []
    return {tag for row in rows for tag in row.pythons}


@check("wheel.glibc", level="quick", needs=("env",), not_on=("paste",), leads=("wheel.import_time",))
def glibc(facts: Facts, say: Verdict) -> Finding:
    """The C library of the system is new enough for the build.

    What it finds
        torch 2.7 or newer on CentOS 7, Amazon Linux 2 or Ubuntu 18.04, and any torch wheel on Alpine.

    Why it matters
        `import torch` ends with "version `GLIBC_2.28' not found". An environment that was copied from another machine,
        or that lives on a shared filesystem, meets an older system.

    How it is decided
        The need of the binaries is that of the matrix for the release and the variant, which may be more than the tag
        promises; for other builds the manylinux tag counts. An older glibc fails, musl fails.

    What to do
        Use a newer distribution or a container image, or torch 2.6.

    Sources
        matrix.yaml, torch.releases (symbol versions of the binaries); PEP 600 for the tags.
    """
    if (skip := why_no_torch(facts, say)) is not None:
        return skip
    build, own = torch_build(facts), facts.machine.host.glibc
    held = installed(facts).get("torch")
    if build is None or (held and held.installer == "conda"):
        return say.skipped("conda brings what its torch needs of the system.")
    needed, source = _needed_glibc(facts)
    if needed is None:
        return say.skipped("The build states no glibc that it needs.")
    if own is None:
        if "musl" in (facts.failure("host.glibc") or ""):
            return say.failed(
                f"torch {build.version} needs glibc {_dotted(needed)}, and this system has musl.",
                *facts.evidence("host.glibc"),
                safe=("use a distribution or a container image with glibc", "gpusetup plan --container"),
            )
        return say.unknown("The glibc of this system is not known.", *facts.evidence("host.glibc"))
    figures = Evidence("glibc", str(own), source="the C library", needs=f">= {_dotted(needed)} ({source})")
    if tuple(own) < needed:
        return say.failed(
            f"torch {build.version} needs glibc {_dotted(needed)}, and this system has {own}.",
            figures,
            safe=("gpusetup plan    (names a torch that fits)", "gpusetup plan --container"),
        )
    return say.passed(f"glibc {own} is new enough for torch {build.version}.", figures)


def _dotted(pair: tuple[int, ...]) -> str:
    return ".".join(map(str, pair))


def _needed_glibc(facts: Facts) -> tuple[tuple[int, ...] | None, str]:
    build, held = torch_build(facts), installed(facts).get("torch")
    if build and build.wheels:
        own = dict(build.variant.glibc).get(build.platform) if build.variant else None
        if found := own or build.wheels.glibc:
            return tuple(found), "matrix.yaml"
    for tag in held.tags if held else ():
        words = tag.rsplit("-", 1)[-1].split("_")
        if words[0] == "manylinux" and len(words) > 3 and words[1].isdigit() and words[2].isdigit():  # noqa: PLR2004
            return (int(words[1]), int(words[2])), "its tag"
    return None, ""


@check(
    "wheel.cpu_arch",
    level="quick",
    needs=("env",),
    not_on=("paste",),
    leads=("wheel.arch_list", "wheel.driver_floor", "wheel.import_time"),
)
def cpu_arch(facts: Facts, say: Verdict) -> Finding:
    """The build is for this processor: x86_64, an Arm server, or a Jetson.

    What it finds
        An environment that was copied from a machine with another processor, a Jetson build on an Arm server, and a
        server build on a Jetson whose GPU it does not serve.

    Why it matters
        A wheel of another processor fails at import. Wheels for Arm servers and for Jetson carry the same tag
        (aarch64) and other GPU code: the wrong one imports and finds no kernel for the GPU.

    How it is decided
        The platform tag of the wheel must name the machine's processor. On a Jetson older than CUDA 13.2, a build from
        the PyTorch index fails where the matrix says that none of its code runs on the GPU of the board. On an Arm
        server a build with NVIDIA's label for Jetson (a linux_aarch64 tag and `+nv`) fails.

    What to do
        Jetson: take NVIDIA's wheel or image for the JetPack release. Arm server: take the CUDA build of the PyTorch
        index.

    Sources
        matrix.yaml, cubins (unified_from) and jetson; NVIDIA, Install PyTorch for Jetson Platform.
    """
    if (skip := why_no_torch(facts, say)) is not None:
        return skip
    build, held, arch = torch_build(facts), installed(facts).get("torch"), facts.machine.host.arch
    tags = [tag for tag in held.tags if tag] if held else []
    if build is None or arch is None or not tags:
        return say.skipped("The wheel's tags or this machine's processor are not known.")
    shown = Evidence("wheel", ",".join(tags), source="torch-*.dist-info/WHEEL", needs=arch)
    if not any(tag.endswith((arch, "-any")) for tag in tags):
        return say.failed(
            f"torch {build.version} was built for another processor than this {arch}.",
            shown,
            safe=(ANEW,),
        )
    if arch == "aarch64" and not facts.is_any("jetson") and "+nv" in build.version and facts.machine.gpus:
        # NVIDIA's own images for servers carry +nv too, and no tag of an index: their GPU decides.
        return _jetson_build_on_server(facts, say, build.version, shown)
    if facts.is_any("jetson") and build.cuda is not None and any("manylinux" in tag for tag in tags):
        return _server_build_on_jetson(facts, say, shown)
    return say.passed(f"torch {build.version} is built for {arch}.", shown)


def _jetson_build_on_server(facts: Facts, say: Verdict, version: str, shown: Evidence) -> Finding:
    from .environment import capability_of, served_gpus

    tegra = facts.matrix.tegra if facts.matrix else ()
    capabilities = [capability_of(facts, gpu) for gpu in served_gpus(facts)]
    if any(one in tegra for one in capabilities):
        return say.passed("The GPU is that of a Jetson, and so is the build.", shown)
    return say.failed(
        f"torch {version} is NVIDIA's build for Jetson, and this is an Arm server.",
        shown,
        safe=("gpusetup plan", ANEW),
    )


def _server_build_on_jetson(facts: Facts, say: Verdict, shown: Evidence) -> Finding:
    from ..matrix.binary_code import how_it_runs
    from .environment import capability_of, served_gpus

    build, matrix = torch_build(facts), facts.matrix
    codes = build.variant.arch_list(build.platform) if build and build.variant else None
    if build is None or build.cuda is None or matrix is None or codes is None:
        return say.unknown("Nobody has read which GPUs this build holds code for.", shown)
    capabilities = [one for gpu in served_gpus(facts) if (one := capability_of(facts, gpu))]
    if capabilities and not any(how_it_runs(matrix, codes, (), build.cuda, one) == "binary" for one in capabilities):
        return say.failed(
            f"torch {build.version} is the build for Arm servers, and none of its code runs on this Jetson.",
            shown,
            safe=("gpusetup plan    (names the wheel or the image for this JetPack)",),
        )
    return say.passed(f"torch {build.version} of the PyTorch index runs on this Jetson.", shown)


CHECKS: tuple[Check, ...] = (python_abi, glibc, cpu_arch)
