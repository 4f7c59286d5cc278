"""The real thing: torch for the CPU and transformers, from wherever this machine's configuration points to."""

from __future__ import annotations

import sys

import pytest

from provision.errors import NoBuildError
from provision.install.apply import Order, install
from provision.install.configuration import PYTORCH_INDEX, read_configuration
from provision.records import Build, Interpreter

pytestmark = pytest.mark.e2e
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAG = PYTHON.replace(".", "")


@pytest.mark.parametrize("backend", ["uv", "pip"])
def test_torch_for_the_cpu_and_transformers(tmp_path, backend):
    build = Build(
        torch="2.13.0",
        variant="cpu",
        cuda_runtime_version=None,
        python=PYTHON,
        wheel_tag=f"cp{TAG}-cp{TAG}-manylinux_2_28_x86_64",
        requirements=("torch==2.13.0", "transformers>=5,<6", "numpy"),
        index=f"{PYTORCH_INDEX}/cpu",
    )
    order = Order(
        candidates=(build,),
        plan_digest="e2e",
        environment=tmp_path / "env",
        interpreters=(Interpreter(sys.version.split()[0], executable=sys.executable),),
        configuration=read_configuration(),
        backend=backend,
    )
    try:
        receipt = install(order)
    except NoBuildError as err:
        pytest.skip(f"no source of this machine holds torch 2.13.0+cpu: {[item.value for item in err.evidence]}")
    assert {item.id: item.passed for item in receipt.verified} == {
        "installed-distributions": True,
        "torch-version": True,
        "torch-cuda-version": True,
        "numpy-bridge": True,
        "transformers-bert": True,
    }
    assert not [item.name for item in receipt.distributions if item.name.startswith("nvidia-")]
    assert all(item.sha256 for item in receipt.distributions)
    again = install(order)
    assert again.reused
