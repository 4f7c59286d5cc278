"""matrix.yaml as text to the typed Matrix. Errors name the file, the place, what was found, what was expected (EDGE).

`read_matrix` reads a file with every check. `default_matrix` answers alike for the matrix that ships, and keeps the
plain tree of a text that passed them all, so that the next start needs neither the parser nor the invariants.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .places import MAX_BYTES, PlaceError, bad_file, path_text
from .rows import matrix_of

if TYPE_CHECKING:
    from ..errors import InputError
    from .tables import Matrix

MAX_FILE_BYTES: Final = MAX_BYTES


def default_matrix_path() -> Path:
    """The matrix that ships with the tool: beside the installed package, else at the root of the repository."""
    package = Path(__file__).resolve().parent.parent
    packaged = package / "matrix.yaml"
    return packaged if packaged.is_file() else package.parent / "matrix.yaml"


def read_matrix(path: Path | None = None) -> Matrix:
    """The matrix of a file, by default the one that ships with the tool. Nothing is taken from a cache."""
    path = path or default_matrix_path()
    return load_matrix(_text_of(path), origin=str(path))


def default_matrix(folder: Path | None) -> Matrix:
    """The matrix that ships with the tool, through the derived cache in that folder; None: without a cache."""
    path = default_matrix_path()
    text, origin = _text_of(path), str(path)
    if folder is None:
        return load_matrix(text, origin=origin)
    from . import cache

    key = cache.key_of(text)
    if key is None:
        return load_matrix(text, origin=origin)
    tree = cache.fetch(folder, key)
    if tree is not None:
        try:
            return matrix_of(tree, origin=origin)
        except PlaceError:  # not what these modules wrote: the file itself is read
            pass
    tree, matrix = _checked(text, origin)
    cache.keep(folder, key, tree)
    return matrix


def load_matrix(text: str, *, origin: str) -> Matrix:
    """The matrix of a text; `origin` names it in messages. InputError when anything is not as it should be."""
    return _checked(text, origin)[1]


def _checked(text: str, origin: str) -> tuple[Any, Matrix]:
    """The plain tree of a text and its matrix, every row of it read and checked."""
    from .document import parse_document
    from .invariants import check_invariants

    tree = parse_document(text, origin=origin)
    try:
        matrix = matrix_of(tree, origin=origin)
        check_invariants(matrix)  # reads the rows that are built late, too
    except PlaceError as fault:
        raise _located(fault, text, origin) from None
    return tree, matrix


def _located(fault: PlaceError, text: str, origin: str) -> InputError:
    from .document import line_of

    line = line_of(text, fault.path)
    where = path_text(fault.path) + (f" (line {line})" if line else "")
    return bad_file(origin, where, fault.found, fault.expected)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as err:
        raise bad_file(str(path), "the file", err.strerror or "an unreadable file", "a file that can be read") from err
    except UnicodeDecodeError as err:
        raise bad_file(str(path), f"byte {err.start}", "bytes that are not UTF-8", "UTF-8 text") from err
    if len(content) > MAX_FILE_BYTES:
        raise bad_file(str(path), "the file", f"more than {MAX_FILE_BYTES} bytes", f"at most {MAX_FILE_BYTES}")
    return text
