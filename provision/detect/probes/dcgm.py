"""NVIDIA's own diagnosis of the GPUs (DCGM): minutes, and nobody else should use them meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ...plain_text import plain
from ...records import Reading
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_DEADLINE_S = 900.0
"""Level 2 takes two minutes on one GPU, and longer on eight."""
_ROOTS = ("DCGM Diagnostic", "DCGM GPU Diagnostic")
"""Name of the result in DCGM 3.3 and newer, and before."""
_STATUS = {"pass": "pass", "fail": "fail", "warn": "warn", "warning": "warn", "skip": "skip", "not run": "skip"}
_LONGEST = 400
_MOST = 2000


class TestResult(NamedTuple):
    """What DCGM found of one test on one GPU, or on several at once."""

    category: str
    test: str
    gpus: str
    """Numbers of DCGM, comma between them; empty for a test of the machine."""
    status: str
    """pass, fail, warn, skip, or DCGM's own word in small letters."""
    severity: int | None
    """dcgmErrorSeverity_t, the gravest of its errors; None where DCGM gives none."""
    said: str


def read(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """`dcgm.diag`, the number of results, and one `dcgm.test` for each."""
    if not any(gpu.in_nvml for gpu in machine.gpus):
        return
    told = around.tell("dcgmi", "diag", "-j", "-r", "2", deadline_s=_DEADLINE_S, keep=results_only)
    source = "dcgmi diag -j -r 2"
    if told.failure:
        yield Reading("dcgm.diag", source, failure=told.failure)
        return
    if told.timed_out:
        yield Reading("dcgm.diag", source, failure=f"dcgmi did not end within {_DEADLINE_S:.0f} s")
        return
    try:
        found = parse_diag(told.stdout)
    except ValueError as err:
        said = plain(f"{told.stdout} {told.stderr}").split()
        yield Reading("dcgm.diag", source, failure=f"{err}: {' '.join(said)[:_LONGEST]}")
        return
    yield Reading("dcgm.diag", source, len(found))
    for result in found:
        yield Reading("dcgm.test", source, tuple(result))


def results_only(text: str) -> str:
    """The document without what it says of the machine: it holds serial numbers. Other text as it is, shortened."""
    try:
        document = _document(text)
    except ValueError:
        return text[: 10 * _LONGEST]
    return json.dumps({name: document[name] for name in _ROOTS if name in document})


def _document(text: str) -> dict[str, Any]:
    start, end = text.find("{"), text.rfind("}")
    try:
        document = json.loads(text[start : end + 1]) if start >= 0 else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not any(name in document for name in _ROOTS):
        raise ValueError("dcgmi wrote no result")
    return document


# {"DCGM Diagnostic": {"test_categories": [{"category": "Hardware", "tests": [{"name": "memory", "results":
#   [{"entity_group": "GPU", "entity_group_id": 1, "entity_id": 0, "status": "Pass"}], "test_summary": {...}}]}]}}
# DCGM before 4: {"gpu_ids": "0", "status": "Fail", "warnings": "..."} in place of the entity.
def parse_diag(text: str) -> tuple[TestResult, ...]:
    """Every result in the JSON of `dcgmi diag`; ValueError with the reason when there is none."""
    document = _document(text)
    root = next(document[name] for name in _ROOTS if name in document)
    if not isinstance(root, dict):
        raise ValueError("dcgmi wrote a result of unknown form")  # noqa: TRY004  foreign text, not our type
    if root.get("runtime_error"):
        raise ValueError(f"DCGM says: {plain(str(root['runtime_error']))[:_LONGEST]}")
    found = [
        _result(category, test, result)
        for category in _maps(root.get("test_categories"))
        for test in _maps(category.get("tests"))
        for result in _maps(test.get("results"))
    ]
    if not found:
        raise ValueError("dcgmi wrote a result without tests")
    return tuple(found[:_MOST])


def _maps(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _result(category: dict[str, Any], test: dict[str, Any], result: dict[str, Any]) -> TestResult:
    word = str(result.get("status", "")).strip().casefold()
    warnings = result.get("warnings")
    each = warnings if isinstance(warnings, list) else [warnings] if warnings else []
    severities = [one["error_severity"] for one in _maps(each) if isinstance(one.get("error_severity"), int)]
    # The grave ones are 2, 3, 4 and 6; 1 and 5 leave the GPU able to work.
    severity = max(severities, key=lambda one: (one not in {0, 1, 5}, one), default=None)
    said = "; ".join(str(one.get("warning", "")) if isinstance(one, dict) else str(one) for one in each)
    return TestResult(
        _short(category.get("category")),
        _short(test.get("name")),
        _gpus(result),
        _STATUS.get(word, plain(word)[:20]),
        severity,
        plain(said)[:_LONGEST],
    )


def _short(value: Any) -> str:
    return plain(str(value or "unnamed"))[:60]


def _gpus(result: dict[str, Any]) -> str:
    if "gpu_ids" in result:
        return plain(str(result["gpu_ids"]))[:60].replace(" ", "")
    if result.get("entity_group", "GPU") == "GPU" and isinstance(result.get("entity_id"), int):
        return str(result["entity_id"])
    return ""


PROBES = (Probe("dcgm", "deep", read, is_after_driver=True),)
