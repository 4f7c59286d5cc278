"""The `data` of fleet-plan/1: many machines planned at once, the build that all can run, and what holds it back."""

from __future__ import annotations

from dataclasses import dataclass

from ..records import GpuLeftOut, MatrixIdentity, Request
from ..versions import CudaVersion


@dataclass(frozen=True, slots=True)
class GpuCount:
    """GPUs of one name in a machine."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a build is not for a machine: the rule with both sides."""

    rule: str
    found: str
    needs: str


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a machine has no plan: what planning it alone would have ended with."""

    id: str
    exit_code: int
    """3 a GPU can't be used, 4 no build fits, 7 the file or line can't be read."""
    happened: str
    reasons: tuple[Reason, ...] = ()
    """With exit code 4 one of each rule, the newest build first."""
    do: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One machine with its own best plan, or why it has none."""

    name: str
    """Its host name, else its file or line; a host name that comes again is followed by the file or line."""
    source: str
    """File, or file:line."""
    gpus: tuple[GpuCount, ...]
    driver: str | None
    torch: str | None
    variant: str | None
    python: str | None
    wheel_tag: str | None
    error: RowError | None = None
    gpus_left_out: tuple[GpuLeftOut, ...] = ()
    """GPUs of a mixed box that its plan is not for."""


@dataclass(frozen=True, slots=True)
class SharedWheel:
    """The wheel of a shared build for machines of one platform and Python."""

    wheel_tag: str
    python: str
    index: str
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SharedBuild:
    """A build that several machines can run."""

    torch: str
    variant: str
    cuda_runtime_version: CudaVersion | None
    machines: int
    python: str | None
    """The Python on which all of them can run it; null when they need several."""
    wheels: tuple[SharedWheel, ...]
    """One per platform and Python, the most machines first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Machines that refuse a build by one rule; a machine that refuses it by two rules is in two of these."""

    rule: str
    needs: str
    found: tuple[str, ...]
    """Up to sixteen different ones."""
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A newer build that is the best plan of some machine, and who refuses it."""

    torch: str
    variant: str
    machines: int
    """How many can run it."""
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class FleetChange:
    """The same change on several machines; `change` is null where no single change is known to help."""

    change: str | None
    from_: tuple[str, ...]
    """Up to sixteen different ones."""
    to: str | None
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lift:
    """A newer build that all machines would share, and the machines to change for it, the fewest first."""

    torch: str
    variant: str
    machines: int
    """How many have to change."""
    is_enough: bool
    """Whether the changes admit it everywhere; false: some machine would have to leave."""
    changes: tuple[FleetChange, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about some of the machines: an assumption (id null) or a note."""

    id: str | None
    happened: str
    machines: int


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """How many files or lines were read, and how each ended."""

    entries: int
    machines: int
    """Entries that could be read."""
    planned: int
    without_build: int
    without_usable_gpu: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class FleetData:
    """Data of fleet-plan/1. What all machines share leaves out entries that could not be read, nothing else."""

    summary: FleetSummary
    common: SharedBuild | None
    """The newest build that every machine can run; null when there is none."""
    common_torch: str | None
    """The newest torch that every machine can run, each in a variant of its own."""
    largest_group: SharedBuild | None
    """Without a common build: the newest of those that most machines can run."""
    outside: tuple[Refusal, ...]
    """Without a common build: the machines that can't run that of the largest group."""
    held_back_by: tuple[HeldBack, ...]
    """Newer builds, the newest first."""
    lifts: tuple[Lift, ...]
    machines: tuple[FleetRow, ...]
    """In the order in which they were read."""
    assumptions: tuple[Remark, ...]
    """Up to a hundred different ones, the most frequent first; so are the notes."""
    notes: tuple[Remark, ...]
    request: Request
    matrix: MatrixIdentity
