"""Check ctr.gpu_granted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import bus_ids, check, counted, on_bus

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_START = {
    "docker": "docker run --gpus all ...",
    "podman": "podman run --device nvidia.com/gpu=all ...",
    "kubernetes": "add resources.limits: {nvidia.com/gpu: 1} to the container",
    "lxc": "lxc config device add <container> gpu gpu; lxc config set <container> nvidia.runtime true",
}


@check(
    "ctr.gpu_granted",
    level="instant",
    leads=(
        "pci.count_vs_nvml",
        "driver.device_nodes",
        "driver.nvml_init",
        "driver.uvm",
        "driver.kmd_umd_match",
        "cuda.libcuda",
        "cuda.init",
    ),
)
def gpu_granted(facts: Facts, say: Verdict) -> Finding:
    """The GPU on the host's bus was given to this container.

    What it finds
        A container that sees its host's NVIDIA GPU on the PCI bus and has neither its device nodes nor its libraries;
        and one that was given a GPU and lost it while it ran.

    Why it matters
        The driver is fine, on the host. Nothing that is installed inside the container will bring the GPU.

    How it is decided
        Inside a container, with the vendor's kernel module bound or loaded: no /dev/nvidiaN means that no GPU was
        granted. Nodes that are there while NVML ends with "Unknown Error" (999) mean that the container's device rules
        lost them, as after `systemctl daemon-reload` on the host.

    What to do
        Start the container again with a GPU: `docker run --gpus all`, `podman run --device nvidia.com/gpu=all`, or a
        resource limit nvidia.com/gpu in Kubernetes.

    Sources
        NVIDIA Container Toolkit, user guide, troubleshooting, and its issue 48; Kubernetes, "Schedule GPUs" (read
        2026-11).
    """
    kind = facts.machine.host.container
    if kind is None:
        return say.skipped("This is not a container.")
    if not facts.has_gpu:
        return say.skipped("The host of this container shows no NVIDIA GPU.")
    working = [gpu for gpu in facts.machine.gpus if gpu.in_nvml]
    if working:
        return say.passed(
            f"{counted(len(working), 'GPU')} granted to this container.", *facts.evidence("pci.not_granted")
        )
    nodes, modules = facts.texts("driver.device_nodes"), facts.texts("driver.modules")
    shown = on_bus(facts)
    is_served = "nvidia" in (modules or ()) or any(gpu.kernel_driver == "nvidia" for gpu in shown)
    has_node = any(node.removeprefix("/dev/nvidia").isdigit() for node in nodes or ())
    if shown and is_served and not has_node:
        return say.failed(
            f"The host has {counted(len(shown), 'NVIDIA GPU')} ({bus_ids(shown)}) and gave none to this container.",
            *facts.evidence("host.container", "driver.device_nodes", "driver.nvml_library"),
            safe=(
                _START.get(kind, "start the container again with its GPU"),
                "gpusetup plan --cpu    (to go on without it)",
            ),
        )
    if has_node and facts.nvml_outcome == "failed" and "NVML code 999" in (facts.failure("nvml.init") or ""):
        return say.failed(
            "This container was given a GPU and lost it: NVML ends with an unknown error although its nodes are here.",
            *facts.evidence("host.container", "driver.device_nodes", "nvml.init"),
            safe=(
                "start the container again; on the host the GPU still works",
                "gpusetup check    (on the host: driver.dev_char_links and ctr.device_loss_risk tell why)",
            ),
        )
    return say.skipped("A GPU was granted, or its host has no driver; the driver's checks say more.")


CHECKS = (gpu_granted,)
