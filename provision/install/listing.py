"""What a package source lists: PEP 503 pages, PEP 691 documents, folders. Pure; every input is hostile."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from .addresses import filename_of

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 32 * 2**20
"""A page larger than this is refused; the largest real one (every nightly of one project) is under 8 MiB."""
_MAX_FILES = 100_000
_MAX_NAME = 255
_ARTIFACTS = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".egg")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file that a source offers."""

    filename: str
    url: str
    """Absolute; may carry a token, so it is never shown."""
    sha256: str | None = None
    size_bytes: int | None = None
    is_yanked: bool = False
    requires_python: str | None = None
    has_metadata: bool = False
    """Whether the source says that the core metadata stands in a file beside the wheel (PEP 658)."""
    metadata_sha256: str | None = None


class MalformedListingError(ValueError):
    """What came back is not a listing; the text says what it looks like instead."""


def parse_listing(text: str, *, content_type: str, address: str) -> tuple[ListedFile, ...]:
    """Files of a project page, by its content type (`application/vnd.pypi.simple.v1+json`, `text/html`)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return parse_json(text, address=address)
    if "html" in kind or not kind or kind.startswith("text/"):
        return parse_html(text, address=address)
    raise MalformedListingError(f"it is {kind}, not a package index page")


# --- HTML ---------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Collects anchors. html.parser expands character references only, it knows no entities of a document's own."""

    def __init__(self, address: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = address
        self.files: list[ListedFile] = []
        self.has_form = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "base" and values.get("href"):
            self.base = urljoin(self.base, values["href"] or "")
        elif tag in {"form", "input"}:
            self.has_form = True
        elif tag == "a" and values.get("href"):
            self._add(values)

    def _add(self, values: dict[str, str | None]) -> None:
        try:
            address, _, fragment = urljoin(self.base, (values["href"] or "").strip()).partition("#")
            filename = filename_of(address)
        except ValueError:  # urllib refuses some malformed hosts; such a link offers nothing
            return
        if not _is_artifact(filename, address):
            return
        if len(self.files) >= _MAX_FILES:
            raise MalformedListingError(f"it lists more than {_MAX_FILES} files")
        stated = values.get("data-core-metadata") or values.get("data-dist-info-metadata") or ""
        digest = dict(part.partition("=")[::2] for part in fragment.split("&")).get("sha256", "").lower()
        self.files.append(
            ListedFile(
                filename,
                address,
                sha256=digest if _SHA256.fullmatch(digest) else None,
                is_yanked="data-yanked" in values,
                requires_python=values.get("data-requires-python"),
                has_metadata=stated not in {"", "false"},
                metadata_sha256=_sha256(stated.partition("sha256=")[2]),
            )
        )


def parse_html(text: str, *, address: str) -> tuple[ListedFile, ...]:
    """Files of a PEP 503 project page or of a page of links; links are resolved against `address` and <base>."""
    page = _Page(address)
    page.feed(text)
    page.close()
    if not page.files and page.has_form:
        raise MalformedListingError("it is a page with a form (a sign-in page?), not a package index page")
    if not page.files and "<" not in text and text.strip():
        raise MalformedListingError("it is plain text, not a package index page")
    return tuple(page.files)


def _is_artifact(filename: str, address: str) -> bool:
    return (
        filename.endswith(_ARTIFACTS)
        and len(filename) <= _MAX_NAME
        and filename.isprintable()
        and not set(filename) & {"/", "\\"}
        and not filename.startswith(".")
        and urlsplit(address).scheme in {"http", "https", "file"}
    )


# --- JSON ---------------------------------------------------------------------------------------


def parse_json(text: str, *, address: str) -> tuple[ListedFile, ...]:
    """Files of a PEP 691 project document."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise MalformedListingError(f"it is not JSON: {err}") from err
    version = _at(document, "meta", "api-version")
    if not isinstance(version, str) or not version.startswith("1."):
        raise MalformedListingError(f"meta.api-version is {version!r}, expected 1.x")
    files = _at(document, "files")
    if not isinstance(files, list) or len(files) > _MAX_FILES:
        raise MalformedListingError("it has no list of files")
    return tuple(file for entry in files if (file := _json_file(entry, address)))


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _json_file(entry: Any, address: str) -> ListedFile | None:
    link, filename = _at(entry, "url"), _at(entry, "filename")
    if not isinstance(link, str) or not isinstance(filename, str):
        return None
    try:
        if not link.startswith("https://"):  # most are absolute, a page may hold thousands, and joining is slow
            link = urljoin(address, link)
        if not _is_artifact(filename, link):
            return None
    except ValueError:
        return None
    stated = _at(entry, "core-metadata") or _at(entry, "dist-info-metadata")
    digest, size, needs = _at(entry, "hashes", "sha256"), _at(entry, "size"), _at(entry, "requires-python")
    return ListedFile(
        filename,
        link,
        sha256=digest.lower() if isinstance(digest, str) and _SHA256.fullmatch(digest.lower()) else None,
        size_bytes=size if isinstance(size, int) and size >= 0 else None,
        is_yanked=bool(_at(entry, "yanked")),
        requires_python=needs if isinstance(needs, str) else None,
        has_metadata=bool(stated),
        metadata_sha256=_sha256(_at(stated, "sha256")),
    )


def _sha256(value: Any) -> str | None:
    """The value where it is a SHA-256 in hexadecimal."""
    return value.lower() if isinstance(value, str) and _SHA256.fullmatch(value.lower()) else None


# --- folders ------------------------------------------------------------------------------------


def parse_folder(entries: Iterable[tuple[str, int]], *, address: str) -> tuple[ListedFile, ...]:
    """Files of a folder from its (name, size in bytes) pairs; hashes stay unknown until one is chosen."""
    base = address.rstrip("/") + "/"
    files = ((name, size, base + name.replace("%", "%25").replace(" ", "%20")) for name, size in sorted(entries))
    return tuple(ListedFile(name, url, size_bytes=size) for name, size, url in files if _is_artifact(name, url))
