"""EDGE: one GET or HEAD over the user's network: proxy, CA bundle, client certificate, netrc, deadlines."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import netrc
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from .addresses import credentials
from .listing import MAX_BYTES
from .pages import Page, PageCache, may_be_kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_CHUNK = 2**16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", re.ASCII)
_NOT_THERE = frozenset({404, 410})
_LOGIN = frozenset({401, 403, 407})
_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a source may take."""

    silence_s: float = 10.0
    """To connect, and between two pieces of an answer."""
    overall_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer."""

    text: str
    content_type: str
    address: str
    """After redirects: what relative links refer to."""


@dataclass(frozen=True, slots=True)
class Part:
    """A range of a file."""

    content: bytes
    first: int
    """Place of its first byte in the file."""
    total: int
    """Bytes of the whole file."""


class FetchError(Exception):
    """Why there is no answer, in one sentence without the address."""


class _SameSchemes(urllib.request.HTTPRedirectHandler):
    """Follows redirects over http and https only, and never from https down to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if after.scheme not in {"http", "https"} or (before.scheme == "https" and after.scheme == "http"):
            raise FetchError(f"it redirects from {before.scheme} to {after.scheme or 'nothing'}")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        login = req.get_header("Authorization") or req.unredirected_hdrs.get("Authorization")
        if request is not None and login and (before.scheme, before.netloc) == (after.scheme, after.netloc):
            request.add_unredirected_header("Authorization", login)
        return request


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Settings of the network; every call opens its own connection."""

    deadlines: Deadlines = field(default_factory=Deadlines)
    proxy: str | None = field(default=None, repr=False)
    cert: str | None = None
    client_cert: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    cache: PageCache = field(default_factory=PageCache)

    def get(self, address: str, *, accept: str) -> Fetched | None:
        """The page at an address; None when the server says that there is none; FetchError with the reason else."""
        end = time.monotonic() + self.deadlines.overall_s
        try:
            return self._get(address, accept, end)
        except _TemporaryError:
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))
            return self._get(address, accept, end)

    def size(self, address: str) -> int | None:
        """Bytes of a file as its server states them; None when it does not say."""
        try:
            with self._open(address, {"Accept-Encoding": "identity"}, method="HEAD") as answer:
                stated = answer.headers.get("Content-Length", "")
        except (OSError, FetchError, http.client.HTTPException, ValueError):
            return None
        return int(stated) if stated.isdigit() else None

    def content(self, address: str, limit: int) -> bytes:
        """The bytes of a small file; FetchError with the reason where it is not there, or larger than `limit` bytes."""
        end = time.monotonic() + self.deadlines.overall_s
        try:
            return self._content(address, limit, end)
        except _TemporaryError:
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))
            return self._content(address, limit, end)

    def _content(self, address: str, limit: int, end: float) -> bytes:
        with self._told(), self._open(address, {"Accept-Encoding": "identity"}) as answer:
            return _read(answer, end, self.deadlines.overall_s, limit)

    def part(self, address: str, first: int | None, length: int) -> Part:
        """`length` bytes of a file from `first` on, its last ones where that is None; FetchError with the reason else.

        A server that sends the whole file instead is not listened to.
        """
        end = time.monotonic() + self.deadlines.overall_s
        try:
            return self._part(address, first, length, end)
        except _TemporaryError:
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))
            return self._part(address, first, length, end)

    def _part(self, address: str, first: int | None, length: int, end: float) -> Part:
        wanted = f"bytes=-{length}" if first is None else f"bytes={first}-{first + length - 1}"
        with self._told(), self._open(address, {"Range": wanted, "Accept-Encoding": "identity"}) as answer:
            stated = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status != http.client.PARTIAL_CONTENT or stated is None:
                raise FetchError("it does not answer range requests")
            start, last, total = (int(number) for number in stated.groups())
            if last - start >= length or (first is not None and start != first):
                raise FetchError("it answers with another range than the one that was asked for")
            content = _read(answer, end, self.deadlines.overall_s, length)
            if len(content) != last - start + 1:
                raise FetchError("the answer broke off")
            return Part(content, start, total)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Every failure of the network as a FetchError."""
        try:
            yield
        except urllib.error.HTTPError as err:
            raise _refusal(err) from err
        except TimeoutError as err:
            raise FetchError(f"silent for {self.deadlines.silence_s:g} s") from err
        except urllib.error.URLError as err:
            raise _why(err, self.deadlines) from err
        except (OSError, http.client.HTTPException) as err:
            raise FetchError(f"the connection broke: {err or type(err).__name__}") from err

    def _get(self, address: str, accept: str, end: float) -> Fetched | None:
        login = _login(address)
        kept = self.cache.get(_bare(address), accept, login)
        try:
            with self._told(), self._open(address, {"Accept": accept, **(kept.conditions if kept else {})}) as answer:
                body, headers = _read(answer, end, self.deadlines.overall_s), answer.headers
                charset = headers.get_content_charset() or "utf-8"
                text = body.decode(charset if _is_known(charset) else "utf-8", errors="replace")
                fetched = Fetched(text, headers.get("Content-Type", ""), answer.geturl())
                if may_be_kept(headers):
                    versions = (headers.get("ETag"), headers.get("Last-Modified"))
                    page = Page(fetched.text, fetched.content_type, fetched.address, *versions)
                    self.cache.put(_bare(address), accept, login, page)
                return fetched
        except _NotThereError:
            return None
        except _NotModifiedError:
            if kept is None:
                raise
            return Fetched(kept.text, kept.content_type, kept.address)

    def _open(self, address: str, headers: dict[str, str], method: str = "GET") -> http.client.HTTPResponse:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.scheme not in {"http", "https"}:
            raise FetchError(f"{parts.scheme or 'no'} scheme; expected http, https or file")
        request = urllib.request.Request(_bare(address), headers=headers, method=method)  # noqa: S310 - checked above
        login = _login(address)
        if login:
            token = base64.b64encode(":".join(login).encode()).decode()
            # Unredirected: the login is for this host, wherever it points to next.
            request.add_unredirected_header("Authorization", f"Basic {token}")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": self.proxy, "https": self.proxy} if self.proxy else None),
            urllib.request.HTTPSHandler(context=self._tls(parts.netloc.rpartition("@")[2], host)),
            _SameSchemes(),
        )
        answer: http.client.HTTPResponse = opener.open(request, timeout=self.deadlines.silence_s)
        return answer

    def _tls(self, netloc: str, host: str) -> ssl.SSLContext:
        bundle = self.cert or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
        try:
            return _context(bundle, self.client_cert, is_trusted=bool({netloc, host} & set(self.trusted_hosts)))
        except OSError as err:
            raise FetchError(f"the certificates in {bundle or self.client_cert} cannot be read: {err}") from err


