"""A receipt as lines: where the environment is, what it holds, what was verified, what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import seconds

if TYPE_CHECKING:
    from ..records import Receipt
    from .style import Style

#: Distributions that a reader looks for first.
_NAMED = ("torch", "transformers", "numpy", "safetensors", "tokenizers")


def render_receipt(receipt: Receipt, style: Style) -> str:
    """Environment, versions, verification, time."""
    versions = {d.name: d.version for d in receipt.distributions}
    lines = [
        style.row("env", receipt.path, f"Python {receipt.python}"),
        style.row("holds", ", ".join(f"{name} {versions[name]}" for name in _NAMED if name in versions)),
    ]
    lines += [
        style.row(style.mark("pass" if v.passed else "fail"), v.id, v.found or ("none, as planned" if v.passed else "not known")) for v in receipt.verified
    ]
    if receipt.reused:
        lines.append(style.row("time", "nothing to do: the receipt answers"))
    else:
        lines.append(style.row("time", *(f"{name} {seconds(took)}" for name, took in receipt.seconds)))
    lines.append(style.row("use", f"source {receipt.path}/bin/activate"))
    count = len(receipt.distributions)
    lines.append(style.row(style.mark("pass"), f"{count} distributions, torch {receipt.build.local_version}"))
    return "\n".join(lines)
