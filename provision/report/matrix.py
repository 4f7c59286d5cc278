"""Rows of the matrix as lines."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ..documents.data import MatrixData

if TYPE_CHECKING:
    from ..matrix.model import Chip, GpuRow, TorchRelease
    from ..matrix.tables import Matrix
    from .style import Style


def matrix_data(matrix: Matrix, *, path: str, torch: str | None = None, gpu: str | None = None) -> MatrixData:
    """What a matrix holds, with the rows that were asked for."""
    rows = [
        row for release in matrix.releases if torch and release.version.startswith(torch) for row in _builds(release)
    ]
    if gpu is not None:
        rows += [_gpu(row) for row in matrix.gpus if gpu.casefold() in row.name.casefold()]
        rows += [line for chip in matrix.chips.rows for line in _boards(chip, gpu.casefold(), matrix)]
    return MatrixData(
        path=path,
        revision=matrix.revision,
        read_on=matrix.read_on,
        torch_releases=len(matrix.releases),
        builds=sum(len(release.variants) for release in matrix.releases),
        gpus=len(matrix.gpus),
        rows=tuple(rows),
    )


def _builds(release: TorchRelease) -> list[str]:
    lines = []
    for variant in release.variants:
        arch = variant.arch_list("linux_x86_64")
        code = " ".join(f"sm_{c.major}{c.minor}" for c in arch) if arch else "not read" if variant.cuda else ""
        lines.append(
            f"{release.version:<8}{variant.name:<7}{code:<60}{'doubtful' if variant.doubtful else ''}".rstrip()
        )
    return lines


def _gpu(row: GpuRow) -> str:
    memory = f"{row.memory_gib:g} GiB" if row.memory_gib else ""
    return f"{row.name:<42}{row.compute_capability!s:<6}{row.architecture:<11}{memory}".rstrip()


def _boards(chip: Chip, part: str, matrix: Matrix) -> list[str]:
    """The boards of a chip that have no row of their own."""
    names = [name for boards in chip.boards for name, _ in boards.names if part in name.casefold()]
    return [
        f"{name:<42}{chip.compute_capability!s:<6}{chip.architecture:<11}{chip.name}"
        for name in names
        if matrix.gpu_by_name(name) is None
    ]


def render_matrix(data: MatrixData, style: Style) -> str:
    """The rows, then what the matrix holds."""
    count = f"{data.torch_releases} torch releases, {data.builds} builds, {data.gpus} GPUs"
    rows = [line for row in data.rows for line in _folded(row, style)]
    return "\n".join([*rows, style.row(style.mark("pass"), f"revision {data.revision}", count)])


def _folded(row: str, style: Style) -> list[str]:
    return textwrap.wrap(row, style.width, subsequent_indent=" " * 15, break_long_words=False, break_on_hyphens=False)
