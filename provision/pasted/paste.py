"""A pasted text made readable, and the words that every format needs. Pure."""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..errors import InputError
from ..plain_text import clean_text, plain
from ..records import Machine, Reading, Scalar
from ..typed import NO_DRIVER
from ..versions import CudaVersion, DriverVersion

if TYPE_CHECKING:
    from ..records import Gpu

LONGEST_PASTE = 4 * 2**20
"""Characters; the XML of a box with 16 GPUs has under 1 MiB."""
LONGEST_LINE = 4096
"""Characters; a whole collect_env that lost its line breaks has about 2000."""
MOST_LINES = 200_000
MOST_GPUS = 1024

_ANSI = re.compile(r"\x1b(?:\[[0-9;:?<=>]{0,64}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)?|[()][0-9A-B]|[=>78cM])")
# > | NVIDIA-SMI ...      as mail and issue trackers quote;  # | NVIDIA-SMI ...  as scripts keep it
_QUOTE = re.compile(r"[ \t]{0,64}(?:[>#][ \t]?){1,16}")
# 2026-01-31T09:00:00.1234567Z | NVIDIA-SMI ...      as build logs keep it
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z ?")
# trainer-1  | | NVIDIA-SMI ...      as container tools label what several programs print
_SPEAKER = re.compile(r" {0,64}(?!N/A)[\w.@/-]{3,64} {0,32}\| ?", re.ASCII)
# 12:| NVIDIA-SMI ...      12\t| NVIDIA-SMI ...      as editors and grep -n number lines
_NUMBERED = re.compile(r"[ \t]{0,16}([0-9]{1,6})(?::[ \t]?|[ \t]{0,4}[:.)|](?=[ \t]|$)[ \t]?|\t|[ ]{1,4}|$)")
_TAG = re.compile(
    r"</?(?:span|font|pre|code|div|p|b|i|em|strong|tr|td|li|ul|details|summary)(?: [^<>]{0,256})?>", re.IGNORECASE
)
_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?=[|_*+#>\[\]()`~=.\-])")
_PCI = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_LEAST_ALIKE: Final = 4
"""Lines in a row that must be numbered on, or lines that must have the same label, to be taken for that."""

_SPACES = {
    ord(char): " " for char in ("\xa0", "\u1680", *map(chr, range(0x2000, 0x200B)), "\u202f", "\u205f", "\u3000")
}
_BLANKS = _SPACES | str.maketrans(
    {
        **dict.fromkeys("\t\x0b\x0c", " "),
        # What word processors and forums make of - | : and ...
        **dict.fromkeys(map(chr, range(0x2010, 0x2016)), "-"),
        **dict.fromkeys("\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2502\u2503\u2506\u250a\u2551\uff5c\u00a6", "|"),
        "\uff1a": ":",
        "\u2026": "...",
    }
)
_INVISIBLE = str.maketrans(
    dict.fromkeys("\ufeff\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064")
)
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
    if "&lt;nvidia_smi_log" in unified and "<nvidia_smi_log" not in unified:
        unified = html.unescape(unified)
    unified = _BREAK.sub("\n", unified).translate(_SPACES)
    if unified.count("\n") > MOST_LINES:
        raise InputError(f"more than {MOST_LINES} lines: no output that is read here has that many")
    whole = _unnumbered([_unquoted(line) for line in clean_text(unified).split("\n")])
    return Paste("\n".join(whole), tuple(_unnumbered(_unlabelled([_line(line) for line in whole]))))


def _unquoted(line: str) -> str:
    match = _QUOTE.match(line)
    line = line[match.end() :] if match else line
    stamp = _STAMP.match(line)
    return line[stamp.end() :] if stamp else line


def _line(line: str) -> str:
    """The line as the tool printed it, without what forums and trackers add to show it."""
    line = line[:LONGEST_LINE]
    if "&" in line:
        line = html.unescape(line)
    if "<" in line:
        line = _TAG.sub("", line)
    if "\\" in line:
        line = _ESCAPE.sub("", line)
    line = clean_text(line).translate(_INVISIBLE).translate(_BLANKS)[:LONGEST_LINE].rstrip()
    match = _QUOTE.match(line)  # &gt; | NVIDIA-SMI ...
    return line[match.end() :] if match else line


def _unlabelled(lines: list[str]) -> list[str]:
    """The lines without the name of the program that printed them, where it stands before several."""
    labels = [match[0].rstrip() if (match := _SPEAKER.match(line)) else "" for line in lines]
    often = {label for label, count in Counter(labels).items() if label and count >= _LEAST_ALIKE}
    return [
        line[len(label) :].removeprefix(" ") if label in often else line
        for line, label in zip(lines, labels, strict=True)
    ]


def _unnumbered(lines: list[str]) -> list[str]:
    """The lines without the numbers that an editor put before them: several in a row, each one more than the last."""
    numbers = [int(match[1]) if (match := _NUMBERED.match(line)) else None for line in lines]
    kept, start = list(lines), 0
    while start < len(lines):
        end, number = start + 1, numbers[start]
        while number is not None and end < len(lines) and numbers[end] == number + (end - start):
            end += 1
        # The rows of a table that lost its bars are numbered, too.
        if end - start >= _LEAST_ALIKE and not all(map(_PCI.search, lines[start:end])):
            kept[start:end] = [_NUMBERED.sub("", line, count=1) for line in lines[start:end]]
        start = end
    return kept


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
    """The machine with more sentences about what the paste does not say, each once."""
    return replace(machine, assumptions=tuple(dict.fromkeys((*machine.assumptions, *lines))))


TAKEN: Final = "one GPU of unknown kind is taken to be there."
"""How every sentence about a GPU that nobody names ends."""
TAKEN_NONE: Final = "the machine is taken to have none."
"""How every sentence about a machine without GPU ends."""


def without_driver(why: str = "") -> str:
    """The sentence about a missing driver, with the reason where the text shows one."""
    return f"{NO_DRIVER}: {why}." if why else f"{NO_DRIVER}."


def open_driver(driver: DriverVersion) -> str:
    """The doubt about a release behind which the paste, or its line, ends."""
    return f"The driver version {driver} ends the paste and is taken to be whole."


def not_shown(attached: str | None, shown: int) -> tuple[str, ...]:
    """A sentence where the tool counts more GPUs than the paste shows."""
    if not attached or not re.fullmatch(r"[0-9]{1,4}", attached) or int(attached) <= shown:
        return ()
    return (f"The paste speaks of {int(attached)} GPUs and shows {shown}: the others are taken to be alike.",)


def require_few(gpus: list[Gpu], name: str) -> None:
    """InputError when more GPUs are listed than any box has."""
    if len(gpus) > MOST_GPUS:
        raise InputError(f"{name}: more than {MOST_GPUS} GPUs")
