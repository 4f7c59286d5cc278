"""How a device runs a build: by the binary and virtual code in it, and the table of cubins. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..versions import ComputeCapability, CudaVersion
    from .tables import Matrix


def how_it_runs(
    matrix: Matrix,
    codes: Iterable[ComputeCapability],
    ptx: Iterable[ComputeCapability],
    cuda: CudaVersion,
    device: ComputeCapability,
) -> Literal["binary", "ptx", "none"]:
    """On binary code, on PTX that the driver compiles, or not at all.

    `cuda` is that of the build: from 13.2 on some code runs on Tegra devices too. A code without a row in the matrix
    runs on exactly its own device.
    """
    for code in codes:
        row = matrix.cubin(code)
        if code == device if row is None else row.runs_on(device, cuda):
            return "binary"
    return "ptx" if any(code <= device for code in ptx) else "none"
