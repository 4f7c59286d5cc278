"""Checks of the kernel's modules on disk and of the next start: kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .driver_facts import (
    NOT_THE_HOST,
    WITHOUT_MODULE,
    dkms_entries,
    explains_without_module,
    has_headers,
    installed_release,
    loaded_release,
    module_packages,
    modules_on_disk,
    running_kernel,
)
from .remedies import build_module, install_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..records import Finding
    from .base import Facts, Verdict


def _next(facts: Facts) -> tuple[str, bool] | None:
    """Kernel of the next start and whether that is sure; None when nobody knows."""
    name = facts.text("kernel.next")
    return (name, bool(facts.flag("kernel.next_is_sure"))) if name else None


def _kernels(facts: Facts) -> tuple[tuple[str, str, bool], ...]:
    """The running kernel where its module is not loaded, and the next one: name, words, whether that is sure."""
    running, following = running_kernel(facts), _next(facts)
    found = []
    if running and loaded_release(facts) is None:
        found.append((running, "the running kernel", True))
    if following and following[0] != running:
        found.append((following[0], "the kernel of the next start", following[1]))
    elif following and not found:
        found.append((following[0], "the running kernel", following[1]))
    return tuple(found)


def _explains(facts: Facts, mine: Finding, other: Finding) -> bool:
    """As for any module that does not load; a package that dpkg has not finished is one whose module was not built."""
    if other.id == "driver.package_mix":
        return mine.status != "warn" and any(
            isinstance(value, tuple) and value[2] != "installed" for value in facts.values("driver.package")
        )
    return explains_without_module(facts, mine, other)


def _lacks_module(facts: Facts, kernel: str) -> bool:
    """Whether the kernel's list of modules was read and the driver's is not in it."""
    return kernel in (found := modules_on_disk(facts)) and found[kernel] is None


def _speak(say: Verdict, facts: Facts, kernel: str, *, is_sure: bool) -> Callable[..., Finding]:
    """Failing where the driver does not run now or will surely not run next, else warning."""
    is_missing_now = loaded_release(facts) is None and kernel == running_kernel(facts)
    return say.failed if is_missing_now or is_sure else say.warned


@check(
    "kernel.headers",
    level="quick",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=("kernel.dkms", "kernel.next_boot_module", "driver.package_mix", *WITHOUT_MODULE),
    explains=_explains,
)
def headers(facts: Facts, say: Verdict) -> Finding:
    """The headers of the kernel are there for DKMS to build the driver's module.

    What it finds
        A driver that DKMS builds, and a kernel without its headers and without the module.

    Why it matters
        A new kernel arrives, the module can't be built for it, and after the next start the GPU is gone.

    How it is decided
        `dkms status` lists the driver, /lib/modules/<kernel>/build leads nowhere, and modules.dep of that kernel lists
        no nvidia module. The running kernel fails where the module is not loaded; the kernel of the next start fails
        where it is known which that is, else it warns.

    What to do
        Install the headers of that kernel and let DKMS build; the package that follows new kernels
        (linux-headers-generic, kernel-devel) keeps it from happening again.

    Sources
        dkms(8); NVIDIA Driver Installation Guide, pre-installation (read 2026-11).
    """
    if not dkms_entries(facts):
        return say.skipped("DKMS does not build the driver here.")
    for kernel, words, is_sure in _kernels(facts):
        if has_headers(facts, kernel) is False and _lacks_module(facts, kernel):
            return _speak(say, facts, kernel, is_sure=is_sure)(
                f"The headers of {words}, {kernel}, are not installed, so the driver's module can't be built for it.",
                *facts.evidence("kernel.headers", "kernel.dkms"),
                safe=(f"ls -l /lib/modules/{kernel}/build",),
                risky=(install_headers(facts.machine, kernel), f"sudo dkms autoinstall -k {kernel}"),
            )
    kernel = running_kernel(facts) or ""
    if has_headers(facts, kernel) is None:
        return say.unknown("Whether the headers of the running kernel are there was not read.")
    return say.passed("The kernels that matter have their headers, or the built module.")


@check(
    "kernel.dkms",
    level="quick",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=("kernel.next_boot_module", "driver.package_mix", *WITHOUT_MODULE),
    explains=_explains,
)
def dkms(facts: Facts, say: Verdict) -> Finding:
    """DKMS has built and installed the driver's module.

    What it finds
        A build that failed, or was never tried, for the running kernel or the next one.

    Why it matters
        Without the module there is no driver. The package manager reported the failure once, when nobody looked.

    How it is decided
        `dkms status` has no "installed" line for that kernel and modules.dep of the kernel lists no nvidia module from
        elsewhere. The first errors of make.log tell a compiler that does not fit from a kernel that is too new for the
        driver.

    What to do
        Read make.log. Where the compiler does not know an option, install the one that the kernel was built with
        (/proc/version names it). Where the kernel is too new, take a newer release of the driver or boot the older
        kernel.

    Sources
        dkms(8) (read 2026-11).
    """
    entries = dkms_entries(facts)
    if not entries:
        why = facts.failure("kernel.dkms")
        return say.skipped(f"DKMS does not build the driver here{f' ({why})' if why else ''}.")
    for kernel, words, is_sure in _kernels(facts):
        states = {state for _, _, name, state in entries if name == kernel}
        if "installed" in states or not _lacks_module(facts, kernel):
            continue
        log = next((value for value in facts.values("kernel.dkms_log") if isinstance(value, tuple)), ())
        why, do = _reason(" ".join(map(str, log)), kernel)
        return _speak(say, facts, kernel, is_sure=is_sure)(
            f"DKMS has not installed the driver's module for {words}, {kernel}{f': {why}' if why else ''}.",
            *facts.evidence("kernel.dkms", "kernel.dkms_log"),
            safe=(
                "dkms status",
                "tail -n 40 /var/lib/dkms/nvidia*/*/build/make.log",
                "cat /proc/version; gcc --version",
            ),
            risky=do or build_module(facts.machine, kernel),
        )
    return say.passed("DKMS has the driver's module for the kernels that matter.", *facts.evidence("kernel.dkms"))


_TOO_NEW = re.compile(
    r"implicit declaration|has no member named|incompatible (?:pointer|type)|too (?:few|many) arguments"
)


def _reason(log: str, kernel: str) -> tuple[str, tuple[str, ...]]:
    """Why the build failed, and the cure where building it once more is none."""
    again = f"sudo dkms autoinstall -k {kernel}"
    if "No space left on device" in log:
        return "the disk was full", (f"make room, then: {again}",)
    if re.search("unrecognized command[- ]line option", log):
        why = "the compiler does not know an option that this kernel was built with"
        return why, (f"install the compiler that /proc/version names, make it the default, then: {again}",)
    if _TOO_NEW.search(log):
        newer = "install a newer release of the driver (gpusetup driver plan), or start the older kernel: sudo reboot"
        return "the kernel is newer than this driver knows", (newer,)
    return "", ()


@check(
    "kernel.next_boot_module",
    level="instant",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=("kernel.reboot_required", *WITHOUT_MODULE),
    explains=_explains,
)
def next_boot_module(facts: Facts, say: Verdict) -> Finding:
    """The running kernel and the one of the next start have the driver's module.

    What it finds
        A kernel without a driver module on disk, while another kernel of the box has one.

    Why it matters
        The box works until it is restarted, and then has no GPU. Or it was just restarted, and this is why.

    How it is decided
        GRUB_DEFAULT and grubenv name the kernel of the next start, else it is the newest one in /boot. modules.dep of
        that kernel, and of the running one where no module is loaded, must list nvidia. Missing fails where the next
        kernel is known for sure, and warns where it is only the newest. With akmods, which builds at the start, it
        never more than warns. It fails, too, where an upgrade took the running kernel's modules away, no driver is
        loaded and the next kernel has one. A box on which no kernel has the module gets its driver from elsewhere.

    What to do
        Before the restart, build or install the module for that kernel, or boot the older kernel.

    Sources
        GNU GRUB manual, "Simple configuration"; depmod(8); ubuntu-drivers-common, which makes the same test
        (read 2026-11).
    """
    on_disk = modules_on_disk(facts)
    if not on_disk:
        return say.unknown("The modules of the installed kernels were not read.", *facts.evidence("kernel.installed"))
    if not any(on_disk.values()) and not module_packages(facts):
        return say.skipped("No kernel on disk has the driver's module: it is not installed, or comes from elsewhere.")
    if gone := _exchanged(say, facts, on_disk):
        return gone
    for kernel, words, is_sure in _kernels(facts):
        if _lacks_module(facts, kernel):
            others = ", ".join(name for name, path in on_disk.items() if path)
            aside = f"; {others} has it" if others else ""
            will_be_built = "akmod-nvidia" in module_packages(facts) and kernel != running_kernel(facts)
            speak = say.warned if will_be_built else _speak(say, facts, kernel, is_sure=is_sure)
            return speak(
                f"The driver's module is missing for {words}, {kernel}{aside}.",
                *facts.evidence("kernel.next", "kernel.driver_module"),
                safe=("dkms status", f"grep -c nvidia.ko /lib/modules/{kernel}/modules.dep"),
                risky=build_module(facts.machine, kernel, with_dkms=bool(dkms_entries(facts))),
            )
    following = _next(facts)
    if following is None:
        return say.unknown("Which kernel comes next was not found out.", *facts.evidence("kernel.installed"))
    return say.passed(f"The kernel of the next start, {following[0]}, has the driver's module.")


def _exchanged(say: Verdict, facts: Facts, on_disk: dict[str, str | None]) -> Finding | None:
    """The finding where an upgrade took the running kernel's modules away before the driver's was loaded."""
    running, following = running_kernel(facts), _next(facts)
    listed = [value[0] for value in facts.values("kernel.headers") if isinstance(value, tuple)]
    if loaded_release(facts) or not running or not listed or running in listed or following is None:
        return None
    if not on_disk.get(following[0]):
        return None
    return say.failed(
        f"The modules of the running kernel, {running}, are no longer on disk, so the driver's can't be loaded;"
        f" {following[0]}, which the next start brings, has it.",
        *facts.evidence("kernel.installed", "kernel.next", "kernel.driver_module"),
        safe=("uname -r; ls /lib/modules",),
        risky=("sudo reboot",),
    )


@check(
    "kernel.driver_range",
    level="quick",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=("kernel.dkms", "kernel.next_boot_module", "driver.package_mix", *WITHOUT_MODULE),
    explains=_explains,
)
def driver_range(facts: Facts, say: Verdict) -> Finding:
    """The driver's release builds on the running kernel and on the next one.

    What it finds
        A kernel that is newer than the driver's module knows.

    Why it matters
        The module is not built, and no repair of DKMS or of headers helps: only another release or another kernel.

    How it is decided
        The matrix lists kernels on which releases of a branch do not build. A row about the running kernel fails where
        no module is loaded; where one is, the distribution has mended it, and it passes. A row about the next kernel
        warns unless that kernel has the module on disk.

    What to do
        Move to the release that the row names, or boot the older kernel.

    Sources
        Build reports, cited by each row of the matrix, table kernel_drivers (`gpusetup matrix show`).
    """
    found = installed_release(facts)
    if found is None or facts.matrix is None:
        return say.skipped("No driver release is known here.")
    for kernel, words, _ in _kernels(facts):
        row = facts.matrix.faults.kernel_driver(kernel, found[0])
        is_now = kernel == running_kernel(facts)
        # A module that is loaded or on disk was built, by whatever patch.
        if row is None or modules_on_disk(facts).get(kernel) or (is_now and loaded_release(facts)):
            continue
        better = row.needs or row.instead
        needs = f"{better} or newer" if better else "an older kernel"
        return (say.failed if is_now else say.warned)(
            f"Driver {found[0]} does not build for {words}, {kernel}: {row.means}",
            Evidence("driver", str(found[0]), source=found[1], needs=needs),
            safe=("gpusetup driver plan", "ls /boot/vmlinuz-*"),
            risky=(f"install driver {needs}, then: sudo reboot" if better else "boot an older kernel: sudo reboot",),
        )
    return say.passed(f"Nothing is listed against driver {found[0]} on the kernels here.")


@check("kernel.reboot_required", level="instant", needs=("gpu",), not_on=NOT_THE_HOST)
def reboot_required(facts: Facts, say: Verdict) -> Finding:
    """No restart is waiting.

    What it finds
        Packages that ask for a restart, or a newer kernel on disk that the next start will take.

    Why it matters
        What runs is not what is installed: the next restart, planned or not, changes kernel and driver at once.

    How it is decided
        /run/reboot-required warns, and so does a kernel of the next start that is not the running one, where GRUB's
        settings say for sure which that is.

    What to do
        Restart when nothing runs, after kernel.next_boot_module passes.

    Sources
        Debian Policy and Ubuntu update-notifier, reboot-required (read 2026-11).
    """
    asked = facts.flag("kernel.reboot_required")
    following, running = _next(facts), running_kernel(facts)
    if following and running and following[0] != running and asked:
        return say.warned(
            f"The next start brings another kernel: {following[0]} in place of {running}.",
            *facts.evidence("kernel.next", "kernel.reboot_required", "kernel.reboot_packages"),
            safe=("gpusetup explain kernel.next_boot_module",),
            risky=("sudo reboot",),
        )
    if asked:
        names = ", ".join((facts.texts("kernel.reboot_packages") or ())[:5])
        return say.warned(
            f"Packages wait for a restart{f': {names}' if names else ''}.",
            *facts.evidence("kernel.reboot_required", "kernel.reboot_packages"),
            safe=("cat /run/reboot-required.pkgs",),
            risky=("sudo reboot",),
        )
    if asked is None:
        return say.unknown("Whether a restart is waiting was not read.")
    if following and running and following[0] != running:
        return say.passed(
            f"No restart is waiting. The next one brings another kernel: {following[0]} in place of {running}.",
            *facts.evidence("kernel.next"),
        )
    return say.passed("No restart is waiting.")


CHECKS = (driver_range, headers, dkms, next_boot_module, reboot_required)
