"""What files say of container engines: Docker, containerd, the NVIDIA container toolkit and CDI.

These files may hold passwords of registries and proxies. What is kept of them is named here; the rest is forgotten
before anything remembers it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from ..plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .surroundings import Surroundings

DOCKER_CONFIG: Final = "/etc/docker/daemon.json"
SNAP_DOCKER_CONFIG: Final = "/var/snap/docker/current/config/daemon.json"
CONTAINERD_CONFIG: Final = "/etc/containerd/config.toml"
CONTAINERD_DROP_INS: Final = "/etc/containerd/conf.d"
TOOLKIT_CONFIG: Final = "/etc/nvidia-container-runtime/config.toml"
CDI_FOLDERS: Final = ("/etc/cdi", "/var/run/cdi")
"""Where engines look for CDI specifications; of two devices of one name that in the later folder is taken."""
GPU_KIND: Final = "nvidia.com/gpu"
_LONGEST = 1024 * 1024
_MOST_PATHS = 4000

Kept = dict[str, Any]


def kept_of_file(around: Surroundings, path: str, keep: Callable[[str], Kept]) -> Kept:
    """What `keep` keeps of a file; `{"state": "absent"|"unreadable"|"broken", "why": ...}` where there is nothing."""
    found = around.answer(f"kept of {path}", lambda: _kept(around, path, keep))
    return found if isinstance(found, dict) else {"state": "unreadable", "why": f"{path}: nobody looked"}


def _kept(around: Surroundings, path: str, keep: Callable[[str], Kept]) -> Kept:
    try:
        with around.path(path).open("rb") as stream:
            text = stream.read(_LONGEST).decode("utf-8-sig", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return {"state": "absent", "why": f"{path} is not there"}
    except OSError as err:
        return {"state": "unreadable", "why": f"{path}: {err.strerror}"}
    return read_kept(text, keep)


def read_kept(text: str, keep: Callable[[str], Kept]) -> Kept:
    """What `keep` keeps of a text, with the state `read`; `broken` with the place where it does not parse."""
    try:
        return {"state": "read", **keep(text)}
    except json.JSONDecodeError as err:
        return {"state": "broken", "why": f"line {err.lineno}, column {err.colno}: {err.msg}"}
    except (ValueError, RecursionError) as err:  # TOML's error is a ValueError; its text quotes nothing of the file
        return {"state": "broken", "why": plain(str(err), longest=120) or "it nests too deeply"}
    except ImportError:
        return {"state": "unreadable", "why": "this Python has no module that reads the format"}


# --- Docker


# {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}, "default-runtime": "nvidia",
#  "exec-opts": ["native.cgroupdriver=systemd"], "features": {"cdi": true}, "data-root": "/data/docker"}
def keep_daemon_json(text: str) -> Kept:
    """Runtimes with their programs, the default one, the cgroup driver and the CDI switch. ValueError."""
    tree = json.loads(text) if text.strip() else {}
    if not isinstance(tree, dict):
        raise ValueError("it holds no JSON object")  # noqa: TRY004 -- one kind of error for a broken file
    options = [word for word in _items(tree, "exec-opts") if isinstance(word, str)]
    driver = next((word.partition("=")[2] for word in options if word.startswith("native.cgroupdriver=")), None)
    return {
        "runtimes": _runtimes(tree.get("runtimes")),
        "default_runtime": _word(tree.get("default-runtime")),
        "cgroup_driver": _word(driver),
        "cdi": _yes_no(_table(tree, "features").get("cdi")),
        "data_root": _word(tree.get("data-root")),
    }


def _runtimes(tree: Any) -> list[list[str | None]]:
    """Name and program of every runtime, in the order of the names."""
    tree = tree if isinstance(tree, dict) else {}
    return [
        [plain(name), _word(found.get("path") if isinstance(found, dict) else None)]
        for name, found in sorted(tree.items())
    ]


# --- docker info --format '{{json .}}'


def kept_docker_info(hostname: str) -> Callable[[str], str]:
    """A filter that leaves of Docker's answer what the checks need; `hostname` tells whether the engine is here.

    It also passes over what Docker writes to stderr, which is a sentence and stays.
    """

    def keep(text: str) -> str:
        if not text.lstrip().startswith("{"):
            return plain(text)
        try:
            tree = json.loads(text)
        except ValueError:
            return ""
        if not isinstance(tree, dict) or not tree.get("ServerVersion"):
            return ""
        name = tree.get("Name")
        options = [word for word in _items(tree, "SecurityOptions") if isinstance(word, str)]
        folders = tree.get("CDISpecDirs")
        return json.dumps(
            {
                "version": _word(tree.get("ServerVersion")),
                "is_here": isinstance(name, str) and name.split(".")[0] == hostname.split(".", maxsplit=1)[0],
                "is_desktop": tree.get("OperatingSystem") == "Docker Desktop",
                "runtimes": _runtimes(tree.get("Runtimes")),
                "default_runtime": _word(tree.get("DefaultRuntime")),
                "cgroup_driver": _word(tree.get("CgroupDriver")),
                "storage_driver": _word(tree.get("Driver")),
                "root": _word(tree.get("DockerRootDir")),
                "is_rootless": any("rootless" in word.split("=") for word in options),
                # API 1.44: an empty list says that CDI is off; older engines have no such key, and no CDI.
                "has_cdi": isinstance(folders, list) and bool(folders),
            }
        )

    return keep


def parse_docker_info(text: str) -> Kept | None:
    """What `kept_docker_info` left; None where no engine answered."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("version") else None


