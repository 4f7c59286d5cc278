"""Which machine a command is about: this one, a file, or one that was typed in (EDGE)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..documents.envelope import MAX_DOCUMENT_BYTES, parse_json, read_text
from ..errors import InputError, UsageError
from ..pipeline import Examined, examine_host
from ..typed import machine_from_document, machine_from_words
from .options import typed_machine_of

if TYPE_CHECKING:
    from ..matrix.tables import Matrix


def examined_of(words: dict[str, Any], matrix: Matrix) -> Examined:
    """The machine that the command line means."""
    typed = typed_machine_of(words)
    named = words.get("from_")
    if named and not typed.is_empty():
        raise UsageError("--from and a typed-in machine (--gpu, --driver, ...) exclude each other.")
    if named:
        return Examined(_from_file(named, matrix))
    if not typed.is_empty():
        return Examined(machine_from_words(typed, matrix))
    return examine_host()


def _from_file(name: str, matrix: Matrix) -> Any:
    if name == "-":
        origin = "standard input"
        text = sys.stdin.read(MAX_DOCUMENT_BYTES)
    else:
        origin = name
        text = read_text(Path(name))
    start = text.lstrip()[:400]
    if start.startswith("<?xml") or "<nvidia_smi_log" in start:
        from ..detect.smi import machine_from_smi_xml

        try:
            return machine_from_smi_xml(text)
        except InputError as err:
            raise InputError(f"{origin}: {err.happened}") from err
    if not start.startswith("{"):
        raise InputError(
            f"{origin}: neither JSON nor the XML of `nvidia-smi -q -x`; found {start[:40]!r}.",
            do=("gpusetup detect --json > machine.json", "nvidia-smi -q -x > machine.xml"),
        )
    value = parse_json(text, origin=origin)
    if "schema" not in value:
        return machine_from_document(value, matrix, origin=origin)
    schema = str(value["schema"])
    data = value.get("data")
    if schema == "gpusetup.report/1" and isinstance(data, dict):
        data = data.get("machine")
    elif schema != "gpusetup.machine/1":
        raise InputError(f"{origin}: schema: expected 'gpusetup.machine/1', found {schema!r}")
    return machine_from_document(data, matrix, origin=origin)
