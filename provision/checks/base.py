"""What a check is, and the words that every check needs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..records import Evidence, Finding, FindingStatus, Gpu, Machine
from .facts import Facts, HostClass

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PROBLEMS", "Check", "Facts", "Level", "Need", "Verdict", "bus_ids", "check", "counted"]

Level = Literal["instant", "quick", "standard", "deep"]
LEVELS: tuple[Level, ...] = ("instant", "quick", "standard", "deep")
Need = Literal["gpu", "nvml", "driver", "env"]
"""What must be there for a check to mean anything: an NVIDIA GPU, an NVML that answers, a loaded kernel module, an
environment that was named with --env."""
PROBLEMS: frozenset[FindingStatus] = frozenset({"fail", "warn", "crashed", "timed-out"})
"""States that somebody has to act on."""


def not_from_a_warning(_: Facts, mine: Finding, other: Finding) -> bool:
    """What works and is only worth a look is not why something else fails."""
    return mine.status != "warn" or other.status != "fail"


def from_a_warning_too(*_: object) -> bool:
    """For checks whose warning is enough of a reason."""
    return True


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the catalogue: decorate its function with `check`."""

    id: str
    level: Level
    """What it costs to gather its facts: instant reads files, quick asks the driver."""
    judge: Callable[[Facts, Verdict], Finding]
    """The decision. Its docstring is the page that `gpusetup explain` prints; the first line is the title."""
    leads: tuple[str, ...] = ()
    """Checks whose failure this one's explains."""
    needs: tuple[Need, ...] = ()
    not_on: tuple[HostClass, ...] = ()
    """Kinds of box on which it means nothing and is skipped."""
    explains: Callable[[Facts, Finding, Finding], bool] = not_from_a_warning
    """Whether this finding is the reason of another one, whose id is in `leads`."""

    @property
    def component(self) -> str:
        """Part before the dot: pci, driver, cuda, ctr, sys."""
        return self.id.split(".", 1)[0]

    @property
    def page(self) -> str:
        """The text that `gpusetup explain` prints."""
        import inspect  # only pages need it, and it is slow to import

        return inspect.cleandoc(self.judge.__doc__ or "")

    @property
    def title(self) -> str:
        """What is so when it passes, in one line."""
        return (self.judge.__doc__ or "").strip().split("\n", 1)[0]

    def evaluate(self, facts: Facts | Machine) -> Finding:
        """The finding: skipped with the reason where the check does not apply."""
        facts = facts if isinstance(facts, Facts) else Facts(facts)
        say = Verdict(self.id)
        why = _why_skipped(facts, self)
        if why:
            return say.skipped(why)
        facts.asked_for.clear()
        finding = self.judge(facts, say)
        return _unless_in_trouble(finding, facts, say)


def _unless_in_trouble(finding: Finding, facts: Facts, say: Verdict) -> Finding:
    """The finding; no pass where something that the check asked for could not be read."""
    if finding.status != "pass":
        return finding
    lost = facts.in_trouble(facts.asked_for)
    if not lost:
        return finding
    first = lost[0]
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return say.unknown(f"{first.name}{more} could not be read ({first.failure}); the rest is well.", *finding.evidence)


def check(
    id_: str,
    *,
    level: Level,
    leads: tuple[str, ...] = (),
    needs: tuple[Need, ...] = (),
    not_on: tuple[HostClass, ...] = (),
    explains: Callable[[Facts, Finding, Finding], bool] = not_from_a_warning,
) -> Callable[[Callable[[Facts, Verdict], Finding]], Check]:
    """Makes a check of a function; its docstring is its page."""
    return lambda judge: Check(id_, level, judge, leads, needs, not_on, explains)


_CLASS_WORDS: dict[HostClass, str] = {
    "bare-metal": "a machine without a hypervisor",
    "vm": "a virtual machine",
    "container": "a container",
    "wsl": "WSL",
    "jetson": "a Jetson",
    "vgpu-guest": "a guest with a virtual GPU",
    "mig": "a box with MIG",
    "login-node": "a login node",
    "cpu-only": "a box that is meant to be without a GPU",
    "paste": "a machine that was described and not looked at",
}


def _why_skipped(facts: Facts, check: Check) -> str | None:
    for kind in check.not_on:
        if kind in facts.classes:
            return f"This does not apply to {_CLASS_WORDS[kind]}."
    for need in check.needs:
        if why := _why_missing(facts, need):
            return why
    return None


def _why_missing(facts: Facts, need: Need) -> str | None:
    if need != "env" and not facts.has_gpu:
        return "No NVIDIA GPU is on this machine."
    if need == "nvml" and not facts.gpus:
        return (
            "NVML lists no GPU that answers; driver.nvml_init says why."
            if facts.nvml_outcome
            else "NVML was not asked."
        )
    if need == "driver" and not facts.value("driver.module_version") and not facts.value("driver.proc_version"):
        return "No kernel module of the driver is loaded."
    if need == "env" and not facts.was_looked_at("env.path"):
        return "No environment was named (--env PATH)."
    return None


# --- findings


@dataclass(frozen=True, slots=True)
class Verdict:
    """Makes the findings of one check."""

    id: str

    def passed(self, happened: str, *evidence: Evidence) -> Finding:
        """All is well."""
        return Finding(self.id, "pass", happened, evidence)

    def skipped(self, reason: str, *evidence: Evidence) -> Finding:
        """The check does not apply here, for this reason."""
        return Finding(self.id, "skip", reason, evidence)

    def unknown(self, reason: str, *evidence: Evidence) -> Finding:
        """The facts could not be read: neither good nor bad."""
        return Finding(self.id, "unknown", reason, evidence)

    def timed_out(self, happened: str, *evidence: Evidence, safe: tuple[str, ...] = ()) -> Finding:
        """What the check stands on did not come within its deadline."""
        return Finding(self.id, "timed-out", happened, evidence, safe)

    def warned(
        self, happened: str, *evidence: Evidence, safe: tuple[str, ...] = (), risky: tuple[str, ...] = ()
    ) -> Finding:
        """Something to look at; the GPU works."""
        return Finding(self.id, "warn", happened, evidence, safe, risky)

    def failed(
        self, happened: str, *evidence: Evidence, safe: tuple[str, ...] = (), risky: tuple[str, ...] = ()
    ) -> Finding:
        """A GPU can't be used, or will not work right."""
        return Finding(self.id, "fail", happened, evidence, safe, risky)


# --- reading a machine


def on_bus(facts: Facts) -> tuple[Gpu, ...]:
    """GPUs that the PCI bus in sysfs shows."""
    shown = {reading.source.rsplit("/", 1)[-1] for reading in facts.readings("pci.gpu")}
    return tuple(gpu for gpu in facts.machine.gpus if gpu.pci_bus_id in shown)


def passed_through(facts: Facts) -> tuple[Gpu, ...]:
    """GPUs that this host has given away to virtual machines."""
    return tuple(gpu for gpu in facts.machine.gpus if gpu.kernel_driver == "vfio-pci")


def bus_ids(gpus: tuple[Gpu, ...]) -> str:
    """Their bus ids for a sentence."""
    return ", ".join(gpu.pci_bus_id or f"GPU {gpu.index}" for gpu in gpus)


def counted(number: int, noun: str) -> str:
    """1 GPU, 2 GPUs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