# --- containerd, the toolkit's own configuration


def _toml(text: str) -> Kept:
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    tree: Kept = tomllib.loads(text)
    return tree


# version = 2
# disabled_plugins = ["cri"]
# [plugins."io.containerd.grpc.v1.cri"]
#   enable_cdi = true
#   [plugins."io.containerd.grpc.v1.cri".containerd]
#     default_runtime_name = "nvidia"
#     [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
#       BinaryName = "/usr/bin/nvidia-container-runtime"
def keep_containerd(text: str) -> Kept:
    """What the CRI part of containerd's configuration says of runtimes and CDI. ValueError."""
    tree = _toml(text)
    plugins = _table(tree, "plugins")
    # containerd 2 calls it io.containerd.cri.v1.runtime, 1.x io.containerd.grpc.v1.cri
    parts = [
        part
        for name in ("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri")
        if (part := _table(plugins, name))
    ]
    runtimes: list[list[str | None]] = []
    for part in parts:
        for name, found in sorted(_table(_table(part, "containerd"), "runtimes").items()):
            options = _table(found, "options") if isinstance(found, dict) else {}
            runtimes.append([plain(name), _word(options.get("BinaryName"))])
    defaults = [_word(_table(part, "containerd").get("default_runtime_name")) for part in parts]
    switches = [_yes_no(part.get("enable_cdi")) for part in parts]
    disabled = [word for word in _items(tree, "disabled_plugins") if isinstance(word, str)]
    return {
        "version": tree.get("version") if isinstance(tree.get("version"), int) else None,
        "has_cri": not any(word.rsplit(".", 1)[-1] == "cri" for word in disabled),
        "runtimes": runtimes,
        "default_runtime": next((one for one in defaults if one), None),
        "cdi": next((one for one in switches if one is not None), None),
    }


# [nvidia-container-cli]
# #no-cgroups = false
# [nvidia-container-runtime]
# mode = "auto"
def keep_toolkit_config(text: str) -> Kept:
    """Whether the toolkit leaves cgroups alone, and how its runtime works. ValueError."""
    tree = _toml(text)
    return {
        "no_cgroups": _yes_no(_table(tree, "nvidia-container-cli").get("no-cgroups")),
        "mode": _word(_table(tree, "nvidia-container-runtime").get("mode")),
    }


# --- CDI

# /usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20
_RELEASE = re.compile(r"/lib(?:cuda|nvidia-[\w-]+)\.so\.(\d{3}\.\d{2,3}(?:\.\d{2})?)")


def keep_cdi(text: str) -> Kept:
    """Kind, devices, and the host's files that a CDI specification (YAML or JSON) wants to mount. ValueError."""
    import yaml

    try:
        tree = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 -- a safe loader
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        raise ValueError(f"line {mark.line + 1}: no YAML" if mark else "it is no YAML") from None
    except yaml.YAMLError:
        raise ValueError("it is no YAML") from None
    if not isinstance(tree, dict):
        raise ValueError("it holds no mapping")  # noqa: TRY004 -- as above
    devices = [device for device in _items(tree, "devices") if isinstance(device, dict)]
    paths: dict[str, None] = {}
    for path in _paths(tree, devices):
        paths[path] = None
        if len(paths) >= _MOST_PATHS:
            break
    releases = {match[1] for path in paths if (match := _RELEASE.search(path))}
    return {
        "kind": _word(tree.get("kind")),
        "cdi_version": _word(str(tree.get("cdiVersion") or "")),
        "devices": len(devices),
        "has_all": any(device.get("name") == "all" for device in devices),
        "releases": sorted(releases),
        "paths": list(paths),
    }


def _paths(tree: Kept, devices: list[Kept]) -> Iterator[str]:
    for holder in (tree, *devices):
        edits = _table(holder, "containerEdits")
        for part, keys in (("mounts", ("hostPath",)), ("deviceNodes", ("hostPath", "path")), ("hooks", ("path",))):
            for entry in _items(edits, part):
                found = next((entry[key] for key in keys if entry.get(key)), None) if isinstance(entry, dict) else None
                if isinstance(found, str) and found.startswith("/"):
                    yield plain(found)


def keep_cdi_on(around: Surroundings) -> Callable[[str], Kept]:
    """`keep_cdi`, with those of the files that are not on this machine in place of all."""

    def keep(text: str) -> Kept:
        kept = keep_cdi(text)
        paths = kept.pop("paths")
        kept["missing"] = [path for path in paths if not around.path(path).exists()]
        kept["nodes"] = [path for path in paths if re.fullmatch(r"/dev/nvidia\d+", path)]
        return kept

    return keep


# --- words


def _table(tree: Any, key: str) -> Kept:
    found = tree.get(key) if isinstance(tree, dict) else None
    return found if isinstance(found, dict) else {}


def _items(tree: Any, key: str) -> list[Any]:
    found = tree.get(key) if isinstance(tree, dict) else None
    return found if isinstance(found, list) else []


def _word(value: Any) -> str | None:
    """A short text; None for anything else."""
    return plain(value) or None if isinstance(value, str) else None


def _yes_no(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
