"""Checks of what InfiniBand ports count: ib.flaps, ib.errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..records import Evidence
from .base import check
from .infiniband_ports import Port, ports

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_DAY_S: Final = 86400.0
_FLAPS_A_DAY: Final = 5
_MANY_FLAPS: Final = 20
_OUTLIER: Final = 10
_PER_MINUTE: Final = 1.0
_LEAST_ERRORS: Final = 10
_ERRORS: Final = {
    "symbol_error": "symbol errors",
    "link_error_recovery": "recoveries",
    "port_rcv_errors": "broken packets",
    "local_link_integrity_errors": "integrity errors",
    "excessive_buffer_overrun_errors": "buffer overruns",
}
_CABLE: Final = (
    "ibstat",
    "reseat or exchange the cable or transceiver of that port, and look at the switch port at its other end",
)


@check("ib.flaps", level="quick", not_on=("wsl", "jetson"))
def flaps(facts: Facts, say: Verdict) -> Finding:
    """No InfiniBand link goes up and down.

    What it finds
        A port that lost its link again and again.

    Why it matters
        Every loss of the link stalls or ends the jobs that use it; a cable or transceiver that does so gets worse.

    How it is decided
        By the growth of link_downed since an earlier run of this boot: 5 losses within a day warn. Without one, a port
        that has lost its link at least 20 times and ten times as often as the others of this machine warns (our
        proposal): the counter is as old as the card's firmware and counts restarts of the switch too.

    What to do
        Exchange cable or transceiver; look at the switch port.

    Sources
        Azure node health checks (azure_ib_link_flapping): 5 losses within 24 hours; the kernel's
        sysfs-class-infiniband, link_downed (read 2026-11).
    """
    found = ports(facts)
    counts = {port: count for port in found if (count := _count(facts, port, "link_downed")) is not None}
    if not counts:
        return _nothing(say, found)
    grown = []
    for port in counts:
        rate = facts.rate(f"ib.{port.dotted}.link_downed")
        # Five in a day, however long the span is that they fell into.
        if rate and rate.delta >= _FLAPS_A_DAY and rate.delta / max(rate.seconds / _DAY_S, 1.0) >= _FLAPS_A_DAY:
            grown.append((port, rate.delta, rate.seconds))
    if grown:
        told = ", ".join(
            f"{port.name} {delta:.0f} times in {seconds / 3600:.1f} hours" for port, delta, seconds in grown
        )
        evidence = tuple(
            Evidence(f"ib.{port.dotted}.link_downed", delta, source="sysfs", needs=f"below {_FLAPS_A_DAY} a day")
            for port, delta, _ in grown
        )
        return say.warned(f"InfiniBand links were lost: {told}.", *evidence, safe=_CABLE)
    evidence = tuple(Evidence(f"ib.{port.dotted}.link_downed", count, source="sysfs") for port, count in counts.items())
    from statistics import median  # slow to import, and seldom needed

    usual = median(counts.values())
    far = [port for port, count in counts.items() if count >= _MANY_FLAPS and count >= _OUTLIER * max(usual, 1)]
    if far and len(counts) > 2:  # noqa: PLR2004 -- of two nobody knows which is the odd one
        told = ", ".join(f"{port.name} lost its link {counts[port]:.0f} times" for port in far)
        return say.warned(f"{told}; the others here {usual:.0f} times.", *evidence, safe=_CABLE)
    return say.passed("No InfiniBand link goes up and down, as far as its counter shows.", *evidence)


@check("ib.errors", level="quick", not_on=("wsl", "jetson"))
def errors(facts: Facts, say: Verdict) -> Finding:
    """The error counters of the InfiniBand ports do not grow.

    What it finds
        A port that counts symbol errors, broken packets, recoveries or overruns while it works.

    Why it matters
        Errors are repaired by sending again, which costs rate and time on all machines of a job.

    How it is decided
        By growth since an earlier run of this boot: 10 errors of one kind that come at one a minute or faster warn
        (our proposal; some symbol errors are within what a link may do). Counts without an earlier run are told and
        pass: they are as old as the card's firmware.

    What to do
        Clean or exchange cable or transceiver; look at the switch port at the other end.

    Sources
        The kernel's sysfs-class-infiniband, counters; imbue cluster-health, InfiniBand errors (read 2026-11).
    """
    found = ports(facts)
    counts = {
        f"ib.{port.dotted}.{name}": count
        for port in found
        for name in _ERRORS
        if (count := _count(facts, port, name)) is not None
    }
    if not counts:
        return _nothing(say, found)
    told, evidence = [], []
    for port in found:
        for name, words in _ERRORS.items():
            rate = facts.rate(full := f"ib.{port.dotted}.{name}")
            if rate and rate.delta >= _LEAST_ERRORS and rate.per_minute >= _PER_MINUTE:
                told.append(f"{port.name} counted {rate.delta:.0f} {words} in {rate.seconds / 60:.0f} minutes")
                needs = f"below {_PER_MINUTE:g}"
                evidence.append(Evidence(full, round(rate.per_minute, 1), "1/min", "sysfs", needs))
    if told:
        return say.warned(f"InfiniBand ports err at work: {', '.join(told)}.", *evidence, safe=_CABLE)
    lifetime = tuple(Evidence(name, count, source="sysfs") for name, count in counts.items() if count)
    if any(facts.rate(name) for name in counts):
        return say.passed("The error counters of the InfiniBand ports do not grow.", *lifetime)
    if lifetime:
        return say.passed(
            "InfiniBand ports counted errors in their life; whether they grow shows a later run.", *lifetime
        )
    return say.passed("No InfiniBand port has counted an error.")


def _count(facts: Facts, port: Port, name: str) -> float | None:
    return facts.number(f"ib.{port.dotted}.{name}")


def _nothing(say: Verdict, found: tuple[Port, ...]) -> Finding:
    if found:
        return say.unknown("The counters of the InfiniBand ports could not be read.")
    return say.skipped("No InfiniBand card is on this machine.")
