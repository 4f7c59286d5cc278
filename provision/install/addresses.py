"""Addresses of package sources: what may be shown of them, and how a local path becomes an address. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

_USERINFO = re.compile(r"(?<=://)[^/\s]+@")
_QUERY = re.compile(r"(\w+://[^\s?#'\"]+)\?[^\s#'\"]+")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LEAST_SECRET = 4


def shown(address: str) -> str:
    """The address as it may be printed and stored: no user, no password, no query (it may carry a token)."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def credentials(address: str) -> tuple[str, str] | None:
    """User and password inside an address, percent-decoded; None when it names none."""
    userinfo, at, _ = urlsplit(address).netloc.rpartition("@")
    if not at:
        return None
    user, _, password = userinfo.partition(":")
    return unquote(user), unquote(password)


def with_login(address: str, user: str, password: str) -> str:
    """The address with that user and password in place of its own."""
    parts = urlsplit(address)
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return urlunsplit(parts._replace(netloc=login + parts.netloc.rpartition("@")[2]))


def secrets_of(addresses: Iterable[str]) -> tuple[str, ...]:
    """Every spelling of a secret that those addresses carry, longest first, for `redact`."""
    found: set[str] = set()
    for address in addresses:
        parts = urlsplit(address)
        userinfo, at, _ = parts.netloc.rpartition("@")
        if at:
            user, _, password = userinfo.partition(":")
            # A token is often the user name, with no password or the word `x` beside it.
            found |= {password, unquote(password)} if len(password) >= _LEAST_SECRET else {user, unquote(user)}
        if parts.query:
            found.add(parts.query)
    return tuple(sorted((secret for secret in found if len(secret) >= _LEAST_SECRET), key=len, reverse=True))


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without credentials, query strings of addresses and control characters (a tool's output is hostile)."""
    text = _QUERY.sub(r"\1", _USERINFO.sub("", _CONTROL.sub("", text)))
    for secret in secrets:
        text = text.replace(secret, "****")
    return text


def as_address(text: str, folder: Path) -> str:
    """An address for what a configuration names: addresses stay, paths become file addresses relative to `folder`.

    Everything that separates lists in the tools' variables (blank, comma) is percent-encoded.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text):
        return text.replace(" ", "%20")
    path = (folder / Path(text).expanduser()).absolute()
    return "file://" + quote(str(path))


def local_path(address: str) -> Path | None:
    """The path of a file address on this machine; None for every other address."""
    parts = urlsplit(address)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        return None
    return Path(unquote(parts.path))


def filename_of(address: str) -> str:
    """Last part of the address's path, percent-decoded: the name of a wheel."""
    return unquote(urlsplit(address).path.rpartition("/")[2])
