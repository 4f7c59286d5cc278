"""`gpusetup check`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..check_states import is_bad
from ..cli import emit
from ..documents.check import check_data
from ..documents.envelope import Outcome
from ..errors import ExitCode, GpusetupError, UsageError
from ..gate import require_gpus
from ..records import Request
from ..selection import LEVELS, Level, Selection, patterns_of, select
from .options import json_option, require_gpu_option, require_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..doctor import Seen, Visit
    from ..documents.check import CatalogueRow
    from ..examined import Examined
    from ..fixing import Offer
    from ..records import Applied, Finding
    from ..suppressions import SuppressionEntry

_FILE: Final = click.Path(path_type=Path)


class _CheckCommand(click.Command):
    """A command whose every end is a line for Nagios with --nagios, also where its words do not fit together."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        words = list(args)  # click takes them away one by one
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as err:
            if "--nagios" not in words or parent is None:
                raise
            raise click.exceptions.Exit(_say_unknown(parent, err.format_message())) from err


@click.command(cls=_CheckCommand, epilog="\b\nExample:\n  gpusetup check --require-gpu --skip gpu.compute_mode")
@click.option("--level", type=click.Choice(LEVELS), help="How much checking may cost [default: quick].")
@click.option("--only", multiple=True, metavar="ID", help="These checks: ids, components (gpu), patterns ('gpu.*').")
@click.option("--skip", multiple=True, metavar="ID", help="Not these; both may be repeated, or hold commas.")
@click.option("--list", "is_list", is_flag=True, help="Show the checks instead of making them.")
@click.option(
    "--from",
    "from_",
    metavar="FILE",
    help="A machine that is not this one: a snapshot, or what plan --from takes; - is stdin.",
)
@click.option("--env", type=_FILE, metavar="PATH", help="Also check the packages of this environment; it is only read.")
@click.option("--expect", type=_FILE, metavar="FILE", help="Hold the box against this file of expectations too.")
@click.option("--expect-gpus", type=click.IntRange(min=0), metavar="N", help="How many GPUs the box should have.")
@click.option(
    "--host-class",
    type=click.Choice(["login-node", "cpu-only"]),
    help="What the box is for, where nothing tells: checks that mean nothing there are left out.",
)
@click.option("--since-boot", is_flag=True, help="Judge counters since the boot, not since the check before.")
@click.option(
    "--suppressions",
    metavar="FILE",
    help="Known results that do not count until a day; none for no file [default: GPUSETUP_SUPPRESSIONS, else "
    "gpusetup/suppressions.yaml in the user's configuration].",
)
@require_gpu_option
@click.option("--fix", is_flag=True, help="Offer the safe remedies that mend something one by one, then check again.")
@click.option("--yes", is_flag=True, help="Agree to everything that --fix offers.")
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Also write JUnit XML.")
@click.option("--prometheus", type=_FILE, metavar="FILE", help="Also write a file for node_exporter's textfile folder.")
@click.option("--nagios", is_flag=True, help="One line, exit 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN.")
@click.option("-v", "--verbose", is_flag=True, help="Evidence and cure of each finding; why others were left out.")
@json_option
@click.pass_context
def check(context: click.Context, /, **words: Any) -> int:
    """The doctor: what is wrong with the GPU set-up here, and the cure."""
    try:
        return _check(context, words)
    except GpusetupError as err:
        if not words["nagios"] or context.find_root().obj.wants_json:
            raise
        return _say_unknown(context, f"{err.code}: {err.happened}")


