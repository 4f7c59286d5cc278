"""The catalogue of checks as a table: one line per check."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ..plain_text import plain

if TYPE_CHECKING:
    from ..documents.check import CheckList
    from .style import Style


def render_check_list(listed: CheckList, style: Style) -> str:
    """id, level, component and title in aligned columns; a title that is too long goes on under its first word."""
    head = ("id", "level", "component", "title")
    rows = [(one.id, one.level, one.component, plain(one.title)) for one in listed.checks]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(3)]
    lines: list[str] = []
    for row in (head, *rows):
        begin = "  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=False))
        wrapped = textwrap.wrap(
            row[3], max(style.width - len(begin) - 2, 20), break_long_words=False, break_on_hyphens=False
        )
        first, *rest = wrapped or [""]
        lines.append(f"{begin}  {first}".rstrip())
        lines += [" " * (len(begin) + 2) + line for line in rest]
    return "\n".join(lines)
