"""The XML of `nvidia-smi -q -x`, also where its end is missing. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..records import Gpu, GpuState, Machine, Reading
from .paste import TAKEN, assuming, not_shown

if TYPE_CHECKING:
    from .paste import Paste

_ROOT: Final = "nvidia_smi_log"
_DEEPEST: Final = 32
_TAG = re.compile(r"<(/?)([A-Za-z_][\w.-]{0,63})((?:\s[^<>]{0,255})?)>")


def recognise(paste: Paste) -> bool:
    """Whether the text is XML at all, or holds the root of nvidia-smi's."""
    return f"<{_ROOT}" in paste.text or paste.text.lstrip()[:16].startswith(("<?xml", "<!DOCTYPE"))


def parse(paste: Paste) -> Machine:
    """Driver and GPUs of the document; of one that ends too early, what is there."""
    from ..detect.smi import machine_from_smi_xml

    is_whole = f"</{_ROOT}>" in paste.text or f"<{_ROOT}" not in paste.text
    first, end, rest = paste.text.partition(f"</{_ROOT}>")
    machine = machine_from_smi_xml(first + end if is_whole else _closed(paste.text))
    if f"<{_ROOT}" in rest:
        place = paste.text.count("\n", 0, paste.text.rfind(f"<{_ROOT}")) + 1
        machine = assuming(
            machine, f"The paste holds several XML documents (another at line {place}): the first is read."
        )
    if not is_whole:
        machine = assuming(
            _without_cut_gpu(machine), "The XML ends too early: what its missing part says is not known."
        )
    if machine.gpus:
        machine = assuming(machine, *not_shown(_attached(paste.text), len(machine.gpus)))
        usable = any(gpu.in_nvml is not False for gpu in machine.gpus)
        return machine if usable else replace(machine, gpu_state=GpuState.UNUSABLE)
    if is_whole:  # nvidia-smi ran, and the driver lists no GPU
        said = Reading("nvml.init", "nvidia-smi -q -x", failure="nvidia-smi -q -x lists no GPU")
        readings = (*machine.readings, Reading("nvml.outcome", "nvidia-smi -q -x", "answered"), said)
        return replace(machine, gpu_state=GpuState.UNUSABLE, readings=readings)
    line = f"The XML ends before its first GPU: {TAKEN}"
    return assuming(replace(machine, gpus=(Gpu(index=0, in_nvml=True),), gpu_state=GpuState.USABLE), line)


def _without_cut_gpu(machine: Machine) -> Machine:
    """A GPU that is cut off before its name is of unknown kind, not lost."""
    if not machine.gpus or machine.gpus[-1].name:
        return machine
    last = replace(machine.gpus[-1], in_nvml=None)
    readings = tuple(reading for reading in machine.readings if reading.name != f"gpu.{last.index}.usable")
    return replace(machine, gpus=(*machine.gpus[:-1], last), gpu_state=GpuState.USABLE, readings=readings)


def _attached(text: str) -> str | None:
    match = re.search(r"<attached_gpus>\s{0,64}([0-9]{1,4})\s{0,64}</attached_gpus>", text)
    return match[1] if match else None


def _closed(text: str) -> str:
    """The text from its root on, cut behind its last complete tag, with the open elements closed."""
    body = text[text.find(f"<{_ROOT}") :]
    opened: list[str] = []
    end = 0
    for match in _TAG.finditer(body):
        is_end, name, attributes = bool(match[1]), match[2], match[3]
        if len(opened) > _DEEPEST or (is_end and opened[-1:] != [name]):
            break
        if is_end:
            opened.pop()
        elif not attributes.endswith("/"):
            opened.append(name)
        end = match.end()
    return body[:end] + "".join(f"</{name}>" for name in reversed(opened))
