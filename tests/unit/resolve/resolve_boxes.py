"""Machines in one line, for the tests of the resolver."""

import re
from dataclasses import replace

from provision.records import Driver, Gpu, GpuState, Host, Interpreter, Machine, Request
from provision.versions import ComputeCapability, CudaVersion, DriverVersion, Glibc

NAMES = {
    "T4": "Tesla T4",
    "V100": "Tesla V100-SXM2-16GB",
    "P100": "Tesla P100-PCIE-16GB",
    "1080": "NVIDIA GeForce GTX 1080",
    "A100": "NVIDIA A100-SXM4-40GB",
    "H100": "NVIDIA H100 80GB HBM3",
    "4090": "NVIDIA GeForce RTX 4090",
    "5090": "NVIDIA GeForce RTX 5090",
    "B300": "NVIDIA B300 SXM6 AC",
    "GH200": "NVIDIA GH200 480GB",
    "GB200": "NVIDIA GB200",
    "Thor": "NVIDIA Thor",
}


def interpreter(python: str) -> Interpreter:
    return Interpreter(python.rstrip("t"), is_free_threaded=python.endswith("t"))


def box(
    gpus="",
    driver=None,
    *,
    python="3.12",
    others=(),
    cuda=None,
    glibc="2.35",
    arch="x86_64",
    state=None,
    capability=None,
    module=None,
    **host,
):
    """A Linux machine: `gpus` are short names with blanks between them, no GPU when empty."""
    cards = tuple(
        Gpu(
            index,
            name=NAMES.get(name, name),
            compute_capability=ComputeCapability.parse(capability) if capability else None,
        )
        for index, name in enumerate(gpus.split())
    )
    return Machine(
        host=Host(**{"system": "linux", "arch": arch, "glibc": Glibc.parse(glibc) if glibc else None, **host}),
        python=interpreter(python) if python else None,
        interpreters=tuple(interpreter(other) for other in others),
        driver=Driver(DriverVersion(driver) if driver else None, CudaVersion.parse(cuda) if cuda else None, module)
        if driver or cuda
        else None,
        gpus=cards,
        gpu_state=state or (GpuState.USABLE if cards else GpuState.NONE),
    )


def applied(machine, step):
    """The machine after the change of an unlock; None where the change is one of the request."""
    driver = machine.driver
    match step.change:
        case "driver":
            number, _, module = step.to.partition(" with the ")
            flavour = module.removesuffix(" kernel module") or driver.kernel_module
            return replace(machine, driver=Driver(DriverVersion(number), kernel_module=flavour))
        case "forward-compatibility":
            cuda = CudaVersion.parse(step.to.removeprefix("package cuda-compat-").replace("-", "."))
            return replace(machine, driver=replace(driver, driver_cuda_version=cuda))
        case "kernel-module":
            return replace(machine, driver=replace(driver, kernel_module=step.to))
        case "python":
            return replace(machine, python=interpreter(step.to), interpreters=())
        case "os":
            host = replace(machine.host, os=None, glibc=Glibc.parse(step.to.removeprefix("glibc ")))
            return replace(machine, host=host)
        case "mig":
            split = tuple(replace(gpu, mig_instances=1) if gpu.mig_instances == 0 else gpu for gpu in machine.gpus)
            return replace(machine, gpus=split)
        case "gpu":
            gone = {int(number) for group in re.findall(r"\(GPU ([\d, ]+)\)", step.to) for number in group.split(",")}
            return replace(machine, gpus=tuple(gpu for gpu in machine.gpus if gpu.index not in gone))
    return None


def ask(**words) -> Request:
    return Request(**words)
