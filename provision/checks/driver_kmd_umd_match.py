"""Check driver.kmd_umd_match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .remedies import RELOAD_MODULES, hold_driver, rebuild_initramfs, who_owns_the_driver

if TYPE_CHECKING:
    from ..records import Driver, Finding
    from ..versions import DriverVersion
    from .base import Facts, Verdict


@check(
    "driver.kmd_umd_match",
    level="quick",
    leads=(
        "pci.count_vs_nvml",
        "driver.nvml_init",
        "driver.query_latency",
        "driver.packages_held",
        "kernel.reboot_required",
        "fabric.manager",
        "cuda.libcuda",
        "cuda.init",
    ),
)
def kmd_umd_match(facts: Facts, say: Verdict) -> Finding:
    """The loaded kernel module and the installed user libraries are of one release.

    What it finds
        A driver whose packages were exchanged while its old kernel module stayed loaded, or two installations mixed.

    Why it matters
        The module and libnvidia-ml/libcuda talk a private protocol that changes with every release: NVML then answers
        "Driver/library version mismatch" and CUDA finds no device. It is the usual morning after an unattended
        upgrade.

    How it is decided
        NVML's error 18 fails at once. An NVML that answers proves that they match. Otherwise
        /sys/module/nvidia/version is compared with the release in the file name behind libnvidia-ml.so.1, and a
        difference fails. A newer module that DKMS had on disk before this start tells that the initramfs holds the old
        one; apt's history tells which upgrade brought the libraries.

    What to do
        Restart the machine, or reload the modules while nothing uses the GPU. Holding the driver's packages keeps it
        from happening again.

    Sources
        NVML API reference, NVML_ERROR_LIB_RM_VERSION_MISMATCH (read 2026-11).
    """
    if not facts.has_gpu:
        return say.skipped("No NVIDIA GPU is on this machine.")
    if facts.machine.host.is_wsl:
        return say.skipped("Under WSL the kernel driver is that of Windows and differs by design.")
    outcome, driver = facts.nvml_outcome, facts.machine.driver
    kernel = driver.kernel_module_version if driver else None
    user = driver.user_library_version if driver else None
    if outcome == "version-mismatch" or (outcome != "answered" and kernel and user and kernel != user):
        return _mismatch(say, facts, driver)
    if outcome == "answered":
        return say.passed("Kernel module and user libraries match: NVML answers.", *_releases(driver))
    if kernel and user:
        return say.passed(f"Kernel module and user libraries are both {kernel}.", *_releases(driver))
    if kernel is None:
        return say.skipped("No kernel module is loaded, so there is nothing to compare.")
    return say.unknown(
        f"The kernel module is {kernel}; the release of the user libraries is not known.",
        *facts.evidence("driver.module_version", "driver.nvml_library", "nvml.init"),
    )


def _mismatch(say: Verdict, facts: Facts, driver: Driver | None) -> Finding:
    kernel = driver.kernel_module_version if driver else None
    user = driver.user_library_version if driver else None
    known = [f"module {kernel}"] * bool(kernel) + [f"libraries {user}"] * bool(user)
    said = f": {', '.join(known)}" if known else ""
    if kernel and kernel == user:
        # NVML knows better: its library was exchanged under a name that stayed, or another one was found first.
        said = f", as NVML says; the names of both files say {kernel}"
    if facts.machine.host.container:
        return say.failed(
            f"The host's kernel module and this container's driver libraries differ{said}.",
            *_releases(driver),
            *facts.evidence("driver.nvml_library", "nvml.init"),
            safe=(
                "nvidia-smi    (on the host: where it fails in the same way, the host waits for its restart)",
                "restart this container, so that it gets the host's present libraries",
                "remove driver libraries that the image itself brings",
            ),
        )
    if why := _packed_away(facts, kernel):
        return say.failed(
            f"The loaded kernel module and the user libraries are of different releases{said}; {why}.",
            *_releases(driver),
            *facts.evidence("driver.modinfo_version", "driver.module_file_changed_at", "kernel.started_at"),
            safe=who_owns_the_driver(facts.machine),
            risky=rebuild_initramfs(facts.machine),
        )
    return say.failed(
        f"The loaded kernel module and the user libraries are of different releases{said}{_upgraded(facts, user)}.",
        *_releases(driver),
        *facts.evidence("driver.nvml_library", "nvml.init", "driver.modinfo_version", "driver.package_event"),
        safe=(*who_owns_the_driver(facts.machine), *hold_driver(facts.machine)),
        risky=RELOAD_MODULES,
    )


def _packed_away(facts: Facts, kernel: DriverVersion | None) -> str | None:
    """Words for a module that was built before this start and not loaded by it; None where that is not so."""
    on_disk, path = facts.text("driver.modinfo_version"), facts.text("driver.modinfo_filename") or ""
    changed, started = facts.number("driver.module_file_changed_at"), facts.number("kernel.started_at")
    # A package's file is as old as its build; only what DKMS wrote tells when it came here.
    if not on_disk or on_disk == str(kernel) or "/dkms/" not in path or not changed or not started:
        return None
    if changed >= started:
        return None
    return f"module {on_disk} was on disk before this start, so the initramfs still holds the old one"


def _upgraded(facts: Facts, user: DriverVersion | None) -> str:
    """Words for the upgrade that brought the present libraries, empty where none is known."""
    events = [value for value in facts.values("driver.package_event") if isinstance(value, tuple)]
    if not events or user is None or not str(events[-1][4]).startswith(str(user)):
        return ""
    return f"; {'an unattended upgrade' if events[-1][1] else 'an upgrade'} brought the libraries on {events[-1][0]}"


def _releases(driver: Driver | None) -> tuple[Evidence, ...]:
    if driver is None:
        return ()
    pairs = (
        ("kernel_module_version", driver.kernel_module_version, "/sys/module/nvidia/version"),
        ("user_library_version", driver.user_library_version, "libnvidia-ml.so.1"),
    )
    return tuple(Evidence(name, str(version), source=source) for name, version, source in pairs if version)


CHECKS = (kmd_umd_match,)
