"""What a site adds to the matrix and what it forbids, as records, read from the tree that overlay.py made (PURE)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from . import fields
from .model import Numbers, numbers
from .places import Place, PlaceError

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = r"\d{1,6}(?:\.\d{1,6}){0,3}"
_CLAUSE: Final = re.compile(rf"(==|!=|<=|>=|<|>)\s*({_NUMBERS})", re.ASCII)
_PREFIX: Final = re.compile(_NUMBERS, re.ASCII)
_VARIANT: Final = re.compile(r"[a-z0-9*?]{1,16}", re.ASCII)
_LONGEST = 4

BAN_KEYS: Final = ("torch", "variant", "driver", "python")


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Releases in words: `2.9` is every 2.9.*, `>=2.10,<2.12` is what all clauses allow."""

    text: str
    prefix: Numbers
    clauses: tuple[tuple[str, Numbers], ...]

    def holds(self, version: Numbers) -> bool:
        """Whether the release is one of them; 2.9 and 2.9.0 are the same release."""
        if self.prefix:
            return version[: len(self.prefix)] == self.prefix
        return all(_compares(_padded(version), operator, _padded(other)) for operator, other in self.clauses)


@dataclass(frozen=True, slots=True, eq=False)
class Ban:
    """One entry of `forbid`: builds that the site does not want, where all that it names agrees."""

    torch: Span | None
    variant: str | None
    """A glob over variants: cu13*."""
    driver: Span | None
    """Driver branches of the machine."""
    python: Span | None
    is_free_threaded_alone: bool
    """Whether the Python was named as 3.14t."""
    reason: str
    place: str
    """File and line of the entry."""

    def __str__(self) -> str:
        python = f"Python {self.python.text}" + ("t" if self.is_free_threaded_alone else "") if self.python else ""
        words = (f"torch {self.torch.text}" if self.torch else "", self.variant or "")
        return ", ".join(w for w in (*words, f"driver {self.driver.text}" if self.driver else "", python) if w)

    def forbids(self, release: Numbers, variant: str, *, branch: int | None, python: str | None) -> bool:
        """Whether the build is meant on a driver of that branch (None: not known) and on that Python.

        Without a Python the entries that name one are silent, and with one those that name none: each speaks once.
        """
        if (self.python is None) is not (python is None):
            return False
        return (
            (self.torch is None or self.torch.holds(release))
            and (self.variant is None or fnmatchcase(variant, self.variant))
            and (self.driver is None or (branch is not None and self.driver.holds((branch,))))
            and (python is None or self._means(python))
        )

    def _means(self, python: str) -> bool:
        is_free_threaded = python.endswith("t")
        if self.python is None or (self.is_free_threaded_alone and not is_free_threaded):
            return False
        text = python.rstrip("t")
        return bool(_PREFIX.fullmatch(text)) and self.python.holds(numbers(text))


@dataclass(frozen=True, slots=True, eq=False)
class SiteRow:
    """One row of the matrix that is the site's."""

    path: Place
    line: int | None
    is_replacement: bool


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One site file."""

    path: str
    digest: str
    """First 8 hexadecimal digits of the SHA-256 of its text."""
    bans: tuple[Ban, ...]
    rows: tuple[SiteRow, ...]

    def ban(self, release: Numbers, variant: str, *, branch: int | None, python: str | None = None) -> Ban | None:
        """The first entry of `forbid` that means the build."""
        return next((ban for ban in self.bans if ban.forbids(release, variant, branch=branch, python=python)), None)

    def forbids_branch(self, branch: int) -> bool:
        """Whether an entry forbids every build on that driver branch."""
        alone = (ban.driver for ban in self.bans if not (ban.torch or ban.variant or ban.python))
        return any(driver is not None and driver.holds((branch,)) for driver in alone)

    def owns(self, *path: str) -> bool:
        """Whether the row at that path, or one around it, is the site's."""
        return any(row.path == path[: len(row.path)] for row in self.rows)

    @property
    def summary(self) -> str:
        """What it does, in one sentence."""
        replaced = sum(row.is_replacement for row in self.rows)
        added = len(self.rows) - replaced
        counts = ((added, "row added"), (replaced, "row replaced"), (len(self.bans), "entry that forbids builds"))
        said = [f"{number} {_plural(words, number)}" for number, words in counts if number]
        return f"The site file {self.path} counts: {', '.join(said) or 'it changes nothing'}."


