"""Checks of the clock, of services and of the board: sys."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted
from .remedies import keep_the_clock
from .sys_words import rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_OFF_S, _FAR_OFF_S = 0.1, 5.0
_FIRST_RELEASE = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
"""No clock that is right can be before this."""
_SETTLING_S = 900
"""How long a clock's keeper may need after a start (our proposal)."""


@check("sys.time_sync", level="quick", not_on=("paste", "container", "wsl"))
def time_sync(facts: Facts, say: Verdict) -> Finding:
    """The clock is right and something keeps it so.

    What it finds
        A clock that is off, that stands before the year 2026, or that nothing keeps.

    Why it matters
        With a wrong clock TLS refuses every package index, logs of several nodes can't be joined, and jobs across
        nodes time out in strange places.

    How it is decided
        A date before 2026, when there was no gpusetup, fails. Where chrony says how far the clock is off, more than
        5 s fails and more than 0.1 s warns (our proposals). A clock that the kernel calls not synchronised warns on a
        machine with a GPU that has run for 15 minutes, unless it is portable, another kind of keeper runs, or it is a
        virtual machine whose host may keep it.

    What to do
        Install and start chrony, or let systemd-timesyncd reach its servers.

    Sources
        adjtimex(2), STA_UNSYNC; chronyc(1), tracking.
    """
    evidence = facts.evidence("clock.is_synchronised", "clock.chrony_synchronised", "clock.off_s")
    safe = keep_the_clock(facts.machine)
    if wrong := _date_before_release(facts):
        return say.failed(f"The clock says {wrong}, which can't be.", *evidence, safe=safe)
    by_chrony, off_s = facts.flag("clock.chrony_synchronised"), facts.number("clock.off_s")
    if by_chrony and off_s is not None and off_s > _OFF_S:
        tell = say.failed if off_s > _FAR_OFF_S else say.warned
        return tell(
            f"The clock is off by {off_s:.2f} s.",
            Evidence("clock.off_s", off_s, "s", "chronyc tracking", needs=_OFF_S),
            *evidence,
            safe=safe,
            risky=("sudo chronyc makestep    (running programs see the time jump)",),
        )
    by_kernel = facts.flag("clock.is_synchronised")
    if by_chrony or by_kernel:
        return say.passed("The clock is synchronised.", *evidence)
    if by_kernel is None and by_chrony is None:
        return say.unknown(f"Whether something keeps the clock was not read: {facts.why_not('clock.is_synchronised')}.")
    return _not_kept(facts, say, evidence, safe)


_UNITS = {"systemd-timesyn": "systemd-timesyncd"}
"""The kernel cuts names of processes off."""


def _not_kept(facts: Facts, say: Verdict, evidence: tuple[Evidence, ...], safe: tuple[str, ...]) -> Finding:
    uptime = facts.number("host.uptime_s")
    if not facts.has_gpu or facts.flag("host.is_portable") or uptime is None or uptime < _SETTLING_S:
        return say.passed("The clock is not synchronised; this kind of box, or one just started, may be so.", *evidence)
    keepers = facts.texts("clock.daemons") or ()
    known = {"chronyd", "systemd-timesyn"}
    if set(keepers) - known:
        return say.unknown(f"{', '.join(keepers)} keeps the clock and was not asked how well.", *evidence)
    if not keepers and facts.is_any("vm"):
        return say.passed("Nothing in this virtual machine keeps the clock; its host may do so.", *evidence)
    who = (
        f"{', '.join(_UNITS.get(one, one) for one in keepers)} runs and has not synchronised it"
        if keepers
        else "nothing keeps it"
    )
    return say.warned(f"The clock is not synchronised: {who}.", *evidence, safe=safe)


def _date_before_release(facts: Facts) -> str | None:
    """The machine's date where it is before there was a gpusetup."""
    if facts.context.now is None or facts.context.now >= _FIRST_RELEASE:
        return None
    return datetime.fromtimestamp(facts.context.now, timezone.utc).date().isoformat()


