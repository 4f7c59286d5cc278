"""One function per constraint: why a build does not fit a machine, or None when it has nothing against it.

The name of a function with hyphens is the id of its rule, and its docstring is the page that `gpusetup explain` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from ..matrix.model import PLATFORMS
from ..records import Rejection
from . import box
from .bans import driver_branch, site_ban
from .candidates import python_tag

if TYPE_CHECKING:
    from ..matrix.model import Numbers
    from .candidates import Candidate
    from .situation import BoxQuestion, Situation

BuildRule = Callable[["Situation", "Candidate"], Rejection | None]
PythonRule = Callable[["Situation", "Candidate", str], Rejection | None]


def _no(candidate: Candidate, rule: str, found: str, needs: str, source: str | None = None) -> Rejection:
    return Rejection(candidate.release.version, candidate.variant.name, rule, found, needs, source or candidate.place)


def _of_box(situation: Situation, candidate: Candidate, ask: BoxQuestion) -> Rejection | None:
    """What speaks against the box speaks against every CUDA build on it."""
    if candidate.cuda is None:
        return None
    objection = situation.objection(ask)
    return _no(candidate, *objection) if objection else None


# --- what was asked for -------------------------------------------------------------------------


def not_asked_for(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The build is outside of what --torch or --cuda asked for.

    It may fit the machine very well. Drop the option to have it considered.
    """
    wishes = situation.wishes
    if wishes.torch and not wishes.torch.allows(candidate.release.version):
        return _no(candidate, "not-asked-for", candidate.release.version, f"torch {wishes.torch.text}", "request")
    if wishes.cuda and not wishes.cuda.allows(candidate.variant.name, candidate.cuda):
        return _no(candidate, "not-asked-for", candidate.variant.name, f"CUDA {wishes.cuda.text}", "request")
    return None


# --- what the site forbids ----------------------------------------------------------------------


def forbidden_by_site(situation: Situation, candidate: Candidate, python: str | None = None) -> Rejection | None:
    """A site file forbids the build; the reason is the site's own, and the file and line stand beside it.

    Change the entry under `forbid` in that file, or plan with another one (`--site FILE`, `--site none`).
    """
    ban = site_ban(situation, candidate, situation.driver.driver_version, python)
    if ban is None:
        return None
    no = _no(candidate, "forbidden-by-site", str(ban), ban.reason, ban.place)
    return Rejection(no.torch, no.variant, no.rule, no.found, no.needs, no.source, python)


# --- platform -----------------------------------------------------------------------------------


def platform_not_published(situation: Situation, candidate: Candidate) -> Rejection | None:
    """There is no wheel of this build for the operating system and processor of the machine.

    CUDA wheels for aarch64 begin with torch 2.5 and not every variant has one. Another variant or release may have it.
    """
    if candidate.is_published is False or candidate.wheels is None:
        platforms = ", ".join(candidate.variant.on) if situation.system.is_listed else ", ".join(PLATFORMS)
        return _no(candidate, "platform-not-published", situation.platform, platforms or "a published wheel")
    return None


def publication_unknown(situation: Situation, candidate: Candidate) -> Rejection | None:
    """Nobody has seen a wheel of this build for the platform: build scripts name it, the index could not be read.

    `gpusetup plan --check-sources` asks the index itself about the builds that are known.
    """
    if candidate.is_published is None:
        return _no(candidate, "publication-unknown", "not seen", f"a wheel for {situation.platform} seen on the index")
    return None


