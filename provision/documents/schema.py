"""JSON Schemas of the documents, generated from the records so that they can't drift apart.

The generated files are committed under `provision/schemas/`; a test compares them with this module.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union

from ..versions import ComputeCapability, CudaVersion, DriverVersion, Glibc
from .codec import fields_of

_SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_PATTERNS = {
    DriverVersion: r"^\d+(\.\d+){0,3}$",
    CudaVersion: r"^\d+\.\d+$",
    ComputeCapability: r"^\d+\.\d$",
    Glibc: r"^\d+\.\d+$",
}


def schema_of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: PLR0911  one line per kind of type
    """The schema of one type; record types go to `definitions` and are referred to."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin in (Union, types.UnionType):
        return _union(arguments, definitions)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return _array(arguments, definitions)
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1], definitions)}
    if kind in _PATTERNS:
        return {"type": "string", "pattern": _PATTERNS[kind]}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [item.value for item in kind]}
    if dataclasses.is_dataclass(kind):
        return _record(kind, definitions)
    return {"type": _SCALARS[kind]}


def _union(options: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    schemas = [schema_of(option, definitions) for option in options]
    simple = [schema["type"] for schema in schemas if list(schema) == ["type"]]
    if len(simple) == len(schemas):
        return {"type": simple}
    return {"anyOf": schemas}


def _array(arguments: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": schema_of(arguments[0], definitions)}
    return {
        "type": "array",
        "minItems": len(arguments),
        "maxItems": len(arguments),
        "prefixItems": [schema_of(item, definitions) for item in arguments],
    }


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # reserves the name, so that a record may refer to itself
        properties = {key: schema_of(hint, definitions) for _, key, hint, _ in fields_of(kind)}
        definitions[name] = {"type": "object", "required": list(properties), "properties": properties}
    return {"$ref": f"#/$defs/{name}"}


def document_schemas() -> dict[str, dict[str, Any]]:
    """Schema of every document that is emitted, by name: machine-1, plan-1, ...; error-1 where no command is known."""
    from ..acceptance import Acceptance
    from ..audit.model import AuditData
    from ..expectations import ExpectationData
    from ..records import Machine
    from ..snapshot import SnapshotData
    from .check import CheckData, CheckList
    from .driver import DriverPlanData
    from .fleet import FleetData
    from .matrix_data import MatrixData
    from .plan import PlanData
    from .receipt import Explanation, ReceiptData
    from .report_data import ReportData

    kinds = {
        "acceptance": Acceptance,
        "check": CheckData,
        "check-list": CheckList,
        "driver-plan": DriverPlanData,
        "error": type(None),
        "expectation": ExpectationData,
        "explanation": Explanation,
        "fleet-plan": FleetData,
        "machine": Machine,
        "matrix": MatrixData,
        "matrix-audit": AuditData,
        "plan": PlanData,
        "receipt": ReceiptData,
        "report": ReportData,
        "snapshot": SnapshotData,
    }
    return {f"{name}-1": _document_schema(name, kind) for name, kind in kinds.items()}


def _document_schema(name: str, kind: Any) -> dict[str, Any]:
    from .envelope import FindingRow

    definitions: dict[str, Any] = {}
    data = schema_of(kind, definitions)
    if kind is not type(None):
        data = {"anyOf": [{"type": "null"}, data]}
    findings = schema_of(tuple[FindingRow, ...], definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"gpusetup.{name}/1",
        "type": "object",
        "required": ["schema", "gpusetup", "command", "status", "exit_code", "data", "findings"],
        "properties": {
            "schema": {"const": f"gpusetup.{name}/1"},
            "gpusetup": {"type": "string"},
            "command": {"type": "string"},
            "status": {"enum": ["ok", "failed", "degraded"]},
            "exit_code": {"type": "integer"},
            "data": data,
            "findings": findings,
        },
        "$defs": definitions,
    }


def main() -> None:
    """Write the committed schema files: `python -m provision.documents.schema`."""
    folder = Path(__file__).parents[1] / "schemas"
    for name, schema in document_schemas().items():
        (folder / f"{name}.json").write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
