"""`gpusetup matrix`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from .options import json_option


@click.group()
def matrix() -> None:
    """Browse the compatibility matrix, check a file, compare it with an index."""


@matrix.command(epilog="\b\nExample:\n  gpusetup matrix validate matrix.yaml")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def validate(context: click.Context, file: Path | None) -> int:
    """Read a matrix file with every check of the loader; exit 7 names the place that is wrong."""
    from ..matrix import default_matrix_path, read_matrix
    from ..report.matrix import matrix_data, render_matrix

    console: Any = context.find_root().obj
    path = file or default_matrix_path()
    data = matrix_data(read_matrix(path), path=str(path))
    return emit(context, Outcome("gpusetup.matrix/1", "matrix validate", data, text=render_matrix(data, console.out)))


@matrix.command(epilog="\b\nExample:\n  gpusetup matrix show --torch 2.14\n  gpusetup matrix show --gpu 'RTX 30'")
@click.option("--torch", metavar="PREFIX", help="Builds of torch releases that begin with this.")
@click.option("--gpu", metavar="TEXT", help="GPUs whose name contains this.")
@json_option
@click.pass_context
def show(context: click.Context, torch: str | None, gpu: str | None) -> int:
    """Rows of the matrix."""
    from ..matrix import default_matrix_path, read_matrix
    from ..report.matrix import matrix_data, render_matrix

    console: Any = context.find_root().obj
    path = default_matrix_path()
    data = matrix_data(read_matrix(path), path=str(path), torch=torch, gpu=gpu)
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
