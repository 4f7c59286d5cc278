"""A local index, stub builds and orders: real installs in a fraction of a second, no other source in sight."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from provision.install.apply import Order
from provision.install.configuration import read_configuration
from provision.records import Interpreter

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import index as bench_index
from install_orders import QUICK, TAG, build


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The stand-in index on disk."""
    return bench_index.make_index(tmp_path_factory.mktemp("index"), pythons=(TAG,))


@pytest.fixture
def server(site):
    with bench_index.serving(site) as (address, behaviour):
        yield address, behaviour


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture(autouse=True)
def only_local(monkeypatch, cache):
    """No configuration of this machine counts."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "GPUSETUP_")) or name.lower() in {"http_proxy", "https_proxy", "no_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    monkeypatch.setenv("PIP_CACHE_DIR", str(cache / "pip"))
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture
def order(server, tmp_path, monkeypatch):
    """A function that orders builds from the bench's general index and variant indexes."""
    address, _ = server

    def make(*candidates, env=None, digest="plan-1", limits=QUICK, **more):
        monkeypatch.setenv("UV_DEFAULT_INDEX", more.pop("general", f"{address}/general"))
        configuration = more.pop("configuration", None) or read_configuration(torch_index=f"{address}/whl")
        return Order(
            candidates=candidates or (build(),),
            plan_digest=digest,
            environment=env or tmp_path / "env",
            interpreters=(Interpreter(sys.version.split()[0], executable=sys.executable),),
            configuration=configuration,
            limits=limits,
            compile_bytecode=False,
            builtin=lambda: None,
            **more,
        )

    return make
