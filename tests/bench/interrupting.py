"""Real `gpusetup install` runs of stand-in wheels that are cut short from outside, and what has to hold afterwards.

The journal and the folders on disk say in which phase a run is; nothing in the product helps with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import index as bench_index

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
TORCHES = ("2.4.1", "2.6.0")
PHASES = ("start", "choose", "venv", "install", "verify", "switch", "prune")
"""start: before anything is on disk; choose: looking and resolving; prune: the link is switched, the run not over."""
_LONGEST_S = {"start": 0.4, "choose": 0.5, "venv": 0.08, "install": 0.2, "verify": 0.3, "switch": 0.02, "prune": 0.03}
_FILES = 150


def make_site(folder: Path) -> Path:
    """An index with two torch builds of many small files, and what the plans for them need."""
    bench_index.make_index(folder, pythons=(TAG,))
    bulk = {f"torch/part{number}.py": f"x = {number}\n" for number in range(_FILES)}
    for torch in TORCHES:
        files = bench_index.torch_files(f"{torch}+cpu", None) | bulk
        place = folder / "whl" / "cpu" / "torch"
        bench_index.make_wheel(place, "torch", f"{torch}+cpu", f"{TAG}-{TAG}-linux_x86_64", files=files)
    bench_index.make_wheel(folder / "general" / "safetensors", "safetensors", "0.5.0")
    bench_index.write_pages(folder)
    return folder


@dataclass(frozen=True)
class Cut:
    """How one run was cut short."""

    wanted: str
    """Phase that was aimed at, or "any"."""
    phase: str
    """Phase that was hit; "end" when all was done, and the process about to go or gone."""
    delay_s: float
    status: int


@dataclass(frozen=True)
class Box:
    """An environment, an index and a cache, with nothing else of this machine in reach."""

    folder: Path
    site: str
    """Address of the index, or its folder as an address."""

    @property
    def env(self) -> Path:
        return self.folder / "place" / "env"

    @property
    def store(self) -> Path:
        return self.folder / "place" / ".env.gpusetup"

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "GPUSETUP_", "XDG_"))}
        return kept | {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{self.site}/general",
            "UV_NO_CONFIG": "1",
            "UV_DEFAULT_INDEX": f"{self.site}/general",
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "GPUSETUP_TORCH_INDEX": f"{self.site}/whl",
            "NETRC": os.devnull,
            "HOME": str(self.folder / "home"),
            "PYTHONPATH": str(ROOT),
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "provision", *words, "--env", str(self.env), "--json"]

    def install_words(self, torch: str) -> tuple[str, ...]:
        return ("install", "--cpu", "--torch", torch, "--python", f"{sys.version_info[0]}.{sys.version_info[1]}")

    def run(self, *words: str) -> tuple[int, dict[str, object]]:
        """Exit code and document."""
        done = subprocess.run(self.command(*words), env=self.environ, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    # --- looking at the disk --------------------------------------------------------------------

    def phase(self) -> str:
        """What a run that is at work here does now."""
        marks = list(self.store.glob("*.part"))
        if not self.store.exists() or not (marks or (self.store / "journal.json").exists()):
            return "start"
        try:
            journal = json.loads((self.store / "journal.json").read_text())["journal"]
        except (OSError, ValueError):
            return "choose"
        folder = self.store / journal["folder"]
        if self.env.is_symlink() and self.env.resolve() == folder:
            return "prune"
        if "verify" in journal["finished"]:
            return "switch"
        if "install" in journal["finished"]:
            return "verify"
        return "install" if (folder.parent / f"{folder.name}.part" / "locked").exists() else "venv"

    def strays(self) -> list[str]:
        """Names that no run which ended well leaves; none while nothing runs."""
        known = {"lock", *self.environments()}
        inside = {item.name for item in self.store.iterdir()} if self.store.exists() else set()
        return sorted(inside - known) + sorted(
            item.name for item in self.env.parent.iterdir() if item not in (self.env, self.store)
        )

    def environments(self) -> list[str]:
        """Names of whole environments."""
        return sorted(item.parent.name for item in self.store.glob("*/gpusetup-receipt.json"))

    def running(self) -> list[str]:
        """Command lines of processes that work on this box."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.folder) in words and path.parent.name != str(os.getpid()):
                found.append(words)
        return found

    def torch(self) -> str | None:
        """What the environment says when its Python runs and imports; None where there is none."""
        if not self.env.exists():
            return None
        code = "import torch, transformers; print(torch.__version__)"
        argv = [str(self.env / "bin/python"), "-Ic", code]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().partition("+")[0]

    # --- cutting short --------------------------------------------------------------------------

    def cut(self, torch: str, random_: random.Random, *, phase: str = "any", number: int = signal.SIGKILL) -> Cut:
        """Start an install and send it a signal: some time into a phase, or anywhere."""
        before = self.env.readlink() if self.env.is_symlink() else None
        child = subprocess.Popen(
            self.command(*self.install_words(torch)),
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        delay_s = random_.uniform(0, sum(_LONGEST_S.values()) if phase == "any" else _LONGEST_S[phase])
        if phase != "any":
            while child.poll() is None and PHASES.index(self.phase()) < PHASES.index(phase):
                if self.env.is_symlink() and self.env.readlink() != before:
                    break
                time.sleep(0.001)
        end = time.monotonic() + delay_s
        while child.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        hit = self.phase()
        child.send_signal(number)
        if hit == "start" and self.env.is_symlink() and self.env.readlink() != before:
            hit = "end"
        _, told = child.communicate(timeout=60)
        assert "Traceback" not in told or hit == "start", told
        return Cut(phase, hit, round(delay_s, 4), child.returncode)

    def recovered(self, torch: str) -> dict[str, object]:
        """What the next run did; it has to succeed and to leave nothing but environments."""
        started = time.monotonic()
        code, document = self.run(*self.install_words(torch))
        assert code == 0, document["findings"]
        data = document["data"]
        assert isinstance(data, dict)
        assert self.torch() == torch
        assert self.strays() == [], self.strays()
        assert self.running() == [], self.running()
        return {
            "seconds": round(time.monotonic() - started, 2),
            "resumed": data["resumed"],
            "reused": data["reused"],
            "environments": len(self.environments()),
        }


def alternating() -> Iterator[str]:
    """The torch of one install after the other: never the one that is there."""
    number = 0
    while True:
        yield TORCHES[number % 2]
        number += 1
