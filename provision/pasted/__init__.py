"""What people paste: a text of the driver's or PyTorch's tools becomes a machine. Pure; every text is taken as hostile.

One module per format. What a text does not say stays unknown, and `assumptions` has a sentence for what a plan misses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import InputError
from ..typed import NO_DRIVER
from . import collect_env, env_reports, smi_errors, smi_list, smi_query, smi_table, smi_version, smi_xml
from .names import with_capabilities, with_open_end
from .paste import Paste, assuming, first_line, read_paste, without_driver
from .together import with_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..matrix.tables import Matrix
    from ..records import Machine

__all__ = ["FORMATS", "Format", "Paste", "machine_from_paste", "read_paste"]


class Format(NamedTuple):
    """One kind of text."""

    name: str
    recognise: Callable[[Paste], bool]
    parse: Callable[[Paste], Machine]


FORMATS: Final[tuple[Format, ...]] = (
    # The richer first: where people paste several outputs in one go, it counts and the others complete it.
    Format("the XML of `nvidia-smi -q -x`", smi_xml.recognise, smi_xml.parse),
    Format("the text of `nvidia-smi -q`", smi_query.recognise, smi_query.parse),
    Format("the text of `python -m torch.utils.collect_env`", collect_env.recognise, collect_env.parse),
    Format("the table of `nvidia-smi`", smi_table.recognise, smi_table.parse),
    Format(
        "what transformers, accelerate, Lightning, detectron2 or mmcv print", env_reports.recognise, env_reports.parse
    ),
    Format("the list of `nvidia-smi -L`", smi_list.recognise, smi_list.parse),
    Format("the releases of `nvidia-smi --version`", smi_version.recognise, smi_version.parse),
    Format("an error message of `nvidia-smi`", smi_errors.recognise, smi_errors.parse),
)

_LISTS: Final = (env_reports.parse, smi_list.parse)
_LISTING: Final = (collect_env.parse, env_reports.parse)
"""Formats whose texts hold lines of `_LISTS`."""


def machine_from_paste(text: str, matrix: Matrix, *, origin: str) -> Machine:
    """The machine that the text describes; InputError names what is understood and what was found instead."""
    try:
        paste = read_paste(text)
        machine = _read(paste)
    except InputError as err:
        raise InputError(f"{origin}: {err.happened}", do=err.do) from err
    if machine is None:
        raise _not_understood(paste, origin)
    machine = with_open_end(machine, paste)
    driver = machine.driver
    is_said = any(line.startswith(NO_DRIVER) for line in machine.assumptions)
    if machine.gpus and driver and not driver.driver_version and not driver.driver_cuda_version and not is_said:
        machine = assuming(machine, without_driver())
    return with_capabilities(machine, matrix)


def _read(paste: Paste) -> Machine | None:
    """The machine of the richest output that can be read, completed by the others; None when there is none."""
    found: list[tuple[Format, Machine]] = []
    failure: InputError | None = None
    for one in FORMATS:
        if not one.recognise(paste) or (one.parse in _LISTS and any(richer.parse in _LISTING for richer, _ in found)):
            continue
        try:
            found.append((one, one.parse(paste)))
        except InputError as err:
            failure = failure or err
    if not found:
        if failure:
            raise failure
        return None
    (first, machine), *others = found
    for other, its_machine in others:
        machine = with_output(machine, first.name, its_machine, other_name=other.name)
    return machine


def _not_understood(paste: Paste, origin: str) -> InputError:
    names = ", ".join(one.name for one in FORMATS)
    line = first_line(paste)
    found = f"its first line is {line!r}" if line else "it is empty"
    return InputError(
        f"{origin}: not understood: {found}; expected a machine document (JSON), {names}.",
        do=("gpusetup detect --json > machine.json", "nvidia-smi -q > machine.txt"),
    )
