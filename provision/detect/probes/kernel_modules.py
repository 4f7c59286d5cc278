"""The driver's kernel module as modinfo, DKMS and the list of enrolled keys know it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...plain_text import plain
from ...records import GpuState, Reading
from ..memory import lines_with
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ...records import Machine
    from ..surroundings import Surroundings

_LONGEST_LOG = 4 * 1024 * 1024


# filename:       /lib/modules/6.8.0-79-generic/updates/dkms/nvidia.ko.zst
# version:        580.82.07
# license:        Dual MIT/GPL
# signer:         box Secure Boot Module Signature key
# sig_key:        3A:6F:...
_INFO = re.compile(r"^(filename|version|license|signer|sig_key|vermagic):[ \t]*(.*)$", re.MULTILINE)


def parse_modinfo(text: str) -> dict[str, str]:
    """Fields of modinfo's output that are kept; the first of each name."""
    found: dict[str, str] = {}
    for name, value in _INFO.findall(text):
        found.setdefault(name, value.strip())
    return found


# nvidia/535.183.01, 6.8.0-79-generic, x86_64: installed
# nvidia, 535.183.01, 5.15.0-91-generic, x86_64: installed (original_module exists)
# nvidia/570.124.06: added
_DKMS = re.compile(
    r"^(?P<name>nvidia[\w.-]*)[/,]\s*(?P<version>[\w.+~-]+)(?:,\s*(?P<kernel>[^,\s]+),\s*[\w-]+)?:\s*(?P<state>\w+)",
    re.MULTILINE,
)


def parse_dkms(text: str) -> tuple[tuple[str, str, str | None, str], ...]:
    """Module, its release, kernel and state (added, built, installed, broken) of the driver in `dkms status`."""
    found = (match.group("name", "version", "kernel", "state") for match in _DKMS.finditer(text))
    return tuple(row for row in found if not row[0].startswith(("nvidia-fs", "nvidia-peermem")))  # type: ignore[misc]


_ERROR = re.compile(r".*\b(?:error|Error|ERROR)\b[: ].*|.*\*\*\* .*")


# gcc: error: unrecognized command-line option '-ftrivial-auto-var-init=zero'
# nv-linux.h:1234: error: implicit declaration of function 'follow_pfn'
def parse_make_log(text: str) -> tuple[str, ...]:
    """The first error lines of a make.log, shortened."""
    lines = (plain(match.group().strip(), longest=200) for match in _ERROR.finditer(text))
    return tuple(dict.fromkeys(lines))[:3]


def _log_of(path: Path) -> list[str] | None:
    try:
        with path.open("rb") as stream:
            return list(parse_make_log(stream.read(_LONGEST_LOG).decode("utf-8", errors="replace")))
    except OSError:
        return None


#         Serial Number:
#             3a:6f:10:...
#         Subject: CN=box Secure Boot Module Signature key
def parse_mokutil(text: str) -> tuple[str, ...]:
    """Serial numbers of the enrolled keys: hexadecimal digits in lower case."""
    found = re.findall(r"Serial Number:\s*(?:\d+ \(0x([0-9a-fA-F]+)\)|((?:[0-9a-fA-F]{2}:)+[0-9a-fA-F]{2}))", text)
    return tuple(hex_digits(short or long) for short, long in found)


def hex_digits(text: str) -> str:
    """3A:6F:01 as 3a6f01, without leading zeros."""
    return text.replace(":", "").lower().lstrip("0")


def _programs(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """What modinfo, dkms and mokutil say of the driver's module."""
    if machine.gpu_state is GpuState.NONE or machine.host.is_wsl:
        return
    yield from _modinfo(around)
    said = around.tell("dkms", "status", keep=lines_with("^nvidia"))
    rows = parse_dkms(said.stdout)
    if said.returncode != 0:
        yield Reading("kernel.dkms", "dkms status", failure=said.failure or "dkms status failed")
    else:
        yield Reading("kernel.dkms_entries", "dkms status", len(rows))
    for row in rows:
        yield Reading("kernel.dkms", "dkms status", row)
    for name, version in dict.fromkeys((row[0], row[1]) for row in rows if row[3] != "installed"):
        path = f"/var/lib/dkms/{name}/{version}/build/make.log"
        lines = around.answer(f"errors in {path}", lambda path=path: _log_of(around.path(path)))  # type: ignore[misc]
        yield Reading(
            "kernel.dkms_log", path, tuple(lines) if lines else None, None if lines else "not there, or no error in it"
        )
    if machine.reading("kernel.secure_boot") or around.exists("/sys/firmware/efi"):
        said = around.tell("mokutil", "--list-enrolled", keep=_only_serials)
        good = said.returncode == 0
        yield Reading(
            "kernel.enrolled_keys",
            "mokutil --list-enrolled",
            parse_mokutil(said.stdout) if good else None,
            None if good else said.failure or "mokutil can't read the list",
        )


def _only_serials(text: str) -> str:
    return "\n".join(re.findall(r"Serial Number:\s*\S+(?: \(0x\w+\))?", text))


def _modinfo(around: Surroundings) -> Iterator[Reading]:
    for name in ("nvidia", "nvidia-current"):  # Debian's name
        said = around.tell("modinfo", name, keep=lambda text: "\n".join(m.group() for m in _INFO.finditer(text)))
        if said.returncode == 0:
            found = parse_modinfo(said.stdout)
            for field in ("filename", "version", "license", "signer", "sig_key"):
                value = found.get(field)
                why = None if value else "modinfo gives none"
                yield Reading(f"driver.modinfo_{field}", f"modinfo {name}", value or None, why)
            status, why = around.status(found["filename"]) if found.get("filename") else (None, "modinfo gives none")
            changed = round(status.modified_at) if status else None
            yield Reading("driver.module_file_changed_at", found.get("filename", "modinfo"), changed, why)
            return
    why = said.failure or "the running kernel has no module nvidia"
    yield Reading("driver.modinfo_version", "modinfo nvidia", failure=why)


PROBES: tuple[Probe, ...] = (Probe("kernel modules", "quick", _programs),)
