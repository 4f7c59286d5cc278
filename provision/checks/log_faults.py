"""Faults of GPUs that the kernel log tells: what an Xid line means, and what is told without an Xid. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .log_lines import is_recent, lines, numbered
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from .base import Facts
    from .log_lines import Line

DRIVER_FAULTS = ("open_modules_required", "no_gsp", "legacy_gpu", "not_supported", "gsp_firmware", "power_cables")
"""Kinds of lines that name why a GPU did not start; checks of the driver, of power and of the bus judge them."""
_NAMED_ELSEWHERE = (*DRIVER_FAULTS, "bar_invalid", "api_mismatch", "probe_not_called")

ACTIONS = {
    "restart-app": "start the program again",
    "reset-gpu": "sudo nvidia-smi --gpu-reset -i {device}    (after all work on it has ended)",
    "restart-fabric": "sudo systemctl restart nvidia-fabricmanager    (while no job runs)",
    "reboot": "sudo reboot",
    "power-cycle": "switch the machine off, wait, and switch it on: a warm restart does not bring the link back",
    "check-power": "check that every power connector of the board is plugged in, and the power supply",
    "drain": "give the GPU no new work and let the old end, then sudo nvidia-smi --gpu-reset -i {device}",
}
"""What an action of the matrix is in a command or a sentence."""
_TOLD_BY_THE_ROW = frozenset({"power-cycle"})
"""Actions that are a sentence: where a row of the matrix has one of its own, that one is enough."""
_HARMLESS = frozenset({"restart-app", "check-power"})
SUPPORT = "sudo nvidia-bug-report.sh    (collects what the vendor asks for)"
_ONLY_A_RESTART = frozenset({"reboot", "power-cycle", "check-power"})
_NAMES_A_STATE = frozenset({154})
"""Xids whose newest line replaces the older ones: the driver says what it wants now."""
_ORDER = ("info", "application", "reset", "hardware")


@dataclass(frozen=True, slots=True)
class Judged:
    """What the matrix makes of an Xid."""

    name: str
    xid_class: str | None
    """None: no row has the number."""
    action: str
    then: str | None
    do: str
    told: str
    """`Xid 79 (GPU lost from the bus) on 0000:05:00.0`."""

    @property
    def is_fatal(self) -> bool:
        """Whether the GPU can't be trusted until something was done."""
        return self.xid_class in {"hardware", "reset"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and what it asks for."""

    line: Line
    told: str
    action: str
    then: str | None = None
    do: str = ""
    stands: bool = True
    """False: it is past, as far as can be seen."""
    is_doubtful: bool = False
    """Whether it does harm is for another check to say."""
    is_lost: bool = False
    """The GPU is gone from the bus."""

    @property
    def code(self) -> int | None:
        """Number of the Xid, None for one without."""
        return self.line.code


def judged_xid(facts: Facts, line: Line) -> Judged:
    """What an Xid means, by its number and its words."""
    row = facts.matrix.xid(line.code or 0) if facts.matrix else None
    where = f" on {line.device}" if line.device else ""
    if row is None:
        return Judged("not in the list", None, "none", None, "", f"Xid {line.code}{where}")
    texts = line.texts[:1] if line.code in _NAMES_A_STATE else line.texts
    xid_class, action = max(
        (row.judged(text) for text in texts or ("",)), key=lambda found: (_ORDER.index(found[0]), found[1] != "none")
    )
    return Judged(row.name, xid_class, action, row.then, row.do, f"Xid {line.code} ({row.name}){where}")


def fatal_xids(facts: Facts) -> tuple[Fault, ...]:
    """Xids of the hardware and reset classes, the oldest first: the first is often the reason of the others."""
    found = []
    for line in numbered(facts, "xid"):
        judged = judged_xid(facts, line)
        if judged.is_fatal:
            stands = is_recent(facts, line) or judged.action in _ONLY_A_RESTART or _is_unwell(facts, line.device)
            is_lost = judged.action == "power-cycle"
            found.append(Fault(line, judged.told, judged.action, judged.then, judged.do, stands, is_lost=is_lost))
    return tuple(found)


def _is_unwell(facts: Facts, device: str | None) -> bool:
    """Whether NVML does not answer for that GPU, or says that it wants a recovery."""
    gpu = next((one for one in facts.machine.gpus if one.pci_bus_id == device), None)
    if gpu is None or gpu.in_nvml is False:
        return True
    return facts.value(f"gpu.{gpu.index}.recovery_action") not in (None, "none")


def _answers(facts: Facts, device: str | None) -> bool:
    """Whether NVML answers for that GPU, or for all when the line names none."""
    gpus = [gpu for gpu in facts.machine.gpus if device is None or gpu.pci_bus_id == device]
    return bool(gpus) and all(gpu.in_nvml for gpu in gpus)


def xidless(facts: Facts) -> tuple[Fault, ...]:
    """Faults of GPUs that the driver tells without an Xid."""
    lost = {line.device for line in numbered(facts, "xid") if judged_xid(facts, line).action == "power-cycle"}
    found = []
    for line in lines(facts, "fallen_off_bus"):
        if line.device not in lost:
            stands = is_recent(facts, line) or not _answers(facts, line.device)
            told = f"The GPU {line.device or ''} has fallen off the bus".replace("  ", " ")
            found.append(Fault(line, told, "power-cycle", "support", _FALLEN, stands, is_lost=True))
            lost.add(line.device)
    stuck = tuple(line for line in lines(facts, "gsp_wpr2") if not _answers(facts, line.device))
    told = "A GPU was not reset cleanly (WPR2 already up)"
    found += [Fault(line, told, "power-cycle", None, _WPR2) for line in stuck]
    if not stuck and not any(lines(facts, kind) for kind in _NAMED_ELSEWHERE):
        for line in lines(facts, "rm_init_failed"):
            if not _answers(facts, line.device) and line.device not in lost:
                told = f"The driver could not start the GPU {line.device or ''} (RmInitAdapter failed)"
                found.append(Fault(line, told.replace("  ", " "), "power-cycle", "support", _NOT_STARTED))
                lost.add(line.device)
    for kind, told, action, do in _MEMORY_TROUBLE:
        found += [Fault(line, told, action, None, do, is_doubtful=True) for line in lines(facts, kind)]
    return tuple(found)


_FALLEN = "Switch the machine off and on; when it comes back, check seating, riser, power and cooling."
_WPR2 = "Switch the machine off and on; in a virtual machine let the host reset the slot."
_NOT_STARTED = "Read the driver's lines before this one, they name the reason; then switch the machine off and on."
_MEMORY_TROUBLE = (
    (
        "uvm_hmm",
        "The driver found no room in the kernel's address map for GPU memory, so CUDA may not start",
        "reboot",
        "set the option uvm_disable_hmm=1 of nvidia_uvm in /etc/modprobe.d, rebuild the initramfs",
    ),
    (
        "uvm_vgpu",
        "This type of virtual GPU has no unified memory",
        "none",
        "choose a vGPU profile for compute, or pass the whole GPU through",
    ),
)


def steps(found: tuple[Fault, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Safe and risky remedies of some faults, the first fault's first."""
    safe: dict[str, None] = {KERNEL_LOG: None}
    risky: dict[str, None] = {}
    for fault in found:
        is_harmless = fault.action in _HARMLESS or fault.action not in ACTIONS
        if fault.do:
            (safe if is_harmless else risky)[fault.do] = None
        for action in (fault.action, fault.then):
            if action == "support":
                safe[SUPPORT] = None
            elif action in ACTIONS and not (fault.do and action in _TOLD_BY_THE_ROW):
                command = ACTIONS[action].format(device=fault.line.device or "<gpu>")
                (safe if action in _HARMLESS else risky)[command] = None
    return tuple(safe), tuple(risky)
