"""A run that goes on by itself after the restart: two more steps of its plan, undone like all others (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .steps import Reboot, RemoveFile, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT: Final = "gpusetup-driver-resume.service"
_PATH: Final = f"/etc/systemd/system/{UNIT}"
_WANTED: Final = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
_RELOAD: Final = Run(("systemctl", "daemon-reload"))


def with_resume_at_boot(steps: Sequence[Step], argv: Sequence[str]) -> tuple[Step, ...]:
    """The steps with a unit of systemd that runs `argv` once after the restart; as they are where none is due."""
    place = next((n for n, step in enumerate(steps) if any(isinstance(one, Reboot) for one in step.actions)), None)
    if place is None:
        return tuple(steps)
    before = Step(
        id="resume-at-boot",
        why="the steps go on by themselves after the restart; the unit is removed when they do",
        actions=(WriteFile(_PATH, _unit_text(argv)), _RELOAD, Run(("systemctl", "enable", UNIT))),
        # Not `disable`: files come back before the undo, and without the unit's file it fails.
        undo=(Run(("rm", "-f", _WANTED)), RemoveFile(_PATH), _RELOAD),
    )
    after = Step(
        id="resume-no-more",
        why="the unit has done its work",
        actions=(Run(("systemctl", "disable", UNIT)), RemoveFile(_PATH), _RELOAD),
    )
    return (*steps[:place], before, steps[place], after, *steps[place + 1 :])


def _unit_text(argv: Sequence[str]) -> str:
    return f"""\
[Unit]
Description=Go on with the steps that install the NVIDIA driver
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart={" ".join(map(_quoted, argv))}

[Install]
WantedBy=multi-user.target
"""


def _quoted(word: str) -> str:
    """A word of ExecStart as systemd.syntax(7) reads it back: quotes, and % and $ twice."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
