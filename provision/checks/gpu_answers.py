"""What the GPUs told NVML of one fact, and the words that name several of them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ..records import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..records import Finding, Gpu, Reading
    from .base import Facts, Verdict
    from .facts import Value

_CODE = re.compile(r"\(NVML code (\d+)\)$")
# Not supported, not found, function not found, another version of the structure, deprecated (NVML API reference,
# nvmlReturn_t, read 2026-11): the board or the driver has no such thing, which is no fault.
_LACKING = frozenset({3, 6, 13, 25, 26})
_NO_PERMISSION = 4
_SHOWN = 8
"""Rows of evidence that a finding about several GPUs may have, each GPU one at least."""
_WITH_BUS = 3
"""GPUs that a sentence names with their bus ids; of more it gives the numbers, and the evidence the bus ids."""


def fact(gpu: Gpu, name: str) -> str:
    """Name of the reading: gpu.0.ecc_mode."""
    return f"gpu.{gpu.index}.{name}"


def number(facts: Facts, gpu: Gpu, name: str) -> float | None:
    """A figure of one GPU, None where it was not read."""
    return facts.number(fact(gpu, name))


def is_consumer(gpu: Gpu) -> bool:
    """Whether it is a GeForce or a TITAN, by its name."""
    return bool(re.search(r"GeForce|TITAN", gpu.name or "", re.IGNORECASE))


def is_mobile(gpu: Gpu) -> bool:
    """Whether it is built into a notebook, whose power the system moves between GPU and processor."""
    return bool(re.search(r"Laptop|with Max-Q|Mobile|\bMX ?\d{3}\b|\b[KMPT]?\d{3,4}MX?\b", gpu.name or ""))


def is_data_center(facts: Facts, gpu: Gpu) -> bool:
    """Whether the matrix knows it as a board for servers."""
    if facts.matrix is None:
        return False
    figures = facts.matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id)
    return figures is not None and figures.gpu_class == "data_center"


# --- naming


def named(gpus: Sequence[Gpu]) -> str:
    """GPU 0 (0000:1b:00.0); of many only the numbers: GPUs 0-3 and 6."""
    if len(gpus) <= _WITH_BUS:
        each = [f"{gpu.index} ({gpu.pci_bus_id})" if gpu.pci_bus_id else str(gpu.index) for gpu in gpus]
    else:
        each = ranges(sorted(gpu.index for gpu in gpus))
    return f"{'GPU' if len(gpus) == 1 else 'GPUs'} {joined(each)}"


def joined(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def ranges(indexes: Sequence[int]) -> list[str]:
    """0-3 and 6 as words; the indexes are in ascending order."""
    runs: list[list[int]] = []
    for index in indexes:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]


def places(gpus: Sequence[Gpu]) -> str:
    """Their bus ids as `nvidia-smi -i` takes them."""
    return ",".join(gpu.pci_bus_id or str(gpu.index) for gpu in gpus)


def shown(
    facts: Facts, gpus: Sequence[Gpu], *names: str, needs: str | float | None = None, limit: str | None = None
) -> tuple[Evidence, ...]:
    """The figures of these GPUs as evidence, with the bus id; the more GPUs, the fewer of the names for each.

    `needs` is what the first of the names should have been; `limit` is the fact of the same GPU that says so.
    """
    most = max(1, _SHOWN // max(1, len(gpus)))
    rows = []
    for gpu in gpus:
        due = number(facts, gpu, limit) if limit else needs
        for name in tuple(dict.fromkeys(names))[:most]:
            reading = facts.reading(fact(gpu, name))
            if reading is not None and (name == names[0] or code_of(reading) not in _LACKING):
                rows.append(_row(gpu, reading, due if name == names[0] else None))
    return tuple(rows)


_UNITS = {"_bytes": "bytes", "_c": "°C", "_w": "W", "_mhz": "MHz", "_ns": "ns"}


def _row(gpu: Gpu, reading: Reading, needs: str | float | None) -> Evidence:
    value = reading.value if reading.failure is None else f"not read: {reading.failure}"
    unit = next((unit for suffix, unit in _UNITS.items() if reading.name.endswith(suffix)), None)
    source = f"{reading.source}, {gpu.pci_bus_id}" if gpu.pci_bus_id else reading.source
    return Evidence(reading.name, value, None if reading.failure or isinstance(value, tuple) else unit, source, needs)


# --- asking all GPUs


@dataclass(frozen=True, slots=True)
class Answers:
    """One fact of all GPUs that NVML answers for."""

    facts: Facts
    name: str
    told: tuple[tuple[Gpu, Value], ...]
    odd: tuple[tuple[Gpu, Reading], ...]
    """Those that failed for another reason than that the board or the driver has no such thing."""
    is_lacking: bool
    """Whether some GPU said that it has no such thing, or was left out because of what it is."""
    is_cut_off: bool
    """Whether NVML ceased to answer before it was asked of some GPU."""

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """Those that told it."""
        return tuple(gpu for gpu, _ in self.told)

    def where(self, is_so: Callable[[float], bool]) -> tuple[Gpu, ...]:
        """The GPUs whose number is so."""
        return tuple(
            gpu
            for gpu, value in self.told
            if isinstance(value, (int, float)) and not isinstance(value, bool) and is_so(value)
        )

    def saying(self, wanted: Value) -> tuple[Gpu, ...]:
        """The GPUs that told exactly that: true, a word."""
        return tuple(gpu for gpu, value in self.told if value is wanted or (value == wanted and value is not True))

    def rest(self, say: Verdict, passed: str, *evidence: Evidence, lacking: str) -> Finding:
        """The finding when nothing is wrong with what was told: passed, unknown, or skipped as no GPU has it."""
        if self.odd:
            gpus = [gpu for gpu, _ in self.odd]
            why = cast("str", self.odd[0][1].failure)
            root = "; ask as root (sudo gpusetup check)" if code_of(self.odd[0][1]) == _NO_PERMISSION else ""
            return say.unknown(f"{self.name} could not be read on {named(gpus)}: {why}{root}.")
        if self.is_cut_off:
            return say.unknown(f"NVML ceased to answer ({self.facts.nvml_outcome}) before {self.name} was read.")
        if self.told:
            return say.passed(passed, *evidence)
        return say.skipped(lacking if self.is_lacking else "NVML was not asked for this on this machine.")


def code_of(reading: Reading) -> int | None:
    """NVML's return code behind a reading that failed."""
    found = _CODE.search(reading.failure or "")
    return int(found[1]) if found else None


def answers(facts: Facts, name: str, gpus: Sequence[Gpu] | None = None) -> Answers:
    """What all GPUs, or these, told of a fact."""
    told: list[tuple[Gpu, Value]] = []
    odd: list[tuple[Gpu, Reading]] = []
    is_lacking, is_missing = gpus is not None and len(gpus) < len(facts.gpus), False
    for gpu in facts.gpus if gpus is None else gpus:
        reading = facts.reading(fact(gpu, name))
        if reading is None:
            is_missing = True
        elif reading.failure is None:
            told.append((gpu, reading.value))
        elif code_of(reading) in _LACKING:
            is_lacking = True
        else:
            odd.append((gpu, reading))
    is_cut_off = is_missing and facts.nvml_outcome not in {None, "answered"}
    return Answers(facts, name, tuple(told), tuple(odd), is_lacking, is_cut_off)
