"""EDGE: one action of a step, done by a hand; what it replaces is kept first, each failure is an InstallError."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import InstallError
from ..events import Event
from ..plain_text import plain
from ..records import Evidence
from .hand import Standing, Watch
from .journal import write_durably
from .keys import KeyFormatError, binary_key, fingerprint_of
from .managers import MAY_END, argv_of, is_good, rehearsal_of, removed_packages, unwanted_removals
from .records import Kept
from .steps import FetchKey, Packages, RemoveFile, Run, WriteFile
from .words import command_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..events import EventSink
    from .hand import Acted, Hand
    from .journal import Book
    from .records import Child
    from .steps import Action, Step
    from .stopping import Stop

_QUOTED = 20
"""Last lines of a failed command that are shown."""
_REHEARSAL_S = 900.0
"""A rehearsal may fetch the lists first, and waits for the lock like the real thing."""
GO_ON = "gpusetup driver install --resume"
TAKE_BACK = "gpusetup driver undo"


@dataclass(frozen=True, slots=True)
class Work:
    """What every piece of a run needs."""

    book: Book
    hand: Hand
    events: EventSink
    stop: Stop
    may_load: bool = False
    """Whether loading the driver may take the place of a reboot."""

    def note(self, text: str) -> None:
        """One line for the person who waits."""
        self.events(Event("driver", "note", text))

    def watch(self) -> Watch:
        """What happens while a program runs: its lines are shown, its number is in the journal."""
        return Watch(line=self._line, started=self._started, silent=self._silent)

    def _line(self, text: str) -> None:
        self.events(Event("driver", "progress", text))

    def _started(self, child: Child) -> None:
        self.book.change(child=child)

    def _silent(self, seconds: float) -> None:
        self.note(f"nothing has moved for {seconds / 60:.0f} minutes; a package manager is never ended in the middle")


def perform(work: Work, index: int, action: Action, *, is_undo: bool = False) -> None:
    """Do one action of a step, or of its undo, which keeps nothing; InstallError where it fails."""
    step = work.book.journal.steps[index]
    try:
        if isinstance(action, Packages):
            _ask_manager(work, index, action)
        elif isinstance(action, Run):
            if action.asks:
                work.note(f"{command_of(action)} asks {action.asks}")
            command(work, index, action.argv, has_questions=action.asks is not None)
        elif isinstance(action, WriteFile):
            _replace_file(work, index, WantedFile(action.path, action.text.encode(), action.mode), keeps=not is_undo)
        elif isinstance(action, RemoveFile):
            _remove_file(work, index, action.path, keeps=not is_undo)
        elif isinstance(action, FetchKey):
            _replace_file(work, index, WantedFile(action.path, checked_key(work.hand, action)), keeps=not is_undo)
        else:
            raise TypeError(action)
    except OSError as err:
        raise InstallError(
            f"Step {step.id} failed: {command_of(action)}: {err.strerror or err}.",
            code="step-failed",
            evidence=(Evidence(str(err.filename or getattr(action, "path", "")), err.strerror, source="file system"),),
            do=_after_failure(),
        ) from err


# --- commands -----------------------------------------------------------------------------------


def _ask_manager(work: Work, index: int, action: Packages) -> None:
    _refuse_unwanted(work, index, action)
    command(work, index, argv_of(action))


def _refuse_unwanted(work: Work, index: int, action: Packages) -> None:
    """InstallError when the package manager would remove packages that the step does not name."""
    rehearsal = rehearsal_of(action)
    if rehearsal is None:
        return
    step = work.book.journal.steps[index]
    said = work.hand.ask(rehearsal, deadline_s=_REHEARSAL_S)
    if said.failure or said.timed_out:
        raise InstallError(
            f"Step {step.id} was not run, because its rehearsal gave no answer: {' '.join(rehearsal)}.",
            code="step-failed",
            evidence=(Evidence("rehearsal", said.failure or "timed out", source=" ".join(rehearsal)),),
            do=_after_failure(),
        )
    unwanted = unwanted_removals(step, action, removed_packages(action.manager, said.stdout))
    if unwanted:
        shown = ", ".join(plain(name) for name in unwanted[:_QUOTED])
        raise InstallError(
            f"Step {step.id} would remove packages that the plan does not name: {shown}.",
            code="would-remove-packages",
            evidence=(Evidence("would be removed", unwanted, source=" ".join(rehearsal)),),
            do=(f"see what needs them: {' '.join(rehearsal)}", *_after_failure()),
        )


def command(work: Work, index: int, argv: Sequence[str], *, has_questions: bool = False) -> None:
    """Run one command of a step with its output in the log; InstallError quotes what it said last."""
    log = work.book.log(index)
    hand, may_end = work.hand, argv[0] in MAY_END
    acted = hand.converse(argv) if has_questions else hand.act(argv, log, work.watch(), may_end=may_end)
    if work.book.journal.child is not None:
        work.book.change(child=None)
    if acted.failure or not is_good(argv[0], acted.returncode):
        raise _failed(work.book.journal.steps[index], argv, acted, log)


def _failed(step: Step, argv: Sequence[str], acted: Acted, log: Path) -> InstallError:
    text = " ".join(argv)
    ended = acted.failure or (
        f"it was ended by signal {-acted.returncode}"
        if acted.returncode is not None and acted.returncode < 0
        else f"it ended with status {acted.returncode}"
    )
    return InstallError(
        f"Step {step.id} failed: `{_short(argv)}`: {ended}.",
        code="step-failed",
        evidence=(
            Evidence("command", text),
            Evidence("exit status", acted.returncode),
            Evidence("output", "\n".join(plain(line) for line in acted.lines[-_QUOTED:]), source=argv[0]),
            Evidence("log", str(log)),
        ),
        do=_after_failure(),
    )


def _short(argv: Sequence[str]) -> str:
    """The beginning of a command without options: enough to know it by, the whole stands in the evidence."""
    words = [word for word in argv[1:] if not word.startswith("-") and "::" not in word]
    return plain(" ".join([argv[0], *words]), longest=80)


def _after_failure() -> tuple[str, ...]:
    return (f"{GO_ON}    (once the cause is mended)", f"{TAKE_BACK}    (takes back what was done)")


# --- keys ---------------------------------------------------------------------------------------


def checked_key(hand: Hand, action: FetchKey) -> bytes:
    """The bytes of a fetched key for its keyring, once its fingerprint is the pinned one; InstallError else."""
    try:
        raw = hand.fetch(action.url)
    except OSError as err:
        raise InstallError(
            f"The signing key {action.url} could not be fetched: {err.strerror or err}.",
            code="key-not-fetched",
            evidence=(Evidence(action.url, str(err.strerror or err), source="network"),),
            do=("check the network and proxies, then: " + GO_ON,),
        ) from err
    try:
        found = fingerprint_of(raw)
        is_apt = action.path.endswith(".gpg")
        content = binary_key(raw) if is_apt else raw
    except KeyFormatError as err:
        raise _mismatch(action, f"no public key: {err}") from err
    if found != action.fingerprint.upper():
        raise _mismatch(action, found)
    told = hand.second_opinion(raw)
    if told is not None and told != (found,):
        raise _mismatch(action, f"by gpg: {', '.join(told) or 'no key'}")
    return content


def _mismatch(action: FetchKey, found: str) -> InstallError:
    return InstallError(
        f"The signing key at {action.url} is not the one that the plan pins; it was not installed.",
        code="key-fingerprint-mismatch",
        evidence=(Evidence("fingerprint", found, source=action.url, needs=action.fingerprint),),
        do=("a proxy that changes downloads, or a key that was replaced: compare with what NVIDIA publishes",),
    )


# --- files --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file as a step wants it."""

    path: str
    content: bytes
    mode: int = 0o644


