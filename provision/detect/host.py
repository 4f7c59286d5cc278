"""Facts of the operating system: distribution, kernel, C library, and what kind of machine this is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ..plain_text import plain
from ..records import Container, Host, Reading
from ..spellings import is_wsl_kernel
from ..versions import Glibc
from .memory import lines_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .surroundings import Surroundings

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
CPU_LINES = lines_with(r"^(?:model name|flags)\s*:")
"""What is kept of /proc/cpuinfo: some boards write their serial number there."""
_CPUINFO_HEAD = 16384  # one processor's block is enough: the file grows with every core


def detect_host(around: Surroundings) -> tuple[Host, tuple[Reading, ...]]:
    """The host record and the attempts behind it."""
    kernel = around.kernel
    release, os_readings = _os_release(around)
    glibc, glibc_reading = _glibc(around)
    is_wsl, wsl_reading = _wsl(around)
    container, container_reading = _container(around)
    virtualization, virtualization_reading = _virtualization(around, is_wsl=is_wsl)
    host = Host(
        hostname=plain(kernel.hostname) or None,
        system=parse_system(kernel.system),
        os=release.get("ID"),
        os_version=release.get("VERSION_ID"),
        kernel=plain(kernel.release),
        arch=_ARCHITECTURES.get(kernel.machine.lower(), kernel.machine),
        glibc=glibc,
        is_wsl=is_wsl,
        container=container,
        virtualization=virtualization,
    )
    readings = (
        Reading("host.hostname", "uname", host.hostname, None if host.hostname else "uname gives no host name"),
        Reading("host.kernel", "uname", host.kernel),
        Reading("host.arch", "uname", host.arch),
        *os_readings,
        glibc_reading,
        wsl_reading,
        container_reading,
        virtualization_reading,
    )
    return host, readings


def parse_system(sysname: str) -> Literal["linux", "windows", "darwin"] | None:
    """Our word for what uname calls the system."""
    lowered = sysname.lower()
    return lowered if lowered in {"linux", "windows", "darwin"} else None  # type: ignore[return-value]


# --- distribution


# ID=ubuntu
# VERSION_ID="22.04"
# ID_LIKE=debian
def parse_os_release(text: str) -> dict[str, str]:
    """Assignments of an os-release file with their quotes removed (os-release(5))."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([A-Z][A-Z0-9_]*)=(.*?)\s*", line)
        if match:
            value = match[2]
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            found[match[1]] = plain(value)
    return found


_OS_LINES = lines_with(r"^\s*(?:ID|ID_LIKE|VERSION_ID)=")


def _os_release(around: Surroundings) -> tuple[dict[str, str], tuple[Reading, ...]]:
    failures = []
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text, failure = around.attempt(path, keep=_OS_LINES)
        if text is None:
            failures.append(failure)
            continue
        release = {key: value for key, value in parse_os_release(text).items() if value}
        release["ID"] = release.get("ID", "linux").lower()  # os-release(5): the default of ID is "linux"
        return release, (
            Reading("host.os", path, release["ID"]),
            _named(release, "host.os_version", "VERSION_ID", path),
            _named(release, "host.os_like", "ID_LIKE", path),
        )
    why = "; ".join(str(failure) for failure in failures)
    return {}, (Reading("host.os", "os-release", failure=why), Reading("host.os_version", "os-release", failure=why))


def _named(release: Mapping[str, str], name: str, key: str, path: str) -> Reading:
    value = release.get(key)
    return Reading(name, path, value, None if value else f"{path} has no {key}")


# --- C library


def _glibc(around: Surroundings) -> tuple[Glibc | None, Reading]:
    if around.libc is not None:
        # 'glibc 2.36'
        match = re.search(r"\d+\.\d+", around.libc)
        if match:
            return Glibc.parse(match.group()), Reading("host.glibc", "confstr CS_GNU_LIBC_VERSION", match.group())
    loaders = [name for name in around.names("/lib") if re.fullmatch(r"ld-musl-[\w.-]+\.so\.1", name)]
    if loaders:
        return None, Reading("host.glibc", f"/lib/{loaders[0]}", failure="the C library is musl, not glibc")
    return None, Reading(
        "host.glibc", "confstr CS_GNU_LIBC_VERSION", failure="the running C library names no glibc version"
    )


def _of_process_1(around: Surroundings) -> str | None:
    """One variable of process 1; the others are nobody's business and are not remembered."""
    try:
        with around.path("/proc/1/environ").open("rb") as stream:
            return parse_container_variable(stream.read(65536).decode("utf-8", errors="replace"))
    except OSError:
        return None


# --- WSL, container, virtual machine


def _without_builder(text: str) -> str:
    """Linux version 6.8.0-79-generic (somebody@somewhere) ...: up to who built it."""
    return text.partition("(")[0].strip()


