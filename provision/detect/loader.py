"""Which shared library the dynamic loader would find, without loading it."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..versions import DriverVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .surroundings import Surroundings

WSL_FOLDER = "/usr/lib/wsl/lib"
_CACHE = "/etc/ld.so.cache"
_CACHE_LONGEST = 8 * 1024 * 1024
_MACHINES = {"x86_64": 62, "amd64": 62, "aarch64": 183, "arm64": 183}  # e_machine of the ELF header (elf.h)
_DEFAULT_FOLDERS = (
    "/lib/{arch}-linux-gnu",
    "/usr/lib/{arch}-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
)


@dataclass(frozen=True, slots=True)
class Library:
    """One shared library file that was found."""

    path: str
    """As the loader names it."""
    source: str
    """What led to it: LD_LIBRARY_PATH, /etc/ld.so.cache, default folder, or the WSL folder."""
    version: DriverVersion | None = None
    """Release in the name of the file behind the links; None where the name has none."""

    @property
    def is_injected(self) -> bool:
        """Whether somebody pointed the loader at it for this process, as container images do."""
        return self.source == "LD_LIBRARY_PATH"


def find_library(around: Surroundings, name: str) -> Library | None:
    """The file that the loader would take for `name` on this machine, in the loader's own order."""
    found = around.answer(f"library {name}", lambda: _find(around, name))
    if not isinstance(found, dict):
        return None
    return Library(found["path"], found["source"], parse_library_version(found["real"]))


def _find(around: Surroundings, name: str) -> dict[str, str] | None:
    for source, path in _candidates(around, name):
        if _fits(path, around.kernel.machine):
            real = os.path.basename(os.path.realpath(path))  # noqa: PTH119 -- text only
            return {"path": str(path), "source": source, "real": real}
    return None


def _candidates(around: Surroundings, name: str) -> Iterator[tuple[str, Path]]:
    from pathlib import Path

    for folder in re.split(r"[:;]", around.environ.get("LD_LIBRARY_PATH", "")):
        if folder:
            yield "LD_LIBRARY_PATH", Path(folder) / name
    cache = _read_bytes(around.path(_CACHE), _CACHE_LONGEST)
    for cached in parse_loader_cache(cache, name):
        yield _CACHE, around.path(cached)
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(around.kernel.machine, around.kernel.machine)
    for folder in _DEFAULT_FOLDERS:
        yield "default folder", around.path(folder.format(arch=arch)) / name
    # Outside the loader's order: WSL distributions normally have it in the cache.
    yield WSL_FOLDER, around.path(WSL_FOLDER) / name


# ...\0/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1\0/usr/lib/i386-linux-gnu/libnvidia-ml.so.1\0...
def parse_loader_cache(content: bytes, name: str) -> tuple[str, ...]:
    """Paths of `name` in an ld.so.cache, in its order; the file's string table is all that is needed (ld.so(8))."""
    wanted = re.compile(rb"(/[^\0]{1,1024}/" + re.escape(name.encode()) + rb")\0")
    return tuple(dict.fromkeys(match.decode("utf-8", errors="replace") for match in wanted.findall(content)))


def _read_bytes(path: Path, longest: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(longest)
    except OSError:
        return b""


def _fits(path: Path, machine: str) -> bool:
    """Whether the file is a 64-bit ELF file for this processor: the loader skips the others."""
    return is_elf_for(_read_bytes(path, 20), machine)


def is_elf_for(header: bytes, machine: str) -> bool:
    """Whether the first 20 bytes are those of a 64-bit little-endian ELF file for `machine`."""
    if len(header) < 20 or header[:6] != b"\x7fELF\x02\x01":  # noqa: PLR2004 -- size of the part read
        return False
    expected = _MACHINES.get(machine.lower())
    (found,) = struct.unpack_from("<H", header, 18)
    return expected is None or found == expected


# libnvidia-ml.so.535.104.05   libcuda.so.550.90.07   (libcuda.so.1.1 on WSL names no release)
def parse_library_version(filename: str) -> DriverVersion | None:
    """Driver release that ends the file name of one of its libraries."""
    match = re.search(r"\.so\.(\d{3,}\.\d+(?:\.\d+)?)$", filename)
    return DriverVersion(match[1]) if match else None
