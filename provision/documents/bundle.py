"""The `data` of bundle/1: what is in a bundle, and whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..bundle.manifest import Damage
from ..bundle.target import Target
from ..records import MatrixIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..bundle.manifest import Manifest


@dataclass(frozen=True, slots=True)
class BundledDistribution:
    """One distribution of a plan's environment."""

    name: str
    version: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan of a bundle, with the machine that its files run on."""

    name: str
    torch: str
    variant: str
    target: Target
    size_bytes: int
    """Bytes of its wheels; plans may share some."""
    distributions: tuple[BundledDistribution, ...]


@dataclass(frozen=True, slots=True)
class HostRow:
    """A Python that gpusetup itself can be started with over there."""

    python: str
    arch: str


@dataclass(frozen=True, slots=True)
class BundleData:
    """Data of bundle/1."""

    path: str
    gpusetup: str
    """Version of the gpusetup inside."""
    created_at: str
    """UTC, 2026-11-24T02:00:00Z."""
    matrix: MatrixIdentity
    plans: tuple[PlanRow, ...]
    hosts: tuple[HostRow, ...]
    files: int
    size_bytes: int
    damage: tuple[Damage, ...] = ()
    """What is not as the manifest says; empty right after it was made."""
    seconds: dict[str, float] | None = None
    """Wall seconds of each phase."""
    downloaded_bytes: int | None = None
    """Bytes that came over the network or from another folder; null for a bundle that was only looked at."""
    kept_files: int | None = None
    """Wheels that an earlier, interrupted run had left whole."""


def bundle_data(
    folder: Path,
    manifest: Manifest,
    *,
    damage: Sequence[Damage] = (),
    seconds: dict[str, float] | None = None,
    downloaded_bytes: int | None = None,
    kept_files: int | None = None,
) -> BundleData:
    """The document of a bundle."""
    by_path = manifest.by_path
    plans = []
    for plan in manifest.plans:
        files = [(wheel, by_path[wheel.path]) for wheel in plan.wheels]
        distributions = [BundledDistribution(w.name, w.version, f.sha256, f.size_bytes) for w, f in files]
        size = sum(file.size_bytes for _, file in files)
        plans.append(PlanRow(plan.name, plan.torch, plan.variant, plan.target, size, tuple(distributions)))
    return BundleData(
        path=str(folder),
        gpusetup=manifest.gpusetup,
        created_at=manifest.created_at,
        matrix=manifest.matrix,
        plans=tuple(plans),
        hosts=tuple(HostRow(host.python, host.arch) for host in manifest.hosts),
        files=len(manifest.files),
        size_bytes=manifest.size_bytes,
        damage=tuple(damage),
        seconds=seconds,
        downloaded_bytes=downloaded_bytes,
        kept_files=kept_files,
    )
