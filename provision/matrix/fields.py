"""Typed reading of plain trees: each function takes a value and returns what it is.

PlaceError says what was found and expected where it is something else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from ..versions import ComputeCapability, CudaVersion, DriverVersion, Glibc
from .model import Numbers, VersionRange, numbers
from .places import PlaceError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAX_SHOWN = 80
"""Longest quotation of a value in an error."""

_NUMBERS = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,3}", re.ASCII)
_RANGE = re.compile(r">=(\d+(?:\.\d+){0,2}),<(\d+(?:\.\d+){0,2})((?:,!=\d+\.\d+\.(?:\d+|\*))*)", re.ASCII)
_WHOLE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}(?:-\d{2})?", re.ASCII)
_PYTHON_TAG = re.compile(r"cp3\d{1,2}t?", re.ASCII)
_SPECIFIER = re.compile(r"(?:==|!=|~=|<=?|>=?)\d+(?:\.\d+)*", re.ASCII)
_REQUIREMENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]*(?:\[[a-z0-9]+(?:,[a-z0-9]+)*\])?", re.ASCII)
_VERSION = r"\d+(?:\.\d+){0,5}"
_REQUIREMENT = re.compile(
    rf"(?:{_VERSION}|(?:[<>=!~]=|[<>]){_VERSION}(?:,(?:[<>=!~]=|[<>]){_VERSION})*)"
    r"(?:; python_version (?:[<>=!]=|[<>]) '3\.\d{1,2}')?",
    re.ASCII,
)
_SPECIFIERS = re.compile(rf"(?:[<>=!~]=|[<>]){_VERSION}(?:,(?:[<>=!~]=|[<>]){_VERSION})*", re.ASCII)
_BINARY_CODE = re.compile(r"sm_[0-9]{2,3}", re.ASCII)
_PCI_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}", re.ASCII)
_DEVICE_ID = re.compile(r"[0-9a-f]{4}", re.ASCII)
_SUBSYSTEM = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}:[0-9a-f]{4}", re.ASCII)


def shown(value: Any) -> str:
    """A value as an error names it, never longer than a line."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return f"a mapping with {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 4]}...'"


