"""EDGE: finds the programs that this stage drives."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec


def uv_binary() -> str | None:
    """Path of uv: the one installed beside our interpreter, else the first on PATH."""
    if find_spec("uv") is not None:
        import uv

        try:
            return str(uv.find_uv_bin())
        except FileNotFoundError:
            pass
    return shutil.which("uv")


def pip_argv() -> list[str]:
    """Start of a command line for the pip beside our interpreter, deaf to PYTHON* variables and the user's site."""
    return [sys.executable, "-Im", "pip"]
