"""Everything that is decided before steps are written: box, branch, kernel module, source, names of packages (PURE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .steps import FetchKey, Packages, Proof, RemoveFile, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..matrix.driver_sources import PackageNames, Repository
    from ..matrix.model import DriverBranch
    from .box import Box
    from .steps import Action
    from .wish import Flavour, Origin

#: Stands in a name where the running kernel is not known: the renderings put `uname -r` there.
RUNNING_KERNEL = "{kernel}"

_LEAST_BOOT_MIB = 300
_LEAST_USR_GIB = 4
_PATIENCE_S = 60
"""How long a machine that has just started may be busy with its own upgrades."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be installed, and by which names."""

    box: Box
    branch: DriverBranch
    flavour: Flavour
    origin: Origin
    names: PackageNames
    repository: Repository | None
    """NVIDIA's repository; None where the distribution's archive has everything."""
    kernel_flavour: str | None
    """Rest of the name of Ubuntu's kernel package: generic, generic-hwe-24.04, aws."""
    for_display: bool
    """Whether a GPU may drive a screen, so that the parts for it are installed, too."""

    @property
    def manager(self) -> str:
        """apt, dnf or zypper."""
        return self.box.distribution.manager

    @property
    def is_there(self) -> bool:
        """Whether the driver that is there is the one of the plan, and the next start loads it."""
        box = self.box
        return (
            box.release is not None
            and box.release.branch == self.branch.branch
            and box.flavour in (None, self.flavour)
            and not box.has_runfile
            and not box.lacks_module
        )

    @property
    def is_prebuilt(self) -> bool:
        """Whether the module comes built and signed, so that neither DKMS nor an own key is needed."""
        if self.names.scheme == "suse":
            return self.flavour == "open"
        return bool(self.names.prebuilt and self.kernel_flavour) and not self.box.is_pinned

    def filled(self, name: str, kernel: str = RUNNING_KERNEL) -> str:
        """A name with the words of this job in it."""
        text = name.replace("{branch}", str(self.branch.branch)).replace("{kernel}", kernel)
        return text.replace("{flavour}", self.kernel_flavour or "")

    def of_flavour(self, name: str) -> str:
        """The name of the kernel module's flavour of a package that is written down for the open one."""
        return name if self.flavour == "open" else name.replace("-open", "")

    @property
    def driver(self) -> tuple[str, ...]:
        """Packages that bring the driver, that of the kernel module among them."""
        names = self.names.open if self.flavour == "open" else self.names.proprietary
        if self.for_display and self.names.with_display:
            names = tuple(map(self.of_flavour, self.names.with_display))
        module = self.names.prebuilt if self.is_prebuilt and self.names.prebuilt else self.names.dkms
        modules = (self.of_flavour(module),) if module else ()
        return tuple(self.filled(name) for name in (*modules, *names))

    @property
    def fabric(self) -> tuple[str, ...]:
        """Packages of the fabric manager."""
        return tuple(self.filled(name) for name in self.names.fabric)


# --- actions and proofs by package manager ------------------------------------------------------


def packages(job: Job, verb: str, names: Iterable[str] = ()) -> Packages:
    """A request to the package manager of the box."""
    return Packages(job.box.distribution.manager, verb, tuple(names))  # type: ignore[arg-type]


def installed(job: Job, names: Iterable[str], what: str) -> Proof:
    """All of these packages are installed."""
    wanted = tuple(names)
    if job.manager == "apt":
        pattern = rf"\A(?:installed\n){{{len(wanted)}}}\Z"
        return Proof(("dpkg-query", "-W", "-f", "${db:Status-Status}\\n", *wanted), what, matches=pattern)
    return Proof(("rpm", "-q", *wanted), what)


def known(job: Job, name: str) -> Proof:
    """The package sources have a package."""
    do = f"see which branches there are: {_listing(job)}; another one: gpusetup driver plan --branch N"
    if job.manager == "apt":
        return Proof(("apt-cache", "policy", name), f"the archive has {name}", r"Candidate: (?!\(none\))\S", do)
    if job.manager == "dnf":
        return Proof(("dnf", "-q", "list", name), f"the repositories have {name}", do=do)
    argv = ("zypper", "--non-interactive", "search", "--match-exact", name)
    return Proof(argv, f"the repositories have {name}", do=do)


def _listing(job: Job) -> str:
    if job.manager == "apt":
        return "apt-cache search --names-only '^nvidia-(driver|open|headless)'"
    return "dnf list --showduplicates 'nvidia-open*'" if job.manager == "dnf" else "zypper search nvidia-open"


def quiet(job: Job) -> tuple[Proof, ...]:
    """No other program works on packages, and none is half installed."""
    if job.manager != "apt":
        return ()
    do = "wait until the other program is done (unattended-upgrades?), or: dpkg --configure -a"
    argv = ("apt-get", "-o", f"DPkg::Lock::Timeout={_PATIENCE_S}", "check")
    return (Proof(argv, "no other program works on packages, and none is half installed", do=do),)


