"""TOML text to plain values, on every Python that we run on."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TomlError = tomllib.TOMLDecodeError


def load_toml(text: str) -> dict[str, Any]:
    """The table in a TOML text; TomlError with line and column when it is none."""
    table: dict[str, Any] = tomllib.loads(text)
    return table
