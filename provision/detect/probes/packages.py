"""What the package manager knows of the driver."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from ...plain_text import plain
from ...records import GpuState, Reading
from ..memory import lines_with
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ...records import Machine
    from ..surroundings import Surroundings

_LONGEST_HISTORY = 2 * 1024 * 1024
_MOST_EVENTS = 3


def _files(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Traces of NVIDIA's installer, and what the package tools are told to do by themselves."""
    if machine.gpu_state is GpuState.NONE or machine.host.is_wsl:
        return
    path = "/usr/bin/nvidia-uninstall"
    if around.exists(path):
        yield Reading("driver.runfile", path, path)
    else:
        yield Reading("driver.runfile", path, failure="NVIDIA's own installer left no uninstaller")
    if around.exists("/etc/apt"):
        yield from _apt(around)
    if around.exists("/etc/dnf"):
        yield from _dnf(around)
        yield from _rpm_repositories(around, "/etc/yum.repos.d")
    if around.exists("/etc/zypp"):
        yield from _rpm_repositories(around, "/etc/zypp/repos.d")
        yield Reading(
            "driver.locked", "/etc/zypp/locks", parse_locks(around.text("/etc/zypp/locks", keep=_OF_THE_DRIVER) or "")
        )


# --- apt

# APT::Periodic::Unattended-Upgrade "1";
# Unattended-Upgrade::Package-Blacklist {
#     "nvidia";
# };
_PERIODIC = re.compile(r'^\s*APT::Periodic::Unattended-Upgrade\s+"(\w+)"', re.MULTILINE)
_BLACKLIST = re.compile(r"^\s*Unattended-Upgrade::Package-Blacklist\s*\{([^}]*)\}", re.MULTILINE)


def parse_apt_conf(text: str) -> tuple[bool | None, tuple[str, ...]]:
    """Whether packages are upgraded unattended (None: not said), and which are left out of that."""
    text = re.sub(r"^\s*(?://|#).*$", "", text, flags=re.MULTILINE)
    periodic = _PERIODIC.findall(text)
    kept = tuple(name for block in _BLACKLIST.findall(text) for name in re.findall(r'"([^"]+)"', block))
    return (None if not periodic else periodic[-1] not in {"0", "no"}), kept


def kept_of_apt_conf(text: str) -> str:
    """What `parse_apt_conf` needs: beside it may stand proxies and addresses of people."""
    says, names = parse_apt_conf(text)
    periodic = "" if says is None else f'APT::Periodic::Unattended-Upgrade "{int(says)}";\n'
    exceptions = "".join(f'    "{name}";\n' for name in names if re.fullmatch(r"[\w.+*^$:\\-]{1,100}", name))
    return periodic + (f"Unattended-Upgrade::Package-Blacklist {{\n{exceptions}}};\n" if exceptions else "")


# deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] https://developer.download.nvidia.com/... /
_SOURCE = re.compile(r"^[ \t]*deb[ \t]+(?:\[([^\]]*)\][ \t]+)?(\S+)", re.MULTILINE)


def parse_sources(text: str) -> tuple[tuple[str, str | None], ...]:
    """Address and key of every active entry of an apt sources file, of the old form or of the new one."""
    found = []
    for options, address in _SOURCE.findall(text):
        key = re.search(r"signed-by=(\S+)", options)
        found.append((address, key[1] if key else None))
    # URIs: https://...
    # Signed-By: /usr/share/keyrings/cuda-archive-keyring.gpg
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if fields.get("Enabled", "yes").strip() != "no":
            key_path = fields.get("Signed-By", "").strip() or None
            found.extend((address, key_path) for address in fields.get("URIs", "").split())
    return tuple(found)


def kept_of_sources(text: str) -> str:
    """The active entries: the key, and of the address what is no secret."""
    rows = ((_public(address), key) for address, key in parse_sources(text))
    return "".join(f"deb {f'[signed-by={key}] ' if key else ''}{address} /\n" for address, key in rows)


