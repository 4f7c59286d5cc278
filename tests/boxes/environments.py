"""Pretended Python environments: real files in a temporary folder, read by the real scan."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from provision.detect.environment_scan import scan
from tests.bench.matrix import shipped

_EXTRAS = {
    "cublas": ("nvidia-cublas", "13.1.0.3"),
    "cudart": ("nvidia-cuda-runtime", "13.0.96"),
    "cufft": ("nvidia-cufft", "12.0.0.61"),
    "cufile": ("nvidia-cufile", "1.15.1.6"),
    "cupti": ("nvidia-cuda-cupti", "13.0.85"),
    "curand": ("nvidia-curand", "10.4.0.35"),
    "cusolver": ("nvidia-cusolver", "12.0.4.66"),
    "cusparse": ("nvidia-cusparse", "12.6.3.3"),
    "nvjitlink": ("nvidia-nvjitlink", "13.0.88"),
    "nvrtc": ("nvidia-cuda-nvrtc", "13.0.88"),
    "nvtx": ("nvidia-nvtx", "13.0.85"),
}
"""What the extras of the meta package cuda-toolkit 13.0 stand for."""


class Env:
    """One environment; the methods change it and return it. `files` are relative to its folder."""

    def __init__(self, python: str = "3.12.3", *, kind: str = "venv"):
        self.python = python
        self.minor = ".".join(python.split(".")[:2])
        self.files: dict[str, str] = {"bin/python3": "#!/bin/sh\n", "bin/python": "#!/bin/sh\n"}
        self.gone: set[str] = set()
        if kind == "conda":
            self.file(f"conda-meta/python-{python}-h1_0.json", "{}").file(f"include/python{self.minor}/Python.h", "")
        else:
            mark = {"venv": "", "uv": "uv = 0.9.2\n", "virtualenv": "virtualenv = 20.29\n"}[kind]
            self.file("pyvenv.cfg", f"home = {{root}}/base/bin\ninclude-system-site-packages = false\n{mark}")
            self.files["pyvenv.cfg"] += f"version = {python}\n"
            self.file(f"base/include/python{self.minor}/Python.h", "")
        self.site = f"lib/python{self.minor}/site-packages"
        self.file(f"{self.site}/README.txt", "")

    def copy(self) -> Env:
        return copy.deepcopy(self)

    def file(self, path: str, text: str) -> Env:
        self.files[path] = text
        return self

    def remove(self, *beginnings: str) -> Env:
        """Take files away behind the back of RECORD; paths are relative to site-packages."""
        whole = tuple(f"{self.site}/{one}" for one in beginnings)
        self.files = {path: text for path, text in self.files.items() if not path.startswith(whole)}
        return self

    def dist(
        self,
        name: str,
        version: str,
        *,
        requires: tuple[str, ...] = (),
        files: dict[str, str] | None = None,
        installer: str | None = "pip",
        tag: str = "py3-none-any",
        direct_url: dict[str, Any] | None = None,
    ) -> Env:
        """A distribution with its files; one of the same name and version is replaced."""
        info = f"{self.site}/{name.replace('-', '_')}-{version}.dist-info"
        lines = "".join(f"Requires-Dist: {one}\n" for one in requires)
        self.file(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}\nText.\n")
        self.file(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        if installer:
            self.file(f"{info}/INSTALLER", f"{installer}\n")
        if direct_url:
            self.file(f"{info}/direct_url.json", json.dumps(direct_url))
        rows = []
        for path, text in (files or {}).items():
            self.file(f"{self.site}/{path}", text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            rows.append(f"{path},sha256={digest},{len(text)}")
        return self.file(f"{info}/RECORD", "\n".join(rows) + "\n")

    def without(self, name: str) -> Env:
        """Remove a distribution's metadata and what its RECORD names."""
        for path in [path for path in self.files if path.startswith(f"{self.site}/{name.replace('-', '_')}-")]:
            text = self.files.pop(path)
            if path.endswith("/RECORD"):
                self.remove(*(line.split(",")[0] for line in text.split()))
        return self

    def receipt(self, torch: str, variant: str, held: dict[str, str], *, sha256: str | None = None, **more: Any) -> Env:
        """gpusetup's receipt, with the words of it that are read; `sha256` is that of every artifact."""
        rows = [{"name": name, "version": version, "sha256": sha256, "source": None} for name, version in held.items()]
        build = {"torch": torch, "variant": variant, "cuda_runtime_version": None if variant == "cpu" else "12.8"}
        text = json.dumps(
            {"format": 2, "receipt": {"build": build, "distributions": rows, "gpus_left_out": [], **more}}
        )
        return self.file("gpusetup-receipt.json", text)

    def write(self, root: Path) -> Path:
        """The environment as files under a folder."""
        for path, text in self.files.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text.replace("{root}", str(root)))
            if "/bin/" in f"/{path}":
                place.chmod(0o755)
        return root

    def scan(self) -> dict[str, Any]:
        """What the scan says of it, as if it stood on a local disk."""
        root = Path(tempfile.mkdtemp(prefix="environment-"))
        try:
            found = scan(str(self.write(root)))
        finally:
            shutil.rmtree(root)
        return {**found, "filesystem": "ext4"}


