"""What a Python environment holds, read from its files alone: nothing in it is imported, started or written.

Run as `python -I -B environment_scan.py FOLDER`, it prints one JSON object. It is a child of ours so that a folder on a
network filesystem that hangs costs a deadline and not the whole check, and imports the standard library only.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import sys
from typing import Any

_MOST_DISTRIBUTIONS = 4000
_MOST_PROBLEMS = 12
_LONGEST = 8 * 2**20
"""Longest file that is read: the RECORD of torch has 2 MB, a receipt less than one."""
_RECEIPT = "gpusetup-receipt.json"

WATCHED = frozenset(
    {
        "torch",
        "torchvision",
        "torchaudio",
        "torchtext",
        "triton",
        "pytorch-triton",
        "xformers",
        "flash-attn",
        "bitsandbytes",
        "vllm",
        "deepspeed",
        "transformer-engine",
        "accelerate",
        "peft",
        "transformers",
        "tokenizers",
        "safetensors",
        "numpy",
        "setuptools",
        "cuda-toolkit",
    }
)
"""Distributions whose requirements on each other are kept."""
_REQUIREMENT = re.compile(r"(?:torch|triton|pytorch-triton|nvidia-|cuda-|numpy|tokenizers|safetensors)", re.IGNORECASE)
_CUDA_FAMILY = re.compile(r"(?:nvidia|cuda)-", re.IGNORECASE)
_VERSION_FIELD = re.compile(r"^(__version__|cuda|hip|debug|git_version)\s*(?::[^=\n]+)?=\s*(.+?)\s*$", re.MULTILINE)
_CXX11_ABI = re.compile(r"_GLIBCXX_USE_CXX11_ABI=([01])")


def scan(folder: str) -> dict[str, Any]:
    """Everything that a check asks of the environment in a folder; only `failure` where it is none."""
    kind, failure, settings = _kind(folder)
    if failure:
        return {"failure": failure}
    python, sites = _python(folder, kind, settings)
    if not sites:
        return {"failure": f"{folder} has no site-packages"}
    found: dict[str, Any] = {
        "kind": kind,
        "sees_system": settings.get("include-system-site-packages", "").lower() == "true",
        "python": python,
        "filesystem": _filesystem(sites[0]),
        "distributions": [],
        "broken": [],
        "requires": [],
        "missing": [],
        "shared": [],
        "conda": _conda(folder) if kind == "conda" else [],
        "receipt": _receipt(folder),
        "python_h": _python_header(folder, settings, python),
        "torch": None,
    }
    for site in sites:
        _read_site(site, found)
    found["duplicates"] = _duplicates(found["distributions"]) if len(sites) == 1 else []
    return found


def _duplicates(rows: list[list[Any]]) -> list[list[str]]:
    """[name, version, version] of watched distributions whose metadata is there twice."""
    versions: dict[str, list[str]] = {}
    for name, version, *_ in rows:
        if name in WATCHED or _CUDA_FAMILY.match(name):
            versions.setdefault(name, []).append(version)
    return [[name, *found] for name, found in versions.items() if len(found) > 1]


# --- which environment ----------------------------------------------------------------------------


def _kind(folder: str) -> tuple[str, str | None, dict[str, str]]:
    """venv, uv, virtualenv, conda or system; why it is none of them; and the settings of pyvenv.cfg."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return "", f"{folder} is not there", {}
    except NotADirectoryError:
        return "", f"{folder} is a file, not the folder of an environment", {}
    except OSError as err:
        return "", f"{folder} can't be read: {err.strerror}", {}
    if "pyvenv.cfg" in names:
        settings = parse_pyvenv(_text(os.path.join(folder, "pyvenv.cfg")) or "")
        return ("uv" if "uv" in settings else "virtualenv" if "virtualenv" in settings else "venv"), None, settings
    if "conda-meta" in names:
        return "conda", None, {}
    if "lib" in names and "bin" in names and _site_folders(folder):
        return "system", None, {}
    hint = next((f"; {name} in it is one" for name in names if _is_venv(os.path.join(folder, name))), "")
    return (
        "",
        f"{folder} is no Python environment: neither pyvenv.cfg nor conda-meta nor lib/python3 is in it{hint}",
        {},
    )


def _is_venv(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, "pyvenv.cfg"))


