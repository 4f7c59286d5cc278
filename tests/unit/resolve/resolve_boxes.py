"""Machines in one line, for the tests of the resolver."""

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


def box(gpus="", driver=None, *, python="3.12", others=(), cuda=None, glibc="2.35", arch="x86_64", state=None, capability=None, **host):
    """A Linux machine: `gpus` are short names with blanks between them, no GPU when empty."""
    cards = tuple(
        Gpu(index, name=NAMES.get(name, name), compute_capability=ComputeCapability.parse(capability) if capability else None)
        for index, name in enumerate(gpus.split())
    )
    return Machine(
        host=Host(**{"system": "linux", "arch": arch, "glibc": Glibc.parse(glibc) if glibc else None, **host}),
        python=interpreter(python) if python else None,
        interpreters=tuple(interpreter(other) for other in others),
        driver=Driver(DriverVersion(driver) if driver else None, CudaVersion.parse(cuda) if cuda else None) if driver or cuda else None,
        gpus=cards,
        gpu_state=state or (GpuState.USABLE if cards else GpuState.NONE),
    )


def ask(**words) -> Request:
    return Request(**words)
