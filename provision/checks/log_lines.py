"""What the checks of the kernel log share: its lines as records, how old they are, and why there are none. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import not_from_a_warning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..records import Finding, Reading
    from .base import Facts, Verdict

DAY_S = 86400.0
READ_AS_ROOT = "`sudo gpusetup check`"


@dataclass(frozen=True, slots=True)
class Line:
    """Lines of the kernel log that say the same of the same device."""

    reading: Reading
    code: int | None
    """Number of an Xid or SXid."""
    device: str | None
    process: str | None
    count: int
    first: float | None
    last: float | None
    """Seconds since 1970; None where the log has no times."""
    minutes: int
    """Different minutes of the last day with such a line; Xids alone."""
    texts: tuple[str, ...]
    """Newest first."""


def lines(facts: Facts, kind: str) -> tuple[Line, ...]:
    """Lines of a kind that concern this machine: in a container those about GPUs of others are left out."""
    found = (_plain(reading) for reading in facts.readings(f"kernel.line.{kind}") if reading.failure is None)
    return tuple(line for line in found if line and _is_ours(facts, line))


def numbered(facts: Facts, kind: str) -> tuple[Line, ...]:
    """`xid` or `sxid` lines, the oldest first."""
    found = (_coded(reading) for reading in facts.readings(f"kernel.{kind}") if reading.failure is None)
    ours = (line for line in found if line and (kind != "xid" or _is_ours(facts, line)))
    return tuple(sorted(ours, key=lambda line: line.first or 0.0))


def _plain(reading: Reading) -> Line | None:
    value = reading.value
    if not isinstance(value, tuple) or len(value) < 6:  # noqa: PLR2004 -- the fields below
        return None
    device, process, count, first, last, text = value[:6]
    return Line(reading, None, _text(device), _text(process), int(count or 0), _s(first), _s(last), 0, (str(text),))


def _coded(reading: Reading) -> Line | None:
    value = reading.value
    if not isinstance(value, tuple) or len(value) < 7 or not isinstance(value[0], int):  # noqa: PLR2004 -- as above
        return None
    code, device, process, count, first, last, minutes, *texts = value
    said = tuple(str(text) for text in texts)
    seen = (int(count or 0), _s(first), _s(last), int(minutes or 0))
    return Line(reading, int(code or 0), _text(device), _text(process), *seen, said)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _s(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _is_ours(facts: Facts, line: Line) -> bool:
    if not facts.is_any("container") or line.device is None:
        return True
    return any(gpu.pci_bus_id == line.device for gpu in facts.machine.gpus)


_OF_MEMORY = frozenset({63, 94})
"""Xids of the application class that tell of broken memory: a row to be remapped, a contained error."""


def explains_memory(facts: Facts, mine: Finding, other: Finding) -> bool:
    """Whether a finding about broken memory explains another: of Xids of programs those about memory alone."""
    if other.id == "kernel.xid_app":
        return any(line.code in _OF_MEMORY for line in recent(facts, numbered(facts, "xid")))
    return not_from_a_warning(facts, mine, other)


def explains_lost(facts: Facts, mine: Finding, other: Finding) -> bool:
    """Whether a GPU that is lost or did not start explains another finding; closed nodes have another reason."""
    if other.id == "driver.device_nodes":
        return mine.status == "fail" and all(one.failure is None for one in facts.readings("driver.device_node"))
    if other.id == "cuda.init" and mine.id == "kernel.xid_fatal" and mine.status == "warn":
        return any(lines(facts, kind) for kind in ("uvm_hmm", "uvm_vgpu"))
    return not_from_a_warning(facts, mine, other)


def left_out(facts: Facts, kind: str) -> int:
    """How many lines of a kind the log had beyond those that were kept."""
    found = (value for value in facts.values("kernel.log.left_out") if isinstance(value, tuple))
    return sum(value[1] for value in found if value[0] == kind and isinstance(value[1], int))


def is_recent(facts: Facts, line: Line) -> bool:
    """Whether it was written within the last day; a line whose age nobody knows counts as recent."""
    now = facts.context.now
    return now is None or line.last is None or now - line.last < DAY_S


def recent(facts: Facts, found: Iterable[Line]) -> tuple[Line, ...]:
    """Those of the last day."""
    return tuple(line for line in found if is_recent(facts, line))


def when(facts: Facts, line: Line) -> str:
    """`, 12 times, last 3 h ago`, ready to be put behind what happened."""
    times = f", {line.count} times" if line.count > 1 else ""
    now = facts.context.now
    if now is None or line.last is None:
        return times
    return f"{times}, {'last ' if line.count > 1 else ''}{_ago(max(0.0, now - line.last))} ago"


def _ago(seconds: float) -> str:
    for unit, length in (("days", DAY_S), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def told(found: Iterable[Line], *, most: int = 6) -> tuple[Evidence, ...]:
    """The lines as evidence: where, how often, and the newest text."""
    listed = []
    for line in tuple(found)[:most]:
        said = line.texts[0] if line.texts else ""
        where = "" if line.device is None or line.device in said else f"{line.device}: "
        listed.append(Evidence(line.reading.name, f"{where}{said} ({line.count}x)", source=line.reading.source))
    return tuple(listed)


def why_no_log(facts: Facts, say: Verdict) -> Finding | None:
    """The finding where there is no kernel log to judge by; None where there is one."""
    if facts.value("kernel.log") is not None:
        return None
    if not facts.was_looked_at("kernel.log"):
        return say.skipped("The kernel log is not among these facts.")
    why = facts.why_not("kernel.log")
    # A container without the programs and files of a log gains nothing from root.
    is_there = not re.fullmatch(r"(?:[^;]*: No such file or directory(?:; )?)+", why)
    return say.unknown(
        f"The kernel log could not be read ({why}); {READ_AS_ROOT} reads it."
        if is_there
        else "There is no kernel log here: neither journalctl, dmesg nor a log file.",
        *facts.evidence("kernel.log"),
    )
