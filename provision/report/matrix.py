"""Rows of the matrix as lines."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ..documents.data import MatrixData
from ..matrix.companions import companions_of

if TYPE_CHECKING:
    from ..matrix.model import GpuRow, TorchRelease
    from ..matrix.tables import Matrix
    from .style import Style


def matrix_data(matrix: Matrix, *, path: str, torch: str | None = None, gpu: str | None = None) -> MatrixData:
    """What a matrix holds, with the rows that were asked for."""
    rows = [
        row
        for release in matrix.releases
        if torch and release.version.startswith(torch)
        for row in (*_builds(release), *_companions(matrix, release))
    ]
    if gpu is not None:
        rows += [_gpu(row) for row in matrix.gpus if gpu.casefold() in row.name.casefold()]
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


def _companions(matrix: Matrix, release: TorchRelease) -> list[str]:
    """What works beside a release on the newest ordinary Python of its Linux wheels."""
    wheels = release.platform("linux_x86_64")
    tags = [tag for tag in wheels.pythons if not tag.endswith("t")] if wheels else []
    if not tags:
        return []
    python = f"{tags[-1][2]}.{tags[-1][3:]}"
    named = [f"{c.name}{c.specifier}" for c in companions_of(matrix, release, python, has_triton=True)]
    named.insert(3, f"transformers{release.companions.transformers}")
    return [f"{release.version:<8}{'beside':<7}{', '.join(named)} (Python {python})"]


def _gpu(row: GpuRow) -> str:
    memory = f"{row.memory_gib:g} GiB" if row.memory_gib else ""
    return f"{row.name:<42}{row.compute_capability!s:<6}{row.architecture:<11}{memory}".rstrip()


def render_matrix(data: MatrixData, style: Style) -> str:
    """The rows, then what the matrix holds."""
    count = f"{data.torch_releases} torch releases, {data.builds} builds, {data.gpus} GPUs"
    rows = [line for row in data.rows for line in _folded(row, style)]
    return "\n".join([*rows, style.row(style.mark("pass"), f"revision {data.revision}", count)])


def _folded(row: str, style: Style) -> list[str]:
    return textwrap.wrap(row, style.width, subsequent_indent=" " * 15, break_long_words=False, break_on_hyphens=False)
