"""A stand-in index that also holds what gpusetup itself needs, and bundles made from it in a moment."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from provision.bundle.create import BundleOrder, create_bundle
from provision.bundling import named_plans
from provision.install.configuration import read_configuration
from provision.records import Interpreter, MatrixIdentity, Plan, Request, Resolution
from tests.bench.matrix import shipped

for name in ("bench", "unit/install"):
    sys.path.insert(0, str(Path(__file__).parents[2] / name))

import index as bench_index  # noqa: E402
from install_orders import PYTHON, TAG, build  # noqa: E402

TOOL = (("click", "8.2.0"), ("nvidia-ml-py", "13.0"), ("packaging", "25.0"), ("pip", "25.0"), ("psutil", "7.0"))
TOOL += (("PyYAML", "6.0"), ("tomli", "2.2"), ("uv", "0.9.9"))


@pytest.fixture(scope="session")
def bundle_site(tmp_path_factory):
    """The stand-in index on disk."""
    site = bench_index.make_index(tmp_path_factory.mktemp("bundle-index"), pythons=(TAG, "cp310"))
    for name, version in TOOL:
        bench_index.make_wheel(site / "general" / name.lower(), name, version)
    bench_index.write_pages(site)
    return site


@pytest.fixture
def bundle_server(bundle_site):
    with bench_index.serving(bundle_site) as (address, behaviour):
        yield address, behaviour


@pytest.fixture(autouse=True)
def only_local(monkeypatch, tmp_path_factory):
    """No configuration of this machine counts."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "GPUSETUP_")) or name.lower() in {"http_proxy", "https_proxy", "no_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "bundle-uv-cache"))
    monkeypatch.setenv("NETRC", os.devnull)
    monkeypatch.setenv("GPUSETUP_SITE", "none")


def plan_of(*builds) -> Plan:
    """A plan of these candidates, as a document would give it."""
    found = builds or (build(),)
    matrix = shipped()
    is_cpu = found[0].kind == "cpu"
    return Plan(
        build=found[0],
        resolution=Resolution(candidates=tuple(found), rejections=()),
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        request=Request(cpu=is_cpu),
    )


@pytest.fixture
def bundle_order(bundle_server, tmp_path, monkeypatch):
    """A function that orders a bundle of plans, by default of one for the CPU, from the stand-in index."""
    address, _ = bundle_server
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{address}/general")

    def make(*plans, **more):
        ordered = BundleOrder(
            plans=named_plans(plans or [("cpu", plan_of())]),
            output=tmp_path / "bundle",
            configuration=read_configuration(torch_index=f"{address}/whl"),
            matrix=shipped(),
            interpreters=(Interpreter(sys.version.split()[0], executable=sys.executable),),
            host_pythons=(PYTHON,),
            builtin=lambda: None,
            silence_s=20.0,
        )
        return replace(ordered, **more)

    return make


@pytest.fixture
def bundle(bundle_order):
    """The folder of a bundle with one plan for the CPU."""
    order = bundle_order()
    create_bundle(order)
    return order.output
