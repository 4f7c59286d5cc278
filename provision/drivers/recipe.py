"""The steps of a driver, in an order after each of which the box still boots (PURE).

Keys and lists, headers, what is fetched beforehand, then the old driver's end and the new one's beginning close
together, holds, the key of Secure Boot, the restart.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from .by_release import below_next, has_branch, install_same
from .fabric import fabric_steps
from .holds import driver_holds, hold_steps, pins_there
from .job import (
    RUNNING_KERNEL,
    has_gpu,
    has_room,
    install,
    installed,
    known,
    packages,
    quiet,
)
from .repositories import sources
from .steps import Packages, Proof, Reboot, RemoveFile, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .job import Job
    from .steps import Action

_NOUVEAU = "/etc/modprobe.d/gpusetup-nouveau.conf"


#: One package of these names serves every branch, or none of them in particular.
_OF_ALL_BRANCHES = re.compile(r"linux-signatures-|nvidia-(?:settings|prime|modprobe|xconfig|persistenced)$")


def driver_steps(job: Job, *, fabric: bool, nvlink5: bool) -> Iterator[Step]:
    """Every step from the first key to the restart."""
    yield from sources(job)
    yield from _headers(job)
    if job.box.nouveau:
        yield _without_nouveau(job)
    yield from _branch(job)
    yield from _out_with_the_old(job)
    yield _driver(job)
    if job.box.lacks_module and job.box.next_kernel:
        yield _module_for(job, job.box.next_kernel)
    if fabric:
        yield from fabric_steps(job, nvlink5=nvlink5)
    yield from hold_steps(job, with_fabric=fabric)
    yield from _own_key(job)
    yield reboot(job)


# --- kernel -------------------------------------------------------------------------------------


def _headers(job: Job) -> Iterator[Step]:
    """Headers of the running kernel and of the next one, where a module has to be built."""
    if job.is_prebuilt:
        return
    if job.box.distribution_id in ("rocky", "almalinux", "centos"):
        yield _extra_packages(job)
    kernels = job.box.kernels or (RUNNING_KERNEL,)
    names = dict.fromkeys(job.filled(name, kernel) for kernel in kernels for name in headers_of(job))
    what = " and of the one that the next start brings" if len(kernels) > 1 else ""
    yield install(
        job,
        "kernel-headers",
        tuple(names),
        f"DKMS builds the module for the running kernel{what}",
        needs=tuple(known(job, name) for name in names if RUNNING_KERNEL not in name),
    )


def headers_of(job: Job) -> tuple[str, ...]:
    """Names of the packages with the headers of a kernel."""
    kernel = job.box.kernel or ""
    if kernel.endswith("-pve"):
        numbers = [int(one) for one in re.findall(r"\d+", kernel)[:2]]
        return ("proxmox-headers-{kernel}" if numbers >= [6, 5] else "pve-headers-{kernel}",)
    if "uek" in kernel:
        return ("kernel-uek-devel-{kernel}",)
    if job.box.distribution.name.startswith("amzn") and kernel and not kernel.startswith("6.1."):
        series = ".".join(kernel.split(".")[:2])
        return tuple(name.replace("kernel-", f"kernel{series}-", 1) for name in job.names.headers)
    return job.names.headers


def _extra_packages(job: Job) -> Step:
    """EPEL and CRB, where rebuilds of RHEL keep DKMS and what it needs."""
    crb = "powertools" if job.box.distribution.name == "rhel 8" else "crb"
    return Step(
        id="extra-packages",
        why=f"DKMS is in EPEL, and what it needs in {crb}",
        actions=(
            Packages("dnf", "install", ("epel-release", "dnf-plugins-core")),
            Run(("dnf", "config-manager", "--set-enabled", crb)),
        ),
        undo=(Run(("dnf", "config-manager", "--set-disabled", crb)), Packages("dnf", "remove", ("epel-release",))),
        done_when=(Proof(("dnf", "-q", "list", "dkms"), "dkms can be had"),),
    )


def _without_nouveau(job: Job) -> Step:
    return Step(
        id="without-nouveau",
        why="nouveau holds a GPU now; the initramfs has a copy of this file, so it is written again",
        actions=(WriteFile(_NOUVEAU, "blacklist nouveau\noptions nouveau modeset=0\n"), _initramfs(job)),
        undo=(RemoveFile(_NOUVEAU), _initramfs(job)),
        needs=has_room()[:1],
        done_when=(Proof(("grep", "-q", "^blacklist nouveau", _NOUVEAU), "nouveau is kept from loading"),),
    )


def _initramfs(job: Job) -> Run:
    if job.manager == "apt":
        return Run(("update-initramfs", "-u", "-k", "all"))
    return Run(("dracut", "--force", "--regenerate-all"))


# --- the driver ---------------------------------------------------------------------------------


def _branch(job: Job) -> Iterator[Step]:
    """What keeps the packages on the branch, where their names do not say it."""
    branch = job.branch.branch
    if job.names.stream and job.manager == "dnf":
        stream = f"nvidia-driver:{job.filled(job.names.stream[0 if job.flavour == 'open' else 1])}"
        yield Step(
            id="module-stream",
            why=f"the stream of dnf that brings branch {branch} with the {job.flavour} kernel module, and no other",
            actions=(
                Run(("dnf", "-y", "module", "reset", "nvidia-driver")),
                Run(("dnf", "-y", "module", "enable", stream)),
            ),
            undo=(Run(("dnf", "-y", "module", "reset", "nvidia-driver")),),
            needs=(
                Proof(
                    ("dnf", "-q", "module", "list", "nvidia-driver"),
                    f"the repository has the stream {stream.partition(':')[2]}",
                    rf"\b{re.escape(stream.partition(':')[2])}\b",
                    "dnf module list nvidia-driver shows the others; gpusetup driver plan --branch N",
                ),
            ),
            done_when=(
                Proof(
                    (
                        "grep",
                        "-q",
                        f"^stream *= *{stream.partition(':')[2]}$",
                        "/etc/dnf/modules.d/nvidia-driver.module",
                    ),
                    "the stream is enabled",
                ),
            ),
        )
    if job.manager == "dnf" and job.names.tools:
        yield install(job, "versionlock", job.names.tools, "the plugin of dnf that holds packages")
    if job.names.pin and job.manager == "apt":
        pin = job.filled(job.names.pin)
        step = install(
            job, "pin-branch", (pin,), f"keeps every package of NVIDIA's on branch {branch}", needs=(known(job, pin),)
        )
        others = tuple(name for name in pins_there(job) if name != pin)
        action = Packages("apt", "install", (pin,), without=others)
        yield replace(step, actions=(action,), undo=tuple(_without_pin(job)))
    elif job.names.pin:
        patterns = (job.filled(job.names.pin), f"cuda-drivers*{branch}*")  # whose name has no nvidia in it
        yield Step(
            id="pin-branch",
            why=f"the repository has every branch under one name: nothing but {branch} may be taken",
            actions=(packages(job, "hold", patterns),),
            undo=(packages(job, "unhold", patterns),),
            needs=(
                Proof(
                    ("dnf", "-q", "list", "--showduplicates", "nvidia-open"),
                    f"the repository has branch {branch}",
                    rf"\b{branch}\.\d",
                    "gpusetup driver plan --branch N with one that is listed",
                ),
            ),
            done_when=(Proof(("dnf", "versionlock", "list"), "the branch is locked", rf"nvidia.*{branch}"),),
        )


def _out_with_the_old(job: Job) -> Iterator[Step]:
    """What has to go before the new driver can come; as late as possible, and after the new one was fetched."""
    old = leaving(job)
    if not old and not job.box.has_runfile:
        return
    if held := driver_holds(job):
        yield Step(
            id="release-holds",
            why="these packages are held, and a held package is not exchanged",
            actions=(packages(job, "unhold", held),),
            undo=(packages(job, "hold", held),),
        )
    yield _fetched(job)
    if job.box.has_runfile:
        yield Step(
            id="remove-runfile-driver",
            why="NVIDIA's own installer put a driver here that no package knows of; both overwrite each other's files",
            actions=(Run(("nvidia-uninstall", "--silent")),),
            undo=(),
            needs=has_room(),
            done_when=(Proof(("test", "!", "-e", "/usr/bin/nvidia-uninstall"), "its uninstaller is gone"),),
        )
    if old:
        found = f"driver {job.box.release}" if job.box.release else "what is there"
        yield Step(
            id="remove-old-driver",
            why=f"{found} is of another branch or source, and two do not live together",
            actions=(packages(job, "remove", old),),
            undo=tuple(_back(job, old)),
            needs=quiet(job),
            done_when=(_is_gone(job, old),),
        )


def _is_gone(job: Job, names: tuple[str, ...]) -> Proof:
    """None of these is installed in the version that it has now: some names are those of the new packages, too."""
    versions = dict(job.box.packages or ())
    if job.manager == "apt":
        gone = "|".join(re.escape(f"{name} {versions[name]}") for name in names)
        argv = ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n")
        return Proof(argv, "the old packages are gone", rf"\A(?!(?s:.*)(?m:^installed (?:{gone})$))")
    gone = "|".join(re.escape(f"{name}-{versions[name]}") for name in names)
    return Proof(("rpm", "-qa"), "the old packages are gone", rf"\A(?!(?s:.*)(?m:^(?:{gone})\.))")


def _back(job: Job, old: tuple[str, ...]) -> Iterator[Action]:
    """The old driver once more; what the new one has brought along makes room for it."""
    if job.manager != "apt":
        yield packages(job, "install", old)
        return
    may_go = ("*nvidia*", "libcuda*", "libnv*", "cuda-drivers*")
    if job.names.pin:
        # Where both drivers' packages have the same names, only the pin tells which of them is meant.
        if shared := tuple(name for name in old if not re.search(r"-\d{3}(?:-|$)", name)):
            yield Packages("apt", "remove", shared, without=may_go)
        yield from _without_pin(job)
    names = tuple(name for name in old if not _is_of_one_release(name, old))
    yield Packages("apt", "install", names, without=may_go)


def _without_pin(job: Job) -> Iterator[Action]:
    """No pin to this branch, and that of before in its place."""
    # The preferences are a configuration file: after a mere removal they would still hold.
    pin = job.filled(job.names.pin or "")
    yield Run(("apt-get", "purge", "--yes", pin))
    if others := tuple(name for name in pins_there(job) if name != pin):  # one pin drives the other out
        yield Packages("apt", "install", others)


def _is_of_one_release(name: str, names: tuple[str, ...]) -> bool:
    """Whether a package is of one release of the driver, or of one kernel, and another one brings it in its time."""
    stem = re.sub(r"-\d+\.\d+\.\d+-\d+(?=-)", "", name)
    follows = stem.replace("linux-objects-", "linux-modules-")
    is_brought = stem != name and (stem.startswith("linux-signatures") or any(one.startswith(follows) for one in names))
    return is_brought or bool(re.search(r"-\d{3}\.\d+\.\d+$", name))


def leaving(job: Job) -> tuple[str, ...]:
    """Installed driver packages that have no place beside the new ones."""
    fabric = tuple(name for name in job.box.fabric_packages if name not in job.fabric)
    pins = pins_there(job) if job.names.pin else ()  # whom the new one drives out
    names = (*(name for name in job.box.driver_packages if name not in pins), *fabric)
    if job.box.release is not None and job.box.release.branch == job.branch.branch and not _is_of_other_origin(job):
        return tuple(name for name in names if name not in job.driver and _is_other_flavour(job, name))
    return names


def _is_other_flavour(job: Job, name: str) -> bool:
    is_module = re.match(
        r"nvidia-(?:dkms|kernel-source|headless|driver)-|linux-(?:modules|objects)-nvidia|kmod-nvidia", name
    )
    return bool(is_module) and (("-open" in name) != (job.flavour == "open"))


def _is_of_other_origin(job: Job) -> bool:
    """Whether the driver that is there came from another source than the new one will."""
    versions = [version for name, version in job.box.packages or () if name in job.box.driver_packages]
    if not job.box.distribution.name.startswith("ubuntu"):
        return False
    is_archive = any(re.search(r"-\d+ubuntu0[.~]", version) for version in versions)
    is_nvidia = any(re.search(r"-\d+ubuntu1$", version) for version in versions)
    return is_nvidia if job.origin == "distro" else is_archive


def _fetched(job: Job) -> Step:
    """The new packages are fetched while the old driver still works."""
    # From a box that was not upgraded, apt finds no way to another branch as long as the old one is not named.
    without = _of_old_branch(job) if job.manager == "apt" else ()
    names = tuple(below_next(job, name) for name in job.driver) if job.manager == "zypper" else job.driver
    return Step(
        id="fetch-driver",
        why="everything is fetched while the old driver still works: a network that fails later takes nothing away",
        actions=(Packages(job.box.distribution.manager, "fetch", names, without=without),),
        needs=(*quiet(job), *(known(job, name) for name in job.driver)),
    )


def _coming(job: Job, names: tuple[str, ...]) -> tuple[str, ...]:
    """Of the driver's packages, those that are not there already and stay."""
    stay = set(job.box.driver_packages) - set(leaving(job))
    return tuple(name for name in names if name not in stay) or names