# home = /usr/bin
# version_info = 3.12.3
def parse_pyvenv(text: str) -> dict[str, str]:
    """The lines of pyvenv.cfg by their lower-case name."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _site_folders(folder: str) -> list[tuple[str, str]]:
    """(name such as python3.12, folder) of every place where distributions are."""
    found: list[tuple[str, str]] = []
    for lib in ("lib", "lib64", "local/lib"):
        for name in sorted(_names(os.path.join(folder, lib))):
            # python3 is the folder of Debian's own packages, which no release names.
            if re.fullmatch(r"(?:python|pypy)3(?:\.\d+t?)?", name):
                found += [(name, os.path.join(folder, lib, name, kind)) for kind in ("site-packages", "dist-packages")]
    seen: set[str] = set()
    return [
        (name, path)
        for name, path in found
        if os.path.isdir(path) and not (os.path.realpath(path) in seen or seen.add(os.path.realpath(path)))  # type: ignore[func-returns-value]
    ]


def _python(folder: str, kind: str, settings: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The interpreter as its files name it, and the folders of its distributions."""
    places = _site_folders(folder)
    named = [name for name, _ in places if "." in name]
    # bin/python3.12 of a prefix with several releases: bin/python3 decides.
    target = os.path.basename(os.path.realpath(os.path.join(folder, "bin", "python3")))
    chosen = target if target in named else (named[0] if named else "")
    version = settings.get("version_info") or settings.get("version") or ""
    if kind == "conda":
        for name in _names(os.path.join(folder, "conda-meta")):
            if match := re.fullmatch(r"python-(3\.\d+\.\d+)-\S+\.json", name):
                version = match[1]
    # virtualenv writes 3.12.3.final.0
    match = re.match(r"3\.\d+(?:\.\d+)?(?:(?:a|b|rc)\d+)?", version)
    short = re.fullmatch(r"(python|pypy)(3\.\d+)(t?)", chosen)
    python = {
        "started": target[6:] if re.fullmatch(r"python3\.\d+t?", target) else None,
        "version": match.group() if match else (short[2] if short else None),
        "implementation": "pypy" if short and short[1] == "pypy" else "cpython",
        "is_free_threaded": bool(short and short[3]),
        "can_run": os.access(os.path.join(folder, "bin", "python3"), os.X_OK)
        or os.access(os.path.join(folder, "bin", "python"), os.X_OK),
    }
    sites = [path for name, path in places if name in (chosen, "python3")]
    if settings.get("include-system-site-packages", "").lower() == "true" and (home := settings.get("home")):
        # What the environment itself holds comes first, as on sys.path.
        sites += [path for name, path in _site_folders(os.path.dirname(home)) if name in (chosen, "python3")]
    return python, sites


def _python_header(folder: str, settings: dict[str, str], python: dict[str, Any]) -> bool | None:
    """Whether Python.h is there for its interpreter; None where the version is not known."""
    match = re.match(r"3\.\d+", python["version"] or "")
    if match is None:
        return None
    name = f"python{match.group()}{'t' if python['is_free_threaded'] else ''}"
    bases = [folder]
    if home := settings.get("home"):
        bases += [os.path.dirname(home), os.path.dirname(os.path.dirname(os.path.realpath(os.path.join(home, name))))]
    return any(os.path.isfile(os.path.join(base, "include", name, "Python.h")) for base in bases)


def _filesystem(folder: str) -> str | None:
    """Type of the filesystem that holds a folder: ext4, nfs4, overlay."""
    best, found = "", None
    real = os.path.realpath(folder) + "/"
    for line in (_text("/proc/self/mounts") or "").splitlines():
        words = line.split(" ")
        # A later mount on the same place hides the earlier one.
        if words[2:] and real.startswith(words[1].rstrip("/") + "/") and len(words[1]) >= len(best):
            best, found = words[1], words[2]
    return found


# --- what is installed ----------------------------------------------------------------------------


def _read_site(site: str, found: dict[str, Any]) -> None:
    names = sorted(_names(site))
    owners: dict[str, str] = {}
    for name in names:
        if name.startswith("~"):
            found["broken"].append(f"{name}: left over from an installation that was cut off")
        if name.endswith(".dist-info") and len(found["distributions"]) < _MOST_DISTRIBUTIONS:
            _read_distribution(site, name, found, owners)
        elif match := re.fullmatch(r"(.+?)-(\d[^-]*)(?:-py\S*)?\.egg-info", name):
            found["distributions"].append([canonical(match[1]), match[2], None, "unknown", None, None])
        elif name.endswith(".egg-link"):
            found["distributions"].append([canonical(name.removesuffix(".egg-link")), "", None, "editable", None, None])
    if "torch" in names and found["torch"] is None:
        found["torch"] = _torch(os.path.join(site, "torch"))