@functools.lru_cache(maxsize=16)
def _context(bundle: str | None, client_cert: str | None, *, is_trusted: bool) -> ssl.SSLContext:
    """Reading a bundle of certificates takes longer than most answers: once per process."""
    folder = bundle if bundle and Path(bundle).is_dir() else None
    context = ssl.create_default_context(cafile=None if folder else bundle, capath=folder)
    if client_cert:
        context.load_cert_chain(client_cert)
    if is_trusted:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _bare(address: str) -> str:
    """The address without login and fragment."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _login(address: str) -> tuple[str, str] | None:
    return credentials(address) or _netrc_login(urlsplit(address).hostname or "")


class _NotModifiedError(FetchError):
    """The page that is kept is the page that the server has."""


class _TemporaryError(FetchError):
    """Worth one more attempt."""


class _NotThereError(FetchError):
    """The server says that there is no such file."""


def _read(answer: http.client.HTTPResponse, end: float, overall_s: float, limit: int | None = None) -> bytes:
    pieces: list[bytes] = []
    held = 0
    while piece := answer.read1(_CHUNK):
        held += len(piece)
        if held > (limit or MAX_BYTES):
            raise FetchError(
                "it sends more than was asked for" if limit else f"the page is larger than {MAX_BYTES >> 20} MiB"
            )
        if time.monotonic() > end:
            raise FetchError(f"not finished within {overall_s:g} s")
        pieces.append(piece)
    if answer.length:  # what Content-Length promised and did not come; read1 ends there without a word
        raise FetchError(f"the answer broke off, {answer.length} bytes are missing")
    return b"".join(pieces)


def _refusal(err: urllib.error.HTTPError) -> FetchError:
    sentence = f"HTTP {err.code} {err.reason}".strip()
    if err.code == http.client.NOT_MODIFIED:
        return _NotModifiedError(sentence)
    if err.code in _NOT_THERE:
        return _NotThereError(sentence)
    if err.code in _LOGIN:
        return FetchError(f"{sentence}: it wants other credentials")
    return (_TemporaryError if err.code in _AGAIN else FetchError)(sentence)


def _why(err: urllib.error.URLError, deadlines: Deadlines) -> FetchError:
    reason = err.reason
    if isinstance(reason, TimeoutError):
        return FetchError(f"no connection within {deadlines.silence_s:g} s")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FetchError(f"its certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, ConnectionResetError):
        return _TemporaryError("the connection was reset")
    return FetchError(f"it cannot be reached: {getattr(reason, 'strerror', None) or reason}")


def _netrc_login(host: str) -> tuple[str, str] | None:
    path = os.environ.get("NETRC") or str(Path("~/.netrc").expanduser())
    try:
        entry = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (entry[0] or "", entry[2] or "") if entry else None


def _is_known(charset: str) -> bool:
    try:
        "".encode(charset)
    except LookupError:
        return False
    return True
