"""Variables that change what CUDA, NCCL and PyTorch do.

A value is kept only where it has the one form that it may have.
Of a variable that names paths nothing is kept but what it leads to: whether that exists, and which CUDA libraries it
would put before others.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ...records import Reading
from ..memory import lines_with
from . import Probe
from .cuda import is_for_cuda

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...records import Machine
    from ..surroundings import Surroundings

_INTERFACES = r"[\^=]{0,2}[A-Za-z0-9_.@-]{1,15}(?:,[A-Za-z0-9_.@-]{1,15}){0,15}"
_ADAPTERS = r"[\^=]{0,2}[A-Za-z0-9_]{1,24}(?::\d{1,3})?(?:,[A-Za-z0-9_]{1,24}(?::\d{1,3})?){0,31}"
_ARCHITECTURE = r"(?:\d{1,2}\.\d[a-f]?|[A-Z][a-z]{2,9}(?:\+Tegra)?)(?:\+PTX)?"
_ALLOCATOR = (
    r"(?:(?:backend|max_split_size_mb|roundup_power2_divisions|garbage_collection_threshold|expandable_segments|"
    r"pinned_use_cuda_host_register|pinned_num_register_threads|pinned_use_background_threads|"
    r"release_lock_on_cudamalloc|max_non_split_rounding_mb|per_process_memory_fraction|throw_on_cudamalloc_oom|"
    r"graph_capture_record_stream_reuse)\s*:\s*(?:True|False|native|cudaMallocAsync|[\d.]{1,12}|\[[\d:,> ]{0,128}\]))"
)
_SWITCHES = """
    CUDA_LAUNCH_BLOCKING CUDA_DISABLE_PTX_JIT CUDA_FORCE_PTX_JIT CUDA_CACHE_DISABLE CUDA_AUTO_BOOST CUDA_PROFILE
    COMPUTE_PROFILE CUDA_ENABLE_COREDUMP_ON_EXCEPTION CUDA_ENABLE_USER_TRIGGERED_COREDUMP
    CUDA_DEVICE_WAITS_ON_EXCEPTION CUDA_DEBUGGER_SOFTWARE_PREEMPTION CUDA_MANAGED_FORCE_DEVICE_ALLOC
    PYTORCH_NO_CUDA_MEMORY_CACHING NVIDIA_TF32_OVERRIDE NCCL_P2P_DISABLE NCCL_SHM_DISABLE NCCL_IB_DISABLE
    NCCL_CUMEM_ENABLE NCCL_CUMEM_HOST_ENABLE
"""
_BY_FORM: Final = (
    (_SWITCHES, r"[01]"),
    ("CUDA_MODULE_LOADING", "LAZY|EAGER|DEFAULT"),
    ("CUDA_CACHE_MAXSIZE", r"\d{1,12}"),
    ("TORCH_CUDA_ARCH_LIST", rf"\s*{_ARCHITECTURE}(?:[\s;,]+{_ARCHITECTURE}){{0,31}}[\s;,]*"),
    ("PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF", rf"{_ALLOCATOR}(?:\s*,\s*{_ALLOCATOR}){{0,15}},?"),
    ("NCCL_DEBUG", "VERSION|WARN|INFO|ABORT|TRACE"),
    ("NCCL_P2P_LEVEL NCCL_NET_GDR_LEVEL", r"LOC|NVL|PIX|PXB|PXN|P2C|PHB|SYS|[0-5]"),
    ("NCCL_SOCKET_IFNAME GLOO_SOCKET_IFNAME", _INTERFACES),
    ("NCCL_IB_HCA", _ADAPTERS),
)
FORMS: Final = {name: f"(?i:{form})" for names, form in _BY_FORM for name in names.split()}
"""Variables with the form of their values, compiled when one is set: most machines set none."""
PATHS: Final = (
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_INJECTION64_PATH",
    "CUDA_INJECTION32_PATH",
    "NVTX_INJECTION64_PATH",
    "CUDA_CACHE_PATH",
    "CUDA_MPS_PIPE_DIRECTORY",
    "NCCL_TOPO_FILE",
    "NCCL_CONF_FILE",
    "TRITON_LIBCUDA_PATH",
    "TRITON_PTXAS_PATH",
)
"""Variables that name a file or a folder; their values are never kept."""
_UNKNOWN = "set, and of no known form; the value is not kept"
# libcublas.so.12   libcudnn_graph.so.9   libnvJitLink.so.12   libnccl.so.2
_SHADOW = re.compile(
    r"lib(cuda|cudart|cublas|cublasLt|cudnn|nccl|nvJitLink|nvrtc|cusparse|cusolver|cufft|curand|cupti)\.so\.\d+"
)
_SYS_NICE = 23
"""Bit of CAP_SYS_NICE (capabilities(7))."""


def read(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Every variable that is set, and what those that name paths lead to."""
    if not is_for_cuda(around, machine):
        return
    yield Reading("environment.looked_at", "environment", len(FORMS) + len(PATHS))
    found = [*_plain(around), *_paths(around), *_nccl_file(around), *_shadowing(around)]
    yield from found
    names = {reading.name.split(".", 1)[1] for reading in found if reading.name.startswith("environment.")}
    names |= {reading.source for reading in found if reading.name == "cuda.library_first" and reading.value}
    yield from _set_in(around, names)
    yield from _devices_named(around, {reading.name.split(".", 1)[1] for reading in found}, machine)
    yield from _jit_cache(around)


