"""The kernel log and what is kept of earlier crashes."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING

from ...process import Completed
from ...records import Reading
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...records import Machine
    from ..kernel_lines import KernelLog
    from ..surroundings import Surroundings

_MOST_LINES = 30000
"""Newest lines of the journal that are read: about 4 MB, half a second."""
_KEPT_BYTES = 16 * 1024 * 1024
_DEADLINE_S = 5.0
JOURNAL = f"journalctl -k -b -o short-unix --no-pager -q -n {_MOST_LINES}"
"""What a snapshot knows the question by; times are in seconds since 1970."""
_FILES = ("/var/log/kern.log", "/var/log/messages")
_TAIL_BYTES = 4 * 1024 * 1024
_AUDIT = "/var/log/audit/audit.log"
_MOST_PER_KIND = 16
"""Readings of one kind: a broken bus names many devices."""


def read_log(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """What the kernel wrote since it started, from the first source that may be read."""
    # Its patterns take longer to build than the whole instant level has.
    from ..kernel_lines import parse_kernel_log

    if machine.host.system not in (None, "linux"):
        return
    booted_at = boot_time(around)
    log: KernelLog | None = None
    whys = []
    for source, text, why in _sources(around, booted_at):
        if text is not None:
            log = parse_kernel_log(text, booted_at=booted_at, now=around.now)
        if log and log.read:
            yield Reading("kernel.log", source, log.read)
            yield from _readings(source, log)
            break
        whys.append(why or f"{source}: no line of the kernel is in it")
    else:
        yield Reading("kernel.log", "journalctl, dmesg", failure="; ".join(whys))
    yield from _audit(around)


def boot_time(around: Surroundings) -> float | None:
    """Seconds since 1970 when the kernel started."""
    uptime = (around.text("/proc/uptime", longest=64) or "").split(" ", 1)[0]
    return around.now - float(uptime) if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", uptime) else None


def _sources(around: Surroundings, booted_at: float | None) -> Iterator[tuple[str, str | None, str | None]]:
    """Source, text and why there is none, the better ones first; a later one is only asked when it is needed."""
    for line in (JOURNAL, "dmesg"):
        completed = _tell(around, line, booted_at)
        program = line.split(" ", 1)[0]
        yield program, completed.stdout or None, _why(program, completed)
    for path in _FILES:
        found = around.answer(f"kernel lines of {path}", partial(_tail_of_log, around, path, booted_at))
        text, why = found or (None, f"{path}: not there")
        yield path, text, why


def _tell(around: Surroundings, line: str, booted_at: float | None) -> Completed:
    """As `Surroundings.tell`, with room for a whole log, of which little is remembered."""
    from ..kernel_lines import kept

    program, *arguments = line.split(" ")
    path = around.program(program)

    if path is None:
        return Completed((line,), failure="not installed")

    def keep(text: str) -> str:
        # What is no log is a short complaint, and the reason why there is none.
        found = kept(text, booted_at)
        return text.strip().partition("\n")[0][:120] if found.startswith("# read 0\n") else found

    argv = ["env", "LC_ALL=C", path, *arguments]
    return around.ask(line, argv, deadline_s=_DEADLINE_S, keep_bytes=_KEPT_BYTES, keep=keep)


def _why(program: str, completed: Completed) -> str:
    if completed.timed_out:
        return f"{program}: no answer within {_DEADLINE_S:g} s"
    if completed.failure:
        return f"{program}: {completed.failure}"
    # dmesg: read kernel buffer failed: Operation not permitted
    return completed.stderr.strip().splitlines()[0][:120] if completed.stderr.strip() else f"{program}: nothing shown"


def _tail_of_log(around: Surroundings, path: str, booted_at: float | None) -> list[str | None]:
    """Kept lines of the end of a file of the system log since the kernel started, and why there are none."""
    from ..kernel_lines import kept

    try:
        text = _tail(around, path)
    except OSError as err:
        return [None, f"{path}: {err.strerror}"]
    lines = [line for line in text.splitlines() if " kernel: " in line]
    starts = [place for place, line in enumerate(lines) if " Linux version " in line]
    return [kept("\n".join(lines[starts[-1] if starts else 0 :]), booted_at), None]


def _tail(around: Surroundings, path: str) -> str:
    with around.path(path).open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
        return stream.read(_TAIL_BYTES).decode("utf-8", errors="replace")


def _readings(source: str, log: KernelLog) -> Iterator[Reading]:
    given: dict[str, int] = {}
    for found in log.counted:
        given[found.kind] = given.get(found.kind, 0) + 1
        if given[found.kind] > _MOST_PER_KIND:
            continue
        names = ", ".join(found.processes) or None
        seen = (found.count, found.first, found.last)
        if found.kind in ("xid", "sxid"):
            yield Reading(
                f"kernel.{found.kind}",
                source,
                (found.code, found.device, names, *seen, found.minutes, *found.texts),
            )
        else:
            value = (found.device, names, *seen, found.texts[0] if found.texts else "")
            yield Reading(f"kernel.line.{found.kind}", source, value)
    for kind, number in log.left_out:
        yield Reading("kernel.log.left_out", source, (kind, number))


def _audit(around: Surroundings) -> Iterator[Reading]:
    """Denials that went to the audit daemon and so never reached the kernel log."""
    from ..kernel_lines import parse_kernel_log

    found = around.answer(f"denials of {_AUDIT}", lambda: _denials(around))
    if found is None or (found[0] is None and "No such file" in (found[1] or "")):
        return
    text, why = found
    if text is None:
        yield Reading("kernel.audit_log", _AUDIT, failure=why)
        return
    log = parse_kernel_log(text, booted_at=None, now=around.now)
    yield Reading("kernel.audit_log", _AUDIT, log.read)
    yield from (one for one in _readings(_AUDIT, log) if one.name == "kernel.line.lsm")


# type=AVC msg=audit(1611137309.671:5406): avc:  denied  { read } for  pid=7 comm="nvidia-smi" name="params" ...
_AUDIT_LINE = re.compile(r"type=(?:AVC|1400) msg=audit\((\d+\.\d+):\d+\): (.*)")


def audit_lines(text: str) -> str:
    """The denials of an audit log as lines of a kernel log; nothing else of it, such as command lines, is taken."""
    return "".join(f"{match[1]} kernel: {match[2]}\n" for match in _AUDIT_LINE.finditer(text))


def _denials(around: Surroundings) -> list[str | None]:
    from ..kernel_lines import kept

    try:
        return [kept(audit_lines(_tail(around, _AUDIT)), None), None]
    except OSError as err:
        return [None, f"{_AUDIT}: {err.strerror}"]


# --- what outlives a crash, and counters of broken memory

_PSTORE, _SAVED = "/sys/fs/pstore", "/var/lib/systemd/pstore"
_NO_CRASH = ("console-", "pmsg-", "ftrace-")
"""What pstore keeps over every restart, also an orderly one (Linux, admin-guide/ramoops)."""
_EDAC = "/sys/devices/system/edac/mc"
_MEMORY_EVENTS = "/sys/fs/cgroup/memory.events"


def read_traces(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Records of earlier crashes, counters of main memory, and kills inside of this control group."""
    if machine.host.system not in (None, "linux"):
        return
    booted_at = boot_time(around)
    if booted_at is not None:
        yield Reading("kernel.boot_time", "/proc/uptime", round(booted_at, 1))
    for folder in (_PSTORE, _SAVED):
        if around.exists(folder):
            yield from _crashes(around, folder)
    yield from _edac(around)
    events = around.text(_MEMORY_EVENTS, longest=1024)
    if events is not None and (match := re.search(r"^oom_kill (\d+)$", events, re.MULTILINE)):
        yield Reading("kernel.cgroup_oom_kills", _MEMORY_EVENTS, int(match[1]))


