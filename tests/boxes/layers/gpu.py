"""What the gpu probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boxes import Box


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    is_inside = box.name in {"c0ffee123456", "laptop"}
    box.link("/proc/self/ns/pid", "pid:[4026532758]" if is_inside else "pid:[4026531836]")
