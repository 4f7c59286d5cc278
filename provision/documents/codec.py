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
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union

from ..errors import InputError
from ..plain_text import clean_text
from ..versions import ComputeCapability, CudaVersion, DriverVersion, Glibc

T = TypeVar("T")

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


def public_name(field_name: str) -> str:
    """The JSON key of a field: `from_` is written `from`."""
    return field_name.rstrip("_")


def encode(value: Any) -> Any:
    """A JSON value of a record, its fields in their order; not-a-number becomes null."""
    if isinstance(value, tuple(_TEXTUAL)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {public_name(f.name): encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


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
    return typing.cast("T", _decode(kind, value, where))


def _decode(kind: Any, value: Any, where: str) -> Any:
    if isinstance(value, (int, float)):
        _require_bounded(value, where)
    if kind is Any:
        return value
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(typing.get_args(kind), value, where)
    if origin is Literal:
        if value in typing.get_args(kind):
            return value
        raise _mismatch(where, " or ".join(repr(arg) for arg in typing.get_args(kind)), value)
    if origin is tuple:
        return _decode_tuple(typing.get_args(kind), value, where)
    if origin in (dict, Mapping):
        return _decode_mapping(typing.get_args(kind), value, where)
    return _decode_plain(kind, value, where)


def _require_bounded(value: float, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number, found {value}")
    if abs(value) >= (MOST_FIGURE if isinstance(value, float) else MOST_WHOLE):
        raise InputError(f"{where}: expected a number that a fact can have, found one that is too large")


def _decode_plain(kind: Any, value: Any, where: str) -> Any:
    if kind in _TEXTUAL:
        return _decode_textual(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _decode_record(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError as err:
            raise _mismatch(where, " or ".join(repr(item.value) for item in kind), value) from err
    return _decode_scalar(kind, value, where)


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is type(None) and value is None:
        return None
    if kind is str and isinstance(value, str):
        return clean_text(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}
    raise _mismatch(where, names.get(kind, str(kind)), value)


def _decode_textual(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, str):
        raise _mismatch(where, "a version as text", value)
    try:
        return _TEXTUAL[kind](value)
    except ValueError as err:
        raise InputError(f"{where}: {err}") from err


def _decode_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _mismatch(where, "an object", value)
    arguments = {}
    for attribute, key, hint, required in fields_of(kind):
        if key in value:
            arguments[attribute] = _decode(hint, value[key], f"{where}.{key}")
        elif required:
            raise InputError(f"{where}: the field {key!r} is missing")
    return kind(**arguments)


def _decode_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    errors = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _decode(option, value, where)
        except InputError as err:
            errors.append(err)
    # The deepest message is the most telling one: it comes from the option that fitted best.
    raise max(errors, key=lambda err: len(err.happened.split(":")[0]))


def _decode_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _mismatch(where, "a list", value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_decode(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if len(value) != len(arguments):
        raise _mismatch(where, f"a list of {len(arguments)}", value)
    return tuple(
        _decode(hint, item, f"{where}[{number}]")
        for number, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _decode_mapping(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _mismatch(where, "an object", value)
    return {clean_text(str(key)): _decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}


def _mismatch(where: str, expected: str, found: Any) -> InputError:
    text = _SHOWN.repr(found)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return InputError(f"{where}: expected {expected}, found {clean_text(shown)}")
