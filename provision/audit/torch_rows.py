"""Rows of torch releases against what the index lists and what its wheels ask for (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ..matrix.model import PLATFORMS
from .metadata import environment_of, pins_of, required
from .model import AuditRow, Reading
from .wheels import current, python_order, versions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..matrix.model import TorchRelease, WheelPlatform
    from ..matrix.tables import Matrix
    from .gathering import Key
    from .model import Shelf, Verdict, Wheel

MAX_TRIES = 2
"""Wheels of one row whose metadata is asked for, should the first not be readable."""
SIBLINGS = ("torchvision", "torchaudio")
"""Projects whose every release is made for one torch."""


def wanted_of(release: TorchRelease, shelves: Mapping[str, Shelf]) -> dict[Key, Sequence[Wheel]]:
    """The wheels whose metadata a release is compared with, by platform; of each row the newest Pythons."""
    wanted: dict[Key, Sequence[Wheel]] = {}
    for row in release.platforms:
        wheels = _held(shelves["torch"], release.version, row.platform)
        if wheels:
            wanted["torch", release.version, row.platform] = _likely(wheels)
    for project in SIBLINGS:
        version = getattr(release.companions, project)
        same = [w for w in current(shelves[project].wheels) if str(w.version) == version]
        if same:
            wanted[project, version, "any"] = _likely([w for w in same if w.platform == "linux_x86_64"] or same)
    return wanted


def _likely(wheels: Sequence[Wheel]) -> Sequence[Wheel]:
    ordered = sorted(wheels, key=lambda wheel: (not wheel.python.endswith("t"), python_order(wheel.python)))
    return ordered[::-1][:MAX_TRIES]


def _held(shelf: Shelf, version: str, platform: str) -> tuple[Wheel, ...]:
    """The wheels of a release for a platform, without local labels, oldest Python first."""
    public = Version(version)
    found = [w for w in shelf.wheels if w.version == public and w.version.local is None and w.platform == platform]
    return tuple(sorted(current(found), key=lambda wheel: python_order(wheel.python)))


# --- releases -----------------------------------------------------------------------------------


def release_rows(matrix: Matrix, shelf: Shelf, is_wanted: Callable[[str], bool]) -> Iterator[AuditRow]:
    """Releases that the matrix lists and the index lacks, and the other way round."""
    listed = {release.version: release for release in matrix.releases}
    offered = {str(version) for version in versions_of(shelf.wheels)}
    oldest = Version(matrix.releases[0].version)
    for version in sorted({*listed, *offered}, key=Version):
        if not is_wanted(version) or Version(version) < oldest:
            continue
        place = f"torch.releases[{version!r}]"
        held = [w for w in shelf.wheels if str(w.version) == version]
        text = f"{len(held)} wheels" if held else None
        if version in listed and version in offered:
            yield AuditRow(place, "listed", text, "same", source=held[0].source)
        elif version in listed and held:
            yield AuditRow(place, "listed", "yanked", "drift", "every wheel of it was yanked", held[0].source)
        elif version in listed:
            yield _absent(place, "listed", shelf)
        else:
            yield AuditRow(place, None, text, "drift", "the matrix lacks this release", held[0].source)


def _absent(place: str, said: str, shelf: Shelf) -> AuditRow:
    if shelf.is_complete:
        return AuditRow(place, said, None, "drift", "the index holds no such wheel")
    return AuditRow(place, said, None, "not-readable", shelf.failure or "the folder need not hold every wheel")


def platform_rows(
    release: TorchRelease, shelves: Mapping[str, Shelf], readings: Mapping[Key, Reading]
) -> Iterator[AuditRow]:
    """Python tags, platform tags and requirements of one release, platform by platform."""
    shelf = shelves["torch"]
    for row in release.platforms:
        place = f"torch.releases[{release.version!r}].platforms.{row.platform}"
        wheels = _held(shelf, release.version, row.platform)
        if not wheels:
            yield _absent(place, " ".join(row.pythons), shelf)
            continue
        yield _python_row(place, row, wheels, shelf)
        yield _tag_row(place, row, wheels)
        yield _requires_row(place, row, wheels, readings.get(("torch", release.version, row.platform)))
    yield from _platforms_that_lack(release, shelf)


def _platforms_that_lack(release: TorchRelease, shelf: Shelf) -> Iterator[AuditRow]:
    public = Version(release.version)
    mine = {row.platform for row in release.platforms}
    found = {w.platform for w in shelf.wheels if w.version == public and w.version.local is None}
    for platform in sorted(found - mine):
        wheels = _held(shelf, release.version, platform)
        known = "" if platform in PLATFORMS else ", a platform that no row knows"
        yield AuditRow(
            f"torch.releases[{release.version!r}].platforms",
            None,
            f"{platform}: {' '.join(w.python for w in wheels)}",
            "drift",
            f"the matrix lacks this platform{known}",
            wheels[0].source,
        )


def _python_row(place: str, row: WheelPlatform, wheels: Sequence[Wheel], shelf: Shelf) -> AuditRow:
    found = [wheel.python for wheel in wheels]
    verdict: Verdict = "same" if set(found) == set(row.pythons) else "drift"
    why = _difference(set(row.pythons), set(found))
    if verdict == "drift" and not shelf.is_complete and set(found) < set(row.pythons):
        verdict, why = "not-readable", "the folder need not hold every wheel"
    return AuditRow(f"{place}.pythons", " ".join(row.pythons), " ".join(found), verdict, why, wheels[0].source)


def _difference(mine: set[str], theirs: set[str]) -> str | None:
    """What only one side has, in words."""
    parts = []
    if more := theirs - mine:
        parts.append(f"only the index has {' '.join(sorted(more, key=python_order))}")
    if less := mine - theirs:
        parts.append(f"only the matrix has {' '.join(sorted(less, key=python_order))}")
    return "; ".join(parts) or None


def _tag_row(place: str, row: WheelPlatform, wheels: Sequence[Wheel]) -> AuditRow:
    """ABI and platform tags of the Pythons that both sides name."""
    both = [wheel for wheel in wheels if wheel.python in row.pythons]
    expected = {wheel.python: row.wheel_tag(wheel.python, row.general_tag) for wheel in both}
    differing = [wheel for wheel in both if expected[wheel.python] != wheel.tag]
    shown = differing or both
    mine = _short(expected[wheel.python] for wheel in shown)
    theirs = _short(wheel.tag for wheel in shown)
    verdict: Verdict = "drift" if differing else "same"
    return AuditRow(f"{place}.general_tag", mine, theirs, verdict, source=wheels[0].source)


def _short(tags: Iterator[str]) -> str:
    """The platform tags where they are alike, the whole tags where they are not."""
    found = list(tags)
    platforms = dict.fromkeys(tag.rpartition("-")[2] for tag in found)
    return next(iter(platforms)) if len(platforms) == 1 and len(found) > 1 else " ".join(found)


def _requires_row(place: str, row: WheelPlatform, wheels: Sequence[Wheel], reading: Reading | None) -> AuditRow:
    place = f"{place}.requires"
    said = None if row.requires is None else f"{len(row.requires)} requirements"
    if reading is None or reading.metadata is None:
        why = reading.failure if reading else "no wheel of it could be asked for"
        return AuditRow(place, said, None, "not-readable", why, wheels[0].source)
    source = reading.wheel.source
    if row.requires is None:
        pins = pins_of(reading.metadata, row.platform, reading.wheel.python)
        return AuditRow(place, None, _listed(pins), "drift", "nobody has read it for the matrix", source)
    for wheel in wheels:
        mine = declared(row, wheel.python)
        theirs = pins_of(reading.metadata, row.platform, wheel.python)
        names = sorted(
            name
            for name in {*mine, *theirs}
            if name not in mine or name not in theirs or not _alike(mine, theirs, name)
        )
        if names:
            left, right = ({n: pins[n] for n in names if n in pins} for pins in (mine, theirs))
            why = f"on {wheel.python}, by {reading.wheel.file.filename}"
            return AuditRow(place, _listed(left), _listed(right), "drift", why, source)
    return AuditRow(place, said, said, "same", source=source)


def _alike(mine: Mapping[str, str], theirs: Mapping[str, str], name: str) -> bool:
    return SpecifierSet(mine[name]) == SpecifierSet(theirs[name])


def _listed(pins: Mapping[str, str]) -> str:
    return ", ".join(f"{name}{specifier}" for name, specifier in pins.items()) or "nothing"


def declared(row: WheelPlatform, python: str) -> dict[str, str]:
    """What the matrix says that a wheel for that Python asks for: name and specifier."""
    from packaging.markers import Marker

    environment = environment_of(row.platform, python)
    found: dict[str, str] = {}
    for name, value in row.requires or ():
        specifier, _, marker = value.partition(";")
        if not marker or Marker(marker.strip()).evaluate(environment):
            found[name] = specifier if specifier[0] in "<>=!~" else f"=={specifier}"
    return found


# --- torchvision and torchaudio -----------------------------------------------------------------


def sibling_rows(
    release: TorchRelease, shelves: Mapping[str, Shelf], readings: Mapping[Key, Reading]
) -> Iterator[AuditRow]:
    """The torch that the release's torchvision and torchaudio ask for."""
    for project in SIBLINGS:
        version = getattr(release.companions, project)
        place = f"torch.releases[{release.version!r}].companions.{project}"
        reading = readings.get((project, version, "any"))
        if reading is None:
            yield _absent(place, version, shelves[project])
        elif reading.metadata is None:
            yield AuditRow(place, version, None, "not-readable", reading.failure, reading.wheel.source)
        else:
            asked = required(reading.metadata, "torch")
            fits = asked is None or asked.specifier.contains(release.version, prereleases=True)
            text = f"{version} asks for {f'torch{asked.specifier}' if asked else 'no torch'}"
            yield AuditRow(place, version, text, "same" if fits else "drift", source=reading.wheel.source)