_ADDRESS = re.compile(r"(\w+://)(?:\S*@)?([^/\s@]+)(/\S*)?")


def _public(address: str) -> str:
    """An address without user and password; without its path unless it is NVIDIA's own, for a mirror's may be a key."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return "elsewhere"
    scheme, host, path = match[1], match[2].lower(), match[3] or ""
    if host.endswith((".nvidia.com", ".github.io")):
        return f"{scheme}{host}{path}"
    # Two sources of one mirror are still told apart.
    return f"{scheme}{host}/~{hashlib.sha256(path.rstrip('/').encode()).hexdigest()[:8]}"


def _apt(around: Surroundings) -> Iterator[Reading]:
    folder = "/etc/apt/apt.conf.d"
    automatic: bool | None = None
    unread = around.folder(folder).why
    kept: list[str] = []
    for name in around.names(folder):
        if "periodic" in name or "upgrade" in name:
            text, why = around.attempt(f"{folder}/{name}", keep=kept_of_apt_conf)
            unread = why or unread
            says, left_out = parse_apt_conf(text or "")
            automatic = automatic if says is None else says
            kept.extend(left_out)
    runs = bool(automatic) and around.exists("/usr/bin/unattended-upgrade")
    yield Reading("driver.automatic_upgrades", folder, *((None, unread) if unread and automatic is None else (runs,)))
    yield Reading("driver.upgrade_exceptions", folder, tuple(kept))
    tool = "/usr/bin/ubuntu-drivers"
    yield Reading("driver.has_ubuntu_drivers", tool, around.exists(tool))
    folder = "/etc/apt/preferences.d"
    pins = tuple(name for name in around.names(folder) if re.search("nvidia|cuda", name))
    yield Reading("driver.pinned", folder, pins)
    folder = "/etc/apt/sources.list.d"
    for name in around.names(folder):
        if re.search("nvidia|cuda", name) and name.endswith((".list", ".sources")):
            text, why = around.attempt(f"{folder}/{name}", keep=kept_of_sources)
            if text is None:
                yield Reading("driver.repository", f"{folder}/{name}", failure=why)
            for address, key in parse_sources(text or ""):
                yield Reading("driver.repository", f"{folder}/{name}", (name, plain(address), key))

    has_key = around.answer("key of NVIDIA's repository", lambda: _has_key(around.path("/etc/apt")))
    yield Reading("driver.has_cuda_key", "/etc/apt/trusted.gpg*", has_key, None if has_key is not None else "not read")


_KEY_ID = bytes.fromhex("A4B469963BF863CC")
"""The key that signs NVIDIA's repositories since April 2022; every signature by it holds these bytes."""


def _has_key(folder: Path) -> bool | None:
    """Whether apt trusts that key for sources that name none; None where a key ring can't be read."""
    try:
        rings = [folder / "trusted.gpg", *sorted((folder / "trusted.gpg.d").glob("*.*"))]
        for ring in rings:
            # An armoured key is not taken apart: its name has to do.
            if ring.suffix == ".asc" and ("cuda" in ring.name or "nvidia" in ring.name):
                return True
            if ring.suffix == ".gpg" and ring.exists() and _KEY_ID in ring.read_bytes()[:_LONGEST_HISTORY]:
                return True
    except OSError:
        return None
    return False


# --- dnf, zypper


# [nvidia-driver]
# stream=580-open
# state=enabled
def parse_module_stream(text: str) -> str | None:
    """Enabled stream of a module file of dnf."""
    fields = dict(re.findall(r"^(\w+)[ \t]*=[ \t]*(.*)$", text, re.MULTILINE))
    return fields.get("stream") or None if fields.get("state") == "enabled" else None


# nvidia-driver-3:580.82.07-1.el9.*         versionlock of dnf 4
# name = "nvidia-driver"                    versionlock of dnf 5
# solvable_name: nvidia-compute-G06         zypper
_LOCK_FIELD = re.compile(r"^(?:solvable_name:|name[ \t]*=)[ \t]*\"?([^\s\"]+)\"?$")


