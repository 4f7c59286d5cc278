"""GPUs, chips and vGPUs of the plain tree as rows; PlaceError where a value is not what its place asks for.

Apart from the other tables, because these are most of the rows and a plan may need none of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from . import fields
from .model import Boards, Chip, GpuFigures, GpuRow, Peaks, VgpuSeries, VgpuTable
from .places import PlaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import GpuClass

_CLASSES: tuple[GpuClass, ...] = ("data_center", "workstation", "geforce", "embedded")
gpu_class = fields.one_of(*_CLASSES)
_GPU = frozenset(("nvml", "architecture", "capability", "class", "pci", "tflops", "source"))
_GPU_OPTIONAL = frozenset(
    (
        *("subsystem", "memory_gib", "memory_mib", "bandwidth", "tdp_w", "nvlink", "note", "doubtful"),
        *("form", "pcie", "nvlinks", "fabric_manager", "ecc"),
    )
)
_PEAKS = frozenset(Peaks.__dataclass_fields__)


def gpu(name: str, value: Any, *, cite: Callable[[Any], str]) -> GpuRow:
    """A row of `gpus`."""
    row = fields.mapping(value, _GPU, _GPU_OPTIONAL)
    generation, lanes = fields.maybe(row, "pcie", _pcie) or (None, None)
    return GpuRow(
        name=name,
        nvml_names=fields.items(row, "nvml", fields.text),
        architecture=fields.field(row, "architecture", fields.text),
        compute_capability=fields.field(row, "capability", fields.capability),
        gpu_class=fields.field(row, "class", gpu_class),
        pci_device_ids=fields.items(row, "pci", fields.pci_id),
        subsystems=fields.items(row, "subsystem", fields.subsystem),
        memory_gib=fields.maybe(row, "memory_gib", fields.number),
        memory_mib=fields.maybe(row, "memory_mib", fields.whole),
        bandwidth_gb_s=fields.maybe(row, "bandwidth", fields.number),
        tdp_w=fields.maybe(row, "tdp_w", fields.whole),
        nvlink_gb_s=fields.maybe(row, "nvlink", fields.number),
        form=fields.maybe(row, "form", _form),
        pcie_generation=generation,
        pcie_lanes=lanes,
        nvlinks=fields.maybe(row, "nvlinks", fields.whole),
        needs_fabric_manager=fields.maybe(row, "fabric_manager", fields.flag),
        has_ecc=fields.maybe(row, "ecc", fields.flag),
        dense_tflops=fields.field(row, "tflops", _peaks),
        note=fields.maybe(row, "note", fields.text),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=fields.items(row, "source", cite),
    )


_form = fields.one_of("pcie", "sxm", "superchip", "soc")


def _pcie(value: Any) -> tuple[int, int]:
    """(4, 16) of 4x16."""
    generation, _, lanes = fields.text(value).partition("x")
    if generation not in _GENERATIONS or lanes not in _LANES:
        raise PlaceError(fields.shown(value), "generation and lanes of PCIe such as 4x16")
    return int(generation), int(lanes)


_GENERATIONS: Final = frozenset("1234567")
_LANES: Final = frozenset(("1", "2", "4", "8", "16"))


def figures_of(rows: tuple[GpuRow, ...]) -> GpuFigures | None:
    """What the rows tell alike; None of none."""
    if not rows:
        return None

    def alike(name: str) -> Any:
        found = {getattr(row, name) for row in rows}
        return found.pop() if len(found) == 1 else None

    return GpuFigures(
        names=tuple(row.name for row in rows),
        **{name: alike(name) for name in _COMMON},
        peaks=rows[0].dense_tflops if len(rows) == 1 else None,
        doubtful="; ".join(dict.fromkeys(row.doubtful for row in rows if row.doubtful)) or None,
        source=tuple(dict.fromkeys(source for row in rows for source in row.source)),
    )


_COMMON: Final = tuple(
    name for name in GpuFigures.__dataclass_fields__ if name not in {"names", "peaks", "doubtful", "source"}
)


def _peaks(value: Any) -> Peaks:
    row = fields.mapping(value, optional=_PEAKS)
    return Peaks(**{key: fields.field(row, key, fields.number) for key in row})


# --- chips and vGPUs ----------------------------------------------------------------------------

_CHIP = frozenset(("architecture", "capability"))
_CHIP_OPTIONAL = frozenset((*_CLASSES, "other"))


def chip(name: str, value: Any) -> Chip:
    """A row of `chips`."""
    row = fields.mapping(value, _CHIP, _CHIP_OPTIONAL)
    return Chip(
        name=name,
        architecture=fields.field(row, "architecture", fields.text),
        compute_capability=fields.field(row, "capability", fields.capability),
        boards=tuple(Boards(kind, fields.field(row, kind, fields.boards)) for kind in _CLASSES if kind in row),
        other_ids=fields.field(row, "other", fields.device_ids) if "other" in row else (),
    )


def vgpu(value: Any, *, cite: Callable[[Any], str]) -> VgpuTable:
    """The block `vgpu`."""
    block = fields.mapping(value, frozenset(("source", "read_on", "series", "boards")))
    fields.items(block, "source", cite)
    fields.field(block, "read_on", fields.date)
    return VgpuTable(
        series=fields.field(block, "series", lambda entry: fields.rows(entry, _vgpu_series)),
        boards=fields.field(block, "boards", partial(fields.rows, read=lambda part, name: (part, fields.text(name)))),
    )


def _vgpu_series(letter: str, value: Any) -> VgpuSeries:
    row = fields.mapping(value, frozenset(("use", "cuda")), frozenset(("only_gib",)))
    return VgpuSeries(
        letter=letter,
        use=fields.field(row, "use", fields.text),
        has_cuda=fields.field(row, "cuda", fields.one_of("all", "none")) == "all",
        only_gib=fields.maybe(row, "only_gib", partial(fields.rows, read=lambda part, gib: (part, fields.whole(gib))))
        or (),
    )
