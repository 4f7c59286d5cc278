"""The envelope that every document travels in, and reading documents from files."""

from __future__ import annotations

import codecs
import json
import os
import select
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from .. import __version__
from ..errors import ExitCode, GpusetupError, InputError
from ..records import Evidence, Finding
from .check import CheckData, Remedy
from .codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Largest document that is read; a report of a large box is well under 1 MiB.
MAX_DOCUMENT_BYTES = 64 * 2**20

#: Longest time in seconds that a pipe may say nothing: a vendor tool on a busy remote machine takes some.
MOST_SILENCE_S = 60.0

Status = Literal["ok", "failed", "degraded"]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding as documents show it."""

    id: str
    status: Literal["pass", "warn", "fail", "skip", "unknown", "crashed", "timed-out", "suppressed"]
    happened: str
    evidence: tuple[Evidence, ...]
    do: Remedy
    more: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command ends with, before anything is printed."""

    schema: str
    """Name and version: gpusetup.plan/1."""
    command: str
    data: Any = None
    findings: tuple[Finding, ...] = ()
    exit_code: ExitCode = ExitCode.OK
    is_degraded: bool = False
    text: str = ""
    """The answer for people; empty where the findings say it all."""
    has_findings_in_text: bool = False
    """Whether the text already shows the findings."""
    is_compact: bool = False
    """Whether the document is too large for anybody to read: then it is written on one line, in a tenth of the time."""

    @property
    def status(self) -> Status:
        """ok, degraded or failed."""
        if self.exit_code is not ExitCode.OK:
            return "failed"
        return "degraded" if self.is_degraded else "ok"

    def with_text(self, text: str) -> Outcome:
        """The same outcome with its answer for people."""
        return replace(self, text=text)


def finding_row(finding: Finding) -> FindingRow:
    """The finding with its pointer to the manual."""
    return FindingRow(
        id=finding.id,
        status=finding.status,
        happened=finding.happened,
        evidence=finding.evidence,
        do=Remedy(finding.safe, finding.risky),
        more=f"gpusetup explain {finding.id}",
    )


def finding_of(error: GpusetupError) -> Finding:
    """The error as a finding."""
    return Finding(error.code, "fail", error.happened, error.evidence, error.do, error.risky)


def document(outcome: Outcome) -> dict[str, Any]:
    """The JSON document of an outcome."""
    return {
        "schema": outcome.schema,
        "gpusetup": __version__,
        "command": outcome.command,
        "status": outcome.status,
        "exit_code": int(outcome.exit_code),
        "data": encode(outcome.data),
        "findings": [encode(finding_row(finding)) for finding in outcome.findings],
    }


def dumps(value: Any, *, is_ascii: bool = False, is_compact: bool = False) -> str:
    """Indented JSON text (compact: one line) with a final newline; not-a-number can't get in.

    A path that is not UTF-8 holds surrogates: they are written as JSON escapes, so that the text can always be encoded.
    """
    text = json.dumps(value, indent=None if is_compact else 2, ensure_ascii=is_ascii, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document that was read."""

    schema: str
    gpusetup: str
    status: str
    exit_code: int
    data: Any
    findings: tuple[Finding, ...]


def parse_json(text: str, *, origin: str) -> Any:
    """The JSON value of a text; InputError with line and column otherwise."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as err:
        raise InputError(f"{origin}: line {err.lineno} column {err.colno}: not JSON: {err.msg}") from err
    except ValueError as err:
        raise InputError(f"{origin}: it holds a number with more digits than any fact has") from err
    except RecursionError as err:
        raise InputError(f"{origin}: nested too deeply to be a gpusetup document") from err


def read_text(path: Path, *, limit: int = MAX_DOCUMENT_BYTES) -> str:
    """The text of a regular file; InputError when it can't be read, is too large or is not UTF-8."""
    try:
        mode = path.stat().st_mode
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise InputError(f"{path}: no file can have this name") from err
    if not stat.S_ISREG(mode):  # reading a pipe or a device might never end
        raise InputError(f"{path}: cannot be read: {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}")
    return decode_text(read_bytes(path, limit=limit), origin=str(path))


def read_bytes(path: Path, *, limit: int = MAX_DOCUMENT_BYTES, silence_s: float = MOST_SILENCE_S) -> bytes:
    """What a file or a pipe holds; InputError when it can't be read or is too large.

    A pipe (`mkfifo`, or the shell's `<(...)`) is read while somebody writes to it, with a limit on silence: one that
    nobody has open for writing has nothing to say. Devices and sockets are refused: reading one might never end.
    """
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )  # a pipe's open waits for a writer
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISFIFO(mode):
                raw = _read_pipe(descriptor, path, limit=limit, silence_s=silence_s)
            elif stat.S_ISREG(mode):
                with open(descriptor, "rb", closefd=False) as stream:
                    raw = stream.read(limit + 1)
            else:
                what = "a folder" if stat.S_ISDIR(mode) else "a device or socket, neither a file nor a pipe"
                raise InputError(f"{path}: cannot be read: {what}")
        finally:
            os.close(descriptor)
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise InputError(f"{path}: no file can have this name") from err
    if len(raw) > limit:
        raise InputError(f"{path}: larger than {limit} bytes; this is no gpusetup document")
    return raw


