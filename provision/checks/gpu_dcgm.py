"""Check gpu.dcgm_diag."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..records import Evidence
from .base import check, counted
from .gpu_answers import joined, ranges
from .remedies import HAVE_IT_EXCHANGED

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_MONITOR, _CONFIG = 1, 5
"""Severities of DCGM (dcgmErrorSeverity_t) with which a GPU can do its work."""
_MOST_SHOWN = 12


class _Result(NamedTuple):
    category: str
    test: str
    gpus: str
    status: str
    severity: int | None
    said: str


@check("gpu.dcgm_diag", level="deep", needs=("nvml",))
def dcgm_diag(facts: Facts, say: Verdict) -> Finding:
    """NVIDIA's own diagnosis (DCGM, level 2) finds nothing wrong with the GPUs.

    What it finds
        What `dcgmi diag -r 2` finds in some minutes: software, PCIe, memory, and wrong results of computation.

    Why it matters
        A GPU can compute wrong numbers, or lose bits of its memory, without any message; only a test shows it.

    How it is decided
        The JSON of dcgmi, test by test and GPU by GPU. A failed test fails; when DCGM calls its errors settings (such
        as persistence mode off) or things to watch, it warns, and so does a test with a warning. Tests that DCGM
        skipped are named and count as neither. Runs at level deep, where dcgmi is installed, and disturbs whoever
        uses the GPUs.

    What to do
        Follow what DCGM says for each test; have a board exchanged that fails memory or computation again.

    Sources
        NVIDIA/DCGM, DCGM Diagnostics and dcgmlib/dcgm_errors.h (severities) (read 2026-11).
    """
    if not facts.was_looked_at("dcgm.diag"):
        return say.skipped("The diagnosis is made at level deep only: gpusetup check --level deep.")
    if why := facts.failure("dcgm.diag"):
        if "not installed" in why:
            return say.skipped(f"{why[:1].upper()}{why[1:]}.")
        return say.unknown(f"The diagnosis brought no result: {why}.")
    results = tuple(_Result(*value) for value in facts.values("dcgm.test") if isinstance(value, tuple))  # type: ignore[arg-type]
    failed = [one for one in results if one.status == "fail"]
    grave = [one for one in failed if one.severity not in {_MONITOR, _CONFIG}]
    mild = [one for one in results if one.status == "warn" or (one in failed and one not in grave)]
    skipped = {one.test for one in results if one.status == "skip"} - {
        one.test for one in results if one.status != "skip"
    }
    aside = f"; DCGM skipped {joined(sorted(skipped))}" if skipped else ""
    if grave:
        return say.failed(
            f"NVIDIA's diagnosis failed {_told(grave)}{aside}.",
            *_evidence((*grave, *mild)),
            safe=("dcgmi diag -r 2    (once more)", HAVE_IT_EXCHANGED),
            risky=("take the GPUs that it names out of use, then: dcgmi diag -r 3",),
        )
    if mild:
        return say.warned(
            f"NVIDIA's diagnosis warns of {_told(mild)}{aside}.",
            *_evidence(mild),
            safe=("follow what DCGM says in the evidence", "dcgmi diag -r 2    (once more)"),
        )
    passed = {one.test for one in results if one.status == "pass"}
    if not passed:
        return say.skipped(f"DCGM made none of its tests on these GPUs{aside}.")
    return say.passed(f"NVIDIA's diagnosis passed {counted(len(passed), 'test')}{aside}.")


def _told(results: list[_Result]) -> str:
    gpus: dict[str, list[str]] = {}
    for one in results:
        gpus.setdefault(one.test, []).extend(index for index in one.gpus.split(",") if index)
    return joined([f"{test}{_on(sorted(set(indexes), key=_as_number))}" for test, indexes in gpus.items()])


def _on(indexes: list[str]) -> str:
    if not indexes:
        return ""
    numbers = ranges([int(index) for index in indexes]) if all(map(str.isdecimal, indexes)) else indexes
    return f" ({'GPU' if len(indexes) == 1 else 'GPUs'} {joined(numbers)})"


def _as_number(index: str) -> tuple[int, str]:
    return (int(index), "") if index.isdecimal() else (10**6, index)


def _evidence(results: list[_Result] | tuple[_Result, ...]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            f"{one.test}{_on([one.gpus] if one.gpus else [])}", one.said or one.status, source="dcgmi", needs="pass"
        )
        for one in results[:_MOST_SHOWN]
    )


CHECKS = (dcgm_diag,)
