"""Checks of NVSwitch, fabric manager and IMEX: fabric."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .base import check, counted
from .fabric_imex import imex
from .fabric_state import LOG, state
from .links import figures_of
from .remedies import family

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Check, Facts, Verdict

_UNIT = "nvidia-fabricmanager"
_READINGS = ("pci.nvswitch", "fabric.manager_unit", "fabric.manager_process", "fabric.manager_version")
_RENAMED = 580
_BLACKWELL = 10
"""Major compute capability from which on switches are no PCI devices."""
_NVLINK5_MODULES = ("mlx5_core", "mlx5_ib", "ib_umad")


@check(
    "fabric.manager",
    level="quick",
    needs=("gpu",),
    not_on=("container", "wsl", "jetson"),
    leads=("cuda.init", "fabric.state", "link.nvlink_up", "link.nvlink_errors", "sys.services"),
)
def manager(facts: Facts, say: Verdict) -> Finding:
    """Fabric manager runs where there are NVSwitches, and is of the driver's release.

    What it finds
        An HGX or DGX machine whose fabric manager is not installed, stopped, failed, or of another release than the
        driver; on NVLink 5 boards also what it needs beside itself. And the opposite: a unit that fails because the
        machine has no NVSwitch.

    Why it matters
        The switches carry no traffic until fabric manager has set them up. Until then CUDA answers error 802, "system
        not yet initialized", on every GPU, while nvidia-smi looks well.

    How it is decided
        It is needed where the PCI bus or /proc/driver/nvidia-nvswitch shows switches, or where a card says SW_MNG
        (NVLink 5), or on bare metal where several GPUs are of a model that needs it and show no switch because it is
        of NVLink 5. The unit nvidia-fabricmanager not active fails, unless the process runs without it or all GPUs
        say that their fabric is complete; a unit that is starting warns. Its release must equal that of the kernel
        module: it refuses to start otherwise. When it is active already, another release on the disk warns. Without
        switches a failed unit warns. Switches that were given to a virtual machine are skipped.

    What to do
        Install the package of exactly the driver's release, enable and start the unit, read its log. B200 and B300
        need the package nvlsm and the modules mlx5_ib and ib_umad as well. Hold both packages together.

    Sources
        NVIDIA Fabric Manager user guide; gpu-driver-container, nvidia-driver scripts (NVLink 5); CUDA runtime API,
        cudaErrorSystemNotReady (read 2026-11).
    """
    if not facts.was_looked_at("fabric.unit_files"):
        return say.skipped("Fabric manager is not among these facts.")
    why = _why_needed(facts)
    if why is None:
        return _not_needed(facts, say)
    if _is_given_away(facts):
        return say.skipped("The GPUs and switches were given to virtual machines; fabric manager runs where they went.")
    unit = facts.texts("fabric.manager_unit")
    if _is_running(facts, unit):
        return _running(facts, say, unit)
    if _is_complete(facts):
        return say.passed("All GPUs say that their fabric is complete.", *facts.evidence(*_READINGS))
    if unit is None and (
        facts.was_looked_at("fabric.manager_unit") or not facts.was_looked_at("fabric.manager_process")
    ):
        return say.unknown(
            f"Whether fabric manager runs is not known: {facts.why_not('fabric.manager_unit')}.",
            *facts.evidence(*_READINGS),
        )
    return _down(facts, say, unit, why)


def _running(facts: Facts, say: Verdict, unit: tuple[str, ...] | None) -> Finding:
    wrong_release = _wrong_release(facts)
    if wrong_release and unit is not None:
        return say.warned(
            f"Fabric manager runs, but {wrong_release}: it will not start again.",
            *facts.evidence(*_READINGS),
            safe=("nv-fabricmanager --version; cat /proc/driver/nvidia/version",),
            risky=_install(facts),
        )
    return say.passed("Fabric manager runs.", *facts.evidence(*_READINGS))


def _down(facts: Facts, say: Verdict, unit: tuple[str, ...] | None, why: str) -> Finding:
    evidence = facts.evidence(*_READINGS, "fabric.modules", "fabric.nvlsm")
    if unit and unit[1] in {"activating", "reloading"}:
        return say.warned(
            f"Fabric manager is still starting; until it has set up {why}, CUDA answers error 802.",
            *evidence,
            safe=(f"systemctl status {_UNIT}", LOG),
        )
    if unit is None and facts.value("fabric.manager_version") is None:
        return say.failed(
            f"Fabric manager is not installed, and {why} needs it: CUDA answers error 802.",
            *evidence,
            safe=("nvidia-smi -q | grep -A 8 'Fabric'",),
            risky=_install(facts),
        )
    wrong_release = _wrong_release(facts)
    reasons = [wrong_release] if wrong_release else []
    reasons += _lacking(facts)
    if unit and unit[0] == "masked":
        reasons.append("its unit is masked")
    state = _STATES.get(unit[1], "does not run") if unit else "does not run"
    told = f" because {' and '.join(reasons)}" if reasons else ""
    return say.failed(
        f"Fabric manager {state}{told}, and {why} needs it: CUDA answers error 802.",
        *evidence,
        **_steps(facts, reasons, wrong_release),
    )


_STATES = {"failed": "has failed", "inactive": "is not started"}


def _steps(facts: Facts, reasons: list[str], wrong_release: str | None) -> dict[str, tuple[str, ...]]:
    packages: list[str] = [*_install(facts)[:1]] if wrong_release else []
    if any("nvlsm" in one for one in reasons):
        packages.append(
            _INSTALL_NVLSM.get(family(facts.machine), "install NVIDIA's packages nvlsm and infiniband-diags")
        )
    safe = [LOG]
    if any("modules" in one for one in reasons):
        safe.append("sudo modprobe -a mlx5_core mlx5_ib ib_umad")
    if any("masked" in one for one in reasons):
        safe.append(f"sudo systemctl unmask {_UNIT}")
    start = f"sudo systemctl enable --now {_UNIT}"
    if packages:
        return {"safe": tuple(safe), "risky": (*packages, start)}
    return {"safe": (start, *safe) if len(safe) == 1 else (*safe[1:], start, LOG), "risky": ()}


_INSTALL_NVLSM = {
    "ubuntu": "sudo apt-get install nvlsm infiniband-diags",
    "debian": "sudo apt-get install nvlsm infiniband-diags",
    "rhel": "sudo dnf install nvlsm infiniband-diags",
}


def _install(facts: Facts) -> tuple[str, ...]:
    release = _module_release(facts)
    if release is None:
        return ("install fabric manager of exactly the driver's release",)
    branch = release.split(".", 1)[0]
    steps = {
        "ubuntu": f"sudo apt-get install 'nvidia-fabricmanager-{branch}={release}*'",
        "debian": f"sudo apt-get install 'nvidia-fabricmanager-{branch}={release}*'    (from NVIDIA's repository)",
        # The package lost a hyphen with branch 580.
        "rhel": f"sudo dnf install 'nvidia-fabric{'' if int(branch) >= _RENAMED else '-'}manager-{release}*'",
    }
    step = steps.get(family(facts.machine), f"install nvidia-fabricmanager {release} from NVIDIA's repository")
    return (step, f"sudo systemctl enable --now {_UNIT}")


# --- what is there


def _why_needed(facts: Facts) -> str | None:
    """What needs fabric manager, for a sentence; None where nothing does."""
    switches = max(len(facts.values("pci.nvswitch")), int(facts.number("fabric.switch_devices") or 0))
    if switches:
        return f"a board with {counted(switches, 'NVSwitch').replace('NVSwitchs', 'NVSwitches')}"
    if facts.texts("ib.bridges"):
        return "an NVLink 5 board"
    if facts.is_any("bare-metal") and len(_nvlink5(facts)) > 1:
        return "an NVLink 5 board"
    return None


def _nvlink5(facts: Facts) -> list[int]:
    """GPUs whose switches are no PCI devices and whose model needs fabric manager."""
    found = []
    for gpu in facts.machine.gpus:
        figures = figures_of(facts, gpu)
        capability = figures.compute_capability if figures else None
        if figures and figures.needs_fabric_manager and capability and capability.major >= _BLACKWELL:
            found.append(gpu.index)
    return found


def _is_given_away(facts: Facts) -> bool:
    switches = [str(one) for one in facts.values("pci.nvswitch")]
    gpus = facts.machine.gpus
    if switches and all("driver vfio-pci" in one for one in switches):
        return True
    return bool(gpus) and all(gpu.kernel_driver == "vfio-pci" for gpu in gpus)


def _not_needed(facts: Facts, say: Verdict) -> Finding:
    unit = facts.texts("fabric.manager_unit")
    if unit and unit[1] == "failed":
        return say.warned(
            "Fabric manager failed because this machine shows it no NVSwitch; nothing here needs it.",
            *facts.evidence("fabric.manager_unit", "fabric.switch_devices"),
            safe=(f"sudo systemctl disable --now {_UNIT}", f"sudo systemctl reset-failed {_UNIT}"),
        )
    return say.skipped("No NVSwitch is on this machine.")


def _is_running(facts: Facts, unit: tuple[str, ...] | None) -> bool:
    # GPU operators start it in a container, where this host has no unit for it.
    return bool(unit and unit[1] == "active") or facts.flag("fabric.manager_process") is True


def _is_complete(facts: Facts) -> bool:
    states = [facts.value(f"gpu.{gpu.index}.fabric_state") for gpu in facts.gpus]
    good = all(facts.value(f"gpu.{gpu.index}.fabric_status") in {0, None} for gpu in facts.gpus)
    return bool(states) and good and all(state == "completed" for state in states)


def _module_release(facts: Facts) -> str | None:
    driver = facts.machine.driver
    release = driver.kernel_module_version or driver.driver_version if driver else None
    return str(release) if release else None


def _wrong_release(facts: Facts) -> str | None:
    """That fabric manager is of another release, for a sentence."""
    found, needed = facts.text("fabric.manager_version"), _module_release(facts)
    if not found or not needed or _numbers(found) == _numbers(needed):
        return None
    return f"it is of release {found} and the driver of {needed}"


def _numbers(release: str) -> list[int]:
    return [int(one) for one in re.findall(r"\d+", release)]


def _lacking(facts: Facts) -> list[str]:
    """What fabric manager needs beside itself on NVLink 5 boards and does not find."""
    if not _nvlink5(facts) and not facts.texts("ib.bridges"):
        return []
    loaded = facts.texts("fabric.modules") or ()
    missing = [name for name in _NVLINK5_MODULES if name not in loaded]
    lacking = [f"the modules {', '.join(missing)} are not loaded"] if missing else []
    if facts.flag("fabric.nvlsm") is False:
        lacking.append("nvlsm is not installed")
    return lacking


CHECKS: tuple[Check, ...] = (manager, state, imex)
