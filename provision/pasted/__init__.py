"""What people paste: a text of the driver's or PyTorch's tools becomes a machine. Pure; every text is taken as hostile.

One module per format. What a text does not say stays unknown, and `assumptions` has a sentence for what a plan misses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import InputError
from . import collect_env, smi_errors, smi_list, smi_query, smi_table, smi_xml
from .names import with_capabilities, with_open_end
from .paste import Paste, assuming, first_line, read_paste

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
    # The richer first: people paste several outputs in one go, and only one is read.
    Format("the XML of `nvidia-smi -q -x`", smi_xml.recognise, smi_xml.parse),
    Format("the text of `nvidia-smi -q`", smi_query.recognise, smi_query.parse),
    Format("the text of `python -m torch.utils.collect_env`", collect_env.recognise, collect_env.parse),
    Format("the table of `nvidia-smi`", smi_table.recognise, smi_table.parse),
    Format("the list of `nvidia-smi -L`", smi_list.recognise, smi_list.parse),
    Format("an error message of `nvidia-smi`", smi_errors.recognise, smi_errors.parse),
)


def machine_from_paste(text: str, matrix: Matrix, *, origin: str) -> Machine:
    """The machine that the text describes; InputError names what is understood and what was found instead."""
    try:
        paste = read_paste(text)
        chosen = next((one for one in FORMATS if one.recognise(paste)), None)
        machine = chosen.parse(paste) if chosen else None
    except InputError as err:
        raise InputError(f"{origin}: {err.happened}", do=err.do) from err
    if machine is None:
        raise _not_understood(paste, origin)
    machine = with_open_end(machine, paste)
    driver = machine.driver
    if machine.gpus and driver and not driver.driver_version and not driver.driver_cuda_version:
        machine = assuming(machine, "The paste names no driver version.")
    return with_capabilities(machine, matrix)


def _not_understood(paste: Paste, origin: str) -> InputError:
    names = ", ".join(one.name for one in FORMATS)
    line = first_line(paste)
    found = f"its first line is {line!r}" if line else "it is empty"
    return InputError(
        f"{origin}: not understood: {found}; expected a machine document (JSON), {names}.",
        do=("gpusetup detect --json > machine.json", "nvidia-smi -q > machine.txt"),
    )
