"""The table that `nvidia-smi` prints. Pure.

It cuts long names off ("NVIDIA A100-SXM..."); they stay as they are printed and match no name of the matrix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ..records import Driver, Gpu, GpuState, Host, Machine, Reading
from ..spellings import normal_bus_id
from .paste import (
    TAKEN,
    assuming,
    cuda_version,
    driver_version,
    gpu_facts,
    mebibytes,
    open_driver,
    read_facts,
    require_few,
    value_of,
    without_driver,
)
from .smi_errors import with_lost_gpus

if TYPE_CHECKING:
    from ..versions import CudaVersion, DriverVersion
    from .paste import Paste

SOURCE: Final = "nvidia-smi"
_BUS_ID = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_NUMBER = re.compile(r"[0-9]{1,4}")
_WINDOWS_MODES = frozenset(("WDDM", "TCC", "MCDM"))
_MODES = frozenset(("On", "Off", "N/A", "ERR!", *_WINDOWS_MODES))
"""What stands behind the name: persistence on Linux, driver model on Windows."""
_MIG_SECTION: Final = "mig devices:"
_PROCESSES: Final = "processes:"
"""The last part of a table: a GPU below it is of another one."""
_SECTIONS: Final = (_MIG_SECTION, _PROCESSES)
_MIG_NUMBERS: Final = 4
"""Leading numbers of a MIG row: GPU, GPU instance, compute instance, MIG device."""
_LEAST_RULE = 3
"""Dashes that make a line a rule of the table."""
_LEAST_WORDS = 2
"""Words of a GPU cell before the mode: number and name."""
_LINUX_PARTS = 3
_WINDOWS_PARTS = 2


@dataclass(frozen=True, slots=True)
class _Header:
    smi: DriverVersion | None
    driver: DriverVersion | None
    cuda: CudaVersion | None
    says_driver: bool
    """Whether it has the word for the driver, whatever stands behind it."""


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of the text."""

    place: int
    """Number of its first line, from 1."""
    lines: tuple[str, ...]
    header: _Header | None
    """None where the lines above its GPUs are missing."""
    gpus: tuple[Gpu, ...]
    readings: tuple[Reading, ...]

    @property
    def essence(self) -> tuple[object, ...]:
        """What makes it a table of another machine, or of another time."""
        driver = self.header and self.header.driver
        return driver, tuple((gpu.index, gpu.name, gpu.pci_bus_id) for gpu in self.gpus)


def recognise(paste: Paste) -> bool:
    """Whether a line is the table's header or one of its GPU rows."""
    return any(_header(line) or (_BUS_ID.search(line) and _gpu(line)) for line in paste.lines)


def parse(paste: Paste) -> Machine:
    """Driver and GPUs of the first table that shows both; of the first one where none does."""
    tables = _tables(paste.lines)
    shown = [table for table in tables if table.gpus]
    table = next((one for one in shown if one.header), next(iter(shown), tables[0]))
    header = table.header or _Header(None, None, None, says_driver=False)
    require_few(list(table.gpus), SOURCE)
    host, host_readings = _host(table.lines, header)
    machine = Machine(
        host=host,
        driver=Driver(driver_version=header.driver, driver_cuda_version=header.cuda),
        gpus=table.gpus,
        gpu_state=GpuState.USABLE,
        readings=(
            *host_readings,
            *read_facts(
                SOURCE,
                ("driver.driver_version", str(header.driver) if header.driver else None),
                ("driver.driver_cuda_version", str(header.cuda) if header.cuda else None),
            ),
            *gpu_facts(SOURCE, table.gpus),
            *table.readings,
        ),
    )
    if host.is_wsl:
        machine = assuming(
            machine,
            f"The table shows a Linux nvidia-smi {header.smi} on driver {header.driver}: this is WSL on Windows.",
        )
    machine = assuming(machine, *_missing(table), *_others(table, tables))
    return _with_some_gpu(with_lost_gpus(machine, paste))


def _missing(table: _Table) -> tuple[str, ...]:
    """Sentences about what was cut off."""
    lines = []
    if table.header is None:
        lines.append(without_driver("the header of the table was not copied"))
    elif table.header.driver is None and not (table.header.cuda and table.header.says_driver):  # Tegra says N/A
        why = "the header is cut off" if table.header.cuda is None else "the header of the table does not name it"
        if table.header.says_driver:
            why = "the header of the table has no number for it"
        lines.append(without_driver(why))
    elif table.header.driver and table.lines[0].endswith(table.header.driver.text):
        lines.append(open_driver(table.header.driver))
    if table.gpus and not _is_closed(table.lines):
        last = table.gpus[-1].index
        lines.append(f"No line closes the table below GPU {last}: GPUs further down may be missing.")
    return tuple(lines)