@check("sys.services", level="quick", needs=("gpu",), not_on=("paste", "container"))
def services(facts: Facts, say: Verdict) -> Finding:
    """No service that looks after GPUs has failed.

    What it finds
        nvidia-persistenced, nvidia-powerd, DCGM, the licence daemon, the MIG manager or a Jetson's nvpmodel in the
        state `failed`. Services of NVSwitch fabrics have checks of their own.

    Why it matters
        Without them the driver unloads between jobs, monitoring is blind, a licence is not fetched, or MIG is not set
        up; the reason is in their journal.

    How it is decided
        systemd lists a unit as failed: it warns. Units that are not installed, off or stopped pass. nvidia-powerd is
        only told: it serves some notebooks, distributions enable it everywhere, and it fails where it is not needed.

    What to do
        Read the unit's journal and start it again.

    Sources
        systemctl(1), list-units; canonical/nvidia-graphics-drivers pull request 74 on nvidia-powerd (read 2026-11).
    """
    failed = facts.texts("services.failed")
    if failed is None:
        return say.skipped(f"Services were not listed: {facts.why_not('services.failed')}.")
    needed = [name for name in failed if not name.startswith(_NOT_MISSED)]
    if needed:
        return say.warned(
            f"{counted(len(needed), 'service')} of the GPUs failed: {', '.join(needed)}.",
            *facts.evidence("services.failed"),
            safe=(f"journalctl -b -u {needed[0]} --no-pager | tail -n 40", f"sudo systemctl restart {needed[0]}"),
        )
    if failed:
        return say.passed(
            f"{failed[0]} failed, as it does on computers without Dynamic Boost.", *facts.evidence("services.failed")
        )
    return say.passed("No service of the GPUs has failed.")


_NOT_MISSED = "nvidia-powerd"


_LOST = ("redundancy lost", "failure detected", "ac lost", "input lost")


@check("sys.ipmi", level="quick", not_on=("paste", "vm", "container", "wsl", "jetson"))
def ipmi(facts: Facts, say: Verdict) -> Finding:
    """The board's own controller sees its power supplies and fans well.

    What it finds
        A power supply that failed or lost its feed, and fans below their critical speed.

    Why it matters
        A server on half of its power supplies brakes its GPUs the moment they draw full power; one with a dead fan
        does so from heat.

    How it is decided
        ipmitool, as root, lists sensors of power supplies and fans. "Redundancy Lost", "Failure detected" and a lost
        feed fail. A fan whose state is critical or worse warns, as boards with quiet fans say so wrongly.

    What to do
        Exchange the part; the event log of the controller says since when.

    Sources
        IPMI specification 2.0, sensor type codes 04h and 08h; ipmitool(1).
    """
    sensors = rows(facts, "ipmi.sensor")
    if not facts.values("ipmi.sensors"):
        return say.skipped(f"Sensors of the board were not read: {facts.why_not('ipmi.sensors')}.")
    if missing := [one for one in facts.readings("ipmi.sensors") if one.failure]:
        return say.unknown(f"Not all sensors of the board were read: {missing[0].failure}.")
    lost = [one for one in sensors if one[0] == "Power Supply" and any(word in one[3].lower() for word in _LOST)]
    if lost:
        return say.failed(
            f"{lost[0][1]}: {lost[0][3]}.",
            *(Evidence(one[1], one[3], source="ipmitool") for one in lost),
            safe=("sudo ipmitool sdr type 'Power Supply'", "sudo ipmitool sel elist last 20"),
            risky=("exchange the power supply, or restore its feed",),
        )
    slow = [one for one in sensors if one[0] == "Fan" and one[2] in {"cr", "nr"}]
    if slow:
        return say.warned(
            f"The fan {slow[0][1]} is below its critical speed: {slow[0][3]}.",
            *(Evidence(one[1], one[3], source="ipmitool") for one in slow),
            safe=("sudo ipmitool sdr type Fan", "sudo ipmitool sel elist last 20"),
        )
    return say.passed(f"{counted(len(sensors), 'sensor')} of power supplies and fans are well.")


CHECKS = (ipmi, time_sync, services)
