"""Check driver.device_nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check, counted, passed_through

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict


@check(
    "driver.device_nodes", level="instant", leads=("pci.count_vs_nvml", "driver.nvml_init", "cuda.init", "cuda.context")
)
def device_nodes(facts: Facts, say: Verdict) -> Finding:
    """The device nodes of the driver exist and this user may open them.

    What it finds
        Missing /dev/nvidiactl or /dev/nvidia0, and nodes without read and write permission for this user.

    Why it matters
        NVML and CUDA reach the driver through these files only.

    How it is decided
        With a loaded kernel module: /dev/nvidiactl and at least one /dev/nvidiaN exist, and all can be opened for
        reading and writing. More GPUs in the driver than nodes fails too, outside containers. Nothing is opened:
        permissions are asked for. Nodes that are open to everybody by their mode and closed to this process all the
        same are kept from it by the device rules of a control group, as a batch system does with the GPUs of other
        jobs: they pass while NVML answers for others.

    What to do
        `nvidia-smi` run as root, or nvidia-modprobe, makes missing nodes. Where they belong to a group, join it and
        log in again.

    Sources
        NVIDIA driver README, "Why do my device nodes have the wrong permissions" and nvidia-modprobe (read 2026-11).
    """
    if not facts.has_gpu:
        return say.skipped("No NVIDIA GPU is on this machine.")
    if facts.machine.host.is_wsl:
        return say.skipped("Under WSL the GPU is reached through /dev/dxg.")
    nodes, modules = facts.texts("driver.device_nodes"), facts.texts("driver.modules")
    if nodes is None:
        return say.unknown("The device nodes were not read.")
    if not nodes and any(gpu.in_nvml for gpu in facts.machine.gpus):
        return say.skipped("The driver answers; its device nodes can't be seen from here.")
    if "nvidia" not in (modules or ()) and not nodes:
        return say.skipped("No kernel module that would make them is seen here; see driver.module_loaded.")
    return _judge(say, facts, nodes)


def _judge(say: Verdict, facts: Facts, nodes: tuple[str, ...]) -> Finding:
    withheld = {reading.source for reading in facts.readings("driver.node_withheld")} if facts.gpus else set()
    others = {node for node in withheld if node.removeprefix("/dev/nvidia").isdigit()}
    closed = [one for one in facts.readings("driver.device_node") if one.failure and one.source not in others]
    if closed:
        named = ", ".join(str(reading.source) for reading in closed)
        return say.failed(
            f"This user can't open {counted(len(closed), 'device node')} of the driver: {named}.",
            *facts.evidence("driver.device_node"),
            safe=("ls -l /dev/nvidia*; id",),
            risky=('sudo usermod -aG "$(stat -c %G /dev/nvidia0)" "$USER"    (then log in again)',),
        )
    numbered = [node for node in nodes if node.removeprefix("/dev/nvidia").isdigit()]
    wanted = len(facts.machine.gpus) - len(passed_through(facts))
    if "/dev/nvidiactl" not in nodes or not numbered or (len(numbered) < wanted and not facts.machine.host.container):
        return say.failed(
            f"Device nodes are missing: {len(numbered)} of {wanted} GPUs have one"
            + ("." if "/dev/nvidiactl" in nodes else ", and /dev/nvidiactl is not there."),
            *facts.evidence("driver.device_nodes", "driver.modprobe_helper"),
            safe=("sudo nvidia-modprobe -c 0 -u", "sudo nvidia-smi -L"),
        )
    if others:
        return say.passed(
            f"{counted(len(nodes) - len(others), 'device node')} open to this process; {len(others)} of other GPUs are"
            " kept from it by device rules, as in a job of a batch system.",
            *facts.evidence("driver.node_withheld"),
        )
    return say.passed(f"{counted(len(nodes), 'device node')} there and open to this user.")


CHECKS = (device_nodes,)
