"""The table that `nvidia-smi` prints. Pure.

It cuts long names off ("NVIDIA A100-SXM..."); they stay as they are printed and match no name of the matrix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..records import Driver, Gpu, GpuState, Host, Machine, Reading
from ..spellings import normal_bus_id
from .paste import assuming, cuda_version, driver_version, gpu_facts, mebibytes, read_facts, require_few, value_of
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
_SECTIONS: Final = (_MIG_SECTION, "processes:")
_MIG_NUMBERS: Final = 4
"""Leading numbers of a MIG row: GPU, GPU instance, compute instance, MIG device."""
_LINUX_PARTS = 3
_WINDOWS_PARTS = 2


@dataclass(frozen=True, slots=True)
class _Header:
    smi: DriverVersion | None
    driver: DriverVersion | None
    cuda: CudaVersion | None


def recognise(paste: Paste) -> bool:
    """Whether a line is the table's header or one of its GPU rows."""
    return any(_header(line) or (_BUS_ID.search(line) and _gpu(line)) for line in paste.lines)


def parse(paste: Paste) -> Machine:
    """Driver and GPUs of the first table in the text."""
    lines, rest = _first_table(paste.lines)
    header = next((found for line in lines if (found := _header(line))), _Header(None, None, None))
    gpus, readings = _gpus(lines)
    require_few(list(gpus), SOURCE)
    host, host_readings = _host(lines, header)
    machine = Machine(
        host=host,
        driver=Driver(driver_version=header.driver, driver_cuda_version=header.cuda),
        gpus=gpus,
        gpu_state=GpuState.USABLE,
        readings=(
            *host_readings,
            *read_facts(
                SOURCE,
                ("driver.driver_version", str(header.driver) if header.driver else None),
                ("driver.driver_cuda_version", str(header.cuda) if header.cuda else None),
            ),
            *gpu_facts(SOURCE, gpus),
            *readings,
        ),
    )
    if host.is_wsl:
        machine = assuming(
            machine,
            f"The table shows a Linux nvidia-smi {header.smi} on driver {header.driver}: this is WSL on Windows.",
        )
    if any(_header(line) for line in rest):
        machine = assuming(machine, "The paste holds several tables: the first one is read.")
    return _with_some_gpu(with_lost_gpus(machine, paste))


def _with_some_gpu(machine: Machine) -> Machine:
    """A table is printed only where the driver has a GPU: one that is not shown is unknown, not absent."""
    if not machine.gpus:
        line = "The table ends before its first GPU: one GPU of unknown kind is taken to be there."
        return assuming(replace(machine, gpus=(Gpu(index=0, in_nvml=True),)), line)
    usable = any(gpu.in_nvml for gpu in machine.gpus)
    return machine if usable else replace(machine, gpu_state=GpuState.UNUSABLE)


def _first_table(lines: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Lines up to the second header, and the rest; of a table whose first part is missing all lines."""
    headers = [place for place, line in enumerate(lines) if _header(line)]
    end = headers[1] if len(headers) > 1 else len(lines)
    return lines[:end], lines[end:]


# | NVIDIA-SMI 515.65.01    Driver Version: 516.94       CUDA Version: 11.6     |
# | NVIDIA-SMI 610.57.04              KMD Version: 610.57.04     CUDA UMD Version: 13.3     |
def _header(line: str) -> _Header | None:
    if "NVIDIA-SMI" not in line or "Version" not in line:
        return None
    smi = re.search(r"NVIDIA-SMI {1,64}([0-9.]{2,32})", line)
    driver = re.search(r"(?:Driver|KMD) Version: {0,64}([^ |]{1,64})", line)
    cuda = re.search(r"CUDA (?:UMD )?Version: {0,64}([^ |]{1,64})", line)
    if not (smi or driver):
        return None
    return _Header(
        driver_version(smi[1]) if smi else None,
        driver_version(driver[1]) if driver else None,
        cuda_version(cuda[1]) if cuda else None,
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
        if section:
            parent = _mig_parent(line) if section == _MIG_SECTION else None
            if parent in gpus:
                mig_devices[parent] = mig_devices.get(parent, 0) + 1
        elif gpu := _gpu(line):
            current = gpu.index
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
    words = line.replace("|", " ").split()
    if not words or not _NUMBER.fullmatch(words[0]):
        return None
    bus = next((place for place, word in enumerate(words) if place and _BUS_ID.fullmatch(word)), None)
    mode = next((place for place, word in enumerate(words[:bus]) if place > 1 and word in _MODES), None)
    if bus is None and (mode is None or "|" not in line):
        return None
    name = value_of(" ".join(words[1 : mode or bus]))
    bus_id = normal_bus_id(words[bus]) if bus is not None else None
    if name is None and bus_id is None:
        return None
    return Gpu(index=int(words[0]), name=name, pci_bus_id=bus_id, in_nvml=name is not None)


def _mode(line: str) -> str | None:
    """The word behind the name in a GPU row."""
    if not _gpu(line):
        return None
    words = line.replace("|", " ").split()
    return next((word for word in words if word in _MODES), None)


def _completed(gpu: Gpu, line: str) -> Gpu:
    """The GPU with what the second and third line of its row say."""
    used = re.search(r"(?:[0-9]{1,9} {0,4}MiB|N/A) {0,64}/ {0,64}([0-9]{1,9} {0,4}MiB)", line)
    if used and gpu.memory_bytes is None:
        gpu = replace(gpu, memory_bytes=mebibytes(used[1]))
    words = line.replace("|", " ").split()
    mig = words[0].rstrip("*").lower() if len(words) == 1 else ""
    return replace(gpu, mig_mode=mig) if mig in {"enabled", "disabled"} else gpu  # type: ignore[arg-type]
