"""The words of `matrix show`: what each selector means in a matrix, and what is near where it means nothing."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..matrix.places import PlaceError
from ..matrix.site import span
from ..records import Evidence
from ..versions import CudaVersion, DriverVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..matrix.model import DriverBranch, TorchRelease
    from ..matrix.tables import Matrix

_BRANCH: Final = re.compile(r"(\d{3,4})(?:\.x)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Selectors:
    """The words of `matrix show`; None: not asked about."""

    torch: str | None = None
    cuda: str | None = None
    gpu: str | None = None
    driver: str | None = None

    def is_empty(self) -> bool:
        """Whether the whole was asked for."""
        return self.torch is None and self.cuda is None and self.gpu is None and self.driver is None


@dataclass(frozen=True, slots=True)
class AskedDriver:
    """A driver that was asked about: the version, or the newest of the branch."""

    asked: str
    branch: DriverBranch
    version: DriverVersion
    is_windows: bool
    """Whether the number is one of Windows, which lie between the branches."""


def unknown_word(option: str, word: str, what: str, near: Sequence[str], expected: str) -> UsageError:
    """The error of a word that the matrix has nothing for, with what is near it."""
    return UsageError(
        f"--{option}: the matrix has no {what} {word!r}.",
        evidence=(Evidence(f"--{option}", word, source="command line", needs=expected),),
        do=tuple(f"gpusetup matrix show --{option} {_quoted(name)}" for name in near) or ("gpusetup matrix show",),
    )


def _quoted(word: str) -> str:
    return f"'{word}'" if set(word) & set(" ()<>*") else word


def near(word: str, names: Sequence[str]) -> list[str]:
    """At most three names that are like the word, the likest first."""
    folded = {name.casefold(): name for name in names}
    return [folded[name] for name in difflib.get_close_matches(word.casefold(), list(folded), n=3, cutoff=0.4)]


def releases_of(matrix: Matrix, word: str) -> tuple[TorchRelease, ...]:
    """The releases that a word means, oldest first; at least one."""
    expected = "a release such as 2.9 or 2.9.1, or >=2.6,<2.10"
    names = [row.version for row in matrix.releases]
    try:
        wanted = span(expected)(word)
    except PlaceError:
        raise unknown_word("torch", word, "torch release", near(word, names), expected) from None
    found = tuple(row for row in matrix.releases if wanted.holds(row.key))
    if not found:
        raise unknown_word("torch", word, "torch release", near(word, names), expected)
    return found


def known_minors(matrix: Matrix) -> tuple[CudaVersion, ...]:
    """Every CUDA minor that a toolkit, a driver branch or a build is listed with, oldest first."""
    known = {row.cuda for row in matrix.toolkits} | {row.cuda for row in matrix.branches}
    known |= {variant.cuda for release in matrix.releases for variant in release.variants if variant.cuda}
    return tuple(sorted(known))


def minors_of(matrix: Matrix, word: str) -> tuple[CudaVersion, ...]:
    """The CUDA minors that a word means, oldest first; at least one."""
    known = known_minors(matrix)
    if word.isdecimal() and word.isascii():
        found = tuple(minor for minor in known if str(minor.major) == word)
    else:
        try:
            found = tuple(minor for minor in known if minor == CudaVersion.parse(word))
        except ValueError:
            found = ()
    if not found:
        variants = {variant.name for row in matrix.releases for variant in row.variants if variant.cuda}
        close = near(word, [*map(str, known), *sorted(variants)])
        raise unknown_word("cuda", word, "CUDA", close, "12.8, cu128 or 12")
    return found


def driver_of(matrix: Matrix, word: str) -> AskedDriver:
    """The branch or driver that a word means."""
    expected = "a branch such as 535 or 535.x, or a driver such as 535.104.05"
    branch = None
    if match := _BRANCH.fullmatch(word):
        branch = next((row for row in matrix.branches if row.branch == int(match[1])), None)
        if branch:
            return AskedDriver(word, branch, DriverVersion(branch.latest_linux or match[1]), is_windows=False)
    else:
        try:
            version = DriverVersion(word)
            branch = matrix.branch_of(version)
        except ValueError:
            branch = None
        if branch:
            return AskedDriver(word, branch, version, is_windows=branch.branch != version.branch)
    number = int(match[0]) if (match := re.match(r"\d{1,6}", word, re.ASCII)) else None
    nearest = sorted(matrix.branches, key=lambda row: abs(row.branch - number))[:3] if number else matrix.branches[-3:]
    raise unknown_word("driver", word, "driver branch", sorted(str(row.branch) for row in nearest), expected)