def musl_libc(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The system uses musl (Alpine); torch wheels are built against glibc and do not load there.

    Use a distribution or a container image with glibc.
    """
    if situation.system.is_musl and candidate.glibc is not None:
        return _no(candidate, "musl-libc", "musl", f"glibc {candidate.glibc} or newer")
    return None


def glibc_too_old(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The glibc of the system is older than the one that the binaries were linked against.

    What counts is the real need of the binaries: several wheels carry a tag that promises less. Wheels need 2.28 from
    torch 2.7 on, so Ubuntu 18.04 and CentOS 7 end before. A newer system or a container image helps, nothing else does.
    """
    if situation.system.glibc is not None and candidate.glibc is not None and situation.system.glibc < candidate.glibc:
        return _no(candidate, "glibc-too-old", str(situation.system.glibc), f"{candidate.glibc} or newer")
    return None


def glibc_unknown(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The glibc of this machine could not be read, so nothing says that the binaries would load.

    `getconf GNU_LIBC_VERSION` prints it; `--glibc` gives it.
    """
    failure = situation.system.unknown_glibc
    if failure and candidate.glibc is not None:
        return _no(candidate, "glibc-unknown", f"unknown: {failure}", f"glibc {candidate.glibc} or newer")
    return None


def macos_too_old(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The release of macOS is older than the one that the libraries in the wheels were built for.

    What counts is what the libraries say of themselves: several wheels carry a tag that promises less. Take an older
    torch, or a newer macOS.
    """
    needed = candidate.wheels.macos if candidate.wheels else None
    if situation.system.macos is not None and needed is not None and situation.system.macos < needed:
        return _no(candidate, "macos-too-old", macos_name(situation.system.macos), f"{macos_name(needed)} or newer")
    return None


# --- GPU and driver -----------------------------------------------------------------------------


def compute_capability_unknown(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The compute capability of a GPU is not known: neither the driver, the PCI id nor the name tells it.

    Without it nothing says whether the wheel has code for that GPU. `--compute-capability` gives it.
    """
    return _of_box(situation, candidate, box.unknown_capability)


def driver_unknown(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The driver version is not known, so nothing says that CUDA of this build would start.

    `nvidia-smi` prints it; `--driver` gives it for a machine one is not sitting at.
    """
    if candidate.cuda is None or not box.has_unknown_driver(situation):
        return None
    needs = f"{driver_floor(situation, candidate)} or newer"
    return _no(candidate, "driver-unknown", "unknown", needs, "machine")


def driver_too_old(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The driver is older than the oldest one on which any wheel of that CUDA major starts.

    Within a major every wheel starts from that floor on (minor version compatibility). On WSL the number is that of the
    Windows driver and is compared with the Windows floor; below R495 nothing runs there. Tegra numbers do not compare;
    there the CUDA that the driver implements counts.
    Install a newer driver branch, or take a build of an older CUDA.
    """
    if candidate.cuda is None or candidate.cuda.major not in situation.driver.majors_out_of_reach:
        return None
    if situation.driver.forward and candidate.cuda <= situation.driver.forward.cuda:
        return None  # the compatibility package stands in for the driver, or has a rule of its own
    major = candidate.cuda.major
    if situation.driver.is_tegra or situation.driver.driver_version is None:
        return _no(
            candidate, "driver-too-old", f"CUDA {situation.driver.driver_cuda_version}", f"CUDA {major}.0 or newer"
        )
    found, needs = str(situation.driver.driver_version), f"{driver_floor(situation, candidate)} or newer"
    return _no(candidate, "driver-too-old", found, needs, f"matrix.yaml: cuda_majors.{major}")


def forward_compatibility_not_allowed(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The CUDA that is reported comes from a compatibility package (cuda-compat) that does not work on this box.

    Such a package lets an older kernel driver serve a newer CUDA on data center boards and Jetson, from certain driver
    branches. Elsewhere cuInit ends with error 804 or 803. Take the package off the loader's path
    (LD_LIBRARY_PATH, ld.so.conf.d), or install a newer driver.
    """
    forward = situation.driver.forward
    if forward is None or forward.refusal is None or candidate.cuda is None or candidate.cuda > forward.cuda:
        return None
    if candidate.cuda.major not in situation.driver.majors_out_of_reach:
        return None
    found = f"CUDA {forward.cuda} over driver {situation.driver.driver_version}: {forward.refusal}"
    needs = f"driver {driver_floor(situation, candidate)} or newer"
    return _no(candidate, "forward-compatibility-not-allowed", found, needs, "matrix.yaml: forward_compatibility")


def kernel_module_unsuitable(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The kernel module does not serve a GPU of this machine, so the driver does not bind it.

    Maxwell, Pascal and Volta need the proprietary module: the open one wants a GPU System Processor. Blackwell and
    newer, and GH200, need the open one. `/proc/driver/nvidia/version` tells which is loaded. Install the other flavour
    of the same driver. A machine loads one of them, so on Linux a GPU of each kind can't be used together.
    """
    return _of_box(situation, candidate, box.wrong_module)


def mig_without_instance(situation: Situation, candidate: Candidate) -> Rejection | None:
    """A GPU is in MIG mode and holds no instance: CUDA programs see no device on it.

    Create instances (`nvidia-smi mig -cgi PROFILE -C`), or turn MIG off.
    """
    return _of_box(situation, candidate, box.missing_instance)


def vgpu_without_cuda(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The GPU is a vGPU of a series on which CUDA does not run: A for applications, B for business desktops.

    The letter behind the size in its name tells the series. C and Q profiles run CUDA; some old boards only in the
    profile that is the whole board. The hypervisor's administrator assigns the profile.
    """
    return _of_box(situation, candidate, box.vgpu_of_other_series)


def gpu_dropped_by_driver_branch(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The driver branch no longer serves a GPU of this machine: R580 is the last for Maxwell, Pascal and Volta.

    Install the last branch that serves it. No build can make up for it.
    """
    return _of_box(situation, candidate, box.dropped_gpu)


def driver_too_old_for_gpu(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The driver is older than the first one that serves a GPU of this machine, such as Blackwell before R570.

    Such a driver does not bind the GPU at all, whatever build is installed. Early releases of the first branch may not
    list the GPU yet. Install a newer driver.
    """
    return _of_box(situation, candidate, box.unserved_gpu)


def no_code_for_gpu(situation: Situation, candidate: Candidate) -> Rejection | None:
    """The wheel holds no code that a GPU of this machine can run: kernels end with 'no kernel image is available'.

    Binary code runs on the same major with an equal or higher minor, PTX on everything newer; all GPUs of the box
    count. Older GPUs need an older CUDA (torch 2.14 with cu126 is the last for Maxwell, Pascal and Volta), newer ones
    a newer build.
    """
    if candidate.cuda is None:
        return None
    code = situation.catalogue.code_for
    for capability in situation.gpus.capabilities:
        if code(candidate, capability) == "none":
            labels = [device.label for device in situation.gpus.devices if device.compute_capability == capability]
            found = f"{labels[0] if labels else 'GPU'} with compute capability {capability}"
            return _no(candidate, "no-code-for-gpu", found, f"one of {candidate.codes}")
    return None


def ptx_needs_newer_driver(situation: Situation, candidate: Candidate) -> Rejection | None:
    """A GPU would run only on PTX, which the driver compiles, and the driver does not implement the CUDA of the wheel.

    Minor version compatibility covers binary code alone. Install a driver that implements the CUDA of the wheel.
    """
    if (
        candidate.cuda is None
        or situation.driver.driver_cuda_version is None
        or situation.driver.driver_cuda_version >= candidate.cuda
    ):
        return None
    for capability in situation.gpus.capabilities:
        if situation.catalogue.code_for(candidate, capability) == "ptx":
            found = f"CUDA {situation.driver.driver_cuda_version} for compute capability {capability}"
            return _no(candidate, "ptx-needs-newer-driver", found, f"a driver that implements CUDA {candidate.cuda}")
    return None


def arch_list_unknown(situation: Situation, candidate: Candidate) -> Rejection | None:
    """Nobody has read which GPUs this wheel holds code for; it is passed over while a build that was read fits.

    Where no other fits it is offered, with a note.
    """
    if candidate.cuda is None:
        return None
    if any(
        situation.catalogue.code_for(candidate, capability) == "unknown" for capability in situation.gpus.capabilities
    ):
        return _no(candidate, "arch-list-unknown", "architectures not read", "a build whose architectures were read")
    return None


# --- Python -------------------------------------------------------------------------------------


def python_unknown(situation: Situation, candidate: Candidate) -> Rejection | None:
    """No Python could be found on this machine, so no wheel tag can be chosen.

    Install one, or name it with `--python`.
    """
    if not situation.pythons:
        found = situation.python_failure or "no Python"
        return _no(candidate, "python-unknown", found, ", ".join(candidate.wheels.pythons if candidate.wheels else ()))
    return None


def python_tag_missing(situation: Situation, candidate: Candidate, python: str) -> Rejection | None:
    """The release has no wheel for that Python: it is too new or too old for it, or free-threaded, or not CPython.

    Make the environment from another Python.
    """
    wheels = candidate.wheels
    if wheels is not None and python_tag(python) not in wheels.pythons:
        source = f"matrix.yaml: torch.releases[{candidate.release.version!r}].platforms.{situation.platform}"
        needs = "one of " + ", ".join(wheels.pythons)
        no = _no(candidate, "python-tag-missing", python_tag(python), needs, source)
        return Rejection(no.torch, no.variant, no.rule, no.found, no.needs, no.source, python)
    return None


def no_transformers_pair(situation: Situation, candidate: Candidate, python: str) -> Rejection | None:
    """No transformers release works with this torch on that Python, or none within what --transformers asked for.

    transformers hides every torch class when it finds a torch that is older than its floor.
    """
    wish = situation.wishes.transformers
    if situation.catalogue.has_pair(candidate, python, wish):
        return None
    needs = f"transformers {candidate.release.companions.transformers}" + (f" and {wish.text}" if wish else "")
    no = _no(candidate, "no-transformers-pair", f"none on Python {python}", needs)
    return Rejection(no.torch, no.variant, no.rule, no.found, no.needs, no.source, python)


BUILD_RULES: Final[tuple[BuildRule, ...]] = (
    not_asked_for,
    forbidden_by_site,
    platform_not_published,
    publication_unknown,
    musl_libc,
    glibc_too_old,
    glibc_unknown,
    macos_too_old,
    compute_capability_unknown,
    driver_unknown,
    driver_too_old,
    forward_compatibility_not_allowed,
    gpu_dropped_by_driver_branch,
    driver_too_old_for_gpu,
    kernel_module_unsuitable,
    mig_without_instance,
    vgpu_without_cuda,
    no_code_for_gpu,
    ptx_needs_newer_driver,
    python_unknown,
)
"""Rules about a build, whatever Python it is installed into."""

LAST_RESORT_RULES: Final[tuple[BuildRule, ...]] = (arch_list_unknown,)
"""Rules that hold only while another build fits."""

PYTHON_RULES: Final[tuple[PythonRule, ...]] = (forbidden_by_site, python_tag_missing, no_transformers_pair)
"""Rules about a build on one Python."""

RULES: Final = tuple(dict.fromkeys((*BUILD_RULES, *LAST_RESORT_RULES, *PYTHON_RULES)))
"""Every rule once, in the order in which reasons are listed."""


READS: Final[dict[BuildRule, Callable[[Situation], Hashable]]] = {
    not_asked_for: lambda situation: situation.asked_builds,
    forbidden_by_site: lambda situation: (
        (driver_branch(situation, situation.driver.driver_version),) if situation.catalogue.matrix.site else None
    ),
    platform_not_published: lambda situation: situation.platform,
    publication_unknown: lambda situation: situation.platform,
    musl_libc: lambda situation: situation.system.is_musl or None,
    glibc_too_old: lambda situation: situation.system.glibc,
    glibc_unknown: lambda situation: situation.system.unknown_glibc,
    macos_too_old: lambda situation: situation.system.macos,
    compute_capability_unknown: lambda situation: (
        None if situation.is_cpu or (situation.gpus.boards and not situation.gpus.unknown) else situation.gpus.boards
    ),
    driver_unknown: lambda situation: situation.driver.key if situation.driver.driver_cuda_version is None else None,
    driver_too_old: lambda situation: situation.driver.key if situation.driver.majors_out_of_reach else None,
    forward_compatibility_not_allowed: lambda situation: (
        situation.driver.key if situation.driver.forward and situation.driver.forward.refusal else None
    ),
    gpu_dropped_by_driver_branch: lambda situation: (
        (*situation.driver.key, situation.gpus.boards) if situation.gpus.dropped else None
    ),
    driver_too_old_for_gpu: lambda situation: (
        (*situation.driver.key, situation.gpus.boards) if situation.gpus.unserved else None
    ),
    kernel_module_unsuitable: lambda situation: (
        (situation.driver.kernel_module, situation.gpus.boards) if situation.gpus.wrong_module else None
    ),
    mig_without_instance: lambda situation: situation.gpus.boards if situation.gpus.split_to_nothing else None,
    vgpu_without_cuda: lambda situation: situation.gpus.boards if situation.gpus.vgpus_without_cuda else None,
    no_code_for_gpu: lambda situation: situation.gpus.boards or None,
    ptx_needs_newer_driver: lambda situation: (
        (situation.gpus.capabilities, situation.driver.driver_cuda_version)
        if situation.driver.driver_cuda_version
        else None
    ),
    python_unknown: lambda situation: None if situation.pythons else situation.python_failure or "no Python",
    arch_list_unknown: lambda situation: situation.gpus.capabilities or None,
}
"""The facts that a rule about builds reads: its answers for all builds are kept for machines that agree on them.
None: it has nothing to say in this situation, whatever the build."""

DRIVER_RULES: Final = frozenset(
    (
        "driver-unknown",
        "driver-too-old",
        "driver-too-old-for-gpu",
        "forward-compatibility-not-allowed",
        "ptx-needs-newer-driver",
    )
)
"""Rules that a newer driver satisfies."""


def rule_id(rule: Callable[..., Rejection | None]) -> str:
    """driver-too-old of driver_too_old."""
    return rule.__name__.replace("_", "-")


def macos_name(numbers: Numbers) -> str:
    """The name and the release: macOS 14.0 of (14, 0)."""
    return "macOS " + ".".join(map(str, numbers))


def driver_floor(situation: Situation, candidate: Candidate) -> str:
    """The oldest driver of the candidate's CUDA, as people write it."""
    if not candidate.floors:
        return "any"
    floor = candidate.floors[situation.driver.is_windows]
    return str(max(floor, situation.driver.wsl_floor) if situation.driver.wsl_floor else floor)
