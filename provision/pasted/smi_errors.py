"""What nvidia-smi says instead of an answer. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..plain_text import plain
from ..records import Driver, Gpu, GpuState, Machine, Reading
from ..spellings import normal_bus_id
from .paste import driver_version, require_few

if TYPE_CHECKING:
    from .paste import Paste

SOURCE: Final = "nvidia-smi"

# NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest ...
# Failed to initialize NVML: Driver/library version mismatch
# NVML library version: 580.173
# NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure ...
# Each with the outcome of the same name that asking NVML directly would have had; the first that is found counts.
_ERRORS: Final[tuple[tuple[str, str], ...]] = (
    ("failed to initialize nvml: driver/library version mismatch", "version-mismatch"),
    ("failed to initialize nvml: driver not loaded", "driver-not-loaded"),
    ("failed to initialize nvml: insufficient permissions", "no-permission"),
    ("failed to initialize nvml: gpu access blocked by the operating system", "no-permission"),
    ("failed to initialize nvml: gpu is lost", "gpu-lost"),
    ("failed to initialize nvml", "failed"),
    ("couldn't communicate with the nvidia driver", "driver-not-loaded"),
    ("nvidia-smi has failed because", "failed"),
    ("couldn't find libnvidia-ml", "library-not-found"),
    ("couldn't find nvml.dll", "library-not-found"),
    ("no devices were found", "answered"),
    ("no supported gpus were found", "answered"),
    ("unable to determine the device handle", "gpu-lost"),
)


@dataclass(frozen=True, slots=True)
class LostGpu:
    """A GPU that the driver can't reach."""

    index: int | None
    bus_id: str | None
    said: str


def recognise(paste: Paste) -> bool:
    """Whether a line is one of the errors."""
    return _error(paste) is not None


def parse(paste: Paste) -> Machine:
    """A machine whose GPU is there and can't be used, with the error as its reading."""
    outcome, said = _error(paste) or ("failed", "")
    texts = (line.strip() for line in paste.lines)
    library = next(
        (driver_version(text[21:]) for text in texts if text.lower().startswith("nvml library version:")), None
    )
    machine = Machine(
        driver=Driver(user_library_version=library) if library else None,
        gpu_state=GpuState.UNUSABLE,
        readings=(
            Reading("nvml.outcome", SOURCE, outcome),
            Reading("nvml.init", SOURCE, failure=said),
            *_library(outcome),
        ),
    )
    return with_lost_gpus(machine, paste)


def _library(outcome: str) -> tuple[Reading, ...]:
    """That the driver's library is installed, which every answer but one shows."""
    if outcome == "library-not-found":
        return ()
    return (Reading("driver.nvml_library", SOURCE, "loaded by nvidia-smi"),)


def _error(paste: Paste) -> tuple[str, str] | None:
    for line in paste.lines:
        lowered = line.lower().replace("\u2019", "'")
        for needle, outcome in _ERRORS:
            if needle in lowered:
                return outcome, plain(line[lowered.find(needle) if needle.startswith("failed") else 0 :])
    return None


# Unable to determine the device handle for GPU0000:3D:00.0: Unknown Error
# Unable to determine the device handle for GPU1: 0000:34:00.0: Unknown Error
# Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system to recover this GPU
def lost_gpus(paste: Paste) -> tuple[LostGpu, ...]:
    """The GPUs that the tool could not open, each once, in the order of the text."""
    found: dict[tuple[int | None, str | None], LostGpu] = {}
    for line in paste.lines:
        match = re.search(
            r"device handle for GPU ?(?:([0-9]{1,4})(?![0-9a-fA-F]|:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.)(?:: ?)?)?"
            r"([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])?",
            line,
            re.IGNORECASE,
        )
        if match:
            index = int(match[1]) if match[1] else None
            lost = LostGpu(index, normal_bus_id(match[2] or ""), plain(line))
            found.setdefault((lost.index, lost.bus_id), lost)
    return tuple(found.values())


def with_lost_gpus(machine: Machine, paste: Paste) -> Machine:
    """The machine with the GPUs that the tool could not open, which are there and answer nothing."""
    gpus, readings = list(machine.gpus), list(machine.readings)
    known = {gpu.pci_bus_id for gpu in gpus if gpu.pci_bus_id}
    for lost in lost_gpus(paste):
        if lost.bus_id in known:
            continue
        taken = {gpu.index for gpu in gpus}
        index = lost.index if lost.index is not None and lost.index not in taken else max(taken, default=-1) + 1
        gpus.append(Gpu(index=index, pci_bus_id=lost.bus_id, in_nvml=False))
        readings.append(Reading(f"gpu.{index}.usable", SOURCE, failure=lost.said))
    require_few(gpus, SOURCE)
    return replace(machine, gpus=tuple(sorted(gpus, key=lambda gpu: gpu.index)), readings=tuple(readings))
