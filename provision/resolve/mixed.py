"""Boxes with GPUs of several kinds: which of them one build can serve, and what leaving some out would admit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..records import Unlock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .candidates import Candidate
    from .devices import Device


class Group(NamedTuple):
    """GPUs of a box that every rule judges alike."""

    devices: tuple[Device, ...]
    fits: frozenset[int]
    """Places in the catalogue of the builds that would fit these GPUs alone, the arch list read."""
    kernel_module: str | None = None
    """Kernel module that these GPUs need; None where either will do or the box is not driven by one."""


def groups_of(
    devices: Sequence[Device], fits: Callable[[tuple[Device, ...]], frozenset[int]], *, is_windows_driver: bool
) -> tuple[Group, ...]:
    """The groups of a box, the most capable first; a GPU of unknown capability stands last."""
    alike: dict[tuple[object, ...], list[Device]] = {}
    for device in devices:
        alike.setdefault(device.board, []).append(device)
    kinds = sorted(alike.values(), key=lambda group: group[0].compute_capability or (0, 0), reverse=True)

    def module_of(device: Device) -> str | None:
        return None if is_windows_driver or device.kernel_module == "either" else device.kernel_module

    return tuple(Group(tuple(group), fits(tuple(group)), module_of(group[0])) for group in kinds)


def served(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The most capable GPUs that one build serves together: each group stays when a build is left for all so far.

    One kernel module drives them all, so a group that needs the other one than a group that stays does not.
    """
    kept: list[Group] = []
    common: frozenset[int] | None = None
    module: str | None = None
    for group in groups:
        both = group.fits if common is None else common & group.fits
        if both and (not module or group.kernel_module in (None, module)):
            kept.append(group)
            common, module = both, module or group.kernel_module
    return tuple(kept)


def unlocks_by_leaving_out(
    groups: Sequence[Group], chosen: Candidate, best: Callable[[frozenset[int], Sequence[Group]], Candidate | None]
) -> tuple[Unlock, ...]:
    """What a box would gain by leaving GPUs out: the fewest first, each admitting a newer torch than the last."""
    ways: list[tuple[int, tuple[Group, ...], Candidate]] = []
    singly = [(index,) for index in range(len(groups))] if len(groups) > 1 else []
    drops = {*singly, *(tuple(range(index, len(groups))) for index in range(1, len(groups)))}
    for drop in drops:
        common = frozenset.intersection(*(g.fits for n, g in enumerate(groups) if n not in drop))
        left = tuple(groups[index] for index in drop)
        if common and (candidate := best(common, left)):
            ways.append((sum(len(group.devices) for group in left), left, candidate))
    ways.sort(key=lambda way: (way[0], way[2].release_order))
    unlocks: list[Unlock] = []
    newest = chosen.release_order
    for _, left, candidate in ways:
        if candidate.release_order < newest:
            newest = candidate.release_order
            total = sum(len(group.devices) for group in groups)
            change = f"without {_names(left)}"
            unlocks.append(
                Unlock("gpu", f"all {total} GPUs", change, candidate.release.version, candidate.variant.name)
            )
    return tuple(unlocks)


def _names(groups: Sequence[Group]) -> str:
    texts = []
    for group in groups:
        numbers = ", ".join(str(device.index) for device in group.devices)
        texts.append(f"{group.devices[0].label} (GPU {numbers})")
    return " and ".join(texts)