def _plural(words: str, number: int) -> str:
    if number == 1:
        return words
    return words.replace("row", "rows", 1).replace("entry that forbids", "entries that forbid", 1)


def site_of(plain: Any, *, path: str, digest: str) -> Site:
    """The site of the plain tree that `overlay.overlaid` made of a file; PlaceError where it is something else."""
    root = fields.mapping(plain, frozenset(("forbid", "rows")))
    return Site(
        path=path,
        digest=digest,
        bans=fields.items(root, "forbid", lambda value: _kept_ban(value, path)),
        rows=fields.items(root, "rows", _kept_row),
    )


def _kept_ban(value: Any, path: str) -> Ban:
    line, entry = fields.mapping(value, frozenset(("line", "entry"))).values()
    return ban_of(entry, place=f"{path}:{line}" if line else path)


def _kept_row(value: Any) -> SiteRow:
    row = fields.mapping(value, frozenset(("path", "line", "is_replacement")))
    is_replacement = fields.field(row, "is_replacement", fields.one_of("yes", "no")) == "yes"
    return SiteRow(tuple(row["path"]), fields.maybe(row, "line", fields.whole), is_replacement)


def ban_of(value: Any, *, place: str) -> Ban:
    """An entry of `forbid`; PlaceError says what is wrong with it."""
    entry = fields.mapping(value, frozenset(("reason",)), frozenset(BAN_KEYS))
    if not any(entry.get(key) is not None for key in BAN_KEYS):
        raise PlaceError("an entry that names nothing", "one of " + ", ".join(BAN_KEYS))
    python = fields.maybe(entry, "python", _python)
    return Ban(
        torch=fields.maybe(entry, "torch", span("releases such as 2.9 or >=2.10,<2.12")),
        variant=fields.maybe(entry, "variant", _variant),
        driver=fields.maybe(entry, "driver", span("driver branches such as 590 or >=535,<570")),
        python=python[0] if python else None,
        is_free_threaded_alone=bool(python and python[1]),
        reason=" ".join(fields.field(entry, "reason", fields.text).split()),
        place=place,
    )


def span(expected: str) -> Callable[[Any], Span]:
    """A reader of releases in words; what it refuses, it says to expect."""

    def read(value: Any) -> Span:
        text = value.strip() if isinstance(value, str) else ""
        if _PREFIX.fullmatch(text):
            return Span(text, numbers(text), ())
        clauses = [_CLAUSE.fullmatch(clause.strip()) for clause in text.split(",")]
        if not all(clauses):
            raise PlaceError(fields.shown(value), expected)
        return Span(text, (), tuple((clause[1], numbers(clause[2])) for clause in clauses if clause))

    return read


def _python(value: Any) -> tuple[Span, bool]:
    text = value.strip() if isinstance(value, str) else ""
    is_alone = bool(re.fullmatch(r"3\.\d{1,2}t", text, re.ASCII))
    found = span("a Python such as 3.14, 3.14t or >=3.13")(text[:-1] if is_alone else value)
    return found, is_alone


def _variant(value: Any) -> str:
    if not isinstance(value, str) or not _VARIANT.fullmatch(value):
        raise PlaceError(fields.shown(value), "a variant such as cu128, or a pattern such as cu13*")
    return value


def _padded(version: Numbers) -> Numbers:
    return (*version, *(0,) * (_LONGEST - len(version)))


def _compares(version: Numbers, operator: str, other: Numbers) -> bool:
    if operator in ("==", "!="):
        return (version == other) is (operator == "==")
    if operator in (">=", "<"):
        return (version >= other) is (operator == ">=")
    return (version > other) is (operator == ">")
