"""Which checks --only, --skip and --level choose (PURE)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar, get_args

from .errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Level = Literal["instant", "quick", "standard", "deep"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the cheapest on: reading files, asking the driver, small kernels, minutes that disturb others."""

_GLOB: Final = frozenset("*?[")


class Selectable(Protocol):
    """What choosing needs to know of a check."""

    @property
    def id(self) -> str:
        """Catalogue id, `component.name`."""

    @property
    def level(self) -> Level:
        """What it costs."""

    @property
    def component(self) -> str:
        """The part of the id before the dot."""


S = TypeVar("S", bound=Selectable)


@dataclass(frozen=True, slots=True)
class Selection:
    """The words of the command line; empty `only` means every check up to the level."""

    level: Level = "quick"
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


def patterns_of(values: Iterable[str]) -> tuple[str, ...]:
    """The patterns of a repeatable option, each value of which may hold several behind commas."""
    return tuple(dict.fromkeys(word.strip() for value in values for word in value.split(",") if word.strip()))


def select(checks: Sequence[S], selection: Selection) -> tuple[S, ...]:
    """The chosen checks in their order.

    A check that --only names by its whole id is chosen at any level: somebody wants that one. Components and patterns
    keep to the level. UsageError for a word that means no check, with near ones, and where nothing is left.
    """
    for option, words in (("--only", selection.only), ("--skip", selection.skip)):
        for word in words:
            _require_known(option, word, checks)
    most = LEVELS.index(selection.level)
    chosen = tuple(
        check
        for check in checks
        if not any(matches(word, check) for word in selection.skip)
        and (
            check.id in selection.only
            or (
                LEVELS.index(check.level) <= most
                and (not selection.only or any(matches(word, check) for word in selection.only))
            )
        )
    )
    if not chosen:
        raise _nothing_left(checks, selection)
    return chosen


def matches(word: str, check: Selectable) -> bool:
    """Whether an id (`gpu.ecc`), a component (`gpu`) or a pattern over ids (`gpu.*`) means the check."""
    return word in (check.id, check.component) or (bool(_GLOB & set(word)) and fnmatchcase(check.id, word))


def _require_known(option: str, word: str, checks: Sequence[Selectable]) -> None:
    if any(matches(word, check) for check in checks):
        return
    import difflib

    names = [*dict.fromkeys(check.component for check in checks), *(check.id for check in checks)]
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise UsageError(
        f"{option}: found {word[:80]!r}, expected the id of a check, a component or a pattern such as 'gpu.*'{hint}.",
        do=(*(f"{option} {name}" for name in near[:1]), "gpusetup check --list"),
    )


def _nothing_left(checks: Sequence[Selectable], selection: Selection) -> UsageError:
    wanted = [check for check in checks if any(matches(word, check) for word in selection.only)]
    kept = [check for check in wanted if not any(matches(word, check) for word in selection.skip)]
    needed = min((check.level for check in kept), key=LEVELS.index, default=None)
    do = (f"--level {needed}",) if needed else ("gpusetup check --list",)
    return UsageError(f"No check is left by --only, --skip and --level {selection.level}.", do=do)
