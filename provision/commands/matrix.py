"""`gpusetup matrix`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from .options import json_option, site_option


@click.group()
def matrix() -> None:
    """Browse the compatibility matrix, check a file, compare it with an index."""


@matrix.command(epilog="\b\nExample:\n  gpusetup matrix validate matrix.yaml\n  gpusetup matrix validate site.yaml")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--site", type=click.Path(path_type=Path), metavar="FILE", help="A site file to lay over it.")
@json_option
@click.pass_context
def validate(context: click.Context, file: Path | None, site: Path | None) -> int:
    """Read a matrix or site file with every check of the loader; exit 7 names the place that is wrong."""
    from ..matrix import default_matrix_path, is_site_file, read_matrix
    from ..report.matrix import render_matrix
    from ..report.matrix_rows import matrix_data

    console: Any = context.find_root().obj
    path, base = file or default_matrix_path(), file
    if site is None and file is not None and is_site_file(file):
        base, site = None, file
    data = matrix_data(read_matrix(base, site=site), path=str(path))
    return emit(context, Outcome("gpusetup.matrix/1", "matrix validate", data, text=render_matrix(data, console.out)))


@matrix.command(
    epilog="\b\nExamples:\n  gpusetup matrix show --torch 2.14\n  gpusetup matrix show --gpu V100 --driver 580"
)
@click.option("--torch", metavar="SPEC", help="Releases: 2.9, 2.9.1 or '>=2.6,<2.10'.")
@click.option("--cuda", metavar="SPEC", help="12.8, cu128, or 12 for all of the major.")
@click.option("--gpu", metavar="NAME", help="GPUs whose name contains this, or with this PCI id.")
@click.option("--driver", metavar="BRANCH", help="A driver branch, 535 or 535.x, or a driver: 535.104.05.")
@site_option
@json_option
@click.pass_context
def show(
    context: click.Context, torch: str | None, cuda: str | None, gpu: str | None, driver: str | None, site: str | None
) -> int:
    """Rows of the matrix, and the builds that everything that was asked for admits."""
    from ..examined import load_default_matrix
    from ..report.matrix import render_matrix
    from ..report.matrix_rows import matrix_data
    from ..report.matrix_words import Selectors

    console: Any = context.find_root().obj
    loaded = load_default_matrix(site)
    data = matrix_data(loaded, path=loaded.origin, selectors=Selectors(torch, cuda, gpu, driver))
    return emit(context, Outcome("gpusetup.matrix/1", "matrix show", data, text=render_matrix(data, console.out)))


@matrix.command(epilog="\b\nExample:\n  gpusetup matrix audit\n  gpusetup matrix audit --torch 2.14")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--torch", metavar="SPEC", help="Only these releases: 2.9 (any 2.9.*) or a specifier; no companions.")
@json_option
@click.pass_context
def audit(context: click.Context, file: Path | None, torch: str | None) -> int:
    """Compare the matrix with the package index of pip's configuration; exit 1 where they differ."""
    from ..matrix import default_matrix_path, read_matrix
    from ..pipeline import audit_matrix
    from ..report.audit import render_audit

    console: Any = context.find_root().obj
    audited = audit_matrix(read_matrix(file or default_matrix_path()), torch, console.progress)
    return emit(
        context,
        Outcome(
            "gpusetup.matrix-audit/1",
            "matrix audit",
            audited.data,
            audited.findings,
            audited.exit_code,
            is_degraded=audited.is_degraded,
            text=render_audit(audited.data, console.out),
        ),
    )


COMMAND = matrix
