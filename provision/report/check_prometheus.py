"""Results of the checks for the textfile collector of node_exporter, in the text exposition format 0.0.4.

Every check has one sample per state, of which one is 1: a series never vanishes when the state changes, and an alert
is `gpusetup_check_status{status="fail"} == 1`. No label names a host, a device or a person.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..check_states import STATES, count_states
from ..plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..records import CheckResult


def render_check_prometheus(results: Sequence[CheckResult], *, taken_at: float, cause: str | None = None) -> str:
    """The text of the file. `taken_at` is when the checks ended, in seconds of Unix time."""
    return "\n".join(_lines(results, taken_at, cause)) + "\n"


def _lines(results: Sequence[CheckResult], taken_at: float, cause: str | None) -> Iterator[str]:
    yield from _head("gpusetup_check_status", "Whether the check ended in this state (1) or not (0).")
    for result in results:
        for state in STATES:
            labels = _labels(id=result.id, component=result.component, status=state)
            yield f"gpusetup_check_status{labels} {int(result.status == state)}"
    # A gauge though its name ends like a counter's: it is the number of checks of one pass, and starts anew each time.
    yield from _head("gpusetup_check_total", "Number of checks that ended in this state.")
    for state, count in count_states(results).items():
        yield f"gpusetup_check_total{_labels(status=state)} {count}"
    yield from _head("gpusetup_check_duration_seconds", "Time that the check took.")
    for result in results:
        labels = _labels(id=result.id, component=result.component)
        yield f"gpusetup_check_duration_seconds{labels} {_number(result.duration_s)}"
    yield from _head("gpusetup_check_cause", "The check that leads the report: the cause of what is wrong.")
    yield from (
        f"gpusetup_check_cause{_labels(id=result.id, component=result.component)} 1"
        for result in results
        if result.id == cause
    )
    yield from _head("gpusetup_check_timestamp_seconds", "When the checks ended, in seconds of Unix time.")
    yield f"gpusetup_check_timestamp_seconds {_number(taken_at)}"


def _head(name: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} gauge"


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """A label's value; backslash, quote and line feed are escaped by the format, the last never comes this far."""
    return plain(value).replace("\\", r"\\").replace('"', r"\"")


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") if math.isfinite(value) else "NaN"
