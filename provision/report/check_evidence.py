"""Evidence as people read it: what eight GPUs show alike is one line, figures have a unit. Documents keep all of it."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .style import gib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Evidence

_GPU: Final = re.compile(r"(gpu\.|.*\(GPU )(\d+)([.)].*)", re.DOTALL)
_FUNCTION: Final = re.compile(r"(pci\.)([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])(\..*)")
_EPOCH: Final = range(10**9, 2 * 10**9)
"""Seconds of Unix time that stand for a date: 2001 to 2033; smaller ones are durations."""


def fold_evidence(items: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Items that differ only in the GPU, the PCI function or the device that they are of become one, in first place.

    `gpu.0.ecc_mode` to `gpu.7.ecc_mode` are `gpu.0-7.ecc_mode`; names of devices are listed; other differences of
    names and sources are a `*`.
    """
    groups: dict[Any, list[Evidence]] = {}
    for item in items:
        groups.setdefault(_kind(item), []).append(item)
    return tuple(_folded(group) for group in groups.values())


def _kind(item: Evidence) -> Any:
    """What has to be equal for two items to become one."""
    value = item.value
    if isinstance(value, tuple) and len(value) > 2 and isinstance(value[0], str):
        value = ("rest", *value[1:])  # (mlx5_0/1, InfiniBand, ACTIVE): the device comes first
    return (_template(item.name), repr(value), item.unit, repr(item.needs), _head(item.source))


def _head(source: str | None) -> str:
    """The part of a source that says of what kind it is."""
    return re.split(r"[ ,/]", (source or "").lstrip("/"), maxsplit=1)[0]


def _template(name: str) -> str:
    match = _GPU.fullmatch(name) or _FUNCTION.fullmatch(name)
    return f"{match[1]}*{match[3]}" if match else name


def _folded(group: Sequence[Evidence]) -> Evidence:
    first = group[0]
    if len(group) == 1:
        return first
    value = first.value
    if isinstance(value, tuple) and len({item.value[0] for item in group if isinstance(item.value, tuple)}) > 1:
        heads = ", ".join(str(item.value[0]) for item in group if isinstance(item.value, tuple))
        value = (f"{heads}: {value[1]}", *value[2:])
    sources = [item.source for item in group if item.source]
    return replace(first, name=_name(group), value=value, source=_starred(sources) if sources else first.source)


def _name(group: Sequence[Evidence]) -> str:
    names = list(dict.fromkeys(item.name for item in group))
    if len(names) == 1:
        return names[0]
    matches = [match for match in map(_GPU.fullmatch, names) if match]
    if len(matches) == len(names):
        return f"{matches[0][1]}{ranges([int(match[2]) for match in matches])}{matches[0][3]}"
    return _starred(names)


def ranges(numbers: Sequence[int]) -> str:
    """0, 1, 2, 3, 5 as `0-3,5`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _starred(texts: Sequence[str]) -> str:
    """What the texts have in common, with a `*` for the rest."""
    if len(set(texts)) == 1:
        return texts[0]
    begin = _shared(texts)
    end = _shared([text[len(begin) :][::-1] for text in texts])[::-1]
    return f"{begin}*{end}"


def _shared(texts: Sequence[str]) -> str:
    """The characters with which all of them begin."""
    length = 0
    for column in zip(*texts):  # noqa: B905  as far as the shortest one goes
        if len(set(column)) > 1:
            break
        length += 1
    return texts[0][:length]


def shown_value(name: str, value: object, unit: str | None = None) -> str:
    """A value in words: sizes in GiB, times as dates (UTC), yes and no."""
    if isinstance(value, tuple):
        return ", ".join("-" if part is None else shown_value("", part) for part in value) or "none"
    if value is None:
        return "not known"
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and unit == "bytes" and value >= 2**20:
        return gib(value)
    if isinstance(value, (int, float)) and not unit:
        if name.endswith("_bytes") and value >= 2**20:
            return gib(value)
        if name.endswith("_at") and int(value) in _EPOCH:
            return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return f"{value}{f' {unit}' if unit else ''}"
