"""Checks of PCIe links: width, repeated packets, errors on the way, power for adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Check, bus_ids, check, counted
from .gpu_answers import is_mobile
from .log_lines import left_out, lines, recent, told, when, why_no_log

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_UNKNOWN_WIDTHS = frozenset({0, 63, 255})
"""What a link shows that is down or does not tell."""


@check("pci.link_width", level="instant", needs=("gpu",), not_on=("vm", "container", "wsl", "jetson", "paste"))
def link_width(facts: Facts, say: Verdict) -> Finding:
    """Every GPU is connected with as many PCIe lanes as it and its slot have.

    What it finds
        Links that came up with fewer lanes than both ends could use.

    Why it matters
        Copies to and from the host, and between GPUs, take twice or four times as long, and nothing says so.

    How it is decided
        current_link_width against the smaller max_link_width of the GPU and of the port above it; the width does not
        fall when the GPU idles. Fewer lanes warn. A card for desktops, workstations or notebooks at half of 16 lanes
        passes with a word: many boards share lanes between two slots by design. Boards whose way to the processor is
        not PCIe are left out.

    What to do
        Reseat the board and its riser, clean the contacts, look for bifurcation of the slot in the firmware's setup.

    Sources
        Linux, sysfs-bus-pci; DCGM, PCIE_WIDTH (read 2026-11).
    """
    narrow: list[Gpu] = []
    shared: list[Gpu] = []
    known = 0
    for gpu in facts.machine.gpus:
        widths = _widths(facts, gpu)
        if widths is None:
            continue
        known += 1
        now, most = widths
        if now < most:
            is_desktop = _class_of(facts, gpu) in {"geforce", "workstation"}
            (shared if is_desktop and now * 2 >= most else narrow).append(gpu)
    names = [
        f"pci.{where}.{end}_link_width"
        for gpu in (*narrow, *shared)
        for where in (gpu.pci_bus_id, _port(facts, gpu))
        for end in ("current", "max")
        if where
    ]
    if narrow:
        said = ", ".join(f"{gpu.pci_bus_id} uses {_lanes(facts, gpu)} lanes" for gpu in narrow)
        return say.warned(
            f"{said}.",
            *facts.evidence(*names),
            *told(lines(facts, "link_limited")),
            safe=(f"sudo lspci -vvs {narrow[0].pci_bus_id} | grep -i lnk", "reseat the board and its riser"),
        )
    if shared:
        said = ", ".join(f"{gpu.pci_bus_id} uses {_lanes(facts, gpu)} lanes" for gpu in shared)
        return say.passed(f"{said}, as on boards that share lanes between slots.", *facts.evidence(*names))
    if not known:
        return say.skipped("The width of the GPUs' links is not shown here.")
    return say.passed(f"{counted(known, 'GPU')} with all lanes.")


def _port(facts: Facts, gpu: Gpu) -> str | None:
    ports = facts.texts(f"pci.{gpu.pci_bus_id}.ports")
    return ports[-1] if ports else None


def _widths(facts: Facts, gpu: Gpu) -> tuple[int, int] | None:
    """Lanes now and at most, None where they say nothing."""
    figures = facts.matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id) if facts.matrix else None
    if gpu.kernel_driver == "vfio-pci" or (figures and figures.form in ("superchip", "soc")):
        return None
    now = facts.number(f"pci.{gpu.pci_bus_id}.current_link_width")
    ends = [facts.number(f"pci.{gpu.pci_bus_id}.max_link_width")]
    port = _port(facts, gpu)
    if port and (of_port := facts.number(f"pci.{port}.max_link_width")) and of_port not in _UNKNOWN_WIDTHS:
        ends.append(of_port)
    most = min((end for end in ends if end is not None), default=None)
    if now is None or most is None or now in _UNKNOWN_WIDTHS or most in _UNKNOWN_WIDTHS:
        return None
    return int(now), int(most)


def _lanes(facts: Facts, gpu: Gpu) -> str:
    now, most = _widths(facts, gpu) or (0, 0)
    return f"{now} of {most}"


def _class_of(facts: Facts, gpu: Gpu) -> str | None:
    """Class of the board; a card that the matrix does not know counts as a desktop's when its name says so."""
    figures = facts.matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id) if facts.matrix else None
    if figures and figures.gpu_class:
        return figures.gpu_class
    return "geforce" if not gpu.name or "GeForce" in gpu.name or is_mobile(gpu) else None


