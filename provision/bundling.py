"""Bundles: what is planned goes in on one machine, and what fits comes out on another; the work is in `bundle/`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .bundle.manifest import MATRIX, damage_of, read_manifest
from .errors import InputError, InstallError
from .events import Event
from .records import Evidence, MatrixIdentity, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .bundle.create import Named
    from .bundle.manifest import BundledFile, BundledPlan, Damage, Manifest
    from .events import EventSink
    from .examined import Examined
    from .install.configuration import PackageConfiguration
    from .install.lock import Lock
    from .matrix import Matrix
    from .records import Plan, Request

_MANY_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Held:
    """Files of a bundle that make one environment: what an install needs in place of a network."""

    lock: Lock
    configuration: PackageConfiguration
    digest: str
    """Identity of these very files, wherever the folder is mounted."""
    folder: Path
    files: tuple[BundledFile, ...]

    def require_whole(self, events: EventSink) -> None:
        """InstallError (`bundle-damaged`) unless every one of the files has its hash."""
        require_whole(self.folder, self.files, events)


def require_whole(folder: Path, files: Sequence[BundledFile], events: EventSink = lambda _: None) -> None:
    """InstallError with what was found and expected of the files that are not as the manifest says."""
    tell = telling(sum(file.size_bytes for file in files), events)
    damage = [found for file in files if (found := damage_of(folder, file, tell))]
    if damage:
        raise InstallError(
            f"{damage[0].path} of the bundle is not what was put there.",
            code="bundle-damaged",
            evidence=damage_evidence(damage),
            do=(f"copy the bundle again, then: gpusetup bundle verify {folder}",),
        )


def damage_evidence(damage: Sequence[Damage]) -> tuple[Evidence, ...]:
    """Each file with what was found and what was expected."""
    return tuple(Evidence(item.path, item.found, needs=item.expected) for item in damage)


def telling(total: int, events: EventSink) -> Callable[[int], None]:
    """Counts bytes that were read and tells how far it is, once per 256 MiB."""
    done = told = 0

    def tell(size: int) -> None:
        nonlocal done, told
        done += size
        if done - told >= _MANY_BYTES:
            told = done
            text = f"hashes of {done / 2**20:.0f} of {total / 2**20:.0f} MiB compared"
            events(Event("bundle", "progress", text, fraction=min(done / max(total, 1), 1.0)))

    return tell


def named_plans(plans: Sequence[tuple[str, Plan]]) -> tuple[Named, ...]:
    """The plans with plain names of their own: those of their files, numbered where two are alike."""
    from .bundle.create import Named

    taken: set[str] = set()
    found = []
    for stem, plan in plans:
        base = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:48] or "plan"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        found.append(Named(name, plan))
    return tuple(found)


def unpack(
    folder: Path, name: str | None, examined: Examined, request: Request, *, site: str | None
) -> tuple[Plan, Held]:
    """The plan of a bundle that fits this machine, and its files: what an install without a network needs.

    `request` says --cpu and --require-gpu. The rules are those of `gpusetup plan` here, by the newer of the bundle's
    matrix and our own. NoBuildError (`bundle-misfit`) names the rule that each plan fails.
    """
    from packaging.tags import platform_tags

    from .bundle.choose import Here, choose, named
    from .gate import require_gpus
    from .planning import plan_for

    manifest = read_manifest(folder)
    plans = named(manifest, name)
    require_gpus(examined.machine, request, examined.findings)
    matrix, machine = newer_matrix(folder, manifest, site), examined.machine

    def is_cpu_meant(bundled: BundledPlan) -> bool:
        """Whether the CPU was asked for: here, or when the one plan was made that may be chosen."""
        return request.cpu or (len(plans) == 1 and _plan(folder, manifest, bundled).request.cpu)

    here = Here(
        machine=machine,
        platforms=tuple(platform_tags()),
        interpreters=(machine.python, *machine.interpreters) if machine.python else machine.interpreters,
        wants_cpu=request.cpu,
        plan_for=lambda wish: plan_for(examined, wish, matrix),
    )
    offer = choose(plans, here, is_cpu_meant=is_cpu_meant)
    plan = _plan(folder, manifest, offer.bundled)
    if plan.build is None:
        raise InputError(f"{offer.bundled.plan}: it plans no build")
    left_out = offer.admitted.resolution.gpus_left_out
    only = replace(plan.resolution, candidates=(plan.build,), gpus_left_out=left_out)
    plan = replace(plan, resolution=only)
    return plan, _hold(folder, manifest, offer.bundled, plan)


def _plan(folder: Path, manifest: Manifest, bundled: BundledPlan) -> Plan:
    """The plan's document, after its hash."""
    from .bundle.verify import read_plan

    require_whole(folder, (manifest.by_path[bundled.plan],))
    return read_plan(folder, bundled)


def _hold(folder: Path, manifest: Manifest, bundled: BundledPlan, plan: Plan) -> Held:
    from .documents.plan import plan_digest
    from .install.addresses import as_address
    from .install.configuration import Location, PackageConfiguration
    from .install.lock import Lock, LockedWheel

    by_path = manifest.by_path
    wheels = [
        LockedWheel(
            name=wheel.name,
            version=wheel.version,
            filename=by_path[wheel.path].filename,
            url=as_address(wheel.path, folder),
            sha256=by_path[wheel.path].sha256,
            size_bytes=by_path[wheel.path].size_bytes,
        )
        for wheel in bundled.wheels
    ]
    folders = dict.fromkeys(as_address(wheel.path.rpartition("/")[0], folder) for wheel in bundled.wheels)
    links = tuple(Location(Source("flat", address, name="bundle"), address) for address in folders)
    content = "".join(f"{wheel.filename} {wheel.sha256}\n" for wheel in wheels)
    identity = hashlib.sha256(content.encode()).hexdigest()
    return Held(
        lock=Lock(tuple(wheels)),
        configuration=PackageConfiguration(find_links=links, no_index=True, offline=True),
        digest=plan_digest(plan, sources=(Source("flat", f"sha256:{identity}", name="bundle"),)),
        folder=folder,
        files=manifest.files_of(bundled),
    )


def newer_matrix(folder: Path, manifest: Manifest, site: str | None) -> Matrix:
    """The newer of the bundle's matrix and our own decides; the site file of this machine counts with either."""
    from .examined import load_default_matrix
    from .matrix import read_matrix
    from .paths import site_file

    ours = load_default_matrix(site)
    file = manifest.by_path.get(MATRIX)
    if file is None or _age(manifest.matrix) <= _age(MatrixIdentity(ours.revision, ours.read_on)):
        return ours
    require_whole(folder, (file,))
    return read_matrix(folder / MATRIX, site=site_file(site))


def _age(matrix: MatrixIdentity) -> tuple[str, tuple[int, ...]]:
    """A sort key: the day on which it was read, then its revision, 2026.11.23-3."""
    return matrix.read_on, tuple(int(part) for part in re.findall(r"\d{1,9}", matrix.revision))
