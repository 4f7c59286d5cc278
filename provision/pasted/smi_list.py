"""The lines of `nvidia-smi -L`. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ..records import Driver, Gpu, GpuState, Machine
from ..typed import LIST
from .paste import assuming, gpu_facts, gpu_uuid, require_few, value_of
from .smi_errors import with_lost_gpus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .paste import Paste

SOURCE: Final = LIST
_GPU = re.compile(r"GPU ([0-9]{1,4}(?:, ?[0-9]{1,4}){0,512}) {0,16}: {0,64}(\S.{0,255})")
"""One GPU, or several of one name as mmcv and others list them: GPU 0,1,2,3: NVIDIA A10."""
_AROUND: Final = " -*`|"
"""Bullets and quotation marks of issue trackers."""
_AFTER_NAME = re.compile(r" \((?:UUID|UU?I?$)")
_MIG = re.compile(r"MIG \S{1,64} {1,64}Device {1,64}[0-9]{1,4}:")


def recognise(paste: Paste) -> bool:
    """Whether a line names a GPU as the list does."""
    return any(_GPU.match(line.strip(_AROUND)) for line in paste.lines)


def parse(paste: Paste) -> Machine:
    """The GPUs of the list; it names no driver and no system."""
    lists = _lists(paste.lines)
    place, gpus = lists[0]
    machine = Machine(driver=Driver(), gpus=gpus, gpu_state=GpuState.USABLE, readings=gpu_facts(SOURCE, gpus))
    if any(other != gpus for _, other in lists):
        places = ", ".join(str(start) for start, _ in lists)
        line = f"The paste holds {len(lists)} lists of GPUs that differ (they start at lines {places}): "
        machine = assuming(machine, f"{line}the one at line {place} is read.")
    return with_lost_gpus(machine, paste)


def _lists(lines: tuple[str, ...]) -> list[tuple[int, tuple[Gpu, ...]]]:
    """Line number, from 1, and GPUs of every list: a number that comes again begins another one."""
    starts: list[int] = []
    numbers: set[int] = set()
    for place, line in enumerate(lines):
        if match := _GPU.match(line.strip(_AROUND)):
            found = {int(number) for number in match[1].split(",")}
            if not starts or found & numbers:
                starts.append(place)
                numbers = set()
            numbers |= found
    return [(start + 1, listed_gpus(lines[start:end])) for start, end in pairwise((*starts, len(lines)))]


# GPU 0: NVIDIA H200 (UUID: GPU-00000000-0000-0000-0000-000000000000)
#   MIG 1c.3g.71gb  Device  0: (UUID: MIG-00000000-0000-0000-0000-000000000000)
def listed_gpus(lines: Iterable[str]) -> tuple[Gpu, ...]:
    """One GPU for every number, the first of each; a line with MIG devices below it is in MIG mode."""
    gpus: dict[int, Gpu] = {}
    current = -1
    for line in (line.strip(_AROUND) for line in lines):
        if match := _GPU.match(line):
            name = value_of(_AFTER_NAME.split(match[2], maxsplit=1)[0])
            for current in map(int, match[1].split(",")):
                gpus.setdefault(current, Gpu(index=current, name=name, gpu_uuid=gpu_uuid(line), in_nvml=True))
        elif current in gpus and _MIG.match(line):
            count = (gpus[current].mig_instances or 0) + 1
            gpus[current] = replace(gpus[current], mig_mode="enabled", mig_instances=count)
    require_few(list(gpus.values()), SOURCE)
    return tuple(gpus.values())
