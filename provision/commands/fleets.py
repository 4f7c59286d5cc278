"""Many machines in one go: the files of a folder, or one machine per line (EDGE). Every file is taken as hostile.

What can't be read becomes an entry that says why; only a folder or file that is no fleet at all ends the command.
"""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..documents.envelope import MAX_DOCUMENT_BYTES, read_bytes
from ..errors import InputError
from ..plain_text import plain
from ..planning import Entry
from .machines import examined_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from ..examined import Examined
    from ..matrix.tables import Matrix
    from ..typed import TypedMachine

MOST_MACHINES: Final = 100_000
LARGEST_FILE: Final = 8 * 2**20
"""Bytes of one file of a folder; a machine document of a large box has under 1 MiB."""
LONGEST_LINE: Final = 4 * 2**20
"""Bytes of one machine among JSON lines."""
MOST_BYTES: Final = 2**30
"""Of all lines of one file."""

LINE_SUFFIXES: Final = (".jsonl", ".ndjson")
STDIN: Final = "standard input"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The entries of a fleet, read one by one as they are asked for; InputError when there are too many."""

    entries: Iterator[Entry]
    left_out: int = 0
    """Sub-folders, which are not entered."""


def read_named(name: str, matrix: Matrix, words: TypedMachine | None = None) -> Examined | Fleet:
    """What --from names: a folder and JSON lines are fleets, anything else is one machine, with typed facts beside it.

    JSON lines are known by the suffix .jsonl or .ndjson, else by a first line that is a whole object with another line
    after it: a single line on standard input is one machine.
    """
    if name == "-":
        return _one_or_lines(_Source(sys.stdin.buffer, STDIN), matrix, words)
    path = Path(name)
    if _is_folder(path):
        return _read_folder(path, matrix)
    source = _opened(path)
    if path.suffix in LINE_SUFFIXES:
        return Fleet(_counted(_of_lines(_lines(source), name, matrix), name))
    return _one_or_lines(source, matrix, words)


def _one_or_lines(source: _Source, matrix: Matrix, words: TypedMachine | None) -> Examined | Fleet:
    first = source.line()
    read = [first]
    if _is_whole_object(first):
        while line := source.line():
            read.append(line)
            if line.strip():
                lines = chain(read[:-1], _lines(source, started=line))
                return Fleet(_counted(_of_lines(lines, source.origin, matrix), source.origin))
    raw = b"".join((*read, source.rest()))
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise InputError(f"{source.origin}: larger than {MAX_DOCUMENT_BYTES} bytes; this is no gpusetup document")
    return examined_from_bytes(raw, matrix, origin=source.origin, words=words)


class _Source:
    """A stream of bytes that is closed at its end; what fails while reading is an InputError with its place."""

    def __init__(self, stream: BinaryIO, origin: str) -> None:
        self._stream = stream
        self.origin = origin

    def line(self) -> bytes:
        """The next line, at most one byte more than a machine may have; empty at the end."""
        return self._read(self._stream.readline, LONGEST_LINE + 1)

    def rest(self) -> bytes:
        """What is left, at most one byte more than a document may have."""
        raw = self._read(self._stream.read, MAX_DOCUMENT_BYTES + 1)
        self.close()
        return raw

    def close(self) -> None:
        """Close the file; standard input is not ours."""
        if self._stream is not sys.stdin.buffer:
            self._stream.close()

    def _read(self, read: Callable[[int], bytes], limit: int) -> bytes:
        try:
            return read(limit)
        except OSError as err:
            raise InputError(f"{self.origin}: cannot be read: {err.strerror}") from err


def _is_whole_object(line: bytes) -> bool:
    words = line.strip()
    if not words.endswith(b"}") or b"{" not in words[:4]:  # a byte order mark may stand before it
        return False
    try:
        return isinstance(json.loads(words.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


# --- lines


def _lines(source: _Source, *, started: bytes = b"") -> Iterator[bytes]:
    """The lines, each cut where it is one byte longer than a machine may be; InputError past MOST_BYTES."""
    total, line = 0, started or source.line()
    while line:
        yield line
        while line and total <= MOST_BYTES:
            total += len(line)
            if len(line) <= LONGEST_LINE or line.endswith(b"\n"):
                break
            line = source.line()  # the rest of a line that was cut is skipped
        if total > MOST_BYTES:
            raise InputError(f"{source.origin}: larger than {MOST_BYTES} bytes: no fleet is that large")
        line = source.line()
    source.close()


def _of_lines(lines: Iterable[bytes], origin: str, matrix: Matrix) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{plain(origin)}:{number}"
            yield Entry(place, place, _of_line(line, place, matrix))


def _of_line(line: bytes, place: str, matrix: Matrix) -> Examined | InputError:
    if len(line) > LONGEST_LINE:
        return InputError(f"{place}: longer than {LONGEST_LINE} bytes; this is no machine")
    if not line.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
        found = plain(line[:80].decode("utf-8", errors="replace"))
        return InputError(f"{place}: expected one machine document (JSON) per line, found {found!r}")
    try:
        return examined_from_bytes(line.strip(), matrix, origin=place)
    except InputError as err:
        return err


def _counted(entries: Iterator[Entry], origin: str) -> Iterator[Entry]:
    """The entries; InputError when there are none or too many."""
    number = 0
    for number, entry in enumerate(entries, 1):
        if number > MOST_MACHINES:
            raise InputError(f"{origin}: more than {MOST_MACHINES:,} machines")
        yield entry
    if not number:
        raise InputError(f"{origin}: no machine in it; expected one file, or one line of JSON, per machine")


# --- files


def _read_folder(folder: Path, matrix: Matrix) -> Fleet:
    """Every file of the folder in the order of names, but hidden ones; sub-folders are not entered."""
    files: list[Path] = []
    left_out = 0
    try:
        with os.scandir(folder) as found:
            for item in found:
                if item.name.startswith("."):
                    continue
                is_folder = item.is_dir()
                left_out += is_folder
                files += [] if is_folder else [folder / item.name]
                if len(files) > MOST_MACHINES:
                    raise InputError(f"{folder}: more than {MOST_MACHINES:,} files")
    except OSError as err:
        raise InputError(f"{folder}: cannot be read: {err.strerror}") from err
    inside = folder.resolve()
    entries = chain.from_iterable(_of_file(path, inside, matrix) for path in sorted(files))
    return Fleet(_counted(entries, str(folder)), left_out)


def _of_file(path: Path, inside: Path, matrix: Matrix) -> Iterator[Entry]:
    source, name = plain(str(path)), plain(path.name)
    try:
        _require_inside(path, inside)
        if path.suffix in LINE_SUFFIXES:
            lines = _opened(path)
        else:
            yield Entry(name, source, examined_from_bytes(_regular_bytes(path), matrix, origin=source))
            return
    except InputError as err:
        yield Entry(name, source, err)
        return
    yield from _of_lines(_lines(lines), source, matrix)


def _require_inside(path: Path, inside: Path) -> None:
    """InputError for a link that leads out of the folder: a folder from elsewhere must not name files of this host."""
    try:
        is_inside = not path.is_symlink() or path.resolve().is_relative_to(inside)
    except (OSError, RuntimeError) as err:
        raise InputError(f"{plain(str(path))}: a link that leads nowhere") from err
    if not is_inside:
        raise InputError(f"{plain(str(path))}: a link that leads out of the folder is not followed")


def _regular_bytes(path: Path) -> bytes:
    _require_regular(path)
    return read_bytes(path, limit=LARGEST_FILE)


def _opened(path: Path) -> _Source:
    try:
        if path.suffix in LINE_SUFFIXES:
            _require_regular(path)
        elif not stat.S_ISREG(path.stat().st_mode):  # a pipe, which has limits of its own
            return _Source(io.BytesIO(read_bytes(path)), str(path))
        return _Source(path.open("rb"), str(path))
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise InputError(f"{path}: no file can have this name") from err


def _require_regular(path: Path) -> None:
    """InputError for pipes and devices: reading one might never end."""
    try:
        mode = path.stat().st_mode
    except OSError as err:
        raise InputError(f"{plain(str(path))}: cannot be read: {err.strerror}") from err
    if not stat.S_ISREG(mode):
        raise InputError(f"{plain(str(path))}: cannot be read: not a regular file")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # opening it says why
        return False
