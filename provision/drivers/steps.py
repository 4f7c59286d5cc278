"""Steps of a driver plan as data: what is done, what must hold before, what proves that it is done, what undoes it.

PURE. One list of steps is rendered as text, shell script, cloud-init and Ansible tasks, and is what `driver install`
runs: the renderings never say more or less than the runner does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Manager = Literal["apt", "dnf", "zypper"]
Verb = Literal["refresh", "fetch", "install", "remove", "hold", "unhold"]


@dataclass(frozen=True, slots=True)
class Packages:
    """The package manager is asked for something; never with signature checks off."""

    manager: Manager
    verb: Verb
    """refresh: read the lists again. fetch: have the files here, and change nothing. hold: no upgrade touches them
    (apt-mark, versionlock, addlock)."""
    names: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Packages that go in the same transaction. A name is asked for (fetch and install), since some resolvers find no
    way otherwise; a pattern is not, and only says what may go."""
    kind: Literal["packages"] = "packages"
    """Tells the actions apart where they are written down."""


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A file with exactly this text; what stood there before is kept by the runner and comes back with the undo."""

    path: str
    text: str
    mode: int = 0o644
    kind: Literal["write-file"] = "write-file"


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """A file that must not be there."""

    path: str
    kind: Literal["remove-file"] = "remove-file"


@dataclass(frozen=True, slots=True)
class FetchKey:
    """A signing key of a repository, put into a keyring of its own when its fingerprint is the pinned one."""

    url: str
    path: str
    """/usr/share/keyrings/NAME.gpg, binary for apt; /etc/pki/rpm-gpg/NAME, as published, for dnf and zypper."""
    fingerprint: str
    """40 upper-case hexadecimal digits of the primary key."""
    kind: Literal["fetch-key"] = "fetch-key"


@dataclass(frozen=True, slots=True)
class Run:
    """Any other command; no shell stands between."""

    argv: tuple[str, ...]
    asks: str | None = None
    """What the command asks at the terminal, as a clause; None: nothing, and it may run where nobody sits."""
    kind: Literal["run"] = "run"


@dataclass(frozen=True, slots=True)
class Reboot:
    """The machine starts again; the runner goes on after it."""

    kind: Literal["reboot"] = "reboot"


Action = Packages | WriteFile | RemoveFile | FetchKey | Run | Reboot


@dataclass(frozen=True, slots=True)
class Proof:
    """A question to the machine whose answer is yes or no: a command that changes nothing."""

    argv: tuple[str, ...]
    means: str
    """What a yes says, as a clause: `the headers of the running kernel are installed`."""
    matches: str | None = None
    """Regular expression that its stdout must hold (re.search); None: exit status 0 is the answer."""
    do: str | None = None
    """What to do where the answer is no."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the smallest piece that is done or not done."""

    id: str
    """kebab-case, unique in its plan: `kernel-headers`, `hold-driver`; the journal knows it by this name."""
    why: str
    actions: tuple[Action, ...]
    undo: tuple[Action, ...] = ()
    """What takes it back; empty where nothing has to be (a refresh of lists, a reboot)."""
    needs: tuple[Proof, ...] = ()
    """What must hold before; the runner refuses the step otherwise."""
    done_when: tuple[Proof, ...] = ()
    """All yes: the step is done already and is passed over, so that a second run ends where the first one stopped."""
