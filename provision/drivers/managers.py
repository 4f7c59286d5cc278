"""What the package managers are asked, word by word, and what their rehearsals say that they would remove (PURE).

Signature checks are never off, files of the user's own stay as they are, and nothing waits for an answer.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from .steps import Packages
from .words import package_words, packages_argv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .steps import Manager, Step

LOCK_WAIT_S: Final = 600
"""How long a package manager waits for another one, such as unattended upgrades, to let go of its lock."""

#: What every request of a program is given besides, right behind its name.
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "apt-get": (
        # apt 1.9.11 and newer (its changelog); older ones pass it over and fail at once where the lock is held.
        "-o",
        f"DPkg::Lock::Timeout={LOCK_WAIT_S}",
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
    ),
    # Else packages go that nobody asked about, because the driver was the last to need them.
    "dnf": ("--setopt=clean_requirements_on_remove=False",),
}

#: Exit statuses that are no failure: those of zypper say that it went well, and that patches, a restart of the machine
#: or of zypper itself are due (zypper(8), exit codes 100 to 103; read 2026-11).
_GOOD_STATUSES: Final = {"zypper": (0, 100, 101, 102, 103)}

#: Programs whose work can be ended without leaving half of something. A package manager is none of them.
MAY_END: Final = frozenset({"modprobe", "mokutil", "nvidia-ctk", "nvidia-smi", "systemctl", "timeout"})

#: What is set for every child. needrestart would restart services of the user's in the middle of a driver change.
ENVIRONMENT: Final = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
    "ZYPP_LOCK_TIMEOUT": str(LOCK_WAIT_S),
    "LC_ALL": "C",
}


def argv_of(action: Packages) -> tuple[str, ...]:
    """The command of a plan's text, with what keeps it from asking, and from giving up on a lock."""
    program, *words = packages_argv(action)
    return (program, *_OPTIONS.get(program, ()), *words)


def is_good(program: str, status: int | None) -> bool:
    """Whether an exit status of a program says that it did what it was asked for."""
    return status in _GOOD_STATUSES.get(program, (0,))


def rehearsal_of(action: Packages) -> tuple[str, ...] | None:
    """The command that says what an action would remove and changes nothing; None where it removes nothing."""
    if action.verb not in ("install", "remove"):
        return None
    if action.manager == "apt":
        return ("apt-get", "-s", action.verb, *package_words(action))
    if action.manager == "dnf":
        return ("dnf", *_OPTIONS["dnf"], "--assumeno", action.verb, *package_words(action))
    agreed = ("--auto-agree-with-licenses",) if action.verb == "install" else ()
    return ("zypper", "--non-interactive", "--xmlout", action.verb, *agreed, "--dry-run", *package_words(action))


# Remv nvidia-driver-535 [535.183.01-0ubuntu0.22.04.1]
# Purg wget [1.21.3-1+deb12u1]
_APT_REMOVES: Final = re.compile(r"^(?:Remv|Purg) (\S+)", re.MULTILINE)
# Removing dependent packages:
#  mod_ssl              x86_64      1:2.4.62-1.el9     @appstream          256 k
_DNF_SECTION: Final = re.compile(r"^Removing(?: dependent packages| unused dependencies)?:\n((?: .*\n)*)", re.MULTILINE)
_DNF_ROW: Final = re.compile(r"^ (\S+)", re.MULTILINE)  # rows that go on stand deeper
# <to-remove>
# <solvable type="package" name="git" edition="2.51.0-150600.3.12.1" arch="x86_64" repository="@System" ...>
_ZYPPER_SECTION: Final = re.compile(r"<to-remove>(.*?)</to-remove>", re.DOTALL)
_ZYPPER_ROW: Final = re.compile(r'<solvable\b[^<>]*?\bname="([^"]*)"')


def removed_packages(manager: Manager, rehearsal: str) -> tuple[str, ...]:
    """Names of the packages that a rehearsal's output says would go, in its order."""
    if manager == "apt":
        return tuple(name.partition(":")[0] for name in _APT_REMOVES.findall(rehearsal))
    sections, row = (_DNF_SECTION, _DNF_ROW) if manager == "dnf" else (_ZYPPER_SECTION, _ZYPPER_ROW)
    return tuple(name for section in sections.findall(rehearsal) for name in row.findall(section))


def unwanted_removals(step: Step, action: Packages, removed: Iterable[str]) -> tuple[str, ...]:
    """Of the packages that would go, those that no action of the step names, also not by a pattern."""
    packages = [one for one in (*step.actions, *step.undo) if isinstance(one, Packages)]
    named = [re.split("[<=]", name)[0] for one in (action, *packages) for name in (*one.names, *one.without)]
    return tuple(name for name in removed if not any(_covers(pattern, name) for pattern in named))


def _covers(word: str, name: str) -> bool:
    """Whether a word of a plan means a package: its name, a pattern, or a name with the version that rpm adds to it."""
    return fnmatchcase(name, word) or bool(re.match(rf"{re.escape(name)}-\d", word))


def mending_of(manager: Manager) -> tuple[str, ...] | None:
    """What finishes a transaction that broke off; None where the manager does so when it is asked for the same again.

    An rpm transaction leaves no state that would have to be finished first; dpkg refuses to go on before this was run.
    """
    return ("dpkg", "--force-confdef", "--force-confold", "--configure", "-a") if manager == "apt" else None
