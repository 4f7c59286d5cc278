"""Places inside data files, and the error that names one: what was found there and what was expected.

Apart from the reader of YAML, because a plan from the derived cache needs places and never a parser.
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import InputError
from ..records import Evidence

Tree = dict[str, Any] | list[Any] | str | None
"""A data file as plain values; every scalar is text."""

Place = tuple[str | int, ...]
"""Keys and positions that lead to a value of a tree."""

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_SITE_BYTES: Final = 256 * 1024


class PlaceError(Exception):
    """A value that is not what its place asks for; the path grows while the error travels up."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected
        self.path: Place = ()

    def inside(self, key: str | int) -> PlaceError:
        """The same fault, one level further out."""
        self.path = (key, *self.path)
        return self


def path_text(path: Place) -> str:
    """A path as people write it: torch.releases['2.9.1'].variants.cu128.arch.linux_x86_64[2]."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "a").isalnum() and not part[0].isdigit():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text or "the document"


def bad_file(origin: str, where: str, found: str, expected: str) -> InputError:
    """The error of a file that is not what it should be: the place, what was found, what was expected."""
    return InputError(
        f"{origin}: {where}: found {found}, expected {expected}",
        code="matrix-invalid",
        evidence=(Evidence(where, found, source=origin, needs=expected),),
        do=(f"correct {where} in {origin}", f"gpusetup matrix validate {origin}"),
    )