def _is_closed(lines: tuple[str, ...]) -> bool:
    """Whether a rule of the table, or another part of it, follows the last GPU."""
    rows = [place for place, line in enumerate(lines) if _gpu(line)]
    below = lines[rows[-1] + 1 :] if rows else ()
    return any(
        (line.strip(" |+=-") == "" and line.count("-") >= _LEAST_RULE)
        or any(name in line.lower() for name in _SECTIONS)
        for line in below
    )


def _others(chosen: _Table, tables: list[_Table]) -> tuple[str, ...]:
    """A sentence where the paste holds tables of another machine, or of another time."""
    different = [table for table in tables if table.essence != chosen.essence]
    if not different:
        return ()
    places = ", ".join(str(table.place) for table in tables)
    line = (
        f"The paste holds {len(tables)} tables that differ (they start at lines {places}): "
        f"the one at line {chosen.place} is read."
    )
    return (line,)


def _tables(lines: tuple[str, ...]) -> list[_Table]:
    """The tables; what stands above the first header is one where it shows a GPU."""
    starts, is_below = [], False
    for place, line in enumerate(lines):
        is_new = _header(line) is not None or (is_below and bool(_BUS_ID.search(line)) and _gpu(line) is not None)
        if is_new:
            starts.append(place)
        is_below = not is_new and (is_below or _PROCESSES in line.lower())
    tables = []
    for start, end in pairwise(sorted({0, *starts, len(lines)})):
        part = tuple(piece for line in lines[start:end] for piece in _unfolded(line))
        gpus, readings = _gpus(part)
        if gpus or start in starts:
            tables.append(_Table(start + 1, part, _header(lines[start]), gpus, readings))
    return tables


def _unfolded(line: str) -> list[str]:
    """The lines of a table that were pasted as one."""
    if "NVIDIA-SMI" not in line or not _BUS_ID.search(line):
        return [line]
    return re.split(r"(?<=[|+]) {1,8}(?=[|+])", line)


def _with_some_gpu(machine: Machine) -> Machine:
    """A table is printed only where the driver has a GPU: one that is not shown is unknown, not absent."""
    if not machine.gpus:
        line = f"No GPU can be read from the table: {TAKEN}"
        return assuming(replace(machine, gpus=(Gpu(index=0, in_nvml=True),)), line)
    usable = any(gpu.in_nvml for gpu in machine.gpus)
    return machine if usable else replace(machine, gpu_state=GpuState.UNUSABLE)


# | NVIDIA-SMI 515.65.01    Driver Version: 516.94       CUDA Version: 11.6     |
# | NVIDIA-SMI 610.57.04              KMD Version: 610.57.04     CUDA UMD Version: 13.3     |
def _header(line: str) -> _Header | None:
    if "NVIDIA-SMI" not in line:
        return None
    smi = re.search(r"NVIDIA-SMI {1,64}([0-9.]{2,32})", line)
    driver = re.search(r"(?:Driver|KMD) Version: {0,64}([^ |]{1,64})", line)
    cuda = re.search(r"CUDA (?:UMD )?Version: {0,64}([^ |]{1,64})", line)
    if not (driver or (smi and "|" in line[: smi.start()])):
        return None
    return _Header(
        driver_version(smi[1]) if smi else None,
        driver_version(driver[1]) if driver else None,
        cuda_version(cuda[1]) if cuda else None,
        says_driver=driver is not None,
    )


def _host(lines: tuple[str, ...], header: _Header) -> tuple[Host, tuple[Reading, ...]]:
    """What the table shows of the system: the column behind the name, and whose driver answers."""
    text = "\n".join(lines)
    if "Driver-Model" in text or "TCC/WDDM" in text or any(_mode(line) in _WINDOWS_MODES for line in lines):
        return Host(system="windows", os="windows", is_wsl=False), read_facts(SOURCE, ("host.system", "windows"))
    if _is_wsl(header):
        facts = read_facts(SOURCE, ("host.system", "linux"), ("host.is_wsl", True))
        return Host(system="linux", is_wsl=True), facts
    if "Persistence-M" in text:
        return Host(system="linux"), read_facts(SOURCE, ("host.system", "linux"))
    return Host(), ()


def _is_wsl(header: _Header) -> bool:
    """A Linux release of the tool (515.65.01) on a later release of Windows' form (516.94): they meet on WSL alone."""
    if header.smi is None or header.driver is None:
        return False
    forms = header.smi.text.count(".") + 1, header.driver.text.count(".") + 1
    return forms == (_LINUX_PARTS, _WINDOWS_PARTS) and header.driver > header.smi


