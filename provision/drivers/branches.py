"""Which driver branch and which kernel module serve the GPUs of a machine (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NoBuildError, NoUsableGpuError, UsageError
from ..records import Evidence
from ..versions import CudaVersion, DriverVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..matrix.model import Architecture, DriverBranch, Variant
    from ..matrix.tables import Matrix
    from ..records import Gpu, Machine
    from ..versions import ComputeCapability
    from .wish import DriverWish, Flavour


def capability_of(gpu: Gpu, matrix: Matrix) -> ComputeCapability | None:
    """Compute capability of a GPU, by itself, its PCI id or its name; None where the matrix does not know it."""
    found = gpu.compute_capability
    if found is None and gpu.pci_device_id:
        found = matrix.capability_by_pci_id(gpu.pci_device_id)
    if found is None and gpu.name:
        found = matrix.capability_by_name(gpu.name)
    return found


def architectures_of(machine: Machine, matrix: Matrix) -> tuple[Architecture, ...]:
    """The architectures of the machine's GPUs, each once; NoBuildError for a GPU that the matrix does not know."""
    rows: list[Architecture] = []
    for gpu in machine.gpus:
        capability = capability_of(gpu, matrix)
        row = matrix.architecture_of(capability) if capability else None
        if row is None:
            raise NoBuildError(
                f"The matrix does not know GPU {gpu.name or gpu.pci_device_id}; a branch can't be chosen for it.",
                code="gpu-not-in-matrix",
                evidence=(Evidence("GPU", gpu.pci_device_id or gpu.name, source="sysfs"),),
            )
        rows.append(row)
    if not rows:
        raise NoUsableGpuError("There is no NVIDIA GPU here, so no driver is needed.", code="no-usable-gpu")
    return tuple(dict.fromkeys(rows))


def serves(branch: DriverBranch, architectures: Iterable[Architecture]) -> bool:
    """Whether a branch serves all of these architectures."""
    return all(
        (a.first_branch or 0) <= branch.branch and (a.last_branch is None or branch.branch <= a.last_branch)
        for a in architectures
    )


def is_alive(branch: DriverBranch, today: str) -> bool:
    """Whether a branch is long-term or production, and not past its end."""
    return branch.type in ("LTS", "PB") and (branch.eol is None or branch.eol >= today)


def choose_branch(
    architectures: tuple[Architecture, ...],
    matrix: Matrix,
    *,
    today: str,
    admits: Callable[[DriverBranch], bool] = lambda _: True,
) -> DriverBranch:
    """Newest branch of a supported kind that serves them all: long-term or production, not past its end.

    A branch on which a site file forbids every build is none to choose, nor is one that `admits` says no to.
    """
    site = matrix.site
    fitting = [b for b in matrix.branches if serves(b, architectures) and not (site and site.forbids_branch(b.branch))]
    if not fitting:
        names = ", ".join(a.name for a in architectures)
        raise NoBuildError(f"No driver branch serves {names} together.", code="no-common-driver-branch")
    admitted = [b for b in fitting if admits(b)]
    alive = [b for b in admitted if is_alive(b, today)]
    # A GPU whose last branch has ended still deserves that branch: the newest that serves it at all.
    choice = max(alive or admitted, key=lambda b: b.branch, default=None)
    if choice is None:
        raise NoBuildError(
            "No driver branch fits the GPUs and everything that was asked for.",
            code="no-common-driver-branch",
            evidence=(Evidence("branches that serve the GPUs", ", ".join(str(b.branch) for b in fitting[-6:])),),
            do=("ask for less: --cuda, --torch and --source narrow the choice; --branch names one",),
        )
    return choice


def flavour_of(
    architectures: tuple[Architecture, ...], branch: DriverBranch, matrix: Matrix, *, open_only: bool = False
) -> Flavour:
    """The kernel module that serves all of them; NoBuildError where they need different ones.

    `open_only`: one of the boards needs the open module though its architecture runs on either (GH200).
    """
    wanted = {a.kernel_module for a in architectures} - {"either"} | ({"open"} if open_only else set())
    if len(wanted) > 1:
        names = ", ".join(f"{a.name} ({a.kernel_module})" for a in architectures)
        raise NoBuildError(
            f"These GPUs need different kernel modules, and one box loads one: {names}.", code="no-common-driver-branch"
        )
    if "proprietary" in wanted:
        return "proprietary"
    if "open" in wanted or branch.branch > matrix.module_branches.last_proprietary:
        return "open"
    return "open" if branch.branch >= matrix.module_branches.open_default else "proprietary"


