"""Checks of the code in a torch build: has it code for these GPUs, does the driver start it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from ..versions import ComputeCapability
from .base import check
from .environment import capability_of, label_of, served_gpus, torch_build, why_no_cuda_build

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Check, Facts, Verdict
    from .environment import TorchBuild

_CODE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


@check("wheel.arch_list", level="quick", needs=("gpu", "env"))
def arch_list(facts: Facts, say: Verdict) -> Finding:
    """The build holds code for every GPU of the box.

    What it finds
        A GPU that is too new for the build (Blackwell with CUDA 12.4) or that it has dropped (Pascal and Volta with
        CUDA 13), and one that would run on PTX alone.

    Why it matters
        Every kernel ends with "no kernel image is available for execution on the device". PTX is compiled at first use,
        which takes minutes and needs a driver of the same CUDA.

    How it is decided
        At `--level standard` a child of the environment asks torch.cuda.get_arch_list(), which needs no GPU; otherwise
        the list of the matrix for that release and variant counts. Binary code runs on devices of its own major and an
        equal or higher minor, less the Jetson exceptions of the matrix; PTX runs on anything newer; code with the
        suffix `a` runs on its own device alone. Every GPU that the driver lists counts, but those that gpusetup's
        receipt leaves out. No code fails, PTX alone warns, a list that nobody has read is unknown.

    What to do
        Install a build that fits; those of the same release that do are named.

    Sources
        CUDA programming guide, binary compatibility; matrix.yaml, cubins and torch.releases (read 2026-11).
    """
    if (skip := why_no_cuda_build(facts, say)) is not None:
        return skip
    build = torch_build(facts)
    matrix, gpus = facts.matrix, served_gpus(facts)
    if build is None or build.cuda is None or matrix is None:
        return say.unknown("There is no matrix to compare the build with.")
    lists = _code_lists(facts, build)
    if lists is None:
        why = f"nobody has read which GPUs torch {build.version} holds code for"
        return say.unknown(f"It is not known whether the build fits: {why}; --level standard asks the build itself.")
    none, late, unknown = _sorted(facts, build, lists, gpus)
    held = Evidence("architectures", ", ".join(_spelled(lists)), source=lists[3])
    if none:
        named = _named(none)
        return say.failed(
            f"torch {build.version} holds no code for {named}: its kernels can't start there.",
            held,
            *(Evidence("compute_capability", str(capability), source=label_of(gpu)) for gpu, capability in none),
            safe=("gpusetup plan", f"gpusetup plan --why-not {build.variant_name or build.cuda}"),
            risky=other_builds(facts, build, gpus),
        )
    if late:
        return say.warned(
            f"torch {build.version} has only PTX for {_named(late)}: the driver compiles every kernel at first use.",
            held,
            safe=("gpusetup plan",),
            risky=other_builds(facts, build, gpus),
        )
    if unknown:
        return say.unknown(
            f"The compute capability of {', '.join(label_of(gpu) for gpu in unknown)} is not known.", held
        )
    return say.passed(f"torch {build.version} holds code for every GPU.", held)


_Judged = tuple["Gpu", ComputeCapability]


def _sorted(
    facts: Facts, build: TorchBuild, lists: _Lists, gpus: tuple[Gpu, ...]
) -> tuple[list[_Judged], list[_Judged], list[Gpu]]:
    """The GPUs without code, those with PTX alone, and those whose compute capability nobody knows."""
    from ..matrix.binary_code import how_it_runs

    codes, exact, ptx, _ = lists
    none: list[_Judged] = []
    late: list[_Judged] = []
    unknown: list[Gpu] = []
    for gpu in gpus:
        capability = capability_of(facts, gpu)
        if capability is None or facts.matrix is None or build.cuda is None:
            unknown.append(gpu)
            continue
        runs = "binary" if capability in exact else how_it_runs(facts.matrix, codes, ptx, build.cuda, capability)
        if runs != "binary":
            (none if runs == "none" else late).append((gpu, capability))
    return none, late, unknown


def _named(pairs: list[tuple[Gpu, ComputeCapability]]) -> str:
    return ", ".join(dict.fromkeys(f"{label_of(gpu)} (compute capability {capability})" for gpu, capability in pairs))


_Lists = tuple[tuple[ComputeCapability, ...], frozenset[ComputeCapability], tuple[ComputeCapability, ...], str]


def _code_lists(facts: Facts, build: TorchBuild) -> _Lists | None:
    """Binary code, code for exactly one device, PTX, and where that was read; None when nobody has read it."""
    told = facts.texts("env.arch_list")
    if told:
        return (*parse_arch_list(told), "torch.cuda.get_arch_list()")
    row = build.variant
    codes = row.arch_list(build.platform) if row else None
    if row is None or codes is None:
        return None
    return codes, frozenset(), row.ptx or (), f"matrix.yaml: torch {build.public}, {row.name}"


# sm_75 sm_80 sm_90a sm_100f compute_120
def parse_arch_list(
    words: tuple[str, ...],
) -> tuple[tuple[ComputeCapability, ...], frozenset[ComputeCapability], tuple[ComputeCapability, ...]]:
    """Binary code, code for exactly one device (suffix a), and PTX of torch.cuda.get_arch_list()."""
    codes: list[ComputeCapability] = []
    ptx: list[ComputeCapability] = []
    exact: set[ComputeCapability] = set()
    for word in words:
        if match := _CODE.fullmatch(word):
            capability = ComputeCapability(int(match[2]), int(match[3]))
            if match[4] == "a":
                exact.add(capability)
            else:
                (codes if match[1] == "sm" else ptx).append(capability)
    return tuple(codes), frozenset(exact), tuple(ptx)


def _spelled(lists: _Lists) -> list[str]:
    codes, exact, ptx, _ = lists
    plain = [f"sm_{code.major}{code.minor}" for code in codes]
    return [
        *plain,
        *(f"sm_{code.major}{code.minor}a" for code in sorted(exact)),
        *(f"compute_{c.major}{c.minor}" for c in ptx),
    ]


def other_builds(facts: Facts, build: TorchBuild, gpus: tuple[Gpu, ...]) -> tuple[str, ...]:
    """Commands that put a build of the same release there, one that has code for all those GPUs; the newest first."""
    from ..matrix.binary_code import how_it_runs  # with it comes all of the matrix, which cheap runs do without

    matrix, release = facts.matrix, build.release
    known = [capability for gpu in gpus if (capability := capability_of(facts, gpu))]
    if matrix is None or release is None or not known:
        return ()
    fits = []
    for row in release.variants:
        codes = row.arch_list(build.platform)
        if (
            row.cuda is None
            or codes is None
            or not row.is_published(build.platform)
            or not _starts(facts, row.cuda.major)
        ):
            continue
        if all(how_it_runs(matrix, codes, (), row.cuda, capability) == "binary" for capability in known):
            fits.append(row)
    fits.sort(key=lambda row: row.cuda or (0, 0), reverse=True)
    return tuple(
        f"python -m pip install --force-reinstall 'torch=={release.version}' --index-url {matrix.index_url(row.name)}"
        for row in fits[:2]
    )


def _starts(facts: Facts, major: int) -> bool:
    """Whether the driver is known to be new enough for a CUDA major, or not known at all."""
    driver, row = facts.machine.driver, facts.matrix.cuda_major(major) if facts.matrix else None
    if row is None or driver is None or driver.driver_version is None or facts.is_any("jetson"):
        return True
    return driver.driver_version >= (row.windows if facts.machine.host.is_wsl else row.linux)


@check("wheel.driver_floor", level="quick", needs=("gpu", "env"))
def driver_floor(facts: Facts, say: Verdict) -> Finding:
    """The driver is new enough for the CUDA of the build.

    What it finds
        A CUDA 13 build on a driver of 570 or older, a CUDA 12 build on one below 525, under WSL by the numbers of the
        Windows driver.

    Why it matters
        torch.cuda.is_available() is False, with the warning "The NVIDIA driver on your system is too old".

    How it is decided
        Within a CUDA major every build starts from one driver on (minor version compatibility): the floors are those of
        the matrix, for Linux or, under WSL, for Windows. Below fails, unless the driver reports a CUDA of that major or
        a newer one, as it does with a compatibility package. A build of a newer minor than the driver's passes and the
        sentence says so. On a Jetson driver numbers do not compare, and the CUDA of the driver counts.

    What to do
        Install the driver that is named, or a build of an older CUDA.

    Sources
        CUDA compatibility guide, minor version compatibility; matrix.yaml, cuda_majors (read 2026-11).
    """
    if (skip := why_no_cuda_build(facts, say)) is not None:
        return skip
    build, driver, matrix = torch_build(facts), facts.machine.driver, facts.matrix
    if build is None or build.cuda is None or matrix is None or driver is None or driver.driver_version is None:
        return say.skipped("The driver's version is not known, so there is nothing to compare.")
    own, major = driver.driver_cuda_version, build.cuda.major
    if own is not None and own >= build.cuda:
        return say.passed(f"Driver {driver.driver_version} implements CUDA {own}; the build is for {build.cuda}.")
    if own is not None and own.major >= major:
        return say.passed(
            f"Driver {driver.driver_version} implements CUDA {own} and starts builds for {build.cuda} too"
            " (minor version compatibility; code that is compiled at run time is excepted)."
        )
    row, is_jetson = matrix.cuda_major(major), facts.is_any("jetson")
    if row is None or (is_jetson and own is None):
        return say.unknown(f"Nobody knows whether driver {driver.driver_version} starts builds for CUDA {major}.")
    floor = row.windows if facts.machine.host.is_wsl else row.linux
    if not is_jetson and driver.driver_version >= floor:
        return say.passed(f"Driver {driver.driver_version} starts every CUDA {major} build, from {floor} on.")
    needs = f"CUDA {major}" if is_jetson else str(floor)
    return say.failed(
        f"Driver {driver.driver_version} is too old for torch {build.version}: CUDA {major} starts from {needs} on.",
        Evidence("driver_version", str(driver.driver_version), source="nvml", needs=f">= {needs}"),
        Evidence("cuda", str(build.cuda), source="torch/version.py"),
        safe=("gpusetup plan", "gpusetup driver plan"),
        risky=other_builds(facts, build, served_gpus(facts)),
    )


CHECKS: tuple[Check, ...] = (arch_list, driver_floor)
