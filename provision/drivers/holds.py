"""What keeps an upgrade from exchanging a part of the driver: holds, pins, the list of unattended upgrades (PURE)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .by_release import locks
from .job import (
    packages,
    write,
)
from .steps import Proof, Run, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .job import Job

_NO_UPGRADES = "/etc/apt/apt.conf.d/52gpusetup-unattended-upgrades"


def hold_steps(job: Job, *, with_fabric: bool) -> Iterator[Step]:
    """No upgrade exchanges the driver, or the kernel under it, alone."""
    if job.manager == "apt":
        yield _no_unattended(job)
    why = (
        "an upgrade would leave library and kernel module of two releases until the next start; all are exchanged"
        " together"
    )
    if job.manager == "dnf":
        lock, unlock, proof = locks(job)
        yield Step("hold-driver", why, (lock,), (unlock,), done_when=(proof,))
        return
    names = held_names(job, with_fabric=with_fabric)
    every = _hold_every(job) if job.manager == "apt" and not job.is_there else None
    released = set(driver_holds(job))
    stay_held = {name for name in job.box.held if name not in released}
    kernel = ", with the kernel that its module was built for" if job.is_prebuilt and job.names.prebuilt else ""
    yield Step(
        id="hold-driver",
        why=f"{why}{kernel}",
        actions=(packages(job, "hold", names), *((every[0],) if every else ())),
        undo=(
            *((every[1],) if every else ()),
            packages(job, "unhold", (name for name in names if name not in stay_held)),
        ),
        done_when=(*(_is_held(job, name) for name in names), *((every[2],) if every else ())),
    )


def _hold_every(job: Job) -> tuple[Run, Run, Proof]:
    """Holds every package of the driver's branch, takes that back, and the proof that none was left out.

    The packages of NVIDIA's repositories need each other in exactly one release, and their names are not known before
    they are there. Were only the first one held, apt would find no way to upgrade the others, nor anything else. Some
    of Debian's and Ubuntu's are not tied to the others, and would go on alone: firmware-nvidia-gsp, without which no
    GPU starts, and libnvidia-common.
    """
    branch = job.branch.branch  # without the pin itself, for which another one may come
    version = rf"([0-9]+:)?{branch}[.][0-9.]+[^ ]*"
    listed = "dpkg-query -W -f '${db:Status-%s} ${Version} ${binary:Package}\\n'"

    def each(wanted: str, selection: str, verb: str) -> Run:
        chosen = f"sed -nE '/ nvidia-driver-pinning-/d; s/^{wanted} {version} //p'"
        return Run(("sh", "-c", f"{listed % selection} | {chosen} | xargs -r apt-mark {verb}"))

    proof = Proof(
        ("dpkg-query", "-W", "-f", "${db:Status-Want} ${Version} ${Package}\\n"),
        f"no package of branch {branch} is left out",
        rf"\A(?!(?s:.*)(?m:^install (?:\d+:)?{branch}\.\S+ (?!nvidia-driver-pinning-)))",
    )
    return each("installed", "Status", "hold"), each("hold", "Want", "unhold"), proof


def held_names(job: Job, *, with_fabric: bool) -> tuple[str, ...]:
    """What is held: the packages that are there where they stay, else those that are about to come."""
    if job.is_there and job.manager == "apt" and job.box.driver_packages:
        pins = pins_there(job)
        return (*(name for name in job.box.driver_packages if name not in pins), *job.box.fabric_packages)
    names = list(job.driver) if job.manager == "apt" else []
    names += [job.filled(name) for name in job.names.hold]
    if with_fabric:
        names += job.fabric
    if job.is_prebuilt and job.names.prebuilt:
        names.append(f"linux-image-{job.kernel_flavour}")
    return tuple(dict.fromkeys(names))


def _is_held(job: Job, name: str) -> Proof:
    if job.manager == "apt":
        return Proof(("apt-mark", "showhold"), f"{name} is held", rf"(?m)^{re.escape(name)}$")
    # 1 | nvidia-open-driver-G07-signed-cuda-kmp-default | package | (any)
    return Proof(("zypper", "locks"), f"{name} is locked", rf"(?m)\|\s*{re.escape(name)}\s*\|")


def _no_unattended(job: Job) -> Step:
    # The container toolkit may go on: it is no part of the driver.
    names = ["nvidia-(?!container)", "libnvidia-(?!container)", "libcuda1", "cuda-drivers", "linux-modules-nvidia-"]
    if job.is_prebuilt:
        names += ["linux-image-", "linux-headers-"]
    lines = "".join(f'    "{name}";\n' for name in names)
    text = f"Unattended-Upgrade::Package-Blacklist {{\n{lines}}};\n"
    why = "unattended upgrades leave the driver alone"
    if job.is_prebuilt:
        why += ", and the kernel, whose module comes with it: upgrade both by hand, then restart"
    return write("no-unattended-upgrades", _NO_UPGRADES, text, why)


def driver_holds(job: Job) -> tuple[str, ...]:
    """Of the packages that are held, the driver's: the kernel's stay so."""
    return tuple(name for name in job.box.held if re.search("nvidia|cuda|^libnv", name))


def pins_there(job: Job) -> tuple[str, ...]:
    """Installed packages that pin NVIDIA's others to a branch."""
    return tuple(name for name in job.box.driver_packages if name.startswith("nvidia-driver-pinning-"))
