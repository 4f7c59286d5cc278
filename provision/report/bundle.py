"""A bundle as lines: its plans with what is in each, and whether it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import seconds

if TYPE_CHECKING:
    from ..documents.bundle import BundleData
    from .style import Style

_MEBIBYTE = 2**20
_NAMED = ("torch", "transformers", "numpy", "safetensors", "tokenizers")


def render_bundle(data: BundleData, style: Style) -> str:
    """Folder, plans, Pythons, size, verdict."""
    lines = [style.row("bundle", style.path(data.path), f"gpusetup {data.gpusetup}", f"matrix {data.matrix.revision}")]
    for plan in data.plans:
        target = plan.target
        lines.append(
            style.row(
                "plan",
                style.paint(plan.name, "strong"),
                f"torch {plan.torch}+{plan.variant}",
                f"Linux {target.arch}",
                f"glibc {target.glibc}+",
                f"Python {target.python}",
            )
        )
        versions = {item.name: item.version for item in plan.distributions}
        holds = ", ".join(f"{name} {versions[name]}" for name in _NAMED if name in versions)
        lines += style.block("", f"{len(plan.distributions)} distributions, {_size(plan.size_bytes)}: {holds}")
    starts = ", ".join(f"{host.python} ({host.arch})" for host in data.hosts)
    lines += style.block("starts", f"with Python {starts}")
    if data.seconds:
        lines.append(style.row("time", *(f"{name} {seconds(took)}" for name, took in data.seconds.items())))
    for item in data.damage:
        lines += [style.row(style.mark("fail"), item.path), *style.block("", f"found {item.found}")]
        lines += style.block("", f"expected {item.expected}")
    verdict = f"{data.files} files, {_size(data.size_bytes)}"
    if data.damage:
        lines.append(style.row(style.mark("fail"), verdict, f"{len(data.damage)} not as the manifest says"))
    else:
        lines.append(style.row(style.mark("pass"), verdict))
        if data.downloaded_bytes is not None:
            lines.append(style.row("use", "copy it, then there: sh DIR/gpusetup install --bundle DIR"))
    return "\n".join(lines)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _MEBIBYTE:.1f} MiB"
