"""Records to JSON values and back, driven by the type hints of the frozen dataclasses.

One walker each way, so that a field added to a record is written, read and validated with no further
code. Reading treats every file as hostile: types are checked, depth is bounded by the types, control
characters are removed, and the error names the place inside the document.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union

from ..errors import InputError
from ..plain_text import clean_text
from ..versions import ComputeCapability, CudaVersion, DriverVersion, Glibc

T = TypeVar("T")
Reader = Callable[[Any], Any]

#: Whole numbers and figures beyond these are no facts of a machine, and not every reader of JSON can hold them.
MOST_WHOLE = 2**63
MOST_FIGURE = 1e300

# Bounded in depth and length, whatever a file holds.
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 60

#: Values that travel as text, and how text becomes a value again.
_TEXTUAL: dict[type, Any] = {
    DriverVersion: DriverVersion,
    CudaVersion: CudaVersion.parse,
    ComputeCapability: ComputeCapability.parse,
    Glibc: Glibc.parse,
}


_MISSING = object()

#: Values that are written as they are; subclasses (an enum of texts) are not.
_PLAIN = frozenset((str, int, bool, type(None)))


def public_name(field_name: str) -> str:
    """The JSON key of a field: `from_` is written `from`."""
    return field_name.rstrip("_")


def encode(value: Any) -> Any:
    """A JSON value of a record, its fields in their order; not-a-number becomes null."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple(_TEXTUAL)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: encode(getattr(value, attribute)) for attribute, key in _written(type(value))}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


@cache
def _written(record: Any) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, public_name(field.name)) for field in dataclasses.fields(record))


