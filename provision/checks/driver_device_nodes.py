"""The device nodes of the driver exist and this user may open them.

What it finds
    Missing /dev/nvidiactl or /dev/nvidia0, and nodes without read and write permission for this user.

Why it matters
    NVML and CUDA reach the driver through these files only.

How it is decided
    With a loaded kernel module: /dev/nvidiactl and at least one /dev/nvidiaN exist, and all can be opened for reading
    and writing. More GPUs in the driver than nodes fails too, outside containers. Nothing is opened: permissions are
    asked for.

What to do
    `nvidia-smi` run as root, or nvidia-modprobe, makes missing nodes. Where they belong to a group, join it and log
    in again.

Sources
    NVIDIA driver README, "Why do my device nodes have the wrong permissions" and nvidia-modprobe (read 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Check, Verdict, counted, evidence, has_gpu, passed_through, texts_of

if TYPE_CHECKING:
    from ..records import Finding, Machine

_SAY = Verdict("driver.device_nodes")


def evaluate(machine: Machine) -> Finding:
    """Compare the nodes with what NVML and CUDA open."""
    if not has_gpu(machine):
        return _SAY.skipped("No NVIDIA GPU is on this machine.")
    if machine.host.is_wsl:
        return _SAY.skipped("Under WSL the GPU is reached through /dev/dxg.")
    nodes, modules = texts_of(machine, "driver.device_nodes"), texts_of(machine, "driver.modules")
    if nodes is None:
        return _SAY.unknown("The device nodes were not read.")
    if not nodes and any(gpu.in_nvml for gpu in machine.gpus):
        return _SAY.skipped("The driver answers; its device nodes can't be seen from here.")
    if "nvidia" not in (modules or ()) and not nodes:
        return _SAY.skipped("No kernel module that would make them is seen here; see driver.module_loaded.")
    return _judge(machine, nodes)


def _judge(machine: Machine, nodes: tuple[str, ...]) -> Finding:
    closed = [reading for reading in machine.readings if reading.name == "driver.device_node" and reading.failure]
    if closed:
        said = "; ".join(f"{reading.source}: {reading.failure}" for reading in closed)
        return _SAY.failed(
            f"This user can't open {counted(len(closed), 'device node')} of the driver: {said}.",
            *evidence(machine, "driver.device_node"),
            safe=("ls -l /dev/nvidia*; id",),
            risky=('sudo usermod -aG "$(stat -c %G /dev/nvidia0)" "$USER"    (then log in again)',),
        )
    numbered = [node for node in nodes if node.removeprefix("/dev/nvidia").isdigit()]
    wanted = len(machine.gpus) - len(passed_through(machine))
    if "/dev/nvidiactl" not in nodes or not numbered or (len(numbered) < wanted and not machine.host.container):
        return _SAY.failed(
            f"Device nodes are missing: {len(numbered)} of {wanted} GPUs have one"
            + ("." if "/dev/nvidiactl" in nodes else ", and /dev/nvidiactl is not there."),
            *evidence(machine, "driver.device_nodes", "driver.modprobe_helper"),
            safe=("sudo nvidia-modprobe -c 0 -u", "sudo nvidia-smi -L"),
        )
    return _SAY.passed(f"{counted(len(nodes), 'device node')} there and open to this user.")


CHECK = Check("driver.device_nodes", "instant", evaluate, leads=("pci.count_vs_nvml", "driver.nvml_init"))