def _read_pipe(descriptor: int, path: Path, *, limit: int, silence_s: float) -> bytes:
    """What is written to a pipe until its writers close it; at most one byte more than the limit."""
    poll, raw = select.poll(), bytearray()
    poll.register(descriptor, select.POLLIN)
    while len(raw) <= limit:
        try:
            part = os.read(descriptor, min(limit + 1 - len(raw), 65536))
        except BlockingIOError as err:  # somebody has it open for writing and has not written yet
            if not poll.poll(silence_s * 1000):
                what = f"{path}: this pipe said nothing for {silence_s:g} s"
                raise InputError(what, do=("write the output to a file",)) from err
            continue
        if not part:
            break
        raw += part
    if not raw:
        raise InputError(
            f"{path}: nobody writes to this pipe, or nothing was written",
            do=("start the program that writes to it first", "or pipe its output in: ... | gpusetup plan --from -"),
        )
    return bytes(raw)


def decode_text(raw: bytes, *, origin: str) -> str:
    """The text of UTF-8 bytes, with or without a byte order mark; InputError names the first byte that is not."""
    try:
        return raw.decode().removeprefix(codecs.BOM_UTF8.decode())
    except UnicodeDecodeError as err:
        raise InputError(f"{origin}: not UTF-8 text (byte {err.start})") from err


def load_document(text: str, *, origin: str, expect: str) -> Loaded:
    """A document of schema `gpusetup.<expect>/1`; InputError names place, found and expected."""
    from ..acceptance import Acceptance
    from ..records import Machine
    from .plan import PlanData
    from .receipt import ReceiptData
    from .report_data import ReportData

    kinds: dict[str, Any] = {
        "machine": Machine,
        "check": CheckData,
        "plan": PlanData,
        "receipt": ReceiptData,
        "acceptance": Acceptance,
        "report": ReportData,
    }
    value = parse_json(text, origin=origin)
    if not isinstance(value, dict) or not isinstance(value.get("schema"), str):
        raise InputError(f"{origin}: no field 'schema'; expected a document gpusetup.{expect}/1")
    if value["schema"] != f"gpusetup.{expect}/1":
        raise InputError(f"{origin}: schema: expected 'gpusetup.{expect}/1', found {value['schema']!r}")
    data = value.get("data")
    rows = decode(tuple[FindingRow, ...], value.get("findings", []), where=f"{origin}: findings")
    return Loaded(
        schema=value["schema"],
        gpusetup=decode(str, value.get("gpusetup", ""), where=f"{origin}: gpusetup"),
        status=decode(str, value.get("status", "failed"), where=f"{origin}: status"),
        exit_code=decode(int, value.get("exit_code", 0), where=f"{origin}: exit_code"),
        data=None if data is None else decode(kinds[expect], data, where=f"{origin}: data"),
        findings=findings_of(rows),
    )


def findings_of(rows: Sequence[FindingRow]) -> tuple[Finding, ...]:
    """Findings of a document's rows."""
    return tuple(Finding(r.id, r.status, r.happened, r.evidence, r.do.safe, r.do.risky) for r in rows)
