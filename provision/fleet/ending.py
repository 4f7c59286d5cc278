"""How a command about a fleet ends: its exit code, and a finding for each kind of failure (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ExitCode
from ..records import Evidence, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..documents.fleet import FleetData, FleetRow, RowError

MOST_SHOWN: Final = 5
"""Machines that a finding names."""


def exit_code_of(fleet: FleetData) -> ExitCode:
    """7 when something could not be read, 3 when a GPU can't be used, 4 when no build fits one or all, else 0."""
    summary = fleet.summary
    if summary.unreadable:
        return ExitCode.BAD_INPUT
    if summary.without_usable_gpu:
        return ExitCode.NO_GPU
    return ExitCode.OK if fleet.common else ExitCode.NO_BUILD


def failures_of(fleet: FleetData) -> tuple[Finding, ...]:
    """One finding for each kind of failure, with the first machines that have it."""
    kinds: dict[str, list[FleetRow]] = {}
    for row in fleet.machines:
        if row.error is not None:
            kinds.setdefault(row.error.id, []).append(row)
    order = (ExitCode.BAD_INPUT, ExitCode.NO_GPU, ExitCode.NO_BUILD)
    found = [_failure(id_, rows) for id_, rows in sorted(kinds.items(), key=lambda kind: _rank(kind[1], order))]
    if fleet.common is None and fleet.summary.planned > 1:
        group = fleet.largest_group
        evidence = Evidence("machines that share a build", group.machines if group else 0, needs=fleet.summary.machines)
        happened = "No build runs on every machine of the fleet."
        found.append(Finding("no-common-build", "fail", happened, (evidence,), ("gpusetup plan, one group at a time",)))
    return tuple(found)


def _rank(rows: Sequence[FleetRow], order: Sequence[ExitCode]) -> int:
    code = rows[0].error.exit_code if rows[0].error else 0
    return order.index(ExitCode(code)) if code in order else len(order)


def _failure(id_: str, rows: Sequence[FleetRow]) -> Finding:
    errors = [(row.name, row.error) for row in rows if row.error]
    evidence = [_evidence(name, error) for name, error in errors[:MOST_SHOWN]]
    code, do = errors[0][1].exit_code, errors[0][1].do
    what = {ExitCode.BAD_INPUT: "could not be read", ExitCode.NO_GPU: "without a usable GPU"}
    says = what.get(ExitCode(code), "without a build that fits")
    shown = f"; the first {len(evidence)} are shown" if len(errors) > len(evidence) else ""
    if code == ExitCode.NO_BUILD and len(errors) > 1:
        do = ("gpusetup plan --from the file of one of them",)
    return Finding(id_, "fail", f"{len(errors)} of the fleet {says}{shown}.", tuple(evidence), do)


def _evidence(name: str, error: RowError) -> Evidence:
    if not error.reasons:
        return Evidence(name, error.happened)
    reason = error.reasons[0]
    return Evidence(name, f"{reason.rule}: {reason.found}", needs=reason.needs)