# --- the PyTorch index --------------------------------------------------------------------------


def variant_rows(release: TorchRelease, variants: Mapping[str, Shelf]) -> Iterator[AuditRow]:
    """Platforms and tags of each variant by the page of its own index; not looked at where that gave no answer."""
    for variant in release.variants:
        place = f"torch.releases[{release.version!r}].variants.{variant.name}"
        mine = {p: dict(variant.tag).get(p, row.tag) if (row := release.platform(p)) else "?" for p in variant.on}
        shelf = variants.get(variant.name)
        said = _platforms(mine)
        if shelf is None or shelf.failure:
            why = shelf.failure if shelf else "that index was not asked"
            yield AuditRow(place, said, None, "not-looked-at", why)
            continue
        wheels = [
            w
            for w in current(shelf.wheels)
            if w.version.public == release.version
            and (w.version.local == variant.name or (w.version.local is None and w.platform in variant.unlabelled_on))
        ]
        theirs = {w.platform: w.tag.rpartition("-")[2] for w in wheels if w.platform in PLATFORMS}
        is_same = _tags_agree(mine, theirs, release)
        verdict: Verdict = "same" if is_same else "drift"
        yield AuditRow(place, said, _platforms(theirs) or None, verdict, source=shelf.wheels[0].source)


def _tags_agree(mine: Mapping[str, str], theirs: Mapping[str, str], release: TorchRelease) -> bool:
    if set(mine) != set(theirs):
        return False
    others = {row.platform: {tag for _, tag in row.other_tags} for row in release.platforms}
    return all(tag in {mine[platform], *others[platform]} for platform, tag in theirs.items())


def _platforms(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{platform} {tags[platform]}" for platform in PLATFORMS if platform in tags)