# --- rows


# |   0  NVIDIA GeForce RTX 2080 ...    Off |   00000000:0C:00.0 Off |                  N/A |
# | 38%   33C    P8             38W /  250W |     211MiB /   8192MiB |      0%      Default |
# |                                         |                        |                  N/A |
def _gpus(lines: tuple[str, ...]) -> tuple[tuple[Gpu, ...], tuple[Reading, ...]]:
    gpus: dict[int, Gpu] = {}
    mig_devices: dict[int, int] = {}
    current, section = -1, ""
    for line in lines:
        section = next((name for name in _SECTIONS if name in line.lower()), section)
        gpu = _gpu(line)
        if section and not (gpu and gpu.pci_bus_id):
            parent = _mig_parent(line) if section == _MIG_SECTION else None
            if parent in gpus:
                mig_devices[parent] = mig_devices.get(parent, 0) + 1
        elif gpu:
            current, section = gpu.index, ""
            gpus.setdefault(current, gpu)
        elif current in gpus:
            gpus[current] = _completed(gpus[current], line)
    for parent, count in mig_devices.items():
        gpus[parent] = replace(gpus[parent], mig_mode="enabled", mig_instances=count)
    if any("no mig devices found" in line.lower() for line in lines):
        split = [gpu for gpu in gpus.values() if gpu.mig_mode == "enabled" and gpu.mig_instances is None]
        gpus.update({gpu.index: replace(gpu, mig_instances=0) for gpu in split})
    why = "the table shows an error in place of its name"
    readings = (
        *(Reading(f"gpu.{gpu.index}.usable", SOURCE, failure=why) for gpu in gpus.values() if not gpu.in_nvml),
        *(Reading(f"gpu.{parent}.mig_devices", SOURCE, count) for parent, count in mig_devices.items()),
    )
    return tuple(gpus.values()), readings


# |  0    2   0   0  |              26MiB / 40448MiB    | 60      0 |  3   0    3    0    3 |
def _mig_parent(line: str) -> int | None:
    """Index of the GPU that the MIG device of a row is part of; None for any other line."""
    words = line.replace("|", " ").split()
    is_row = len(words) > _MIG_NUMBERS and all(_NUMBER.fullmatch(word) for word in words[:_MIG_NUMBERS])
    return int(words[0]) if is_row and "MiB" in words[_MIG_NUMBERS] else None


def _gpu(line: str) -> Gpu | None:
    """The GPU of a row; None for any other line, and for a row that is cut off inside the name."""
    words, bus_id = _row(line)
    if not words or not _NUMBER.fullmatch(words[0]):
        return None
    mode = next((place for place, word in enumerate(words) if place > 1 and word in _MODES), None)
    if bus_id is None and mode is None:
        return None
    name = value_of(" ".join(words[1:mode]))
    if name is None and bus_id is None:
        return None
    return Gpu(index=int(words[0]), name=name, pci_bus_id=bus_id, in_nvml=name is not None)


def _row(line: str) -> tuple[list[str], str | None]:
    """Words of the cell with number and name, and the bus id behind it.

    The cell is the one before the bus id: line numbers and labels may stand before the first bar.
    """
    bus = _BUS_ID.search(line)
    if bus:
        return line[: bus.start()].rstrip(" |").rpartition("|")[2].split(), normal_bus_id(bus[0])
    cells = [cell.split() for cell in line.split("|")]
    whole = (words for words in cells if len(words) > _LEAST_WORDS and _NUMBER.fullmatch(words[0]))
    return (next(whole, []) if len(cells) > 1 else []), None


def _mode(line: str) -> str | None:
    """The word behind the name in a GPU row."""
    if not _gpu(line):
        return None
    words, _ = _row(line)
    return next((word for word in words if word in _MODES), None)


def _completed(gpu: Gpu, line: str) -> Gpu:
    """The GPU with what the second and third line of its row say."""
    used = re.search(r"(?:[0-9]{1,9} {0,4}MiB|N/A) {0,64}/ {0,64}([0-9]{1,9} {0,4}MiB)", line)
    if used and gpu.memory_bytes is None:
        gpu = replace(gpu, memory_bytes=mebibytes(used[1]))
    words = line.replace("|", " ").split()
    mig = words[0].rstrip("*").lower() if len(words) == 1 else ""
    return replace(gpu, mig_mode=mig) if mig in {"enabled", "disabled"} else gpu  # type: ignore[arg-type]