def _plain(around: Surroundings) -> Iterator[Reading]:
    for name, form in FORMS.items():
        variable = around.variable(name, form)
        if variable.is_set:
            why = None if variable.value is not None else _UNKNOWN
            yield Reading(f"environment.{name}", "environment", variable.value, why)


def _paths(around: Surroundings) -> Iterator[Reading]:
    found = around.answer("variables that name paths", lambda: _lead_to(around.environ))
    for name, end in found.items() if isinstance(found, dict) else ():
        if name in PATHS:
            yield Reading(f"environment.{name}", "environment", str(end))


def _lead_to(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: _what_is_at(name, environ[name]) for name in PATHS if name in environ}


def _what_is_at(name: str, value: str) -> str:
    """`empty`, `missing`, `exists`; of a toolkit's folder `no-compiler` where it holds no nvcc."""
    if not value:
        return "empty"
    if not os.path.exists(value):  # noqa: PTH110 -- text only
        return "missing"
    if name in {"CUDA_HOME", "CUDA_PATH"}:
        return "exists" if os.path.exists(os.path.join(value, "bin", "nvcc")) else "no-compiler"  # noqa: PTH110, PTH118
    return "exists"


def _nccl_file(around: Surroundings) -> Iterator[Reading]:
    text, why = around.attempt("/etc/nccl.conf", longest=65536, keep=kept_of_nccl_conf)
    if text is None:
        if around.exists("/etc/nccl.conf"):
            yield Reading("nccl_conf.read", "/etc/nccl.conf", failure=why)
        return
    for name, value in parse_nccl_conf(text).items():
        yield Reading(f"nccl_conf.{name}", "/etc/nccl.conf", value, None if value is not None else _UNKNOWN)


# NCCL_DEBUG=WARN
# NCCL_SOCKET_IFNAME==eth0
def parse_nccl_conf(text: str) -> dict[str, str | None]:
    """Variables of NCCL's own file; None for a value of unknown form."""
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name in FORMS and name.startswith("NCCL_"):
            found[name] = value if re.fullmatch(FORMS[name], value) else None
    return found


def kept_of_nccl_conf(text: str) -> str:
    """The lines that are known, and of those with a value of unknown form the name alone."""
    found = parse_nccl_conf(text).items()
    return "\n".join(f"{name}={'?' if value is None else value}" for name, value in found)


# --- libraries that stand before others


def _shadowing(around: Surroundings) -> Iterator[Reading]:
    found = around.answer("libraries before the loader's own", lambda: _libraries_first(around.environ))
    if found is None:
        yield Reading("cuda.library_first", "environment", failure="nobody looked")
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, list) and len(entry) == 4:  # noqa: PLR2004 -- variable, soname, path, file behind it
            yield Reading("cuda.library_first", str(entry[0]), tuple(str(one) for one in entry[1:]))


def _libraries_first(environ: Mapping[str, str]) -> list[list[str]]:
    """CUDA libraries that LD_PRELOAD and LD_LIBRARY_PATH put before all others; nothing else of them is kept."""
    found: dict[str, list[str]] = {}
    for path in re.split(r"[:\s]+", environ.get("LD_PRELOAD", "")):
        _keep(found, "LD_PRELOAD", path)
    for folder in re.split(r"[:;]", environ.get("LD_LIBRARY_PATH", "")):
        try:
            names = sorted(os.listdir(folder)) if folder else []  # noqa: PTH208 -- text only
        except OSError:
            continue
        for name in names:
            _keep(found, "LD_LIBRARY_PATH", os.path.join(folder, name))  # noqa: PTH118 -- text only
    return list(found.values())


def _keep(found: dict[str, list[str]], variable: str, path: str) -> None:
    name = os.path.basename(path)  # noqa: PTH119 -- text only
    if _SHADOW.fullmatch(name) and name not in found:
        found[name] = [variable, name, path, os.path.basename(os.path.realpath(path))]  # noqa: PTH119


# --- where it was set


def _set_in(around: Surroundings, names: set[str]) -> Iterator[Reading]:
    """Files of the system and of the shell that set one of these; the names of the files, never what stands there."""
    if not names:
        return
    found = around.answer("files that set variables", lambda: _files_that_set(around))
    for name, files in found.items() if isinstance(found, dict) else ():
        if name in names and isinstance(files, list):
            yield Reading(f"environment_set_in.{name}", "files", tuple(str(file) for file in files))


