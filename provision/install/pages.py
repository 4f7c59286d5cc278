"""EDGE: project pages that were read before, kept with their validators and asked about again, never trusted by age.

Every look asks its source. What the cache saves is the transfer: a server that answers "304 Not Modified" says that the
page that is kept is the page that it has.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from ..private_store import PrivateStore

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

STORE: Final = PrivateStore("pages", "gpusetup-page 1", max_entries=256)


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was answered, with what tells its version."""

    text: str
    content_type: str
    address: str
    """After redirects, without a login."""
    etag: str | None = None
    last_modified: str | None = None

    @property
    def conditions(self) -> dict[str, str]:
        """Headers that ask for the page only if it changed (RFC 9110, section 13)."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}


def may_be_kept(headers: Message) -> bool:
    """Whether the server lets a page be kept and gave it a version to ask about."""
    stated = (headers.get("Cache-Control") or "").lower()
    return "no-store" not in stated and bool(headers.get("ETag") or headers.get("Last-Modified"))


@dataclass(frozen=True, slots=True)
class PageCache:
    """Pages of one user; `folder` is the cache folder, None keeps nothing."""

    folder: Path | None = None

    def get(self, address: str, accept: str, login: tuple[str, str] | None) -> Page | None:
        """The page that is kept for an address as that login sees it; None when there is none."""
        payload = STORE.fetch(self.folder, _key(address, accept, login)) if self.folder else None
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            return None if payload is None else Page(**json.loads(payload))
        return None

    def put(self, address: str, accept: str, login: tuple[str, str] | None, page: Page) -> None:
        """Keep a page; silent where that can't be done."""
        if self.folder:
            STORE.keep(self.folder, _key(address, accept, login), json.dumps(asdict(page)).encode())


def _key(address: str, accept: str, login: tuple[str, str] | None) -> str:
    # The login is a part of the key because another one may be shown another page; its digest tells nothing of it.
    return hashlib.sha256("\0".join((address, accept, *(login or ()))).encode()).hexdigest()
