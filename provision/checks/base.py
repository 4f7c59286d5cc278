"""What a check is, and the words that every check needs to read a machine. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..records import Evidence, Finding, FindingStatus, Gpu, GpuState, Machine, Reading, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable

Level = Literal["instant", "quick", "standard", "deep"]
PROBLEMS: frozenset[FindingStatus] = frozenset({"fail", "warn", "crashed", "timed-out"})
"""States that somebody has to act on."""


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the catalogue."""

    id: str
    level: Level
    """What it costs to gather its facts: instant reads files, quick asks the driver."""
    evaluate: Callable[[Machine], Finding]
    leads: tuple[str, ...] = ()
    """Checks whose failure this one's explains."""

    @property
    def component(self) -> str:
        """Part before the dot: pci, driver, cuda, ctr, sys."""
        return self.id.split(".", 1)[0]

    @property
    def page(self) -> str:
        """The text that `gpusetup explain` prints: the docstring of the check's module."""
        return sys.modules[self.evaluate.__module__].__doc__ or ""


# --- findings


@dataclass(frozen=True, slots=True)
class Verdict:
    """Makes the findings of one check."""

    id: str

    def passed(self, happened: str, *evidence: Evidence) -> Finding:
        """All is well."""
        return Finding(self.id, "pass", happened, evidence)

    def skipped(self, reason: str, *evidence: Evidence) -> Finding:
        """The check does not apply here, for this reason."""
        return Finding(self.id, "skip", reason, evidence)

    def unknown(self, reason: str, *evidence: Evidence) -> Finding:
        """The facts could not be read: neither good nor bad."""
        return Finding(self.id, "unknown", reason, evidence)

    def warned(
        self, happened: str, *evidence: Evidence, safe: tuple[str, ...] = (), risky: tuple[str, ...] = ()
    ) -> Finding:
        """Something to look at; the GPU works."""
        return Finding(self.id, "warn", happened, evidence, safe, risky)

    def failed(
        self, happened: str, *evidence: Evidence, safe: tuple[str, ...] = (), risky: tuple[str, ...] = ()
    ) -> Finding:
        """A GPU can't be used, or will not work right."""
        return Finding(self.id, "fail", happened, evidence, safe, risky)


# --- reading a machine


def evidence(machine: Machine, *names: str) -> tuple[Evidence, ...]:
    """Every reading of those names as evidence, a failed one with its reason."""
    return tuple(as_evidence(reading) for name in names for reading in machine.readings if reading.name == name)


def as_evidence(reading: Reading) -> Evidence:
    """One reading as evidence; where it failed, the reason stands in place of the value."""
    value = reading.value if reading.failure is None else f"not read: {reading.failure}"
    return Evidence(reading.name, value, source=reading.source)


def value_of(machine: Machine, name: str) -> Scalar | tuple[Scalar, ...]:
    """Value of the first good reading of that name, None when there is none."""
    reading = machine.reading(name)
    return None if reading is None or reading.failure is not None else reading.value


def texts_of(machine: Machine, name: str) -> tuple[str, ...] | None:
    """Value of a reading that holds a list, None when it was not read."""
    value = value_of(machine, name)
    return tuple(str(one) for one in value) if isinstance(value, tuple) else None


def nvml_outcome(machine: Machine) -> str | None:
    """How asking NVML ended (`answered`, `version-mismatch`, ...); None for a machine that was not detected here."""
    value = value_of(machine, "nvml.outcome")
    return value if isinstance(value, str) else None


def has_gpu(machine: Machine) -> bool:
    """Whether something shows that the box has an NVIDIA GPU, usable or not."""
    return machine.gpu_state is not GpuState.NONE


def on_bus(machine: Machine) -> tuple[Gpu, ...]:
    """GPUs that the PCI bus in sysfs shows."""
    shown = {reading.source.rsplit("/", 1)[-1] for reading in machine.readings if reading.name == "pci.gpu"}
    return tuple(gpu for gpu in machine.gpus if gpu.pci_bus_id in shown)


def passed_through(machine: Machine) -> tuple[Gpu, ...]:
    """GPUs that this host has given away to virtual machines."""
    return tuple(gpu for gpu in machine.gpus if gpu.kernel_driver == "vfio-pci")


def bus_ids(gpus: tuple[Gpu, ...]) -> str:
    """Their bus ids for a sentence."""
    return ", ".join(gpu.pci_bus_id or f"GPU {gpu.index}" for gpu in gpus)


def counted(number: int, noun: str) -> str:
    """1 GPU, 2 GPUs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
