"""What a check may look at: the machine with its readings by name, and what is known beside it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ..records import Evidence, Gpu, GpuState, Machine, Reading, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..matrix.tables import Matrix

HostClass = Literal[
    "bare-metal", "vm", "container", "wsl", "jetson", "vgpu-guest", "mig", "login-node", "cpu-only", "paste"
]
"""Kinds of box that switch checks off. `paste`: described by somebody, not looked at."""
Value = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """How far a counter came since an earlier run of the same boot."""

    delta: float
    seconds: float

    @property
    def per_minute(self) -> float:
        """Counts per minute."""
        return self.delta * 60.0 / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside the machine's own facts."""

    now: float | None = None
    """Seconds since 1970 when the machine was looked at; None where nobody knows."""
    expected_gpus: int | None = None
    """How many GPUs the box should have; None: nobody said."""
    matrix: Callable[[], Matrix] | None = None
    """Gives the compatibility matrix, loaded at the first question."""
    rates: Mapping[str, Rate] = field(default_factory=dict)
    """By name of the reading: counters against the previous run of this boot."""
    declared: frozenset[HostClass] = frozenset()
    """Classes that the user says the box is of: login-node, cpu-only."""


# Codes of NVML: too little power, no answer in time, an interrupt that was lost, a broken InfoROM, a GPU that is lost
# or needs a reset, no memory, and the unknown error. Others say that there is nothing to be read.
_TROUBLE = re.compile(
    r"\(NVML code (?:8|10|11|14|15|16|20|999)\)$|Permission denied|Operation not permitted|Input/output error"
    r"|[Nn]o answer (?:within|in time)|did not (?:answer|end)|nobody looked"
)


@dataclass(frozen=True)
class Facts:
    """A machine with an index over its readings. Readings are named in docs/readings.md."""

    machine: Machine
    context: Context = field(default_factory=Context)

    @cached_property
    def _by_name(self) -> dict[str, list[Reading]]:
        found: dict[str, list[Reading]] = {}
        for reading in self.machine.readings:
            found.setdefault(reading.name, []).append(reading)
        return found

    # --- readings

    def readings(self, name: str) -> tuple[Reading, ...]:
        """Every attempt to learn that fact, failed ones too."""
        return tuple(self._named(name))

    def _named(self, name: str) -> list[Reading]:
        self.asked_for.add(name)
        return self._by_name.get(name, [])

    @cached_property
    def asked_for(self) -> set[str]:
        """Names of readings that somebody asked for, there or not."""
        return set()

    def in_trouble(self, names: Iterable[str]) -> tuple[Reading, ...]:
        """Of these the readings that were there to be had and were not: closed, silent, lost."""
        tried = (one for name in sorted(names) for one in self._by_name.get(name, ()) if one.failure)
        return tuple(one for one in tried if _TROUBLE.search(one.failure or "") and self.value(one.name) is None)

    def reading(self, name: str) -> Reading | None:
        """The first attempt that brought a value, else the first."""
        named = self._named(name)
        return next((one for one in named if one.failure is None), named[0]) if named else None

    def value(self, name: str) -> Value:
        """Value of the first good reading, None when there is none."""
        found = self.reading(name)
        return None if found is None or found.failure is not None else found.value

    def values(self, name: str) -> tuple[Value, ...]:
        """Values of all good readings of that name."""
        return tuple(one.value for one in self._named(name) if one.failure is None)

    def number(self, name: str) -> float | None:
        """Value as a number; None when it is not one."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            return float(value)
        except OverflowError:  # more digits than any fact has
            return None

    def text(self, name: str) -> str | None:
        """Value as text; None when it is not text."""
        value = self.value(name)
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool | None:
        """Value as yes or no; None when it was not read."""
        value = self.value(name)
        return value if isinstance(value, bool) else None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Value of a reading that holds a list, None when it was not read."""
        value = self.value(name)
        return tuple(str(one) for one in value) if isinstance(value, tuple) else None

    def failure(self, name: str) -> str | None:
        """Why there is no value of that name; None when there is one, or nobody looked."""
        found = self.reading(name)
        return found.failure if found else None

    def why_not(self, name: str) -> str:
        """Why there is no value of that name, as the end of a sentence."""
        found = self.reading(name)
        return found.failure if found and found.failure else "it is not among these facts"

    def was_looked_at(self, name: str) -> bool:
        """Whether anybody tried to read it, with whatever outcome."""
        return name in self._by_name

    def evidence(self, *names: str) -> tuple[Evidence, ...]:
        """Every reading of those names as evidence, a failed one with its reason."""
        return tuple(as_evidence(reading) for name in names for reading in self._named(name))

    # --- the box

    @property
    def has_gpu(self) -> bool:
        """Whether something shows that the box has an NVIDIA GPU, usable or not."""
        return self.machine.gpu_state is not GpuState.NONE

    @property
    def nvml_outcome(self) -> str | None:
        """How asking NVML ended (`answered`, `version-mismatch`, ...); None for a machine that nobody looked at."""
        return self.text("nvml.outcome")

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """GPUs that NVML answers for."""
        return tuple(gpu for gpu in self.machine.gpus if gpu.in_nvml)

    @cached_property
    def classes(self) -> frozenset[HostClass]:
        """Kinds of box that this one is."""
        host = self.machine.host
        found: set[HostClass] = set(self.context.declared)
        if not self.was_looked_at("host.kernel"):
            found.add("paste")
        if host.container:
            found.add("container")
        if host.is_wsl:
            found.add("wsl")
        if host.l4t or self.value("host.soc"):
            found.add("jetson")
        if host.virtualization and not host.is_wsl:
            found.add("vm")
        if any(gpu.mig_mode == "enabled" for gpu in self.machine.gpus):
            found.add("mig")
        if any(self.value(f"gpu.{gpu.index}.virtualization_mode") == "vgpu" for gpu in self.machine.gpus):
            found.add("vgpu-guest")
        if not found & {"paste", "container", "wsl", "jetson", "vm", "vgpu-guest"}:
            found.add("bare-metal")
        return frozenset(found)

    def is_any(self, *classes: HostClass) -> bool:
        """Whether the box is of one of these classes."""
        return not self.classes.isdisjoint(classes)

    @cached_property
    def matrix(self) -> Matrix | None:
        """The compatibility matrix; None where a check runs without one."""
        return self.context.matrix() if self.context.matrix else None

    def rate(self, name: str) -> Rate | None:
        """How a counter moved since the previous run of this boot; None without one."""
        return self.context.rates.get(name)


def as_evidence(reading: Reading) -> Evidence:
    """One reading as evidence; where it failed, the reason stands in place of the value."""
    value = reading.value if reading.failure is None else f"not read: {reading.failure}"
    return Evidence(reading.name, value, source=reading.source)
