"""A receipt as lines: where the environment is, what it holds, what was verified, what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import gib, seconds

if TYPE_CHECKING:
    from ..documents.receipt import ReceiptData
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
        lines += [style.row(step.label, " ".join(step.command)) for step in rehearsal.steps]
        lines.append(style.row("download", _size(rehearsal.download_bytes), "(less where the cache has it)"))
        lines.append(
            style.row("disk", f"needs {_size(rehearsal.disk_needed_bytes)}", f"free {_size(rehearsal.disk_free_bytes)}")
        )
    lines.append(style.row(style.mark("pass"), f"torch {receipt.build.local_version}; nothing was changed"))
    return "\n".join(lines)


def _size(size_bytes: int | None) -> str:
    return "not known" if size_bytes is None else gib(size_bytes)