def _of_old_branch(job: Job) -> tuple[str, ...]:
    """Of the packages that leave, those of whose names none can be a new one's."""
    new = {*job.driver, *job.fabric}
    branch = job.branch.branch
    # The new packages' names have the branch in them, or no branch: then old ones without it may be asked for, too.
    has_branch = all(re.search(rf"-{branch}(?:-|$)", name) for name in job.driver)
    told = (name for name in leaving(job) if has_branch or re.search(r"-\d{3}(?:-|$)", name))
    return tuple(name for name in told if name not in new and not _OF_ALL_BRANCHES.match(name))


def _driver(job: Job) -> Step:
    branch, names = job.branch.branch, job.driver
    how = "signed and built by the distribution" if job.is_prebuilt else "built here by DKMS"
    needs = (has_gpu(), *has_room(), *quiet(job), *(known(job, name) for name in names))
    actions: tuple[Action, ...] = (packages(job, "install", names),)
    why = f"branch {branch} with the {job.flavour} kernel module, {how}"
    if job.names.scheme == "suse":
        actions = _suse_actions(job)
        needs = (*needs, has_branch(job, names[0]))
    elif job.origin == "distro" and job.box.has_ubuntu_drivers and job.is_prebuilt and not job.for_display:
        # It knows which kernel packages this box follows; what it leaves out comes after it.
        word = f"{branch}-server" + ("-open" if job.flavour == "open" else "")
        actions = (Run(("ubuntu-drivers", "install", "--gpgpu", f"nvidia:{word}")), *actions)
        offer = Proof(
            ("ubuntu-drivers", "list", "--gpgpu"),
            f"Ubuntu offers branch {word} for these GPUs",
            rf"nvidia-(?:driver|headless[\w-]*)-{word}\b",
            "ubuntu-drivers list --gpgpu shows what it offers",
        )
        needs = (*needs, offer)
        why += "; ubuntu-drivers picks the modules for the kernels here"
    return Step(
        id="driver",
        why=why,
        actions=actions,
        undo=(packages(job, "remove", _coming(job, names)),),
        needs=needs,
        done_when=(installed(job, names, f"driver {branch} is installed"), _is_of_branch(job)),
    )


