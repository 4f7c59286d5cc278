"""What belongs under `do`, what under `risky`, and what --fix offers: held against every sick machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provision.fixing import undo_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.records import CheckResult

#: What can't be undone, or takes work, packages or the machine with it.
RISKY = re.compile(
    r"\breboot(?:;|$)|--gpu-reset|nvidia-smi -r\b|\b(?:apt-get|dnf|zypper) (?:install|remove|purge|module [^l])"
    r"|pip (?:install|uninstall)|conda install|sudo rm\b|\bkill\b|umount|fsck|prune|setpci|usermod|makestep"
    r"|--power-limit|-pl \d|snap remove|dkms autoinstall|dracut|update-initramfs|rmmod|docker restart"
    r"|restart (?:docker|containerd|nvidia-fabric)"
)
#: Commands in `do` that change something and are for a person: a choice of the site, or a line that needs a shell.
FOR_A_PERSON = re.compile(
    r"\| sudo tee |apt-mark hold|versionlock add|addlock|setsebool|sysctl -w|tuned-adm|remount|conf-compute -srs"
    r"|nvidia-gridd|gpusetup install|^export |^unset |apt-get update"
)
#: Verbs of commands that change a machine.
CHANGES = re.compile(
    r"sudo (?:modprobe|systemctl (?:start|restart|enable|disable|mask|unmask|reset-failed)|nvidia-modprobe|ldconfig"
    r"|nvidia-ctk (?:cdi generate|system|config)|cpupower|nvidia-smi (?:-i \S+ )?-(?:pm|c |rac|rgc|pl|e|mig|r))"
)


def misplaced(results: Iterable[CheckResult]) -> list[str]:
    """Remedies under `do` that can't be undone, and those that change something and that nobody knows to undo."""
    steps = {step for result in results for step in result.safe if not step.startswith("gpusetup ")}
    return sorted(step for step in steps if RISKY.search(step) or (CHANGES.match(step) and not _is_known(step)))


def _is_known(step: str) -> bool:
    return undo_of(step) is not None or "(on the host" in step or FOR_A_PERSON.search(step) is not None
