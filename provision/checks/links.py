"""Checks of NVLink and C2C: link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted
from .links_errors import nvlink_ber, nvlink_errors
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..matrix.model import GpuFigures
    from ..records import Finding, Gpu
    from .base import Check, Facts, Verdict

_RESET = (
    "drain the machine, stop everything that uses the GPUs, then: sudo nvidia-smi --gpu-reset",
    "power the machine off and on; if the same link stays down, have bridge, baseboard or GPU looked at",
)
_AMPERE = 8
_BOARDS = frozenset(("sxm", "superchip"))


@dataclass(frozen=True, slots=True)
class _Links:
    """The NVLinks of one GPU."""

    gpu: Gpu
    states: tuple[object, ...]
    """active, inactive, or None for one that could not be read."""
    figures: GpuFigures | None

    @property
    def up(self) -> int:
        return self.states.count("active")

    @property
    def is_read(self) -> bool:
        return None not in self.states

    @property
    def form(self) -> str | None:
        return self.figures.form if self.figures else None

    @property
    def due(self) -> int | None:
        """Links that this product has; on a card those of its bridge."""
        return self.figures.nvlinks if self.figures else None

    @property
    def is_current(self) -> bool:
        """Ampere or newer: older boards are wired in ways of which we know too little."""
        return self.gpu.compute_capability is not None and self.gpu.compute_capability.major >= _AMPERE


@check("link.nvlink_up", level="quick", needs=("nvml",), leads=("mgpu.p2p_status",))
def nvlink_up(facts: Facts, say: Verdict) -> Finding:
    """Every NVLink that the boards should have is up.

    What it finds
        A GPU of an NVLink board with fewer active links than its model has, or than its neighbours; a card whose
        bridge carries only some of its links.

    Why it matters
        Collectives over many GPUs go as fast as the slowest link. A GPU that lost links drags all others down, or
        NCCL falls back to PCIe; the driver reports Xid 74 (Xid 144 to 150 with NVLink 5) when one fails at work.

    How it is decided
        The state of every link that NVML tells, against the number of links of the model in the matrix (12 on
        A100 SXM, 18 on H100 and H200 SXM) and against GPUs of the same name. On SXM boards from Ampere on, fewer in a
        box of several GPUs fail. On older boards only a difference between neighbours counts, and warns: some are
        wired to fewer. A card with a bridge warns when some but not all of the bridge's links are up, and is skipped
        when none are: most cards have no bridge. GPUs in MIG mode, which switches the links off, and single GPUs are
        skipped.

    What to do
        Read the kernel log for Xid 74 and the switches' SXid; reseat a bridge. Reset all GPUs that are linked
        together, then power-cycle. If it stays, the board needs service.

    Sources
        NVML API reference, nvmlDeviceGetNvLinkState; Azure node health checks (azure_gpu_nvlink) and gpud for the
        number of links by model; DCGM, GPU_EXPECTED_NVLINKS_UP (read 2026-11).
    """
    found = tuple(_links(facts))
    if not found:
        return _without_links(facts, say)
    evidence = tuple(
        Evidence(f"gpu.{one.gpu.index}.nvlinks_up", one.up, source="nvml", needs=one.due or len(one.states))
        for one in found
    )
    if not all(one.is_read for one in found):
        return say.unknown("NVML did not give the state of every NVLink.", *_states(facts, found))
    if len(found) == 1 or not any(one.up or _is_due(one) for one in found):
        return say.skipped(
            "There is one GPU with NVLink, and nothing to link it to."
            if len(found) == 1
            else "No NVLink is up, and these GPUs have links only where a bridge is fitted.",
            *evidence,
        )
    lame = [one for one in found if _lacks(one, found)]
    if not lame:
        return say.passed(f"All NVLinks that should be are up on {counted(len(found), 'GPU')}.", *evidence)
    told = ", ".join(f"GPU {one.gpu.index} has {one.up} of {_wanted(one, found)}" for one in lame)
    safe = ("nvidia-smi nvlink --status", KERNEL_LOG)
    if any(one.form in _BOARDS and one.is_current for one in lame):
        return say.failed(
            f"NVLinks are down: {told}.", *evidence, *_states(facts, tuple(lame)), safe=safe, risky=_RESET
        )
    where = "over their bridge" if any(one.form == "pcie" for one in lame) else "that its neighbours have"
    return say.warned(
        f"Some NVLinks {where} are down: {told}.",
        *evidence,
        *_states(facts, tuple(lame)),
        safe=safe,
        risky=("power the machine off and reseat the NVLink bridge",),
    )


def _links(facts: Facts) -> list[_Links]:
    found = []
    for gpu in facts.gpus:
        states = facts.value(f"gpu.{gpu.index}.nvlink_state")
        if isinstance(states, tuple) and states and gpu.mig_mode != "enabled":
            found.append(_Links(gpu, states, figures_of(facts, gpu)))
    return found


def figures_of(facts: Facts, gpu: Gpu) -> GpuFigures | None:
    """What the matrix knows of a GPU."""
    matrix = facts.matrix
    return matrix.gpu_figures(name=gpu.name, pci_device_id=gpu.pci_device_id) if matrix else None


def _without_links(facts: Facts, say: Verdict) -> Finding:
    names = [f"gpu.{gpu.index}.nvlink_state" for gpu in facts.gpus]
    odd = [name for name in names if (why := facts.failure(name)) and not why.endswith(("code 3)", "code 13)"))]
    if odd:
        return say.unknown("NVML could not tell the state of the NVLinks.", *facts.evidence(*odd))
    if any(gpu.mig_mode == "enabled" for gpu in facts.gpus):
        return say.skipped("NVLink is off while a GPU is in MIG mode.")
    return say.skipped("No GPU here has NVLink, as far as NVML tells.")


def _is_due(one: _Links) -> bool:
    """Whether links must be up whatever its neighbours say."""
    return one.form == "sxm" and one.is_current and one.due is not None


def _lacks(one: _Links, found: tuple[_Links, ...]) -> bool:
    if one.form == "pcie":
        return one.due is not None and 0 < one.up < one.due
    return one.form in _BOARDS and one.up < _wanted(one, found)


def _wanted(one: _Links, found: tuple[_Links, ...]) -> int:
    if one.form == "pcie":
        return one.due or one.up
    best = max(other.up for other in found if other.gpu.name == one.gpu.name)
    return max(best, one.due or 0) if _is_due(one) else best


def _states(facts: Facts, found: tuple[_Links, ...]) -> tuple[Evidence, ...]:
    return facts.evidence(*(f"gpu.{one.gpu.index}.nvlink_state" for one in found))


@check("link.c2c", level="quick", needs=("nvml",), not_on=("vm",))
def c2c(facts: Facts, say: Verdict) -> Finding:
    """The chip-to-chip link between CPU and GPU is up.

    What it finds
        A Grace Hopper or Grace Blackwell board whose GPU has lost NVLink-C2C to its CPU.

    Why it matters
        Over C2C the GPU reads the CPU's memory coherently and several times as fast as over PCIe. Without it programs
        made for these boards are slow or do not start.

    How it is decided
        On boards that the matrix calls superchips: C2C switched off, or one of its links inactive, fails. Elsewhere
        it is skipped.

    What to do
        Restart the machine and look at the firmware's log; a link that stays down needs service.

    Sources
        NVML API reference, nvmlDeviceGetC2cModeInfoV, NVML_FI_DEV_C2C_LINK_GET_STATUS (read 2026-11).
    """
    boards = [gpu for gpu in facts.gpus if (row := figures_of(facts, gpu)) and row.form == "superchip"]
    if not boards:
        return say.skipped("No board with NVLink-C2C is here.")
    names = [f"gpu.{gpu.index}.{fact}" for gpu in boards for fact in ("c2c_mode", "c2c_link_count", "c2c_link_state")]
    evidence = facts.evidence(*names)
    lost = []
    for gpu in boards:
        states = facts.texts(f"gpu.{gpu.index}.c2c_link_state") or ()
        if facts.value(f"gpu.{gpu.index}.c2c_mode") == "disabled":
            lost.append(f"it is off on GPU {gpu.index}")
        elif down := states.count("inactive"):
            lost.append(
                f"{down} of {counted(len(states), 'link')} of GPU {gpu.index} {'is' if down == 1 else 'are'} down"
            )
    if lost:
        return say.failed(
            f"NVLink-C2C between CPU and GPU is not up: {', '.join(lost)}.",
            *evidence,
            safe=("nvidia-smi c2c --status", KERNEL_LOG),
            risky=("sudo reboot", "have the board looked at if it stays"),
        )
    if any(facts.value(f"gpu.{gpu.index}.c2c_mode") is None for gpu in boards):
        return say.unknown("NVML did not tell whether NVLink-C2C is up.", *evidence)
    return say.passed("NVLink-C2C between CPU and GPU is up.", *evidence)


CHECKS: tuple[Check, ...] = (nvlink_up, nvlink_errors, nvlink_ber, c2c)
