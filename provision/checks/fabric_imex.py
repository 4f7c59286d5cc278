"""Check fabric.imex."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_UNIT = "nvidia-imex"
_LOG = "sudo journalctl --unit nvidia-imex --no-pager | tail -n 40; sudo tail -n 40 /var/log/nvidia-imex.log"
_READINGS = (
    "fabric.imex_unit",
    "fabric.imex_status",
    "fabric.imex_version",
    "fabric.imex_nodes",
    "fabric.imex_channels",
)
_WAITING = frozenset(("INITIALIZING", "STARTING_AUTH_SERVER", "WAITING_FOR_PEERS", "INIT_GPU"))


@check("fabric.imex", level="quick", needs=("gpu",), not_on=("container", "wsl", "jetson"))
def imex(facts: Facts, say: Verdict) -> Finding:
    """IMEX serves memory between machines where it is set up for that.

    What it finds
        A compute tray of an NVLink rack (GB200 and GB300 NVL72) whose IMEX daemon is switched on and does not run, is
        not ready, or is of another release than the driver, or whose channel nodes are missing.

    Why it matters
        GPUs of different machines reach each other's memory over NVLink only through IMEX. NCCL then fails or falls
        back to the network.

    How it is decided
        Only where the unit nvidia-imex is installed and enabled: schedulers start it with the work, and a machine
        between jobs has none. Enabled and not active fails, and so do the states unavailable, shutting down and waiting
        for recovery. States on the way to ready (waiting for peers), another release than the driver's, an empty list
        of nodes and no channel node warn.

    What to do
        Fill /etc/nvidia-imex/nodes_config.cfg alike on all machines of the domain, install the package of the driver's
        release, start the unit, create the channel nodes.

    Sources
        NVIDIA IMEX guide; DCGM, IMEX_UNHEALTHY and the values of the daemon's status; NVSentinel on daemons that only
        run with the work (read 2026-11).
    """
    unit = facts.texts("fabric.imex_unit")
    if unit is None:
        if facts.was_looked_at("fabric.imex_unit"):
            return say.unknown(f"The state of nvidia-imex is not known: {facts.why_not('fabric.imex_unit')}.")
        return say.skipped("IMEX is not installed on this machine.")
    active, enabled = unit[1], unit[4] in {"enabled", "enabled-runtime"}
    evidence = facts.evidence(*_READINGS)
    if active == "failed" or (enabled and active not in {"active", "activating", "reloading"}):
        what = "has failed" if active == "failed" else "is not started"
        return say.failed(
            f"IMEX {what}: GPUs of other machines can't be reached over NVLink.",
            *evidence,
            safe=(f"systemctl status {_UNIT}", _LOG, f"sudo systemctl start {_UNIT}"),
        )
    if active != "active":
        return say.skipped("IMEX is not switched on as a service of this machine.", *evidence)
    status = facts.text("fabric.imex_status")
    if status is None:
        return say.unknown(f"IMEX runs; its state is not known: {facts.why_not('fabric.imex_status')}.", *evidence)
    if status != "READY" and status not in _WAITING:
        return say.failed(f"IMEX is not well: its state is {status}.", *evidence, safe=("nvidia-imex-ctl -N", _LOG))
    if told := _doubts(facts, status):
        return say.warned(f"IMEX runs, but {' and '.join(told)}.", *evidence, safe=("nvidia-imex-ctl -N", _LOG))
    return say.passed("IMEX runs and is ready.", *evidence)


def _doubts(facts: Facts, status: str) -> list[str]:
    told = [] if status == "READY" else [f"is not ready ({status})"]
    driver = facts.machine.driver
    release = driver.kernel_module_version or driver.driver_version if driver else None
    version = facts.text("fabric.imex_version")
    if version and release and version != str(release):
        told.append(f"it is of release {version} and the driver of {release}")
    if facts.number("fabric.imex_nodes") == 0:
        told.append("its list of nodes is empty")
    if facts.number("fabric.imex_channels") == 0:
        told.append("no channel node is in /dev/nvidia-caps-imex-channels")
    return told
