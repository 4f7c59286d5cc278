"""Records of an audit, and the data of matrix-audit/1. No record holds an address: what is stored names no registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..records import MatrixIdentity  # noqa: TC001  documents are written by the hints of their records

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

    from ..install.listing import ListedFile

Verdict = Literal["same", "drift", "not-readable", "not-looked-at"]

GENERAL: str = "general package index"
PYTORCH: str = "PyTorch index"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One fact of the matrix and what the index says of it."""

    place: str
    """Path in the matrix file: torch.releases['2.9.1'].platforms.linux_x86_64.pythons."""
    matrix: str | None
    """What the matrix says; None where it says nothing."""
    index: str | None
    """What the index says; None where it could not be read or holds nothing."""
    verdict: Verdict
    why: str | None = None
    """Why it could not be read, or what differs where the two columns do not show it."""
    source: str | None = None
    """Which kind of source answered."""


@dataclass(frozen=True, slots=True)
class AuditSource:
    """What one source said about one project."""

    name: str
    project: str
    answer: str


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """How many rows ended in each verdict."""

    same: int = 0
    drift: int = 0
    not_readable: int = 0
    not_looked_at: int = 0


@dataclass(frozen=True, slots=True)
class AuditData:
    """Data of matrix-audit/1."""

    matrix: MatrixIdentity
    torch: str | None
    """The releases that were asked for; None: all, and the companions too."""
    sources: tuple[AuditSource, ...]
    summary: AuditSummary
    rows: tuple[AuditRow, ...]
    wheels_read: int
    """Wheels whose metadata was read."""
    bytes_read: int
    """Bytes that came over the network for them."""
    seconds: float


# --- what was found -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel that a source lists."""

    file: ListedFile
    source: str
    project: str
    version: Version
    build: tuple[int, str] | tuple[()]
    """Build tag: of two wheels that differ in it alone installers take the higher one."""
    python: str
    """cp312, cp313t for a free-threaded one, py3."""
    tag: str
    """Python tag - ABI tag - platform tag, as in the name."""
    platform: str
    """linux_x86_64 and so on; `any` of what is written in Python."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Everything that the sources hold of one project."""

    project: str
    wheels: tuple[Wheel, ...] = ()
    is_complete: bool = False
    """Whether what is missing here is missing on the general index."""
    failure: str | None = None
    """Why nothing is known."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Core metadata of a wheel, as far as the matrix has a word on it."""

    requires: tuple[Requirement, ...] = field(repr=False)
    requires_python: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """The metadata of one wheel, or why it could not be read."""

    wheel: Wheel
    metadata: Metadata | None = None
    failure: str | None = None
    received_bytes: int = 0


class UnreadableError(Exception):
    """Why the metadata of a wheel could not be read, in one sentence without an address."""
