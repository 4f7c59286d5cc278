"""Checks of InfiniBand: ib."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from ..records import Evidence
from .base import check, counted
from .infiniband_counters import errors, flaps
from .infiniband_ports import Port, cards, ports
from .links import figures_of

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Check, Facts, Verdict

_LOOK: Final = ("ibstat", "sudo dmesg | grep -i mlx5 | tail -n 40")
_FULL_BOX: Final = 8
_HOPPER: Final = 9
_AMPERE: Final = 8
_MOST_PEERS: Final = 3


@check("ib.ports", level="quick", not_on=("wsl", "jetson"), leads=("ib.flaps", "ib.errors"))
def ib_ports(facts: Facts, say: Verdict) -> Finding:
    """The InfiniBand ports that should be up are up, at full rate.

    What it finds
        On a training machine a port that is down, waits for the subnet manager, or was trained to a lower rate.

    Why it matters
        NCCL spreads its traffic over all ports; one that is missing slows every job that spans machines, or ends it.

    How it is decided
        Only physical ports whose link layer is InfiniBand count; Ethernet cards, virtual functions and the cards that
        manage NVSwitches do not. On a machine with eight NVSwitch boards, where a port of the needed rate is up, fewer
        than 8 ports of 400 Gb/s (Hopper and newer) or 1 of 200 Gb/s (A100) fail when cards of the same kind have ports
        that are down; when the cards themselves are missing (5 to 7 there) it warns (our proposal). Elsewhere a port
        that is down warns only if it was up since its card was started, or if at least 3 others of the same board are
        up (our proposal): unused ports are ordinary. A port that is linked and waits for the subnet manager warns, and
        so does one whose rate is below that of others of the same board. Ports that were disabled are skipped.

    What to do
        Look at cable and switch port, then at the card's firmware. Ports in the state INIT need a subnet manager.

    Sources
        gpud, expected InfiniBand ports by GPU model; NHC, check_hw_ib (read 2026-11).
    """
    if not facts.was_looked_at("ib.devices"):
        return say.skipped("InfiniBand is not among these facts.")
    if why := facts.failure("ib.devices"):
        return say.unknown(f"The InfiniBand cards could not be listed: {why}.")
    found = ports(facts)
    if not found:
        failed = [reading for reading in facts.readings("ib.port") if reading.failure]
        if failed:
            return say.unknown("No InfiniBand port could be read.", *facts.evidence("ib.port"))
        return say.skipped("No InfiniBand card is on this machine.")
    up = [port for port in found if port.is_up]
    evidence = facts.evidence("ib.port")
    if lost := _fewer_than_due(facts, found):
        told, is_failure = lost
        if is_failure:
            return say.failed(told, *evidence, safe=_LOOK)
        return say.warned(told, *evidence, safe=("lspci -d 15b3:", *_LOOK))
    odd = [words for port in found if (words := _odd(facts, port, found))]
    if odd:
        return say.warned(f"InfiniBand is not as it should be: {', '.join(odd)}.", *evidence, safe=_LOOK)
    return say.passed(f"{len(up)} of {counted(len(found), 'InfiniBand port')} are up.", *evidence)


def _fewer_than_due(facts: Facts, found: tuple[Port, ...]) -> tuple[str, bool] | None:
    due = _due(facts)
    if due is None:
        return None
    number, rate = due
    good = [port for port in found if port.is_up and (port.rate or 0) >= rate]
    if not good or len(good) >= number:
        return None
    boards = {port.board for port in good}
    alike = [port for port in found if port.board in boards]
    if len(alike) > len(good):
        down = ", ".join(port.name for port in alike if port not in good)
        told = (
            f"{len(good)} of {len(alike)} InfiniBand ports are up with {rate:g} Gb/s, and a machine of this kind has"
            f" {number}: look at {down}."
        )
        return told, True
    if len(alike) > number // 2:
        return (
            f"{len(alike)} InfiniBand ports of {rate:g} Gb/s are there, and a machine of this kind has {number}.",
            False,
        )
    return None


def _due(facts: Facts) -> tuple[int, float] | None:
    """Ports and their rate in Gb/s that a full NVSwitch machine has; None for any other machine."""
    rows = [figures_of(facts, gpu) for gpu in facts.machine.gpus]
    majors = [
        row.compute_capability.major for row in rows if row and row.needs_fabric_manager and row.compute_capability
    ]
    if len(rows) != _FULL_BOX or len(majors) != _FULL_BOX or min(majors) < _AMPERE:
        return None
    return (8, 400.0) if min(majors) >= _HOPPER else (1, 200.0)


def _odd(facts: Facts, port: Port, found: tuple[Port, ...]) -> str | None:
    """What is odd about a port, None where it is well or unused."""
    alike = [other for other in found if other.board == port.board and other.board and other is not port]
    peers = [other for other in alike if other.is_up]
    if port.is_up:
        best = max((other.rate or 0 for other in peers), default=0)
        if len(peers) > 1 and port.rate and port.rate < best:
            return f"{port.name} runs at {port.rate:g} Gb/s and others of its kind at {best:g}"
        return None
    if port.physical == "LinkUp":
        return f"{port.name} is linked and waits for the subnet manager ({port.state})"
    if port.physical == "Disabled":
        return None
    was_up = (facts.number(f"ib.{port.dotted}.link_downed") or 0) > 0
    if was_up and any(other.is_up for other in found):
        return f"{port.name} went down"
    if len(peers) >= _MOST_PEERS:
        return f"{port.name} is down while {len(peers)} others of its kind are up"
    return None


@check("ib.firmware", level="quick", not_on=("wsl", "jetson"))
def firmware(facts: Facts, say: Verdict) -> Finding:
    """InfiniBand cards of one kind have one firmware.

    What it finds
        Cards of one board with different firmware: one that was exchanged, or an update that did not reach all.

    Why it matters
        Faults that an update removed stay on one card of eight and are hard to find from what a job shows.

    How it is decided
        Cards are grouped by the board id that sysfs shows; more than one firmware in a group warns.

    What to do
        Update the cards with the vendor's tool, all to one release, when the machine is free.

    Sources
        The kernel's sysfs-class-infiniband, fw_ver and board_id; imbue cluster-health, which compares firmware
        (read 2026-11).
    """
    found = [card for card in cards(facts) if card.firmware and card.board]
    if not found:
        return say.skipped("No InfiniBand card here tells its firmware.")
    mixed = []
    for board in sorted({card.board for card in found if card.board}):
        releases = Counter(card.firmware for card in found if card.board == board)
        if len(releases) > 1:
            mixed.append(f"{board} has {', '.join(f'{one} ({number})' for one, number in sorted(releases.items()))}")
    if mixed:
        return say.warned(
            f"InfiniBand cards of one kind have different firmware: {'; '.join(mixed)}.",
            *facts.evidence("ib.device"),
            safe=("ibv_devinfo | grep -E 'hca_id|fw_ver|board_id'",),
            risky=("update all cards to one firmware with the vendor's tool, then restart the machine",),
        )
    return say.passed("InfiniBand cards of one kind have one firmware.", *facts.evidence("ib.device"))


_MODULES: Final = ("nvidia_peermem", "nv_peer_mem")
_DMA_BUF_KERNEL: Final = (5, 12)


@check("ib.gdr", level="quick", needs=("driver",), not_on=("wsl", "jetson"))
def gdr(facts: Facts, say: Verdict) -> Finding:
    """InfiniBand cards can reach GPU memory by themselves.

    What it finds
        A machine with InfiniBand and data-centre GPUs where neither nvidia-peermem is loaded nor DMA-BUF can do its
        work.

    Why it matters
        Without GPUDirect RDMA every packet is copied through the host's memory: NCCL says "GPU Direct RDMA Disabled"
        and runs at a fraction of the rate.

    How it is decided
        Looked at only where an InfiniBand port is up and a data-centre GPU is there. A loaded nvidia_peermem (or the
        older nv_peer_mem) passes, and so does the open kernel module on kernel 5.12 or newer, where NCCL uses DMA-BUF.
        Otherwise it warns: a machine that never talks to another one does not need it.

    What to do
        Load nvidia-peermem; if that says "Invalid argument" the driver was built before the InfiniBand stack and its
        module must be built again. Or change to the open kernel module.

    Sources
        NVIDIA driver README, GPUDirect RDMA; NCCL issues 897, 1343 and 1537; gpud, peermem (read 2026-11).
    """
    if not any(port.is_up for port in ports(facts)):
        return say.skipped("No InfiniBand port is up here.")
    rows = [figures_of(facts, gpu) for gpu in facts.machine.gpus]
    if not any(row and row.gpu_class == "data_center" for row in rows):
        return say.skipped("No data-centre GPU is here.")
    modules = facts.texts("fabric.modules")
    if modules is None:
        return say.unknown("Which modules are loaded is not among these facts.")
    evidence = facts.evidence("fabric.modules")
    if loaded := [name for name in _MODULES if name in modules]:
        return say.passed(f"{loaded[0]} is loaded.", *evidence)
    driver = facts.machine.driver
    flavour = driver.kernel_module if driver else None
    if flavour is None:
        return say.unknown("nvidia_peermem is not loaded; whether DMA-BUF can be used is not known.", *evidence)
    if flavour == "open" and _kernel(facts) >= _DMA_BUF_KERNEL:
        return say.passed("The open kernel module shares GPU memory by DMA-BUF.", *evidence)
    return say.warned(
        "InfiniBand cards can't reach GPU memory: nvidia_peermem is not loaded, and DMA-BUF needs the open kernel"
        " module and kernel 5.12.",
        *evidence,
        Evidence("kernel_module", flavour, source="/proc/driver/nvidia/version", needs="open"),
        safe=("sudo modprobe nvidia-peermem", "echo nvidia-peermem | sudo tee /etc/modules-load.d/nvidia-peermem.conf"),
    )


def _kernel(facts: Facts) -> tuple[int, ...]:
    numbers = (facts.machine.host.kernel or "").split("-", 1)[0].split(".")
    return tuple(int(one) for one in numbers[:2] if one.isdigit())


@check("ib.memlock", level="quick", not_on=("wsl", "jetson"))
def memlock(facts: Facts, say: Verdict) -> Finding:
    """Programs may lock as much memory as InfiniBand needs.

    What it finds
        A limit on locked memory for this user, in a session with InfiniBand.

    Why it matters
        RDMA registers its buffers, which locks them: NCCL then stops with "Call to ibv_reg_mr failed".

    How it is decided
        Looked at only where an InfiniBand port is up and /dev/infiniband/uverbs0 is there for this session. Any limit
        but "unlimited" warns; it does not fail, as this session's limit need not be that of the job. Root outside of
        containers is not bound by it: then it passes, and nothing is said of users.

    What to do
        Raise the limit for users, for services, and in containers for each run.

    Sources
        NCCL user guide, troubleshooting of containers (ulimit memlock=-1); limits.conf(5), systemd.exec(5)
        (read 2026-11).
    """
    if not any(port.is_up for port in ports(facts)) or not facts.flag("ib.verbs_node"):
        return say.skipped("InfiniBand is not used in this session.")
    limit = facts.number("ib.memlock_bytes")
    if limit is None:
        return say.unknown(f"The limit is not known: {facts.why_not('ib.memlock_bytes')}.")
    if limit < 0:
        return say.passed("This session may lock memory without limit.", *facts.evidence("ib.memlock_bytes"))
    in_container = facts.is_any("container")
    if facts.number("user.uid") == 0 and not in_container:
        return say.passed(
            "Root is not bound by the limit on locked memory; what users may lock was not looked at.",
            *facts.evidence("ib.memlock_bytes"),
        )
    return say.warned(
        f"This session may lock {limit / 1024:.0f} KiB of memory only: RDMA needs it without limit.",
        Evidence("ib.memlock_bytes", int(limit), "bytes", "getrlimit RLIMIT_MEMLOCK", "unlimited"),
        safe=("start the container with --ulimit memlock=-1",)
        if in_container
        else (
            r"printf '* - memlock unlimited\n' | sudo tee /etc/security/limits.d/rdma.conf",
            "LimitMEMLOCK=infinity in the units that start jobs",
        ),
    )


CHECKS: tuple[Check, ...] = (ib_ports, flaps, errors, firmware, gdr, memlock)
