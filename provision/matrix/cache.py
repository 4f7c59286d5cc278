"""The derived cache of the matrix: plain trees as JSON, under keys that say what they were made from (EDGE).

The key covers the text and the sources of the modules that read it, so an entry says: exactly this text was parsed and
passed every invariant, under exactly this code. An entry can't be stale, it can only be missing. It is data and never
code, carries a digest of itself, and is read and written only in a folder that belongs to the user alone. Whatever goes
wrong here is no error: the file itself is read then, which takes some hundredths of a second longer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..private_store import PrivateStore

if TYPE_CHECKING:
    from .places import Tree

STORE: Final = PrivateStore("matrix", "gpusetup-matrix 1", max_entries=8)
"""A few versions of gpusetup, a few files of sites."""


def key_of(*texts: str) -> str | None:
    """The key of what those texts give under the code that is installed; None where its sources can't be read."""
    here = Path(__file__).parent
    digest = hashlib.sha256(STORE.form.encode())
    try:
        for path in (*sorted(here.glob("*.py")), here.parent / "versions.py"):
            _add(digest, path.name.encode(), path.read_bytes())
        _add(digest, *(text.encode("utf-8", "surrogatepass") for text in texts))
    except OSError:
        return None
    return digest.hexdigest()


def _add(digest: Any, *parts: bytes) -> None:
    for part in parts:  # with their lengths, so that no two lists of parts are one
        digest.update(b"%d:" % len(part))
        digest.update(part)


def fetch(base: Path, key: str) -> Tree:
    """The tree that was kept under the key; None when there is none, or none that can be trusted."""
    payload = STORE.fetch(base, key)
    with contextlib.suppress(ValueError, RecursionError):
        tree: Tree = None if payload is None else json.loads(payload)
        return tree
    return None


def keep(base: Path, key: str, tree: Tree) -> None:
    """Keep a tree under the key, whole or not at all; silent where that can't be done."""
    with contextlib.suppress(ValueError, RecursionError):
        STORE.keep(base, key, json.dumps(tree, separators=(",", ":")).encode("ascii"))
