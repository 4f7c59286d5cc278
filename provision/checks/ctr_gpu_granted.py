"""The GPU on the host's bus was given to this container.

What it finds
    A container that sees its host's NVIDIA GPU on the PCI bus and has neither its device nodes nor its libraries.

Why it matters
    The driver is fine, on the host. Nothing that is installed inside the container will bring the GPU.

How it is decided
    Inside a container, with the vendor's kernel module bound or loaded: no /dev/nvidiaN means that no GPU was
    granted.

What to do
    Start the container again with a GPU: `docker run --gpus all`, `podman run --device nvidia.com/gpu=all`, or a
    resource limit nvidia.com/gpu in Kubernetes.

Sources
    NVIDIA Container Toolkit, user guide; Kubernetes, "Schedule GPUs" (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Check, Verdict, bus_ids, counted, evidence, has_gpu, on_bus, texts_of

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("ctr.gpu_granted")
_START = {
    "docker": "docker run --gpus all ...",
    "podman": "podman run --device nvidia.com/gpu=all ...",
    "kubernetes": "add resources.limits: {nvidia.com/gpu: 1} to the container",
    "lxc": "lxc config device add <container> gpu gpu; lxc config set <container> nvidia.runtime true",
}


def evaluate(machine: Machine) -> Finding:
    """Fail in a container whose host has a working driver and gave no device."""
    kind = machine.host.container
    if kind is None:
        return _SAY.skipped("This is not a container.")
    if not has_gpu(machine):
        return _SAY.skipped("The host of this container shows no NVIDIA GPU.")
    working = [gpu for gpu in machine.gpus if gpu.in_nvml]
    if working:
        return _SAY.passed(
            f"{counted(len(working), 'GPU')} granted to this container.", *evidence(machine, "pci.not_granted")
        )
    nodes, modules = texts_of(machine, "driver.device_nodes"), texts_of(machine, "driver.modules")
    shown = on_bus(machine)
    is_served = "nvidia" in (modules or ()) or any(gpu.kernel_driver == "nvidia" for gpu in shown)
    has_node = any(node.removeprefix("/dev/nvidia").isdigit() for node in nodes or ())
    if shown and is_served and not has_node:
        return _SAY.failed(
            f"The host has {counted(len(shown), 'NVIDIA GPU')} ({bus_ids(shown)}) and gave none to this container.",
            *evidence(machine, "host.container", "driver.device_nodes", "driver.nvml_library"),
            safe=(
                _START.get(kind, "start the container again with its GPU"),
                "gpusetup plan --cpu    (to go on without it)",
            ),
        )
    return _SAY.skipped("A GPU was granted, or its host has no driver; the driver's checks say more.")


CHECK = Check(
    "ctr.gpu_granted",
    "instant",
    evaluate,
    leads=("pci.count_vs_nvml", "driver.device_nodes", "driver.nvml_init", "driver.uvm", "driver.kmd_umd_match"),
)