def canonical(name: str) -> str:
    """The normal form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_distribution(site: str, folder: str, found: dict[str, Any], owners: dict[str, str]) -> None:
    info = os.path.join(site, folder)
    metadata = _text(os.path.join(info, "METADATA"))
    stem, _, version = folder.removesuffix(".dist-info").rpartition("-")
    if metadata is None or not (head := parse_metadata(metadata))["name"]:
        found["broken"].append(f"{folder} has no readable METADATA")
        return
    name = canonical(head["name"] or stem)
    origin, origin_hash = _origin(info)
    installer = (_text(os.path.join(info, "INSTALLER")) or "").strip()
    installer = installer if re.fullmatch(r"[\w .-]{1,40}", installer) else ""
    tags = re.findall(r"^Tag: (\S{1,200})", _text(os.path.join(info, "WHEEL")) or "", re.MULTILINE)
    row = [name, head["version"] or version, installer or None, origin, origin_hash, ",".join(tags) or None]
    found["distributions"].append(row)
    is_cuda = bool(_CUDA_FAMILY.match(name))
    if name in WATCHED or is_cuda:
        # torch @ https://user:token@host/...: the address is nobody's business
        lines = (line.partition("@")[0].strip() for line in head["requires"] if _REQUIREMENT.match(line))
        found["requires"] += [[name, line] for line in lines]
    # conda moves libraries out of the packages and keeps the list that pip wrote.
    if installer != "conda" and (is_cuda or name in ("torch", "triton")):
        _read_record(site, info, name, found, owners)


def parse_metadata(text: str) -> dict[str, Any]:
    """Name, version and requirements of METADATA; its description, which may be long, is not looked at."""
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    fields = re.findall(r"^(Name|Version|Requires-Dist): (.+?)\r?$", head, re.MULTILINE)
    first = {key: value.strip() for key, value in reversed(fields)}
    requires = [value.strip() for key, value in fields if key == "Requires-Dist"]
    return {"name": first.get("Name"), "version": first.get("Version"), "requires": requires}


def _origin(info: str) -> tuple[str, str | None]:
    """index, file, url, folder, editable or vcs, with the sha256 of an archive; an address itself is never kept."""
    text = _text(os.path.join(info, "direct_url.json"))
    if text is None:
        return "index", None
    try:
        stated = json.loads(text)
        archive = stated.get("archive_info") or {}
        digest = (archive.get("hashes") or {}).get("sha256") or str(archive.get("hash") or "").removeprefix("sha256=")
        digest = digest if re.fullmatch(r"[0-9a-f]{64}", str(digest)) else None
        if "vcs_info" in stated:
            return "vcs", None
        if "dir_info" in stated:
            return ("editable" if stated["dir_info"].get("editable") else "folder"), None
        return ("file" if str(stated.get("url")).startswith("file:") else "url"), digest
    except (ValueError, AttributeError):
        return "unknown", None


def _read_record(site: str, info: str, name: str, found: dict[str, Any], owners: dict[str, str]) -> None:
    """Libraries that RECORD names and that are gone, or that an earlier distribution names too."""
    text = _text(os.path.join(info, "RECORD"))
    if text is None:
        return
    gone: list[str] = []
    shared: dict[str, list[str]] = {}
    for row in csv.reader(line for line in text.splitlines() if ".so" in line or "torch/version.py" in line):
        path = row[0] if row else ""
        if path == "torch/version.py" and len(row) > 1:
            found["torch_version_as_recorded"] = _is_as_recorded(os.path.join(site, path), row[1])
        if not re.search(r"\.so(?:\.[\d.]+)?$", path):
            continue
        if not os.path.lexists(os.path.join(site, path)):
            gone.append(path)
        if path in owners and owners[path] != name:
            shared.setdefault(owners[path], []).append(path)
        owners[path] = name
    if gone and len(found["missing"]) < _MOST_PROBLEMS:
        found["missing"].append([name, len(gone), gone[0]])
    for other, paths in shared.items():
        if len(found["shared"]) < _MOST_PROBLEMS:
            found["shared"].append([other, name, len(paths), paths[0]])


def _is_as_recorded(path: str, stated: str) -> bool | None:
    import base64

    kind, _, digest = stated.partition("=")
    try:
        with open(path, "rb") as stream:
            held = hashlib.sha256(stream.read(_LONGEST)).digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(held).decode().rstrip("=") == digest if kind == "sha256" else None


def _torch(folder: str) -> dict[str, Any]:
    """torch/version.py, and which libraries the build brings."""
    text = _text(os.path.join(folder, "version.py"))
    fields = parse_torch_version(text or "")
    libraries = [name for name in _names(os.path.join(folder, "lib")) if ".so" in name]
    config = _text(os.path.join(folder, "share", "cmake", "Torch", "TorchConfig.cmake")) or ""
    abi = _CXX11_ABI.search(config)
    return {
        "has_version": text is not None,
        **fields,
        "cuda_library": any(name.startswith("libtorch_cuda") for name in libraries),
        "own_cudart": any(name.startswith("libcudart") for name in libraries),
        "cxx11_abi": None if abi is None else abi[1] == "1",
        "ptxas": _has_ptxas(folder),
    }


def _has_ptxas(torch: str) -> bool:
    """The compiler that triton starts: its own, of wheels since 3.0 and before, or that of conda's cuda-nvcc."""
    site = os.path.dirname(torch)
    places = ("triton/backends/nvidia/bin/ptxas", "triton/third_party/cuda/bin/ptxas", "../../../bin/ptxas")
    return any(os.access(os.path.join(site, place), os.X_OK) for place in places)


