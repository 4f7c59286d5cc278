"""The receipt: what an environment holds, written beside it and read back; and the cheap proof that it still does."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from ..documents.codec import decode, encode
from ..errors import InputError
from ..records import Receipt

if TYPE_CHECKING:
    from pathlib import Path

FILENAME = "gpusetup-receipt.json"
_FORMAT = 2
_MAX_BYTES = 4 * 2**20


# --- beside the environment ---------------------------------------------------------------------


def write_receipt(receipt: Receipt, folder: Path) -> None:
    """Put the receipt into the environment's folder, whole or not at all."""
    part = folder / f"{FILENAME}.part"
    with part.open("w", encoding="utf-8") as stream:
        json.dump({"format": _FORMAT, "receipt": encode(receipt)}, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(folder / FILENAME)


def read_receipt(environment: Path) -> Receipt | None:
    """The receipt of an environment; None when there is none, or none that can be read."""
    path = environment / FILENAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            return None
        return decode(Receipt, document.get("receipt"), where="receipt")
    except (OSError, ValueError, RecursionError, InputError):
        return None


def first_damage(environment: Path, receipt: Receipt) -> str | None:
    """What no longer is as the receipt says, in one sentence; None when every file of every distribution is there.

    Looks at names and sizes only, as each distribution's RECORD states them: no import, no hash, well under a second.
    """
    python = environment / "bin/python"
    if not os.access(python, os.X_OK):
        return f"{python} does not run"
    site = next(iter(sorted(environment.glob("lib/python*/site-packages"))), None)
    if site is None:
        return f"{environment} has no site-packages"
    infos = {_identity(folder): folder for folder in site.glob("*.dist-info")}
    for item in receipt.distributions:
        folder = infos.get((canonicalize_name(item.name), item.version))
        if folder is None:
            return f"{item.name} {item.version} is not there any more"
        damage = _damaged_file(site, folder)
        if damage:
            return f"{item.name} {item.version}: {damage}"
    return None


def _identity(folder: Path) -> tuple[str, str]:
    name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
    return canonicalize_name(name), version


def _damaged_file(site: Path, info: Path) -> str | None:
    try:
        with (info / "RECORD").open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if len(row) == 3 and row[2]]  # noqa: PLR2004 - path, hash, size
    except (OSError, UnicodeDecodeError, csv.Error):
        return "its RECORD cannot be read"
    root = str(site)
    for path, _, size in rows:
        try:
            held = os.stat(os.path.join(root, path)).st_size  # noqa: PTH116, PTH118 - 20,000 files, Path is slow
        except OSError:
            return f"{path} is missing"
        if str(held) != size:
            return f"{path} has {held} bytes, not {size}"
    return None
