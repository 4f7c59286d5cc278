"""Starts the harness in the target environment, follows its progress, and never leaves it behind."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
import zipfile
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from typing import IO, TYPE_CHECKING, Any

from harness import contract

from ..errors import HarnessError
from ..records import Evidence
from .workplace import workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SILENCE_S = 300.0
TOTAL_S = 3600.0
GRACE_S = 10.0
KILL_S = 5.0
"""Seconds that a child has after SIGKILL; one that is still there is stuck in the kernel and is abandoned."""
TAIL_LINES = 20
LONGEST_LINE = 64 * 1024
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Oldest time that a zip file can state, so that equal sources give an equal file."""

PASSED_ON = (
    "PATH", "HOME", "TMPDIR", "USER", "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
)  # fmt: skip
"""Variables of the caller that the child sees. The loader path stays: WSL and Nix find libcuda through it."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long to wait, seconds."""

    silence_s: float = SILENCE_S
    """Without any output."""
    total_s: float = TOTAL_S
    grace_s: float = GRACE_S
    """Between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of progress. Fields that an event does not have are None."""

    event: str
    """phase, step, eval or note."""
    name: str | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    text: str | None = None
    """Of a note, and of a line that is not progress."""


def launch(
    python: str,
    job: contract.Job,
    *,
    on_progress: Callable[[Progress], None],
    deadlines: Deadlines | None = None,
    environment: Mapping[str, str] | None = None,
    visible_devices: str | None = None,
) -> contract.Report:
    """The report of `job`, run by the interpreter `python` of the target environment.

    `environment` is the caller's (None: this process's); only a few of its variables reach the child.
    `visible_devices` limits it to some GPUs, where the caller has not done so. Raises HarnessError when there is no
    report; on any exception the child and its whole process group are gone.
    """
    with workplace() as (place, in_use):
        report_path = place / "report.json"
        archive = build_archive(place)
        contract.write(job, str(place / "job.json"))
        argv = command(python, str(archive), str(place / "job.json"), str(report_path))
        seen = os.environ if environment is None else environment
        given = child_environment(job, seen)
        if visible_devices is not None:
            given.setdefault("CUDA_VISIBLE_DEVICES", visible_devices)
        child = _start(argv, given, place, in_use)
        tail = _follow(child, on_progress, deadlines or Deadlines())
        return _read_report(report_path, child, tail)


def command(python: str, archive: str, job: str, report: str) -> list[str]:
    """The argv that runs the harness; the same in an environment and in a container."""
    # -I: neither PYTHONPATH, nor the user's site, nor the current folder reaches the run.
    return [python, "-I", "-u", archive, "--job", job, "--report", report]


