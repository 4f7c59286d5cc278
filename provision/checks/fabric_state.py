"""Check fabric.state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_UNIT = "nvidia-fabricmanager"
LOG = "sudo journalctl --unit nvidia-fabricmanager --no-pager | tail -n 40; sudo tail -n 40 /var/log/fabricmanager.log"
"""Command that shows what fabric manager wrote."""

_DEGRADED, _RECOVERING, _UNHEALTHY, _TIMEOUTS, _CONFIGURATION = 0, 2, 4, 6, 8
"""Where the parts of the health mask begin: two bits each, the last has four."""


@check("fabric.state", level="quick", needs=("nvml",), not_on=("wsl", "jetson"), leads=("cuda.init",))
def state(facts: Facts, say: Verdict) -> Finding:
    """Every GPU has joined its NVLink fabric, with its full bandwidth.

    What it finds
        A GPU that waits for the fabric, that was refused, or whose part of the fabric is degraded or set up wrongly.

    Why it matters
        CUDA does not start on a GPU that waits for its fabric (error 802). A degraded one is slow, and others that
        talk to it with it.

    How it is decided
        By what NVML says of the GPU's fabric. Not completed, or completed with an error, fails; so do the health bits
        degraded bandwidth, unhealthy route and incorrect configuration, and the summary unhealthy. A route or an access
        that is recovering and limited capacity warn. GPUs without a fabric, and GPUs in MIG mode, are not judged.

    What to do
        See fabric.manager first: where it runs and this fails, restart it while no program uses the GPUs, and read its
        log. On a rack with NVLink between machines the switch trays' own fabric manager must be looked at.

    Sources
        NVML API reference, nvmlDeviceGetGpuFabricInfoV and its health mask; DCGM, FABRIC_PROBE_STATE (read 2026-11).
    """
    names = []
    bad: list[str] = []
    soft: list[str] = []
    for gpu in facts.gpus:
        reached = facts.text(f"gpu.{gpu.index}.fabric_state")
        if gpu.mig_mode == "enabled" or reached in {None, "not-supported"}:
            continue
        names += [f"gpu.{gpu.index}.{fact}" for fact in _FABRIC_FACTS]
        hard, mild = _faults(facts, gpu.index, reached)
        bad += [f"GPU {gpu.index} {one}" for one in hard]
        soft += [f"GPU {gpu.index} {one}" for one in mild]
    if not names:
        return say.skipped("No GPU here is part of an NVLink fabric, as far as NVML tells.")
    evidence = facts.evidence(*names)
    if bad:
        return say.failed(
            f"The NVLink fabric is not in order: {_few(bad)}.",
            *evidence,
            safe=("nvidia-smi -q | grep -A 8 'Fabric'", f"systemctl status {_UNIT}", LOG),
            risky=(f"sudo systemctl restart {_UNIT}    (only while nothing uses a GPU)",),
        )
    if soft:
        return say.warned(
            f"The NVLink fabric is recovering or limited: {_few(soft)}.",
            *evidence,
            safe=("nvidia-smi -q | grep -A 8 'Fabric'", LOG),
        )
    return say.passed("Every GPU has joined its NVLink fabric.", *evidence)


_FABRIC_FACTS = ("fabric_state", "fabric_status", "fabric_clique_id", "fabric_health_mask", "fabric_health_summary")


def _faults(facts: Facts, index: int, reached: str | None) -> tuple[list[str], list[str]]:
    """What fails and what warns of one GPU, as ends of a sentence."""
    if reached != "completed":
        return [f"has not joined ({reached})"], []
    status = facts.number(f"gpu.{index}.fabric_status")
    if status:
        return [f"was refused ({_error_name(facts, int(status))})"], []
    hard, soft = judge_mask(int(facts.number(f"gpu.{index}.fabric_health_mask") or 0))
    summary = facts.text(f"gpu.{index}.fabric_health_summary")
    if summary == "unhealthy" and not hard:
        hard = ["is called unhealthy"]
    if summary == "limited-capacity" and not hard:
        soft = [*soft, "has limited capacity"]
    return hard, soft


def judge_mask(mask: int) -> tuple[list[str], list[str]]:
    """What a health mask of the fabric says: what fails and what warns; 1 is true in the parts of two bits."""
    hard = []
    if mask >> _DEGRADED & 3 == 1:
        hard.append("has less bandwidth than it should")
    if mask >> _UNHEALTHY & 3 == 1:
        hard.append("has an unhealthy route")
    if mask >> _CONFIGURATION & 15 >= 2:  # noqa: PLR2004 -- 0 is not supported, 1 is none
        hard.append("is set up wrongly")
    soft = ["is recovering a route"] if mask >> _RECOVERING & 3 == 1 else []
    if mask >> _TIMEOUTS & 3 == 1:
        soft.append("is recovering from an access that timed out")
    return hard, soft


def _error_name(facts: Facts, status: int) -> str:
    row = facts.matrix.faults.nvml_error(status) if facts.matrix else None
    return row.name if row else f"NVML code {status}"


def _few(told: list[str]) -> str:
    more = f" and {len(told) - 4} more" if len(told) > 4 else ""  # noqa: PLR2004 -- a sentence holds no more
    return ", ".join(told[:4]) + more
