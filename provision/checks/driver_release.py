"""Checks of the driver's release against the GPUs and the kernel: driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import bus_ids, check
from .driver_facts import WITHOUT_MODULE, architecture_of, installed_release
from .remedies import install_flavour, see_driver_steps

if TYPE_CHECKING:
    from ..matrix.faults import DeniedDriver
    from ..records import Finding, Gpu
    from .base import Facts, Verdict


def _waiting(facts: Facts) -> tuple[Gpu, ...]:
    """GPUs that the driver does not serve, though they are for this system."""
    return tuple(gpu for gpu in facts.machine.gpus if not gpu.in_nvml and gpu.kernel_driver != "vfio-pci")


@check(
    "driver.arch_supported",
    level="instant",
    needs=("gpu",),
    not_on=("wsl", "jetson"),
    leads=(*WITHOUT_MODULE, "driver.open_module"),
)
def arch_supported(facts: Facts, say: Verdict) -> Finding:
    """The driver's branch serves the architecture of every GPU.

    What it finds
        A GPU that is too old for the installed driver (Maxwell, Pascal and Volta end with branch 580, Kepler with
        470), or too new for it.

    Why it matters
        The module ignores a GPU that it does not know: nvidia-smi says "No devices were found", and nothing in that
        sentence names the reason.

    How it is decided
        The PCI id, or what NVML says, tells the architecture; the matrix has the first and the last branch of each. A
        GPU that NVML answers for passes whatever the tables say.

    What to do
        Install the last branch that serves the old GPU and hold it, or a newer one for the new GPU. `gpusetup driver
        plan` picks a branch that serves all GPUs of the box.

    Sources
        NVIDIA Driver Installation Guide, and CUDA toolkit release notes; per architecture in the matrix (read 2026-11).
    """
    found = installed_release(facts)
    if found is None:
        return say.skipped("No driver release is known here.")
    release, source = found
    for gpu in _waiting(facts):
        row = architecture_of(facts, gpu)
        if row is None:
            continue
        oldest = row.oldest_driver(gpu.compute_capability, is_windows=False)
        is_gone = row.last_branch is not None and release.branch > row.last_branch
        if is_gone or (oldest is not None and release < oldest):
            needs = f"branch {row.last_branch} or older" if is_gone else f"{oldest} or newer"
            what = "no longer serves" if is_gone else "does not know"
            return say.failed(
                f"Driver {release} {what} the {row.name} GPU {bus_ids((gpu,))}: it needs {needs}.",
                Evidence("driver", str(release), source=source, needs=needs),
                *facts.evidence("pci.gpu"),
                safe=see_driver_steps(facts.machine),
                risky=(f"install the driver of {needs}, then: sudo reboot",),
            )
    return say.passed(f"Driver {release} serves every GPU here that the matrix knows.")


@check(
    "driver.open_module",
    level="quick",
    needs=("gpu",),
    not_on=("wsl", "jetson"),
    leads=(*WITHOUT_MODULE, "driver.gsp"),
)
def open_module(facts: Facts, say: Verdict) -> Finding:
    """The kernel module is of the flavour that the GPUs need.

    What it finds
        The proprietary kernel module on a GPU that only the open one serves (Blackwell and newer, GH200), or the open
        one on a GPU that it can't serve (Volta and older).

    Why it matters
        The module loads and starts no GPU: "RmInitAdapter failed" in the kernel log, "No devices were found" from
        nvidia-smi.

    How it is decided
        The first line of /proc/driver/nvidia/version, or the licence that modinfo shows for the module on disk
        ("NVIDIA" is the proprietary one), against the flavour that the matrix has for the architecture. A GPU that
        NVML answers for passes.

    What to do
        Install the other flavour of the same release.

    Sources
        NVIDIA open GPU kernel modules, README; NVIDIA Driver Installation Guide (read 2026-11).
    """
    flavour, source = _flavour(facts)
    if flavour is None:
        return say.skipped("No kernel module of the driver is loaded or installed.")
    for gpu in _waiting(facts):
        needs = _needed(facts, gpu)
        if needs not in {None, flavour}:
            row = architecture_of(facts, gpu)
            return say.failed(
                f"The {flavour} kernel module does not serve GPU {bus_ids((gpu,))}"
                f" ({row.name if row else gpu.name}): it needs the {needs} one.",
                Evidence("kernel_module", flavour, source=source, needs=needs),
                *facts.evidence("pci.gpu"),
                safe=see_driver_steps(facts.machine),
                risky=install_flavour(facts.machine, needs == "open"),
            )
    return say.passed(f"The {flavour} kernel module suits every GPU here that the matrix knows.")


def _flavour(facts: Facts) -> tuple[str | None, str]:
    loaded = facts.machine.driver.kernel_module if facts.machine.driver else None
    if loaded:
        return loaded, "/proc/driver/nvidia/version"
    licence = facts.text("driver.modinfo_license")
    if licence is None:
        return None, "modinfo nvidia"
    return ("proprietary" if licence == "NVIDIA" else "open"), "modinfo nvidia"


def _needed(facts: Facts, gpu: Gpu) -> str | None:
    """Flavour that a GPU needs; None where both will do or nobody knows."""
    row, matrix = architecture_of(facts, gpu), facts.matrix
    if row is None or matrix is None:
        return None
    named = matrix.gpu_by_name(gpu.name) if gpu.name else None
    boards = (named,) if named else matrix.gpus_by_pci_id(gpu.pci_device_id or "")
    if boards and all(board.name in matrix.module_branches.open_only for board in boards):
        return "open"
    return None if row.kernel_module == "either" else row.kernel_module


@check("driver.denylist", level="quick", needs=("gpu",), not_on=("wsl", "jetson"))
def denylist(facts: Facts, say: Verdict) -> Finding:
    """The driver is none with a known fault.

    What it finds
        A driver release that the matrix lists with a fault that concerns this box: its boards, MIG, its memory.

    Why it matters
        Time goes into a fault that another release has mended long ago.

    How it is decided
        The release of the driver against the matrix's table of denied drivers, with the boards and circumstances that
        each row names. The row says whether it warns or fails; a doubtful row never does more than warn.

    What to do
        Move to the release that the row names.

    Sources
        Release notes and issue threads, cited by each row of the matrix (`gpusetup matrix show`).
    """
    driver = facts.machine.driver
    release = driver and (driver.kernel_module_version or driver.driver_version)
    if not release or facts.matrix is None:
        return say.skipped("No driver release is known here.")
    matrix = facts.matrix
    boards = tuple(board.name for gpu in facts.machine.gpus if gpu.name and (board := matrix.gpu_by_name(gpu.name)))
    rows = [row for row in matrix.faults.denied_drivers_of(release, boards) if _applies(facts, row)]
    for row in sorted(rows, key=lambda row: ("fail", "warn", "info").index(row.severity)):
        what = f"Driver {release} has a known fault: {row.means}"
        shown = Evidence("driver", str(release), source=", ".join(row.source), needs=row.do)
        if row.severity == "info":
            return say.passed(what, shown)
        speak = say.failed if row.severity == "fail" and not row.doubtful else say.warned
        return speak(what, shown, safe=("gpusetup driver plan",), risky=(row.do,))
    return say.passed(f"No fault of driver {release} is listed that concerns this box.")


def _applies(facts: Facts, row: DeniedDriver) -> bool:
    modes = [gpu.mig_mode == "enabled" for gpu in facts.machine.gpus]
    if row.when == "mig":
        return any(modes)
    if row.when == "mig-mixed":
        return any(modes) and not all(modes)
    # How much a program pins at once is not to be seen from outside.
    return row.when is None


CHECKS = (arch_supported, open_module, denylist)
