"""What the network probes and checks look at on a healthy machine; `box.name` says which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boxes import Box

NONE = {"lower": False, "upper": False, "fault": None}


def add(box: Box) -> None:
    """Add the layer to any of the machines of `healthy.BOXES`."""
    box.answer("proxy variables", dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "no_proxy"), NONE))
    box.folder("/sys/class/net", "lo", "eno1")
    if box.name in {"h100x8", "rtx3090-p40"}:
        # Debian and Ubuntu write 127.0.1.1 for the host's own name into /etc/hosts.
        box.command("addresses of this host", "private\n" if box.name == "h100x8" else "loopback\n")