def needs_open_module(machine: Machine, matrix: Matrix) -> bool:
    """Whether one of the boards needs the open module though its architecture runs on either."""
    rows = (row for gpu in machine.gpus for row in _rows(gpu, matrix))
    return any(row in matrix.module_branches.open_only for row in rows)


def _rows(gpu: Gpu, matrix: Matrix) -> tuple[str, ...]:
    figures = matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id)
    return figures.names if figures else ()


def boards_of(machine: Machine, matrix: Matrix) -> tuple[str, ...]:
    """Rows of `gpus` that the GPUs are of."""
    return tuple(dict.fromkeys(name for gpu in machine.gpus for name in _rows(gpu, matrix)))


# --- what was asked for -------------------------------------------------------------------------


def admits_wish(wish: DriverWish, machine: Machine, matrix: Matrix) -> Callable[[DriverBranch], bool]:
    """Whether a branch does what was asked for by --cuda and --torch; UsageError for words that can't be read."""
    needs = [_cuda_rule(wish.cuda)] if wish.cuda else []
    if wish.torch:
        needs.append(_torch_rule(wish.torch, machine, matrix))
    return lambda branch: all(rule(branch) for rule in needs)


def _cuda_rule(word: str) -> Callable[[DriverBranch], bool]:
    try:
        wanted = CudaVersion.parse(word if "." in word or word.startswith("cu") else f"{word}.0")
    except ValueError:
        raise UsageError(f"--cuda: found {word!r}, expected a CUDA such as 12.8, cu128 or 13.") from None
    return lambda branch: branch.cuda >= wanted


def _torch_rule(word: str, machine: Machine, matrix: Matrix) -> Callable[[DriverBranch], bool]:
    """Whether a branch implements the CUDA of a build of that torch that has code for every GPU."""
    # packaging is loaded for specifiers alone: a cold plan pays a fifth of its time for it.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    text = word.strip()
    try:
        specifier = SpecifierSet(text if text[:1] in "<>=!~" else f"=={text}.*" if text.count(".") < 2 else f"=={text}")  # noqa: PLR2004
    except InvalidSpecifier:
        raise UsageError(f"--torch: found {word!r}, expected 2.9 or a specifier such as '>=2.6,<2.10'.") from None
    releases = [row for row in matrix.releases if specifier.contains(row.version)]
    if not releases:
        raise UsageError(f"--torch: the matrix has no torch {word}.", do=("gpusetup matrix show",))
    devices = [found for gpu in machine.gpus if (found := capability_of(gpu, matrix))]
    platform = f"linux_{machine.host.arch or 'x86_64'}"
    cudas = [
        variant.cuda
        for variant in releases[-1].variants
        if variant.cuda and all(_has_code(variant, platform, device, matrix) for device in devices)
    ]
    if not cudas:
        raise NoBuildError(f"No build of torch {releases[-1].version} has code for these GPUs.", do=("gpusetup plan",))
    least = min(cudas)
    return lambda branch: branch.cuda >= least


def _has_code(variant: Variant, platform: str, device: ComputeCapability, matrix: Matrix) -> bool:
    rows = [matrix.cubin(code) for code in variant.arch_list(platform) or ()]
    return any(row is not None and variant.cuda is not None and row.runs_on(device, variant.cuda) for row in rows)


# --- what is known against a branch -------------------------------------------------------------


def against(branch: DriverBranch, kernels: Iterable[str], boards: tuple[str, ...], matrix: Matrix) -> str | None:
    """Why the newest release of a branch is no good on these kernels and boards; None where nothing is known."""
    if branch.latest_linux is None:
        return None
    release = DriverVersion(branch.latest_linux)
    for kernel in kernels:
        if row := matrix.faults.kernel_driver(kernel, release):
            return f"Driver {release} does not build for kernel {kernel}: {row.means}"
    for denied in matrix.faults.denied_drivers_of(release, boards):
        if denied.severity == "fail" and denied.when is None:
            return f"Driver {release}: {denied.means}"
    return None
