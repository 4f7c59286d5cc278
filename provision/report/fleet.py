"""The plan of a fleet as lines: what all share, what holds it back, the machines (few: each; many: grouped)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..documents.fleet import FleetChange, FleetData, FleetRow, HeldBack, Lift, Refusal, SharedBuild
    from .style import Style

#: Up to so many machines have a line each.
_EACH: Final = 16
#: Groups of equal plans, and machines of rare plans, that are shown of more.
_GROUPS: Final = 12
_OUTLIERS: Final = 12
#: A plan of so few machines is shown machine by machine.
_RARE: Final = 2
_NAMES: Final = 3
_HELD: Final = 4
_REFUSALS: Final = 4
_LIFTS: Final = 3
_REMARKS: Final = 4


def render_fleet(fleet: FleetData, style: Style) -> str:
    """What is shared first, then what holds it back, then the machines, then a verdict line."""
    lines = [style.row("fleet", *_counts(fleet))]
    if shared := fleet.common or fleet.largest_group:
        lines += _shared("common" if fleet.common else "most", shared, style)
    if fleet.common is None and fleet.common_torch is not None and fleet.summary.planned > 1:
        lines += style.block("torch", f"{fleet.common_torch} runs on all machines, each in a variant of its own")
    for refusal in fleet.outside[:_REFUSALS]:
        lines += style.block("outside", _refusal(refusal))
    lines += _rest(len(fleet.outside) - _REFUSALS, "reasons", style)
    groups = _alike(fleet.held_back_by)
    for held in groups[:_HELD]:
        lines += _held(held, fleet.summary.machines, style)
    lines += _rest(len(groups) - _HELD, "newer builds", style)
    for lift in fleet.lifts[:_LIFTS]:
        lines += _lift(lift, style)
    lines += _rest(len(fleet.lifts) - _LIFTS, "larger changes", style)
    lines += _rows(fleet.machines, style)
    for remark in fleet.assumptions[:_REMARKS]:
        lines += style.block("assumed", f"{_machines(remark.machines)}: {remark.happened}")
    lines += _rest(len(fleet.assumptions) - _REMARKS, "assumptions", style)
    return "\n".join([*lines, *_verdict(fleet, style)])


def _machines(count: int) -> str:
    return f"{count:,} machine{'' if count == 1 else 's'}"


def _who(names: Sequence[str]) -> str:
    """2 machines (a, b); 31 machines (a, b, c, ...)."""
    shown = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
    return f"{_machines(len(names))} ({shown})"


def _rest(count: int, what: str, style: Style) -> list[str]:
    return [style.row("", f"... {count:,} more {what} with --json")] if count > 0 else []


def _counts(fleet: FleetData) -> Iterator[str]:
    summary = fleet.summary
    yield _machines(summary.machines)
    kinds = (
        (summary.without_build, "without a build"),
        (summary.without_usable_gpu, "without a usable GPU"),
        (summary.unreadable, "not read"),
    )
    yield from (f"{count:,} {what}" for count, what in kinds if count)


def _shared(label: str, shared: SharedBuild, style: Style) -> Iterator[str]:
    yield style.row(
        label,
        style.paint(f"torch {shared.torch}+{shared.variant}", "strong"),
        f"CUDA {shared.cuda_runtime_version}" if shared.cuda_runtime_version else "CPU build",
        f"Python {shared.python}" if shared.python else "no Python in common",
        _machines(shared.machines) if label == "most" else "",
    )
    for wheel in shared.wheels[:_REFUSALS]:
        yield style.row("wheel", wheel.wheel_tag, _machines(len(wheel.machines)) if len(shared.wheels) > 1 else "")
    yield from _rest(len(shared.wheels) - _REFUSALS, "wheels", style)


def _refusal(refusal: Refusal) -> str:
    found = refusal.found[0] if len(refusal.found) == 1 else f"{refusal.found[0]} and others"
    return f"{_who(refusal.machines)}: {refusal.rule}: found {found}, needs {refusal.needs}"


def _alike(builds: Sequence[HeldBack]) -> list[list[HeldBack]]:
    """Builds that the same machines refuse for the same reasons, together."""
    groups: dict[tuple[Refusal, ...], list[HeldBack]] = {}
    for held in builds:
        groups.setdefault(held.refusals, []).append(held)
    return list(groups.values())


def _held(group: Sequence[HeldBack], machines: int, style: Style) -> Iterator[str]:
    builds = ", ".join(f"{held.torch}+{held.variant}" for held in group)
    yield from style.block("newer", f"torch {builds}: {group[0].machines:,} of {_machines(machines)}")
    refusals = group[0].refusals
    for refusal in refusals[:_REFUSALS]:
        yield from style.block("", _refusal(refusal))
    yield from _rest(len(refusals) - _REFUSALS, "reasons", style)


def _lift(lift: Lift, style: Style) -> Iterator[str]:
    build = f"torch {lift.torch}+{lift.variant}"
    changed = "change" if lift.is_enough else "change or leave out"
    yield from style.block("lift", f"{changed} {_machines(lift.machines)} and all share {build}")
    for change in lift.changes[:_REFUSALS]:
        yield from style.block("", _change(change))
    yield from _rest(len(lift.changes) - _REFUSALS, "changes", style)


def _change(change: FleetChange) -> str:
    if change.change is None:
        return f"{_who(change.machines)}: no single change admits it"
    found = change.from_[0] if len(change.from_) == 1 else f"{change.from_[0]} and others"
    return f"{_who(change.machines)}: {change.change} {found} -> {change.to}"


# --- machines


def _rows(rows: Sequence[FleetRow], style: Style) -> list[str]:
    if len(rows) <= _EACH:
        return _each(rows, style)
    alike: dict[tuple[str, ...], list[FleetRow]] = {}
    for row in rows:
        alike.setdefault(_plan(row), []).append(row)
    groups = sorted(alike.items(), key=lambda group: -len(group[1]))
    many = [(plan, group) for plan, group in groups if len(group) > _RARE]
    rare = [row for _, group in groups if len(group) <= _RARE for row in group]
    lines = [
        style.row("machines", f"{len(group):>6,}", *plan, ", ".join(row.name for row in group[:_NAMES]) + ", ...")
        for plan, group in many[:_GROUPS]
    ]
    lines += _rest(len(many) - _GROUPS, "plans", style)
    return [*lines, *_each(rare[:_OUTLIERS], style), *_rest(len(rare) - _OUTLIERS, "machines with rare plans", style)]


def _plan(row: FleetRow) -> tuple[str, ...]:
    if row.error is not None:
        return ("not read" if row.error.exit_code == 7 else "no plan", row.error.id)
    left_out = f"without GPU {', '.join(str(out.index) for out in row.gpus_left_out)}" if row.gpus_left_out else ""
    return (f"torch {row.torch}+{row.variant}", f"Python {row.python}", *([left_out] if left_out else []))


def _each(rows: Sequence[FleetRow], style: Style) -> list[str]:
    plans = [_plan(row) for row in rows]
    name = min(max((len(row.name) for row in rows), default=0), 24)
    first = max((len(plan[0]) for plan in plans), default=0)
    return [
        style.row(
            "machine",
            row.name.ljust(name),
            plan[0].ljust(first),
            plan[1],
            f"driver {row.driver}" if row.driver else "",
            *(f"{gpu.count} x {gpu.name}" for gpu in row.gpus),
        )
        for row, plan in zip(rows, plans, strict=True)
    ]


def _verdict(fleet: FleetData, style: Style) -> list[str]:
    machines = _machines(fleet.summary.machines)
    if fleet.common and not fleet.summary.unreadable:
        return style.block(style.mark("pass"), f"1 build runs on all {machines}; no source asked")
    if fleet.common:
        rest = f"{fleet.summary.unreadable:,} could not be read"
        return style.block(style.mark("fail"), f"1 build runs on all {machines} that were read; {rest}")
    share = f"; {fleet.largest_group.machines:,} share one" if fleet.largest_group else ""
    return style.block(style.mark("fail"), f"no build runs on all {machines}{share}")
