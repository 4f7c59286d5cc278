"""Which candidate the user's sources really hold. Pure: candidates and answers in, choice and reasons out.

A build is never met by one of another kind: a CPU plan takes a CPU wheel, a CUDA plan the wheel of that CUDA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from ..records import Asked, Build, HeldWheel, Host, Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .configuration import Location
    from .listing import ListedFile
    from .lookup import SourceAnswer

RULE = "not-in-sources"


@dataclass(frozen=True, slots=True)
class Choice:
    """The first candidate that a source holds, and why the better ones were passed over."""

    build: Build | None = None
    wheel: HeldWheel | None = None
    location: Location | None = None
    rejections: tuple[Rejection, ...] = ()
    availability: Literal["held", "not held", "partly looked"] = "not held"
    """`partly looked`: nothing was found, and some source gave no answer."""


def choose_held(candidates: Sequence[Build], answers: Sequence[SourceAnswer], *, platforms: Sequence[str]) -> Choice:
    """Walk the candidates of the first one's kind, best first, to the first that some source holds.

    `platforms` are this machine's platform tags, best first (manylinux_2_36_x86_64, ...). Among sources the order
    of `answers` counts.
    """
    rejections: list[Rejection] = []
    for build in candidates:
        if build.kind != candidates[0].kind:
            continue
        order = tag_order(build.python, platforms)
        for answer in answers:
            file = best_file(build, answer, order)
            if file is not None:
                source = answer.location.source
                wheel = HeldWheel(source, file.filename, sha256=file.sha256, size_bytes=file.size_bytes)
                return Choice(build, wheel, answer.location, tuple(rejections), "held")
        rejections.append(_rejection(build, answers))
    failed = any(answer.failure for answer in answers)
    return Choice(rejections=tuple(rejections), availability="partly looked" if failed else "not held")


def tag_order(python: str, platforms: Sequence[str]) -> dict[Tag, int]:
    """Wheel tags that an interpreter takes, with their rank; `python` is 3.11, or 3.14t for a free-threaded one."""
    is_free_threaded = python.endswith("t")
    major, minor = (int(part) for part in python.removesuffix("t").split("."))
    abi = f"cp{major}{minor}{'t' if is_free_threaded else ''}"
    tags = [
        *cpython_tags((major, minor), abis=[abi], platforms=list(platforms)),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=list(platforms)),
    ]
    # The stable ABI of today does not run without the GIL; older releases of `packaging` list it all the same.
    usable = [tag for tag in tags if not (is_free_threaded and tag.abi == "abi3")]
    return {tag: rank for rank, tag in reversed(list(enumerate(usable)))}


#: Platform tags from before tags named their glibc (PEP 513, 571, 599).
_LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
#: glibc 2.x assumed of another machine when nobody named it: the plan takes it to be new enough.
_NEW_ENOUGH = 40
#: macOS assumed of another machine when nobody named its release.
_NEW_ENOUGH_MACOS = (30, 0)


def platforms_of(host: Host) -> tuple[str, ...]:
    """Platform tags that a machine takes, best first; for machines that are not this one."""
    arch = host.arch or "x86_64"
    if host.system == "windows":
        return ("win_amd64",)
    if host.system == "darwin":
        return _macos_platforms(host)
    newest = host.glibc.minor if host.glibc else _NEW_ENOUGH
    tags: list[str] = []
    for minor in range(newest, 4, -1):
        tags.append(f"manylinux_2_{minor}_{arch}")
        if (2, minor) in _LEGACY:
            tags.append(f"{_LEGACY[2, minor]}_{arch}")
    return (*tags, f"linux_{arch}")


def _macos_platforms(host: Host) -> tuple[str, ...]:
    """macosx_14_0_arm64, macosx_13_0_arm64, ...: a wheel for an older release runs on a newer one."""
    parts = (host.os_version or "").split(".")
    numbers = [int(part) for part in parts[:2] if part.isdecimal()]
    release = (numbers[0], numbers[1] if len(numbers) > 1 else 0) if numbers else _NEW_ENOUGH_MACOS
    return tuple(mac_platforms(release, "x86_64" if host.arch == "x86_64" else "arm64"))


def best_file(build: Build, answer: SourceAnswer, order: dict[Tag, int]) -> ListedFile | None:
    """The file of an answer that is this build for this interpreter: not yanked before yanked, then the best tag."""
    ranked = [
        (file.is_yanked, rank, file.filename, file)
        for file in answer.files
        if (rank := _rank(file, build, answer.location, order)) is not None
    ]
    return min(ranked, key=lambda item: item[:3])[3] if ranked else None


def _rank(file: ListedFile, build: Build, location: Location, order: dict[Tag, int]) -> int | None:
    try:
        name, version, _, tags = parse_wheel_filename(file.filename)
    except InvalidWheelFilename:
        return None
    if name != "torch" or not is_build(version, build, location) or not _runs_on(file, build.python):
        return None
    return min((order[tag] for tag in tags if tag in order), default=None)


def is_build(version: Version, build: Build, location: Location) -> bool:
    """Whether a wheel of that version from that source is this build.

    The local version label decides. A wheel without one is this build in two cases only: the source is the index of
    this very variant (some of those publish without labels), or the general index publishes this build that way.
    """
    if version.public != Version(build.torch).public:
        return False
    if version.local is not None:
        return version.local == build.variant
    if location.source.name in {"matrix", "--torch-index"}:
        return location.url.rstrip("/").rpartition("/")[2] == build.variant
    return build.is_general_index_default


def _runs_on(file: ListedFile, python: str) -> bool:
    if not file.requires_python:
        return True
    try:
        # The newest patch release of that minor is meant: `>=3.10.4` must not hide a wheel from 3.10.13.
        return SpecifierSet(file.requires_python).contains(f"{python.removesuffix('t')}.999", prereleases=True)
    except InvalidSpecifier:
        return True


def _rejection(build: Build, answers: Sequence[SourceAnswer]) -> Rejection:
    failed = sum(1 for answer in answers if answer.failure)
    silent = f", {failed} gave no answer" if failed else ""
    return Rejection(
        torch=build.torch,
        variant=build.variant,
        rule=RULE,
        found=f"none of {len(answers)} sources holds it{silent}" if answers else "no source is configured",
        needs=f"a wheel of torch {build.local_version} for {build.wheel_tag}",
        source=", ".join(dict.fromkeys(answer.location.source.name for answer in answers)) or None,
        python=build.python,
    )


def asked(answers: Sequence[SourceAnswer]) -> tuple[Asked, ...]:
    """What every source said, in few words: `12 torch wheels`, or why it gave no answer."""
    return tuple(
        Asked(answer.location.source, answer.failure or _holding(answer), has_answered=answer.failure is None)
        for answer in answers
    )


def _holding(answer: SourceAnswer) -> str:
    wheels = sum(file.filename.endswith(".whl") for file in answer.files)
    return f"{wheels} torch wheel{'' if wheels == 1 else 's'}" if wheels else "no torch"
