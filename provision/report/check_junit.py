"""Results of the checks as JUnit XML, which CI systems show as tests: a suite per component, a case per check."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from ..check_states import BAD, by_component
from ..plain_text import plain
from .check_evidence import shown_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..records import CheckResult, Evidence

_LONGEST: Final = 4000
# XML 1.0 has no way to write these, not even as references (section 2.2 of the recommendation).
_NOT_XML: Final = re.compile(r"[\ufffe\uffff\ud800-\udfff]")

_ELEMENTS: Final = {"fail": "failure", "timed-out": "error", "crashed": "error"}
_LEFT_OUT: Final = ("skip", "unknown", "suppressed")


def render_check_junit(results: Sequence[CheckResult], *, timestamp: str, is_strict: bool = False) -> str:
    """The document. `timestamp` is the start as ISO 8601 without a zone (UTC); with `is_strict` a warning is a failure.

    Names no host; what failed or warned carries its evidence, as the JSON document does.
    """
    suites = [_suite(name, group, timestamp, is_strict=is_strict) for name, group in by_component(results).items()]
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    root = f'<testsuites name="gpusetup check"{_counts(results, is_strict=is_strict)}>'
    return "\n".join([head, root, *suites, "</testsuites>"]) + "\n"


def _suite(name: str, results: Sequence[CheckResult], timestamp: str, *, is_strict: bool) -> str:
    counts = _counts(results, is_strict=is_strict)
    head = f'  <testsuite name="{_attribute(name)}"{counts} timestamp="{_attribute(timestamp)}">'
    return "\n".join([head, *(_case(result, is_strict=is_strict) for result in results), "  </testsuite>"])


def _counts(results: Sequence[CheckResult], *, is_strict: bool) -> str:
    elements = [_element(result, is_strict=is_strict) for result in results]
    counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    parts = [f'{name}="{elements.count(element)}"' for name, element in counted.items()]
    return f' tests="{len(results)}" {" ".join(parts)} time="{sum(one.duration_s for one in results):.6f}"'


def _element(result: CheckResult, *, is_strict: bool) -> str:
    """The element that tells how the check ended; empty for one that passed, `system-out` for a warning."""
    if result.status == "warn":
        return "failure" if is_strict else "system-out"
    return "skipped" if result.status in _LEFT_OUT else _ELEMENTS.get(result.status, "")


def _case(result: CheckResult, *, is_strict: bool) -> str:
    head = (
        f'    <testcase classname="gpusetup.{_attribute(result.component)}" name="{_attribute(result.id)}" '
        f'time="{result.duration_s:.6f}"'
    )
    element = _element(result, is_strict=is_strict)
    if not element:
        return f"{head}/>"
    if element == "skipped":
        inside = f'<skipped message="{_attribute(_reason(result))}"/>'
    elif element == "system-out":
        inside = f"<system-out>{_content(result)}</system-out>"
    else:
        inside = (
            f'<{element} type="{_attribute(result.status)}" message="{_attribute(result.happened)}">'
            f"{_content(result)}</{element}>"
        )
    return f"{head}>\n      {inside}\n    </testcase>"


def _reason(result: CheckResult) -> str:
    why = result.suppression
    if result.status != "suppressed" or why is None:
        return f"{result.status}: {result.happened}"
    by = f" by {why.by}" if why.by else ""
    return f"suppressed until {why.until}{by} ({why.reason}): {why.was}: {result.happened}"


def _content(result: CheckResult) -> str:
    """The sentence, the evidence and the cures as lines."""
    return "\n".join(html.escape(_clean(line), quote=False) for line in _lines(result))


def _lines(result: CheckResult) -> Iterator[str]:
    yield f"{result.status}: {result.happened}"
    yield from map(_evidence_line, result.evidence)
    yield from (f"do: {step}" for step in result.safe)
    yield from (f"risky: {step}" for step in result.risky)
    if result.leads and result.status in BAD:
        yield f"explains: {', '.join(result.leads)}"


def _evidence_line(item: Evidence) -> str:
    found = shown_value(item.name, item.value, item.unit)
    needs = "" if item.needs is None else f", needs {shown_value(item.name, item.needs)}"
    return f"found: {item.name} {found}{needs}{f' ({item.source})' if item.source else ''}"


def _attribute(text: str) -> str:
    return html.escape(_clean(text), quote=True)


def _clean(text: str) -> str:
    return _NOT_XML.sub("", plain(text, longest=_LONGEST))