def parse_locks(text: str) -> tuple[str, ...]:
    """What is locked of the driver, by a file of locked packages, as the package manager takes a lock away again."""
    lines = (_LOCK_FIELD.sub(r"\1", line.strip()) for line in text.splitlines())
    return tuple(plain(line) for line in lines if line and line[0] not in "#!" and re.search("nvidia|cuda", line))


# [cuda-rhel9-x86_64]
# baseurl=https://developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64
# enabled=1
def parse_repo(text: str) -> tuple[str, ...]:
    """Addresses of the enabled sections of a .repo file."""
    found = []
    for section in re.split(r"^\[[^\]]*\][ \t]*$", text, flags=re.MULTILINE)[1:]:
        fields = dict(re.findall(r"^(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", section, re.MULTILINE))
        if fields.get("enabled", "1").lower() in {"1", "yes", "true"} and fields.get("baseurl"):
            found.append(fields["baseurl"])
    return tuple(found)


def kept_of_repo(text: str) -> str:
    """The enabled sections, of their addresses what is no secret."""
    return "".join(f"[{number}]\nbaseurl={_public(address)}\n" for number, address in enumerate(parse_repo(text)))


def _rpm_repositories(around: Surroundings, folder: str) -> Iterator[Reading]:
    for name in around.names(folder):
        if re.search("nvidia|cuda", name) and name.endswith(".repo"):
            text, why = around.attempt(f"{folder}/{name}", keep=kept_of_repo)
            if text is None:
                yield Reading("driver.rpm_repository", f"{folder}/{name}", failure=why)
            for address in parse_repo(text or ""):
                yield Reading("driver.rpm_repository", f"{folder}/{name}", (name, plain(address)))


_OF_THE_DRIVER = lines_with("nvidia|cuda")
_HELD = "nvidia|cuda|^libnv|^linux-image-"
"""Holds that matter to the driver: libnvoptix1 has no more of its name, and a kernel is held with its module."""
_AUTOMATIC = lines_with(r"(?i)^\s*(?:apply_updates|exclude(?:pkgs)?)\s*=")


def _dnf(around: Surroundings) -> Iterator[Reading]:
    path = "/etc/dnf/modules.d/nvidia-driver.module"
    text = around.text(path, keep=lines_with(r"^(?:stream|state)[ \t]*="))
    if text is not None:
        stream = parse_module_stream(text)
        yield Reading("driver.module_stream", path, stream, None if stream else "no stream is enabled")
    automatic = around.text("/etc/dnf/automatic.conf", keep=_AUTOMATIC) or ""
    applies = bool(re.search(r"^\s*apply_updates\s*=\s*(?:yes|true|1)\b", automatic, re.MULTILINE | re.IGNORECASE))
    timers = around.names("/etc/systemd/system/timers.target.wants")
    runs = applies and any(name.startswith(("dnf-automatic", "dnf5-automatic")) for name in timers)
    yield Reading("driver.automatic_upgrades", "/etc/dnf/automatic.conf", runs)
    excludes = parse_locks("\n".join(re.findall(r"^\s*exclude(?:pkgs)?\s*=.*$", automatic, re.MULTILINE)))
    yield Reading("driver.upgrade_exceptions", "/etc/dnf/automatic.conf", excludes)
    files = ("/etc/dnf/plugins/versionlock.list", "/etc/dnf/versionlock.toml")
    held = tuple(line for file in files for line in parse_locks(around.text(file, keep=_OF_THE_DRIVER) or ""))
    yield Reading("driver.locked", "/etc/dnf", held)


# --- installed packages

NAMES = ("*nvidia*", "libcuda1*", "cuda-drivers*")
DPKG_FORMAT = "${db:Status-Abbrev}\\t${Package}\\t${Version}\\n"
RPM_FORMAT = "ii\\t%{NAME}\\t%{VERSION}-%{RELEASE}\\n"


