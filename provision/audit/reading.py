"""EDGE: the metadata of a wheel without the wheel: the file beside it (PEP 658), else a few ranges of the archive.

A wheel is a zip archive with its table of contents at the end: the end, the table and one member are fetched, which is
about 1 MB of a wheel of 900 MB.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from ..install.addresses import local_path
from ..install.fetching import FetchError
from .metadata import MAX_BYTES, parse_metadata
from .model import Reading, UnreadableError

if TYPE_CHECKING:
    from ..install.fetching import Fetcher
    from ..install.listing import ListedFile
    from .model import Wheel

BLOCK: Final = 2**16
"""Least bytes of a range: the end of the archive and a member mostly fit into one."""
MAX_RANGES_BYTES: Final = 24 * 2**20
"""Bytes of one wheel that are fetched at most; the table of contents of the largest torch wheel has 1.3 MB."""


def read_metadata(wheel: Wheel, fetcher: Fetcher) -> Reading:
    """The metadata of a wheel, or why it could not be read. Never raises for what a source says or does."""
    try:
        text, received = _text_of(wheel.file, fetcher)
        return Reading(wheel, parse_metadata(text, wheel), received_bytes=received)
    except (FetchError, UnreadableError) as err:
        return Reading(wheel, failure=str(err))


def _text_of(file: ListedFile, fetcher: Fetcher) -> tuple[str, int]:
    path = local_path(file.url)
    if path is not None:
        try:
            with path.open("rb") as archive:
                return member_text(archive), 0
        except OSError as err:
            raise UnreadableError(f"the file cannot be read: {err.strerror}") from err
    if file.has_metadata:
        text = _beside(file, fetcher)
        if text is not None:
            return text, len(text)
    try:
        ranged = RangedFile(file.url, fetcher)
        return member_text(ranged), ranged.received
    except (FetchError, UnreadableError) as err:
        # A mirror may hold the metadata file and not say so on its page.
        text = None if file.has_metadata else _beside(file, fetcher)
        if text is None:
            raise err from None
        return text, len(text)


def _beside(file: ListedFile, fetcher: Fetcher) -> str | None:
    """The metadata file beside the wheel; None when there is none."""
    page = fetcher.get(f"{file.url}.metadata", accept="*/*")
    if page is None:
        return None
    if file.metadata_sha256 and hashlib.sha256(page.text.encode()).hexdigest() != file.metadata_sha256:
        raise UnreadableError("its metadata file does not have the hash that the index states")
    return page.text


def member_text(archive: io.BufferedIOBase | io.RawIOBase | io.BufferedReader) -> str:
    """METADATA of a wheel; UnreadableError when the archive is broken, has none or several, or it is too large."""
    try:
        with zipfile.ZipFile(archive) as wheel:
            found = [m for m in wheel.infolist() if m.filename.endswith(".dist-info/METADATA")]
            found = [m for m in found if m.filename.count("/") == 1]
            if len(found) != 1:
                raise UnreadableError(f"the archive holds {len(found) or 'no'} METADATA; expected one")
            if found[0].compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise UnreadableError("its metadata is packed in a way that wheels are not")
            with wheel.open(found[0]) as member:
                content = member.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError) as err:
        raise UnreadableError(f"it is not a readable zip archive: {str(err)[:120]}") from err
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"its metadata is larger than {MAX_BYTES >> 20} MiB")
    return content.decode("utf-8", errors="replace")


class RangedFile(io.RawIOBase):
    """A file on a server that is read in ranges; what was read is kept."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        self._url = url
        self._fetcher = fetcher
        end = fetcher.part(url, None, BLOCK)
        self._size = end.total
        self._blocks = [(end.first, end.content)]
        self._position = 0
        self.received = len(end.content)
        """Bytes that came so far."""

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Place of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; ValueError before the beginning, as for every file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fetched where they were not yet; FetchError when the source gives no answer."""
        first = min(self._position, self._size)
        last = self._size if size < 0 else min(first + size, self._size)
        self._position = last
        if first == last:
            return b""
        for start, content in self._blocks:
            if start <= first and last <= start + len(content):
                return content[first - start : last - start]
        return self._fetch(first, last)

    def _fetch(self, first: int, last: int) -> bytes:
        wanted = min(max(last - first, BLOCK), self._size - first)
        if self.received + wanted > MAX_RANGES_BYTES:
            raise UnreadableError(f"more than {MAX_RANGES_BYTES >> 20} MiB of the wheel would have to be read")
        part = self._fetcher.part(self._url, first, wanted)
        if part.total != self._size:
            raise FetchError("the file changed while it was read")
        self.received += len(part.content)
        self._blocks.append((first, part.content))
        return part.content[: last - first]
