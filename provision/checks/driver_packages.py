"""Checks of how the driver was installed: driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Verdict, check
from .driver_facts import (
    NOT_THE_HOST,
    library_packages,
    loaded_release,
    module_packages,
    package_release,
    packages,
)
from .remedies import family, hold_driver, who_owns_the_driver

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts

# 535.183.01-0ubuntu0.22.04.1 is of Ubuntu's archive, 535.183.01-0ubuntu1 of NVIDIA's repository
_UBUNTU_ARCHIVE = re.compile(r"-\d+ubuntu0[.~]")
_NVIDIA_REPOSITORY = re.compile(r"-\d+ubuntu1$")
_CORE = re.compile(
    r"(?:libnvidia-(?:compute|ml|gl|decode|encode|extra|cfg1)|nvidia-(?:driver|utils|compute-utils|dkms|kernel))[\w-]*-\d{3}"
)


def _no_packages(facts: Facts, say: Verdict) -> Finding | None:
    if facts.number("driver.packages") is None:
        return say.unknown(f"The packages were not listed ({facts.why_not('driver.packages')}).")
    return None


def _explains(facts: Facts, mine: Finding, other: Finding) -> bool:
    """Package sources say what comes next, not what is here; two installers, or half of a package, do."""
    if mine.status != "warn":
        return True
    if facts.value("driver.runfile"):
        return other.id == "driver.kmd_umd_match"
    return _half_done(facts, Verdict(mine.id)) is not None


@check(
    "driver.package_mix",
    level="quick",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=("driver.kmd_umd_match", "driver.nvml_init", "pci.count_vs_nvml", "driver.module_loaded"),
    explains=_explains,
)
def package_mix(facts: Facts, say: Verdict) -> Finding:
    """The driver comes from one source and is of one release.

    What it finds
        NVIDIA's own installer beside packages, packages of Ubuntu's archive beside those of NVIDIA's repository, a
        kernel module package of another release than the libraries, packages that are half installed, and package
        sources that contradict each other.

    Why it matters
        Each source overwrites files of the other, and the next upgrade of one leaves a driver whose parts do not fit:
        "Driver/library version mismatch", unmet dependencies, or no upgrade at all.

    How it is decided
        Module packages and library packages without a release in common fail: NVML refuses that pair. The rest warns:
        /usr/bin/nvidia-uninstall beside driver packages; versions of both Ubuntu sources; a package that dpkg has not
        finished; one address in two sources files with different keys; a repository of Debian 12 on a newer Debian,
        whose tools no longer accept its key; a source of NVIDIA's without the key that has signed it since 2022.

    What to do
        Choose one source. Remove the other (`sudo nvidia-uninstall`, or the packages), and install again.

    Sources
        NVIDIA Driver Installation Guide; NVIDIA, Updating the CUDA Linux GPG Repository Key; NVIDIA Container Toolkit,
        troubleshooting (read 2026-11).
    """
    if missing := _no_packages(facts, say):
        return missing
    return _drifted(facts, say) or _two_installers(facts, say) or _half_done(facts, say) or _sources(facts, say)


def _drifted(facts: Facts, say: Verdict) -> Finding | None:
    modules, libraries = module_packages(facts), library_packages(facts)
    if not modules or not libraries or set(modules.values()) & set(libraries.values()):
        return None
    module, library = next(iter(modules.items())), next(iter(libraries.items()))
    again = {
        "suse": (f'sudo zypper install "{library[0]} == {module[1]}"', "sudo zypper addlock 'nvidia-*'"),
        "rhel": ("sudo dnf distro-sync '*nvidia*'",),
    }
    return say.failed(
        f"The kernel module of {module[0]} is of {module[1]}, the libraries of {library[0]} are of {library[1]}.",
        Evidence(module[0], str(module[1]), source="packages"),
        Evidence(library[0], str(library[1]), source="packages", needs=str(module[1])),
        safe=who_owns_the_driver(facts.machine) or ("list the driver's packages",),
        risky=(*again.get(family(facts.machine), ("install both of one release",)), "sudo reboot"),
    )


def _two_installers(facts: Facts, say: Verdict) -> Finding | None:
    core = {**module_packages(facts), **library_packages(facts)}
    if facts.value("driver.runfile") and core:
        return say.warned(
            f"NVIDIA's own installer was used here, and packages bring a driver, too: {', '.join(sorted(core))}.",
            *facts.evidence("driver.runfile"),
            safe=("ldconfig -p | grep -E 'libcuda.so.1|libnvidia-ml.so.1'", "tail /var/log/nvidia-installer.log"),
            risky=("sudo nvidia-uninstall    (then install the packages again)",),
        )
    versions = {name: version for name, version in packages(facts).items() if _CORE.match(name)}
    archive = sorted(name for name, version in versions.items() if _UBUNTU_ARCHIVE.search(version))
    nvidia = sorted(name for name, version in versions.items() if _NVIDIA_REPOSITORY.search(version))
    if archive and nvidia:
        return say.warned(
            f"Driver packages come from two sources: {archive[0]} from Ubuntu's archive, {nvidia[0]} from NVIDIA's.",
            Evidence(archive[0], versions[archive[0]], source="dpkg"),
            Evidence(nvidia[0], versions[nvidia[0]], source="dpkg"),
            safe=(f"apt-cache policy {archive[0]} {nvidia[0]}",),
            risky=("pin one source in /etc/apt/preferences.d, sudo apt-get purge '*nvidia*', and install again",),
        )
    return None


def _half_done(facts: Facts, say: Verdict) -> Finding | None:
    rows = (value for value in facts.values("driver.package") if isinstance(value, tuple))
    broken = [str(name) for name, _, state in rows if state != "installed"]
    if not broken:
        return None
    return say.warned(
        f"Packages of the driver are half installed: {', '.join(broken[:5])}.",
        *facts.evidence("driver.package"),
        safe=("dpkg --audit",),
        risky=("sudo dpkg --configure -a && sudo apt-get install --fix-broken",),
    )


def _sources(facts: Facts, say: Verdict) -> Finding:
    rows = [value for value in facts.values("driver.repository") if isinstance(value, tuple)]
    keys: dict[str, dict[str, str | None]] = {}
    for file, address, key in rows:
        keys.setdefault(str(address).rstrip("/"), {})[str(file)] = None if key is None else str(key)
    shown = facts.evidence("driver.repository")
    for address, files in keys.items():
        if len(files) > 1 and len(set(files.values())) > 1:
            return say.warned(
                f"Two sources files name {address} with different keys ({', '.join(sorted(files))}): apt reads none.",
                *shown,
                safe=(f"grep -r {address} /etc/apt/sources.list.d",),
                risky=(f"sudo rm /etc/apt/sources.list.d/{min(files, key=lambda name: files[name] or '')}",),
            )
    host = facts.machine.host
    is_newer = host.os == "debian" and (host.os_version or "").partition(".")[0].isdigit()
    if is_newer and int((host.os_version or "0").partition(".")[0]) > _DEBIAN_OF_OLD_KEY:
        old = [str(file) for file, address, _ in rows if "/debian12/" in str(address)]
        if old:
            return say.warned(
                f"{old[0]} names NVIDIA's repository for Debian 12, whose key this Debian no longer accepts.",
                *shown,
                safe=("sudo apt-get update",),
                risky=(
                    f"replace debian12 by debian{host.os_version} there, with the cuda-keyring package of that folder",
                ),
            )
    bare = [str(file) for file, address, key in rows if key is None and _CUDA_REPOSITORY in str(address)]
    if bare and "cuda-keyring" not in packages(facts) and facts.flag("driver.has_cuda_key") is False:
        return say.warned(
            f"{bare[0]} names NVIDIA's repository without a key, and apt lacks the key that signs it since 2022.",
            *shown,
            safe=("sudo apt-get update    (says NO_PUBKEY A4B469963BF863CC if so)",),
            risky=("sudo apt-key del 7fa2af80; install the cuda-keyring package of that repository",),
        )
    return say.passed("The driver comes from one source.", *facts.evidence("driver.packages"))


_DEBIAN_OF_OLD_KEY = 12
_CUDA_REPOSITORY = "developer.download.nvidia.com/compute/cuda/repos"


@check("driver.packages_held", level="quick", needs=("gpu",), not_on=NOT_THE_HOST)
def packages_held(facts: Facts, say: Verdict) -> Finding:
    """The driver is not exchanged while it runs.

    What it finds
        A box that upgrades its packages by itself, has done so with the driver before, and holds nothing.

    Why it matters
        The libraries are replaced while the old kernel module stays loaded: from that minute on no program starts on
        the GPU, usually at night.

    How it is decided
        Unattended upgrades (apt) or dnf-automatic are on, no driver package is held, pinned, locked or left out, and
        apt's history shows an unattended upgrade of the driver's libraries: that warns. Where it never happened it
        passes and says what is held.

    What to do
        Hold the driver's packages, or leave them out of the unattended upgrades, and upgrade them with a restart.

    Sources
        apt-mark(8); unattended-upgrades, README; dnf-automatic(8) (read 2026-11).
    """
    if missing := _no_packages(facts, say):
        return missing
    if not packages(facts):
        return say.skipped("No package brings the driver here.")
    names = ("driver.held", "driver.pinned", "driver.locked", "driver.upgrade_exceptions")
    held = [one for name in names for one in facts.texts(name) or () if re.search("nvidia|cuda", one)]
    automatic = facts.flag("driver.automatic_upgrades")
    if held:
        return say.passed(f"The driver is held: {', '.join(held[:5])}.", *facts.evidence(*names))
    happened = [value for value in facts.values("driver.package_event") if isinstance(value, tuple) and value[1]]
    if automatic and happened:
        when, _, package, before, after = happened[-1]
        return say.warned(
            f"Unattended upgrades took {package} from {before} to {after} on {when}, and nothing holds the driver.",
            *facts.evidence("driver.automatic_upgrades", "driver.package_event", "driver.held"),
            safe=hold_driver(facts.machine),
        )
    if automatic is None:
        why = facts.why_not("driver.automatic_upgrades")
        return say.unknown(f"Nothing holds the driver; whether packages are upgraded unattended was not read ({why}).")
    how = "upgraded unattended, the driver never so far" if automatic else "not upgraded unattended"
    return say.passed(f"Nothing holds the driver; packages are {how}.", *facts.evidence("driver.automatic_upgrades"))


_ASKED = re.compile(
    r"(?:nvidia-driver|nvidia-headless|nvidia-headless-no-dkms|cuda-drivers|nvidia-open)-(\d{3})(?:-server)?(?:-open)?$"
)


@check("driver.wanted_vs_installed", level="quick", needs=("gpu",), not_on=NOT_THE_HOST)
def wanted_vs_installed(facts: Facts, say: Verdict) -> Finding:
    """The driver is of the branch that was asked for.

    What it finds
        A package that names one branch and brings another: a transitional package, such as nvidia-driver-545 of
        release 550. On RHEL, an enabled module stream of another branch than the driver.

    Why it matters
        Whoever asked for a branch had a reason, and the next person who reads the package list is misled. A stream of
        another branch filters out every upgrade of the driver ("filtered out by modular filtering").

    How it is decided
        The number in the name of the installed packages (nvidia-driver-N, cuda-drivers-N, nvidia-open-N), or in the
        enabled stream of the module nvidia-driver, against the release that is installed. A difference warns: it works.
        Without such a wish it skips.

    What to do
        Ask for the branch that is meant, by its exact package, and hold it. On RHEL: `dnf module reset nvidia-driver`,
        then enable the stream that is meant.

    Sources
        Ubuntu, transitional packages of nvidia-graphics-drivers; NVIDIA Driver Installation Guide, module streams
        (read 2026-11).
    """
    if missing := _no_packages(facts, say):
        return missing
    installed = packages(facts)
    wishes = {name: match[1] for name in installed if (match := _ASKED.match(name))}
    for name, branch in wishes.items():
        release = package_release(installed[name])
        if release and str(release.branch) != branch:
            chain = [Evidence(one, str(found), source="packages") for one, found in library_packages(facts).items()]
            return say.warned(
                f"The package {name} brings driver {release}: its name stands for branch {branch}.",
                Evidence(name, installed[name], source="packages", needs=f"{branch}.*"),
                *chain,
                safe=who_owns_the_driver(facts.machine),
                risky=(f"install the package of branch {branch}, or of the branch that is meant, and hold it",),
            )
    stream = facts.text("driver.module_stream") or ""
    found = loaded_release(facts) or next(iter(library_packages(facts).values()), None)
    match = re.match(r"(\d{3})\b", stream)
    if match and found and str(found.branch) != match[1]:
        return say.warned(
            f"The enabled module stream is {stream}, the driver is {found}: dnf filters out its upgrades.",
            *facts.evidence("driver.module_stream"),
            Evidence("driver", str(found), source="packages", needs=f"{match[1]}.*"),
            safe=("dnf module list nvidia-driver",),
            risky=(f"sudo dnf module reset nvidia-driver && sudo dnf module enable nvidia-driver:{found.branch}-open",),
        )
    if not wishes and not match:
        return say.skipped("No package and no stream names a branch.")
    named = ", ".join(wishes) or f"stream {stream}"
    return say.passed(f"The driver is of the branch that was asked for ({named}).")


CHECKS = (package_mix, wanted_vs_installed, packages_held)
