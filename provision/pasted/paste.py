"""A pasted text made readable, and the words that every format needs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import InputError
from ..plain_text import clean_text, plain
from ..records import Machine, Reading, Scalar
from ..versions import CudaVersion, DriverVersion

if TYPE_CHECKING:
    from ..records import Gpu

LONGEST_PASTE = 4 * 2**20
"""Characters; the XML of a box with 16 GPUs has under 1 MiB."""
LONGEST_LINE = 1024
MOST_LINES = 200_000
MOST_GPUS = 1024

_ANSI = re.compile(r"\x1b(?:\[[0-9;:?<=>]{0,64}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)?|[()][0-9A-B]|[=>78cM])")
# > | NVIDIA-SMI ...      as mail and issue trackers quote;  # | NVIDIA-SMI ...  as scripts keep it
_QUOTE = re.compile(r"[ \t]{0,64}(?:[>#][ \t]?){1,16}")
_BLANKS = str.maketrans({"\t": " ", "\xa0": " ", "\u2007": " ", "\u202f": " ", "\u3000": " ", "\u2502": "|"})
_INVISIBLE = str.maketrans(dict.fromkeys("\ufeff\u200b\u200c\u200d\u2060\u00ad"))
_NOTHING = {"", "n/a", "[n/a]", "none", "unknown", "err!", "unknown error", "[unknown error]", "could not collect"}


@dataclass(frozen=True, slots=True)
class Paste:
    """A text without terminal colours, quote marks and control characters."""

    text: str
    """All of it, with its lines as long as they were."""
    lines: tuple[str, ...]
    """Its lines, each at most LONGEST_LINE characters, with single kinds of blanks."""


def read_paste(text: str) -> Paste:
    """The paste of a text; InputError when it is too long to be one."""
    if len(text) > LONGEST_PASTE:
        raise InputError(f"{len(text)} characters, more than {LONGEST_PASTE}: no output that is read here is that long")
    unified = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n").translate(_INVISIBLE)
    if unified.count("\n") > MOST_LINES:
        raise InputError(f"more than {MOST_LINES} lines: no output that is read here has that many")
    whole = [_unquoted(line) for line in clean_text(unified).split("\n")]
    lines = tuple(line[:LONGEST_LINE].translate(_BLANKS).rstrip() for line in whole)
    return Paste("\n".join(whole), lines)


def _unquoted(line: str) -> str:
    match = _QUOTE.match(line)
    return line[match.end() :] if match else line


def first_line(paste: Paste) -> str:
    """The first line that says something, short enough for a message; empty when there is none."""
    return next((said for line in paste.lines if (said := plain(line, longest=80))), "")


# --- words of the driver's tools


def value_of(text: str) -> str | None:
    """The text on one line, None for the tools' words for nothing."""
    said = plain(text)
    lowered = said.lower()
    is_nothing = lowered in _NOTHING or lowered.startswith(("gpu is lost", "requested functionality", "gpu requires"))
    return None if is_nothing else said


# 535.104.05      610.57.04 [Deprecated; will be removed in CUDA 14.0. Use KMD Version instead]
def driver_version(text: str | None) -> DriverVersion | None:
    """The release that the text starts with; None for N/A and for sentences."""
    match = re.match(r"\s{0,64}([0-9]{2,4}(?:\.[0-9]{1,4}){1,3})(?![0-9.])", text or "")
    return DriverVersion(match[1]) if match else None


# 12.2      13.3 [Deprecated; ...]
def cuda_version(text: str | None) -> CudaVersion | None:
    """The CUDA release that the text starts with; None for N/A and for sentences."""
    match = re.match(r"\s{0,64}([0-9]{1,2})\.([0-9]{1,2})(?![0-9])", text or "")
    return CudaVersion(int(match[1]), int(match[2])) if match else None


# 81559MiB      46068 MiB
def mebibytes(text: str) -> int | None:
    """Bytes of a size in MiB that the text starts with; None for N/A and zero."""
    match = re.match(r"\s{0,64}([0-9]{1,9}) {0,4}MiB", text)
    return int(match[1]) << 20 if match and int(match[1]) else None


# GPU-00000000-0000-0000-0000-000000000000
def gpu_uuid(text: str) -> str | None:
    """The UUID of a whole GPU in the text; None where it was blacked out."""
    match = re.search(r"GPU-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text)
    return match[0] if match else None


# --- machines


def read_facts(source: str, *facts: tuple[str, Scalar]) -> tuple[Reading, ...]:
    """Readings of the facts that have a value. What is missing is said in the assumptions."""
    return tuple(Reading(name, source, value) for name, value in facts if value is not None)


def gpu_facts(source: str, gpus: tuple[Gpu, ...]) -> tuple[Reading, ...]:
    """Readings of what the paste says of every GPU."""
    return tuple(
        reading
        for gpu in gpus
        for reading in read_facts(
            source,
            (f"gpu.{gpu.index}.name", gpu.name),
            (f"gpu.{gpu.index}.uuid", gpu.gpu_uuid),
            (f"gpu.{gpu.index}.pci_bus_id", gpu.pci_bus_id),
            (f"gpu.{gpu.index}.pci_device_id", gpu.pci_device_id),
            (f"gpu.{gpu.index}.memory_bytes", gpu.memory_bytes),
            (f"gpu.{gpu.index}.mig_mode", gpu.mig_mode),
        )
    )


def assuming(machine: Machine, *lines: str) -> Machine:
    """The machine with more sentences about what the paste does not say."""
    return replace(machine, assumptions=(*machine.assumptions, *lines))


def not_shown(attached: str | None, shown: int) -> tuple[str, ...]:
    """A sentence where the tool counts more GPUs than the paste shows."""
    if not attached or not re.fullmatch(r"[0-9]{1,4}", attached) or int(attached) <= shown:
        return ()
    return (f"The paste speaks of {int(attached)} GPUs and shows {shown}: the others are taken to be alike.",)


def require_few(gpus: list[Gpu], name: str) -> None:
    """InputError when more GPUs are listed than any box has."""
    if len(gpus) > MOST_GPUS:
        raise InputError(f"{name}: more than {MOST_GPUS} GPUs")
