"""Sick machines of the area network."""

from __future__ import annotations

from tests.boxes.healthy import h100x8, t4

from . import Case

_FAULTS = {
    "https_proxy": {"lower": True, "upper": True, "fault": "the two spellings differ"},
    "no_proxy": {"lower": True, "upper": False, "fault": None},
}

_PYTORCH = "https://download.pytorch.org/whl/cu130"


def _sources(*rows):
    """Address, why it did not answer, wheels and seconds of each."""
    return t4().answer(
        "package sources", [[one[0], "matrix" if one[0] == _PYTORCH else "pip.conf", *one[1:]] for one in rows]
    )


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
    Case(
        "no-package-source-in-reach",
        lambda: _sources((_PYTORCH, "no answer within 15 s", 0, 15.0)),
        "net.index",
        level="standard",
        says=("no answer within 15 s", _PYTORCH),
    ),
    Case(
        "sources-without-torch",
        lambda: _sources((_PYTORCH, None, 0, 0.2)),
        "net.index",
        level="standard",
        says=("none holds torch",),
    ),
    Case(
        "one-mirror-is-silent",
        lambda: _sources((_PYTORCH, None, 40, 0.2), ("https://mirror.example/simple", "certificate expired", 0, 0.1)),
        "net.index",
        "warn",
        level="standard",
        says=("mirror.example",),
    ),
    Case(
        "a-slow-source",
        lambda: _sources((_PYTORCH, None, 40, 3.0), ("https://mirror.example/simple", None, 4, 0.1)),
        "net.latency",
        "warn",
        level="standard",
        says=("3.0 s",),
    ),
    Case(
        "only-slow-sources",
        lambda: _sources((_PYTORCH, None, 40, 9.0)),
        "net.latency",
        level="standard",
        says=("7 s",),
    ),
)
