"""Results that somebody knows about and that do not count until a day, with a reason. Pure but for the reading."""

# A file is a list of entries; by, host and match may be left out:
#
# - id: gpu.ecc_mode
#   until: 2027-01-31          the last day on which it holds
#   reason: ECC is off for the benchmarks of this quarter
#   by: ops                    who answers for it
#   host: bench-*              a pattern over host names
#   match: GPU 3               text that the sentence or the evidence of the result holds

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from .check_states import PROBLEMS
from .errors import InputError
from .matrix import fields
from .matrix.places import PlaceError, bad_file, path_text
from .records import Evidence, Finding, Suppression

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from .records import CheckResult

MAX_FILE_BYTES: Final = 256 * 1024
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_REQUIRED: Final = frozenset(("id", "reason", "until"))
_OPTIONAL: Final = frozenset(("by", "host", "match"))


@dataclass(frozen=True, slots=True)
class SuppressionEntry:
    """One entry of a file of suppressions."""

    id: str
    reason: str
    until: dt.date
    """Last day on which it holds."""
    by: str | None
    host: str | None
    """A pattern over host names; None means every host."""
    match: str | None
    place: str
    """File and line."""

    def is_for(self, hostname: str | None) -> bool:
        """Whether it means that host; a pattern never means a host whose name is not known."""
        return self.host is None or (hostname is not None and fnmatchcase(hostname, self.host))

    def means(self, result: CheckResult) -> bool:
        """Whether it means that result."""
        return result.id == self.id and (self.match is None or any(self.match in text for text in _texts(result)))


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Results after the entries were applied, and what there is to say about the entries."""

    results: tuple[CheckResult, ...]
    findings: tuple[Finding, ...]
    """One warning per entry that has expired."""


def apply_suppressions(
    results: Sequence[CheckResult],
    entries: Sequence[SuppressionEntry],
    *,
    hostname: str | None,
    today: dt.date,
) -> Suppressed:
    """The results, those that an entry means with status `suppressed`, their sentence and evidence as they were.

    Only problems are suppressed. An entry whose last day is over does nothing but warn.
    """
    here = [entry for entry in entries if entry.is_for(hostname)]
    valid = [entry for entry in here if today <= entry.until]
    return Suppressed(
        tuple(_suppressed(result, valid) for result in results),
        tuple(_expired(entry) for entry in here if entry.until < today),
    )


def _suppressed(result: CheckResult, entries: Sequence[SuppressionEntry]) -> CheckResult:
    entry = next((entry for entry in entries if entry.means(result)), None)
    if entry is None or result.status not in PROBLEMS:
        return result
    why = Suppression(result.status, entry.until.isoformat(), entry.reason, entry.by, entry.place)
    return replace(result, status="suppressed", suppression=why, leads=())


def _expired(entry: SuppressionEntry) -> Finding:
    return Finding(
        "suppression-expired",
        "warn",
        f"The suppression of {entry.id} ended on {entry.until.isoformat()} and counts no more.",
        (Evidence("until", entry.until.isoformat(), source=entry.place), Evidence("reason", entry.reason)),
        safe=(f"mend what {entry.id} found, then remove the entry", f"or give the entry at {entry.place} a later day"),
    )


def _texts(result: CheckResult) -> list[str]:
    values = [item.value for item in result.evidence]
    parts = [str(part) for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return [result.happened, *(item.name for item in result.evidence), *parts]


# --- the file


def load_suppressions(path: Path, *, known: Collection[str]) -> tuple[SuppressionEntry, ...]:
    """The entries of a file (EDGE); `known` are the ids of all checks. InputError names place, found and expected."""
    from .documents.envelope import read_text

    return parse_suppressions(read_text(path, limit=MAX_FILE_BYTES), origin=str(path), known=known)


def parse_suppressions(text: str, *, origin: str, known: Collection[str]) -> tuple[SuppressionEntry, ...]:
    """The entries of a text; InputError names place, found and expected."""
    from .matrix.document import line_of, parse_document

    is_empty = all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())
    try:
        tree = [] if is_empty else parse_document(text, origin=origin)
        try:
            entries = fields.sequence(tree, lambda value: _entry(value, known))
        except PlaceError as fault:
            line = line_of(text, fault.path)
            raise bad_file(
                origin, path_text(fault.path) + (f" (line {line})" if line else ""), fault.found, fault.expected
            ) from None
    except InputError as err:
        raise InputError(err.happened, evidence=err.evidence, do=(f"correct {origin}",)) from err
    return tuple(replace(entry, place=f"{origin}:{line_of(text, (number,))}") for number, entry in enumerate(entries))


def _entry(value: Any, known: Collection[str]) -> SuppressionEntry:
    entry = fields.mapping(value, _REQUIRED, _OPTIONAL)

    def id_of(word: Any) -> str:
        if word in known:
            return str(word)
        near = difflib.get_close_matches(str(word), list(known), n=1)
        raise PlaceError(fields.shown(word), "the id of a check" + (f", perhaps {near[0]}" if near else ""))

    return SuppressionEntry(
        id=fields.field(entry, "id", id_of),
        reason=_line(fields.field(entry, "reason", fields.text)),
        until=fields.field(entry, "until", _day),
        by=_maybe_line(entry, "by"),
        host=_maybe_line(entry, "host"),
        match=fields.maybe(entry, "match", fields.text),
        place="",
    )


def _day(value: Any) -> dt.date:
    with contextlib.suppress(ValueError):
        if isinstance(value, str) and _DAY.fullmatch(value):  # newer Pythons would read weeks, too
            return dt.date.fromisoformat(value)
    raise PlaceError(fields.shown(value), "the last day, such as 2027-01-31")


def _maybe_line(entry: dict[str, Any], key: str) -> str | None:
    found = fields.maybe(entry, key, fields.text)
    return None if found is None else _line(found)


def _line(text: str) -> str:
    return " ".join(text.split())
