"""A site's own file laid over the matrix: rows that it adds or replaces, builds that it forbids, each with its reason.

The file has the shape of the matrix, so a path leads to the same row in both. Rows are put into the plain tree before
it is typed: whatever holds for the matrix holds for the sum. A row that the matrix has is never changed by accident: it
needs `replace: true`, and is then replaced whole.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from . import fields
from .document import line_of, lines_of, parse_document
from .places import MAX_SITE_BYTES, Place, PlaceError, bad_file, path_text
from .site import ban_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import InputError

SCHEMA: Final = "gpusetup.site/1"

#: Tables with rows, and the keys of provenance that their rows have in the matrix too.
_TABLES: Final[dict[str, frozenset[str]]] = {
    "cubins": frozenset(),
    "cuda_majors": frozenset(),
    "forward_compatibility": frozenset(("source",)),
    "cuda_toolkits": frozenset(),
    "driver_branches": frozenset(),
    "architectures": frozenset(),
    "transformers": frozenset(),
    "accelerate": frozenset(),
    "peft": frozenset(),
    "gpus": frozenset(("source",)),
    "chips": frozenset(),
}
_PROVENANCE: Final = frozenset(("source", "read_on"))
_UNORDERED: Final = frozenset(("cubins", "architectures", "gpus", "chips"))
_ROOT: Final = frozenset(("sources", "forbid", "torch", *_TABLES))


def is_site_tree(text: str, *, origin: str) -> bool:
    """Whether the text says of itself that it is a site file; InputError when it can't be read at all."""
    tree = parse_document(text, origin=origin)
    return isinstance(tree, dict) and str(tree.get("schema")).startswith(SCHEMA.partition("/")[0])


