"""The checks in their order, and what is made of their findings. Pure but for the clock that is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..plain_text import plain
from ..records import CheckResult, Finding
from . import (
    ctr_gpu_granted,
    cuda_visible_devices,
    driver_device_nodes,
    driver_dstate,
    driver_kmd_umd_match,
    driver_module_loaded,
    driver_nouveau,
    driver_nvml_init,
    driver_query_latency,
    driver_uvm,
    gpu_compute_mode,
    gpu_mig_state,
    pci_count_vs_nvml,
    pci_driver_binding,
    pci_gpu_present,
    sys_wsl,
)
from .base import PROBLEMS, Check

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ..records import Machine

__all__ = ["CHECKS", "PROBLEMS", "Check", "explain", "lead", "run_checks"]

CHECKS: Final[tuple[Check, ...]] = (
    # Causes stand before what they cause: of two unexplained failures the first leads the report.
    pci_gpu_present.CHECK,
    sys_wsl.CHECK,
    ctr_gpu_granted.CHECK,
    driver_nouveau.CHECK,
    driver_module_loaded.CHECK,
    pci_driver_binding.CHECK,
    driver_kmd_umd_match.CHECK,
    driver_dstate.CHECK,
    driver_device_nodes.CHECK,
    driver_nvml_init.CHECK,
    driver_query_latency.CHECK,
    driver_uvm.CHECK,
    pci_count_vs_nvml.CHECK,
    gpu_mig_state.CHECK,
    gpu_compute_mode.CHECK,
    cuda_visible_devices.CHECK,
)


def run_checks(
    machine: Machine, checks: Sequence[Check] = CHECKS, *, clock: Callable[[], float] = lambda: 0.0
) -> tuple[CheckResult, ...]:
    """One result for every check, in order; a check that raises becomes a result of status crashed.

    `clock` gives seconds (time.perf_counter); without one every duration is 0.
    """
    timed = []
    for check in checks:
        started = clock()
        timed.append((check, _evaluate(check, machine), clock() - started))
    problems = {finding.id for _, finding, _ in timed if finding.status in PROBLEMS}
    return tuple(
        CheckResult(
            id=check.id,
            component=check.component,
            status=finding.status,
            happened=finding.happened,
            evidence=finding.evidence,
            safe=finding.safe,
            risky=finding.risky,
            leads=tuple(one for one in check.leads if one in problems) if finding.status in PROBLEMS else (),
            duration_s=duration_s,
        )
        for check, finding, duration_s in timed
    )


def _evaluate(check: Check, machine: Machine) -> Finding:
    try:
        return check.evaluate(machine)
    except Exception as err:  # noqa: BLE001 -- one broken check must not hide what the others found
        said = plain(f"{type(err).__name__}: {err}")
        return Finding(check.id, "crashed", f"This check is broken and found nothing ({said}).")


def lead(findings: Sequence[Finding | CheckResult]) -> tuple[str | None, tuple[str, ...]]:
    """Id of the finding that leads the report, and the ids that it explains; (None, ()) when nothing is wrong.

    A failure that no other failure explains leads; failures before warnings, then in the order of CHECKS.
    """
    problems = {finding.id: finding.status for finding in findings if finding.status in PROBLEMS}
    known = {check.id: check.leads for check in CHECKS}
    explained = {one for found in problems for one in known.get(found, ())}
    causes = [found for found in problems if found not in explained]
    if not causes:
        return (next(iter(problems)), ()) if problems else (None, ())
    order = {check.id: place for place, check in enumerate(CHECKS)}
    first = min(causes, key=lambda found: (problems[found] == "warn", order.get(found, len(order))))
    return first, _folded(first, problems, known)


def _folded(cause: str, problems: Collection[str], known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Problems that the cause explains, directly or through another, in the order of CHECKS."""
    reached: set[str] = set()
    waiting = [cause]
    while waiting:
        for one in known.get(waiting.pop(), ()):
            if one in problems and one not in reached and one != cause:
                reached.add(one)
                waiting.append(one)
    return tuple(check.id for check in CHECKS if check.id in reached)


def explain(check_id: str) -> str | None:
    """The page of a check, None for an id that no check has."""
    return next((check.page.strip() for check in CHECKS if check.id == check_id), None)
