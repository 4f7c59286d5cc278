"""What can be wrong with a source, a download or a place, each with its sentence and its cure. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from .addresses import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAST: Final = 300.0
"""Seconds by which two clocks may differ before one of them is called wrong."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One kind of fault."""

    code: str
    sentence: str
    """`{source}` stands for what serves the file: an address without login, or a word."""
    do: tuple[str, ...]
    risky: tuple[str, ...] = ()


_AGAIN: Final = "run the same command: what was downloaded is kept in the installer's cache"
_OTHER_SOURCE: Final = "name another source: --torch-index for torch, index-url or find-links in pip's configuration"
CAUSES: Final = {
    cause.code: cause
    for cause in (
        Cause(
            "source-login",
            "{source} wants a login, or another one.",
            (
                "put the login into ~/.netrc: machine HOST login USER password WORD   (chmod 600)",
                "or into the address in your own configuration; gpusetup neither prints nor stores it",
            ),
        ),
        Cause(
            "proxy-login",
            "The proxy wants a login, or another one.",
            ("name the proxy with its login: proxy in pip's configuration, or HTTPS_PROXY=http://USER:WORD@HOST:PORT",),
        ),
        Cause(
            "source-not-trusted",
            "The certificate of {source} is signed by nobody that this machine trusts.",
            (
                "name the file of your own authority: cert in pip's configuration, PIP_CERT or SSL_CERT_FILE",
                "see who signed it: openssl s_client -connect HOST:PORT -showcerts </dev/null",
            ),
        ),
        Cause(
            "certificate-not-valid",
            "The certificate of {source} is not valid at this time: it has expired, or is not valid yet.",
            (
                "look at this machine's clock first: timedatectl",
                "if it is right, ask who runs the source for a new certificate",
            ),
        ),
        Cause(
            "clock-wrong",
            "This machine's clock is wrong, so no certificate can be judged.",
            ("look at it: timedatectl",),
            ("sudo timedatectl set-ntp true",),
        ),
        Cause(
            "source-unreachable",
            "{source} cannot be reached.",
            (
                "look at the network and the proxy (HTTPS_PROXY, NO_PROXY, proxy in pip's configuration)",
                "see what each source says: gpusetup plan --check-sources",
            ),
        ),
        Cause(
            "source-too-slow",
            "{source} had not finished its answer in time.",
            (
                "look at the network and the proxy (HTTPS_PROXY, NO_PROXY, proxy in pip's configuration)",
                _OTHER_SOURCE,
            ),
        ),
        Cause("source-failed", "{source} answers with an error of its own.", (_AGAIN, _OTHER_SOURCE)),
        Cause(
            "source-not-an-index",
            "{source} answers with something else than a package index.",
            (
                "open the address in a browser: a page to sign in, a proxy's notice or the address of another service",
                _OTHER_SOURCE,
            ),
        ),
        Cause("file-gone", "{source} lists a file that it does not have.", (_AGAIN, _OTHER_SOURCE)),
        Cause("download-broken", "A download from {source} broke off.", (_AGAIN,)),
        Cause(
            "hash-mismatch",
            "A downloaded file is not the one that was locked.",
            (
                "run the same command: a transfer may have broken off",
                "if it stays so, the source serves a changed file: ask who runs it",
            ),
        ),
        Cause(
            "wheel-malformed",
            "A wheel from {source} is not one that can be unpacked.",
            ("if it lies on this machine, copy it again from where it came from", _OTHER_SOURCE),
        ),
        Cause("disk-full", "The disk is full.", ("free some space, then run the same command",)),
        Cause(
            "environment-not-writable",
            "The environment cannot be written.",
            ("name another place with --env, on a file system that this user may write to",),
        ),
        Cause(
            "environment-without-links",
            "The file system of the environment has no symbolic links.",
            ("name another place with --env, on a file system of Linux",),
        ),
        Cause(
            "environment-without-locks",
            "The file system of the environment cannot lock files, so two runs could not be kept apart.",
            ("name another place with --env, on a local disk", "or ask who runs the share for locks (NFS: lockd)"),
        ),
        Cause(
            "environment-not-executable",
            "Programs may not be run where the environment is to be.",
            (
                "see how it is mounted: findmnt --target FOLDER   (noexec?)",
                "name another place with --env",
            ),
        ),
    )
}

