"""Checks of what stands between GPUs and their neighbours on the bus: access control, IOMMU, places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Check, bus_ids, check, counted

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict


def wants_peer_traffic(facts: Facts) -> str | None:
    """Who would move data over PCIe past the processor; None: nobody, as far as can be seen."""
    names = facts.texts("pci.infiniband")
    if names and len(facts.gpus) > 1:
        return "GPUDirect with " + ", ".join(names[:4])
    for first in facts.gpus:
        for second in facts.gpus:
            pair = f"pair.{first.index}.{second.index}"
            if facts.value(f"{pair}.p2p_read") == "ok" and facts.value(f"{pair}.p2p_nvlink") != "ok":
                return f"copies between GPU {first.index} and GPU {second.index}"
    return None


_PEER_ADVICE = (
    "NCCL_P2P_DISABLE=1 <program>    (works around it, slower)",
    "nvidia-smi topo -p2p r",
)


@check("pci.acs", level="quick", needs=("gpu",), not_on=("vm", "container", "wsl", "jetson", "paste"))
def acs(facts: Facts, say: Verdict) -> Finding:
    """No bridge sends traffic between GPUs round by the processor.

    What it finds
        Access control services (ACS) that redirect requests or answers, on bridges above GPUs.

    Why it matters
        Copies between GPUs, and between GPUs and network adapters, then pass the root complex: at a fraction of the
        speed, and on some machines NCCL hangs.

    How it is decided
        ACSCtl of lspci -vvv for the bridges above at least two GPUs: ReqRedir+ or CmpltRedir+ warns when such traffic
        is to be expected (NVML allows copies between GPUs that no NVLink carries, or there is InfiniBand). Not on
        virtual machines, which need it. Only root may read it.

    What to do
        Switch ACS off in the firmware, or at every start with setpci. It also ends the separation that passing GPUs to
        virtual machines needs.

    Sources
        NVIDIA, NCCL user guide, troubleshooting, PCI Access Control Services (read 2026-11).
    """
    gpus = tuple(gpu for gpu in facts.machine.gpus if facts.was_looked_at(f"pci.{gpu.pci_bus_id}.ports"))
    if len(gpus) < 2:  # noqa: PLR2004 -- traffic needs two
        return say.skipped("There is no second GPU to exchange data with.")
    wanted = wants_peer_traffic(facts)
    if wanted is None:
        return say.skipped("No GPU of this machine exchanges data over PCIe with another device.")
    if facts.failure("pci.acs"):
        return say.unknown(
            f"Access control of the bridges could not be read ({facts.why_not('pci.acs')}); run `sudo gpusetup check`.",
            *facts.evidence("pci.acs"),
        )
    redirecting = tuple(
        reading
        for reading in facts.readings("pci.acs")
        if isinstance(reading.value, tuple) and {"ReqRedir", "CmpltRedir"} & set(reading.value)
    )
    if redirecting:
        bridges = ", ".join(str(one.value[0]) for one in redirecting if isinstance(one.value, tuple))
        return say.warned(
            f"Bridges redirect traffic between devices to the processor ({bridges}), which slows {wanted}.",
            *(Evidence("pci.acs", one.value, source=one.source, needs="no redirection") for one in redirecting),
            safe=_PEER_ADVICE,
            risky=tuple(
                f"sudo setpci -s {one.value[0]} ECAP_ACS+0x6.w=0000"
                for one in redirecting[:8]
                if isinstance(one.value, tuple)
            ),
        )
    return say.passed("No bridge above the GPUs redirects traffic.", *facts.evidence("pci.acs"))


@check("pci.iommu", level="quick", needs=("gpu",), not_on=("vm", "container", "wsl", "jetson", "paste"))
def iommu(facts: Facts, say: Verdict) -> Finding:
    """The IOMMU does not translate the addresses that GPUs send to each other.

    What it finds
        GPUs in an IOMMU group that is translated, on a machine where they exchange data over PCIe.

    Why it matters
        Peer traffic is then slow, fails, or NCCL hangs at its first collective.

    How it is decided
        The type of the GPUs' groups in /sys/kernel/iommu_groups: DMA or DMA-FQ is translation, identity is not. It
        warns on bare metal with at least two GPUs of which NVML allows copies that no NVLink carries, or with
        InfiniBand.

    What to do
        Start the kernel with iommu=pt, or switch the IOMMU off in the firmware.

    Sources
        Linux, sysfs-kernel-iommu_groups; NVIDIA, NCCL troubleshooting; NVIDIA/nccl issues 199 and 631 (read 2026-11).
    """
    names = tuple(f"pci.{gpu.pci_bus_id}.iommu" for gpu in facts.machine.gpus if gpu.kernel_driver != "vfio-pci")
    read = tuple(name for name in names if facts.was_looked_at(name))
    if len(names) < 2:  # noqa: PLR2004 -- traffic needs two
        return say.skipped("There is no second GPU to exchange data with.")
    if not read:
        return say.passed("No IOMMU stands before the GPUs.", *facts.evidence("pci.iommus"))
    translated = tuple(name for name in read if (facts.text(name) or "").startswith("DMA"))
    wanted = wants_peer_traffic(facts)
    if translated and wanted:
        return say.warned(
            f"The IOMMU translates for {counted(len(translated), 'GPU')}, which slows or breaks {wanted}.",
            *(Evidence(name, facts.value(name), source="iommu_groups", needs="identity") for name in translated),
            safe=_PEER_ADVICE,
            risky=("add iommu=pt to the kernel's command line, then sudo reboot",),
        )
    if translated:
        return say.passed("The IOMMU translates, and no GPU exchanges data over PCIe.", *facts.evidence(*translated))
    if not any(facts.text(name) for name in read):
        return say.unknown(f"The kind of the IOMMU groups could not be read: {facts.why_not(read[0])}.")
    return say.passed("The IOMMU lets the GPUs' addresses pass.", *facts.evidence(*read))


@check("pci.numa_node", level="instant", needs=("gpu",), not_on=("wsl", "jetson", "paste"))
def numa_node(facts: Facts, say: Verdict) -> Finding:
    """The kernel knows which processor each GPU is next to.

    What it finds
        GPUs without a NUMA node on a machine with several.

    Why it matters
        Programs then can't be placed near their GPU: copies from host memory may run at half the speed, and NCCL
        guesses the topology.

    How it is decided
        numa_node of the PCI function: -1 warns when at least two nodes have processors. Many hypervisors do not show
        it, which nobody inside can change: a virtual machine passes, and with several GPUs it is told.

    What to do
        A firmware update or its NUMA setting (nodes per socket); in a virtual machine the host has to show the
        topology. Until then: numactl --cpunodebind --membind by hand.

    Sources
        Linux, sysfs-bus-pci; Azure NHC, azure_hw_topology_check (read 2026-11).
    """
    nodes = facts.number("pci.cpu_nodes")
    gpus = tuple(gpu for gpu in facts.machine.gpus if facts.was_looked_at(f"pci.{gpu.pci_bus_id}.numa_node"))
    if nodes is None or not gpus:
        return say.skipped("Nodes of processors or of GPUs are not shown here.")
    if nodes < 2 or (facts.is_any("vm") and len(gpus) == 1):  # noqa: PLR2004 -- one node has no second
        return say.passed("There is nothing to place: one node, or one GPU of a virtual machine.")
    lost = tuple(gpu for gpu in gpus if facts.number(f"pci.{gpu.pci_bus_id}.numa_node") == -1)
    if lost and facts.is_any("vm"):
        return say.passed(
            f"This virtual machine is not told which of {nodes:.0f} nodes {bus_ids(lost)} is next to.",
            *facts.evidence(*(f"pci.{gpu.pci_bus_id}.numa_node" for gpu in lost)),
        )
    if lost:
        return say.warned(
            f"The kernel does not know which of {nodes:.0f} nodes {bus_ids(lost)} is next to.",
            *facts.evidence(*(f"pci.{gpu.pci_bus_id}.numa_node" for gpu in lost)),
            safe=("nvidia-smi topo -m", "numactl --cpunodebind=0 --membind=0 <program>    (try each node)"),
        )
    return say.passed(f"{counted(len(gpus), 'GPU')} on {nodes:.0f} nodes, each with a place.")


CHECKS: tuple[Check, ...] = (iommu, acs, numa_node)