_GBIT_PER_LANE = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}
"""Line rate of a lane by generation (PCI Express Base Specification)."""
_ERROR_RATE = 1e-12
"""Bit errors that the specification allows; DCGM derives its limit from it."""
_TOO_MUCH = 10.0


@check("pci.replay_rate", level="quick", needs=("nvml",))
def replay_rate(facts: Facts, say: Verdict) -> Finding:
    """Few packets are sent again over the GPUs' PCIe links.

    What it finds
        Links that damage more packets than PCIe allows for.

    Why it matters
        Repeated packets cost bandwidth, and a link that gets worse ends as a GPU lost from the bus.

    How it is decided
        NVML's replay counter against the last run of this boot. The limit is one bit error in 10^12 bits on every lane,
        as in DCGM: 15 per minute for 16 lanes of generation 4. More warns; more than ten times as many fails. At least
        a minute must lie between the runs, and without an earlier run it passes.

    What to do
        Reseat the board and its riser or cable, lower the generation of the slot in the firmware, look at pci.aer for
        the hop. Replace the part that it follows.

    Sources
        DCGM, health watch of the replay rate (expected rate by generation and lanes) (read 2026-11).
    """
    judged = 0
    over: list[tuple[Gpu, float, float]] = []
    far: list[tuple[Gpu, float, float]] = []
    for gpu in facts.gpus:
        rate = facts.rate(f"gpu.{gpu.index}.pcie_replay_count")
        if rate is None or rate.seconds < _LEAST_S:
            continue
        judged += 1
        limit = _replay_limit(facts, gpu)
        if rate.per_minute > limit:
            (far if rate.per_minute > _TOO_MUCH * limit else over).append((gpu, rate.per_minute, limit))
    shown = far or over
    if shown:
        gpu, per_minute, limit = shown[0]
        said = (
            f"The PCIe link of {bus_ids(tuple(one for one, _, _ in shown))} repeats packets:"
            f" {per_minute:.0f} per minute, where {limit:.0f} are allowed."
        )
        evidence = tuple(
            Evidence(f"gpu.{one.index}.pcie_replay_count", round(rate, 1), "per minute", "nvml", needs=round(most, 1))
            for one, rate, most in shown
        )
        safe = (
            f"sudo lspci -vvs {gpu.pci_bus_id or gpu.index} | grep -iE 'lnksta|cesta'",
            "reseat the board and its riser",
        )
        return (say.failed if far else say.warned)(said, *evidence, safe=safe)
    counts = facts.evidence(*(f"gpu.{gpu.index}.pcie_replay_count" for gpu in facts.gpus))
    if not judged:
        return say.passed("Repeated packets are judged from the second run of a boot on.", *counts)
    return say.passed("The PCIe links repeat few packets.", *counts)


_LEAST_S = 60.0
"""Seconds between two runs below which a handful of packets says nothing."""


def _replay_limit(facts: Facts, gpu: Gpu) -> float:
    """Packets per minute that may be repeated at the GPU's own generation and lanes."""
    name = f"gpu.{gpu.index}"
    generation = facts.number(f"{name}.pcie_link_gen_max") or 1
    lanes = facts.number(f"{name}.pcie_link_width_max") or 16
    return _ERROR_RATE * _GBIT_PER_LANE.get(int(generation), 64.0) * 1e9 * lanes * 60


_CORRECTED = 1000
"""Corrected errors in the kernel log that warn without an earlier run. Our proposal."""


