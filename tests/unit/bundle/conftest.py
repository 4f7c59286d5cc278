"""A stand-in index that also holds what gpusetup itself needs, and bundles made from it in a moment."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from provision.bundle.create import BundleOrder, create_bundle
from provision.bundling import named_plans
from provision.install.configuration import read_configuration
from provision.records import Interpreter
from tests.bench.matrix import shipped

for name in ("bench", "unit/install"):
    sys.path.insert(0, str(Path(__file__).parents[2] / name))

import index as bench_index  # noqa: E402
from bundle_plans import plan_of  # noqa: E402
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


@pytest.fixture(scope="session")
def kept_bundles(tmp_path_factory):
    """Bundles that were made once; tests get copies."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def bundle(bundle_order, kept_bundles, tmp_path):
    """The folder of a bundle with one plan for the CPU."""
    if not (kept_bundles / "one").exists():
        create_bundle(bundle_order(output=kept_bundles / "one"))
    return Path(shutil.copytree(kept_bundles / "one", tmp_path / "bundle"))


@pytest.fixture
def mixed(bundle_order, kept_bundles, tmp_path):
    """The folder of a bundle with two CUDA plans and one for the CPU."""
    if not (kept_bundles / "three").exists():
        plans = [(variant, plan_of(build(variant=variant))) for variant in ("cu118", "cu124", "cpu")]
        create_bundle(bundle_order(*plans, output=kept_bundles / "three"))
    return Path(shutil.copytree(kept_bundles / "three", tmp_path / "mixed"))