def _wsl(around: Surroundings) -> tuple[bool, Reading]:
    name = "host.is_wsl"
    if is_wsl_kernel(around.kernel.release):
        return True, Reading(name, "uname", value=True)
    if is_wsl_kernel(around.text("/proc/version", longest=512, keep=_without_builder) or ""):
        return True, Reading(name, "/proc/version", value=True)
    # A kernel that the user built for WSL may carry any name; the paravirtual GPU and its libraries stay.
    found = around.exists("/dev/dxg") and around.exists("/usr/lib/wsl/lib")
    return found, Reading(name, "/dev/dxg, /usr/lib/wsl/lib" if found else "uname, /proc/version", found)


_KINDS: dict[str, Container] = {
    "docker": "docker",
    "podman": "podman",
    "lxc": "lxc",
    "lxc-libvirt": "lxc",
    "kubernetes": "kubernetes",
}
_CGROUP_SIGNS: tuple[tuple[str, Container], ...] = (
    (r"/kubepods", "kubernetes"),
    (r"/libpod-", "podman"),
    (r"/docker[/-][0-9a-f]{12}", "docker"),
    (r"/lxc(?:\.payload)?[./]", "lxc"),
)


def _container(around: Surroundings) -> tuple[Container | None, Reading]:
    """First sign of a container. Kubernetes first: its containers carry their engine's marks as well."""
    if around.variable("KUBERNETES_SERVICE_HOST", re.compile("(?!)")).is_set:
        return "kubernetes", Reading("host.container", "environment KUBERNETES_SERVICE_HOST", "kubernetes")
    for path, kind in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker"), ("/.singularity.d", "other")):
        if around.exists(path):
            return kind, Reading("host.container", path, kind)  # type: ignore[return-value]
    # systemd and lxc put it into the environment of process 1; `docker` and `oci` appear there too
    for source, text in (
        ("environment container", around.variable("container", re.compile(r"[\w.-]{1,32}")).value),
        ("/run/systemd/container", around.text("/run/systemd/container", longest=64)),
        ("/proc/1/environ", around.answer("container of process 1", lambda: _of_process_1(around))),
    ):
        if text and text.strip():
            known = _KINDS.get(text.strip().lower(), "other")
            return known, Reading("host.container", source, known)
    cgroup, failure = around.attempt("/proc/self/cgroup", longest=65536)
    found = parse_cgroup(cgroup or "")
    if found:
        return found, Reading("host.container", "/proc/self/cgroup", found)
    return None, Reading("host.container", "/proc/self/cgroup", "none" if cgroup is not None else None, failure)


# HOME=/root\0container=lxc\0TERM=linux\0
def parse_container_variable(text: str) -> str | None:
    """Value of `container` in the environment block of a process, where it has the form of a word."""
    return next((entry[10:] for entry in text.split("\0") if re.fullmatch(r"container=[\w.-]{1,32}", entry)), None)


# 12:memory:/kubepods.slice/kubepods-burstable.slice/cri-containerd-5f1c.scope
# 0::/docker/3f4e7d8c9b0a
def parse_cgroup(text: str) -> Container | None:
    """Kind of container that the cgroup path of a process names; None also for `0::/`, which says nothing."""
    for pattern, kind in _CGROUP_SIGNS:
        if re.search(pattern, text):
            return kind
    return None


# Lower-case starts of DMI vendor and product texts.
_HYPERVISORS = (
    ("amazon ec2", "amazon"),
    ("google compute engine", "google"),
    ("kvm", "kvm"),
    ("qemu", "qemu"),
    ("openstack", "kvm"),
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("xen", "xen"),
    ("virtual machine", "hyper-v"),
    ("parallels", "parallels"),
    ("firecracker", "firecracker"),
)


def parse_dmi(texts: tuple[str, ...]) -> str | None:
    """Hypervisor that DMI product and vendor texts name; None for a text that names none."""
    for text in texts:
        lowered = text.strip().lower()
        for start, name in _HYPERVISORS:
            if lowered.startswith(start):
                return name
    return None


def _virtualization(around: Surroundings, *, is_wsl: bool) -> tuple[str | None, Reading]:
    name = "host.virtualization"
    if is_wsl:
        return "wsl", Reading(name, "kernel release", "wsl")
    folder = "/sys/class/dmi/id/"
    texts = tuple(
        around.text(folder + file, longest=256) or "" for file in ("product_name", "sys_vendor", "bios_vendor")
    )
    # EC2's metal instances also say "Amazon EC2"; only the CPU's flag tells a guest from the machine itself.
    cpuinfo, failure = around.attempt("/proc/cpuinfo", longest=_CPUINFO_HEAD, keep=CPU_LINES)
    is_guest = bool(re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo or "", re.MULTILINE))
    found = parse_dmi(texts)
    if found and (is_guest or around.kernel.machine not in {"x86_64", "amd64"}):
        return found, Reading(name, folder, found)
    hypervisor = around.text("/sys/hypervisor/type", longest=64)
    if hypervisor and hypervisor.strip():
        return plain(hypervisor), Reading(name, "/sys/hypervisor/type", plain(hypervisor))
    if is_guest:
        return "other", Reading(name, "/proc/cpuinfo", "other")
    return None, Reading(name, "/proc/cpuinfo", "none" if cpuinfo is not None else None, failure)
