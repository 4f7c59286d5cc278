"""Builds the pretended GPU: fake NVML, fake libcuda, nvidia-smi, box profiles, and trees that look like /sys and /proc.

`python -m tests.bench.build DIR [PROFILE]` makes DIR and prints the variables to start a program with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).parent
PROFILES = BENCH / "profiles"


def profile_names() -> list[str]:
    return sorted(path.stem for path in PROFILES.glob("*.conf"))


def build_fake_nvml(folder: Path) -> Path:
    """The folder with libnvidia-ml.so.1 and nvidia-smi in it; compiled once."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libnvidia-ml.so.1"
    if not library.exists():
        _compile("fake_nvml.c", library, "-Wl,-soname,libnvidia-ml.so.1")
        shutil.copy2(BENCH / "nvidia-smi", folder / "nvidia-smi")
    return folder


def build_fake_cuda(folder: Path) -> Path:
    """The folder with a libcuda.so.1 whose cuInit answers FAKE_CUINIT."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libcuda.so.1"
    if not library.exists():
        _compile("fake_cuda.c", library, "-Wl,-soname,libcuda.so.1")
    return folder


def _compile(source: str, library: Path, *flags: str) -> None:
    partial = library.with_suffix(f".{os.getpid()}")
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", *flags, "-o", partial, BENCH / source], check=True)
    partial.replace(library)


def write_conf(path: Path, profile: str, **overrides: object) -> Path:
    """A box of that profile with some lines changed: `**{"1.err.*": 15}`; a value of None removes the line."""
    path.write_text(conf_text(profile, **overrides), encoding="utf-8")
    return path


def conf_text(profile: str, **overrides: object) -> str:
    """What `write_conf` writes."""
    lines = (PROFILES / f"{profile}.conf").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.split("=", 1)[0] not in overrides]
    added = [f"{key}={value}" for key, value in overrides.items() if value is not None]
    return "\n".join([*kept, *added]) + "\n"


def environment(libraries: Path, conf: Path, *, with_smi: bool = True) -> dict[str, str]:
    """The environment in which programs meet the pretended GPUs, made from ours."""
    environ = dict(os.environ)
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "CUDA_DEVICE_ORDER"):
        environ.pop(name, None)
    rest = environ.get("LD_LIBRARY_PATH")
    environ["LD_LIBRARY_PATH"] = f"{libraries}{os.pathsep}{rest}" if rest else str(libraries)
    environ["FAKE_NVML_CONF"] = str(conf)
    if with_smi:
        environ["PATH"] = f"{libraries}{os.pathsep}{environ.get('PATH', '')}"
    return environ


@dataclass
class Tree:
    """A folder that stands for `/`: write only the files that a situation needs."""

    root: Path
    _minor: int = field(default=0)

    def write(self, path: str, text: str | bytes) -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def pci(self, bus_id: str, device: str, *, class_code: str = "0x030200", driver: str | None = None) -> None:
        """One PCI function, `device` as vendor:device."""
        folder = f"/sys/bus/pci/devices/{bus_id}"
        vendor, number = device.split(":")
        self.write(f"{folder}/vendor", f"0x{vendor}\n")
        self.write(f"{folder}/device", f"0x{number}\n")
        self.write(f"{folder}/class", f"{class_code}\n")
        if driver:
            home = self.root / "sys/bus/pci/drivers" / driver
            home.mkdir(parents=True, exist_ok=True)
            (self.root / folder.lstrip("/") / "driver").symlink_to(home)

    def module(self, name: str, version: str | None = None) -> None:
        """A loaded kernel module."""
        self.write(f"/sys/module/{name}/initstate", "live\n")
        if version:
            self.write(f"/sys/module/{name}/version", f"{version}\n")

    def driver(self, version: str, *, flavour: str = "proprietary") -> None:
        """The vendor's modules, loaded."""
        self.module("nvidia", version)
        self.module("nvidia_uvm")
        words = "Open Kernel Module for x86_64" if flavour == "open" else "x86_64 Kernel Module"
        self.write(
            "/proc/driver/nvidia/version",
            f"NVRM version: NVIDIA UNIX {words}  {version}  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc 12.2.0\n",
        )

    def node(self, *names: str) -> None:
        """Device nodes, as plain files."""
        for name in names:
            self.write(f"/dev/{name}", "")

    def library(self, path: str, *, machine: int = 62) -> Path:
        """A file that begins like a 64-bit ELF library, with the link `<name>.so.1` beside it."""
        target = self.write(path, b"\x7fELF\x02\x01\x01" + b"\0" * 11 + machine.to_bytes(2, "little") + b"\0" * 44)
        link = target.parent / (target.name.split(".so")[0] + ".so.1")
        if not link.exists():
            link.symlink_to(target.name)
        return target

    def os_release(self, name: str, version: str, like: str = "") -> None:
        self.write("/etc/os-release", f'ID={name}\nVERSION_ID="{version}"\nID_LIKE="{like}"\n')


if __name__ == "__main__":
    where = build_fake_nvml(Path(sys.argv[1]).resolve())
    box = write_conf(where / "gpu.conf", sys.argv[2] if len(sys.argv) > 2 else "a100x2")
    print(f"LD_LIBRARY_PATH={where} FAKE_NVML_CONF={box} PATH={where}:$PATH")
