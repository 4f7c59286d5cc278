"""What the python_packages probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.boxes.environments import with_torch

if TYPE_CHECKING:
    from tests.boxes import Box

BUILDS = {
    "t4": ("2.14.0", "cu126"),
    "v100": ("2.14.1", "cu126"),
    "a100-mig": ("2.13.0", "cu126"),
    "h100x8": ("2.12.1", "cu126"),
    "rtx3090-p40": ("2.13.0", "cu126"),
    "cpu-only": ("2.13.0", "cpu"),
}
"""torch and variant of the environment of each machine; the others have 2.13.0 for CUDA 13.0."""


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    torch, variant = BUILDS.get(box.name, ("2.13.0", "cu130"))
    box.answer("env.path", "/opt/env").program("cc")
    box.answer("env.scan", copy.deepcopy(_scan(torch, variant, box.arch)))


@cache
def _scan(torch: str, variant: str, arch: str) -> dict[str, Any]:
    return with_torch(torch, variant, arch=arch).scan()