def _module_for(job: Job, kernel: str) -> Step:
    """The module of the kernel that the next start brings, where it is known to have none."""
    proof = Proof(("modinfo", "-k", kernel, "-F", "version", "nvidia"), f"{kernel} has the driver's module")
    if job.is_prebuilt and job.names.prebuilt:
        name = job.of_flavour(job.names.prebuilt).replace("{flavour}", "{kernel}")
        names = (job.filled(name, kernel),)
        made = install(job, "next-kernel-module", names, "", needs=(known(job, names[0]),))
        actions, undo, needs = made.actions, made.undo, made.needs
    else:
        actions, undo, needs = (Run(("dkms", "autoinstall", "-k", kernel)),), (), ()
    why = f"the next start brings {kernel}, which has no module of the driver: the GPU would be gone"
    return Step("next-kernel-module", why, actions, undo, needs, (proof,))


def _is_of_branch(job: Job) -> Proof:
    """The last of the driver's packages is of the branch: some names are the same for all."""
    branch, name = job.branch.branch, job.driver[-1]
    argv: tuple[str, ...] = ("rpm", "-q", "--qf", "%{VERSION}\\n", name)
    if job.manager == "apt":
        argv = ("dpkg-query", "-W", "-f", "${Version}\\n", name)
    return Proof(argv, f"it is of branch {branch}", rf"^(?:\d+:)?{branch}\.")


