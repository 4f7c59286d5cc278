"""Which machine a command is about: this one, a file, or one that was typed in (EDGE)."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..documents.envelope import MAX_DOCUMENT_BYTES, decode_text, parse_json, read_bytes
from ..errors import InputError
from ..pipeline import Examined, examine_host, examine_paste
from ..typed import filled, machine_from_document, machine_from_words, require_fillable
from .options import typed_machine_of

if TYPE_CHECKING:
    from ..matrix.tables import Matrix
    from ..typed import TypedMachine


def examined_of(words: dict[str, Any], matrix: Matrix) -> Examined:
    """The machine that the command line means."""
    typed = typed_machine_of(words)
    named = words.get("from_")
    if named:
        require_fillable(typed)
        return _from_file(named, matrix, typed)
    if not typed.is_empty():
        return Examined(machine_from_words(typed, matrix))
    return examine_host()


def _from_file(name: str, matrix: Matrix, typed: TypedMachine) -> Examined:
    origin = "standard input" if name == "-" else name
    text = _decoded(_read(name), origin=origin)
    if not text.lstrip().startswith("{"):
        from ..pasted import machine_from_paste

        machine = machine_from_paste(text, matrix, origin=origin)
        return examine_paste(filled(machine, typed, matrix, origin=origin))
    value = parse_json(text, origin=origin)
    if "schema" not in value:
        return Examined(machine_from_document(value, matrix, origin=origin, words=typed))
    schema = str(value["schema"])
    data = value.get("data")
    if schema == "gpusetup.report/1" and isinstance(data, dict):
        data = data.get("machine")
    elif schema != "gpusetup.machine/1":
        raise InputError(f"{origin}: schema: expected 'gpusetup.machine/1', found {schema!r}")
    return Examined(machine_from_document(data, matrix, origin=origin, words=typed))


def _read(name: str) -> bytes:
    if name != "-":
        return read_bytes(Path(name))
    raw = sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1)
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise InputError(f"standard input: larger than {MAX_DOCUMENT_BYTES} bytes; this is no gpusetup document")
    return raw


def _decoded(raw: bytes, *, origin: str) -> str:
    """The text of a file. Windows shells redirect in UTF-16; a document must be UTF-8, a paste is read as it comes."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    if raw.lstrip().startswith(b"{"):
        return decode_text(raw, origin=origin)
    return raw.decode("utf-8-sig", errors="replace")
