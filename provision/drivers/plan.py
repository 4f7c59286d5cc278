"""Driver branch, kernel module flavour and the distribution's own steps, from the matrix (PURE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import NoBuildError, NoUsableGpuError
from ..records import Evidence

if TYPE_CHECKING:
    from ..matrix.model import Architecture, DriverBranch
    from ..matrix.tables import Matrix
    from ..records import Machine

Flavour = Literal["open", "proprietary"]


@dataclass(frozen=True, slots=True)
class DriverStep:
    """One step: a command for a root shell, why it is needed, and what undoes it."""

    command: str
    why: str
    undo: str | None = None


@dataclass(frozen=True, slots=True)
class DriverPlan:
    """Data of driver-plan/1. Nothing here has been run."""

    branch: int | None
    """Driver branch, 580; None where the distribution's own archive decides."""
    kernel_module: Flavour
    architectures: tuple[str, ...]
    distribution: str
    steps: tuple[DriverStep, ...]
    notes: tuple[str, ...] = ()


def plan_driver(machine: Machine, matrix: Matrix, *, today: str) -> DriverPlan:
    """The driver that every NVIDIA GPU of the machine can use.

    `today` is an ISO date: a branch past its end of life is not chosen. NoUsableGpuError without an
    NVIDIA GPU; NoBuildError when no branch serves all of them or the distribution is not known.
    """
    if machine.host.is_wsl:
        raise NoBuildError(
            "Under WSL the driver is that of Windows: a Linux driver inside would hide it.",
            code="distribution-not-covered",
            do=("update the NVIDIA driver in Windows, then: wsl --shutdown",),
        )
    architectures = architectures_of(machine, matrix)
    branch = choose_branch(architectures, matrix, today=today)
    flavour = _flavour(architectures, branch, matrix)
    os_name = machine.host.os or "unknown"
    steps = _steps(os_name, branch.branch, flavour)
    if steps is None:
        raise NoBuildError(
            f"The driver steps of {os_name} are not written yet.",
            code="distribution-not-covered",
            evidence=(Evidence("distribution", os_name, source="os-release", needs=", ".join(_DISTRIBUTIONS)),),
            do=(f"Install driver branch {branch.branch} ({flavour} kernel module) as your distribution documents.",),
        )
    return DriverPlan(
        branch=None if os_name in _ONE_BRANCH else branch.branch,
        kernel_module=flavour,
        architectures=tuple(a.name for a in architectures),
        distribution=os_name,
        steps=steps,
        notes=(*_NOTES.get(os_name, ()), *_surroundings(machine)),
    )


def architectures_of(machine: Machine, matrix: Matrix) -> tuple[Architecture, ...]:
    """The architectures of the machine's GPUs, each once; NoBuildError for a GPU that the matrix does not know."""
    rows: list[Architecture] = []
    for gpu in machine.gpus:
        capability = gpu.compute_capability
        if capability is None and gpu.pci_device_id:
            capability = matrix.capability_by_pci_id(gpu.pci_device_id)
        if capability is None and gpu.name:
            capability = matrix.capability_by_name(gpu.name)
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


def choose_branch(architectures: tuple[Architecture, ...], matrix: Matrix, *, today: str) -> DriverBranch:
    """Newest branch of a supported kind that serves them all: long-term or production, not past its end.

    A branch on which a site file forbids every build is none to choose.
    """

    def serves(branch: DriverBranch) -> bool:
        return all(
            (a.first_branch or 0) <= branch.branch and (a.last_branch is None or branch.branch <= a.last_branch)
            for a in architectures
        )

    site = matrix.site
    fitting = [b for b in matrix.branches if serves(b) and not (site and site.forbids_branch(b.branch))]
    alive = [b for b in fitting if b.type in ("LTS", "PB") and (b.eol is None or b.eol >= today)]
    # A GPU whose last branch has ended still deserves that branch: the newest that serves it at all.
    choice = max(alive or fitting, key=lambda b: b.branch, default=None)
    if choice is None:
        names = ", ".join(a.name for a in architectures)
        raise NoBuildError(f"No driver branch serves {names} together.", code="no-common-driver-branch")
    return choice


def _flavour(architectures: tuple[Architecture, ...], branch: DriverBranch, matrix: Matrix) -> Flavour:
    wanted = {a.kernel_module for a in architectures} - {"either"}
    if len(wanted) > 1:
        names = ", ".join(f"{a.name} ({a.kernel_module})" for a in architectures)
        raise NoBuildError(
            f"These GPUs need different kernel modules, and one box loads one: {names}.", code="no-common-driver-branch"
        )
    if "proprietary" in wanted:
        return "proprietary"
    if any(a.kernel_module == "open" for a in architectures):
        return "open"
    return "open" if branch.branch >= matrix.module_branches.open_default else "proprietary"


def _steps(os_name: str, branch: int, flavour: Flavour) -> tuple[DriverStep, ...] | None:
    make = _DISTRIBUTIONS.get(os_name)
    return make(branch, flavour) if make else None


def _ubuntu(branch: int, flavour: Flavour) -> tuple[DriverStep, ...]:
    suffix = "-open" if flavour == "open" else ""
    package = f"nvidia-driver-{branch}-server{suffix}"
    return (
        DriverStep("apt-get update", "the archive's newest lists"),
        DriverStep("apt-get install -y linux-headers-$(uname -r)", "the module is built for the running kernel"),
        DriverStep(
            f"apt-get install -y {package}",
            f"branch {branch} with the {flavour} kernel module, server line: no desktop parts",
            undo=f"apt-get purge -y {package} && apt-get autoremove -y",
        ),
        DriverStep(
            f"apt-mark hold {package}",
            "an unattended upgrade would leave library and kernel module of two releases until the next boot",
            undo=f"apt-mark unhold {package}",
        ),
        DriverStep("reboot", "loads the module and unloads nouveau"),
    )


def _debian(branch: int, flavour: Flavour) -> tuple[DriverStep, ...]:  # noqa: ARG001  its archive has one branch
    module = "nvidia-open-kernel-dkms" if flavour == "open" else "nvidia-kernel-dkms"
    return (
        DriverStep(
            "sed -i 's/^Components: main.*/Components: main contrib non-free non-free-firmware/' "
            "/etc/apt/sources.list.d/debian.sources",
            "the driver lives in non-free; with a one-line sources.list add the words there",
        ),
        DriverStep("apt-get update", "the archive's newest lists"),
        DriverStep("apt-get install -y linux-headers-$(uname -r)", "the module is built for the running kernel"),
        DriverStep(
            f"apt-get install -y {module} nvidia-driver nvidia-smi firmware-misc-nonfree",
            "the driver of this Debian release",
            undo=f"apt-get purge -y {module} nvidia-driver nvidia-smi && apt-get autoremove -y",
        ),
        DriverStep("reboot", "loads the module and unloads nouveau"),
    )


def _surroundings(machine: Machine) -> tuple[str, ...]:
    if machine.host.container is None:
        return ()
    return ("This is a container: the driver belongs on its host, and these are the steps of this container's system.",)


#: Distributions whose archive has one driver branch per release, whatever branch would be best.
_ONE_BRANCH = ("debian",)
_DISTRIBUTIONS = {"ubuntu": _ubuntu, "debian": _debian}
_NOTES = {
    "debian": (
        "Debian's archive has one driver branch per release: see `apt-cache policy nvidia-driver` before installing.",
    ),
    "ubuntu": ("With Secure Boot on, the module must be signed: enrol the key when the installer asks.",),
}
