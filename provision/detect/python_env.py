"""The interpreter that runs us, and others already there: known by names and first bytes, never started.

Starting each would cost 20 ms or more apiece, and one may hang; the one that is chosen is asked before it is used.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..records import Interpreter, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .surroundings import Surroundings


def running_interpreter() -> Interpreter:
    """The interpreter of this process: its base executable, so that a virtual environment is not built on another."""
    version = sys.version_info
    executable = getattr(sys, "_base_executable", None) or sys.executable
    if sys.prefix != sys.base_prefix and executable == sys.executable:
        # Before 3.11 a virtual environment on POSIX names itself as its own base.
        base = os.path.join(sys.base_prefix, "bin", f"python{version.major}.{version.minor}")  # noqa: PTH118
        executable = base if os.path.exists(base) else executable  # noqa: PTH110
    suffix = "" if version.releaselevel == "final" else f"{version.releaselevel[0].replace('c', 'rc')}{version.serial}"
    return Interpreter(
        version=f"{version.major}.{version.minor}.{version.micro}{suffix}",
        implementation=sys.implementation.name,
        is_free_threaded="t" in getattr(sys, "abiflags", ""),
        executable=executable or None,
    )


def detect_python(around: Surroundings) -> tuple[Interpreter | None, tuple[Interpreter, ...], tuple[Reading, ...]]:
    """The running interpreter, the others newest first, and where each was found."""

    def look() -> list[list[str | bool | None]]:
        found = (("running interpreter", running_interpreter()), *_candidates(around))
        return [
            [source, one.version, one.implementation, one.is_free_threaded, one.executable, _real(one), why]
            for source, one in found
            for why in [None if source == "running interpreter" else why_unusable(one, around.kernel.machine)]
        ]

    listed = around.answer("python.interpreters", look) or []
    if not listed:
        why = Reading("python.version", "snapshot", failure="the interpreters are not in the snapshot")
        return None, (), (why,)
    (_, *head), rest = listed[0], listed[1:]
    running = Interpreter(*head[:4])
    seen: set[str | None] = {head[4]}
    others: list[tuple[Interpreter, bool]] = []
    readings = [
        Reading("python.version", "running interpreter", running.version),
        Reading("python.executable", "sys._base_executable", running.executable),
    ]
    for source, *words in rest:
        # Snapshots of earlier releases say nothing of why one cannot be used.
        found, real, unusable = Interpreter(*words[:4]), words[4], words[5] if len(words) > _WORDS else None
        if real in seen:
            continue
        seen.add(real)
        if unusable is None:
            readings.append(Reading("python.other", source, f"{found.version} {found.executable}"))
            others.append((found, source == "conda"))
        else:
            readings.append(
                Reading("python.unusable", source, failure=f"{found.version} {found.executable}: {unusable}")
            )
    others.sort(key=_order, reverse=True)
    return running, tuple(found for found, _ in others), tuple(readings)


_WORDS = 5
"""Version, implementation, free threading, executable and the file that it really is."""
_ELF_CLASS_32 = 1
_MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64"}
"""e_machine of an ELF header (System V ABI, `Machine`)."""


def why_unusable(found: Interpreter, machine: str) -> str | None:
    """Why no environment can be made from an executable, by its first bytes alone; None when nothing speaks against it.

    A script is taken as it is: some version managers wrap their interpreters.
    """
    executable = found.executable or ""
    if not os.path.isfile(executable):  # noqa: PTH113 -- Path.is_file raises where the parent is closed
        return "a link that leads nowhere" if os.path.islink(executable) else "no file"  # noqa: PTH114
    if not os.access(executable, os.X_OK):
        return "this user may not execute it"
    try:
        with open(executable, "rb") as stream:  # noqa: PTH123 -- cheaper
            head = stream.read(20)
    except OSError as err:
        return None if isinstance(err, PermissionError) else f"it cannot be read: {err.strerror}"
    if head[:4] != b"\x7fELF" or len(head) < 20:  # noqa: PLR2004 -- the part of the header that is looked at
        return None if head[:2] == b"#!" else "it is not a program"
    if head[4] == _ELF_CLASS_32:
        return "a 32-bit build; torch has 64-bit wheels only"
    built_for = _MACHINES.get(int.from_bytes(head[18:20], "little" if head[5] == 1 else "big"))
    if built_for and machine in _MACHINES.values() and built_for != machine:
        return f"built for {built_for}, this machine is {machine}"
    return None


def _real(found: Interpreter) -> str | None:
    return os.path.realpath(found.executable) if found.executable else None


def _order(one: tuple[Interpreter, bool]) -> tuple[bool, bool, tuple[int, ...], bool, tuple[int, ...]]:
    """Of one release conda's stand last, and those whose full version is known first."""
    found, is_conda = one
    numbers = tuple(int(part) for part in re.findall(r"\d+", found.version)[:3])
    return found.implementation == "cpython", not found.is_free_threaded, numbers[:2], not is_conda, numbers


