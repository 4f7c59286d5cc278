"""Which interpreter an environment is made from, and what to do where none will do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InstallError
from ..records import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Host, Interpreter, Reading


def interpreters_of(python: str, interpreters: Sequence[Interpreter]) -> tuple[Interpreter, ...]:
    """Every CPython of that minor version (3.11, 3.14t) that has an executable, in the order given."""
    wanted = f"cp{python.replace('.', '')}"
    return tuple(item for item in interpreters if item.executable and item.tag == wanted)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an interpreter says of itself when it is started."""

    version: str = ""
    tag: str = ""
    """cp312, cp314t, pp310."""
    bits: int = 64
    lacks: tuple[str, ...] = ()
    """Modules of the standard library that are needed and not there."""
    failure: str | None = None
    """Why it gave no answer, in a few words."""


def why_not(answer: Answer, python: str) -> str | None:
    """Why no environment is made from an interpreter that answered so; None when it will do."""
    if answer.failure is not None:
        return answer.failure
    if answer.tag != f"cp{python.replace('.', '')}":
        return f"it is {answer.tag} {answer.version}, not Python {python}"
    if answer.bits < 64:  # noqa: PLR2004 -- bits of a pointer
        return f"a {answer.bits}-bit build; torch has 64-bit wheels only"
    return f"its standard library lacks {', '.join(answer.lacks)}" if answer.lacks else None


def python_missing(
    python: str,
    interpreters: Sequence[Interpreter],
    *,
    host: Host,
    unusable: Sequence[Reading] = (),
) -> InstallError:
    """The error for a Python that is not there: what is there with its path, what is there and of no use, the cures."""
    there = tuple(dict.fromkeys(_shown(item) for item in interpreters if item.executable)) or None
    return InstallError(
        f"Python {python} is not on this machine.",
        code="python-missing",
        evidence=(
            Evidence("interpreters", there, source="this machine", needs=python),
            *(Evidence("of no use", reading.failure, source=reading.source) for reading in unusable),
        ),
        do=(
            "let gpusetup fetch it with uv: the same command with --python-download",
            "or plan for a Python that is there: gpusetup plan --python X.Y",
        ),
        risky=system_steps(python, host),
    )


def _shown(item: Interpreter) -> str:
    return f"{item.version}{'t' * item.is_free_threaded} {item.executable}"


def python_unusable(python: str, reasons: Sequence[tuple[Interpreter, str]], *, host: Host) -> InstallError:
    """The error where every interpreter of that version was started and none will do."""
    lacks_parts = any("standard library" in why for _, why in reasons)
    return InstallError(
        f"Python {python} is on this machine and no environment can be made from it.",
        code="python-unusable",
        evidence=tuple(Evidence(str(item.executable), why, source="asked", needs=python) for item, why in reasons),
        do=(
            *(("install the missing parts, or build that Python again with the libraries they need",) * lacks_parts),
            "let gpusetup fetch another one with uv: the same command with --python-download",
            "or plan for another Python: gpusetup plan --python X.Y",
        ),
        risky=system_steps(python, host),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A distribution that packages some Pythons."""

    systems: frozenset[str]
    """IDs of os-release."""
    release: str | None
    """Its VERSION_ID, or the part before the point; None for every release."""
    pythons: frozenset[str] | None
    """None: which ones depends on the release."""
    steps: tuple[str, ...]


_RHEL = frozenset({"rhel", "centos", "rocky", "almalinux", "ol"})
_DEADSNAKES = (
    "sudo add-apt-repository ppa:deadsnakes/ppa",
    "sudo apt-get update && sudo apt-get install python{python}",
)
_APT = ("sudo apt-get install python{python}",)
_DNF = ("sudo dnf install python{python}",)
# Sources: the description of the deadsnakes archive on Launchpad (long-term releases only; what Ubuntu itself has is
# left out there); Debian's suites; "Installing and using dynamic programming languages", chapter 1, of Red Hat's
# documentation; "Python in AL2023" of the Amazon Linux user guide; Fedora's packages of interpreters, python3.X.
_ROWS = (
    _Row(frozenset({"ubuntu"}), "22.04", frozenset({"3.10"}), _APT),
    _Row(frozenset({"ubuntu"}), "24.04", frozenset({"3.12"}), _APT),
    _Row(frozenset({"ubuntu"}), "22.04", None, _DEADSNAKES),
    _Row(frozenset({"ubuntu"}), "24.04", None, _DEADSNAKES),
    _Row(frozenset({"debian"}), "11", frozenset({"3.9"}), _APT),
    _Row(frozenset({"debian"}), "12", frozenset({"3.11"}), _APT),
    _Row(frozenset({"debian"}), "13", frozenset({"3.13"}), _APT),
    _Row(_RHEL, "9", frozenset({"3.11", "3.12"}), _DNF),
    _Row(frozenset({"amzn"}), "2023", frozenset({"3.11", "3.12", "3.13", "3.14"}), _DNF),
    _Row(frozenset({"fedora"}), None, None, _DNF),
)


def system_steps(python: str, host: Host) -> tuple[str, ...]:
    """Commands that install that Python on this distribution; empty where it is not known to package it."""
    if python.endswith("t"):
        return ()
    version = host.os_version or ""
    for row in _ROWS:
        if host.os not in row.systems or row.release not in (None, version, version.partition(".")[0]):
            continue
        if row.pythons is None or python in row.pythons:
            return tuple(step.format(python=python) for step in row.steps)
    return ()
