"""Text from the outside made safe for a terminal and a document."""

from __future__ import annotations

import re

LONGEST = 256

# C0 and C1 controls but tab and newline, line separators, the characters that turn the direction of text, and
# surrogates, which no stream can encode.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean_text(text: str) -> str:
    """The text without control, direction and surrogate characters; tab and newline stay."""
    return text if text.isprintable() else _CONTROL.sub("", text)  # no printable character is one of them


def plain(text: str, *, longest: int = LONGEST) -> str:
    """The text on one line without control, direction or surrogate characters, at most `longest` characters long."""
    kept = text[: longest * 8]
    if not kept.isprintable():
        kept = "".join(char if char.isprintable() or char.isspace() else " " for char in kept)
    return " ".join(kept.split())[:longest]