def _suse_actions(job: Job) -> tuple[Action, ...]:
    """The kernel module of SUSE first, then user space of exactly its release, which nobody knows beforehand.

    Several branches stand under the name of the module, and zypper would take the newest of them.
    """
    module, *others = job.driver
    return (
        packages(job, "install", (below_next(job, module),)),
        install_same(job, (*others, "nvidia-persistenced")),
    )


# --- Secure Boot and restart --------------------------------------------------------------------


def _own_key(job: Job) -> Iterator[Step]:
    """With Secure Boot on, a module that was built here loads only after its key was enrolled at the console."""
    if job.is_prebuilt or job.box.has_secure_boot is not True:
        return
    key = job.box.distribution.key_for_modules
    yield Step(
        id="enrol-key",
        why="Secure Boot is on: the kernel loads the module only when this key is enrolled, at the console, during the"
        " next start",
        actions=(
            Run(
                ("mokutil", "--import", key),
                asks="a password for one use, which the console asks for at the next start",
            ),
        ),
        undo=(Run(("mokutil", "--revoke-import")),),
        needs=(
            Proof(
                ("test", "-s", key),
                f"DKMS made its key, {key}",
                do="dkms generate_mok, or: update-secureboot-policy --new-key",
            ),
            Proof(("mokutil", "--sb-state"), "Secure Boot answers", "SecureBoot", "install mokutil"),
        ),
        done_when=(
            Proof(
                ("mokutil", "--test-key", key),
                "the key is enrolled",
                "is already enrolled|already in the enrollment request",
            ),
        ),
    )


def reboot(job: Job) -> Step:
    """The restart that loads the new module."""
    kernel = job.box.next_kernel
    argv = ("find", "/lib/modules", "-name", "nvidia*.ko*")
    there = Proof(argv, "a kernel on disk has the driver's module", r"/nvidia(?:-current)?\.ko", "dkms status")
    if kernel and not job.is_prebuilt:
        there = Proof(
            ("modinfo", "-k", kernel, "-F", "version", "nvidia"),
            f"the kernel of the next start, {kernel}, has the driver's module",
            rf"\b{job.branch.branch}\.",
            f"dkms status; dkms autoinstall -k {kernel}",
        )
    return Step(
        id="reboot",
        why="loads the new module and leaves the old one, or nouveau, behind",
        actions=(Reboot(),),
        needs=(there,),
        done_when=(
            Proof(
                ("cat", "/sys/module/nvidia/version"),
                f"driver {job.branch.branch} is loaded",
                rf"^{job.branch.branch}\.",
            ),
        ),
    )
