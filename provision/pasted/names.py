"""Compute capabilities of pasted GPUs that the matrix, or the beginning of a name that was cut off, tells. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..matrix.tables import plain_name
from .paste import assuming, open_driver

if TYPE_CHECKING:
    from ..matrix.tables import Matrix
    from ..records import Gpu, Machine
    from ..versions import ComputeCapability
    from .paste import Paste

_CUT: Final = "..."


def with_capabilities(machine: Machine, matrix: Matrix) -> Machine:
    """The machine with every compute capability that a cut name determines, and a sentence for each unknown one."""
    gpus, lines = [], []
    for gpu in machine.gpus:
        known = gpu.compute_capability or _told(gpu, matrix)
        beginning = capability_of_beginning(gpu.name or "", matrix) if known is None else None
        if beginning is not None:
            lines.append(
                f"{gpu.name} has compute capability {beginning}, as every name of the matrix with this beginning."
            )
            gpu = replace(gpu, compute_capability=beginning)  # noqa: PLW2901 -- the same GPU with one more fact
        elif known is None and gpu.in_nvml is not False:
            lines.append(_unknown(gpu))
        gpus.append(gpu)
    return assuming(replace(machine, gpus=tuple(gpus)), *dict.fromkeys(lines))


def with_open_end(machine: Machine, paste: Paste) -> Machine:
    """The machine with doubt about what the last line ends with: the copy may have stopped in the middle of it.

    A name there becomes the beginning of one: "NVIDIA A10" may have been an A100.
    """
    last = paste.lines[-1].strip()
    if not last or not machine.gpus:
        return machine
    gpu, driver = machine.gpus[-1], machine.driver and machine.driver.driver_version
    if gpu.name and last.endswith(gpu.name) and not gpu.name.endswith(_CUT):
        return replace(machine, gpus=(*machine.gpus[:-1], replace(gpu, name=gpu.name + _CUT)))
    if driver and last.endswith(driver.text):
        return assuming(machine, open_driver(driver))
    return machine


def _told(gpu: Gpu, matrix: Matrix) -> ComputeCapability | None:
    """What the resolver finds by itself."""
    found = matrix.capability_by_pci_id(gpu.pci_device_id) if gpu.pci_device_id else None
    return found or (matrix.capability_by_name(gpu.name) if gpu.name else None)


def _unknown(gpu: Gpu) -> str:
    if gpu.name is None:
        return f"The paste names no model and no compute capability for GPU {gpu.index}."
    cut = f": its name, {gpu.name!r}, is cut off" if gpu.name.endswith(_CUT) else f" ({gpu.name})"
    return f"The paste names no compute capability for GPU {gpu.index}{cut}."


# NVIDIA A100-SXM...      GeForce RTX 208...      NVIDIA GeForce RTX 2080 ...
def capability_of_beginning(name: str, matrix: Matrix) -> ComputeCapability | None:
    """The compute capability that all names with this beginning share; None where they differ or no number is left.

    A beginning without a number ("GeForce GTX TIT") may be that of GPUs older than the matrix.
    """
    if not name.endswith(_CUT):
        return None
    beginning = name.removesuffix(_CUT)
    words = plain_name(beginning) + (" " if beginning.endswith(" ") else "")
    if not re.search(r"[0-9]", words):
        return None
    found = matrix.capabilities_of_beginning(words)
    return next(iter(found)) if len(found) == 1 else None