def with_torch(
    torch: str = "2.13.0",
    variant: str = "cu130",
    *,
    python: str = "3.12.3",
    arch: str = "x86_64",
    kind: str = "venv",
    label: str | None = None,
) -> Env:
    """A healthy environment with a build of the matrix and what it asks for."""
    return _with_torch(torch, variant, python, arch, kind, label).copy()


@cache
def _with_torch(torch: str, variant: str, python: str, arch: str, kind: str, label: str | None) -> Env:
    os.environ.setdefault("GPUSETUP_SITE", "none")
    release = shipped().release(torch)
    assert release is not None
    wheels = release.platform(f"linux_{arch}")
    assert wheels is not None
    env = Env(python, kind=kind)
    is_general = variant == wheels.general_variant
    installer = "uv" if kind == "uv" else "pip"
    tag = f"cp{env.minor.replace('.', '')}"
    cuda = None if variant == "cpu" else f"{variant[2:4]}.{variant[4]}"
    requires = []
    for name, version in (wheels.requires or ()) if is_general else ():
        pin, _, marker = version.partition("; ")
        pin = pin if pin[0] in "<>=!~" else f"=={pin}"
        requires.append(f'{name}{pin}; platform_system == "Linux"' + (f" and {marker}" if marker else ""))
        _library(env, name, pin)
    if cuda and not any(one.startswith("triton") for one in requires):
        _library(env, "triton", f"=={release.companions.triton.removeprefix('==')}")
    files = {
        "torch/version.py": f"__version__ = '{label or f'{torch}+{variant}'}'\ndebug = False\n"
        f"cuda: Optional[str] = {cuda!r}\ngit_version = 'cf30153c'\nhip: Optional[str] = None\n",
        "torch/lib/libtorch_cpu.so": "",
        "torch/lib/libc10.so": "",
        **({"torch/lib/libtorch_cuda.so": ""} if cuda else {}),
    }
    held = torch if is_general and cuda else f"{torch}+{variant}"
    env.dist("torch", held, requires=tuple(requires), files=files, installer=installer, tag=f"{tag}-{tag}-{wheels.tag}")
    own = release.companions
    env.dist("torchvision", own.torchvision, requires=(f"torch=={torch}", "numpy"), tag=f"{tag}-{tag}-{wheels.tag}")
    numpy = "1.26.4" if own.numpy else "2.3.4"
    env.dist("numpy", numpy, tag=f"{tag}-{tag}-{wheels.tag}")
    return env


def _library(env: Env, name: str, pin: str) -> None:
    plain, _, extras = name.rstrip("]").partition("[")
    version = {"cuda-bindings": "13.0.3"}.get(plain, pin.removeprefix("=="))
    if extras:
        asked = [_EXTRAS[one] for one in extras.split(",")]
        where = "(sys_platform == 'linux' and platform_machine == 'aarch64' or sys_platform == 'linux')"
        pairs = zip(extras.split(","), asked, strict=True)
        lines = [f"{one}=={release}.*; {where} and extra == '{extra}'" for extra, (one, release) in pairs]
        lines.append(f"nvidia-nvjitlink<14,>=13.0.88; {where} and extra == 'cusparse'")
        env.dist(plain, f"{version}.0", requires=tuple(lines))
        for one, release in asked:
            env.dist(one, release, files={f"nvidia/cu13/lib/lib{one.removeprefix('nvidia-')}.so.13": ""})
        return
    if plain == "triton":
        files = {"triton/_C/libtriton.so": "", "triton/backends/nvidia/bin/ptxas": ""}
    else:
        folder = plain.removeprefix("nvidia-").removesuffix("-cu12").removesuffix("-cu13").replace("-", "_")
        files = {f"nvidia/{folder}/lib/lib{folder}.so.9": ""}
    env.dist(plain, version, files=files)