def _check(context: click.Context, words: dict[str, Any]) -> int:
    from ..doctor import examine

    console: Any = context.find_root().obj
    if words["nagios"] and console.wants_json:
        raise UsageError("--nagios prints one line and --json one document: they exclude each other.")
    if words["is_list"]:
        return _list(context, _chosen(_selection(words, default="deep")))
    selection = _selection(words, default="quick")
    chosen = {row.id for row in _chosen(selection)}
    require_writable("--junit", words["junit"])
    require_writable("--prometheus", words["prometheus"])
    entries = _suppressions(words["suppressions"])
    _require_fixable(words, console)
    seen = seen_of(words["from_"], _visit(words, selection.level))
    examined, notes = examine(seen, chosen, entries, expectation=words["expect"])
    applied = _fixed(examined, console, is_agreed=words["yes"]) if words["fix"] else ()
    if any(one.is_done for one in applied):
        seen = seen_of(None, _visit(words, selection.level))
        examined, notes = examine(seen, chosen, entries, expectation=words["expect"])
    for note in seen.notes:
        console.note(note)
    is_written = _write_files(words, examined, console)
    has_failed = is_bad(examined.results, is_strict=words["strict"]) or bool(words["strict"] and notes)
    request = Request(require_gpu=words["require_gpu"] or 0)
    if words["nagios"]:
        return _nagios(context, examined, request)
    require_gpus(examined.machine, request, examined.findings)
    code = ExitCode.FAILED if has_failed or not is_written else ExitCode.OK
    return emit(context, _outcome(examined, notes, console, words, seen=seen, code=code, applied=applied))


def _selection(words: dict[str, Any], *, default: Any) -> Selection:
    return Selection(words["level"] or default, patterns_of(words["only"]), patterns_of(words["skip"]))


def _chosen(selection: Selection) -> tuple[CatalogueRow, ...]:
    """The chosen checks; words may name a check of any level, so that they are looked up among all."""
    from ..doctor import catalogue

    has_words = bool(selection.only or selection.skip)
    return select(catalogue("deep" if has_words else selection.level), selection)


def _require_fixable(words: dict[str, Any], console: Any) -> None:
    """UsageError where --fix could not ask, or would mend another machine than the one that was looked at."""
    if words["yes"] and not words["fix"]:
        raise UsageError("--yes: found it without --fix, expected both: it agrees to what --fix offers.")
    if not words["fix"]:
        return
    if words["from_"] is not None:
        raise UsageError("--fix: found it beside --from, expected one of them: only this machine can be mended.")
    if words["nagios"]:
        raise UsageError("--fix: found it beside --nagios, expected one of them.")
    if not words["yes"] and (console.wants_json or not sys.stdin.isatty()):
        raise UsageError("--fix: found no terminal to ask at, expected --yes beside it.")


def _fixed(examined: Examined, console: Any, *, is_agreed: bool) -> tuple[Applied, ...]:
    """Offer every safe remedy that mends something, run those that are wanted, and log them."""
    from ..fixing import fix, offers, write_log
    from ..paths import fix_log
    from ..process import run

    def agrees(offer: Offer) -> bool:
        console.note(f"{offer.check}: {offer.command}\n  undone by: {offer.undo}")
        return is_agreed or click.confirm("Run it?", default=False, err=True)

    found = offers(examined.results)
    if not found:
        is_healthy = not is_bad(examined.results, is_strict=True)
        left = "No safe remedy here is a command that mends something; what is left is for a person to decide."
        console.note("There is nothing to mend." if is_healthy else left)
        return ()
    done = fix(found, run, agrees)
    for one in done:
        console.note(f"{'done' if one.is_done else 'not done'}: {one.command}: {one.said}")
    try:
        write_log(fix_log(), done)
    except OSError as err:
        console.note(f"{fix_log()}: what was run could not be logged: {err.strerror}")
    return done


def _visit(words: dict[str, Any], level: Level) -> Visit:
    from ..doctor import Visit

    return Visit(
        level=level,
        env=environment_to_read(words["env"]),
        expected_gpus=words["expect_gpus"],
        declared=frozenset({words["host_class"]} if words["host_class"] else ()),
        is_since_boot=words["since_boot"],
    )