# ii 	nvidia-driver-535	535.183.01-0ubuntu0.22.04.1
# rc 	nvidia-utils-470	470.256.02-0ubuntu0.22.04.1
def parse_packages(text: str) -> tuple[tuple[str, str, str], ...]:
    """Name, version and state (`installed`, or dpkg's letters where it is neither that nor removed) of packages."""
    found = []
    for line in text.splitlines():
        words = [word.strip() for word in line.split("\t")]
        if len(words) == 3 and words[2] and words[0][1:2] not in {"n", "c"}:  # noqa: PLR2004 -- our format
            found.append((words[1], words[2], "installed" if words[0][1:2] == "i" else words[0]))
    return tuple(found)


_PACKAGES = lines_with(r"^\S{1,3}\s*\t[^\t]*(?:nvidia|cuda)[^\t]*\t[^\t]*$")


def _packages(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """The driver's packages, those that are held, and when they changed."""
    if machine.gpu_state is GpuState.NONE or machine.host.is_wsl:
        return
    for program, arguments in (("dpkg-query", ("-W", "-f", DPKG_FORMAT)), ("rpm", ("-qa", "--qf", RPM_FORMAT))):
        said = around.tell(program, *arguments, *NAMES, keep=_PACKAGES)
        if not said.failure and not said.timed_out:
            # dpkg-query ends with 1 where one of the names fits nothing.
            rows = parse_packages(said.stdout)
            yield Reading("driver.packages", program, len(rows))
            for row in rows:
                yield Reading("driver.package", program, row)
            break
    else:
        yield Reading("driver.packages", "dpkg-query, rpm", failure=said.failure or "no answer in time")
        return
    if program == "dpkg-query":
        said = around.tell("apt-mark", "showhold", keep=lines_with(_HELD))
        good = said.returncode == 0
        held = tuple(line for line in said.stdout.split() if re.search(_HELD, line))
        why = None if good else said.failure or "apt-mark failed"
        yield Reading("driver.held", "apt-mark showhold", held if good else None, why)
        path = "/var/log/apt/history.log"
        events: Any = around.answer("driver upgrades in the history of apt", lambda: _history(around.path(path)))
        for event in events or ():
            yield Reading("driver.package_event", path, tuple(event))


# Start-Date: 2026-11-20  06:12:33
# Commandline: /usr/bin/unattended-upgrade
# Upgrade: libnvidia-compute-535:amd64 (535.171.04-0ubuntu0.22.04.1, 535.183.01-0ubuntu0.22.04.1), ...
_UPGRADE = re.compile(r"\b((?:libnvidia-compute|libcuda1|libnvidia-ml)[\w.-]*):\w+ \(([^,()]+), ([^,()]+)\)")


def parse_history(text: str) -> tuple[tuple[str, bool, str, str, str], ...]:
    """Upgrades of the driver's libraries, oldest first: time, whether unattended, package, from, to."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        start = re.search(r"^Start-Date: (\S+)\s+(\S+)", stanza, re.MULTILINE)
        upgrade = next((line for line in stanza.splitlines() if line.startswith(("Upgrade: ", "Downgrade: "))), "")
        change = _UPGRADE.search(upgrade)
        if start and change:
            alone = bool(re.search(r"^Commandline: \S*unattended-upgrade", stanza, re.MULTILINE))
            found.append((f"{start[1]} {start[2]}", alone, change[1], change[2], change[3]))
    return tuple(found)


def _history(path: Path) -> list[list[Any]]:
    """The last such upgrades of the log; its command lines are somebody's business and stay there."""
    try:
        with path.open("rb") as stream:
            text = stream.read(_LONGEST_HISTORY).decode("utf-8", errors="replace")
    except OSError:
        return []
    return [list(event) for event in parse_history(text)[-_MOST_EVENTS:]]


PROBES: tuple[Probe, ...] = (
    Probe("package files", "instant", _files),
    Probe("packages", "quick", _packages),
)
