"""Several outputs in one paste: what one does not say another may, unless it tells of another machine. Pure."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..matrix.tables import plain_name
from ..records import GpuState
from ..typed import NO_DRIVER
from .paste import TAKEN, TAKEN_NONE, assuming

if TYPE_CHECKING:
    from ..records import Driver, Gpu, Machine

_CUT = "..."
R = TypeVar("R", bound=Any)


def with_output(machine: Machine, name: str, other: Machine, *, other_name: str) -> Machine:
    """The machine of one output with what another output of the same paste adds; a sentence where they differ."""
    if not machine.gpus and machine.gpu_state is GpuState.NONE and other.gpu_state is not GpuState.NONE:
        line = f"{_upper(name)} finds no GPU, and {other_name} shows one: {other_name} counts."
        kept = tuple(one for one in machine.assumptions if not one.endswith(TAKEN_NONE))
        found = replace(other, host=_filled(machine.host, other.host), python=machine.python or other.python)
        return replace(
            found,
            assumptions=(*kept, *other.assumptions, line),
            readings=(*machine.readings, *other.readings),
        )
    if other.gpu_state is GpuState.UNUSABLE and machine.gpu_state is GpuState.USABLE:
        said = other.reading("nvml.init")
        what = f" ({said.failure})" if said and said.failure else ""
        line = f"The paste also shows {other_name}{what}: {name} shows a GPU that works and is read."
        is_told = bool(other.gpus) and {gpu.pci_bus_id for gpu in other.gpus} <= {
            gpu.pci_bus_id for gpu in machine.gpus
        }
        return machine if is_told else assuming(machine, line)
    if different := _difference(machine, other):
        line = f"The paste also holds {other_name} of another machine or time ({different}): {name} is read."
        return assuming(machine, line)
    return _completed(machine, other)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _difference(machine: Machine, other: Machine) -> str | None:
    """What both name and do not agree on."""
    ours, theirs = _release(machine.driver), _release(other.driver)
    if ours and theirs and ours != theirs:
        return f"driver {theirs}, not {ours}"
    if not _is_named(machine) or not _is_named(other):
        return None
    if len(machine.gpus) != len(other.gpus):
        return f"{len(other.gpus)} GPUs, not {len(machine.gpus)}"
    pairs = zip(machine.gpus, other.gpus, strict=True)
    return next((f"{b.name}, not {a.name}" for a, b in pairs if not _is_same_name(a.name, b.name)), None)


def _release(driver: Driver | None) -> str | None:
    return str(driver.driver_version) if driver and driver.driver_version else None


def _is_named(machine: Machine) -> bool:
    return any(gpu.name or gpu.pci_bus_id for gpu in machine.gpus)


def _is_same_name(one: str | None, other: str | None) -> bool:
    if not one or not other:
        return True
    short, long = sorted((plain_name(one), plain_name(other)), key=lambda name: not name.endswith(_CUT))
    return short == long or (short.endswith(_CUT) and long.startswith(short.removesuffix(_CUT).rstrip()))


def _completed(machine: Machine, other: Machine) -> Machine:
    gpus = machine.gpus
    if not _is_named(machine) and _is_named(other):
        gpus = other.gpus
    elif len(gpus) == len(other.gpus):
        gpus = tuple(_with_name(_filled(a, b), b) for a, b in zip(gpus, other.gpus, strict=True))
    driver = (
        _filled(machine.driver, other.driver) if machine.driver and other.driver else machine.driver or other.driver
    )
    answered = (TAKEN,) * (gpus is other.gpus)
    lines = tuple(
        line
        for line in machine.assumptions
        if not line.endswith(answered) and not (line.startswith(NO_DRIVER) and _release(driver))
    )
    return replace(
        machine,
        host=_filled(machine.host, other.host),
        python=machine.python or other.python,
        driver=driver,
        gpus=gpus,
        readings=tuple(dict.fromkeys((*machine.readings, *other.readings))),
        assumptions=lines,
    )


def _with_name(gpu: Gpu, other: Gpu) -> Gpu:
    """The GPU with the whole name where one output cut it off."""
    is_cut = gpu.name and gpu.name.endswith(_CUT) and other.name and not other.name.endswith(_CUT)
    return replace(gpu, name=other.name) if is_cut else gpu


def _filled(record: R, other: R) -> R:
    """The record with the facts of the other in place of its unknown ones."""
    known = {one.name: getattr(other, one.name) for one in fields(record) if getattr(record, one.name) is None}
    return replace(record, **known)
