"""What the python_packages probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boxes import Box


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
