"""What the cuda probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boxes import Box


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    if box.profile is None:
        return
    folder = f"/usr/lib/{box.arch}-linux-gnu"
    if box.name != "laptop":
        box.library("libnvidia-ptxjitcompiler.so.1", f"{folder}/libnvidia-ptxjitcompiler.so.1")
    if box.name == "rtx5090":
        box.folder("/usr/local", "cuda", "cuda-12.8")
        for name in ("cuda", "cuda-12.8"):
            box.file(f"/usr/local/{name}/version.json", '{"cuda": {"name": "CUDA SDK", "version": "12.8.1"}}')
        box.answer("program nvcc", "/usr/local/cuda/bin/nvcc")