@check("pci.aer", level="quick", needs=("gpu",), not_on=("wsl", "jetson", "paste"), leads=("pci.replay_rate",))
def aer(facts: Facts, say: Verdict) -> Finding:
    """PCIe reports no errors on the way to the GPUs.

    What it finds
        Errors that the GPUs and the ports above them counted (advanced error reporting), with the hop that saw them.

    Why it matters
        They name the cable, riser or slot that is at fault, before the GPU is lost.

    How it is decided
        The counters aer_dev_* in sysfs of each GPU and each port above it, since the machine started. A fatal error
        fails. One that is not fatal warns, but for unsupported requests, which looking for devices causes. Corrected
        ones count when more than 15 per minute came since the last run of this boot (one bit error in 10^12 on 16 lanes
        of generation 4), or when the log has more than 1,000 of them (our proposal).

    What to do
        Reseat what is plugged in at that hop, exchange riser or cable, update the firmware.

    Sources
        Linux, sysfs-bus-pci-devices-aer_stats, PCIe AER howto (read 2026-11).
    """
    hops = _hops(facts)
    counted_at = {hop: facts.number(f"pci.{hop}.aer_fatal") for hop in hops}
    fatal = tuple(hop for hop, count in counted_at.items() if count)
    nonfatal = tuple(hop for hop in hops if _has_nonfatal(facts, hop))
    growing = tuple(hop for hop in hops if _grows(facts, hop))
    logged = tuple(line for line in recent(facts, lines(facts, "aer_corrected")) if line.device in hops)
    beyond = left_out(facts, "aer_corrected")
    noisy = tuple(line for line in logged if line.count + beyond > _CORRECTED)
    safe = (
        "grep -H . /sys/bus/pci/devices/*/aer_dev_fatal | grep -v ' 0$'",
        "reseat the board, riser or cable at that hop",
    )
    if fatal:
        return say.failed(
            f"PCIe had fatal errors on the way to a GPU, at {', '.join(fatal)}.",
            *_counters(facts, fatal, "fatal"),
            *told((*lines(facts, "aer_fatal"),)),
            safe=safe,
        )
    if nonfatal:
        return say.warned(
            f"PCIe had errors on the way to a GPU that were not corrected, at {', '.join(nonfatal)}.",
            *_counters(facts, nonfatal, "nonfatal"),
            *told(lines(facts, "aer_nonfatal")),
            safe=safe,
        )
    if growing or noisy:
        where = ", ".join(dict.fromkeys((*growing, *(line.device or "" for line in noisy))))
        return say.warned(
            f"PCIe corrects many errors on the way to a GPU, at {where}.",
            *_counters(facts, growing, "correctable"),
            *told(noisy),
            safe=safe,
        )
    if not any(facts.was_looked_at(f"pci.{hop}.aer_fatal") for hop in hops):
        return say.skipped("The kernel counts no PCIe errors here.")
    return say.passed("PCIe counted no errors that matter on the way to the GPUs.")


def _hops(facts: Facts) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for gpu in facts.machine.gpus:
        if gpu.pci_bus_id:
            found |= dict.fromkeys((gpu.pci_bus_id, *(facts.texts(f"pci.{gpu.pci_bus_id}.ports") or ())))
    return tuple(found)


def _has_nonfatal(facts: Facts, hop: str) -> bool:
    kinds = facts.texts(f"pci.{hop}.aer_nonfatal_kinds") or ()
    return any(not kind.startswith("UnsupReq ") for kind in kinds)


def _grows(facts: Facts, hop: str) -> bool:
    rate = facts.rate(f"pci.{hop}.aer_correctable")
    limit = _ERROR_RATE * _GBIT_PER_LANE[4] * 1e9 * 16 * 60
    return rate is not None and rate.seconds >= _LEAST_S and rate.per_minute > limit


def _counters(facts: Facts, hops: tuple[str, ...], kind: str) -> tuple[Evidence, ...]:
    return facts.evidence(*(f"pci.{hop}.aer_{kind}{more}" for hop in hops for more in ("", "_kinds")))


@check("pci.nic_power", level="quick", not_on=("wsl", "jetson"))
def nic_power(facts: Facts, say: Verdict) -> Finding:
    """No network adapter complains about too little power from its slot.

    What it finds
        The line "Detected insufficient power on the PCIe slot" of NVIDIA's network adapters.

    Why it matters
        The adapter limits itself, and jobs over several machines run at the speed of the slowest one.

    How it is decided
        Any such line since the machine started warns. It does not fail, because the GPUs are well, and because NVIDIA
        calls the line harmless on machines that write it at every start (DGX Spark, which passes).

    What to do
        The slot's power limit in the firmware's setup; a slot that gives 75 W; the adapter's firmware.

    Sources
        Linux, mlx5 core/events.c; NVIDIA ConnectX troubleshooting; imbue cluster-health (read 2026-11).
    """
    if skipped := why_no_log(facts, say):
        return skipped
    found = lines(facts, "nic_power")
    if not found:
        return say.passed("No network adapter complains about its slot.", *facts.evidence("kernel.log"))
    if any("GB10" in (gpu.name or "") for gpu in facts.machine.gpus):
        return say.passed("The network adapter complains about its slot, as on every DGX Spark.", *told(found))
    where = ", ".join(dict.fromkeys(line.device or "an adapter" for line in found))
    return say.warned(
        f"The slot of {where} gives the network adapter too little power{when(facts, found[-1])}.",
        *told(found),
        safe=(
            f"sudo lspci -vvs {found[0].device or ''} | grep -i slotpower",
            "firmware setup: power limit of the slot",
        ),
    )


CHECKS: tuple[Check, ...] = (link_width, aer, replay_rate, nic_power)