def seen_of(from_: str | None, visit: Visit) -> Seen:
    """The machine that is meant, this one or that of --from, with everything that the checks look at."""
    from ..doctor import see_examined, see_host
    from ..examined import Examined, load_default_matrix, require_linux

    if from_ is None:
        require_linux()
        return see_host(visit)
    if visit.env is not None:
        raise UsageError("--env: found it beside --from, expected one of them: an environment is read where it is.")
    from .machines import examined_or_fleet

    found = examined_or_fleet({"from_": from_}, load_default_matrix())
    if not isinstance(found, Examined):
        raise UsageError("--from: found many machines, expected one: a check is of one machine at a time.")
    return see_examined(found, visit)


def environment_to_read(named: Path | None) -> Path | None:
    """The absolute path of a folder that --env names; UsageError when it is none."""
    if named is None:
        return None
    if not named.is_dir():
        raise UsageError(f"--env: {named}: found no folder, expected a virtual environment or a conda environment.")
    return named.absolute()


def _suppressions(named: str | None) -> tuple[SuppressionEntry, ...]:
    from ..paths import suppressions_file

    path = suppressions_file(named)
    if path is None:
        return ()
    from ..doctor import catalogue
    from ..suppressions import load_suppressions

    return load_suppressions(path, known=[row.id for row in catalogue()])


def _write_files(words: dict[str, Any], examined: Examined, console: Any) -> bool:
    """Write what --junit and --prometheus ask for; a file that can't be written is noted, and the command fails."""
    texts: list[tuple[Path, str]] = []
    now = time.time()
    if words["junit"]:
        from ..report.check_junit import render_check_junit

        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        texts.append((words["junit"], render_check_junit(examined.results, timestamp=stamp, is_strict=words["strict"])))
    if words["prometheus"]:
        from ..report.check_prometheus import render_check_prometheus

        texts.append(
            (words["prometheus"], render_check_prometheus(examined.results, taken_at=now, cause=examined.cause))
        )
    written = [_write(path, text, console) for path, text in texts]
    return all(written)


def _write(path: Path, text: str, console: Any) -> bool:
    from ..paths import write_whole

    try:
        write_whole(path, text)
    except OSError as err:
        console.note(f"{path} could not be written: {err.strerror}")
        return False
    return True


def _outcome(
    examined: Examined,
    notes: tuple[Finding, ...],
    console: Any,
    words: dict[str, Any],
    *,
    seen: Seen,
    code: ExitCode,
    applied: Sequence[Applied] = (),
) -> Outcome:
    from ..report.check_text import render_check_text

    data = check_data(
        examined.results,
        cause=examined.cause,
        level=seen.level,
        folded=examined.folded,
        environment_classes=sorted(seen.facts.classes),
        applied=applied,
    )
    text = render_check_text(
        examined.results,
        console.out,
        cause=examined.cause,
        folded=examined.folded,
        notes=notes,
        is_verbose=words["verbose"],
    )
    findings = (*examined.findings, *notes)
    return Outcome("gpusetup.check/1", "check", data, findings, code, text=text, has_findings_in_text=True)


def _list(context: click.Context, rows: Sequence[CatalogueRow]) -> int:
    from ..documents.check import check_list
    from ..report.check_list import render_check_list

    console: Any = context.find_root().obj
    listed = check_list(rows)
    return emit(context, Outcome("gpusetup.check-list/1", "check", listed, text=render_check_list(listed, console.out)))


def _nagios(context: click.Context, examined: Examined, request: Request) -> int:
    from ..report.check_nagios import nagios_line, render_check_nagios

    line, code = render_check_nagios(examined.results, cause=examined.cause, folded=examined.folded)
    try:
        require_gpus(examined.machine, request, examined.findings)
    except GpusetupError as err:
        line, code = nagios_line(2, f"{err.happened} {line.partition(' - ')[2].partition(' | ')[0]}"), 2
    emit(context, Outcome("gpusetup.check/1", "check", text=line, has_findings_in_text=True))
    return code


def _say_unknown(context: click.Context, message: str) -> int:
    from ..report.check_nagios import nagios_line

    emit(context, Outcome("gpusetup.check/1", "check", text=nagios_line(3, message), has_findings_in_text=True))
    return 3


COMMAND = check
