"""The change of an unlock applied to a machine and a request, to see what it gives where GPUs were left out (PURE)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..records import Driver
from ..versions import CudaVersion, DriverVersion, Glibc

if TYPE_CHECKING:
    from ..records import Gpu, Machine, Request, Unlock


def applied(machine: Machine, request: Request, step: Unlock) -> tuple[Machine, Request] | None:
    """Machine and request after the change, as its text says; None for a change that is not one of these."""
    match step.change:
        case "torch":
            request = replace(request, torch=None)
        case "cuda":
            request = replace(request, cuda=None)
        case "transformers":
            request = replace(request, transformers=None)
        case "python":
            request = replace(request, python=step.to)
        case "os":
            host = replace(machine.host, os=None, glibc=Glibc.parse(step.to.removeprefix("glibc ")))
            machine = replace(machine, host=host)
        case "mig":
            machine = replace(machine, gpus=tuple(_with_instance(gpu) for gpu in machine.gpus))
        case "driver" | "kernel-module" | "forward-compatibility":
            machine = replace(machine, driver=_driver(machine.driver or Driver(), step))
        case _:
            return None
    return machine, request


def _driver(driver: Driver, step: Unlock) -> Driver:
    if step.change == "kernel-module":
        return replace(driver, kernel_module=_flavour(step.to))
    if step.change == "forward-compatibility":
        package = step.to.removeprefix("package cuda-compat-").replace("-", ".")
        return replace(driver, driver_cuda_version=CudaVersion.parse(package))
    number, _, flavour = step.to.partition(" with the ")
    return Driver(DriverVersion(number), kernel_module=_flavour(flavour) or driver.kernel_module)


def _flavour(text: str) -> Literal["open", "proprietary"] | None:
    return "open" if text.startswith("open") else "proprietary" if text.startswith("proprietary") else None


def _with_instance(gpu: Gpu) -> Gpu:
    return replace(gpu, mig_instances=1) if gpu.mig_mode == "enabled" and gpu.mig_instances == 0 else gpu
