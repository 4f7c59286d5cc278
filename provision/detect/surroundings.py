"""What detection may look at: a file tree, an environment, a way to start programs. Tests give their own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..process import Runner, run

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kernel:
    """The four words of uname that detection needs."""

    system: str
    release: str
    machine: str
    hostname: str


def running_kernel() -> Kernel:
    """What uname says about the machine that runs us."""
    if hasattr(os, "uname"):
        uname = os.uname()
        return Kernel(uname.sysname, uname.release, uname.machine, uname.nodename)
    import platform  # only where os.uname is missing: it is slow to import

    return Kernel(platform.system(), platform.release(), platform.machine(), platform.node())


def running_libc() -> str | None:
    """'glibc 2.36' from the C library that this process runs on; None where it is not glibc."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):  # musl knows no such name; Windows has no confstr
        return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Every source of detection.

    Paths of the machine are looked up under `root`; those that the environment names (PATH, LD_LIBRARY_PATH) are
    taken as they are.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    runner: Runner = run
    kernel: Kernel = field(default_factory=running_kernel)
    libc: str | None = field(default_factory=running_libc)
    python: str = field(default_factory=lambda: sys.executable or "")
    """Interpreter that NVML's child runs on."""
    nvml_silence_s: float = 5.0
    """Longest that one NVML call may take."""
    nvml_deadline_s: float = 30.0
    """Longest that all NVML calls together may take: eight GPUs without persistence need two seconds each."""

    def path(self, absolute: str) -> Path:
        """Where the machine's file `absolute` is found."""
        return self.root / absolute.lstrip("/")

    def text(self, absolute: str, *, longest: int = _LONGEST_FILE) -> str | None:
        """Start of a file's text, None when it can't be read."""
        return self.attempt(absolute, longest=longest)[0]

    def attempt(self, absolute: str, *, longest: int = _LONGEST_FILE) -> tuple[str | None, str | None]:
        """Text of a file and None, or None and the reason."""
        try:
            with self.path(absolute).open("rb") as stream:
                return stream.read(longest).decode("utf-8", errors="replace"), None
        except OSError as err:
            return None, f"{absolute}: {err.strerror}"

    def exists(self, absolute: str) -> bool:
        """Whether the machine has that path."""
        return os.path.lexists(self.path(absolute))

    def names(self, absolute: str) -> tuple[str, ...]:
        """Sorted names in a folder, none when it can't be listed."""
        try:
            return tuple(sorted(os.listdir(self.path(absolute))))  # noqa: PTH208 -- names only, and cheaper
        except OSError:
            return ()
