"""Proxies and names: what is kept of them, and what is not."""

from __future__ import annotations

import pytest

from provision.detect.memory import Recorder
from provision.detect.probes import network
from provision.detect.surroundings import Kernel, Surroundings
from provision.process import Completed
from provision.records import Gpu, Host, Machine

ADDRESS = "http://me:hunter2@proxy.corp.example:3128"


@pytest.mark.parametrize(
    ("name", "lower", "upper", "fault"),
    [
        ("http_proxy", None, None, None),
        ("http_proxy", "http://a:1", None, None),
        ("http_proxy", "http://a:1", "http://a:1/", None),
        ("http_proxy", "http://a:1", "http://b:1", "the two spellings differ"),
        ("http_proxy", "http://a:1", "", None),
        ("https_proxy", '"http://a:1"', None, "the value has quotes or blanks in it"),
        ("https_proxy", "http://a :1", None, "the value has quotes or blanks in it"),
        ("https_proxy", " http://a:1 ", None, None),
        ("no_proxy", "localhost, 127.0.0.1", None, None),
        ("no_proxy", "localhost, 127.0.0.1", "127.0.0.1,localhost,", None),
        ("no_proxy", "localhost", "localhost,.corp", "the two spellings differ"),
    ],
)
def test_spellings(name, lower, upper, fault):
    assert network.judge_proxy(name, lower, upper)["fault"] == fault


def test_values_are_not_kept():
    memory = Recorder()
    around = Surroundings(environ={"HTTPS_PROXY": ADDRESS, "https_proxy": "http://other"}, memory=memory)
    readings = list(network.read_proxies(around, Machine(host=Host())))
    assert ("https_proxy", True, True, "the two spellings differ") in [one.value for one in readings]
    for words in ("hunter2", "corp.example", "other"):
        assert words not in repr(memory.looks) + repr(readings)


def test_kinds_of_addresses():
    text = (
        "127.0.1.1       STREAM box\n127.0.1.1       DGRAM  \n10.1.2.3        STREAM box\n"
        "fe80::1%eth0    STREAM box\n8.8.8.8 STREAM box\nnonsense\n"
    )
    assert network.parse_ahosts(text) == ("global", "link-local", "loopback", "private")
    assert network.parse_ahosts("") == ()


def test_addresses_are_not_kept():
    memory = Recorder()

    def runner(argv, **_):
        return Completed(tuple(argv), returncode=0, stdout="10.11.12.13     STREAM node17\n")

    around = Surroundings(
        environ={"SLURM_NNODES": "2", "GLOO_SOCKET_IFNAME": "nosuch0"},
        runner=runner,
        kernel=Kernel("Linux", "6.8", "x86_64", "node17"),
        memory=memory,
    )
    machine = Machine(host=Host(), gpus=(Gpu(index=0), Gpu(index=1)))
    found = {one.name: one.value for one in network.read_rendezvous(around, machine)}
    assert found == {
        "net.own_addresses": ("private",),
        "job.nodes": 2,
        "net.interface_wanted": ("GLOO_SOCKET_IFNAME", "nosuch0", False),
    }
    assert "10.11.12.13" not in repr(memory.looks)


def test_one_gpu_asks_nobody():
    assert list(network.read_rendezvous(Surroundings(environ={}), Machine(host=Host(), gpus=(Gpu(index=0),)))) == []
