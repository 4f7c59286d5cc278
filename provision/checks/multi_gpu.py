"""Checks of GPUs together: nccl.env, mgpu.topology, mgpu.p2p_status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..records import Evidence
from .base import Check, check, counted
from .cuda_variables import found_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..records import Finding
    from .base import Facts, Verdict

_NEAR: Final = frozenset({"internal", "single", "multiple"})
"""Pairs behind common PCIe switches."""
_MOST_PEERS = 8
_VIRTUAL: Final = re.compile(r"(?:docker|br-|virbr|veth|lxcbr|cni|flannel)", re.IGNORECASE)


def _pairs(facts: Facts, fact: str) -> dict[tuple[int, int], str]:
    """A fact of every pair of GPUs that NVML told."""
    indexes = [gpu.index for gpu in facts.gpus]
    found = {}
    for first in indexes:
        for second in indexes:
            value = facts.text(f"pair.{first}.{second}.{fact}") if first < second else None
            if value is not None:
                found[first, second] = value
    return found


# --- nccl.env


@check("nccl.env", level="instant", needs=("gpu",), leads=("net.rendezvous",))
def nccl_env(facts: Facts, say: Verdict) -> Finding:
    """No NCCL variable switches off a way between GPUs, or names what is not there.

    What it finds
        NCCL_P2P_DISABLE, NCCL_SHM_DISABLE and NCCL_IB_DISABLE where the box has what they switch off, names of network
        interfaces, adapters and files that do not exist, bridges of containers as the network, and NCCL_DEBUG=TRACE.
        Variables of the environment and of /etc/nccl.conf.

    Why it matters
        NCCL obeys without a word. A workaround of another machine makes collectives many times slower, and a network
        interface that is not there ends a job with "no socket interface found".

    How it is decided
        An interface list that fits nothing in /sys/class/net fails, and so does NCCL_TOPO_FILE without its file. The
        others warn: P2P switched off while NVML says that GPUs can reach each other, shared memory switched off with
        several GPUs, InfiniBand switched off with adapters there, an adapter list that fits none, interfaces that are
        container bridges, TRACE, and NCCL_CUMEM_HOST_ENABLE=1 in a container without CAP_SYS_NICE.

    What to do
        `unset` the variable where it is set.

    Sources
        NCCL documentation, environment variables; accelerate, check_cuda_p2p_ib_support (read 2026-11).
    """
    if not facts.was_looked_at("environment.looked_at"):
        return say.skipped("Variables are not among these facts.")
    broken, odd = [*_absent(facts)], [*_switched_off(facts), *_unwise(facts)]
    names = tuple(dict.fromkeys(name for name, _ in (*broken, *odd)))
    if not names:
        return say.passed("No NCCL variable stands in the way.")
    said = "; ".join(f"{name} {what}" for name, what in (*broken, *odd))
    shown = facts.evidence(
        *(one for name in names for one in (f"environment.{name}", f"nccl_conf.{name}", f"environment_set_in.{name}"))
    )
    tell = say.failed if broken else say.warned
    safe = (f"unset {' '.join(names)}", *found_in(facts, *names))
    if any(facts.was_looked_at(f"nccl_conf.{name}") for name in names):
        safe = (*safe, "cat /etc/nccl.conf")
    return tell(f"{said}.", *shown, *facts.evidence("nccl.interfaces", "nccl.adapters"), safe=safe)


def _value(facts: Facts, name: str) -> str | None:
    """Of the environment, else of NCCL's file."""
    return facts.text(f"environment.{name}") or facts.text(f"nccl_conf.{name}")


def _fits(entry: str, names: tuple[str, ...], *, is_exact: bool) -> tuple[str, ...]:
    """Names that an entry of a list means; NCCL takes beginnings."""
    entry = entry.partition(":")[0]
    return tuple(name for name in names if (name == entry if is_exact else name.startswith(entry)))


def _meant(value: str, names: tuple[str, ...], *, is_exact: bool = False) -> tuple[str, ...] | None:
    """Names that a whole list means; None for one that only excludes."""
    if value.startswith("^"):
        return None
    is_exact = is_exact or value.startswith("=")
    return tuple(one for entry in value.lstrip("=").split(",") for one in _fits(entry, names, is_exact=is_exact))


def _absent(facts: Facts) -> Iterator[tuple[str, str]]:
    interfaces = facts.texts("nccl.interfaces")
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        value = _value(facts, name)
        # Gloo knows no beginnings and no signs.
        if value and interfaces and _meant(value, interfaces, is_exact=name.startswith("GLOO")) == ():
            yield name, f"names {value}, and no such network interface is here"
    if facts.text("environment.NCCL_TOPO_FILE") == "missing":
        yield "NCCL_TOPO_FILE", "names a file that does not exist"


def _switched_off(facts: Facts) -> Iterator[tuple[str, str]]:
    several = len(facts.gpus) > 1
    reach = [pair for pair, status in _pairs(facts, "p2p_read").items() if status == "ok"]
    if _value(facts, "NCCL_P2P_DISABLE") == "1" and reach:
        yield "NCCL_P2P_DISABLE", f"sends data over the CPU, though {counted(len(reach), 'pair')} of GPUs can be direct"
    if _value(facts, "NCCL_SHM_DISABLE") == "1" and several:
        yield "NCCL_SHM_DISABLE", "sends data between processes of this box over the network"
    if _value(facts, "NCCL_IB_DISABLE") == "1" and facts.texts("nccl.adapters"):
        yield "NCCL_IB_DISABLE", f"leaves {counted(len(facts.texts('nccl.adapters') or ()), 'adapter')} unused"


