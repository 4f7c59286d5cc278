"""What `nvidia-smi --version` prints: releases and no GPU. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..records import Driver, Gpu, GpuState, Machine
from .paste import TAKEN, assuming, cuda_version, driver_version, read_facts

if TYPE_CHECKING:
    from .paste import Paste

SOURCE: Final = "nvidia-smi --version"
_TOOL: Final = "nvidia-smi version"
_DRIVERS: Final = ("kmd version", "driver version")
_CUDAS: Final = ("cuda umd version", "cuda version")


def recognise(paste: Paste) -> bool:
    """Whether a line names the release of the tool as this output does, and another one the driver's."""
    values = _values(paste)
    return _TOOL in values and any(label in values for label in _DRIVERS)


# NVIDIA-SMI version  : 610.57.04
# NVML version        : 610.57
# DRIVER version      : Deprecated, see "KMD version" instead
# KMD version         : 610.57.04
# CUDA UMD version    : 13.3
def parse(paste: Paste) -> Machine:
    """The driver of the text; the tool answers where there is a GPU, of which it says nothing."""
    values = _values(paste)
    driver = next((found for label in _DRIVERS if (found := driver_version(values.get(label)))), None)
    cuda = next((release for label in _CUDAS if (release := cuda_version(values.get(label)))), None)
    machine = Machine(
        driver=Driver(driver_version=driver, driver_cuda_version=cuda),
        gpus=(Gpu(index=0),),
        gpu_state=GpuState.USABLE,
        readings=read_facts(
            SOURCE,
            ("driver.driver_version", str(driver) if driver else None),
            ("driver.driver_cuda_version", str(cuda) if cuda else None),
        ),
    )
    return assuming(machine, f"The text names no GPU: {TAKEN}")


def _values(paste: Paste) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in paste.lines:
        label, colon, text = line.partition(":")
        if colon:
            values.setdefault(label.strip().lower(), text)
    return values
