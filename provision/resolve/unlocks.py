"""The smallest change of one thing that would admit a newer torch: driver, kernel module, Python, system, request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from ..records import Unlock
from ..versions import DriverVersion
from .bans import site_ban
from .candidates import python_name, python_tag
from .rules import DRIVER_RULES, macos_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..versions import CudaVersion
    from .candidates import Candidate
    from .choose import Outcome
    from .situation import Situation

T = TypeVar("T")

_MODULE_RULE: Final = frozenset(("kernel-module-unsuitable",))


def unlocks_of(situation: Situation, outcomes: Sequence[Outcome], best: Outcome | None) -> tuple[Unlock, ...]:
    """Per thing that could change the steps that pay, smallest first: each admits a newer torch than the last."""
    limit = best.candidate.release_order if best else None
    newer = [outcome for outcome in outcomes if limit is None or outcome.candidate.release_order < limit]
    if not newer:
        return ()
    older = _older_driver(situation, newer) if situation.gpus.dropped else []
    return (
        *older,
        *_driver(situation, newer),
        *_forward(situation, newer),
        *_kernel_module(situation, newer),
        *_instances(situation, newer),
        *_python(situation, newer),
        *_system(situation, newer),
        *_request(situation, newer),
    )


def _only(outcome: Outcome, rules: frozenset[str]) -> bool:
    if not outcome.against or not outcome.pythons or outcome.last_resort:
        return False
    return not any(no.rule not in rules for no in outcome.against)


def _best(situation: Situation, newer: Sequence[Outcome], rules: frozenset[str]) -> Candidate | None:
    """The preferred of the builds that only these rules reject."""
    fitting = [outcome.candidate for outcome in newer if _only(outcome, rules)]
    cuda = situation.driver.driver_cuda_version
    return min(fitting, key=lambda candidate: _preference(candidate, cuda), default=None)


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


def _kernel_module(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """The other flavour of the same driver."""
    if situation.driver.driver_version is None:
        return []
    flavour = _wanted_module(situation, situation.driver.driver_version.branch)
    best = _best(situation, newer, frozenset(("kernel-module-unsuitable",))) if flavour else None
    return [_unlock("kernel-module", str(situation.driver.kernel_module), str(flavour), best)] if best else []


def _forward(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """The compatibility package of a newer CUDA over the driver that is there, where the vendor lists both."""
    matrix, driver = situation.catalogue.matrix, situation.driver.driver_version
    branch = matrix.branch_of(driver) if driver else None
    if branch is None or situation.driver.is_windows or situation.driver.is_tegra or situation.driver.forward:
        return []
    if any(device.gpu_class not in matrix.forward.classes for device in situation.gpus.devices):
        return []
    rules = frozenset(("driver-too-old", "ptx-needs-newer-driver"))
    fitting = [
        outcome.candidate
        for outcome in newer
        if _only(outcome, rules)
        and outcome.candidate.cuda
        and matrix.forward_compatible(outcome.candidate.cuda, branch.branch)
    ]
    if not fitting:
        return []
    best = min(fitting, key=lambda candidate: (candidate.release_order, candidate.order))
    package = f"package cuda-compat-{str(best.cuda).replace('.', '-')}"
    return [_unlock("forward-compatibility", f"driver {driver} alone", package, best)]


def _instances(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    best = _best(situation, newer, frozenset(("mig-without-instance",)))
    return [_unlock("mig", "no instance", "one compute instance, or MIG off", best)] if best else []


def _request(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """What dropping one of the options that ask for versions would admit."""
    wishes, cuda = situation.wishes, situation.driver.driver_cuda_version
    unlocks = []
    asked = [outcome.candidate for outcome in newer if _only(outcome, frozenset(("not-asked-for",)))]
    by_torch = [c for c in asked if not wishes.cuda or wishes.cuda.allows(c.variant.name, c.cuda)]
    by_cuda = [c for c in asked if not wishes.torch or wishes.torch.allows(c.release.version)]
    for option, wish, fitting in (("torch", wishes.torch, by_torch), ("cuda", wishes.cuda, by_cuda)):
        if wish and fitting:
            best = min(fitting, key=lambda candidate: _preference(candidate, cuda))
            unlocks.append(_unlock(option, f"--{option} {wish.text}", f"without --{option}", best))
    if wishes.transformers:
        hidden = [outcome.candidate for outcome in newer if not (outcome.against or outcome.last_resort)]
        free = [c for c in hidden if any(_pairs_with(situation, c, python) for python in situation.pythons)]
        if free:
            best = min(free, key=lambda candidate: _preference(candidate, cuda))
            text = f"--transformers {wishes.transformers.text}"
            unlocks.append(_unlock("transformers", text, "without --transformers", best))
    return unlocks


def _pairs_with(situation: Situation, candidate: Candidate, python: str) -> bool:
    has_wheel = candidate.wheels is not None and python_tag(python) in candidate.wheels.pythons
    is_free = site_ban(situation, candidate, situation.driver.driver_version, python) is None
    return has_wheel and is_free and situation.catalogue.has_pair(candidate, python, None)


def _driver(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    ends = [device.architecture.last_branch for device in situation.gpus.devices if device.architecture]
    last_branch = min((branch for branch in ends if branch is not None), default=None)
    least = oldest_driver(situation)
    steps: list[tuple[DriverVersion, Candidate]] = []
    for outcome in newer:
        if (
            not situation.driver.is_tegra
            and _only(outcome, DRIVER_RULES | _MODULE_RULE)
            and _some(outcome, DRIVER_RULES)
        ):
            needed = _needed_driver(situation, outcome.candidate, least)
            if needed is None or (last_branch is not None and needed.branch > last_branch):
                continue
            if situation.gpus.wrong_module and _wanted_module(situation, needed.branch) is None:
                continue
            steps.append((needed, outcome.candidate))
    branches = {driver: situation.catalogue.matrix.branch_of(driver) for driver in {driver for driver, _ in steps}}

    def order(step: tuple[DriverVersion, Candidate]) -> tuple[DriverVersion, tuple[int, bool, int]]:
        branch = branches[step[0]]
        return step[0], _preference(step[1], branch.cuda if branch else None)

    found = str(situation.driver.driver_version) if situation.driver.driver_version else "unknown"
    paying = _paying(sorted(steps, key=order))
    if situation.driver.driver_version is None:
        paying = paying[-1:]  # nothing says which steps are still ahead: the one that admits most
    return [_unlock("driver", found, _with_module(situation, driver), candidate) for driver, candidate in paying]


def _some(outcome: Outcome, rules: frozenset[str]) -> bool:
    return any(no.rule in rules for no in outcome.against)


def _with_module(situation: Situation, driver: DriverVersion) -> str:
    """The driver, and the flavour of its kernel module where it must be another one than today's."""
    flavour = _wanted_module(situation, driver.branch)
    return f"{driver} with the {flavour} kernel module" if flavour else str(driver)