def _unwise(facts: Facts) -> Iterator[tuple[str, str]]:
    interfaces = facts.texts("nccl.interfaces") or ()
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        meant = _meant(_value(facts, name) or "^", interfaces)
        if meant and all(_VIRTUAL.match(one) for one in meant):
            yield name, f"means {', '.join(meant)}, a bridge that other machines can't reach"
    adapters = facts.texts("nccl.adapters")
    value = _value(facts, "NCCL_IB_HCA")
    if value and adapters and _meant(value, adapters) == ():
        yield "NCCL_IB_HCA", f"names {value}, and no such adapter is here"
    if (_value(facts, "NCCL_DEBUG") or "").upper() == "TRACE":
        yield "NCCL_DEBUG", "writes a line for every call"
    if _value(facts, "NCCL_CUMEM_HOST_ENABLE") == "1" and facts.flag("process.has_sys_nice") is False:
        yield "NCCL_CUMEM_HOST_ENABLE", "needs CAP_SYS_NICE, which this container lacks"


# --- mgpu


@check("mgpu.topology", level="quick", needs=("nvml",))
def topology(facts: Facts, say: Verdict) -> Finding:
    """The way between the GPUs is known, and no GPU has more peers than it can map.

    What it finds
        How GPUs are joined: PCIe switches, host bridge, NUMA node, or the link between processors. It warns of a box
        on which a GPU can reach more than eight others over PCIe.

    Why it matters
        Without NVSwitch a GPU can map eight peers. A program that opens more ends with "peer mapping resources
        exhausted" (error 711).

    How it is decided
        nvmlDeviceGetTopologyCommonAncestor and nvmlDeviceGetP2PStatus of all pairs. More than eight peers of one GPU,
        on a box without NVSwitch and NVLink, warns. Otherwise this is information.

    What to do
        Run at most nine of the GPUs in one job, or set NCCL_P2P_LEVEL=PXB so that far pairs go over the CPU.

    Sources
        CUDA C++ Programming Guide, peer-to-peer memory access (read 2026-11).
    """
    ways = _pairs(facts, "topology")
    if not ways:
        return say.skipped("One GPU, or NVML did not tell how the GPUs are joined.")
    linked = {pair for pair, status in _pairs(facts, "p2p_nvlink").items() if status == "ok"}
    peers: dict[int, int] = {}
    for pair, status in _pairs(facts, "p2p_read").items():
        for index in pair if status == "ok" and pair not in linked else ():
            peers[index] = peers.get(index, 0) + 1
    most = max(peers, key=lambda index: peers[index], default=None)
    if most is not None and peers[most] > _MOST_PEERS:
        return say.warned(
            f"GPU {most} can reach {peers[most]} others over PCIe, and can map {_MOST_PEERS} of them at a time.",
            Evidence("peers", peers[most], source="nvml", needs=_MOST_PEERS),
            safe=("nvidia-smi topo -m", "export NCCL_P2P_LEVEL=PXB"),
        )
    kinds = sorted(set(ways.values()))
    told = ", ".join(f"{counted(sum(way == kind for way in ways.values()), 'pair')} {kind}" for kind in kinds)
    return say.passed(f"Between {counted(len(facts.gpus), 'GPU')}: {told}; {counted(len(linked), 'pair')} by NVLink.")


@check("mgpu.p2p_status", level="quick", needs=("nvml",), not_on=("mig", "vgpu-guest", "wsl"))
def p2p_status(facts: Facts, say: Verdict) -> Finding:
    """GPUs that are joined by NVLink or one PCIe switch can read each other's memory.

    What it finds
        Pairs that are near each other and may not talk directly.

    Why it matters
        Collectives then copy through the memory of the host, at a fraction of the speed.

    How it is decided
        nvmlDeviceGetP2PStatus. A pair that is not "ok" warns where NVLink joins it, where it is behind common PCIe
        switches and the status is neither "GPU" nor "chipset not supported", and where an option of the driver forbids
        it (disabled-by-regkey). Boards without peer access by design, as GeForce, pass with a sentence.

    What to do
        Look at IOMMU and ACS (pci.iommu, pci.acs) and at the driver's options.

    Sources
        NVML API reference, nvmlGpuP2PStatus_t; NVIDIA DCGM, its list of checks (read 2026-11).
    """
    reads, ways, links = (_pairs(facts, fact) for fact in ("p2p_read", "topology", "p2p_nvlink"))
    if not reads:
        return say.skipped("One GPU, or NVML did not tell whether GPUs can reach each other.")
    closed = {pair: status for pair, status in reads.items() if status != "ok"}
    if not closed:
        return say.passed(f"All {counted(len(reads), 'pair')} of GPUs can read each other's memory.")
    worst = [
        pair
        for pair, status in closed.items()
        if status == "disabled-by-regkey"
        or links.get(pair) == "ok"
        or (ways.get(pair) in _NEAR and status in {"topology-not-supported", "unknown"})
    ]
    if not worst:
        statuses = ", ".join(sorted(set(closed.values())))
        return say.passed(
            f"{counted(len(closed), 'pair')} of {len(reads)} can't read each other's memory by design ({statuses})."
        )
    first = worst[0]
    return say.warned(
        f"GPU {first[0]} and GPU {first[1]} can't read each other's memory ({closed[first]}), nor can"
        f" {counted(len(worst) - 1, 'other pair')}."
        if len(worst) > 1
        else f"GPU {first[0]} and GPU {first[1]} can't read each other's memory ({closed[first]}).",
        *facts.evidence(*(f"pair.{one}.{two}.{fact}" for one, two in worst[:8] for fact in ("p2p_read", "topology"))),
        safe=("nvidia-smi topo -p2p r", "nvidia-smi topo -m", "cat /sys/module/nvidia/parameters/NVreg_RegistryDwords"),
    )


CHECKS: tuple[Check, ...] = (nccl_env, topology, p2p_status)
