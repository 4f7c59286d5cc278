"""EDGE: whether a bundle is what its manifest says: every file, nothing else, every list complete for its machine."""

from __future__ import annotations

import itertools
import os
import zipfile
from collections import deque
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from ..documents.envelope import decode_text, load_document
from ..documents.plan import PlanData, plan_from_data
from ..errors import InputError
from .manifest import FILENAME, LAUNCHER, MATRIX, README, Damage, damage_of, open_inside, read_manifest
from .target import arch_of, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ..records import Plan
    from .manifest import BundledPlan, BundledWheel, Manifest

_MOST_METADATA = 4 * 2**20
_MOST_FOREIGN = 100
_MOST_ENTRIES = 100_000
_MOST_PLAN = 16 * 2**20


def verify_bundle(
    folder: Path, on_bytes: Callable[[int], None] = lambda _: None
) -> tuple[Manifest, tuple[Damage, ...]]:
    """The manifest of a bundle and everything that is not as it says; InputError when the manifest is no good."""
    manifest = read_manifest(folder)
    damage = [found for file in manifest.files if (found := damage_of(folder, file, on_bytes))]
    damage += foreign(folder, {file.path for file in manifest.files})
    paths = manifest.by_path
    damage += [Damage(path, "not in the manifest", "a file of every bundle") for path in _NEEDED if path not in paths]
    whole = {file.path for file in manifest.files} - {item.path for item in damage}
    for plan in manifest.plans:
        if not {plan.plan, *(wheel.path for wheel in plan.wheels)} - whole:
            damage += plan_damage(folder, plan)
    return manifest, tuple(damage)


_NEEDED = (LAUNCHER, MATRIX, README)


def foreign(folder: Path, known: set[str]) -> list[Damage]:
    """Files, links and other things that the manifest does not name."""
    found: list[Damage] = []
    folders = {parent for path in known for parent in _parents(path)}
    todo, seen = deque([""]), 0
    while todo and len(found) < _MOST_FOREIGN and seen < _MOST_ENTRIES:
        here = todo.popleft()
        try:
            entries = list(itertools.islice(os.scandir(folder / here), _MOST_ENTRIES))
        except OSError as err:
            found.append(Damage(here, err.strerror or "cannot be read", "a folder"))
            continue
        for entry in entries:
            seen += 1
            path = f"{here}/{entry.name}" if here else entry.name
            if entry.is_dir(follow_symlinks=False) and path in folders:
                todo.append(path)
            elif path not in known and path != FILENAME:
                is_link = entry.is_symlink()
                what = "a link" if is_link else "a folder" if entry.is_dir(follow_symlinks=False) else "a file"
                found.append(Damage(path, what, "nothing: the manifest does not name it"))
    return found


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def read_plan(folder: Path, bundled: BundledPlan) -> Plan:
    """The plan/1 document of a bundled plan; InputError when it is none, or one of another build."""
    with os.fdopen(open_inside(folder, bundled.plan), "rb") as stream:
        raw = stream.read(_MOST_PLAN + 1)
    if len(raw) > _MOST_PLAN:
        raise InputError(f"{bundled.plan}: larger than {_MOST_PLAN} bytes; this is no plan")
    loaded = load_document(decode_text(raw, origin=bundled.plan), origin=bundled.plan, expect="plan")
    if not isinstance(loaded.data, PlanData):
        raise InputError(f"{bundled.plan}: data: expected a plan, found null")
    plan = plan_from_data(loaded.data, origin=bundled.plan)
    build = plan.build
    head = (build.torch, build.variant, build.python, arch_of(build.wheel_tag)) if build else None
    expected = (bundled.torch, bundled.variant, bundled.target.python, bundled.target.arch)
    if head != expected:
        raise InputError(f"{bundled.plan}: the plan is for {head}; the manifest says {expected}")
    return plan


def plan_damage(folder: Path, bundled: BundledPlan) -> list[Damage]:
    """What keeps an environment from being made of a plan's files, each of which is whole by itself."""
    try:
        plan = read_plan(folder, bundled)
        requirements = [Requirement(line) for line in plan.build.requirements] if plan.build else []
    except (InputError, OSError, InvalidRequirement) as err:
        return [Damage(bundled.plan, str(err)[:200], "the plan that the manifest names")]
    tags = bundled.target.tags
    damage = [
        Damage(wheel.path, "a wheel for other machines", str(bundled.target))
        for wheel in bundled.wheels
        if not fits(wheel.path.rpartition("/")[2], tags)
    ]
    damage += [
        Damage(wheel.path, "a wheel of another name or version", f"{wheel.name} {wheel.version}")
        for wheel in bundled.wheels
        if not _is_named(wheel)
    ]
    return damage or _incomplete(folder, bundled, requirements)


def _is_named(wheel: BundledWheel) -> bool:
    try:
        name, version, _, _ = parse_wheel_filename(wheel.path.rpartition("/")[2])
        return name == canonicalize_name(wheel.name) and version == Version(wheel.version)
    except (InvalidWheelFilename, InvalidVersion):
        return False


def _incomplete(folder: Path, bundled: BundledPlan, requirements: Iterable[Requirement]) -> list[Damage]:
    """Requirements, those of the wheels included, that no wheel of the plan meets."""
    held = {canonicalize_name(wheel.name): wheel for wheel in bundled.wheels}
    damage: list[Damage] = []
    todo, seen = deque((requirement, "the plan") for requirement in requirements), set[tuple[str, str]]()
    kept: dict[str, list[Requirement]] = {}
    while todo:
        requirement, asker = todo.popleft()
        wheel = held.get(canonicalize_name(requirement.name))
        if wheel is None:
            damage.append(Damage(bundled.lock, f"no {requirement.name}", f"{requirement} ({asker})"))
            continue
        if not requirement.specifier.contains(Version(wheel.version), prereleases=True):
            damage.append(Damage(bundled.lock, f"{wheel.name} {wheel.version}", f"{requirement} ({asker})"))
        for extra in ("", *sorted(requirement.extras)):
            if (wheel.name, extra) in seen:
                continue
            seen.add((wheel.name, extra))
            if wheel.name not in kept:
                try:
                    kept[wheel.name] = _needs(folder, wheel)
                except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as err:
                    damage.append(Damage(wheel.path, str(err)[:200], "a wheel with its metadata"))
                    kept[wheel.name] = []
            environment = {**bundled.target.markers, "extra": extra}
            todo.extend((need, wheel.name) for need in kept[wheel.name] if _applies(need, environment))
    return damage


def _applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate(environment)
    except (UndefinedComparison, UndefinedEnvironmentName):
        return True  # what nobody can decide counts, so that nothing is missing unseen


def _needs(folder: Path, wheel: BundledWheel) -> list[Requirement]:
    """Requires-Dist of a wheel; ValueError (InvalidRequirement is one) when it has no metadata to read."""
    with os.fdopen(open_inside(folder, wheel.path), "rb") as stream, zipfile.ZipFile(stream) as archive:
        entry = next(
            (item for item in archive.infolist() if _is_metadata(item.filename) and item.file_size <= _MOST_METADATA),
            None,
        )
        if entry is None:
            raise ValueError("it has no METADATA")
        with archive.open(entry) as member:
            text = member.read(_MOST_METADATA).decode("utf-8", "replace")
    return [Requirement(line) for line in HeaderParser().parsestr(text).get_all("Requires-Dist") or []]


def _is_metadata(name: str) -> bool:
    folder, _, last = name.partition("/")
    return folder.endswith(".dist-info") and last == "METADATA"
