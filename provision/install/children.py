"""What a failed child says, turned into an error that quotes it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GpusetupError, InstallError, NoBuildError
from ..records import Evidence
from .causes import cause_of, source_in, source_of_project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .running import Completed

_QUOTED = 20
_HIDDEN_BY_NO_SOLUTION = frozenset({"source-login", "proxy-login", "source-not-trusted", "source-unreachable"})
"""Causes that uv tells in a hint below `No solution found`."""


def failure(
    done: Completed,
    *,
    log_path: Path | None,
    silence_s: float,
    code: str = "install-failed",
    sources: Mapping[str, str] | None = None,
) -> InstallError:
    """The error for a child that failed or fell silent, named by its cause where its last lines show one.

    The evidence is its command, its exit status and its last 20 lines. `sources` says where each project comes from,
    for complaints that name the project only.
    """
    happened = f"{_program(done)} failed."
    do: tuple[str, ...] = ("read what it said last, mend that, then run the same command",)
    risky: tuple[str, ...] = ()
    where = (Evidence("log", str(log_path), source="file"),) if log_path else ()
    cause = cause_of(done.lines) if code == "install-failed" else None
    if cause is not None:
        source = source_in(done.lines) or source_of_project(done.lines, sources or {})
        where = (Evidence("source", source), *where) if source else where
        code, happened = cause.code, cause.sentence.format(source=source or "The source")
        do, risky = cause.do, cause.risky
    elif done.was_silent:
        code = "install-silent" if code == "install-failed" else code
        happened = f"{_program(done)} gave no sign of life for {silence_s:g} s and was ended."
        do = ("look at the network and the disk, then run the same command",)
    return InstallError(happened, code=code, evidence=(*quoted(done), *where), do=do, risky=risky)


def unresolved(done: Completed, *, silence_s: float) -> GpusetupError:
    """The error for a resolution that failed: exit 4 when no source holds what is needed, exit 5 otherwise."""
    text = "\n".join(done.lines)
    if done.was_silent or "No solution found" not in text:
        return failure(done, log_path=None, silence_s=silence_s)
    cause = cause_of(done.lines)
    if cause is not None and cause.code in _HIDDEN_BY_NO_SOLUTION:
        source = source_in(tuple(line for line in done.lines if line.startswith("hint")))
        return NoBuildError(
            cause.sentence.format(source=source or "A package source"),
            code=cause.code,
            evidence=(*quoted(done), Evidence("source", source)),
            do=cause.do,
        )
    return NoBuildError(
        "The configured package sources do not hold everything that this build needs.",
        code="not-in-sources",
        evidence=quoted(done),
        do=("add a source that holds the missing package, for example extra-index-url in pip's configuration",),
    )


def python_not_fetched(done: Completed, python: str) -> InstallError:
    """The error for a Python that uv knows and could not get."""
    return InstallError(
        f"Python {python} could not be fetched.",
        code="python-download-failed",
        evidence=quoted(done),
        do=(
            "look at the network and the proxy, or name a mirror: UV_PYTHON_INSTALL_MIRROR (uv's own setting)",
            "or install that Python by other means; every usual place is looked at",
        ),
    )


def quoted(done: Completed) -> tuple[Evidence, ...]:
    """A child's command, exit status and last lines, as it said them."""
    program = _program(done)
    return (
        Evidence("command", " ".join(done.argv)),
        Evidence("exit status", done.returncode, source=program),
        Evidence("output", "\n".join(done.lines[-_QUOTED:]), source=program),
    )


def _program(done: Completed) -> str:
    words = [word.rpartition("/")[2] for word in done.argv[:4]]
    if "-Im" in words:
        return words[words.index("-Im") + 1]
    return " ".join(word for word in words[:3] if not word.startswith("-"))