def mapping(
    value: Any, required: frozenset[str] = frozenset(), optional: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A mapping that has all required keys and no others than these and the optional ones."""
    if not isinstance(value, dict):
        raise PlaceError(shown(value), "a mapping")
    if missing := required - value.keys():
        raise PlaceError(f"no key {min(missing)!r}", "the key " + min(missing))
    if unknown := value.keys() - required - optional:
        raise PlaceError(f"unknown key {min(unknown)!r}", "one of " + ", ".join(sorted(required | optional))).inside(
            min(unknown)
        )
    return value


def rows(value: Any, read: Callable[[str, Any], T]) -> tuple[T, ...]:
    """Every entry of a mapping, read as a row with its key."""
    if not isinstance(value, dict):
        raise PlaceError(shown(value), "a mapping")
    found: list[T] = []
    key = ""
    try:
        for key, entry in value.items():
            found.append(read(key, entry))
    except PlaceError as fault:
        raise fault.inside(key) from None
    return tuple(found)


def field(entry: dict[str, Any], key: str, read: Callable[[Any], T]) -> T:
    """The value of a key that must be there."""
    try:
        return read(entry[key])
    except PlaceError as fault:
        raise fault.inside(key) from None


def maybe(entry: dict[str, Any], key: str, read: Callable[[Any], T]) -> T | None:
    """The value of a key that may be absent or null."""
    return None if entry.get(key) is None else field(entry, key, read)


def items(entry: dict[str, Any], key: str, read: Callable[[Any], T]) -> tuple[T, ...]:
    """The list of a key; absent is empty."""
    return field(entry, key, lambda value: sequence(value, read)) if key in entry else ()


def sequence(value: Any, read: Callable[[Any], T]) -> tuple[T, ...]:
    """A list without repetitions."""
    if not isinstance(value, list):
        raise PlaceError(shown(value), "a list")
    found: list[T] = []
    try:
        for entry in value:
            found.append(read(entry))  # noqa: PERF401  its length says which entry is at fault
    except PlaceError as fault:
        raise fault.inside(len(found)) from None
    for index, item in enumerate(found):
        if item in found[:index]:
            raise PlaceError(shown(value[index]), "each entry once").inside(index)
    return tuple(found)


def text(value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise PlaceError(shown(value), "text")
    return value


def _pattern(pattern: re.Pattern[str], expected: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise PlaceError(shown(value), expected)
        return value

    return read


date = _pattern(_DATE, "a date such as 2026-11-23")
release = _pattern(_NUMBERS, "a release such as 2.9.1")
python_tag = _pattern(_PYTHON_TAG, "a Python tag such as cp312 or cp313t")
specifier = _pattern(_SPECIFIER, "one specifier such as <2")
specifiers = _pattern(_SPECIFIERS, "specifiers such as >=0.22.0,<=0.23.0")
requirement_name = _pattern(_REQUIREMENT_NAME, "a project such as nvidia-nccl-cu13 or cuda-toolkit[cudart,cufft]")
requirement = _pattern(
    _REQUIREMENT,
    "a version or specifiers such as >=13.0.3,<14, perhaps with a marker such as ; python_version < '3.13'",
)
pci_id = _pattern(_PCI_ID, "a PCI id in lower case such as 10de:2330")
subsystem = _pattern(_SUBSYSTEM, "device:subvendor:subdevice in lower case such as 1e30:10de:129e")


def device_ids(value: Any) -> tuple[str, ...]:
    """PCI device ids without their vendor, separated by blanks."""
    found = text(value).split()
    if wrong := next((device for device in found if not _DEVICE_ID.fullmatch(device)), None):
        raise PlaceError(shown(wrong), "a PCI device id in lower case such as 2330")
    if len(set(found)) < len(found):
        raise PlaceError(shown(value), "each PCI device id once")
    return tuple(found)


def boards(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Boards separated by semicolons, each `name = device ids` or a name alone."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in text(value).split(";"):
        name, has_ids, ids = entry.partition("=")
        name = name.strip()
        if not name or name in found:
            raise PlaceError(shown(entry.strip()), "each name once, as in `Tesla K40c = 1024; Tesla K40`")
        found[name] = device_ids(ids) if has_ids else ()
    return tuple(found.items())


def key_numbers(value: Any) -> Numbers:
    """(2, 9, 1) of '2.9.1'."""
    return numbers(release(value))


def python_minor(value: Any) -> tuple[int, int]:
    """(3, 12) of '3.12'."""
    found = key_numbers(value)
    if len(found) != 2:  # noqa: PLR2004  a Python minor has two numbers
        raise PlaceError(shown(value), "a Python such as 3.12")
    return found[0], found[1]


def python(value: Any) -> str:
    """The text of a Python minor: 3.12."""
    python_minor(value)
    return str(value)


def version_range(value: Any) -> VersionRange:
    """A range such as >=4.48,<6, with what in its midst does not belong to it: >=4.48,<6,!=4.52.*,!=5.20.0."""
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if not match or numbers(match[1]) >= numbers(match[2]):
        raise PlaceError(shown(value), "a range such as >=4.48,<6")
    without = tuple(match[3].replace("!=", "").split(",")[1:])
    for release in without:
        if not numbers(match[1]) <= numbers(release.replace("*", "0")) < numbers(match[2]):
            raise PlaceError(shown(value), f"a range that {release} lies in before it is taken out")
    return VersionRange(match[1], match[2], without)


def number(value: Any) -> float:
    """A figure above zero."""
    try:
        figure = float(value)
    except (TypeError, ValueError):
        figure = 0.0
    if not 0 < figure < 1e9:  # noqa: PLR2004  catches nan and inf too
        raise PlaceError(shown(value), "a number above 0")
    return figure


def whole(value: Any) -> int:
    """A whole number above zero."""
    if not isinstance(value, str) or not _WHOLE.fullmatch(value):
        raise PlaceError(shown(value), "a whole number above 0")
    return int(value)


def flag(value: Any) -> bool:
    """Whether the text is true and not false."""
    if value not in {"true", "false"}:
        raise PlaceError(shown(value), "true or false")
    return bool(value == "true")


def one_of(*choices: str) -> Callable[[Any], Any]:
    """A reader of one of a few words."""

    def read(value: Any) -> str:
        if value not in choices:
            raise PlaceError(shown(value), "one of " + ", ".join(choices))
        return str(value)

    return read


def _parsed(parse: Callable[[str], T], expected: str) -> Callable[[Any], T]:
    known = lru_cache(maxsize=512)(parse)  # the same few dozen stand in hundreds of places

    def read(value: Any) -> T:
        try:
            return known(value)
        except (TypeError, ValueError):
            raise PlaceError(shown(value), expected) from None

    return read


driver = _parsed(DriverVersion, "a driver such as 535.104.05")
cuda = _parsed(CudaVersion.parse, "a CUDA release such as 12.8")
capability = _parsed(ComputeCapability.parse, "a compute capability such as 9.0")
glibc = _parsed(Glibc.parse, "a glibc such as 2.28")


def binary_code(value: Any) -> ComputeCapability:
    """Compute capability of an entry such as sm_90; sm_90a and the like are not portable and are not listed."""
    if not isinstance(value, str) or not _BINARY_CODE.fullmatch(value):
        raise PlaceError(shown(value), "binary code such as sm_90")
    return capability(value)


def virtual_code(value: Any) -> ComputeCapability:
    """Compute capability of an entry such as compute_90."""
    if not isinstance(value, str) or not re.fullmatch(r"compute_[0-9]{2,3}", value):
        raise PlaceError(shown(value), "virtual code such as compute_90")
    return ComputeCapability.parse(value)
