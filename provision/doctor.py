"""The order of the stages of `check`, `snapshot` and `expect`: facts, counters, checks, suppressions."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from .check_states import PROBLEMS
from .documents.check import CatalogueRow
from .errors import InputError
from .examined import Examined, load_default_matrix, replayed, require_linux

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from .checks import Context, Facts, Level
    from .checks.facts import HostClass, Rate
    from .detect.surroundings import Surroundings
    from .records import CheckResult, Finding, Machine
    from .suppressions import SuppressionEntry

#: Readings of a GPU that only ever grow: what matters is whether they still do.
_COUNTERS: Final = (
    "pcie_replay_count",
    "ecc_corrected_volatile",
    "ecc_uncorrected_volatile",
    "ecc_corrected_aggregate",
    "ecc_uncorrected_aggregate",
    "remapped_rows_corrected",
    "remapped_rows_uncorrected",
    "retired_pages_single_bit",
    "retired_pages_double_bit",
    "violation_power_ns",
    "violation_thermal_ns",
    "violation_reliability_ns",
    "violation_board_limit_ns",
    "nvlink_replay_errors",
    "nvlink_recovery_errors",
    "nvlink_crc_flit_errors",
    "nvlink_crc_data_errors",
    "nvlink_dl_replay_errors",
    "nvlink_dl_recovery_errors",
    "nvlink_dl_crc_errors",
    "nvlink_recovery_events",
    "nvlink_recovery_failed_events",
)
#: Readings of an InfiniBand port that only ever grow, after the name of the port.
_PORT_COUNTER: Final = re.compile(r"(ib\.[^.]+\.\d+)\.(\w+)")
#: Readings of the machine that only ever grow: repaired memory, corrected errors of PCIe, kills of a control group.
_HOST_COUNTER: Final = re.compile(
    r"(edac|pci|kernel)\.(mc\d+\.corrected|[0-9a-f:]+\.\d\.aer_correctable|cgroup_oom_kills)"
)
_COUNTING: Final = ("ib.", "edac.", "pci.", "kernel.")
_SETTLED_S: Final = 30.0
"""Least span of a rate: over less, one event looks like a storm."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What somebody wants looked at."""

    level: Level = "quick"
    env: Path | None = None
    """An environment to read."""
    expected_gpus: int | None = None
    declared: frozenset[HostClass] = frozenset()
    is_since_boot: bool = False
    """Whether counters are judged as they stand since the boot, without regard to earlier runs."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A machine with everything that the checks need, before they are made."""

    facts: Facts
    level: Level
    around: Surroundings | None = None
    """What was looked through; None for a machine that somebody described."""
    is_here: bool = False
    notes: tuple[str, ...] = field(default=())


def see_host(visit: Visit) -> Seen:
    """Look at this machine."""
    from .checks import Context, Facts
    from .detect.examine import gather
    from .detect.surroundings import Surroundings

    require_linux()
    around = Surroundings(package_sources=_package_sources if visit.level in ("standard", "deep") else None)
    if visit.env is not None:
        around.answer("env.path", lambda: str(visit.env))
    machine = gather(around, visit.level)
    rates, notes = _rates(around, machine)
    rates = {} if visit.is_since_boot else rates
    facts = Facts(machine, _context(Context, visit, around.now, rates))
    return Seen(facts, visit.level, around, is_here=True, notes=notes)


def _package_sources(machine: Machine) -> list[list[Any]]:
    """What this user's package sources say about the build for this machine."""
    from .planning import ask_for_torch

    return ask_for_torch(Examined(machine, is_here=True), load_default_matrix())


def see_examined(examined: Examined, visit: Visit) -> Seen:
    """A machine that is not here: what was looked at when its snapshot was taken, or what a document says of it.

    Most checks will say of a document that nobody looked.
    """
    from .checks import Context, Facts

    recorded = examined.recorded
    if recorded is None:
        return Seen(Facts(examined.machine, _context(Context, visit, None, {})), visit.level)
    machine = replayed(recorded)
    facts = Facts(machine, _context(Context, visit, recorded.around.now, {}))
    return Seen(facts, recorded.level, recorded.around)


def _context(kind: type[Context], visit: Visit, now: float | None, rates: Mapping[str, Rate]) -> Context:
    return kind(
        now=now,
        expected_gpus=visit.expected_gpus,
        matrix=load_default_matrix,
        rates=rates,
        declared=visit.declared,
    )


# --- the checks


def examine(
    seen: Seen,
    chosen: Collection[str],
    entries: Sequence[SuppressionEntry] = (),
    *,
    expectation: Path | None = None,
) -> tuple[Examined, tuple[Finding, ...]]:
    """The results of the chosen checks with the suppressions applied, and warnings about suppressions.

    A file of expectations adds results of its own; what a check finds is told before what the file misses.
    """
    from .checks import all_checks, checks_for, lead, run_checks

    # Most runs choose by level alone, and then the modules of dearer checks are not even imported.
    checks = tuple(check for check in checks_for(seen.level) if check.id in chosen)
    if len(checks) < len(chosen):
        checks = tuple(check for check in all_checks() if check.id in chosen)
    machine = seen.facts.machine
    results = run_checks(seen.facts, checks, clock=time.perf_counter)
    titles = {check.id: check.title for check in checks}
    results = tuple(replace(result, title=titles[result.id]) for result in results)
    if expectation is not None:
        results = (*results, *expected_results(seen.facts, expectation)[0])
    notes: tuple[Finding, ...] = ()
    if entries:
        import datetime as dt

        from .suppressions import apply_suppressions

        today = dt.date.today()  # noqa: DTZ011  a day where the machine is
        applied = apply_suppressions(results, entries, hostname=machine.host.hostname, today=today)
        results, notes = applied.results, applied.findings
    left = {result.id for result in results if result.status in PROBLEMS}
    results = tuple(replace(one, leads=tuple(id_ for id_ in one.leads if id_ in left)) for one in results)
    return Examined(machine, results, *lead(results, checks), is_here=seen.is_here), notes