def _candidates(around: Surroundings) -> Iterator[tuple[str, Interpreter]]:
    """Interpreters of each kind of place; those with a full version in their folder's name come first."""
    home = around.environ.get("HOME") or "/nonexistent"
    pyenv = Path(around.environ.get("PYENV_ROOT") or f"{home}/.pyenv") / "versions"
    share = around.environ.get("XDG_DATA_HOME") or f"{home}/.local/share"
    uv = Path(around.environ.get("UV_PYTHON_INSTALL_DIR") or f"{share}/uv/python")
    for folder, parse, source in ((pyenv, parse_pyenv_name, "pyenv"), (uv, parse_uv_name, "uv")):
        for entry in _listed(folder):
            named = parse(entry)
            executable = folder / entry / "bin" / ("pypy3" if named and named[1] == "pypy" else "python3")
            if named:
                version, implementation, is_free_threaded = named
                yield source, Interpreter(version, implementation, is_free_threaded, str(executable))
    folders = [folder for folder in around.environ.get("PATH", "").split(os.pathsep) if folder.startswith("/")]
    folders += [str(around.path("/usr/bin")), str(around.path("/usr/local/bin"))]
    opt = around.path("/opt/python")
    folders += [str(opt / name / "bin") for name in _listed(opt)]
    for folder_text in dict.fromkeys(folders):
        if not _is_foreign(Path(folder_text)):
            yield from _executables(Path(folder_text))
    yield from _conda(around, home)


def _conda(around: Surroundings, home: str) -> Iterator[tuple[str, Interpreter]]:
    """Interpreters of conda's environments; last, because an update of such a one breaks what was made from it."""
    roots = [Path(home) / name for name in ("miniconda3", "miniforge3", "mambaforge", "anaconda3")]
    roots += [around.path(f"/opt/{name}") for name in ("conda", "miniconda3", "miniforge3", "anaconda3")]
    places = [place for root in roots for place in (root, *(root / "envs" / name for name in _listed(root / "envs")))]
    # conda writes every environment that it makes into this file, wherever that is.
    listed = _lines(Path(home) / ".conda/environments.txt")
    for place in dict.fromkeys((*places, *(Path(line) for line in listed if line.startswith("/")))):
        for name in _listed(place / "conda-meta"):
            named = parse_conda_name(name)
            if named:
                yield "conda", Interpreter(*named, str(place / "bin/python3"))


def _lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 -- cheaper
            return stream.read(_LONGEST_LIST).decode("utf-8", errors="replace").split("\n")
    except OSError:
        return []


_LONGEST_LIST = 64 * 1024


def _is_foreign(folder: Path) -> bool:
    """Folders whose interpreters are not themselves: version managers' shims, and virtual environments."""
    return folder.name == "shims" or os.path.exists(folder.parent / "pyvenv.cfg")  # noqa: PTH110  Path.exists raises where the parent is closed


def _executables(folder: Path) -> Iterator[tuple[str, Interpreter]]:
    for name in _listed(folder):
        named = parse_executable_name(name)
        if named:
            version, implementation, is_free_threaded = named
            yield str(folder), Interpreter(version, implementation, is_free_threaded, str(folder / name))


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder), reverse=True)  # noqa: PTH208 -- names only, and cheaper
    except OSError:
        return []


# python3.12   python3.13t   pypy3.10   (not python3.12-config, not python3.12-dbg)
def parse_executable_name(name: str) -> tuple[str, str, bool] | None:
    """Version, implementation and free threading that the name of an executable states."""
    match = re.fullmatch(r"(python|pypy)(3\.\d{1,2})(t?)", name)
    return (match[2], "pypy" if match[1] == "pypy" else "cpython", bool(match[3])) if match else None


# 3.12.1   3.13.0t   3.14.0rc2   pypy3.10-7.3.12   (not miniconda3-3.11-24.1.2-0, not 3.12.1/envs/name)
def parse_pyenv_name(name: str) -> tuple[str, str, bool] | None:
    """Version, implementation and free threading of a folder that pyenv named."""
    if match := re.fullmatch(r"(3\.\d+\.\d+(?:(?:a|b|rc)\d+)?)(t?)", name):
        return match[1], "cpython", bool(match[2])
    if match := re.fullmatch(r"pypy(3\.\d+)-[\d.]+", name):
        return match[1], "pypy", False
    return None


# cpython-3.12.4-linux-x86_64-gnu   cpython-3.13.0+freethreaded-linux-x86_64-gnu   pypy-3.10.14-linux-x86_64-gnu
def parse_uv_name(name: str) -> tuple[str, str, bool] | None:
    """Version, implementation and free threading of a folder that uv named; None for musl builds and debug builds."""
    match = re.fullmatch(r"(cpython|pypy)-(3\.\d+\.\d+(?:(?:a|b|rc)\d+)?)(\+freethreaded)?-linux-\w+-gnu", name)
    return (match[2], match[1], bool(match[3])) if match else None


# python-3.11.9-hb806964_0_cpython.json   python-3.13.1-h9a34b6e_5_cp313t.json   (not python-dateutil-2.9.0-...)
def parse_conda_name(name: str) -> tuple[str, str, bool] | None:
    """Version, implementation and free threading that the record of conda's package `python` states in its name."""
    match = re.fullmatch(r"python-(3\.\d+\.\d+(?:(?:a|b|rc)\d+)?)-(\w+)\.json", name)
    if match is None:
        return None
    return match[1], "pypy" if "pypy" in match[2] else "cpython", match[2].endswith("t") and "_cp3" in match[2]