def _replace_file(work: Work, index: int, file: WantedFile, *, keeps: bool) -> None:
    there = work.hand.standing(file.path)
    if (there.content, there.mode) == (file.content, file.mode):
        return
    if keeps:
        _keep(work, index, file.path, there, hashlib.sha256(file.content).hexdigest())
    work.hand.write(file.path, file.content, file.mode)


def _remove_file(work: Work, index: int, path: str, *, keeps: bool) -> None:
    there = work.hand.standing(path)
    if there == Standing():
        return
    if keeps:
        _keep(work, index, path, there, None)
    work.hand.remove(path)


def _keep(work: Work, index: int, path: str, there: Standing, sha256: str | None) -> None:
    """Have what stands at a path in the journal before it is changed; what a broken run has kept already stays."""
    entry = work.book.entry(index)
    known = next((kept for kept in entry.kept if kept.path == path), None)
    if known is not None:
        if known.sha256 != sha256:
            changed = tuple(replace(kept, sha256=sha256) if kept is known else kept for kept in entry.kept)
            work.book.mark(index, kept=changed)
        return
    backup = None
    if there.content is not None:
        backup = f"{index + 1:02}-{len(entry.kept) + 1}.kept"
        write_durably(work.book.folder / backup, there.content, mode=0o600)
    missing = work.hand.missing_folders(path)
    kept = Kept(path, backup, there.link, there.mode, there.owner, sha256, missing)
    work.book.mark(index, kept=(*entry.kept, kept))


def restore(work: Work, kept: Kept) -> str | None:
    """Put back what stood at a path; a sentence where it is left alone because somebody changed it since."""
    there = work.hand.standing(kept.path)
    before = (work.book.folder / kept.backup).read_bytes() if kept.backup else None
    if (there.content, there.link) == (before, kept.link):
        return None
    ours = None if there.content is None else hashlib.sha256(there.content).hexdigest()
    if there.link is not None or ours not in (None, kept.sha256):
        return f"{kept.path} was changed since and is left alone"
    if before is not None:
        work.hand.write(kept.path, before, 0o644 if kept.mode is None else kept.mode, kept.owner)
    elif kept.link is not None:
        work.hand.link(kept.path, kept.link)
    else:
        work.hand.remove(kept.path, kept.made_folders)
    return None
