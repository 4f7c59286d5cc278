"""matrix.yaml as text to the typed Matrix. Errors name the file, the place, what was found, what was expected (EDGE).

`read_matrix` reads a file with every check. `default_matrix` answers alike for the matrix that ships, and keeps the
plain tree of a text that passed them all, so that the next start needs neither the parser nor the invariants.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .fields import mapping
from .places import MAX_BYTES, MAX_SITE_BYTES, PlaceError, bad_file, path_text
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


def read_matrix(path: Path | None = None, *, site: Path | None = None) -> Matrix:
    """The matrix of a file, by default the one that ships with the tool. Nothing is taken from a cache."""
    path = path or default_matrix_path()
    return _read(_text_of(path), str(path), site, None)


def default_matrix(folder: Path | None, *, site: Path | None = None) -> Matrix:
    """The matrix that ships with the tool, through the derived cache in that folder; None: without a cache."""
    path = default_matrix_path()
    return _read(_text_of(path), str(path), site, folder)


def is_site_file(path: Path) -> bool:
    """Whether a file says of itself that it is a site file; InputError when it can't be read at all."""
    from .overlay import is_site_tree

    return is_site_tree(_text_of(path), origin=str(path))


def load_matrix(text: str, *, origin: str) -> Matrix:
    """The matrix of a text; `origin` names it in messages. InputError when anything is not as it should be."""
    return _checked(text, origin)[1]


def _read(text: str, origin: str, site: Path | None, folder: Path | None) -> Matrix:
    """The matrix of a text with a site file laid over it, through the cache where there is a folder for it."""
    site_text = None if site is None else _site_text(site)
    if folder is None:
        return _sum(text, origin, site, site_text)[1]
    from . import cache

    key = cache.key_of(text, *([] if site_text is None else [site_text]))
    plain = cache.fetch(folder, key) if key else None
    if plain is not None:
        try:
            return _kept(plain, origin, site, site_text)
        except PlaceError:  # not what these modules wrote: the files themselves are read
            pass
    plain, matrix = _sum(text, origin, site, site_text)
    if key:
        cache.keep(folder, key, plain)
    return matrix


def _kept(plain: Any, origin: str, site: Path | None, site_text: str | None) -> Matrix:
    """The matrix of plain trees that passed every check before."""
    root = mapping(plain, frozenset(("matrix", "site")))
    if site is None or site_text is None:
        return matrix_of(root["matrix"], origin=origin)
    from .site import site_of

    digest = hashlib.sha256(site_text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return matrix_of(root["matrix"], origin=origin, site=site_of(root["site"], path=str(site), digest=digest))


def _sum(text: str, origin: str, site: Path | None, site_text: str | None) -> tuple[dict[str, Any], Matrix]:
    """The plain trees of the matrix with the site's rows and of the site itself, and the matrix, fully checked."""
    tree, matrix = _checked(text, origin)
    if site is None or site_text is None:
        return {"matrix": tree, "site": None}, matrix
    from .invariants import check_invariants
    from .overlay import blamed, overlaid

    merged, plain_site = overlaid(tree, site_text, origin=str(site))
    plain = {"matrix": merged, "site": plain_site}
    try:
        matrix = _kept(plain, origin, site, site_text)
        matrix.build()
        check_invariants(matrix)
    except PlaceError as fault:
        raise blamed(fault, plain_site, site_text, origin=str(site), base=origin) from None
    return plain, matrix


def _site_text(path: Path) -> str:
    from ..documents.envelope import read_text

    return read_text(path, limit=MAX_SITE_BYTES)


def _checked(text: str, origin: str) -> tuple[Any, Matrix]:
    """The plain tree of a text and its matrix, every row of it read and checked."""
    from .document import parse_document
    from .invariants import check_invariants

    tree = parse_document(text, origin=origin)
    try:
        matrix = matrix_of(tree, origin=origin)
        matrix.build()
        check_invariants(matrix)
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
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe without a writer would wait for ever
            raise bad_file(str(path), "the file", "a pipe, device or socket", "a regular file")
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
