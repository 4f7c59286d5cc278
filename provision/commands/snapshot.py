"""`gpusetup snapshot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cli import emit
from ..documents.envelope import Outcome, document, dumps
from ..errors import UsageError
from ..selection import LEVELS, Level
from .options import json_option, require_writable

if TYPE_CHECKING:
    from ..snapshot import SnapshotData


@click.command(epilog="\b\nExample:\n  gpusetup snapshot box.json --redact && gpusetup check --from box.json")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--level", type=click.Choice(LEVELS), default="quick", show_default=True, help="How much to look at.")
@click.option("--env", type=click.Path(path_type=Path), metavar="PATH", help="Also read this environment.")
@click.option("--redact", is_flag=True, help="Without host name, UUIDs, addresses and names of home folders.")
@json_option
@click.pass_context
def snapshot(context: click.Context, file: Path | None, level: Level, env: Path | None, redact: bool) -> int:  # noqa: FBT001
    """Record all that detect and check read into one JSON file; --from reads it."""
    from ..doctor import Visit, see_host
    from ..examined import require_linux
    from ..snapshot import LARGEST_BYTES, redacted, snapshot_data

    console: Any = context.find_root().obj
    require_linux()
    if file is None and not console.wants_json:
        raise UsageError("FILE: found none, expected where to write the snapshot (or --json for standard output).")
    require_writable("FILE", file)
    if env is not None and not env.is_dir():
        raise UsageError(f"--env: {env}: found no folder, expected a virtual environment or a conda environment.")
    seen = see_host(Visit(level=level, env=env.absolute() if env else None))
    assert seen.around is not None  # noqa: S101 -- see_host always looks through something
    data = snapshot_data(seen.around, level)
    data = redacted(data) if redact else data
    outcome = Outcome("gpusetup.snapshot/1", "snapshot", data, text="")
    if file is None:
        return emit(context, outcome)
    text = dumps(document(outcome))
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST_BYTES:
        raise UsageError(
            f"The snapshot would have {len(text)} bytes, more than {LARGEST_BYTES}: --level instant reads less."
        )
    from ..paths import write_whole

    try:
        write_whole(file, text)
    except OSError as err:
        raise UsageError(f"{file}: could not be written: {err.strerror}") from err
    return emit(context, outcome.with_text(_said(data, file, console.out)))


def _said(data: SnapshotData, file: Path, style: Any) -> str:
    looks = sum(len(named) for named in data.looks.values())
    absent = sum("absent" in seen for named in data.looks.values() for seen in named.values())
    closed = sum("unreadable" in seen for named in data.looks.values() for seen in named.values())
    lines = style.block("snapshot", f"{file}: {looks} looks, {absent} at nothing, {closed} at what could not be read.")
    lines += style.block("", "No environment values and no process arguments are in it.")
    if not data.is_redacted:
        lines += style.block("", "It names this host and its GPUs: --redact leaves that out.")
    return "\n".join(lines)


COMMAND = snapshot
