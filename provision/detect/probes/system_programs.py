"""What programs of the system tell: the clock's keeper, the service manager, the board's controller, power modes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ...plain_text import plain
from ...records import Reading
from ..jetson import COMPATIBLE_FILE, parse_soc
from ..memory import lines_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

TIME_DAEMONS = ("chronyd", "ntpd", "openntpd", "ptp4l", "phc2sys", "systemd-timesyn", "timemaster")
"""Names of processes that keep the clock, cut to the kernel's 15 characters."""


def user_ids() -> dict[str, Any]:
    """Numbers of this user and of its groups."""
    return {"uid": os.getuid(), "gids": sorted({os.getgid(), *os.getgroups()})}


def read_programs(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """What the clock's keeper, the service manager and a Jetson's power model say."""
    yield from _clock(around)
    yield _failed_services(around)
    if around.kernel.machine in {"aarch64", "arm64"}:
        soc = parse_soc(around.text(COMPATIBLE_FILE, longest=4096) or "")
        yield Reading("jetson.soc", COMPATIBLE_FILE, soc, None if soc else "the device tree names no Tegra chip")
        if soc:
            yield _power_mode(around)


# Leap status     : Normal
# System time     : 0.000012345 seconds slow of NTP time
def parse_tracking(text: str) -> tuple[bool | None, float | None]:
    """Whether chrony says that it is synchronised, and how far the clock is off, seconds."""
    leap = re.search(r"^Leap status\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    off = re.search(r"^System time\s*:\s*(\d+(?:\.\d+)?) seconds", text, re.MULTILINE)
    return (leap[1].lower() != "not synchronised" if leap else None), (float(off[1]) if off else None)


def _clock(around: Surroundings) -> Iterator[Reading]:
    answered = around.answer("adjtimex", _adjtimex)
    synchronised = None if answered is None else not answered["status"] & 0x40  # STA_UNSYNC of timex.h
    yield Reading("clock.is_synchronised", "adjtimex", synchronised, "adjtimex failed" if answered is None else None)
    kept = re.compile(r"^(?:Leap status|System time)\s*:.*$", re.MULTILINE)  # not whose servers they are
    said = around.tell("chronyc", "-n", "tracking", deadline_s=3.0, keep=lambda text: "\n".join(kept.findall(text)))
    normal, off_s = parse_tracking(said.stdout)
    why = None if normal is not None else said.failure or "chronyd does not answer"
    yield Reading("clock.chrony_synchronised", "chronyc tracking", normal, why)
    yield Reading("clock.off_s", "chronyc tracking", off_s, None if off_s is not None else why or "it does not say")


def _adjtimex() -> dict[str, int] | None:
    """Status of the kernel's clock; nothing is set with a mode of 0."""
    import ctypes

    buffer = (ctypes.c_long * 64)()  # struct timex: modes, offset, freq, maxerror, esterror, status (64-bit layout)
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(buffer))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else {"state": state, "status": buffer[5] & 0xFFFFFFFF}


UNITS = (
    "nvidia-persistenced",
    "nvidia-powerd",
    "nvidia-dcgm",
    "dcgm",
    "nvidia-gridd",
    "nvidia-mig-manager",
    "nvpmodel",
)
"""Services that a GPU box may run; those of NVSwitch fabrics have a check of their own."""


# ● nvidia-dcgm.service loaded failed failed NVIDIA DCGM service
def parse_failed_units(text: str) -> tuple[str, ...]:
    """Names of the units in the failed state, from `systemctl list-units --plain --no-legend`."""
    found = re.findall(r"^\W*([\w@.-]+)\.service\s+\S+\s+failed\s", text, re.MULTILINE)
    return tuple(dict.fromkeys(found))


def _failed_services(around: Surroundings) -> Reading:
    said = around.tell(
        "systemctl",
        *("list-units", "--all", "--plain", "--no-legend", "--no-pager"),
        *(f"{one}.service" for one in UNITS),
        keep=lines_with(rf"^\W*(?:{'|'.join(UNITS)})\.service\s"),
    )
    why = said.failure or ("no answer within 5 s" if said.timed_out else None if said.ok else "systemd is not running")
    return Reading("services.failed", "systemctl", None if why else parse_failed_units(said.stdout), why)


# NV Power Mode: MODE_30W
# 2
def parse_power_mode(text: str) -> str | None:
    """Name of a Jetson's power mode in the output of `nvpmodel -q`."""
    match = re.search(r"^NV Power Mode:\s*(\S{1,32})\s*$", text, re.MULTILINE)
    return plain(match[1]) if match else None


def _power_mode(around: Surroundings) -> Reading:
    said = around.tell("nvpmodel", "-q")
    mode = parse_power_mode(said.stdout)
    return Reading("jetson.power_mode", "nvpmodel -q", mode, None if mode else said.failure or "it names no mode")


# PS Redundancy    | 77h | ok  |  7.1 | Redundancy Lost
# Fan1 RPM         | 30h | cr  |  7.1 | 360 RPM
def parse_sensors(text: str) -> tuple[tuple[str, str, str], ...]:
    """Name, state and words of every sensor that is there, from `ipmitool sdr type ...`."""
    rows = re.findall(r"^([^|\n]+)\|[^|\n]*\|([^|\n]+)\|[^|\n]*\|([^|\n]*)$", text, re.MULTILINE)
    cells = (tuple(plain(cell) for cell in row) for row in rows)
    return tuple((name, state, words) for name, state, words in cells if state != "ns")


def read_board(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """What the board's own controller says of power supplies and fans; only root may ask it."""
    if not (around.exists("/dev/ipmi0") or around.exists("/dev/ipmi/0")):
        yield Reading("ipmi.sensors", "/dev/ipmi0", failure="no board management controller is seen here")
        return
    if (around.answer("user", user_ids) or {}).get("uid") != 0:
        yield Reading("ipmi.sensors", "/dev/ipmi0", failure="only root may ask the board's controller")
        return
    for kind in ("Power Supply", "Fan"):
        said = around.tell("ipmitool", "sdr", "type", kind)
        why = said.failure or ("no answer within 5 s" if said.timed_out else None if said.ok else "ipmitool failed")
        yield Reading("ipmi.sensors", f"ipmitool sdr type {kind}", None if why else kind, why)
        for sensor in () if why else parse_sensors(said.stdout):
            yield Reading("ipmi.sensor", f"ipmitool sdr type {kind}", (kind, *sensor))
