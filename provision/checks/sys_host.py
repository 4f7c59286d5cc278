"""Checks of the host's limits and processes: sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .sys_words import row, rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_OPEN_FILES = 65_535
"""65,536 less one: the limit of many container hosts."""
_PROCESSES = 1_024


@check("sys.ulimits", level="instant", needs=("gpu",), not_on=("paste", "wsl"))
def ulimits(facts: Facts, say: Verdict) -> Finding:
    """A process may open enough files and start enough processes.

    What it finds
        Limits for open files and for processes that a program here can't raise by itself.

    Why it matters
        Data workers hand batches over through open files: PyTorch then ends with "Too many open files" or "received 0
        items of ancdata".

    How it is decided
        The hard limits of this process. Less than 65,535 open files warns, and less than 1,024 processes (our
        proposal). A low soft limit passes and is told: `ulimit -n` raises it up to the hard one. Other users and
        services have limits of their own.

    What to do
        Raise them in /etc/security/limits.d, with LimitNOFILE= of the service, or with `docker run --ulimit`.

    Sources
        setrlimit(2); issues #973 and #11201 of PyTorch (read 2026-11).
    """
    files, processes = row(facts, "limit.open_files"), row(facts, "limit.processes")
    if files is None:
        return say.unknown(f"The limits were not read: {facts.why_not('limit.open_files')}.")
    evidence = facts.evidence("limit.open_files", "limit.processes")
    if files[1] is not None and files[1] < _OPEN_FILES:
        return say.warned(
            f"A process here may open {files[1]:,} files and not more.",
            Evidence("open files, hard limit", files[1], source="getrlimit", needs=_OPEN_FILES),
            *evidence,
            safe=(
                "echo '* hard nofile 1048576' | sudo tee /etc/security/limits.d/90-files.conf    (then log in again)",
                "docker run --ulimit nofile=65536:1048576, or LimitNOFILE= in the unit of the service",
            ),
        )
    if processes is not None and processes[1] is not None and processes[1] < _PROCESSES:
        return say.warned(
            f"This user may have {processes[1]:,} processes and threads and not more.",
            Evidence("processes, hard limit", processes[1], source="getrlimit", needs=_PROCESSES),
            *evidence,
            safe=("ulimit -Hu; grep -r nproc /etc/security/limits.d /etc/security/limits.conf",),
        )
    soft = "no limit" if files[0] is None else f"{files[0]:,} files"
    raised = "" if files[0] == files[1] else f"; `ulimit -n {files[1] or 'unlimited'}` raises it"
    return say.passed(f"A process here may open {soft}{raised}.", *evidence)


_NEAR, _FULL = 0.80, 0.95


@check("sys.fds_pids", level="instant", not_on=("paste",))
def fds_pids(facts: Facts, say: Verdict) -> Finding:
    """The kernel has room for more open files and processes.

    What it finds
        A machine or a container that has used up its open files or its processes.

    Why it matters
        The next program can't start or open a file, whatever its own limits say: "Too many open files in system",
        "Resource temporarily unavailable".

    How it is decided
        Open files against fs.file-max; tasks against the lower of kernel.pid_max and kernel.threads-max; tasks of the
        control group against pids.max. From 80 % it warns, from 95 % it fails.

    What to do
        Find the program that leaks them, and end it; raise the limit afterwards.

    Sources
        proc_sys_fs(5), proc_sys_kernel(5); the shares are those of leptonai/gpud (read 2026-11).
    """
    uses = _uses(facts)
    if not uses:
        return say.unknown(f"Open files and tasks were not counted: {facts.why_not('fds.allocated')}.")
    name, used, most = max(uses, key=lambda one: one[1] / one[2])
    evidence = tuple(Evidence(one, count, needs=f"below {limit}") for one, count, limit in uses)
    share = used / most
    if share >= _NEAR:
        tell = say.failed if share >= _FULL else say.warned
        return tell(
            f"{used:,.0f} of {most:,.0f} {name} are in use ({share:.0%}).",
            *evidence,
            safe=(
                "ps -eo comm= | sort | uniq -c | sort -n | tail",
                "sudo sh -c 'for p in /proc/[0-9]*; do echo $(ls $p/fd | wc -l) $(cat $p/comm); done' | sort -n | tail",
            ),
        )
    return say.passed(f"At most {share:.0%} of any limit is in use ({name}).", *evidence)


def _uses(facts: Facts) -> list[tuple[str, float, float]]:
    files, group = row(facts, "fds.allocated"), row(facts, "pids.control_group")
    found = [("open files of the system", *files)] if files else []
    tasks = facts.number("pids.tasks")
    limits = [one for one in (facts.number("pids.max"), facts.number("pids.threads_max")) if one]
    if tasks is not None and limits:
        found.append(("tasks of the system", tasks, min(limits)))
    if group:
        found.append(("tasks of this control group", group[1], group[0]))
    return [one for one in found if one[2] > 0]


_MANY, _TOO_MANY = 1_000, 2_000
_MANY_SHARE, _TOO_MANY_SHARE = 0.20, 0.80


@check("sys.zombies", level="quick", leads=("sys.fds_pids",), not_on=("paste",))
def zombies(facts: Facts, say: Verdict) -> Finding:
    """Dead processes are taken away by their parents.

    What it finds
        Many processes that ended and wait for a parent that does not look after its children.

    Why it matters
        Each holds a process number. When they run out, nothing starts any more. In a container it mostly means a first
        process that is no init.

    How it is decided
        1,000 or a fifth of kernel.pid_max warn; 2,000 or four fifths fail.

    What to do
        Restart the parent that is named. In containers use `docker run --init` or an init in the image.

    Sources
        The numbers are those of leptonai/gpud and facebookresearch/gcm (read 2026-11).
    """
    count = facts.number("processes.zombies")
    if count is None:
        return say.unknown(f"Dead processes were not counted: {facts.why_not('processes.zombies')}.")
    most = facts.number("pids.max") or float("inf")
    if count < _MANY and count < _MANY_SHARE * most:
        return say.passed(f"Dead processes that wait for their parents: {int(count)}.")
    tell = say.failed if count >= _TOO_MANY or count >= _TOO_MANY_SHARE * most else say.warned
    parents = rows(facts, "processes.zombie_parent")
    whose = f"; {parents[0][2]} are children of {parents[0][1]} ({parents[0][0]})" if parents else ""
    return tell(
        f"{int(count):,} dead processes wait for their parents{whose}.",
        Evidence("zombies", int(count), source="/proc/*/stat", needs=f"below {_MANY}"),
        *facts.evidence("processes.zombie_parent"),
        safe=("ps -eo ppid=,stat= | awk '$2 ~ /^Z/ {print $1}' | sort | uniq -c | sort -n | tail",),
        risky=("restart the parent",),
    )


CHECKS = (ulimits, zombies, fds_pids)