def _crashes(around: Surroundings, folder: str) -> Iterator[Reading]:
    look = around.folder(folder)
    if not look.is_present:
        yield Reading("kernel.crash_records", folder, failure=look.why or "it can't be listed")
        return
    names = [name for name in look.value if not name.startswith((".", *_NO_CRASH))]
    yield Reading("kernel.crash_records", folder, len(names))
    for name in names[-_MOST_PER_KIND:]:
        status, _ = around.status(f"{folder}/{name}")
        yield Reading("kernel.crash_record", f"{folder}/{name}", (name, status.modified_at if status else None))


def _edac(around: Surroundings) -> Iterator[Reading]:
    for name in around.names(_EDAC):
        if not re.fullmatch(r"mc\d+", name):
            continue
        for counter, reading in (("ce_count", "corrected"), ("ue_count", "uncorrected")):
            text, why = around.attempt(f"{_EDAC}/{name}/{counter}", longest=32)
            path = f"{_EDAC}/{name}/{counter}"
            if text is None or not text.strip().isdecimal():
                yield Reading(f"edac.{name}.{reading}", path, failure=why or "not a number")
                continue
            yield Reading(f"edac.{name}.{reading}", path, int(text))
            if int(text) > 0:
                yield from _modules(around, f"{_EDAC}/{name}", f"dimm_{counter}")


def _modules(around: Surroundings, folder: str, counter: str) -> Iterator[Reading]:
    """Memory modules with a count of their own."""
    for name in around.names(folder):
        if not re.fullmatch(r"(?:dimm|rank)\d+", name):
            continue
        count = (around.text(f"{folder}/{name}/{counter}", longest=32) or "").strip()
        if count.isdecimal() and int(count) > 0:
            label = (around.text(f"{folder}/{name}/dimm_label", longest=128) or name).strip()
            yield Reading("edac.module", f"{folder}/{name}", (label, counter, int(count)))


PROBES: tuple[Probe, ...] = (
    Probe("kernel_log", "quick", read_log),
    Probe("kernel_traces", "instant", read_traces),
)
