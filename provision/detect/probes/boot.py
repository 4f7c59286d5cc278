"""The kernel, its modules on disk, and what the next start will load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...records import GpuState, Reading
from ..memory import lines_with
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ...records import Machine
    from ..surroundings import Surroundings

_MODULES = "/lib/modules"
_MOST_KERNELS = 8
_LONGEST_DEP = 4 * 1024 * 1024
_IMAGES = ("/boot/vmlinuz-{0}", "/boot/vmlinux-{0}", "/boot/Image-{0}", "/boot/image-{0}", "/lib/modules/{0}/vmlinuz")
PEERS = ("nvidia_uvm", "nvidia_peermem", "nv_peer_mem", "gdrdrv", "nvidia_fs")
"""Modules beside the driver's own that programs on several GPUs or hosts use."""


def _kernel(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """The running kernel: its flags, its trust, its trouble."""
    yield _flags(around)
    text, why = around.attempt("/proc/sys/kernel/tainted", longest=64)
    tainted = int(text) if re.fullmatch(r"\s*[0-9]{1,19}\s*", text or "") and text else None
    yield Reading(
        "kernel.tainted", "/proc/sys/kernel/tainted", tainted, None if tainted is not None else why or "no number"
    )
    if machine.gpu_state is GpuState.NONE:
        return
    text, why = around.attempt("/proc/uptime", longest=64)
    match = re.match(r"[0-9]{1,12}\.?[0-9]{0,6}", text or "")
    started = round(around.now - float(match.group())) if match else None
    yield Reading("kernel.started_at", "/proc/uptime", started, None if match else why or "no number")
    yield from _trust(around)
    names = set(around.names("/run"))
    yield Reading("kernel.reboot_required", "/run/reboot-required", "reboot-required" in names)
    if "reboot-required.pkgs" in names:
        packages = tuple(dict.fromkeys((around.text("/run/reboot-required.pkgs") or "").split()))
        yield Reading("kernel.reboot_packages", "/run/reboot-required.pkgs", packages[:20])
    yield Reading("kernel.modules_wanted", "/etc/modules-load.d", _wanted(around))
    loaded = tuple(name for name in PEERS if around.exists(f"/sys/module/{name}"))
    yield Reading("kernel.peer_modules", "/sys/module", loaded)
    adapters = around.names("/sys/class/infiniband")
    yield Reading("kernel.has_rdma_adapter", "/sys/class/infiniband", bool(adapters))


def _disk(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Kernels on disk, the one that comes next, and which of them have the driver's module and headers."""
    if machine.gpu_state is GpuState.NONE:
        return
    running = around.kernel.release
    folder = around.folder(_MODULES)
    if not folder.is_present:
        yield Reading("kernel.installed", _MODULES, failure=folder.why)
        return
    with_image: list[str] = [
        name for name in folder.value if any(around.exists(image.format(name)) for image in _IMAGES)
    ]
    if not with_image:
        yield Reading("kernel.installed", _MODULES, failure="no kernel there has its image in /boot")
    else:
        with_image.sort(key=kernel_order)
        yield Reading("kernel.installed", _MODULES, tuple(with_image))
        yield from _next(around, with_image, running)
    known = {*with_image, *((running,) if running in folder.value else ())}
    names = sorted(known, key=kernel_order)[-_MOST_KERNELS:]
    found: Any = around.answer("driver modules on disk", lambda: _search(around.path(_MODULES), names)) or {}
    for name in names:
        source = f"{_MODULES}/{name}"
        path = found.get(name)
        if path is None:
            yield Reading("kernel.driver_module", source, failure=f"{source}/modules.dep can't be read")
        else:
            yield Reading("kernel.driver_module", source, (name, path or None))
        # A link to headers that are not installed dangles.
        yield Reading("kernel.headers", f"{source}/build", (name, around.exists(f"{source}/build/Makefile")))


# --- words of the kernel's command line that a check knows

_FLAG = re.compile(
    r"nomodeset|pci=\S*\b(?:noaer|nomsi)\b\S*|nouveau\.modeset=1"
    r"|(?:module_blacklist|modprobe\.blacklist|rd\.driver\.blacklist)=\S*nvidia\S*"
)


# BOOT_IMAGE=/boot/vmlinuz-6.8.0-79-generic root=UUID=... ro quiet nomodeset pci=noaer
def parse_flags(text: str) -> tuple[str, ...]:
    """Words of a kernel command line that matter to the driver."""
    return tuple(dict.fromkeys(word for word in text.split() if _FLAG.fullmatch(word)))


def _flags(around: Surroundings) -> Reading:
    # A command line may hold addresses and passwords of whatever started the machine.
    keep = lambda text: " ".join(parse_flags(text))  # noqa: E731
    text, why = around.attempt("/proc/cmdline", longest=8192, keep=keep)
    return Reading("kernel.cmdline_flags", "/proc/cmdline", None if text is None else parse_flags(text), why)


# --- Secure Boot

_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def _trust(around: Surroundings) -> Iterator[Reading]:
    if around.exists("/sys/firmware") and not around.exists("/sys/firmware/efi"):
        yield Reading("kernel.secure_boot", "/sys/firmware", value=False)
    else:
        value = around.answer("SecureBoot of EFI", lambda: _last_byte(around.path(_SECURE_BOOT)))
        why = None if value is not None else "the EFI variable can't be read"
        yield Reading("kernel.secure_boot", _SECURE_BOOT, None if value is None else value == 1, why)
    text, why = around.attempt("/sys/kernel/security/lockdown", longest=256)
    match = re.search(r"\[(\w+)\]", text or "")
    yield Reading(
        "kernel.lockdown",
        "/sys/kernel/security/lockdown",
        match[1] if match else None,
        None if match else why or "no known wording",
    )
    text, why = around.attempt("/sys/module/module/parameters/sig_enforce", longest=16)
    yield Reading(
        "kernel.signatures_enforced",
        "/sys/module/module/parameters/sig_enforce",
        None if text is None else text.strip() == "Y",
        why,
    )


def _last_byte(path: Path) -> int | None:
    """Value of an EFI variable of one byte, which four bytes of attributes precede."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content[4] if len(content) == 5 else None  # noqa: PLR2004 -- see above


# --- modules that somebody asked for


# # comment
# nvidia-peermem
def parse_modules_load(text: str) -> tuple[str, ...]:
    """Module names of a file of /etc/modules-load.d, with underscores."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line.split()[0].replace("-", "_") for line in lines if line and line[0] not in "#;")


_MODULE_LINES = lines_with(r"^\s*(?:nv|gdr)[\w-]+\s*$")


def _wanted(around: Surroundings) -> tuple[str, ...]:
    files = [
        f"{folder}/{name}"
        for folder in ("/etc/modules-load.d", "/usr/lib/modules-load.d")
        for name in around.names(folder)
        if name.endswith(".conf")
    ]
    wanted = [
        name
        for path in ("/etc/modules", *files)
        for name in parse_modules_load(around.text(path, keep=_MODULE_LINES) or "")
    ]
    return tuple(name for name in PEERS if name in wanted)


# --- the next start


def kernel_order(name: str) -> tuple[tuple[int, ...], bool]:
    """Sort key as boot loaders order kernels: by the numbers before the flavour; a debug build before the real one."""
    match = re.match(r"[\d.-]*", name)
    return tuple(int(part) for part in re.findall(r"\d+", match.group() if match else "")), "+debug" not in name


# GRUB_DEFAULT="Advanced options for Ubuntu>Ubuntu, with Linux 6.8.0-79-generic"
# GRUB_FLAVOUR_ORDER=gcp
def parse_grub_defaults(texts: Iterable[str]) -> dict[str, str]:
    """GRUB_DEFAULT and GRUB_FLAVOUR_ORDER of these files without quotes, the last of each."""
    found = {}
    for text in texts:
        for match in re.finditer(r"^\s*(GRUB_DEFAULT|GRUB_FLAVOUR_ORDER)=(.*)$", text, re.MULTILINE):
            found[match[1]] = match[2].strip().strip("\"'")
    return found


# saved_entry=ffffffffffffffffffffffffffffffff-5.14.0-427.el9.x86_64
# next_entry=
def parse_grubenv(text: str) -> dict[str, str]:
    """Variables of a grubenv file."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def next_kernel(
    installed: list[str], running: str, defaults: dict[str, str], env: dict[str, str]
) -> tuple[str, str, bool] | None:
    """Kernel of the next start, how that is known, and whether it is sure; None when no kernel is installed."""
    default = defaults.get("GRUB_DEFAULT")

    def named(entry: str | None) -> str | None:
        return max((name for name in installed if name in (entry or "")), key=len, default=None)

    if name := named(env.get("next_entry")):
        return name, "next_entry of grubenv", True
    if name := named(default):
        return name, "GRUB_DEFAULT", True
    if default == "saved" and (name := named(env.get("saved_entry"))):
        return name, "saved_entry of grubenv", True
    if not installed:
        return None
    order = defaults.get("GRUB_FLAVOUR_ORDER", "").split()
    preferred = next((some for one in order if (some := [k for k in installed if k.endswith(f"-{one}")])), installed)
    # Two flavours of one release: the one that runs now goes on.
    newest = max(preferred, key=lambda name: (kernel_order(name), name == running))
    return newest, "the newest kernel", default == "0"


# Beside these stand whole command lines of kernels.
_GRUB_LINES = lines_with(r"^\s*(?:GRUB_DEFAULT|GRUB_FLAVOUR_ORDER)=")
_GRUBENV_LINES = lines_with(r"^(?:saved_entry|next_entry)=")


def _next(around: Surroundings, installed: list[str], running: str) -> Iterator[Reading]:
    files = [f"/etc/default/grub.d/{name}" for name in around.names("/etc/default/grub.d") if name.endswith(".cfg")]
    defaults = parse_grub_defaults(around.text(path, keep=_GRUB_LINES) or "" for path in ("/etc/default/grub", *files))
    env: dict[str, str] = {}
    for path in ("/boot/grub/grubenv", "/boot/grub2/grubenv"):
        env |= parse_grubenv(around.text(path, longest=4096, keep=_GRUBENV_LINES) or "")
    found = next_kernel(installed, running, defaults, env)
    if found:
        yield Reading("kernel.next", found[1], found[0])
        yield Reading("kernel.next_is_sure", found[1], found[2])


# updates/dkms/nvidia.ko.zst: kernel/drivers/video/backlight.ko.zst ...      one line for each module
# kernel/nvidia-535srv/nvidia.ko:          Ubuntu's prebuilt ones
# updates/dkms/nvidia-current.ko.xz:       Debian names the module after the package
_DRIVER_MODULE = re.compile(
    r"^((?:\S*/)?nvidia(?:-(?!\S*(?:drm|modeset|uvm|peermem|fs)\b)(?:current|tesla|legacy)[\w.-]*?)?\.ko(?:\.\w+)?):",
    re.MULTILINE,
)


def parse_modules_dep(text: str) -> str | None:
    """Path of the driver's module in a modules.dep, None when it lists none."""
    match = _DRIVER_MODULE.search(text)
    return match[1] if match else None


def _search(folder: Path, kernels: list[str]) -> dict[str, str | None]:
    """Per kernel the path of the driver's module, empty for none; None where its list can't be read."""
    found: dict[str, str | None] = {}
    for name in kernels:
        try:
            with (folder / name / "modules.dep").open("rb") as stream:
                text = stream.read(_LONGEST_DEP).decode("utf-8", errors="replace")
            found[name] = parse_modules_dep(text) or ""
        except OSError:
            found[name] = None
    return found


PROBES: tuple[Probe, ...] = (
    Probe("kernel", "instant", _kernel),
    Probe("kernels on disk", "instant", _disk),
)
