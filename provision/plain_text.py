"""Text from the outside made safe for a terminal and a document."""

from __future__ import annotations

LONGEST = 256


def plain(text: str, *, longest: int = LONGEST) -> str:
    """The text on one line without control, direction or surrogate characters, at most `longest` characters long."""
    kept = "".join(char if char.isprintable() or char.isspace() else " " for char in text[: longest * 8])
    return " ".join(kept.split())[:longest]
