"""The smallest change of the driver that would admit a newer torch: another release, module or libcuda."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ..versions import DriverVersion
from .bans import site_ban
from .candidates import preference
from .rules import DRIVER_RULES
from .steps import best_held_by, is_held_by, paying_steps, unlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Unlock
    from .candidates import Candidate
    from .choose import Outcome
    from .situation import Situation

_MODULE_RULE: Final = frozenset(("kernel-module-unsuitable",))


def older_driver(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """The newest driver of the last branch that serves every GPU, where a newer branch dropped one of them."""
    matrix = situation.catalogue.matrix
    number = min(row.last_branch for _, row in situation.gpus.dropped if row.last_branch is not None)
    branch = next((row for row in matrix.branches if row.branch == number), None)
    latest = (branch.latest_windows if situation.driver.is_windows else branch.latest_linux) if branch else None
    least = oldest_driver(situation)
    fitting = [
        outcome.candidate
        for outcome in newer
        if is_held_by(outcome, _MODULE_RULE | {"gpu-dropped-by-driver-branch"})
        and (needed := needed_driver(situation, outcome.candidate, least))
        and needed.branch <= number
    ]
    if not fitting:
        return []
    cuda = branch.cuda if branch else None
    best = min(fitting, key=lambda candidate: preference(candidate, cuda))
    older = DriverVersion(latest or str(number))
    if situation.gpus.wrong_module and _wanted_module(situation, older.branch) is None:
        return []
    return [unlock("driver", str(situation.driver.driver_version), _with_module(situation, older), best)]


def newer_driver(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """The oldest drivers that admit a newer torch each, as far as they still serve every GPU."""
    ends = [device.architecture.last_branch for device in situation.gpus.devices if device.architecture]
    last_branch = min((branch for branch in ends if branch is not None), default=None)
    least = oldest_driver(situation)
    steps: list[tuple[DriverVersion, Candidate]] = []
    others: list[tuple[DriverVersion, Candidate]] = []
    for outcome in newer:
        if situation.driver.is_tegra or not is_held_by(outcome, DRIVER_RULES | _MODULE_RULE):
            continue
        needed = needed_driver(situation, outcome.candidate, least)
        if needed is None or (last_branch is not None and needed.branch > last_branch):
            continue
        if not _some(outcome, DRIVER_RULES):
            others.append((needed, outcome.candidate))
        elif not (situation.gpus.wrong_module and _wanted_module(situation, needed.branch) is None):
            steps.append((needed, outcome.candidate))
    matrix = situation.catalogue.matrix
    branches = {driver: matrix.branch_of(driver) for driver in {driver for driver, _ in steps}}

    def rank(driver: DriverVersion, candidate: Candidate) -> tuple[int, bool, int]:
        branch = branches[driver]
        return preference(candidate, branch.cuda if branch else None)

    found = str(situation.driver.driver_version) if situation.driver.driver_version else "unknown"
    paying = paying_steps(sorted(steps, key=lambda step: (step[0], rank(*step))))
    if situation.driver.driver_version is None:
        paying = paying[-1:]  # nothing says which steps are still ahead: the one that admits most
    unlocks = []
    for driver, candidate in paying:
        # What only the other kernel module keeps away today comes with the driver too, and may be preferred there.
        alike = [other for needed, other in others if needed <= driver and other.release is candidate.release]
        best = min((candidate, *alike), key=partial(rank, driver))
        unlocks.append(unlock("driver", found, _with_module(situation, driver), best))
    return unlocks


def compatibility_package(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """The least compatibility package that brings the best build to the driver that is there, maybe a newer one."""
    matrix, driver = situation.catalogue.matrix, situation.driver.driver_version
    branch = matrix.branch_of(driver) if driver else None
    if branch is None or situation.driver.is_windows or situation.driver.is_tegra:
        return []
    if any(device.gpu_class not in matrix.forward.classes for device in situation.gpus.devices):
        return []
    rules = frozenset(("driver-too-old", "forward-compatibility-not-allowed", "ptx-needs-newer-driver"))
    used = situation.driver.forward.cuda if situation.driver.forward else None
    accepted = [row.cuda for row in matrix.forward.rows if row.cuda > branch.cuda and row.cuda != used]
    packages = [cuda for cuda in accepted if matrix.forward_compatible(cuda, branch.branch)]
    fitting = [
        (outcome.candidate, enough[0])
        for outcome in newer
        if is_held_by(outcome, rules)
        and (needed := outcome.candidate.cuda)
        and (enough := sorted(cuda for cuda in packages if cuda >= needed))
    ]
    if not fitting:
        return []
    best, cuda = min(fitting, key=lambda step: (step[0].release_order, step[0].order))
    package = f"package cuda-compat-{cuda.major}-{cuda.minor}"
    today = f"driver {driver} with the package of CUDA {used}" if used else f"driver {driver} alone"
    return [unlock("forward-compatibility", today, package, best)]


def other_module(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """The other flavour of the same driver."""
    if situation.driver.driver_version is None:
        return []
    flavour = _wanted_module(situation, situation.driver.driver_version.branch)
    best = best_held_by(situation, newer, frozenset(("kernel-module-unsuitable",))) if flavour else None
    return [unlock("kernel-module", str(situation.driver.kernel_module), str(flavour), best)] if best else []


def _some(outcome: Outcome, rules: frozenset[str]) -> bool:
    return any(no.rule in rules for no in outcome.against)


def _wanted_module(situation: Situation, branch: int) -> str | None:
    """The kernel module that serves every GPU, where the loaded one does not; None when there is no such module."""
    matrix = situation.catalogue.matrix
    wanted = {device.kernel_module for device in situation.gpus.devices} - {None, "either"}
    if not situation.gpus.wrong_module or len(wanted) != 1:
        return None
    flavour = wanted.pop()
    limits = matrix.module_branches
    exists = branch >= limits.first_open if flavour == "open" else branch <= limits.last_proprietary
    return flavour if exists else None


def _with_module(situation: Situation, driver: DriverVersion) -> str:
    """The driver, and the flavour of its kernel module where it must be another one than today's."""
    flavour = _wanted_module(situation, driver.branch)
    return f"{driver} with the {flavour} kernel module" if flavour else str(driver)


def oldest_driver(situation: Situation) -> DriverVersion | None:
    """The oldest driver that serves every GPU of the machine."""
    is_windows = situation.driver.is_windows
    drivers = [
        device.architecture.oldest_driver(device.compute_capability, is_windows=is_windows)
        for device in situation.gpus.devices
        if device.architecture
    ]
    return max((driver for driver in (*drivers, situation.driver.wsl_floor) if driver), default=None)


def needed_driver(situation: Situation, candidate: Candidate, least: DriverVersion | None) -> DriverVersion | None:
    """The oldest driver on which the candidate would fit: that of its CUDA, of its PTX and of the GPUs."""
    if candidate.floors is None or candidate.cuda is None:
        return None
    needed = candidate.floors[situation.driver.is_windows]
    if any(situation.catalogue.code_for(candidate, capability) == "ptx" for capability in situation.gpus.capabilities):
        matrix = situation.catalogue.matrix
        native = matrix.native_driver(candidate.cuda, is_windows=situation.driver.is_windows)
        if native is None:  # no toolkit names a driver for the system: the branch tells what it implements
            numbers = [row.branch for row in matrix.branches if row.cuda >= candidate.cuda]
            if not numbers:
                return None
            native = DriverVersion(str(min(numbers)))
        needed = max(needed, native)
    needed = max(needed, least) if least else needed
    return None if site_ban(situation, candidate, needed) else needed
