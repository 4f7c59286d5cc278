"""What the doctor says: the cause with its evidence and cure, then one line per finding, then the count.

What is well is counted only. Where the stream has no colour (a pipe, NO_COLOR) the text is ASCII, so that a log, a
mail and a terminal of any encoding show the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..check_states import BAD, PROBLEMS, by_component, count_states, counted_words, severity
from ..plain_text import plain
from .check_evidence import fold_evidence, shown_value
from .style import shown_length

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..records import CheckResult, Evidence, Finding, FindingStatus
    from .style import Style

_PRESENCE: Final = "pci.gpu_present"
_ANSWERS: Final = "driver.nvml_init"
_LONGEST: Final = 1000
"""Characters of one text: a sentence has a tenth, and only a hostile file has more."""
_MOST_LINES: Final = 20
"""Lines of one piece of evidence, such as the end of a kernel log."""

#: How a remedy begins that is a command; any other is a sentence.
_COMMAND: Final = re.compile(
    r"(?:sudo|gpusetup|nvidia-[a-z-]+|nv-[a-z]+|docker|podman|systemctl|journalctl|lspci|lscpu|ls|ps|df|du|cat|grep"
    r"|tail|echo|printf|dpkg|rpm|apt-cache|dnf|ldconfig|python|python3|findmnt|mokutil|modinfo|dkms|dcgmi|getent"
    r"|numactl|env) "
)

#: Signs that have a usual spelling in ASCII, by their code points; any other character becomes its escape.
_ASCII: Final = {
    0x2264: "<=",
    0x2265: ">=",
    0x2260: "!=",
    0xD7: "x",
    0xB7: "-",
    0x2026: "...",
    0x2192: "->",
    0xB1: "+-",
    0x2013: "-",
    0x2014: "-",
    0x2018: "'",
    0x2019: "'",
    0x201C: '"',
    0x201D: '"',
    0xB0: " deg ",
    0xB5: "u",
    0x3BC: "u",
}


def render_check_text(
    results: Sequence[CheckResult],
    style: Style,
    *,
    cause: str | None = None,
    folded: Sequence[str] = (),
    notes: Sequence[Finding] = (),
    is_verbose: bool = False,
) -> str:
    """The answer of `check` for people.

    `cause` leads and `folded` are what it explains; `notes` are findings beside the checks, such as a suppression that
    has expired. With `is_verbose` each finding has its evidence and cures, and what was skipped, suppressed or not
    known has its reason.
    """
    style = replace(style, has_unicode=style.has_unicode and style.has_colour)
    led = next((result for result in results if result.id == cause), None)
    lines: list[str] = []
    if led is not None:
        lines += _lead(led, folded, style)
    left = [one for one in results if one.status in PROBLEMS and one.id != cause]
    if not is_verbose:
        left = [one for one in left if one.id not in folded]
        left = _with_their_symptoms(left)
    lines += _groups(left, folded, style, is_verbose=is_verbose)
    for note in notes:
        lines += _hanging(style.mark(note.status), f"{note.id}: {_words(note.happened, style)}", style, indent=0)
    if is_verbose:
        lines += _uncounted(results, style)
    lines += _presence(results, style)
    lines += _verdict(results, style, has_more=bool(left) and not is_verbose)
    return "\n".join(lines)


def _with_their_symptoms(found: Sequence[CheckResult]) -> list[CheckResult]:
    """The findings beside the cause that nothing else explains; each names what it explains itself."""
    known = {one.id: tuple(id_ for id_ in one.leads if id_ != one.id) for one in found}
    explained = {id_ for ids in known.values() for id_ in ids}
    reached: dict[str, set[str]] = {}
    for root in (one.id for one in found if one.id not in explained):
        waiting, seen = [root], {root}
        while waiting:
            fresh = [id_ for id_ in known.get(waiting.pop(), ()) if id_ in known and id_ not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        reached[root] = seen - {root}
    gone = {id_ for ids in reached.values() for id_ in ids}
    told = []
    for one in found:
        symptoms = [other.id for other in found if other.id in reached.get(one.id, ())]
        words = f"{one.happened} It explains {', '.join(symptoms)}." if symptoms else one.happened
        told += [] if one.id in gone else [replace(one, happened=words)]
    return told


def _lead(result: CheckResult, folded: Sequence[str], style: Style) -> Iterator[str]:
    """The cause in full: what happened, the evidence, the cure, what it explains."""
    label = "cause" if result.status in BAD or folded else "first"
    mark = style.mark(result.status)
    yield style.row(label, style.paint(_words(result.id, style), "strong"), mark)
    yield from style.block("", _words(result.happened, style))
    yield from _detail(result, style)
    if folded:
        yield from style.block("explains", ", ".join(_words(one, style) for one in folded))
    yield style.row("more", f"gpusetup explain {_words(result.id, style)}")


def _detail(result: CheckResult, style: Style) -> Iterator[str]:
    """Evidence and cures, under the labels found, needs, do and risky."""
    for item in fold_evidence(result.evidence):
        yield from _evidence(item, style)
    for label, steps in (("do", result.safe), ("risky", result.risky)):
        for number, step in enumerate(steps):
            yield from _step(label if number == 0 else "", step, style)


# sudo nvidia-smi --gpu-reset    (after all work on it has ended)
def _step(label: str, step: str, style: Style) -> Iterator[str]:
    """A remedy; a command stays on one line, however long, so that it can be copied."""
    command, _, remark = step.partition("    (")
    if _COMMAND.match(step):
        yield from style.row(label, _words(command, style), _words(f"({remark}", style) if remark else "").splitlines()
    else:
        yield from style.block(label, _words(step, style))


def _evidence(item: Evidence, style: Style) -> Iterator[str]:
    found = shown_value(item.name, item.value, item.unit)
    first, *rest = [_words(line, style) for line in found.splitlines()[:_MOST_LINES]] or [""]
    source = f"  ({_words(item.source, style)})" if item.source else ""
    yield from style.block("found", f"{_words(item.name, style)} {first}" + ("" if rest else source))
    for line in rest:
        yield from style.block("", line)
    if rest and source:
        yield from style.block("", source.strip())
    if item.needs is not None:
        yield from style.block("needs", _words(shown_value(item.name, item.needs), style))


def _groups(found: Sequence[CheckResult], folded: Sequence[str], style: Style, *, is_verbose: bool) -> Iterator[str]:
    """The findings by component, the component with the worst one first, and in each the worst first."""
    groups = sorted(by_component(found).items(), key=lambda item: min(map(severity, item[1])))
    for component, group in groups:
        yield style.paint(_words(component, style), "strong")
        for result in sorted(group, key=severity):
            told = " (explained by the cause)" if result.id in folded else ""
            words = f"{_words(result.id, style)}: {_words(result.happened, style)}{told}"
            yield from _hanging(style.mark(result.status), words, style, indent=2)
            if is_verbose:
                deep = 2 + _mark_width(style)
                narrower = replace(style, width=style.width - deep)
                yield from (" " * deep + line for line in _detail(result, narrower))


def _hanging(mark: str, text: str, style: Style, *, indent: int) -> Iterator[str]:
    """A line that begins with its mark; the lines after it stand under its first word."""
    deep = indent + _mark_width(style)
    first, *rest = style.wrapped(text, indent=deep) or [" " * deep]
    yield " " * indent + mark + " " * (deep - indent - shown_length(mark)) + first[deep:]
    yield from rest


def _mark_width(style: Style) -> int:
    """Columns of a mark and the gap after it: one sign, or a word."""
    return 2 if style.has_unicode else 6


_UNCOUNTED: Final[tuple[tuple[FindingStatus, str], ...]] = (
    ("unknown", "unknown: could not be read"),
    ("suppressed", "suppressed: does not count"),
    ("skip", "skipped: does not apply here"),
)


def _uncounted(results: Sequence[CheckResult], style: Style) -> Iterator[str]:
    """What is neither good nor bad with its reason, those of one reason together."""
    for state, title in _UNCOUNTED:
        group = [result for result in results if result.status == state]
        if group:
            yield style.paint(title, "strong")
        reasons: dict[str, list[str]] = {}
        for result in group:
            reason = f"{_words(result.happened, style)}{_suppression(result, style)}"
            reasons.setdefault(reason, []).append(_words(result.id, style))
        for reason, ids in reasons.items():
            first, *rest = style.wrapped(f"{', '.join(ids)}: {reason}", indent=4)
            yield from (first[2:], *rest)


def _suppression(result: CheckResult, style: Style) -> str:
    """` (warn, until 2027-01-31 by ops: waiting for the vendor; site.yaml:3)`; empty for a result that counts."""
    why = result.suppression
    if why is None:
        return ""
    by = f" by {_words(why.by, style)}" if why.by else ""
    place = f"; {_words(why.place, style)}" if why.place else ""
    return f" ({why.was}, until {why.until}{by}: {_words(why.reason, style)}{place})"


def _presence(results: Sequence[CheckResult], style: Style) -> Iterator[str]:
    """Where there is no GPU, most checks are skipped: the reason, in the words of the check that looked for one."""
    if any(result.id == _ANSWERS and result.status != "skip" for result in results):
        return  # WSL has a GPU that is on no bus, and a paste may not tell of the bus
    for result in results:
        if result.id == _PRESENCE and result.status == "skip":
            yield from style.block("gpu", _words(result.happened, style))


def _verdict(results: Sequence[CheckResult], style: Style, *, has_more: bool) -> Iterator[str]:
    """The last line: how all ended. One that says only good things is one short line."""
    counts = count_states(results)
    state: FindingStatus = "pass"
    if any(counts[bad] for bad in BAD):
        state = "fail"
    elif counts["warn"]:
        state = "warn"
    elif counts["unknown"] and not counts["pass"]:
        state = "unknown"
    if has_more:
        yield from style.block("more", "gpusetup check -v shows the evidence and the cure of each")
    words = counted_words(results) or "no check was made"
    if state == "pass" and counts["pass"]:
        rest = counted_words([result for result in results if result.status != "pass"])
        noun = "check" if counts["pass"] == 1 else "checks"
        words = f"{counts['pass']} {noun} passed" + (f", {rest}" if rest else "")
    yield from style.block(style.mark(state), words)


def _words(text: str, style: Style) -> str:
    """A text from a check on one line, without control characters and in what the stream shows."""
    text = plain(text, longest=_LONGEST)
    if style.has_unicode or text.isascii():
        return text
    return text.replace(" \xb0", "\xb0").translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
