"""Which machine a command is about: this one, a file, one that was typed in, or many (EDGE)."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

from ..documents.envelope import decode_text, parse_json
from ..errors import InputError, UsageError
from ..examined import Examined, examine_host, examine_paste
from ..typed import filled, machine_from_document, machine_from_words, require_fillable, with_driver_of_a_list
from .options import typed_machine_of

if TYPE_CHECKING:
    from ..matrix.tables import Matrix
    from ..typed import TypedMachine
    from .fleets import Fleet


def examined_or_fleet(words: dict[str, Any], matrix: Matrix) -> Examined | Fleet:
    """The machine that the command line means, or the machines of a folder or of JSON lines."""
    typed = typed_machine_of(words)
    named = words.get("from_")
    if named:
        from .fleets import read_named

        require_fillable(typed)
        found = read_named(named, matrix, typed)
        if not isinstance(found, Examined) and not typed.is_empty():
            raise UsageError("--from names many machines: --driver, --glibc, --arch and --os say what one machine is.")
        return found
    if not typed.is_empty():
        return Examined(machine_from_words(typed, matrix))
    return examine_host()


def examined_from_bytes(raw: bytes, matrix: Matrix, *, origin: str, words: TypedMachine | None = None) -> Examined:
    """The machine of a document or a paste, with the typed facts that it does not say.

    InputError names the place, what was found and what was expected; UsageError a typed fact that contradicts.
    """
    text = _decoded(raw, origin=origin)
    if not text.lstrip().startswith("{"):
        from ..pasted import machine_from_paste

        machine = machine_from_paste(text, matrix, origin=origin)
        machine = filled(machine, words, matrix, origin=origin) if words else machine
        return examine_paste(with_driver_of_a_list(machine, matrix))
    value = parse_json(text, origin=origin)
    if "schema" not in value:
        return Examined(machine_from_document(value, matrix, origin=origin, words=words))
    schema = str(value["schema"])
    data = value.get("data")
    if schema == "gpusetup.snapshot/1":
        from ..examined import examine_snapshot

        return examine_snapshot(data, origin=origin)
    if schema == "gpusetup.report/1" and isinstance(data, dict):
        data = data.get("machine")
    elif schema != "gpusetup.machine/1":
        raise InputError(f"{origin}: schema: expected 'gpusetup.machine/1', found {schema!r}")
    return Examined(machine_from_document(data, matrix, origin=origin, words=words))


def _decoded(raw: bytes, *, origin: str) -> str:
    """The text of a file. Windows shells redirect in UTF-16; a document must be UTF-8, a paste is read as it comes."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    if raw.lstrip().startswith(b"{"):
        return decode_text(raw, origin=origin)
    return raw.decode("utf-8-sig", errors="replace")
