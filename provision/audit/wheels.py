"""File names of wheels to what they are for (PURE). Every input is hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from .model import Wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from packaging.version import Version

    from ..install.listing import ListedFile

_SYSTEMS = (("manylinux", "linux"), ("linux", "linux"), ("win", "windows"), ("macosx", "darwin"))
_PROCESSORS = ("x86_64", "aarch64", "arm64", "ppc64le", "s390x", "armv7l", "i686", "universal2")


def wheels_of(files: Iterable[ListedFile], project: str, source: str) -> tuple[Wheel, ...]:
    """The wheels of a project among the files; a name that is no wheel's is passed over."""
    return tuple(wheel for file in files if (wheel := wheel_of(file, project, source)))


def wheel_of(file: ListedFile, project: str, source: str) -> Wheel | None:
    """The wheel of a file, None where the name is not one of that project."""
    try:
        name, version, build, _ = parse_wheel_filename(file.filename)
    except InvalidWheelFilename:
        return None
    if name != project:
        return None
    python, abi, platform = file.filename.removesuffix(".whl").split("-")[-3:]
    is_free_threaded = abi == f"{python}t"
    return Wheel(
        file=file,
        source=source,
        project=project,
        version=version,
        build=build,
        python=f"{python}t" if is_free_threaded else python,
        tag=f"{python}-{abi}-{platform}",
        platform=platform_of(platform),
    )


def platform_of(platform_tag: str) -> str:
    """linux_x86_64 of manylinux_2_28_x86_64, darwin_arm64 of macosx_11_0_arm64, any of any; else the tag itself."""
    if platform_tag == "win_amd64":
        return "windows_x86_64"
    system = next((ours for theirs, ours in _SYSTEMS if platform_tag.startswith(theirs)), None)
    processor = next((name for name in _PROCESSORS if platform_tag.endswith(name)), None)
    return f"{system}_{processor}" if system and processor else platform_tag


def current(wheels: Sequence[Wheel]) -> tuple[Wheel, ...]:
    """What an installer would take: nothing that was yanked unless all was, and of rebuilds the newest."""
    offered = [wheel for wheel in wheels if not wheel.file.is_yanked] or list(wheels)
    newest: dict[tuple[str, str, str, str], Wheel] = {}
    for wheel in offered:
        key = (wheel.project, str(wheel.version), wheel.python, wheel.platform)
        if key not in newest or newest[key].build < wheel.build:
            newest[key] = wheel
    return tuple(newest.values())


def versions_of(wheels: Iterable[Wheel]) -> tuple[Version, ...]:
    """Releases that can be installed, oldest first: no local label, no pre-release, not yanked as a whole."""
    found = {wheel.version for wheel in wheels if not wheel.file.is_yanked}
    return tuple(sorted(v for v in found if v.local is None and not v.is_prerelease and not v.is_devrelease))


def python_order(tag: str) -> tuple[int, bool]:
    """Sorts cp38 before cp310, cp313 before cp313t."""
    digits = tag.rstrip("t")[3:]
    return (int(digits) if digits.isdecimal() else -1, tag.endswith("t"))
