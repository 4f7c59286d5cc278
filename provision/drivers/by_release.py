"""Requests about rpm packages of exactly the driver's release, which nobody knows before it is installed (PURE).

A plan names packages; which release of them the repository hands out is seen only on the machine. So these commands ask
rpm for it, in the shell, at the moment when they run.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .steps import Proof, Run
from .words import PACKAGE_COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .job import Job

_NAMES = r'rpm -qa --qf "%{{NAME}}\n" "version={version}"'


def locks(job: Job) -> tuple[Run, Run, Proof]:
    """Lock what is installed of the driver's release; take such locks away; whether all of it is locked.

    By what is installed, since dnf's versionlock takes a word that fits nothing installed for every version that the
    repositories have at that moment (dnf-plugins-core, versionlock.py; read 2026-11), and a package of the driver that
    is not locked makes `dnf upgrade` of the whole machine fail, as the others require its release.
    """
    lock, unlock = (" ".join(PACKAGE_COMMANDS["dnf"][verb]) for verb in ("hold", "unhold"))
    release, names = _release(job), _NAMES.format(version="$release")
    all_locked = (
        f"{release}; locked=$(dnf -q versionlock list) || exit 1; for name in $({names}); do"
        r' printf "%s\n" "$locked" | grep -Eq "^$name-[0-9:]*$release-|^Package name: $name\$" || exit 1; done'
    )
    return (
        Run(("sh", "-c", f"{release}; {lock} $({names})")),
        Run(("sh", "-c", f"{unlock} $({_NAMES.format(version=f'{job.branch.branch}.*')})")),
        Proof(("sh", "-c", all_locked), "the driver's packages are locked, all that are installed of its release"),
    )


def install_same(job: Job, names: Iterable[str]) -> Run:
    """Install packages of the driver's release."""
    is_dnf = job.manager == "dnf"
    command = " ".join(PACKAGE_COMMANDS["dnf" if is_dnf else "zypper"]["install"])
    wanted = (f'"{name}-$release"' if is_dnf else f'"{name} = $release"' for name in names)
    return Run(("sh", "-c", f"{_release(job)}; {command} {' '.join(wanted)}"))


def below_next(job: Job, name: str) -> str:
    """A package of the planned branch or an older one, as zypper's install takes it (zypper(8): NAME OP EDITION)."""
    return f"{name}<{job.branch.branch + 1}"


def has_branch(job: Job, name: str) -> Proof:
    """Zypper's repositories have a package in the planned branch."""
    branch = job.branch.branch
    argv = ("zypper", "--non-interactive", "search", "--details", "--match-exact", name)
    do = f"zypper search --details --match-exact {name} shows the others; gpusetup driver plan --branch N"
    return Proof(argv, f"the repositories have {name} of branch {branch}", rf"\|\s*{branch}\.\d", do)


def _release(job: Job) -> str:
    """Shell words after which $release is the driver's release; they end the shell where it is not installed."""
    if job.is_there:
        return f"release={shlex.quote(str(job.box.release))}"
    if job.names.scheme == "suse":  # 595.71.05_k6.4.0_150600.21: the kernel stands behind it
        return f'release=$(rpm -q --qf "%{{VERSION}}\\n" {job.driver[0]} | cut -d_ -f1 | sort -u | tail -n 1)'
    return f'release=$(rpm -q --qf "%{{VERSION}}" {job.driver[-1]}) || exit 1'
