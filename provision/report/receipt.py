"""A receipt as lines: where the environment is, what it holds, what was verified, what it cost."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .style import gib, seconds

if TYPE_CHECKING:
    from ..documents.receipt import ReceiptData, RehearsalData, TimeData
    from ..records import Receipt
    from .style import Style

#: Distributions that a reader looks for first.
_NAMED = ("torch", "transformers", "numpy", "safetensors", "tokenizers")


def render_receipt(receipt: Receipt, style: Style) -> str:
    """Environment, versions, verification, time."""
    versions = {d.name: d.version for d in receipt.distributions}
    lines = [
        style.row("env", style.path(receipt.path), f"Python {receipt.python}"),
        *style.block("holds", ", ".join(f"{name} {versions[name]}" for name in _NAMED if name in versions)),
    ]
    lines += [
        style.row(
            style.mark("pass" if v.passed else "fail"),
            v.id,
            v.found or ("none, as planned" if v.passed else "not known"),
        )
        for v in receipt.verified
    ]
    if receipt.resumed and not receipt.reused:
        lines.append(style.row("resumed", f"after an interrupted run: {', '.join(receipt.resumed)} not repeated"))
    if receipt.reused:
        lines.append(style.row("time", "nothing to do: the receipt answers"))
    else:
        lines.append(style.row("time", *(f"{name} {seconds(took)}" for name, took in receipt.seconds)))
    lines.append(style.row("use", f"source {style.path(receipt.path)}/bin/activate"))
    count = len(receipt.distributions)
    lines.append(style.row(style.mark("pass"), f"{count} distributions, torch {receipt.build.local_version}"))
    return "\n".join(lines)


def render_rehearsal(receipt: ReceiptData, style: Style) -> str:
    """What an install would hold, run, download and need."""
    rehearsal = receipt.rehearsal
    lines = [style.row("env", style.path(receipt.environment.path), f"Python {receipt.environment.python}")]
    lines += [style.row("", f"{d.name}=={d.version}", d.source or "") for d in receipt.distributions]
    if rehearsal is not None:
        for step in rehearsal.steps:
            lines += style.block(step.label, shlex.join(step.command))
        lines += _costs(rehearsal, style)
    lines.append(style.row(style.mark("pass"), f"torch {receipt.build.local_version}; nothing was changed"))
    return "\n".join(lines)


def _costs(rehearsal: RehearsalData, style: Style) -> list[str]:
    """Bytes over the network and on the disk, and the time that they take."""
    most = "not known"
    if rehearsal.download_bytes is not None:
        most = f"up to {_size(rehearsal.download_bytes)}, less what the installer's cache has"
    lines = style.block("download", most if rehearsal.download_bytes != 0 else "nothing, every file is on this machine")
    needed, free = rehearsal.disk_needed_bytes, rehearsal.disk_free_bytes
    fits = "" if needed is None or needed <= free else style.paint("too little", "bad")
    lines.append(style.row("disk", f"needs {_size(needed)}", f"free {_size(free)}", fits))
    cache = rehearsal.cache
    if cache is not None and cache.path is not None:
        share = "on the same disk: the environment shares its files with it (reflink or hard link)"
        if cache.links != "link":
            more, free_there = _size(cache.needed_bytes), _size(cache.free_bytes)
            share = f"takes up to {more} more, free {free_there}: the environment gets copies"
        lines += style.block("cache", f"{style.path(cache.path)}  {share}")
    if rehearsal.time is not None:
        lines += style.block("time", _duration(rehearsal.time))
        for line in rehearsal.time.basis:
            lines += style.wrapped(line)
    return lines


def _duration(time: TimeData) -> str:
    """The range, or the part of it that is known."""
    if time.least_s is not None and time.most_s is not None:
        if time.download_s == 0:
            return f"about {seconds(time.most_s)}"
        return f"{seconds(time.least_s)} with everything cached to {seconds(time.most_s)} with nothing cached"
    if time.download_s:
        return f"up to {seconds(time.download_s)} for the download; the rest is not known"
    if time.rest_s is not None:
        return f"about {seconds(time.rest_s)} after the download, whose time is not known"
    return "not known"


def _size(size_bytes: int | None) -> str:
    return "not known" if size_bytes is None else gib(size_bytes)
