"""A snapshot: everything that detect and check read of a machine, as one document, and back (PURE).

Environment values and process arguments are not in it: nothing remembers them. `redact` takes out identities too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .detect.answer_forms import LARGEST_NUMBER, has_form
from .detect.memory import Kind, Look, Recorder, Replay
from .detect.surroundings import Kernel, Surroundings
from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .detect.probes import Level

LARGEST_BYTES = 16 * 1024 * 1024
"""Longest snapshot that is written or read."""
_LARGEST_LOOK = 512 * 1024
"""Longest single text in a snapshot; what is beyond is cut off and the snapshot says so."""


@dataclass(frozen=True, slots=True)
class SnapshotKernel:
    """What uname says."""

    system: str
    release: str
    machine: str
    hostname: str


@dataclass(frozen=True, slots=True)
class SnapshotData:
    """Data of snapshot/1."""

    level: str
    """What was looked at: instant, quick, standard or deep."""
    is_redacted: bool
    kernel: SnapshotKernel
    libc: str | None
    looks: dict[str, dict[str, Any]]
    """By kind of look and by name: {present: value}, {absent: why} or {unreadable: why}."""
    shortened: tuple[str, ...] = ()
    """Looks whose text was too long and lacks its end."""


def snapshot_data(around: Surroundings, level: str) -> SnapshotData:
    """Everything that was remembered of the looks through `around`, whose memory is a Recorder."""
    if not isinstance(around.memory, Recorder):
        raise TypeError("only what was recorded can be written down")
    kernel = around.kernel
    looks: dict[str, dict[str, Any]] = {}
    shortened = []
    for (kind, key), look in sorted(around.memory.looks.items()):
        cut = _cut(look)
        if cut is not look:
            shortened.append(f"{kind} {key}")
        looks.setdefault(kind, {})[key] = {cut.state: cut.value if cut.is_present else cut.why}
    return SnapshotData(
        level,
        is_redacted=False,
        kernel=SnapshotKernel(kernel.system, kernel.release, kernel.machine, kernel.hostname),
        libc=around.libc,
        looks=looks,
        shortened=tuple(shortened),
    )


def _cut(look: Look) -> Look:
    value = look.value
    if isinstance(value, str) and len(value) > _LARGEST_LOOK:
        return Look(look.state, value[:_LARGEST_LOOK], look.why)
    if isinstance(value, dict) and len(value.get("stdout") or "") > _LARGEST_LOOK:
        return Look(look.state, {**value, "stdout": value["stdout"][:_LARGEST_LOOK], "truncated": True}, look.why)
    return look


# --- back


def surroundings_of(data: object, *, where: str) -> tuple[Surroundings, Level]:
    """The machine of a snapshot as something to detect, and the level it was taken at; InputError names the place."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: data: expected an object, found {type(data).__name__}")
    looks: dict[tuple[Kind, str], Look] = {}
    for kind, named in _objects(data.get("looks"), f"{where}: data.looks"):
        if kind not in get_args(Kind):
            continue  # a later version looks in more ways
        for key, seen in _objects(named, f"{where}: data.looks.{kind}"):
            looks[kind, key] = _look(kind, key, seen, f"{where}: data.looks.{kind}.{key[:80]}")  # type: ignore[index]
    kernel = data.get("kernel")
    words = [_text(kernel, name, where) for name in ("system", "release", "machine", "hostname")]
    libc = data.get("libc")
    level = data.get("level")
    around = Surroundings(
        root=Path("/nonexistent"),
        environ={},
        kernel=Kernel(*words),
        libc=libc if isinstance(libc, str) else None,
        python="python3",
        memory=Replay(looks),
    )
    return around, level if level in ("instant", "quick", "standard", "deep") else "quick"


def _objects(value: object, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {type(value).__name__}")
    return [(str(key), item) for key, item in value.items()]


def _text(kernel: object, name: str, where: str) -> str:
    value = kernel.get(name) if isinstance(kernel, dict) else None
    if not isinstance(value, str):
        raise InputError(f"{where}: data.kernel.{name}: expected text, found {type(value).__name__}")
    return value


_FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "status": dict.fromkeys(("mode", "uid", "gid", "size", "major", "minor", "device"), (int,))
    | {"modified_at": (int, float)},
    "space": dict.fromkeys(("total_bytes", "free_bytes", "inodes", "free_inodes"), (int,)),
    "command": {
        "returncode": (int, type(None)),
        "stdout": (str,),
        "stderr": (str,),
        "duration_s": (int, float),
        "timed_out": (bool,),
        "abandoned": (bool,),
        "truncated": (bool,),
        "failure": (str, type(None)),
    },
}


