"""Which interpreter an environment is made from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InstallError
from ..records import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Interpreter


def choose_interpreter(python: str, interpreters: Sequence[Interpreter]) -> Interpreter:
    """The first CPython of that minor version (3.11, 3.14t) that can be started; InstallError names what is there.

    None is downloaded: what runs on the machine is its owner's choice.
    """
    wanted = f"cp{python.replace('.', '')}"
    for interpreter in interpreters:
        if interpreter.executable and interpreter.tag == wanted:
            return interpreter
    there = ", ".join(dict.fromkeys(item.version + "t" * item.is_free_threaded for item in interpreters)) or None
    raise InstallError(
        f"Python {python} is not on this machine.",
        code="python-missing",
        evidence=(Evidence("interpreters", there, source="this machine", needs=python),),
        do=(
            f"install Python {python} with the system's packages, or: uv python install {python}",
            "or plan for a Python that is there: gpusetup plan --python X.Y",
        ),
    )
