"""Sick machines of the area network."""

from __future__ import annotations

from tests.boxes.healthy import h100x8, t4

from . import Case

_FAULTS = {
    "https_proxy": {"lower": True, "upper": True, "fault": "the two spellings differ"},
    "no_proxy": {"lower": True, "upper": False, "fault": None},
}

CASES: tuple[Case, ...] = (
    Case(
        "proxy-spelled-in-two-ways",
        lambda: t4().answer("proxy variables", _FAULTS),
        "net.proxy",
        "warn",
        says=("https_proxy", "HTTPS_PROXY"),
    ),
    Case(
        "two-nodes-and-a-loopback-name",
        lambda: h100x8().command("addresses of this host", "loopback\n").variable("SLURM_NNODES", "2"),
        "net.rendezvous",
        says=("2 nodes", "loopback"),
    ),
    Case(
        "two-nodes-and-no-name",
        lambda: h100x8().command("addresses of this host", "", returncode=2).variable("SLURM_NNODES", "4"),
        "net.rendezvous",
        says=("leads nowhere",),
    ),
    Case(
        "own-name-takes-seconds",
        lambda: h100x8().command("addresses of this host", timed_out=True),
        "net.rendezvous",
        "timed-out",
    ),
    Case(
        "gloo-on-a-missing-interface",
        lambda: h100x8().variable("GLOO_SOCKET_IFNAME", "ib7"),
        "net.rendezvous",
        "warn",
        leads="nccl.env",
        says=("ib7",),
    ),
)
