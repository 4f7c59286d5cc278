"""Builds and limits that the installation tests order by."""

from __future__ import annotations

import sys

from provision.install.apply import Limits
from provision.install.fetching import Deadlines
from provision.records import Build
from provision.versions import CudaVersion

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def build(torch="2.4.1", variant="cpu", *, base="https://wheels.invalid/whl", requirements=None, general=False):
    """A build as the resolver would give it; its index does not exist unless `base` is the bench's."""
    cuda = CudaVersion.parse(variant) if variant != "cpu" else None
    needs = requirements if requirements is not None else ("transformers", "numpy")
    return Build(
        torch=torch,
        variant=variant,
        cuda_runtime_version=cuda,
        python=PYTHON,
        wheel_tag=f"{TAG}-{TAG}-manylinux_2_28_x86_64",
        requirements=(f"torch=={torch}", *needs),
        index=f"{base}/{variant}",
        is_general_index_default=general,
    )


QUICK = Limits(sources=Deadlines(silence_s=2.0, overall_s=3.0), silence_s=20.0, verify_s=20.0, lock_wait_s=0.3)
