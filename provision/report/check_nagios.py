"""One line for Nagios and its kin: state, message, performance data. Its exit codes replace the table of gpusetup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ..check_states import BAD, JUDGED, count_states, counted_words
from ..plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import CheckResult, FindingStatus

NagiosCode = Literal[0, 1, 2, 3]

_WORDS: Final[dict[NagiosCode, str]] = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}
_LONGEST: Final = 400
"""Characters of the message: what transports of old agents cut off is a kilobyte in all."""


def nagios_code(results: Sequence[CheckResult]) -> NagiosCode:
    """2 where a check failed, 1 where one warned, 3 where none came to a verdict, else 0."""
    states = {result.status for result in results}
    if states & BAD:
        return 2
    if "warn" in states:
        return 1
    return 0 if states & JUDGED else 3


def render_check_nagios(
    results: Sequence[CheckResult], *, cause: str | None = None, folded: Sequence[str] = ()
) -> tuple[str, NagiosCode]:
    """The line, with what leads and how many findings it explains, and the exit code."""
    code = nagios_code(results)
    led = next((result for result in results if result.id == cause), None)
    message = counted_words(results) or "no check was made"
    if led is not None:
        message = f"{led.id}: {led.happened} ({f'explains {len(folded)} more; ' if folded else ''}{message})"
    counts, took = count_states(results), sum(result.duration_s for result in results)
    bad = sum(counts[state] for state in BAD)
    parts = [
        f"failed={bad};;0;0;{len(results)}",
        f"warned={counts['warn']};0;;0;{len(results)}",
        *(f"{word}={counts[state]};;;0;{len(results)}" for state, word in _OTHERS),
        f"time={took:.6f}s;;;0",
    ]
    return nagios_line(code, message, " ".join(parts)), code


_OTHERS: Final[tuple[tuple[FindingStatus, str], ...]] = (
    ("pass", "passed"),
    ("unknown", "unknown"),
    ("suppressed", "suppressed"),
    ("skip", "skipped"),
)


def nagios_line(code: NagiosCode, message: str, performance: str = "") -> str:
    """`GPUSETUP OK - message | performance`; the message holds neither a line break nor the bar that ends it."""
    told = plain(message.replace("|", "/"), longest=_LONGEST)
    return f"GPUSETUP {_WORDS[code]} - {told}" + (f" | {performance}" if performance else "")