def _look(kind: str, key: str, seen: object, where: str) -> Look:
    """One look of a file that anybody may have written: its value has the form that this kind of look has."""
    if not isinstance(seen, dict) or len(seen) != 1:
        raise InputError(f"{where}: expected one of present, absent and unreadable")
    ((state, value),) = seen.items()
    if state in ("absent", "unreadable"):
        return Look(state, why=str(value)[:1000] if value is not None else state)
    if state != "present":
        raise InputError(f"{where}: expected present, absent or unreadable, found {str(state)[:40]!r}")
    return Look("present", _value(kind, key, value, where))


def _value(kind: str, key: str, value: Any, where: str) -> Any:
    fields = _FIELDS.get(kind)
    if fields is not None:
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object, found {type(value).__name__}")
        for name, kinds in fields.items():
            found = value.get(name)
            if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
                raise InputError(f"{where}.{name}: found {type(found).__name__}")
            if isinstance(found, int | float) and not -LARGEST_NUMBER < found < LARGEST_NUMBER:
                raise InputError(f"{where}.{name}: found a number that no machine has")
        return {name: value.get(name) for name in fields}
    if kind in ("text", "link", "variable") and not isinstance(value, str):
        raise InputError(f"{where}: expected text, found {type(value).__name__}")
    if kind == "names" and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise InputError(f"{where}: expected a list of names")
    if kind in ("exists", "access") and not isinstance(value, bool):
        raise InputError(f"{where}: expected true or false, found {type(value).__name__}")
    if kind == "answer" and not has_form(key, value):
        raise InputError(f"{where}: it has not the form of this answer")
    return value


# --- identities

_ADDRESS = r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"
_GROUP = "[0-9a-fA-F]{1,4}"
_IDENTITIES = (
    ("GPU-{:08d}-0000-0000-0000-000000000000", r"GPU-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    ("MIG-{:08d}-0000-0000-0000-000000000000", r"MIG-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    ("{:08d}-0000-0000-0000-000000000000", r"(?<![\w-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-])"),
    ("02:00:00:00:00:{:02x}", r"(?<![\w:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![\w:])"),
    ("192.0.2.{}", rf"(?!127\.|0\.0\.0\.0){_ADDRESS}"),
    (
        "2001:db8::{:x}",
        rf"(?<![\w:.])(?:(?:{_GROUP}:){{7}}{_GROUP}|(?!0?::)(?:{_GROUP}:){{1,6}}(?::{_GROUP}){{1,6}})(?![\w:])",
    ),
    # serial numbers of keys and of certificates, the same in either case
    ("00:00:00:00:00:00:00:00:{:02x}", r"(?<![\w:])(?:[0-9a-fA-F]{2}:){7,63}[0-9a-fA-F]{2}(?![\w:])"),
    # somebody@somewhere; user@1000.service is systemd's and names nobody
    ("person{}@host", r"(?<![\w.+-])[A-Za-z][\w.+-]{0,63}@(?!\d+\.service)[A-Za-z][\w-]{0,62}(?:\.[\w-]{1,63}){0,8}"),
    ("person{}", r"(?<=/home/)[^/\s\"':,)\\]+"),
    ("person{}", r"(?<=/Users/)[^/\s\"':,)\\]+"),
    ("person{}", r"(?<=/media/)[^/\s\"':,)\\]+"),
)


def redacted(data: SnapshotData) -> SnapshotData:
    """The snapshot without host name, UUIDs, hardware and network addresses and names of home folders.

    Equal identities stay equal, so that what is compared with another still compares.
    """
    text = json.dumps(data.looks)
    for form, pattern in _IDENTITIES:
        text = _replaced(text, re.compile(pattern), form)
    hostname = data.kernel.hostname
    for name in (hostname, hostname.partition(".")[0]):
        if len(name) > 2 and name != "localhost":  # noqa: PLR2004 -- shorter names are part of too many words
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "host", text, flags=re.IGNORECASE)
    kernel = SnapshotKernel(data.kernel.system, data.kernel.release, data.kernel.machine, "host")
    return SnapshotData(data.level, True, kernel, data.libc, json.loads(text), data.shortened)  # noqa: FBT003


def _replaced(text: str, pattern: re.Pattern[str], form: str) -> str:
    known: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        return known.setdefault(match.group().lower(), form.format(len(known) + 1))

    return pattern.sub(stand_in, text)
