"""The change that an unlock names, applied to a plain machine and its request."""

from __future__ import annotations

import re
from typing import Any

Plain = dict[str, Any]


def applied(machine: Plain, request: Plain, change: str, to: str) -> tuple[Plain, Plain]:
    """Machine and request after the change; ValueError for a change that nobody described here."""
    if change in ("torch", "cuda", "transformers"):
        return machine, request | {change: None}
    if change == "python":
        return machine | {"python": to, "others": [], "python_failure": None}, request | {"python": None}
    if change == "driver":
        number, _, flavour = to.partition(" with the ")
        module = flavour.removesuffix(" kernel module") or machine["module"]
        return machine | {"driver": number, "driver_cuda": None, "module": module}, request
    if change == "kernel-module":
        return machine | {"module": to}, request
    if change == "forward-compatibility":
        package = to.removeprefix("package cuda-compat-").replace("-", ".")
        return machine | {"driver_cuda": package}, request
    if change == "os":
        return machine | {"os": None, "glibc": to.removeprefix("glibc "), "glibc_failure": None}, request
    if change == "mig":
        return machine | {"gpus": [_with_instance(gpu) for gpu in machine["gpus"]]}, request
    if change == "gpu":
        gone = {int(number) for group in re.findall(r"\(GPU ([\d, ]+)\)", to) for number in group.split(",")}
        return machine | {"gpus": [gpu for index, gpu in enumerate(machine["gpus"]) if index not in gone]}, request
    raise ValueError(f"an unlock changes {change!r}, which has no description here")


def _with_instance(gpu: Plain) -> Plain:
    return gpu | {"instances": 1} if gpu["mig"] == "enabled" and gpu["instances"] == 0 else gpu
