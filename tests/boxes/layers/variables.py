"""What the variables probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boxes import Box


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    if box.profile is None:
        return
    home = {"place": "~/.nv/ComputeCache", "filesystem": "ext4", "is_writable": True}
    box.answer("cuda.jit_cache", {"place": "~/.nv/ComputeCache", "filesystem": "nfs4"} if box.name == "v100" else home)
    box.answer("variables that name paths", {})
    box.answer("libraries before the loader's own", [])
    box.answer("files that set variables", {})
    if box.name == "h100x8":  # what a cluster sets for all
        box.folder("/sys/class/net", "lo", "eth0", "ib0").file("/etc/nccl.conf", "NCCL_SOCKET_IFNAME=eth0\n")
        box.variable("NCCL_DEBUG", "WARN")