@cache
def fields_of(record: type) -> tuple[tuple[str, str, Any, bool], ...]:
    """(attribute, JSON key, type, required) of every field of a record type."""
    hints = typing.get_type_hints(record)
    return tuple(
        (
            field.name,
            public_name(field.name),
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(record)
    )


def decode(kind: type[T], value: Any, *, where: str) -> T:
    """A record (or plain value) of type `kind` from a JSON value; InputError names the place otherwise.

    Unknown keys are ignored: fields may be added within a schema version.
    """
    try:
        return typing.cast("T", _reader(kind)(value))
    except _MisfitError as err:
        raise InputError(f"{where}{err.place}: {err.said}") from err


class _MisfitError(Exception):
    """A value that does not fit its type. Its place is put together on the way out: values that fit pay nothing."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said
        self.place = ""


def _reader(kind: Any) -> Reader:
    """What reads a JSON value of the type. Only records are kept: equal unions may differ in the order of options."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _union_reader(arguments)
    if origin is Literal:
        return _choice_reader(arguments, arguments)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin in (dict, Mapping):
        return _mapping_reader(_reader(arguments[1]))
    if kind in _TEXTUAL:
        return _textual_reader(_TEXTUAL[kind])
    if dataclasses.is_dataclass(kind):
        return _record_reader(typing.cast("type", kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice_reader([item.value for item in kind], list(kind))
    return _SCALAR_READERS[kind]


def _read_text(value: Any) -> str:
    if isinstance(value, str):
        return clean_text(value)
    raise _mismatch("a text", value)


def _read_whole(value: Any) -> int:
    _require_bounded(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _mismatch("a whole number", value)


def _read_figure(value: Any) -> float:
    _require_bounded(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise _mismatch("a number", value)


def _read_truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _mismatch("true or false", value)


def _read_null(value: Any) -> None:
    if value is not None:
        raise _mismatch("null", value)


def _read_any(value: Any) -> Any:
    _require_bounded(value)
    return value


_SCALAR_READERS: dict[Any, Reader] = {
    str: _read_text,
    int: _read_whole,
    float: _read_figure,
    bool: _read_truth,
    type(None): _read_null,
    Any: _read_any,
}


def _require_bounded(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _MisfitError(f"expected a finite number, found {value}")
    if isinstance(value, (int, float)) and abs(value) >= (MOST_FIGURE if isinstance(value, float) else MOST_WHOLE):
        raise _MisfitError("expected a number that a fact can have, found one that is too large")


def _choice_reader(written: Sequence[Any], meant: Sequence[Any]) -> Reader:
    known = dict(zip(written, meant, strict=True))
    expected = " or ".join(repr(word) for word in written)

    def read(value: Any) -> Any:
        # What can't be a key (a list, an object) is not one of them; nor is true the same as 1.
        if isinstance(value, (str, int, float)) and value in known and type(value) in kinds:
            return known[value]
        raise _mismatch(expected, value)

    kinds = {type(word) for word in written}
    return read


def _textual_reader(parse: Any) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise _mismatch("a version as text", value)
        try:
            return parse(value)
        except ValueError as err:
            raise _MisfitError(str(err)) from err

    return read


@cache
def _record_reader(kind: Any) -> Reader:
    fields: list[tuple[str, str, Reader, bool, bool, bool]] = []

    def read(value: Any) -> Any:
        if not isinstance(value, (dict, Mapping)):  # dict first: asking an ABC is slow
            raise _mismatch("an object", value)
        arguments = {}
        for attribute, key, read_field, is_required, takes_null, takes_text in fields:
            item = value.get(key, _MISSING)
            # Most values of a machine are null or plain texts: a document of a large box has hundreds.
            if (item is None and takes_null) or (takes_text and type(item) is str and item.isprintable()):
                arguments[attribute] = item
            elif item is not _MISSING:
                try:
                    arguments[attribute] = read_field(item)
                except _MisfitError as err:
                    err.place = f".{key}{err.place}"
                    raise
            elif is_required:
                raise _MisfitError(f"the field {key!r} is missing")
        return kind(**arguments)

    for attribute, key, hint, is_required in fields_of(kind):
        options = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
        takes_text = options[0] is str  # what `_read_text` would return as it is
        fields.append((attribute, key, _reader(hint), is_required, type(None) in options, takes_text))
    return read


def _union_reader(options: tuple[Any, ...]) -> Reader:
    has_null = type(None) in options
    readers = [_reader(option) for option in options if option is not type(None)]
    # The first option that takes a plain value of that type; a figure may be written as a whole number.
    direct: dict[type, Reader] = {}
    for option in options:
        for written in {float: (float, int), str: (str,), int: (int,), bool: (bool,)}.get(option, ()):
            direct.setdefault(written, _reader(option))
    if not all(option in _SCALAR_READERS for option in options):
        direct.clear()  # an enum takes texts, too

    def read(value: Any) -> Any:
        if value is None and has_null:
            return None
        if read_plain := direct.get(type(value)):
            return read_plain(value)
        errors = []
        for read_option in readers:
            try:
                return read_option(value)
            except _MisfitError as err:
                errors.append(err)
        # The deepest message is the most telling one: it comes from the option that fitted best.
        deepest = max(errors, key=lambda err: len(err.place))
        errors.clear()
        try:
            raise deepest
        finally:
            del deepest  # else it and this frame hold each other, and all of a hostile file with them

    return read


def _tuple_reader(arguments: tuple[Any, ...]) -> Reader:
    is_open = len(arguments) == 2 and arguments[1] is Ellipsis
    readers = [_reader(argument) for argument in arguments[:1] if is_open] or [_reader(one) for one in arguments]

    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _mismatch("a list", value)
        if not is_open and len(value) != len(readers):
            raise _mismatch(f"a list of {len(readers)}", value)
        items = []
        try:
            for item, read_item in zip(value, readers * len(value) if is_open else readers, strict=True):
                items.append(read_item(item))
        except _MisfitError as err:
            err.place = f"[{len(items)}]{err.place}"
            raise
        return tuple(items)

    return read


def _mapping_reader(read_item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, (dict, Mapping)):  # dict first: asking an ABC is slow
            raise _mismatch("an object", value)
        items = {}
        for key, item in value.items():
            try:
                items[clean_text(str(key))] = read_item(item)
            except _MisfitError as err:
                err.place = f".{key}{err.place}"
                raise
        return items

    return read


def _mismatch(expected: str, found: Any) -> _MisfitError:
    _require_bounded(found)
    text = _SHOWN.repr(found)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return _MisfitError(f"expected {expected}, found {clean_text(shown)}")
