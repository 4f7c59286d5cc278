"""The receipt: what an environment holds, written beside it and read back; and the cheap proof that it still does."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from ..documents.codec import decode, encode
from ..errors import InputError
from ..recorded import added, exchanged
from ..records import PackageChange, Receipt

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


def changes_of(environment: Path, receipt: Receipt) -> tuple[PackageChange, ...]:
    """What no longer is as the receipt says; empty when every file of every distribution is there, and no other one.

    Looks at names and sizes only, as each distribution's RECORD states them: no import, no hash, well under a second.
    """
    python = environment / "bin/python"
    if not os.access(python, os.X_OK):
        return (PackageChange("python", f"{python} does not run", receipt.python),)
    site = next(iter(sorted(environment.glob("lib/python*/site-packages"))), None)
    if site is None:
        return (PackageChange("python", "no site-packages", receipt.python),)
    infos = _installed(site)
    recorded: dict[str, str] = {canonicalize_name(item.name): item.version for item in receipt.distributions}
    held: dict[str, str] = {name: " and ".join(sorted(versions)) for name, versions in infos.items()}
    found = exchanged(recorded, held)
    differing = {change.name for change in found}
    damaged = (
        PackageChange(name, damage, version)
        for name, version in recorded.items()
        if name not in differing and (damage := _damaged_file(site, next(iter(infos[name].values()))))
    )
    more = (PackageChange(name, held[name], None, _requirement(name, infos[name])) for name in added(recorded, held))
    return (*found, *damaged, *more)


def _installed(site: Path) -> dict[str, dict[str, Path]]:
    """Canonical name -> version -> dist-info folder."""
    found: dict[str, dict[str, Path]] = {}
    for folder in sorted(site.glob("*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        found.setdefault(canonicalize_name(name), {})[version] = folder
    return found


def _requirement(name: str, versions: dict[str, Path]) -> str | None:
    version, folder = next(iter(versions.items()))
    # PEP 610: it came from an address or a folder, which may hold a token or be gone.
    return None if (folder / "direct_url.json").exists() else f"{name}=={version}"


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
