"""Rows of the matrix as lines: what was asked about, the builds that it admits, what the matrix holds."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..documents.matrix_data import (
        MatrixBoard,
        MatrixBuild,
        MatrixCuda,
        MatrixData,
        MatrixDriver,
        MatrixGpu,
        MatrixOverview,
        MatrixRelease,
        MatrixSite,
    )
    from .style import Style

#: GPUs that are shown in full; more of them are a list.
_IN_FULL = 2


def render_matrix(data: MatrixData, style: Style) -> str:
    """Everything that was asked for."""
    count = f"{data.torch_releases} torch releases, {data.builds} builds, {data.gpus} GPUs"
    lines = [] if data.overview is None else _overview(data.overview, data, style)
    for driver in data.driver_rows:
        lines += _driver(driver, style)
    for cuda in data.cuda_rows:
        lines += _cuda(cuda, style)
    if len(data.gpu_rows) + len(data.board_rows) <= _IN_FULL:
        lines += [line for gpu in data.gpu_rows for line in _gpu(gpu, style)]
        lines += [line for board in data.board_rows for line in _board(board, style)]
    else:
        lines += _gpu_list((*data.gpu_rows, *data.board_rows), style)
    if data.release_rows:
        for release in data.release_rows:
            lines += _release(release, [b for b in data.build_rows if b.torch == release.version], style)
    elif data.build_rows:
        lines += _builds(data.build_rows, style)
    elif data.driver_rows or data.cuda_rows or data.gpu_rows or data.board_rows:
        lines.append(style.row("builds", "none"))
    if data.site is not None:
        lines += _site(data.site, style)
    return "\n".join([*lines, style.row(style.mark("pass"), f"revision {data.revision}", count)])


def _overview(overview: MatrixOverview, data: MatrixData, style: Style) -> list[str]:
    branches = f"{overview.branches[0]} to {overview.branches[-1]}"
    alive = ", ".join(map(str, overview.supported_branches))
    kinds = (f"{name} {_all(capabilities)}" for name, capabilities in overview.architectures.items())
    classes = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in overview.gpu_classes.items())
    return [
        style.row("matrix", style.path(data.path), f"read {data.read_on}", f"{overview.sources} sources"),
        *style.block("torch", f"{overview.torch[0]} to {overview.torch[1]}, with {_all(overview.newest_variants)}"),
        *style.block("cuda", _all(overview.cuda)),
        *style.block("drivers", f"branches {branches}; long-term and production before their end: {alive}"),
        *style.block("gpus", classes),
        *style.block("kinds", ", ".join(kinds)),
        *style.block("systems", f"steps of a driver for {', '.join(overview.driver_distributions)}"),
        *style.block("more", "gpusetup matrix show --torch 2.9"),
        *style.block("", "gpusetup matrix show --cuda 12.8"),
        *style.block("", "gpusetup matrix show --gpu 'H100 PCIe'"),
        *style.block("", "gpusetup matrix show --driver 535"),
        *style.block("", "gpusetup matrix show --gpu V100 --driver 580 --torch 2.14"),
    ]


def _all(names: Sequence[object]) -> str:
    return " ".join(map(str, names))


# --- drivers, CUDA, GPUs ------------------------------------------------------------------------


def _driver(row: MatrixDriver, style: Style) -> list[str]:
    asked = f"branch of {row.asked}" if "." in row.asked and not row.asked.endswith(".x") else ""
    kind = {"LTS": "long-term", "PB": "production", "NFB": "new-feature"}.get(row.type or "", "kind not known")
    life = f"{row.released or 'unknown'} to {row.eol or 'unknown'}"
    newest = [f"{name} {text}" for name, text in (("Linux", row.latest_linux), ("Windows", row.latest_windows)) if text]
    default = f" ({row.kernel_modules[0]} by default)" if len(row.kernel_modules) > 1 else " alone"
    lines = [
        style.row("driver", style.paint(str(row.branch), "strong"), f"CUDA {row.cuda}", kind, life, asked),
        style.row("newest", *newest),
        *style.block("module", " or ".join(row.kernel_modules) + default),
        *style.block("serves", ", ".join(row.serves) or "none that is listed"),
    ]
    if row.dropped:
        lines += style.block("dropped", _limits(row.dropped, "last branch"))
    if row.not_yet:
        lines += style.block("not yet", _limits(row.not_yet, "first branch"))
    if row.is_forbidden:
        lines += style.block("site", "the site file forbids every build on it")
    return lines + (style.block("doubtful", row.doubtful) if row.doubtful else [])


def _limits(rows: dict[str, int], word: str) -> str:
    return ", ".join(f"{name} ({word} {branch})" for name, branch in rows.items())


def _cuda(row: MatrixCuda, style: Style) -> list[str]:
    start = f"starts on driver {row.linux} (Windows {row.windows})" if row.linux else "no driver floor is known"
    lines = style.block("cuda", f"{style.paint(str(row.cuda), 'strong')}  {start}")
    for index, toolkit in enumerate(row.toolkits):
        drivers = [f"Linux {toolkit.linux}"] if toolkit.linux else []
        drivers += [f"Windows {toolkit.windows}"] if toolkit.windows else []
        served = f"all of it from {', '.join(drivers)}" if drivers else "driver not read"
        doubt = f"; doubtful: {toolkit.doubtful}" if toolkit.doubtful else ""
        text = f"{toolkit.version} ({toolkit.released or 'date not read'}): {served}{doubt}"
        lines += style.block("" if index else "toolkits", text)
    branch = f"branch {row.first_branch} and newer" if row.first_branch else "no branch that is listed"
    lines += style.block("drivers", f"implemented by {branch}")
    return lines + style.block("compiles", "for " + ", ".join(row.architectures))


def _gpu(row: MatrixGpu, style: Style) -> list[str]:
    figures = (
        (row.memory_gib, "GiB"),
        (row.memory_mib, "MiB shown"),
        (row.bandwidth_gb_s, "GB/s"),
        (row.nvlink_gb_s, "GB/s NVLink"),
        (row.tdp_w, "W"),
    )
    peaks = ", ".join(f"{name} {figure:g}" for name, figure in row.dense_tflops.items())
    since = f"from {row.first_driver or row.first_branch}" if row.first_branch else "every branch that is listed"
    until = f" to branch {row.last_branch}" if row.last_branch else ""
    served = {True: "; the driver asked about serves it", False: "; the driver asked about does NOT serve it"}
    lines = [
        style.row("gpu", style.paint(row.name, "strong"), str(row.compute_capability), row.architecture),
        *style.block("named", ", ".join(row.nvml_names) or "no name that nvidia-smi prints is known"),
        *style.block("pci", ", ".join(row.pci_device_ids) or "not read"),
        style.row("class", row.gpu_class.replace("_", " "), *(f"{value:g} {unit}" for value, unit in figures if value)),
        *style.block("peaks", f"{peaks} TFLOP/s, dense" if peaks else "not published"),
        *style.block("drivers", since + until + (served[row.is_served] if row.is_served is not None else "")),
        *style.block("module", {"either": "open or proprietary"}.get(row.kernel_module, f"{row.kernel_module} alone")),
    ]
    for label, text in (("note", row.note), ("doubtful", row.doubtful), ("sources", _all(row.source))):
        lines += style.block(label, text) if text else []
    return lines


def _board(row: MatrixBoard, style: Style) -> list[str]:
    served = {True: "served by the driver asked about", False: "NOT served by the driver asked about", None: ""}
    name = style.paint(row.name, "strong")
    return [
        style.row("gpu", name, str(row.compute_capability), row.architecture, row.chip, served[row.is_served]),
        *style.block("pci", ", ".join(row.pci_device_ids) or "not read"),
    ]


def _gpu_list(rows: Sequence[MatrixGpu | MatrixBoard], style: Style) -> list[str]:
    lines = []
    for index, row in enumerate(rows):
        memory = getattr(row, "memory_gib", None)
        size = f"{memory:g} GiB" if memory else ""
        served = "not served by the driver" if row.is_served is False else ""
        kind = f"{row.compute_capability!s:<5} {row.architecture:<15}"
        lines.append(style.row("" if index else "gpus", f"{row.name:<36}", kind, size, served))
    return lines


# --- builds -------------------------------------------------------------------------------------

_STARTS = {"native": "native", "minor-version": "by minor", None: "builds"}


def _builds(rows: tuple[MatrixBuild, ...], style: Style) -> list[str]:
    """The variants of each release, the newest first; apart what a driver serves and what it merely starts."""
    lines: list[str] = []
    for start in ("native", "minor-version", None):
        by_release: dict[str, list[str]] = {}
        for build in reversed(rows):
            if build.start == start:
                by_release.setdefault(build.torch, []).append(_marked(build))
        label = _STARTS[start]
        for torch, names in by_release.items():
            lines.append(style.row(label, f"{torch:<8}{_all(names[::-1])}"))
            label = ""
    marks = {mark: meaning for build in rows for mark, meaning in _marks(build)}
    said = ", ".join(f"{mark} {meaning}" for mark, meaning in marks.items())
    return lines + (style.block("marks", said) if said else [])


def _marks(build: MatrixBuild) -> Iterator[tuple[str, str]]:
    if build.runs_as == "ptx":
        yield "~", "through PTX, which the driver compiles"
    if build.runs_as == "unknown":
        yield "?", "not read on every platform for which GPUs"
    if not build.platforms:
        yield "!", "publication not seen"


def _marked(build: MatrixBuild) -> str:
    return build.variant + "".join(mark for mark, _ in _marks(build))


def _release(row: MatrixRelease, builds: list[MatrixBuild], style: Style) -> list[str]:
    lines = [style.row("torch", style.paint(row.version, "strong"), f"released {row.released}", f"read {row.read_on}")]
    for platform in row.platforms:
        general = f"; {platform.general_variant} on the general index" if platform.general_variant else ""
        glibc = f", glibc {platform.glibc} or newer" if platform.glibc else ""
        lines += style.block("", f"{platform.platform}: {_all(platform.pythons)}{glibc}{general}")
    for build in builds:
        lines += style.block(build.variant, "; ".join(_said_of(build)))
    lines += style.block("with", ", ".join(f"{name} {text}" for name, text in row.companions.items()))
    return lines + (style.block("note", row.note) if row.note else [])


def _said_of(build: MatrixBuild) -> Iterator[str]:
    if build.cuda:
        native = f", all of it from {build.native_from}" if build.native_from else ""
        yield f"CUDA {build.toolkit or build.cuda}, starts on {build.starts_on}{native}"
    yield f"on {_all(build.platforms)}" if build.platforms else "publication not seen"
    for platform, codes in build.codes.items():
        yield f"{platform}: {'not read' if codes is None else _all((*codes, *(build.ptx or ())))}"
    if build.start:
        yield "native on the driver asked about" if build.start == "native" else "starts by minor version compatibility"
    if build.runs_as in ("ptx", "unknown"):
        yield "GPU: " + next(meaning for _, meaning in _marks(build))
    if build.doubtful:
        yield f"doubtful: {build.doubtful}"
    if not build.place.startswith("matrix.yaml"):
        yield f"a row of {build.place.partition(':')[0]}"


def _site(site: MatrixSite, style: Style) -> list[str]:
    lines = style.block("site", site.summary)
    for ban in site.forbids:
        lines += style.block("forbids", f"{ban.what}: {ban.reason} ({ban.place})")
    for row in site.rows:
        lines += textwrap.wrap(f"row      {row}", style.width, subsequent_indent=" " * 9, break_long_words=False)
    return lines