# What uv (0.9 to 0.13) and pip (23 to 26) print, in small letters; the first that is found counts.
_SIGNS: Final = tuple(
    (re.compile(sign), code)
    for sign, code in (
        (r"no space left on device|disk quota exceeded|os error (?:28|122)\b", "disk-full"),
        (r"read-only file system|\(os error 30\)", "environment-not-writable"),
        (r"hash mismatch|size mismatch|content-length mismatch|do not match the hashes", "hash-mismatch"),
        (r"certificate expired|not valid yet|has expired|not yet valid", "certificate-not-valid"),
        (r"invalid peer certificate|certificate_verify_failed|unknownissuer|\[ssl: ", "source-not-trusted"),
        (r"\b407\b|proxy authentication required|proxy auth", "proxy-login"),
        (r"\(?40[13] (?:unauthorized|forbidden)|http error 40[13]|eoferror: eof when reading", "source-login"),
        (r"404 not found|http error 4(?:04|10)|\(410 gone\)", "file-gone"),
        (r"http status server error|too many 5\d\d error|http error 5\d\d|5\d\d server error", "source-failed"),
        (r"end of file before message length|connection broken|incompleteread|error reading a body", "download-broken"),
        (r"operation timed out|read timed out|connect timed out|connection timed out", "source-unreachable"),
        (
            r"dns error|connection refused|connection reset|network is unreachable|no route to host",
            "source-unreachable",
        ),
        (r"failed to resolve|name or service not known|max retries exceeded", "source-unreachable"),
        (r"missing `content-type`|unsupported content.type|skipping page", "source-not-an-index"),
        (r"invalid zip|failed to extract archive|is invalid\.|badzipfile|bad magic number", "wheel-malformed"),
        (r"install outside the target|escapes? the|invalid wheel|wheel is invalid", "wheel-malformed"),
        (r"permission denied|\(os error 13\)|operation not permitted", "environment-not-writable"),
    )
)
_ADDRESS: Final = re.compile(r"(?:https?|file)://[^\s`'\")>,]+")
_POOL: Final = re.compile(r"HTTP(S?)ConnectionPool\(host='([^']+)', port=(\d+)\)")
_VERBS: Final = ("fail", "error", "could not", "hint", "cause", "because", "warning", "skipping")


def cause_of(lines: tuple[str, ...]) -> Cause | None:
    """The cause that the last lines of an installer show; None where they show none that is known."""
    text = "\n".join(lines).lower()
    return next((CAUSES[code] for sign, code in _SIGNS if sign.search(text)), None)


def source_in(lines: tuple[str, ...]) -> str | None:
    """The source that the lines complain about, without login and query; None where none is named."""
    told = [line for line in lines if any(verb in line.lower() for verb in _VERBS)]
    for line in (*told, *lines):
        if found := _ADDRESS.search(line):
            return shown(found[0].rstrip(".;:"))
        if pool := _POOL.search(line):
            return f"http{pool[1].lower()}://{pool[2]}:{pool[3]}"
    return None


def source_of_project(lines: tuple[str, ...], sources: Mapping[str, str]) -> str | None:
    """The source of the project that the lines complain about."""
    named = re.findall(r"[`' ]([A-Za-z0-9][A-Za-z0-9._-]*)==", "\n".join(lines))
    return next((sources[name] for name in named if name in sources), None)


# --- clocks -------------------------------------------------------------------------------------


def clock_fault(now: float, *, known_day: str | None, server: float | None) -> str | None:
    """Why this machine's clock is wrong, in one sentence; None where nothing shows that it is.

    Times are seconds since 1970. `known_day` (2026-11-20) has certainly come; `server` is what a source's clock says.
    """
    known = None
    if known_day:
        try:
            known = datetime.fromisoformat(known_day).replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            known = None
    if known is not None and now < known:
        return f"the clock says {_words(now)}, and the facts of this release were read on {known_day}"
    if server is not None and abs(server - now) > _PAST:
        return f"the clock says {_words(now)}, that of the source {_words(server)}"
    return None


def _words(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d %H:%M} UTC"
