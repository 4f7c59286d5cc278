"""How the driver is set up: options of its module, firmware, the persistence daemon, links for containers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...plain_text import plain
from ...records import GpuState, Reading
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_MODPROBE_FOLDERS = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
"""A file in an earlier one hides a file of the same name in a later one (modprobe.d(5))."""
_PARAMS = "/proc/driver/nvidia/params"
_FIRMWARE = ("/lib/firmware/nvidia", "/usr/lib/firmware/nvidia", "/lib/firmware/updates/nvidia")


# options nvidia NVreg_EnableGpuFirmware=0 NVreg_DeviceFileMode=0660
# blacklist nvidia
# install nvidia /bin/false
def parse_modprobe(text: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Options of the module nvidia with their values, and the lines that keep it from loading."""
    options: list[tuple[str, str]] = []
    against = []
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):  # noqa: PLR2004 -- a command and a module
            continue
        module = words[1].replace("-", "_")
        if words[0] == "options" and module in {"nvidia", "nvidia_current"}:
            options.extend((name, value) for name, _, value in (word.partition("=") for word in words[2:]) if value)
        elif module == "nvidia" and (
            words[0] == "blacklist" or (words[0] == "install" and words[2:3] in (["/bin/false"], ["/bin/true"]))
        ):
            against.append(plain(" ".join(words[:3])))
    return tuple(options), tuple(against)


# EnableMSI: 1
# RegistryDwords: ""
def parse_params(text: str) -> dict[str, str]:
    """Effective options of the loaded module by name, without their NVreg_."""
    return dict(re.findall(r"^(\w+):[ \t]*\"?([^\"\n]*)\"?[ \t]*$", text, re.MULTILINE))


def kept_of_modprobe(text: str) -> str:
    """The lines about the driver: other modules have options too, and some of those are passwords."""
    lines = text.replace("\\\n", " ").splitlines()
    return "\n".join(line for line in lines if re.match(r"\s*(?:options|blacklist|install)\s+nvidia", line))


def _options(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    if machine.gpu_state is GpuState.NONE or machine.host.is_wsl:
        return
    read: set[str] = set()
    wanted: dict[str, set[tuple[str, str]]] = {}
    for folder in _MODPROBE_FOLDERS:
        for name in around.names(folder):
            if not name.endswith(".conf") or name in read:
                continue
            read.add(name)
            text, why = around.attempt(f"{folder}/{name}", longest=64 * 1024, keep=kept_of_modprobe)
            if text is None:
                yield Reading("driver.module_option", f"{folder}/{name}", failure=why)
            options, against = parse_modprobe(text or "")
            for option, value in options:
                wanted.setdefault(option, set()).add((value, f"{folder}/{name}"))
            for line in against:
                yield Reading("driver.kept_from_loading", f"{folder}/{name}", line)
    text, why = around.attempt(_PARAMS, longest=16 * 1024)
    params = parse_params(text or "")
    yield Reading("driver.params", _PARAMS, None if text is None else len(params), why)
    for option, told in wanted.items():
        name = option.removeprefix("NVreg_")
        for value, path in sorted(told) if option.startswith("NVreg_") else ():
            yield Reading("driver.module_option", path, (name, plain(value.strip("\"'")), params.get(name)))


def _setup(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    if machine.gpu_state is GpuState.NONE or machine.host.is_wsl:
        return
    socket = "/run/nvidia-persistenced/socket"
    yield Reading("driver.persistence_daemon", socket, around.exists(socket))
    # Where the GPU Operator's driver container shows its root.
    if around.exists("/run/nvidia/driver/usr"):
        yield Reading("driver.container_root", "/run/nvidia/driver/usr", "/run/nvidia/driver")
    release = machine.driver.kernel_module_version if machine.driver else None
    if release:
        folders = tuple(f"{folder}/{release}" for folder in _FIRMWARE)
        names = tuple(name for folder in folders for name in around.names(folder) if name.startswith("gsp"))
        yield Reading("driver.gsp_firmware", folders[0], names)
    yield from _links(around)


def _links(around: Surroundings) -> Iterator[Reading]:
    """Device nodes without the link in /dev/char that systemd looks for, and whether containers need it."""
    missing = []
    for name in around.names("/dev"):
        if re.fullmatch(r"nvidia\d+|nvidiactl|nvidia-uvm", name):
            status, _ = around.status(f"/dev/{name}")
            if status and not around.exists(f"/dev/char/{status.major}:{status.minor}"):
                missing.append(f"/dev/{name}")
    yield Reading("driver.dev_char_missing", "/dev/char", tuple(missing))
    runtime = next(
        (path for path in ("/usr/bin/nvidia-container-runtime", "/usr/local/nvidia/toolkit/nvidia-container-runtime")
         if around.exists(path)), None,
    )  # fmt: skip
    why = None if runtime else "the NVIDIA container runtime is not installed"
    yield Reading("driver.container_runtime", runtime or "/usr/bin/nvidia-container-runtime", runtime, why)
    yield Reading("driver.has_systemd", "/run/systemd/system", around.exists("/run/systemd/system"))


PROBES: tuple[Probe, ...] = (
    Probe("module options", "instant", _options),
    Probe("driver setup", "instant", _setup),
)