# cuda: Optional[str] = '12.8'
def parse_torch_version(text: str) -> dict[str, Any]:
    """__version__, cuda, hip, debug and git_version of torch/version.py; None where it says None or nothing."""
    found: dict[str, Any] = dict.fromkeys(("version", "cuda", "hip", "git", "debug"))
    for name, written in _VERSION_FIELD.findall(text):
        match = re.fullmatch(r"'([^']{1,80})'|\"([^\"]{1,80})\"|(True|False)", written)
        if match:
            key = {"__version__": "version", "git_version": "git"}.get(name, name)
            found[key] = match[3] == "True" if match[3] else match[1] or match[2]
    return found


# --- beside it ------------------------------------------------------------------------------------


def _conda(folder: str) -> list[list[str]]:
    """[name, version, channel] of conda's packages that bring Python, torch, CUDA or MKL."""
    found = []
    for name in sorted(_names(os.path.join(folder, "conda-meta"))):
        match = re.fullmatch(r"(.+)-([^-]+)-([^-]+)\.json", name)
        if match and re.match(
            r"(?:pytorch|libtorch|cuda|cudatoolkit|cudnn|nccl|mkl|python|torchvision|torchaudio|libstdcxx)\b", match[1]
        ):
            text = _text(os.path.join(folder, "conda-meta", name)) or ""
            # "channel": "https://conda.example/pytorch/linux-64": the name alone is kept
            channel = re.search(r"\"channel\":\s*\"(?:[^\"]*?/)?([\w.-]+?)(?:/(?:linux-\w+|noarch))?/?\"", text)
            # https://conda.example/t/<token>/pytorch: what stands behind /t/ is a key
            is_key = channel is not None and re.search(rf"/t/{re.escape(channel[1])}(?:/(?:linux|noarch)|/?\")", text)
            found.append([match[1], match[2], channel[1] if channel and not is_key else ""])
    return found


def _receipt(folder: str) -> dict[str, Any] | None:
    """What gpusetup's receipt says that it installed; None when it installed nothing here."""
    text = _text(os.path.join(folder, _RECEIPT))
    if text is None:
        return None
    try:
        receipt = json.loads(text)["receipt"]
        build = receipt["build"]
        rows = [
            [canonical(str(one["name"])), str(one["version"]), one.get("sha256")] for one in receipt["distributions"]
        ]
        left_out = [one["index"] for one in receipt.get("gpus_left_out") or ()]
        return {
            "left_out": [index for index in left_out if isinstance(index, int)],
            "torch": str(build["torch"]),
            "variant": str(build["variant"]),
            "cuda": bool(build.get("cuda_runtime_version")),
            "distributions": rows,
        }
    except (ValueError, KeyError, TypeError):
        return {"failure": "it can't be read"}


# --- files ----------------------------------------------------------------------------------------


def _text(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return stream.read(_LONGEST).decode("utf-8", errors="replace")
    except OSError:
        return None


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scan(sys.argv[1])))
