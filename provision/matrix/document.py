"""Text of a YAML file to plain mappings, lists and strings, for files that are data and nothing else.

What a data file does not need is refused: anchors, aliases, tags, several documents, repeated keys, deep nesting. All
scalars stay text (YAML would read 12.10 as 12.1); only a plain `null` is None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml
from yaml import events

from .places import MAX_BYTES, Place, Tree, bad_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_DEPTH: Final = 16
# libyaml reads the matrix about thirty times as fast; a Python without it still works.
_LOADER: Final[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def parse_document(text: str, *, origin: str) -> Tree:
    """The one document of the text; InputError with line and column otherwise."""
    if len(text) > MAX_BYTES:
        raise bad_file(origin, "the file", f"{len(text)} characters", f"at most {MAX_BYTES}")
    return _Composer(text, origin).document()


def line_of(text: str, path: Place) -> int | None:
    """Line on which the value of that path starts, for messages; None when the path leads nowhere."""
    return lines_of(text, [path])[0]


def lines_of(text: str, paths: Sequence[Place]) -> list[int | None]:
    """Of each path the line on which its value starts; the text is read once."""
    root = yaml.compose(text, Loader=_LOADER)  # parse_document took the text: no alias, no depth
    return [_line(root, path) for path in paths]


def _line(node: Any, path: Place) -> int | None:
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return None
    return node.start_mark.line + 1 if node else None


class _Composer:
    """One pass over the events of a document."""

    def __init__(self, text: str, origin: str) -> None:
        self._origin = origin
        self._loader = _LOADER(text)
        # Bound once: the matrix has some twenty thousand events, and a cold plan reads them all.
        self._next: Callable[[], Any] = self._loader.get_event

    def document(self) -> Tree:
        try:
            self._next()  # stream start
            if not isinstance(self._next(), events.DocumentStartEvent):
                raise bad_file(self._origin, "the file", "nothing", "one document")
            tree = self._node(self._next(), 0)
            self._next()  # document end
            if not isinstance(extra := self._next(), events.StreamEndEvent):
                self._refuse(extra, "a second document", "one document")
        except yaml.MarkedYAMLError as err:
            mark = err.problem_mark or err.context_mark
            place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
            raise bad_file(self._origin, place, err.problem or "broken text", "well-formed YAML") from err
        except yaml.YAMLError as err:
            raise bad_file(self._origin, "the file", " ".join(str(err).split()), "well-formed YAML") from err
        return tree

    def _node(self, event: Any, depth: int) -> Tree:
        kind = type(event)
        if kind is events.ScalarEvent and event.anchor is None and event.tag is None:
            return None if event.value == "null" and event.implicit[0] else str(event.value)
        if kind is events.AliasEvent:
            self._refuse(event, f"alias *{event.anchor}", "the value itself: aliases are not used here")
        if event.anchor is not None:
            self._refuse(event, f"anchor &{event.anchor}", "no anchor: they are not used here")
        if event.tag is not None and event.tag != "!":
            self._refuse(event, f"tag {event.tag}", "no tag: all values are text here")
        if kind is events.ScalarEvent:
            return None if event.value == "null" and event.implicit[0] else str(event.value)
        if depth >= MAX_DEPTH:
            self._refuse(event, f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH}")
        return self._mapping(depth + 1) if kind is events.MappingStartEvent else self._sequence(depth + 1)

    def _mapping(self, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while type(event := self._next()) is not events.MappingEndEvent:
            if type(event) is not events.ScalarEvent:
                self._refuse(event, "a mapping or list as key", "text as key")
            key = self._node(event, depth)
            if key is None or key in mapping:
                self._refuse(event, "null as key" if key is None else f"repeated key {key!r}", "each key once")
            mapping[str(key)] = self._node(self._next(), depth)
        return mapping

    def _sequence(self, depth: int) -> list[Any]:
        sequence = []
        while type(event := self._next()) is not events.SequenceEndEvent:
            sequence.append(self._node(event, depth))
        return sequence

    def _refuse(self, event: Any, found: str, expected: str) -> NoReturn:
        mark = event.start_mark
        raise bad_file(self._origin, f"line {mark.line + 1}, column {mark.column + 1}", found, expected)
