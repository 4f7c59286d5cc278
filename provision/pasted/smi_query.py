"""The text of `nvidia-smi -q`. Pure.

Sections are told by their headings, not by their indentation, which pastes lose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from ..plain_text import plain
from ..records import Driver, Gpu, GpuState, Machine, Reading
from ..spellings import normal_bus_id
from .paste import (
    TAKEN,
    assuming,
    cuda_version,
    driver_version,
    gpu_facts,
    gpu_uuid,
    mebibytes,
    not_shown,
    read_facts,
    require_few,
    value_of,
)
from .smi_errors import with_lost_gpus

if TYPE_CHECKING:
    from .paste import Paste

SOURCE: Final = "nvidia-smi -q"
_GPU = re.compile(r"GPU ([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])")
_AFTER_MIG: Final = frozenset(("accounting mode", "driver model", "serial number", "gpu uuid", "minor number", "pci"))
"""What follows the list of MIG devices, whose sections have the headings of the GPU's own."""


_SEVERAL = 2


@dataclass(slots=True)
class _Section:
    """The lines of one GPU, and those before the first one."""

    bus_id: str | None = None
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    """First value of (heading, key), both in lower case; the heading of a line outside of any is empty."""
    mig_devices: int = 0

    def value(self, key: str, heading: str | None = None) -> str | None:
        """The value of a key, under that heading or under any."""
        found = (text for (above, name), text in self.values.items() if name == key and heading in (above, None))
        return value_of(next(found, ""))

    def has(self, key: str) -> bool:
        """Whether the key is there, whatever its value."""
        return any(name == key for _, name in self.values)


def recognise(paste: Paste) -> bool:
    """Whether a line is the title, the heading of a GPU or its product name."""
    return any(_is_ours(line.strip()) for line in paste.lines)


def _is_ours(line: str) -> bool:
    if "NVSMI LOG" in line or _GPU.fullmatch(line):
        return True
    key, colon, _ = line.partition(":")
    return bool(colon) and key.strip().lower() in {"product name", "attached gpus"}


# ==============NVSMI LOG==============
# Driver Version                                         : 595.80
# CUDA Version                                           : 13.2
# Attached GPUs                                          : 1
# GPU 00000000:01:00.0
#     Product Name                                       : NVIDIA L40S
#     MIG Mode
#         Current                                        : N/A
# R610 and newer add "KMD Version" and "CUDA UMD Version", and a note of deprecation behind the old two.
def parse(paste: Paste) -> Machine:
    """Driver and GPUs of the text."""
    logs = _logs(paste.lines)
    head, *sections = next((one.sections for one in logs if len(one.sections) > 1), logs[0].sections)
    if not sections and head.value("product name"):
        head.bus_id = normal_bus_id(head.value("bus id") or "")
        sections = [head]  # the lines above the GPU were not copied
    gpus = tuple(_gpu(index, section) for index, section in enumerate(sections))
    require_few(list(gpus), SOURCE)
    driver = driver_version(head.value("kmd version")) or driver_version(head.value("driver version"))
    cuda = cuda_version(head.value("cuda umd version")) or cuda_version(head.value("cuda version"))
    machine = Machine(
        driver=Driver(driver_version=driver, driver_cuda_version=cuda),
        gpus=gpus,
        gpu_state=GpuState.USABLE,
        readings=(
            *read_facts(
                SOURCE,
                ("driver.driver_version", str(driver) if driver else None),
                ("driver.driver_cuda_version", str(cuda) if cuda else None),
            ),
            *gpu_facts(SOURCE, gpus),
            *(
                Reading(f"gpu.{index}.mig_devices", SOURCE, section.mig_devices)
                for index, section in enumerate(sections)
                if section.mig_devices
            ),
            *(
                Reading(f"gpu.{gpu.index}.usable", SOURCE, failure="the text shows an error in place of its name")
                for gpu in gpus
                if not gpu.in_nvml
            ),
        ),
    )
    machine = assuming(machine, *_others(logs), *_driver_model(sections))
    return _judged(with_lost_gpus(machine, paste), attached=head.value("attached gpus"))


def _others(logs: list[_Log]) -> tuple[str, ...]:
    """A sentence where the paste holds the logs of several machines, or of several times."""
    shown = [log for log in logs if len(log.sections) > 1]
    if len({log.essence for log in shown}) < _SEVERAL:
        return ()
    places = ", ".join(str(log.place) for log in shown)
    line = (
        f"The paste holds {len(shown)} logs that differ (they start at lines {places}): "
        f"the one at line {shown[0].place} is read."
    )
    return (line,)


