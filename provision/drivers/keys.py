"""The fingerprint of an OpenPGP public key, computed from its bytes: a key is known before it is trusted (PURE).

Only the primary key decides. Other packets of the file are let through when they belong to the same key; a second
primary key is refused, because whoever trusts the file would trust both.
Packets and fingerprints: RFC 4880, sections 4.2 and 12.2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_KEY_BYTES: Final = 1024 * 1024
_BEGIN: Final = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END: Final = b"-----END PGP PUBLIC KEY BLOCK-----"
_MOST_COUNTED: Final = 0xFFFF
_PRIMARY: Final = 6
#: Signature, public key, user id, public subkey, user attribute.
_OF_A_KEY: Final = frozenset({2, _PRIMARY, 13, 14, 17})
_VERSION: Final = 4


class KeyFormatError(ValueError):
    """Why these bytes are no public key, in one sentence."""


def binary_key(raw: bytes) -> bytes:
    """The packets of a key that is published as they are or in ASCII armour; KeyFormatError for anything else."""
    if len(raw) > MAX_KEY_BYTES:
        raise KeyFormatError(f"it is larger than {MAX_KEY_BYTES >> 10} KiB")
    if raw[:1] and raw[0] & 0x80:
        return raw
    lines = [line.strip() for line in raw.splitlines()]
    if lines.count(_BEGIN) != 1 or lines.count(_END) != 1:
        raise KeyFormatError(f"it holds {lines.count(_BEGIN) or 'no'} public key blocks; expected one")
    block = lines[lines.index(_BEGIN) + 1 : lines.index(_END)]
    # Headers (Version: ...) end with an empty line; a checksum begins with =, which no line of the content does.
    content = block[block.index(b"") + 1 :] if b"" in block else block
    try:
        return base64.b64decode(b"".join(line for line in content if not line.startswith(b"=")), validate=True)
    except binascii.Error as err:
        raise KeyFormatError("its armour is not base64") from err


def fingerprint_of(raw: bytes) -> str:
    """40 upper-case digits of the one primary key of a file; KeyFormatError where there is none or more than one."""
    primary = []
    for tag, body in _packets(binary_key(raw)):
        if tag not in _OF_A_KEY:
            raise KeyFormatError(f"it holds a packet of type {tag}, which no public key has")
        if tag == _PRIMARY:
            primary.append(body)
        elif not primary:
            raise KeyFormatError("it does not begin with a primary key")
    if len(primary) != 1:
        raise KeyFormatError(f"it holds {len(primary) or 'no'} primary keys; expected one")
    body = primary[0]
    if body[:1] != bytes([_VERSION]):
        raise KeyFormatError(f"its key has version {body[0] if body else 'none'}; expected {_VERSION}")
    if len(body) > _MOST_COUNTED:
        raise KeyFormatError("its primary key is too long for a fingerprint")
    counted = b"\x99" + len(body).to_bytes(2, "big") + body
    return hashlib.sha1(counted, usedforsecurity=False).hexdigest().upper()  # the standard's own choice


def _packets(raw: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(raw):
        header = raw[place]
        if not header & 0x80:
            raise KeyFormatError(f"byte {place} begins no packet")
        is_new = bool(header & 0x40)
        tag = header & 0x3F if is_new else (header >> 2) & 0x0F
        start, length = _new_length(raw, place + 1) if is_new else _old_length(raw, place + 1, header & 3)
        place = start + length
        if place > len(raw):
            raise KeyFormatError("its last packet is cut off")
        yield tag, raw[start:place]


def _old_length(raw: bytes, place: int, kind: int) -> tuple[int, int]:
    if kind == 3:  # noqa: PLR2004  a packet of no stated length, which a key has no use for
        raise KeyFormatError("a packet does not state its length")
    return place + 2**kind, _number(raw, place, 2**kind)


def _new_length(raw: bytes, place: int) -> tuple[int, int]:
    first = _number(raw, place, 1)
    if first < 192:  # noqa: PLR2004  the bounds of the three forms, RFC 4880 section 4.2.2
        return place + 1, first
    if first < 224:  # noqa: PLR2004
        return place + 2, ((first - 192) << 8) + _number(raw, place + 1, 1) + 192
    if first == 255:  # noqa: PLR2004
        return place + 5, _number(raw, place + 1, 4)
    raise KeyFormatError("a packet comes in parts")


def _number(raw: bytes, place: int, size: int) -> int:
    if place + size > len(raw):
        raise KeyFormatError("its last packet is cut off")
    return int.from_bytes(raw[place : place + size], "big")


# pub:-:255:22:C48DF2AA23CE4E6F:1764000000:::-:::scSC:::::ed25519:::0:
# fpr:::::::::0123456789ABCDEF01234567C48DF2AA23CE4E6F:
def shown_fingerprints(text: str) -> tuple[str, ...]:
    """Fingerprints of the primary keys in what `gpg --show-keys --with-colons` prints."""
    found, is_primary = [], False
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            is_primary = fields[0] == "pub"
        elif fields[0] == "fpr" and is_primary and len(fields) > 9:  # noqa: PLR2004  the tenth field
            found.append(fields[9].upper())
            is_primary = False
    return tuple(found)