def expected_results(facts: Facts, path: Path) -> tuple[tuple[CheckResult, ...], tuple[str | None, tuple[str, ...]]]:
    """The machine held against a file of expectations, and what leads; InputError names a place in the file."""
    from .checks import lead
    from .documents.codec import decode
    from .documents.envelope import decode_text, parse_json, read_bytes
    from .expectations import ExpectationData, judge_expectation, require_sound

    value = parse_json(decode_text(read_bytes(path), origin=str(path)), origin=str(path))
    if not isinstance(value, dict) or value.get("schema") != "gpusetup.expectation/1":
        found = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise InputError(f"{path}: schema: expected 'gpusetup.expectation/1', found {found!r}")
    data = decode(ExpectationData, value.get("data"), where=f"{path}: data")
    require_sound(data, origin=str(path))
    results = judge_expectation(data, facts, origin=path.name)
    return results, lead(results)


def catalogue(level: Level = "deep") -> tuple[CatalogueRow, ...]:
    """The checks up to a level, in the order in which they are made."""
    from .checks import checks_for

    return tuple(CatalogueRow(check.id, check.level, check.component, check.title) for check in checks_for(level))


def quick_ids() -> frozenset[str]:
    """Ids of the checks that a run without a choice makes."""
    from .checks import checks_for

    return frozenset(check.id for check in checks_for("quick"))


def core_of(seen: Seen) -> Examined:
    """What decides whether the GPUs can be used: a plan is not held up by anything else that a check may find."""
    from .checks import core_checks, lead, run_checks

    checks = core_checks()
    results = run_checks(seen.facts, checks)
    return Examined(seen.facts.machine, results, *lead(results, checks), is_here=seen.is_here)


# --- counters


def _rates(around: Surroundings, machine: Machine) -> tuple[dict[str, Rate], tuple[str, ...]]:
    """How the counters moved since an earlier run of this boot; what they are now is kept for later ones."""
    boot_id = (around.text("/proc/sys/kernel/random/boot_id") or "").strip()
    of_gpus, of_ports = _gpu_counters(machine), _port_counters(machine)
    if not boot_id or not (of_gpus or of_ports):
        return {}, ()
    from .checks.facts import Rate
    from .counters import Snapshot, keep_counters, rates, read_counters
    from .paths import history_folder

    clock = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
    now = [Snapshot(boot_id, uuid, clock, counters) for uuid, counters in of_gpus]
    owners = {gpu.gpu_uuid: f"gpu.{gpu.index}" for gpu in machine.gpus if gpu.gpu_uuid}
    for port, counters in of_ports.items():
        owners[port] = port
        now.append(Snapshot(boot_id, port, clock, counters))
    folder = history_folder()
    history = read_counters(folder, boot_id)
    found: dict[str, Rate] = {}
    for one in now:
        earlier = history.since(one.gpu_uuid, clock - _SETTLED_S)
        for name, rate in rates(earlier, one).items():
            found[f"{owners[one.gpu_uuid]}.{name}"] = Rate(float(rate.delta), rate.seconds)
    keep_counters(folder, now)
    return found, (history.note,) if history.note else ()


def _port_counters(machine: Machine) -> dict[str, dict[str, int]]:
    """Counters of each InfiniBand port and of the machine, by the name of the port or the beginning of their names."""
    found: dict[str, dict[str, int]] = {}
    for reading in machine.readings:
        if not reading.name.startswith(_COUNTING):
            continue
        match = _PORT_COUNTER.fullmatch(reading.name) or _HOST_COUNTER.fullmatch(reading.name)
        if match and type(reading.value) is int:
            found.setdefault(match[1], {})[match[2]] = reading.value
    return found


def _gpu_counters(machine: Machine) -> list[tuple[str, dict[str, int]]]:
    """UUID and counters of each GPU that has both."""
    owners = {f"gpu.{gpu.index}.{name}": (gpu.index, name) for gpu in machine.gpus for name in _COUNTERS}
    found: dict[int, dict[str, int]] = {}
    for reading in machine.readings:
        owner = owners.get(reading.name)
        if owner is None or reading.failure is not None:
            continue
        values = reading.value if isinstance(reading.value, tuple) else (reading.value,)
        counts = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
        if counts:
            found.setdefault(owner[0], {})[owner[1]] = sum(counts)
    return [(gpu.gpu_uuid, found[gpu.index]) for gpu in machine.gpus if gpu.gpu_uuid and gpu.index in found]