def has_gpu() -> Proof:
    """An NVIDIA device is on the PCI bus."""
    do = "install pciutils if lspci is missing; else the device is not there: gpusetup check"
    return Proof(("lspci", "-d", "10de:"), "an NVIDIA device is on the PCI bus", r"\S", do)


def has_room() -> tuple[Proof, ...]:
    """/boot and /usr have room for a driver and its initramfs."""
    return (
        Proof(
            ("df", "--output=avail", "-BM", "/boot"),
            f"/boot has {_LEAST_BOOT_MIB} MiB free",
            r"(?m)^\s*(?:[3-9]\d\d|\d{4,})M",
            "remove old kernels",
        ),
        Proof(
            ("df", "--output=avail", "-BM", "/usr"),
            f"/usr has {_LEAST_USR_GIB} GiB free",
            r"(?m)^\s*(?:409[6-9]|4[1-9]\d\d|[5-9]\d{3}|\d{5,})M",
            "make room on the file system of /usr",
        ),
    )


# --- steps that every manager shares ------------------------------------------------------------


def install(job: Job, step_id: str, names: tuple[str, ...], why: str, *, needs: tuple[Proof, ...] = ()) -> Step:
    """A step that installs packages."""
    return Step(
        id=step_id,
        why=why,
        actions=(packages(job, "install", names),),
        undo=(packages(job, "remove", names),),
        needs=(*quiet(job), *needs),
        done_when=(installed(job, names, f"{names[0]} is installed"),),
    )


def write(step_id: str, path: str, text: str, why: str) -> Step:
    """A step that writes a file."""
    return Step(
        id=step_id,
        why=why,
        actions=(WriteFile(path, text),),
        undo=(RemoveFile(path),),
        done_when=(Proof(("grep", "-qF", "--", _telling(text), path), f"{path} is written"),),
    )


def _telling(text: str) -> str:
    """The line of a text that tells it from others: the last one that is no bracket."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 2]  # noqa: PLR2004  a bracket
    return lines[-1]


def repository_steps(job: Job, repository: Repository, *, name: str, keyring: str) -> tuple[Step, ...]:
    """Key, sources file and fresh lists of a repository; nothing where it is configured already."""
    address = repository.address_for(job.box.arch)
    key = repository.key_for(job.box.arch)
    if address is not None and job.box.has_source(address):
        return (refresh(job),)
    if address is None or key is None or repository.fingerprint is None:
        msg = f"{repository.name} was not checked before its steps were written"
        raise ValueError(msg)
    fetch = FetchKey(key, keyring, repository.fingerprint)
    actions: tuple[Action, ...] = (fetch,)
    if job.manager == "zypper":  # which asks whether to trust a key that rpm does not know
        actions = (fetch, Run(("rpm", "--import", keyring)))
    path, text = sources_file(job, name, address, keyring)
    step_id = name.replace("_", "-")
    return (
        Step(
            id=f"{step_id}-key",
            why=f"the key that signs {address}; it is taken only with fingerprint {repository.fingerprint}",
            actions=actions,
            undo=(RemoveFile(keyring),),
            needs=(
                Proof(("gpg", "--version"), "gpg is installed", do="install gnupg: the fingerprint is read with it"),
            ),
            done_when=(
                Proof(
                    ("gpg", "--batch", "--show-keys", "--with-colons", keyring),
                    "the key is there with its fingerprint",
                    only_key(repository.fingerprint),
                ),
            ),
        ),
        write(f"{step_id}-repository", path, text, "NVIDIA's packages; every one is checked against that key"),
        refresh(job, step_id=f"{step_id}-lists"),
    )


def only_key(fingerprint: str) -> str:
    """Pattern of what gpg --with-colons says of a file with that primary key and no other."""
    return rf"\A(?:(?!pub:).*\n)*pub:.*\n(?:(?!pub:|fpr:).*\n)*fpr:+{fingerprint}:.*\n(?:(?!pub:).*\n)*\Z"


def sources_file(job: Job, name: str, address: str, keyring: str) -> tuple[str, str]:
    """Path and text of the file that names a repository."""
    if job.manager == "apt":
        suite = "/" if address.endswith("/") else " /"
        line = f"deb [signed-by={keyring}] {address}{' ' + suite if suite == '/' else suite}\n"
        return f"/etc/apt/sources.list.d/{name}.list", line
    folder = "/etc/yum.repos.d" if job.manager == "dnf" else "/etc/zypp/repos.d"
    lines = (
        f"[{name}]",
        f"name={name}",
        f"baseurl={address}",
        "enabled=1",
        "gpgcheck=1",
        f"gpgkey=file://{keyring}",
    )
    return f"{folder}/{name}.repo", "\n".join(lines) + "\n"


def refresh(job: Job, step_id: str = "refresh") -> Step:
    """The package lists are read again; there is nothing to take back."""
    return Step(step_id, "the newest lists of the package sources", (packages(job, "refresh"),), needs=quiet(job))
