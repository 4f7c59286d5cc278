"""The kernel, its modules on disk, and what the next start will load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...plain_text import plain
from ...records import GpuState, Reading
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
    tainted = int(text) if text and text.strip().isdecimal() else None
    yield Reading(
        "kernel.tainted", "/proc/sys/kernel/tainted", tainted, None if tainted is not None else why or "no number"
    )
    if machine.gpu_state is GpuState.NONE:
        return
    text, why = around.attempt("/proc/uptime", longest=64)
    match = re.match(r"\d+\.?\d*", text or "")
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
    text, why = around.attempt("/proc/cmdline", longest=8192)
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


def _wanted(around: Surroundings) -> tuple[str, ...]:
    files = [
        f"{folder}/{name}"
        for folder in ("/etc/modules-load.d", "/usr/lib/modules-load.d")
        for name in around.names(folder)
        if name.endswith(".conf")
    ]
    wanted = [name for path in ("/etc/modules", *files) for name in parse_modules_load(around.text(path) or "")]
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


def _next(around: Surroundings, installed: list[str], running: str) -> Iterator[Reading]:
    files = [f"/etc/default/grub.d/{name}" for name in around.names("/etc/default/grub.d") if name.endswith(".cfg")]
    defaults = parse_grub_defaults(around.text(path) or "" for path in ("/etc/default/grub", *files))
    env: dict[str, str] = {}
    for path in ("/boot/grub/grubenv", "/boot/grub2/grubenv"):
        env |= parse_grubenv(around.text(path, longest=4096) or "")
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


# --- programs

# filename:       /lib/modules/6.8.0-79-generic/updates/dkms/nvidia.ko.zst
# version:        580.82.07
# license:        Dual MIT/GPL
# signer:         box Secure Boot Module Signature key
# sig_key:        3A:6F:...
_INFO = re.compile(r"^(filename|version|license|signer|sig_key|vermagic):[ \t]*(.*)$", re.MULTILINE)


def parse_modinfo(text: str) -> dict[str, str]:
    """Fields of modinfo's output that are kept; the first of each name."""
    found: dict[str, str] = {}
    for name, value in _INFO.findall(text):
        found.setdefault(name, value.strip())
    return found


# nvidia/535.183.01, 6.8.0-79-generic, x86_64: installed
# nvidia, 535.183.01, 5.15.0-91-generic, x86_64: installed (original_module exists)
# nvidia/570.124.06: added
_DKMS = re.compile(
    r"^(?P<name>nvidia[\w.-]*)[/,]\s*(?P<version>[\w.+~-]+)(?:,\s*(?P<kernel>[^,\s]+),\s*[\w-]+)?:\s*(?P<state>\w+)",
    re.MULTILINE,
)


def parse_dkms(text: str) -> tuple[tuple[str, str, str | None, str], ...]:
    """Module, its release, kernel and state (added, built, installed, broken) of the driver in `dkms status`."""
    found = (match.group("name", "version", "kernel", "state") for match in _DKMS.finditer(text))
    return tuple(row for row in found if not row[0].startswith(("nvidia-fs", "nvidia-peermem")))  # type: ignore[misc]


_ERROR = re.compile(r".*\b(?:error|Error|ERROR)\b[: ].*|.*\*\*\* .*")


# gcc: error: unrecognized command-line option '-ftrivial-auto-var-init=zero'
# nv-linux.h:1234: error: implicit declaration of function 'follow_pfn'
def parse_make_log(text: str) -> tuple[str, ...]:
    """The first error lines of a make.log, shortened."""
    lines = (plain(match.group().strip(), longest=200) for match in _ERROR.finditer(text))
    return tuple(dict.fromkeys(lines))[:3]


def _log_of(path: Path) -> list[str] | None:
    try:
        with path.open("rb") as stream:
            return list(parse_make_log(stream.read(_LONGEST_DEP).decode("utf-8", errors="replace")))
    except OSError:
        return None


#         Serial Number:
#             3a:6f:10:...
#         Subject: CN=box Secure Boot Module Signature key
def parse_mokutil(text: str) -> tuple[str, ...]:
    """Serial numbers of the enrolled keys: hexadecimal digits in lower case."""
    found = re.findall(r"Serial Number:\s*(?:\d+ \(0x([0-9a-fA-F]+)\)|((?:[0-9a-fA-F]{2}:)+[0-9a-fA-F]{2}))", text)
    return tuple(hex_digits(short or long) for short, long in found)


def hex_digits(text: str) -> str:
    """3A:6F:01 as 3a6f01, without leading zeros."""
    return text.replace(":", "").lower().lstrip("0")


def _programs(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """What modinfo, dkms and mokutil say of the driver's module."""
    if machine.gpu_state is GpuState.NONE or machine.host.is_wsl:
        return
    yield from _modinfo(around)
    said = around.tell("dkms", "status")
    rows = parse_dkms(said.stdout)
    if said.returncode != 0:
        yield Reading("kernel.dkms", "dkms status", failure=said.failure or "dkms status failed")
    else:
        yield Reading("kernel.dkms_entries", "dkms status", len(rows))
    for row in rows:
        yield Reading("kernel.dkms", "dkms status", row)
    for name, version in dict.fromkeys((row[0], row[1]) for row in rows if row[3] != "installed"):
        path = f"/var/lib/dkms/{name}/{version}/build/make.log"
        lines = around.answer(f"errors in {path}", lambda path=path: _log_of(around.path(path)))  # type: ignore[misc]
        yield Reading(
            "kernel.dkms_log", path, tuple(lines) if lines else None, None if lines else "not there, or no error in it"
        )
    if machine.reading("kernel.secure_boot") or around.exists("/sys/firmware/efi"):
        said = around.tell("mokutil", "--list-enrolled", keep=_only_serials)
        good = said.returncode == 0
        yield Reading(
            "kernel.enrolled_keys",
            "mokutil --list-enrolled",
            parse_mokutil(said.stdout) if good else None,
            None if good else said.failure or "mokutil can't read the list",
        )


def _only_serials(text: str) -> str:
    return "\n".join(re.findall(r"Serial Number:\s*\S+(?: \(0x\w+\))?", text))


def _modinfo(around: Surroundings) -> Iterator[Reading]:
    for name in ("nvidia", "nvidia-current"):  # Debian's name
        said = around.tell("modinfo", name, keep=lambda text: "\n".join(m.group() for m in _INFO.finditer(text)))
        if said.returncode == 0:
            found = parse_modinfo(said.stdout)
            for field in ("filename", "version", "license", "signer", "sig_key"):
                value = found.get(field)
                why = None if value else "modinfo gives none"
                yield Reading(f"driver.modinfo_{field}", f"modinfo {name}", value or None, why)
            status, why = around.status(found["filename"]) if found.get("filename") else (None, "modinfo gives none")
            changed = round(status.modified_at) if status else None
            yield Reading("driver.module_file_changed_at", found.get("filename", "modinfo"), changed, why)
            return
    why = said.failure or "the running kernel has no module nvidia"
    yield Reading("driver.modinfo_version", "modinfo nvidia", failure=why)


PROBES: tuple[Probe, ...] = (
    Probe("kernel", "instant", _kernel),
    Probe("kernels on disk", "instant", _disk),
    Probe("kernel modules", "quick", _programs),
)
