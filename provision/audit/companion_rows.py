"""Rows of transformers, accelerate, peft and the compiled companions against the index (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.version import Version

from .metadata import required
from .model import AuditRow
from .wheels import current, python_order, versions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..matrix.model import CompanionMinor, Numbers, TransformersMinor
    from ..matrix.tables import Matrix
    from .gathering import Key
    from .model import Reading, Shelf, Verdict, Wheel

TABLES = ("transformers", "accelerate", "peft")
"""Projects written in Python that the matrix has a table of."""

Minor = tuple[int, ...]


def minors_of(shelf: Shelf) -> dict[Minor, list[Version]]:
    """The releases of each minor, oldest first."""
    found: dict[Minor, list[Version]] = {}
    for version in versions_of(shelf.wheels):
        found.setdefault(version.release[:2], []).append(version)
    return found


def wanted_companions(matrix: Matrix, shelves: Mapping[str, Shelf]) -> dict[Key, Sequence[Wheel]]:
    """The wheel of the newest patch of each minor of every table."""
    wanted: dict[Key, Sequence[Wheel]] = {}
    for project in TABLES:
        held = minors_of(shelves[project])
        for row in _table(matrix, project):
            if versions := held.get(row.first[:2]):
                newest = versions[-1]
                wheels = [w for w in current(shelves[project].wheels) if w.version == newest]
                wanted[project, _text(row.first[:2]), "any"] = wheels[:1]
    return wanted


def _table(matrix: Matrix, project: str) -> tuple[TransformersMinor | CompanionMinor, ...]:
    rows: tuple[TransformersMinor | CompanionMinor, ...] = getattr(matrix, project)
    return rows


def table_rows(matrix: Matrix, shelves: Mapping[str, Shelf], readings: Mapping[Key, Reading]) -> Iterator[AuditRow]:
    """Every minor of every table, and the newer ones that the matrix lacks."""
    for project in TABLES:
        shelf, rows = shelves[project], _table(matrix, project)
        held = minors_of(shelf)
        for row in rows:
            place = f"{project}.rows[{_text(row.first)!r}]"
            if versions := held.get(row.first[:2]):
                yield _last_row(place, row, versions, shelf)
                yield from _metadata_rows(place, row, readings[project, _text(row.first[:2]), "any"])
            else:
                yield _absent_minor(place, row, shelf)
        yield from _missing_minors(project, rows, held, shelf)


def _absent_minor(place: str, row: TransformersMinor | CompanionMinor, shelf: Shelf) -> AuditRow:
    """A minor of which nothing was found: drift where the index would hold it."""
    if shelf.is_complete and not shelf.failure:
        return AuditRow(place, _text(row.first), None, "drift", "the index holds no release of this minor")
    why = shelf.failure or "the folder need not hold every wheel"
    return AuditRow(place, _text(row.first), None, "not-readable", why)


def _last_row(
    place: str, row: TransformersMinor | CompanionMinor, versions: Sequence[Version], shelf: Shelf
) -> AuditRow:
    """The first and the newest patch; a folder that lacks a patch proves nothing."""
    mine = f"{_text(row.first)} to {_text(row.last)}"
    theirs = f"{versions[0]} to {versions[-1]}"
    is_same = (versions[0].release, versions[-1].release) == (row.first, row.last)
    is_less = versions[0].release >= row.first and versions[-1].release <= row.last
    source = shelf.wheels[0].source
    if is_same or shelf.is_complete or not is_less:
        return AuditRow(f"{place}.last", mine, theirs, "same" if is_same else "drift", source=source)
    return AuditRow(f"{place}.last", mine, theirs, "not-readable", "the folder need not hold every wheel", source)


def _metadata_rows(place: str, row: TransformersMinor | CompanionMinor, reading: Reading) -> Iterator[AuditRow]:
    source = reading.wheel.source
    needs = _needs(row)
    if reading.metadata is None:
        said = ", ".join(f"{name} {value}" for name, value in needs.items())
        yield AuditRow(place, said, None, "not-readable", reading.failure, source)
        return
    python = least(reading.metadata.requires_python)
    mine = _text(row.python)
    yield AuditRow(f"{place}.python", mine, python, "same" if python == mine else "drift", source=source)
    for name, value in needs.items():
        asked = required(reading.metadata, name)
        theirs = str(asked.specifier) if asked else None
        is_same = _same_range(name, value, theirs)
        yield AuditRow(f"{place}.{name}", value, theirs, "same" if is_same else "drift", source=source)


def _needs(row: TransformersMinor | CompanionMinor) -> dict[str, str]:
    """What the matrix says that a minor asks for."""
    tokenizers = getattr(row, "tokenizers", None)
    if hasattr(row, "tokenizers"):
        return {"tokenizers": tokenizers} if tokenizers else {}
    return {"torch": _text(row.torch or ()), "numpy": getattr(row, "numpy", None) or "any"}


def _same_range(name: str, mine: str, theirs: str | None) -> bool:
    """Whether the least torch, the end of the range of numpy or the whole range of tokenizers is the same."""
    if name == "torch":
        floor = least(theirs)
        return floor is not None and Version(floor) == Version(mine)
    if name == "numpy":
        ends = [str(s) for s in SpecifierSet(theirs or "") if s.operator in {"<", "<=", "==", "~="}]
        return not ends if mine == "any" else len(ends) == 1 and _same_specifier(ends[0], mine)
    return theirs is not None and SpecifierSet(theirs) == SpecifierSet(mine)


def _same_specifier(left: str, right: str) -> bool:
    """Whether two specifiers end a range at the same release: <3 and <3.0.0."""
    mine, theirs = Specifier(left), Specifier(right)
    if mine.operator != theirs.operator or mine.version.endswith("*") or theirs.version.endswith("*"):
        return left == right
    return Version(mine.version) == Version(theirs.version)


def least(specifiers: str | None) -> str | None:
    """3.10 of '>=3.10.0', 2.4 of '>=2.4'; None where no least version is named."""
    try:
        floors = [s.version for s in SpecifierSet(specifiers or "") if s.operator in {">=", "~=", "=="}]
    except InvalidSpecifier:
        return None
    if not floors:
        return None
    major, minor = (*Version(floors[0].removesuffix(".*")).release, 0)[:2]
    return f"{major}.{minor}"


def _missing_minors(
    project: str,
    rows: Sequence[TransformersMinor | CompanionMinor],
    held: Mapping[Minor, Sequence[Version]],
    shelf: Shelf,
) -> Iterator[AuditRow]:
    known = {row.first[:2] for row in rows}
    oldest = min(known, default=(0, 0))
    for minor, versions in held.items():
        if minor > oldest and minor not in known:
            place = f"{project}.rows[{str(versions[0])!r}]"
            text = f"{versions[0]} to {versions[-1]}"
            yield AuditRow(place, None, text, "drift", "the matrix lacks this minor", shelf.wheels[0].source)


def free_threaded_rows(matrix: Matrix, shelves: Mapping[str, Shelf]) -> Iterator[AuditRow]:
    """Free-threaded Pythons for which the newest release of a compiled companion has a Linux wheel."""
    for project, tags in matrix.free_threaded:
        shelf = shelves[project]
        place = f"transformers.free_threaded.{project}"
        versions = versions_of(shelf.wheels)
        mine = " ".join(tags) or "none"
        if not versions or not shelf.is_complete:
            why = shelf.failure or "the folder need not hold every wheel"
            yield AuditRow(place, mine, None, "not-readable", why)
            continue
        found = {
            w.python
            for w in current(shelf.wheels)
            if w.version == versions[-1] and w.platform == "linux_x86_64" and w.python.endswith("t")
        }
        theirs = " ".join(sorted(found, key=python_order)) or "none"
        verdict: Verdict = "same" if found == set(tags) else "drift"
        yield AuditRow(place, mine, theirs, verdict, f"by {project} {versions[-1]}", shelf.wheels[0].source)


def _text(numbers: Numbers) -> str:
    return ".".join(map(str, numbers))
