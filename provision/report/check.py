"""How the checks ended, counted, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..check_states import counted_words, is_bad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import CheckResult
    from .style import Style


def counts_line(results: Sequence[CheckResult], style: Style) -> str:
    """`ok  1 warned, 4 skipped, 9 passed`."""
    return "\n".join(style.block(style.mark("fail" if is_bad(results) else "pass"), counted_words(results)))
