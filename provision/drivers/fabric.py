"""The steps of NVSwitches: fabric manager and, for NVLink 5, the subnet manager (PURE)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .by_release import install_same
from .job import (
    installed,
    known,
    packages,
    quiet,
)
from .steps import Proof, RemoveFile, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .job import Job
    from .steps import Action


def fabric_steps(job: Job, *, nvlink5: bool) -> Iterator[Step]:
    """What NVSwitches need: without it CUDA does not start (error 802)."""
    if nvlink5:
        modules = "/etc/modules-load.d/gpusetup-nvlink5.conf"
        yield Step(
            id="nvlink5",
            why="NVLink 5 is managed through network adapters: its subnet manager, and the modules that reach them",
            actions=(packages(job, "install", job.names.nvlink5), WriteFile(modules, "mlx5_core\nmlx5_ib\nib_umad\n")),
            undo=(RemoveFile(modules), packages(job, "remove", job.names.nvlink5)),
            needs=(*quiet(job), *(known(job, name) for name in job.names.nvlink5)),
            done_when=(
                installed(job, job.names.nvlink5, "the subnet manager is installed"),
                Proof(("grep", "-q", "ib_umad", modules), "its modules load at the start"),
            ),
        )
    names = job.fabric
    yield Step(
        id="fabric-manager",
        why="these GPUs are joined by NVSwitches: CUDA waits for the fabric manager, of exactly the driver's release",
        actions=(_install_fabric(job, names), Run(("systemctl", "enable", "nvidia-fabricmanager"))),
        undo=(Run(("systemctl", "disable", "nvidia-fabricmanager")), packages(job, "remove", names)),
        needs=(*quiet(job), *(known(job, name) for name in names), *_same_release(job, names)),
        done_when=(
            installed(job, names, "the fabric manager is installed"),
            Proof(("systemctl", "is-enabled", "nvidia-fabricmanager"), "it starts with the machine"),
        ),
    )


def _install_fabric(job: Job, names: tuple[str, ...]) -> Action:
    """Rpm repositories have every branch of it under one name, and nothing but its version ties it to the driver."""
    return packages(job, "install", names) if job.manager == "apt" else install_same(job, names)


def _same_release(job: Job, names: tuple[str, ...]) -> tuple[Proof, ...]:
    """Where the driver stays as it is, the fabric manager that would come is of its very release."""
    if not job.is_there or not names:
        return ()
    release = str(job.box.release)
    do = f"upgrade the driver first, or install the package of {release} by its version"
    pattern = rf"(?<![\d.]){re.escape(release)}(?![\d.])"
    argv: tuple[str, ...] = ("dnf", "-q", "list", "--showduplicates", names[0])
    if job.manager == "apt":
        argv, pattern = ("apt-cache", "policy", names[0]), rf"Candidate: (?:\d+:)?{re.escape(release)}(?![\d.])"
    elif job.manager == "zypper":
        argv = ("zypper", "--non-interactive", "search", "--details", "--match-exact", names[0])
    return (Proof(argv, f"its release is that of the driver, {release}", pattern, do),)
