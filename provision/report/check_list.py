"""The catalogue of checks as a table: one line per check, under its component."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING

from ..plain_text import plain

if TYPE_CHECKING:
    from ..documents.check import CheckList
    from .style import Style


def render_check_list(listed: CheckList, style: Style) -> str:
    """id, level and title in aligned columns, by component; a title that is too long goes on under its first word."""
    ids = max((len(one.id) for one in listed.checks), default=0)
    levels = max((len(one.level) for one in listed.checks), default=0)
    begin = ids + levels + 6
    lines: list[str] = []
    order = list(dict.fromkeys(one.component for one in listed.checks))
    rows = sorted(listed.checks, key=lambda one: order.index(one.component))
    for component, group in itertools.groupby(rows, key=lambda one: one.component):
        lines.append(style.paint(plain(component), "strong"))
        for one in group:
            titles = textwrap.wrap(
                plain(one.title), max(style.width - begin, 20), break_long_words=False, break_on_hyphens=False
            )
            first, *rest = titles or [""]
            lines.append(f"  {one.id:<{ids}}  {one.level:<{levels}}  {first}".rstrip())
            lines += [" " * begin + line for line in rest]
    counted = f"{len(rows)} checks" if len(rows) != 1 else "1 check"
    return "\n".join([*lines, f"{counted}; gpusetup explain ID has the page of each"])
