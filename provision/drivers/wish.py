"""What somebody wants of a driver plan. Empty and None mean: no wish (PURE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Flavour = Literal["open", "proprietary"]
Origin = Literal["distro", "nvidia"]


@dataclass(frozen=True, slots=True)
class DriverWish:
    """The words of the command line."""

    cuda: str | None = None
    """CUDA that the driver must implement: 12.8, or 13 for any of that major."""
    branch: int | None = None
    torch: str | None = None
    """2.9 or a specifier: the driver must implement the CUDA of one of its builds for these GPUs."""
    kernel_module: Flavour | None = None
    origin: Origin | None = None
    """Whose archive the driver comes from; None: the distribution's own on Ubuntu, NVIDIA's elsewhere."""
    container_toolkit: bool = False
    cuda_toolkit: str | None = None
    """CUDA of the toolkit, 12.8; `newest`: the newest that the driver implements; None: no toolkit."""
    fabric_manager: bool = False
    """Also where no NVSwitch is known."""
