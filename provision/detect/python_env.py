"""The interpreter that runs us, and others already there: known by their file names, never started."""

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
            [source, one.version, one.implementation, one.is_free_threaded, one.executable, _real(one)]
            for source, one in found
        ]

    listed = around.answer("python.interpreters", look) or []
    if not listed:
        why = Reading("python.version", "snapshot", failure="the interpreters are not in the snapshot")
        return None, (), (why,)
    (_, *head), rest = listed[0], listed[1:]
    running = Interpreter(*head[:4])
    seen = {head[4]}
    others: list[Interpreter] = []
    readings = [
        Reading("python.version", "running interpreter", running.version),
        Reading("python.executable", "sys._base_executable", running.executable),
    ]
    for source, *words, real in rest:
        if real in seen:
            continue
        seen.add(real)
        found = Interpreter(*words)
        others.append(found)
        readings.append(Reading("python.other", source, f"{found.version} {found.executable}"))
    # Several installations of one release: the one whose full version is known stands first.
    others.sort(key=_order, reverse=True)
    return running, tuple(others), tuple(readings)


def _real(found: Interpreter) -> str | None:
    return os.path.realpath(found.executable) if found.executable else None


def _order(found: Interpreter) -> tuple[bool, bool, tuple[int, ...]]:
    numbers = tuple(int(part) for part in re.findall(r"\d+", found.version)[:3])
    return found.implementation == "cpython", not found.is_free_threaded, numbers


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
            if named and os.access(executable, os.X_OK):
                version, implementation, is_free_threaded = named
                yield source, Interpreter(version, implementation, is_free_threaded, str(executable))
    folders = [folder for folder in around.environ.get("PATH", "").split(os.pathsep) if folder.startswith("/")]
    folders += [str(around.path("/usr/bin")), str(around.path("/usr/local/bin"))]
    for folder_text in dict.fromkeys(folders):
        if not _is_foreign(Path(folder_text)):
            yield from _executables(Path(folder_text))


def _is_foreign(folder: Path) -> bool:
    """Folders whose interpreters are not themselves: version managers' shims, and virtual environments."""
    return folder.name == "shims" or os.path.exists(folder.parent / "pyvenv.cfg")  # noqa: PTH110  Path.exists raises where the parent is closed


def _executables(folder: Path) -> Iterator[tuple[str, Interpreter]]:
    for name in _listed(folder):
        named = parse_executable_name(name)
        if named and os.access(folder / name, os.X_OK):
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
