"""The `data` of receipt/1 and explanation/1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..records import (
    Build,
    Distribution,
    EnvironmentInUse,
    GpuLeftOut,
    HeldWheel,
    PackageChange,
    Receipt,
    Rejection,
    SourceConflict,
    Verification,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ..install.apply import Rehearsal


@dataclass(frozen=True, slots=True)
class EnvironmentData:
    """Where an environment is and which Python it has."""

    path: str
    python: str


@dataclass(frozen=True, slots=True)
class RehearsedStep:
    """One command that an install would run; it never holds credentials."""

    label: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CacheData:
    """The installer's cache and what it means for the disk."""

    path: str | None
    """None where the installer keeps none."""
    links: Literal["link", "copy"] | None
    """link: the environment shares its files with the cache (reflink or hard link); copy: it has its own."""
    needed_bytes: int | None
    """What the cache may take beside the environment."""
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class TimeData:
    """Seconds that an install may take; every figure is measured, or null."""

    download_s: float | None
    """With nothing cached, over one connection."""
    rest_s: float | None
    """Making, filling and verifying the environment."""
    least_s: float | None
    """With everything cached."""
    most_s: float | None
    """With nothing cached."""
    basis: tuple[str, ...]
    """What the figures were measured on, or why there is none."""


@dataclass(frozen=True, slots=True)
class RehearsalData:
    """What `install --dry-run` found: nothing was changed."""

    steps: tuple[RehearsedStep, ...]
    download_bytes: int | None
    """Bytes of the files that are not on this machine, cached ones too; None when a source states no size."""
    disk_needed_bytes: int | None
    disk_free_bytes: int
    cache: CacheData | None = None
    time: TimeData | None = None


@dataclass(frozen=True, slots=True)
class ReceiptData:
    """Data of receipt/1."""

    environment: EnvironmentData
    distributions: tuple[Distribution, ...]
    verified: tuple[Verification, ...]
    seconds: dict[str, float]
    backend: str
    plan_digest: str
    build: Build
    reused: bool
    wheel: HeldWheel | None = None
    passed_over: tuple[Rejection, ...] = ()
    """Better builds that no source holds."""
    gpus_left_out: tuple[GpuLeftOut, ...] = ()
    """GPUs of a mixed box that the environment is not for."""
    conflicts: tuple[SourceConflict, ...] = ()
    """Projects of which the configured sources hold different files."""
    rehearsal: RehearsalData | None = None
    """With --dry-run: what would be done; then nothing is verified."""
    resumed: tuple[str, ...] = ()
    """Phases that an interrupted run had finished, and that were not repeated."""
    changes: tuple[PackageChange, ...] = ()
    """How the environment before this one had been changed since it was made."""
    in_use: tuple[EnvironmentInUse, ...] = ()
    """Old environments that stayed because a process uses them."""


def rehearsal_data(rehearsal: Rehearsal, *, env: Path, backend: str) -> ReceiptData:
    """The document of an install that was only rehearsed."""
    steps = tuple(RehearsedStep(label, command) for label, command in rehearsal.steps)
    return ReceiptData(
        environment=EnvironmentData(str(env), rehearsal.build.python),
        distributions=tuple(Distribution(w.name, w.version, w.sha256, w.source) for w in rehearsal.lock.wheels),
        verified=(),
        seconds={},
        backend=backend,
        plan_digest="",
        build=rehearsal.build,
        reused=False,
        conflicts=rehearsal.conflicts,
        rehearsal=RehearsalData(
            steps,
            rehearsal.download_bytes,
            rehearsal.disk_needed_bytes,
            rehearsal.disk_free_bytes,
            cache=_cache_data(rehearsal),
            time=_time_data(rehearsal),
        ),
    )


def _cache_data(rehearsal: Rehearsal) -> CacheData | None:
    found = rehearsal.storage
    return CacheData(found.cache, found.links, found.cache_needed_bytes, found.cache_free_bytes) if found else None


def _time_data(rehearsal: Rehearsal) -> TimeData | None:
    found = rehearsal.estimate
    return TimeData(found.download_s, found.rest_s, found.least_s, found.most_s, found.basis) if found else None


def receipt_data(receipt: Receipt) -> ReceiptData:
    """The document of a receipt."""
    return ReceiptData(
        environment=EnvironmentData(receipt.path, receipt.python),
        distributions=receipt.distributions,
        verified=receipt.verified,
        seconds={name: round(seconds, 3) for name, seconds in receipt.seconds},
        backend=receipt.backend,
        plan_digest=receipt.plan_digest,
        build=receipt.build,
        reused=receipt.reused,
        wheel=receipt.wheel,
        passed_over=receipt.passed_over,
        gpus_left_out=receipt.gpus_left_out,
        resumed=receipt.resumed,
        changes=receipt.changes,
        in_use=receipt.in_use,
        conflicts=receipt.conflicts,
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Data of explanation/1; without an id the page lists every id."""

    id: str
    page: str