def overlaid(base: dict[str, Any], text: str, *, origin: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the tree of the sum, the plain tree of the site) of a sound base and a site file. InputError names the line."""
    if len(text) > MAX_SITE_BYTES:
        raise bad_file(origin, "the file", f"{len(text)} characters", f"at most {MAX_SITE_BYTES}")
    sum_ = _Sum(base)
    try:
        sum_.add(parse_document(text, origin=origin))
    except PlaceError as fault:
        raise _located(fault, text, origin) from None
    lines = iter(lines_of(text, [*(("forbid", n) for n in range(len(sum_.bans))), *(path for path, _ in sum_.rows)]))
    site = {
        "forbid": [{"line": _text(next(lines)), "entry": entry} for entry in sum_.bans],
        "rows": [
            {"path": list(path), "line": _text(next(lines)), "is_replacement": "yes" if is_replacement else "no"}
            for path, is_replacement in sum_.rows
        ],
    }
    return sum_.tree, site


def blamed(fault: PlaceError, site: dict[str, Any], text: str, *, origin: str, base: str) -> InputError:
    """The error of a sum that does not hold: the row of the site that is at fault, else the one of the base."""
    if any(tuple(row["path"]) == fault.path[: len(row["path"])] for row in site["rows"]):
        return _located(fault, text, origin)
    return bad_file(origin, f"its rows beside {path_text(fault.path)} of {base}", fault.found, fault.expected)


def _located(fault: PlaceError, text: str, origin: str) -> InputError:
    line = line_of(text, fault.path)
    return bad_file(origin, path_text(fault.path) + (f" (line {line})" if line else ""), fault.found, fault.expected)


def _text(line: int | None) -> str | None:
    return None if line is None else str(line)


class _Sum:
    """The tree of the matrix with what a site file puts into it."""

    def __init__(self, base: dict[str, Any]) -> None:
        self.tree = dict(base)
        self.rows: list[tuple[Place, bool]] = []
        """Path of each row of the site, and whether it replaces one."""
        self.bans: list[Any] = []

    def add(self, tree: Any) -> None:
        fields.field(fields.mapping(tree, frozenset(("schema",)), _ROOT), "schema", fields.one_of(SCHEMA))
        if "sources" in tree:
            self.tree["sources"] = fields.field(tree, "sources", self._sources)
        self.bans = fields.field(tree, "forbid", _bans) if "forbid" in tree else []
        if "torch" in tree:
            torch = fields.field(tree, "torch", partial(fields.mapping, required=frozenset(("releases",))))
            releases = _inside(("torch", "releases"), lambda: self._releases(torch["releases"]))
            self.tree["torch"] = {**self.tree["torch"], "releases": releases}
        for name, kept in _TABLES.items():
            if name in tree:
                block = fields.field(tree, name, partial(fields.mapping, required=frozenset(("rows",))))
                self.tree[name] = {**self.tree[name], "rows": self._table(name, block["rows"], kept)}

    def _sources(self, value: Any) -> dict[str, Any]:
        known = self.tree["sources"]

        def read(key: str, text: Any) -> tuple[str, str]:
            if key in known:
                raise PlaceError("a key that the matrix has", "another key")
            return key, fields.text(text)

        return {**known, **dict(fields.rows(value, read))}

    def _table(self, name: str, value: Any, kept: frozenset[str]) -> dict[str, Any]:
        is_ordered = name not in _UNORDERED
        return self._rows((name, "rows"), value, self.tree[name]["rows"], kept=kept, is_ordered=is_ordered)

    def _rows(
        self, path: Place, value: Any, known: dict[str, Any], *, kept: frozenset[str], is_ordered: bool
    ) -> dict[str, Any]:
        """The rows of a table with those of the site in their places."""
        rows = dict(known)

        def read(key: str, entry: Any) -> None:
            nonlocal rows
            row = self._row((*path, key), entry, is_known=key in known)
            row = {name: item for name, item in row.items() if name in kept or name not in _PROVENANCE}
            rows = _placed(rows, key, row) if is_ordered else {**rows, key: row}

        _inside(path, lambda: fields.rows(value, read))
        return rows

    def _row(self, path: Place, value: Any, *, is_known: bool) -> dict[str, Any]:
        """A row of the site without `replace`; PlaceError where it clashes or says not where it is from."""
        if not isinstance(value, dict):
            raise PlaceError(fields.shown(value), "a mapping")
        is_replacement = "replace" in value and fields.field(value, "replace", fields.one_of("true")) == "true"
        if is_known and not is_replacement:
            raise PlaceError("a row that the matrix has", "`replace: true` in it, or another key")
        if is_replacement and not is_known:
            raise PlaceError("`replace: true`", "a row that the matrix has").inside("replace")
        if missing := _PROVENANCE - value.keys():
            raise PlaceError(f"no key {min(missing)!r}", "the key " + min(missing))
        cite: Callable[[Any], tuple[str, ...]] = partial(_cited, known=frozenset(self.tree["sources"]))
        fields.field(value, "source", cite)
        fields.field(value, "read_on", fields.date)
        self.rows.append((path, is_replacement))
        return {key: item for key, item in value.items() if key != "replace"}

    def _releases(self, value: Any) -> dict[str, Any]:
        releases = self.tree["torch"]["releases"]

        def read(version: str, entry: Any) -> None:
            nonlocal releases
            path = ("torch", "releases", version)
            known = releases.get(version)
            if known is not None and isinstance(entry, dict) and entry.keys() == {"variants"}:
                # The release stays as it is and gets builds.
                variants = self._variants(path, entry["variants"], known["variants"])
                releases = {**releases, version: {**known, "variants": variants}}
            else:
                row = self._row(path, entry, is_known=known is not None)
                releases = _placed(releases, version, row)

        fields.rows(value, read)
        return dict(releases)

    def _variants(self, release: Place, value: Any, known: dict[str, Any]) -> dict[str, Any]:
        rows = dict(known)

        def read(name: str, entry: Any) -> None:
            row = self._row((*release, "variants", name), entry, is_known=name in known)
            rows[name] = {key: item for key, item in row.items() if key != "read_on"}

        _inside(("variants",), lambda: fields.rows(value, read))
        return rows


def _inside(path: Place, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except PlaceError as fault:
        for key in reversed(path):
            fault = fault.inside(key)
        raise fault from None


def _cited(value: Any, *, known: frozenset[str]) -> tuple[str, ...]:
    def cite(entry: Any) -> str:
        if fields.text(entry) not in known:
            raise PlaceError(fields.shown(entry), "a key of `sources`, here or in the matrix")
        return str(entry)

    found = fields.sequence(value, cite)
    if not found:
        raise PlaceError("a list of 0", "at least one key of `sources`")
    return found


def _bans(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PlaceError(fields.shown(value), "a list")
    fields.sequence(value, lambda entry: ban_of(entry, place=""))
    return value


def _placed(rows: dict[str, Any], key: str, row: Any) -> dict[str, Any]:
    """The rows with that one at its place among ascending releases; where its key is none, at the end."""
    number = _numbers(key)
    if key in rows or number is None:
        return {**rows, key: row}
    older = {name: item for name, item in rows.items() if (its := _numbers(name)) is None or its < number}
    return {**older, key: row, **{name: item for name, item in rows.items() if name not in older}}


def _numbers(key: str) -> tuple[int, ...] | None:
    try:
        return fields.key_numbers(key)
    except PlaceError:
        return None
