"""`check --fix`: which of the safe remedies are commands that mend something, and running them one by one.

Most safe remedies only show something. Those of FIXES change the machine in a way that the command beside them undoes;
nothing else is ever run, and no shell reads them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .check_states import PROBLEMS
from .plain_text import plain
from .records import Applied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .process import Runner
    from .records import CheckResult

_DEADLINE_S: Final = 120.0
_DRIVER_UNITS: Final = r"(nvidia-persistenced|nvidia-fabricmanager|nvidia-imex)(?:\.service)?"
#: Restarted only after they failed. Not the fabric manager, whose restart ends every job, nor the MIG manager.
_FAILED_UNITS: Final = r"(nvidia-persistenced|nvidia-powerd|nvidia-dcgm|nvidia-gridd)(?:\.service)?"
_ENGINES: Final = r"(docker|containerd)(?:\.service)?"
_CLOCKS: Final = r"(chrony|chronyd|systemd-timesyncd)(?:\.service)?"
#: Command without sudo, and what undoes it; {0} is the first group. A remedy of a check counts when it fits whole.
FIXES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), undo)
    for pattern, undo in (
        (r"modprobe (nvidia|nvidia[-_](?:uvm|peermem|modeset|drm))", "sudo modprobe -r {0}"),
        (r"modprobe -a (mlx5_core mlx5_ib ib_umad)", "sudo modprobe -r those of {0} that were not loaded before"),
        (r"nvidia-modprobe(?: -[cu]=?\d*| -u| -c ?0){1,3}", "nothing: it only makes device nodes"),
        (rf"systemctl enable --now {_DRIVER_UNITS}", "sudo systemctl disable --now {0}"),
        (rf"systemctl start {_DRIVER_UNITS}", "sudo systemctl stop {0}"),
        (rf"systemctl restart {_FAILED_UNITS}", "sudo systemctl stop {0}"),
        (r"systemctl unmask (nvidia-fabricmanager)", "sudo systemctl mask {0}"),
        (r"systemctl disable --now (nvidia-fabricmanager)", "sudo systemctl enable --now {0}"),
        (r"systemctl reset-failed nvidia-fabricmanager", "nothing: it only forgets that the unit failed"),
        (rf"systemctl start {_ENGINES}", "sudo systemctl stop {0}"),
        (rf"systemctl enable --now {_CLOCKS}", "sudo systemctl disable --now {0}"),
        (r"nvidia-smi (?:-i \d+ )?-pm 1", "sudo nvidia-smi -pm 0"),
        (r"nvidia-smi (?:-i \d+ )?(?:-c 0|-c DEFAULT|--compute-mode=DEFAULT)", "sudo nvidia-smi -c <the mode before>"),
        (r"nvidia-smi (?:-i \d+ )?-r(?:ac|gc|mc)", "set the clocks again"),
        (r"nvidia-ctk system create-dev-char-symlinks --create-all", "remove the links under /dev/char"),
        (r"nvidia-ctk cdi generate --output=(/etc/cdi/nvidia\.yaml|/var/run/cdi/nvidia\.yaml)", "sudo rm {0}"),
        (
            r"nvidia-ctk config --set nvidia-container-cli\.no-cgroups=(?:true|false) --in-place",
            "the same command with the other value",
        ),
        (r"cpupower frequency-set -g performance", "sudo cpupower frequency-set -g <the governor before>"),
        (r"ldconfig", "nothing: it only rebuilds the loader's cache"),
    )
)


_ELSEWHERE: Final = re.compile(r"\(on the host|\(only while|\(while ")
"""Remarks with which a command is for another machine, or for a moment that a program can't choose."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One remedy that may be run."""

    check: str
    """Id of the check that names it."""
    command: str
    """As the check spells it."""
    undo: str


def offers(results: Sequence[CheckResult]) -> tuple[Offer, ...]:
    """Every remedy of a problem that mends something, each command once, in the order of the results."""
    found: dict[str, Offer] = {}
    for result in results:
        if result.status in PROBLEMS:
            for step in result.safe:
                undo = undo_of(step)
                if undo is not None:
                    found.setdefault(step, Offer(result.id, step, undo))
    return tuple(found.values())


def undo_of(step: str) -> str | None:
    """What undoes a remedy that is a fix; None for any other text, and for one that is not for here and now."""
    if _ELSEWHERE.search(step):
        return None
    command = _command(step).removeprefix("sudo ")
    for pattern, undo in FIXES:
        match = pattern.fullmatch(command)
        if match:
            return undo.format(*match.groups(), "")
    return None


# sudo modprobe nvidia_uvm    (loads it until the next start)
def _command(step: str) -> str:
    """The command of a remedy, without the remark behind it."""
    return re.sub(r"\s{2,}\(.*\)$", "", step.strip())


def apply(offer: Offer, runner: Runner) -> Applied:
    """Run one offer: as root, else through sudo without a question for a password."""
    words = shlex.split(_command(offer.command))
    if words[0] == "sudo":
        words = words[1:] if os.geteuid() == 0 else ["sudo", "-n", *words[1:]]
    completed = runner(words, deadline_s=_DEADLINE_S)
    if completed.failure:
        said = completed.failure
    elif completed.timed_out:
        said = f"it did not end within {_DEADLINE_S:g} s"
    else:
        text = plain(completed.stderr or completed.stdout, longest=200)
        said = text or ("done" if completed.ok else f"it ended with status {completed.returncode}")
    return Applied(offer.check, offer.command, offer.undo, completed.ok, said)


def fix(found: Sequence[Offer], runner: Runner, agrees: Callable[[Offer], bool]) -> tuple[Applied, ...]:
    """Every offer in turn that somebody agrees to."""
    done = []
    for offer in found:
        if agrees(offer):
            done.append(apply(offer, runner))
        else:
            done.append(Applied(offer.check, offer.command, offer.undo, is_done=False, said="not wanted"))
    return tuple(done)


def write_log(path: Path, done: Sequence[Applied]) -> None:
    """Add what was run to the log, one JSON object per line; OSError where it can't be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with path.open("a", encoding="utf-8") as stream:
        for one in done:
            row = {"at": stamp, "check": one.check, "command": one.command, "undo": one.undo}
            stream.write(json.dumps({**row, "done": one.is_done, "said": one.said}) + "\n")