def child_environment(job: contract.Job, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the child sees."""
    kept = {name: environment[name] for name in PASSED_ON if name in environment}
    kept |= {"LC_ALL": "C.UTF-8", "HF_HUB_OFFLINE": "1"}
    if job.device == "cpu":
        kept["OMP_WAIT_POLICY"] = "PASSIVE"
    return kept


def build_archive(folder: Path) -> Path:
    """The harness as a zip application in the folder; equal sources give an equal file."""
    package = contract.__name__.rpartition(".")[0]
    start = f"from {package}.__main__ import main\n\nraise SystemExit(main())\n"
    members = {"__main__.py": start.encode()}
    for source in resources.files(package).iterdir():
        if source.name.endswith(".py"):
            members[f"{package}/{source.name}"] = source.read_bytes()
    archive = folder / "harness.pyz"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            written.writestr(entry, members[name])
    return archive


def parse_progress(line: str) -> Progress:
    """One line of the child's stdout; whatever is not progress becomes a note."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("event"), str):
        return Progress("note", text=line)

    def typed(name: str, *kinds: type) -> Any:
        value = content.get(name)
        return value if type(value) in kinds else None

    return Progress(
        event=content["event"],
        name=typed("name", str),
        step=typed("step", int),
        steps=typed("steps", int),
        loss=typed("loss", float, int),
        accuracy=typed("accuracy", float, int),
        text=typed("text", str),
    )


# --- the child ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lines:
    """Cuts a stream of bytes into lines; a line without an end is cut at LONGEST_LINE."""

    rest: bytes = b""

    def take(self, piece: bytes) -> list[str]:
        *lines, self.rest = (self.rest + piece).split(b"\n")
        if len(self.rest) > LONGEST_LINE:
            lines, self.rest = [*lines, self.rest], b""
        return [line[:LONGEST_LINE].decode("utf-8", "replace") for line in lines]


@dataclass(slots=True)
class _Tail:
    """The last lines of stderr, unfinished one included."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    cut: _Lines = field(default_factory=_Lines)

    def take(self, piece: bytes) -> None:
        self.lines.extend(self.cut.take(piece))

    def text(self) -> str:
        last = self.cut.rest.decode("utf-8", "replace")
        return "\n".join([*self.lines, *([last] if last else [])][-TAIL_LINES:])


def _start(argv: list[str], environment: dict[str, str], folder: Path, in_use: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,
            pass_fds=(in_use,),
        )
    except OSError as err:
        raise HarnessError(
            f"The interpreter of the target environment cannot be started: {err.strerror or err}.",
            evidence=(Evidence("interpreter", argv[0], source=str(err)),),
            do=("gpusetup install",),
        ) from err


def _follow(child: subprocess.Popen[bytes], on_progress: Callable[[Progress], None], deadlines: Deadlines) -> _Tail:
    """Reads both streams until the child ends; on any exception and at the end its group is ended."""
    tail = _Tail()
    grace_s = deadlines.grace_s
    try:
        expired = _read_until_end(child, on_progress, deadlines, tail)
        if expired is None:
            grace_s = 0.0
    finally:
        survived = _end(child, grace_s)
        for stream in (child.stdout, child.stderr):
            _open(stream).close()
    if expired is not None:
        ending = f" {survived}" if survived else ""
        raise HarnessError(
            f"The acceptance run was ended: {expired}.{ending}",
            code="harness-timed-out",
            evidence=(Evidence("stderr, last lines", tail.text()),),
            do=("gpusetup check", "gpusetup accept --json"),
        )
    return tail


def _read_until_end(
    child: subprocess.Popen[bytes],
    on_progress: Callable[[Progress], None],
    deadlines: Deadlines,
    tail: _Tail,
) -> str | None:
    """None when the child has ended, else which deadline expired."""
    out = _Lines()
    began = heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for stream in (child.stdout, child.stderr):
            selector.register(_open(stream), selectors.EVENT_READ)
        while selector.get_map():
            now = time.monotonic()
            if now - heard > deadlines.silence_s:
                return f"it was silent for {deadlines.silence_s:g} s"
            if now - began > deadlines.total_s:
                return f"it took longer than {deadlines.total_s:g} s"
            left = min(heard + deadlines.silence_s, began + deadlines.total_s) - now
            for key, _ in selector.select(max(0.0, min(left, 0.5)) + 0.01):
                piece = os.read(key.fd, 65536)
                if not piece:
                    selector.unregister(key.fileobj)
                    continue
                heard = time.monotonic()
                if key.fileobj is child.stderr:
                    tail.take(piece)
                else:
                    for line in out.take(piece):
                        on_progress(parse_progress(line))
            if child.poll() is not None and not selector.select(0):
                # Somebody else may still hold the pipes; the run itself is over.
                return None
    return _wait_for_exit(child, deadlines)


def _wait_for_exit(child: subprocess.Popen[bytes], deadlines: Deadlines) -> str | None:
    """After both streams are closed the child has the time of a silence to end."""
    try:
        child.wait(deadlines.silence_s)
    except subprocess.TimeoutExpired:
        return f"it closed its output and did not end within {deadlines.silence_s:g} s"
    return None


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - both were asked for as pipes
    return stream


def _end(child: subprocess.Popen[bytes], grace_s: float) -> str | None:
    """Ends the process group; a sentence when something is left that cannot be ended."""
    try:
        if child.poll() is None and grace_s > 0:
            _signal_group(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(grace_s)
    finally:
        # Also when a second Ctrl-C cuts the grace short, and for processes that the child itself left behind.
        _signal_group(child.pid, signal.SIGKILL)
    try:
        child.wait(KILL_S)
    except subprocess.TimeoutExpired:
        return f"Process {child.pid} survived SIGKILL and was left behind."
    return None


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _read_report(path: Path, child: subprocess.Popen[bytes], tail: _Tail) -> contract.Report:
    evidence = (
        Evidence("exit status", child.returncode, needs=0),
        Evidence("stderr, last lines", tail.text()),
    )
    try:
        return contract.read_report(str(path))
    except FileNotFoundError as err:
        raise HarnessError(
            f"The acceptance run ended without a report, {_worded_status(child.returncode)}.",
            evidence=evidence,
            do=("gpusetup install", "gpusetup check"),
        ) from err
    except (contract.ContractError, OSError) as err:
        raise HarnessError(f"The report of the acceptance run cannot be read: {err}", evidence=evidence) from err


def _worded_status(status: int | None) -> str:
    if status is not None and status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exit status {status}"