def _older_driver(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    """The newest driver of the last branch that serves every GPU, where a newer branch dropped one of them."""
    matrix = situation.catalogue.matrix
    number = min(row.last_branch for _, row in situation.gpus.dropped if row.last_branch is not None)
    branch = next((row for row in matrix.branches if row.branch == number), None)
    latest = (branch.latest_windows if situation.driver.is_windows else branch.latest_linux) if branch else None
    least = oldest_driver(situation)
    fitting = [
        outcome.candidate
        for outcome in newer
        if outcome.pythons
        and _only(outcome, _MODULE_RULE | {"gpu-dropped-by-driver-branch"})
        and (needed := _needed_driver(situation, outcome.candidate, least))
        and needed.branch <= number
    ]
    if not fitting:
        return []
    cuda = branch.cuda if branch else None
    best = min(fitting, key=lambda candidate: _preference(candidate, cuda))
    older = DriverVersion(latest or str(number))
    if situation.gpus.wrong_module and _wanted_module(situation, older.branch) is None:
        return []
    return [_unlock("driver", str(situation.driver.driver_version), _with_module(situation, older), best)]


def _paying(steps: list[tuple[T, Candidate]]) -> list[tuple[T, Candidate]]:
    """Of steps in ascending order those that admit a newer torch than every smaller one."""
    paying: list[tuple[T, Candidate]] = []
    for step in steps:
        if not paying or step[1].release_order < paying[-1][1].release_order:
            paying.append(step)
    return paying


def oldest_driver(situation: Situation) -> DriverVersion | None:
    """The oldest driver that serves every GPU of the machine."""
    is_windows = situation.driver.is_windows
    drivers = [
        device.architecture.oldest_driver(device.compute_capability, is_windows=is_windows)
        for device in situation.gpus.devices
        if device.architecture
    ]
    return max((driver for driver in (*drivers, situation.driver.wsl_floor) if driver), default=None)


def _needed_driver(situation: Situation, candidate: Candidate, least: DriverVersion | None) -> DriverVersion | None:
    """The oldest driver on which the candidate would fit: that of its CUDA, of its PTX and of the GPUs."""
    if candidate.floors is None or candidate.cuda is None:
        return None
    needed = candidate.floors[situation.driver.is_windows]
    if any(situation.catalogue.code_for(candidate, capability) == "ptx" for capability in situation.gpus.capabilities):
        matrix = situation.catalogue.matrix
        native = matrix.native_driver(candidate.cuda, is_windows=situation.driver.is_windows)
        if native is None:
            return None
        needed = max(needed, native)
    needed = max(needed, least) if least else needed
    return None if site_ban(situation, candidate, needed) else needed


def _python(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    current = situation.pythons[0] if situation.pythons else None
    wish, cuda = situation.wishes.transformers, situation.driver.driver_cuda_version
    best: dict[str, Candidate] = {}
    for outcome in newer:
        candidate = outcome.candidate
        if outcome.pythons or outcome.last_resort or candidate.wheels is None:
            continue
        if any(no.rule != "python-unknown" for no in outcome.against):
            continue
        for tag in candidate.wheels.pythons:
            python = python_name(tag)
            known = best.get(python)
            if tag.endswith("t") or (known and known.release_order < candidate.release_order):
                continue
            is_better = known is None or _preference(candidate, cuda) < _preference(known, cuda)
            is_free = site_ban(situation, candidate, situation.driver.driver_version, python) is None
            if is_better and is_free and situation.catalogue.has_pair(candidate, python, wish):
                best[python] = candidate
    paying = _paying(sorted(best.items(), key=lambda step: _distance(current, step[0])))
    if current is None:
        paying = paying[-1:]
    return [_unlock("python", current or "unknown", python, candidate) for python, candidate in paying]


def _preference(candidate: Candidate, cuda: CudaVersion | None) -> tuple[int, bool, int]:
    return candidate.release_order, bool(cuda and candidate.cuda and candidate.cuda > cuda), candidate.order


def _distance(current: str | None, python: str) -> tuple[int, int]:
    """How far a Python is from the current one; of two equally far ones the newer is nearer."""
    minor = int(python.split(".")[1])
    if current is None or not current[:1].isdigit():
        return (0, -minor)
    return (abs(minor - int(current.rstrip("t").split(".")[1])), -minor)


def _system(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    if situation.system.macos is not None:
        return _macos(situation, newer)
    rules = frozenset(("glibc-too-old", "musl-libc"))
    steps = [
        (outcome.candidate.glibc, outcome.candidate)
        for outcome in newer
        if outcome.candidate.glibc and _only(outcome, rules)
    ]
    steps.sort(key=lambda step: (step[0], _preference(step[1], situation.driver.driver_cuda_version)))
    found = "musl" if situation.system.is_musl else f"glibc {situation.system.glibc}"
    return [_unlock("os", found, f"glibc {glibc}", candidate) for glibc, candidate in _paying(steps)]


def _macos(situation: Situation, newer: Sequence[Outcome]) -> list[Unlock]:
    rules = frozenset(("macos-too-old",))
    steps = [
        (outcome.candidate.wheels.macos, outcome.candidate)
        for outcome in newer
        if outcome.candidate.wheels and outcome.candidate.wheels.macos and _only(outcome, rules)
    ]
    steps.sort(key=lambda step: (step[0], _preference(step[1], None)))
    found = macos_name(situation.system.macos or ())
    return [_unlock("os", found, macos_name(needed), candidate) for needed, candidate in _paying(steps)]


def _unlock(change: str, found: str, needed: str, candidate: Candidate) -> Unlock:
    return Unlock(change, found, needed, candidate.release.version, candidate.variant.name)