# Driver Model
#     Current                                        : WDDM
def _driver_model(sections: list[_Section]) -> tuple[str, ...]:
    """A sentence where the text shows Windows' driver, which serves Windows and WSL alike."""
    model = next((said for one in sections if (said := one.value("current", "driver model"))), None)
    if model is None:
        return ()
    return (f"The driver model is {plain(model, longest=16)}: the text is of Windows or WSL and does not say which.",)


def _judged(machine: Machine, *, attached: str | None) -> Machine:
    """The machine with its state, and with what is said of GPUs that the text does not show."""
    if not machine.gpus and attached == "0":
        said = Reading("nvml.init", SOURCE, failure="nvidia-smi -q lists no GPU")
        readings = (*machine.readings, Reading("nvml.outcome", SOURCE, "answered"), said)
        return replace(machine, gpu_state=GpuState.UNUSABLE, readings=readings)
    if not machine.gpus:
        line = f"The text ends before its first GPU: {TAKEN}"
        return assuming(replace(machine, gpus=(Gpu(index=0, in_nvml=True),)), line)
    machine = assuming(machine, *not_shown(attached, len(machine.gpus)))
    usable = any(gpu.in_nvml for gpu in machine.gpus)
    return machine if usable else replace(machine, gpu_state=GpuState.UNUSABLE)


@dataclass(frozen=True, slots=True)
class _Log:
    """One output of the text."""

    place: int
    """Number of its first line, from 1."""
    sections: list[_Section]
    """What stands above the first GPU, and every GPU."""

    @property
    def essence(self) -> tuple[object, ...]:
        """What makes it the log of another machine, or of another time."""
        head, *gpus = self.sections
        names = tuple((gpu.bus_id, gpu.value("product name")) for gpu in gpus)
        return head.value("kmd version") or head.value("driver version"), names


def _logs(lines: tuple[str, ...]) -> list[_Log]:
    """The outputs, split at their titles."""
    cuts = sorted({0, *(place for place, line in enumerate(lines) if "NVSMI LOG" in line), len(lines)})
    return [_Log(start + 1, _sections(lines[start:end])) for start, end in pairwise(cuts)]


def _sections(lines: tuple[str, ...]) -> list[_Section]:
    """What stands before the first GPU, then every GPU; one that appears again is left out."""
    head = _Section()
    sections: dict[str | None, _Section] = {}
    current, heading, is_mig = head, "", False
    for line in map(str.strip, lines):
        if match := _GPU.fullmatch(line):
            bus_id = normal_bus_id(match[1])
            current, heading, is_mig = _Section(bus_id), "", False
            sections.setdefault(bus_id, current)
            continue
        key, colon, text = line.partition(":")
        name = key.strip().lower()
        if name in _AFTER_MIG:
            is_mig = False
        if not colon:
            heading = name or heading
            is_mig = is_mig or name == "mig device"
            current.mig_devices += name == "mig device"
        elif not is_mig:
            current.values.setdefault((heading, name), text)
    return [head, *sections.values()]


def _gpu(index: int, section: _Section) -> Gpu:
    name, uuid = section.value("product name"), gpu_uuid(section.value("gpu uuid") or "")
    mig = (section.value("current", "mig mode") or "").lower()
    mig_mode: Literal["enabled", "disabled"] | None = None
    if mig in {"enabled", "disabled"}:
        mig_mode = "enabled" if mig == "enabled" else "disabled"
    return Gpu(
        index=index,
        name=name,
        gpu_uuid=uuid,
        pci_bus_id=section.bus_id,
        pci_device_id=_device_id(section.value("device id") or ""),
        memory_bytes=mebibytes(section.value("total", "fb memory usage") or ""),
        mig_mode=mig_mode,
        mig_instances=_instances(section) if mig_mode == "enabled" else None,
        in_nvml=bool(name or uuid) or not section.has("product name"),
    )


#     MIG Devices                                        : None
def _instances(section: _Section) -> int | None:
    """How many MIG devices the text lists; None when it says nothing of them."""
    if section.mig_devices:
        return section.mig_devices
    said = [text.strip().lower() for (_, name), text in section.values.items() if name == "mig devices"]
    return 0 if "none" in said else None


# 0x26B910DE
def _device_id(text: str) -> str | None:
    match = re.fullmatch(r"0x([0-9a-fA-F]{4})([0-9a-fA-F]{4})", text)
    return f"{match[2]}:{match[1]}".lower() if match else None
