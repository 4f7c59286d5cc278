"""Check driver.kmd_umd_match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .remedies import RELOAD_MODULES, who_owns_the_driver

if TYPE_CHECKING:
    from ..records import Driver, Finding
    from .base import Facts, Verdict


@check(
    "driver.kmd_umd_match",
    level="quick",
    leads=("pci.count_vs_nvml", "driver.nvml_init", "driver.query_latency", "cuda.libcuda", "cuda.init"),
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
        difference fails.

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
    if facts.machine.host.container:
        return say.failed(
            f"The host's kernel module and this container's driver libraries differ{said}.",
            *_releases(driver),
            *facts.evidence("driver.nvml_library", "nvml.init"),
            safe=(
                "restart this container, so that it gets the host's present libraries",
                "remove driver libraries that the image itself brings",
            ),
        )
    return say.failed(
        f"The loaded kernel module and the user libraries are of different releases{said}.",
        *_releases(driver),
        *facts.evidence("driver.nvml_library", "nvml.init"),
        safe=who_owns_the_driver(facts.machine),
        risky=RELOAD_MODULES,
    )


def _releases(driver: Driver | None) -> tuple[Evidence, ...]:
    if driver is None:
        return ()
    pairs = (
        ("kernel_module_version", driver.kernel_module_version, "/sys/module/nvidia/version"),
        ("user_library_version", driver.user_library_version, "libnvidia-ml.so.1"),
    )
    return tuple(Evidence(name, str(version), source=source) for name, version, source in pairs if version)


CHECKS = (kmd_umd_match,)
