"""Detect: what this machine is. Files first, the driver last and only in a child; nothing is decided here."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..records import Machine, Reading
from .assemble import Parts, assemble
from .driver_files import detect_driver_files, scan_blocked
from .host import detect_host
from .jetson import detect_jetson
from .nvml import NvmlFacts, detect_nvml, not_asked
from .pci import detect_pci
from .python_env import detect_python
from .smi import detect_smi
from .surroundings import Surroundings

if TYPE_CHECKING:
    from .driver_files import DriverFiles
    from .pci import PciBus

__all__ = ["Surroundings", "detect_machine"]

_SMI_AFTER_HANG_S = 1.0
"""nvidia-smi uses the library that just hung: it gets a moment in case only Python was slow, and no more."""
# Which GPUs a process is shown. Values of another form are not stored: nobody knows what they hold.
_SELECTORS = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_DRIVER_CAPABILITIES")
_WORDS = "all|none|void|NoDevFiles|compute|utility|graphics|video|display|compat32|ngx|PCI_BUS_ID|FASTEST_FIRST"
_ENTRY = rf"\s*(?:-?\d{{1,4}}|GPU-[0-9a-fA-F-]{{1,64}}|MIG-[0-9a-fA-FGPU/-]{{1,96}}|{_WORDS}|)\s*"
_SELECTOR_FORM = re.compile(rf"{_ENTRY}(?:,{_ENTRY}){{0,255}}")


Depth = Literal["none", "base", "health"]
"""How much the driver is asked: nothing, what a plan needs, or everything that a check looks at."""


def detect_machine(around: Surroundings | None = None, *, depth: Depth = "base") -> Machine:
    """Everything that can be learned about this machine (or about the one in `around`) without changing it."""
    around = around or Surroundings()
    host, host_readings = detect_host(around)
    python, interpreters, python_readings = detect_python(around)
    jetson = detect_jetson(around)
    pci, files = detect_pci(around), detect_driver_files(around)
    nvml, smi, blocked = _ask_driver(around, pci, files, depth)
    parts = Parts(
        replace(host, l4t=jetson.l4t),
        python,
        interpreters,
        pci,
        files,
        nvml,
        smi,
        (*host_readings, *jetson.readings, *python_readings, *_selectors(around), *blocked),
        jetson.gpu,
    )
    return assemble(parts)


def _ask_driver(
    around: Surroundings, pci: PciBus, files: DriverFiles, depth: Depth
) -> tuple[NvmlFacts, NvmlFacts | None, tuple[Reading, ...]]:
    """NVML, then nvidia-smi where NVML brought no device; neither on a machine without any sign of NVIDIA."""
    if not (
        pci.nvidia
        or files.nodes
        or files.module_version
        or files.modules_of_nvidia
        or files.nvml_library
        or files.has_wsl_library
    ):
        return not_asked("nothing of NVIDIA is on this machine: no PCI device, no driver, no library"), None, ()
    blocked = scan_blocked(around)
    if depth == "none":
        return not_asked("the driver is left alone at this level"), None, blocked
    if any(reading.name == "driver.blocked_lasting" and reading.value for reading in blocked):
        return not_asked("driver programs are stuck in the kernel, and the next call would be, too"), None, blocked
    nvml = detect_nvml(around, depth=depth)
    if nvml.healthy or (nvml.outcome == "answered" and not nvml.devices):
        return nvml, None, blocked
    hung = nvml.outcome == "timed-out"
    smi = detect_smi(around, deadline_s=_SMI_AFTER_HANG_S if hung else around.nvml_silence_s)
    return nvml, smi, blocked


def _selectors(around: Surroundings) -> tuple[Reading, ...]:
    readings = []
    for name in _SELECTORS:
        variable = around.variable(name, _SELECTOR_FORM)
        if variable.is_set:
            why = None if variable.value is not None else "set, and of no known form; the value is not kept"
            readings.append(Reading(f"environment.{name}", "environment", variable.value, why))
    return tuple(readings)
