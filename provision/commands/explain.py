"""`gpusetup explain`."""

from __future__ import annotations

import difflib
from typing import Any

import click

from ..cli import emit
from ..documents.envelope import Outcome
from ..documents.receipt import Explanation
from ..errors import UsageError
from .options import json_option


@click.command(epilog="\b\nExamples:\n  gpusetup explain driver.kmd_umd_match\n  gpusetup explain xid-79")
@click.argument("id_", metavar="ID", required=False)
@json_option
@click.pass_context
def explain(context: click.Context, id_: str | None) -> int:
    """The page of a check, rule or error, offline.

    Numbers have one, too: xid-79, sxid-12020, nvml-18, cuda-803. Without ID: every other id that has a page.
    """
    from ..explain import known_ids, page

    if id_ is None:
        listing = "\n".join(known_ids())
        return emit(context, Outcome("gpusetup.explanation/1", "explain", Explanation("", listing), text=listing))
    text = page(id_)
    if text is None:
        near = difflib.get_close_matches(id_, known_ids(), n=3)
        raise UsageError(f"Nothing has the id {id_!r}.", do=tuple(f"gpusetup explain {name}" for name in near))
    console: Any = context.find_root().obj
    shown = f"{id_}\n\n{console.out.reflowed(text)}"
    return emit(context, Outcome("gpusetup.explanation/1", "explain", Explanation(id_, text), text=shown))


COMMAND = explain