def _files_that_set(around: Surroundings) -> dict[str, list[str]]:
    wanted = re.compile(rf"(?m)^[^#\n]*?\b({'|'.join((*FORMS, *PATHS, 'LD_LIBRARY_PATH', 'LD_PRELOAD'))})[= ]")
    home = around.environ.get("HOME", "")
    files = {name: str(around.path(name)) for name in ("/etc/environment", "/etc/profile", "/etc/bash.bashrc")}
    folder = around.path("/etc/profile.d")
    with suppress(OSError):  # many images have none
        files |= {f"/etc/profile.d/{name}": str(folder / name) for name in sorted(os.listdir(folder))}  # noqa: PTH208
    if home.startswith("/"):
        files |= {f"~/{name}": f"{home}/{name}" for name in (".bashrc", ".profile", ".bash_profile", ".zshrc")}
    found: dict[str, list[str]] = {}
    for name, path in files.items():
        try:
            with open(path, "rb") as stream:  # noqa: PTH123 -- text only
                text = stream.read(65536).decode("utf-8", errors="replace")
        except OSError:
            continue
        for variable in dict.fromkeys(wanted.findall(text)):
            found.setdefault(variable, []).append(name)
    return found


# --- what the values are compared with


def _devices_named(around: Surroundings, names: set[str], machine: Machine) -> Iterator[Reading]:
    if names & {"NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"}:
        interfaces = around.folder("/sys/class/net")
        value = None if interfaces.value is None else tuple(interfaces.value)
        yield Reading("nccl.interfaces", "/sys/class/net", value, interfaces.why)
    if names & {"NCCL_IB_HCA", "NCCL_IB_DISABLE"}:
        yield Reading("nccl.adapters", "/sys/class/infiniband", around.names("/sys/class/infiniband"))
    if "NCCL_CUMEM_HOST_ENABLE" in names and machine.host.container:
        text, why = around.attempt("/proc/self/status", longest=8192, keep=lines_with("^CapEff:"))
        mask = parse_capabilities(text or "")
        yield Reading(
            "process.has_sys_nice",
            "/proc/self/status",
            None if mask is None else bool(mask >> _SYS_NICE & 1),
            why or (None if mask is not None else "no line CapEff"),
        )


# CapEff:	00000000a80425fb
def parse_capabilities(text: str) -> int | None:
    """Mask of the capabilities that this process has."""
    match = re.search(r"(?m)^CapEff:\s*([0-9a-f]{16})$", text)
    return int(match[1], 16) if match else None


# --- where compiled kernels are kept


def _jit_cache(around: Surroundings) -> Iterator[Reading]:
    found: Any = around.answer("cuda.jit_cache", lambda: _cache_facts(around))
    if isinstance(found, dict):
        source = str(found.get("place"))
        for fact in ("filesystem", "is_writable", "free_bytes"):
            value = found.get(fact)
            yield Reading(
                f"cuda.jit_cache.{fact}", source, value, None if value is not None else "it was not found out"
            )


def _cache_facts(around: Surroundings) -> dict[str, Any]:
    given = around.environ.get("CUDA_CACHE_PATH")
    home = around.environ.get("HOME", "")
    place = given or (f"{home}/.nv/ComputeCache" if home.startswith("/") else "")
    facts: dict[str, Any] = {"place": "CUDA_CACHE_PATH" if given else "~/.nv/ComputeCache"}
    if not place.startswith("/"):
        return facts
    facts["filesystem"] = parse_filesystem(_mounts(around), place)
    if (facts["filesystem"] or "").startswith(("nfs", "cifs", "smb", "lustre", "beegfs", "ceph", "gpfs", "fuse")):
        return facts  # a server that is away would keep us waiting
    while not os.path.exists(place) and place != "/":  # noqa: PTH110 -- CUDA makes what is missing
        place = os.path.dirname(place)  # noqa: PTH120
    return {**facts, "is_writable": os.access(place, os.W_OK | os.X_OK)}


def _mounts(around: Surroundings) -> str:
    """The table of mounts, read where nothing remembers it: it names servers and users."""
    try:
        return around.path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# /dev/nvme0n1p2 / ext4 rw,relatime 0 0
# fileserver:/home /home nfs4 rw,vers=4.2 0 0
def parse_filesystem(text: str, path: str) -> str | None:
    """Type of the filesystem that holds a path, from /proc/self/mounts: the longest mount point wins."""
    best, found = -1, None
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004 -- device, mount point, type
            continue
        point = fields[1].replace("\\040", " ").rstrip("/")
        if (path == point or path.startswith(f"{point}/")) and len(point) >= best:
            best, found = len(point), fields[2]
    return found


PROBES: tuple[Probe, ...] = (Probe("variables", "instant", read),)
