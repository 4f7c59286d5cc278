"""Pretended boxes: a healthy machine of each kind, changed by a line or two into a sick one.

A box is a snapshot in the making. What the driver says comes from the real child process that asks the fake NVML, so
a case changes lines of its profile (`box.nvml(**{"0.ecc_pending": 0})`), and files, folders, links and outputs of
commands stand for the rest. Everything that a box does not state is not there.
"""

from __future__ import annotations

import atexit
import copy
import os
import re
import shutil
import stat
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from provision.checks import Context, Facts, lead, run_checks
from provision.detect.examine import gather
from provision.detect.memory import Look, Recorder, Replay, scrubbed
from provision.detect.surroundings import Kernel, Surroundings
from provision.documents.envelope import Outcome, document
from provision.snapshot import snapshot_data
from tests.bench import build, nvml_faults
from tests.bench.matrix import shipped

from .cuda_child import cuda_looks

NOW = 1_795_000_000.0
"""When every box is looked at: in November 2026."""


@cache
def _libraries() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="boxes-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build.build_fake_nvml(folder)


@cache
def _prober() -> nvml_faults.Prober:
    prober = nvml_faults.Prober(_libraries())
    atexit.register(prober.close)
    return prober


@cache
def _nvml_look(profile: str, overrides: tuple[tuple[str, object], ...]) -> Look:
    """What the child that asks NVML says of a profile with some lines changed."""
    ended = _prober().ask(build.conf_text(profile, **dict(overrides)))
    rest = {"stderr": "", "abandoned": False, "truncated": False, "failure": None}
    return Look("present", {**ended, **rest, "stdout": scrubbed(ended["stdout"])})


class _Box(Replay):
    """Answers a look at the start of a file from the whole file."""

    def look(self, kind: Any, key: str, do: Any) -> Look:
        head = re.fullmatch(r"(.*) \(first (\d+) bytes\)", key) if kind == "text" else None
        if head is None:
            return super().look(kind, key, do)
        whole = super().look(kind, head[1], do)
        return Look("present", whole.value[: int(head[2])]) if whole.is_present else whole


class _Written(Recorder):
    """Remembers what a box answered, so that it can be written down."""

    def __init__(self, inner: Replay) -> None:
        super().__init__()
        self._inner = inner

    def look(self, kind: Any, key: str, do: Any) -> Look:
        return super().look(kind, key, lambda: self._inner.look(kind, key, do))


class Box:
    """One machine; the methods change it and return it."""

    def __init__(
        self, name: str, *, profile: str | None = None, kernel: str = "6.8.0-79-generic", arch: str = "x86_64"
    ):
        self.name = name
        self.profile = profile
        self.arch = arch
        self.kernel = kernel
        self.libc: str | None = "glibc 2.39"
        self.looks: dict[tuple[str, str], Look] = {}
        self.gpu_names: list[str] = []
        self.context: dict[str, Any] = {}
        self._overrides: dict[str, object] = {}
        self._is_without_nvml = profile is None
        self.answer("now", NOW)
        self.answer("module pynvml", "site-packages")

    def copy(self) -> Box:
        return copy.deepcopy(self)

    # --- files

    def file(self, path: str, text: str) -> Box:
        self._parents(path)
        self.looks["text", path] = Look("present", text)
        self.looks["exists", path] = Look("present", True)
        self._status(path, stat.S_IFREG | 0o644, size=len(text))
        return self

    def folder(self, path: str, *names: str) -> Box:
        """A folder; names are added to those that it has."""
        self._parents(path)
        self.looks["exists", path] = Look("present", True)
        self.looks.setdefault(("names", path), Look("present", []))
        for name in names:
            self._parents(f"{path}/{name}")
        return self

    def link(self, path: str, target: str) -> Box:
        self._parents(path)
        self.looks["link", path] = Look("present", target)
        self.looks["exists", path] = Look("present", True)
        return self

    def node(self, path: str, *, mode: int = 0o666, major: int = 195, minor: int = 0, may_open: bool = True) -> Box:
        """A device node."""
        self._parents(path)
        self.looks["exists", path] = Look("present", True)
        self.looks["access", path] = Look("present", may_open)
        self._status(path, stat.S_IFCHR | mode, major=major, minor=minor)
        return self

    def unreadable(self, path: str, why: str = "Permission denied") -> Box:
        """A file that is there and can't be read."""
        self._parents(path)
        self.looks["text", path] = Look("unreadable", why=f"{path}: {why}")
        self.looks["exists", path] = Look("present", True)
        return self

    def without(self, *paths: str) -> Box:
        """Remove a file, or a folder with all that is in it."""
        for path in paths:
            for kind, key in list(self.looks):
                if kind in ("command", "answer", "variable"):
                    continue
                if key == path or key.startswith((f"{path}/", f"{path} (first")):
                    del self.looks[kind, key]
            parent, _, name = path.rpartition("/")
            names = self.looks.get(("names", parent))
            if names:
                self.looks["names", parent] = Look("present", [one for one in names.value if one != name])
        return self

    def space(self, path: str, *, total: int, free: int, inodes: int = 10_000_000, free_inodes: int = 9_000_000) -> Box:
        """Room on the filesystem of a path, bytes."""
        value = {"total_bytes": total, "free_bytes": free, "inodes": inodes, "free_inodes": free_inodes}
        self.looks["space", path] = Look("present", value)
        return self

    def _parents(self, path: str) -> None:
        while path.count("/") > 0:
            path, _, name = path.rpartition("/")
            names = self.looks.get(("names", path or "/"), Look("present", [])).value
            if name in names:
                return
            self.looks["names", path or "/"] = Look("present", sorted([*names, name]))
            if path:
                self.looks["exists", path] = Look("present", True)

    def _status(self, path: str, mode: int, *, size: int = 0, major: int = 0, minor: int = 0) -> None:
        value = {"mode": mode, "uid": 0, "gid": 0, "size": size, "modified_at": NOW - 86400.0}
        self.looks["status", path] = Look("present", {**value, "major": major, "minor": minor, "device": 2049})

    # --- programs

    def program(self, name: str, path: str | None = "/usr/bin") -> Box:
        """An installed program, or with None one that is not."""
        self.answer(f"program {name}", f"{path}/{name}" if path else None)
        return self

    def command(
        self, line: str, stdout: str = "", *, returncode: int = 0, stderr: str = "", timed_out: bool = False
    ) -> Box:
        """What an installed program says to `program argument ...`."""
        self.program(line.split(" ", 1)[0])
        value = {
            "returncode": None if timed_out else returncode,
            "stdout": stdout,
            "stderr": stderr,
            "duration_s": 0.01,
            "timed_out": timed_out,
            "abandoned": False,
            "truncated": False,
            "failure": None,
        }
        self.looks["command", line] = Look("present", value)
        return self

    def without_command(self, line: str) -> Box:
        self.looks.pop(("command", line), None)
        return self

    # --- the process, the driver

    def answer(self, name: str, value: Any) -> Box:
        self.looks["answer", name] = Look("present", value)
        return self

    def variable(self, name: str, value: str | None) -> Box:
        """A variable of the environment; None: set, and its value is nobody's business."""
        self.looks["variable", name] = (
            Look("present", value)
            if value is not None
            else Look("unreadable", why="set, and of no known form; the value is not kept")
        )
        return self

    def library(self, name: str, path: str | None, *, real: str | None = None, source: str = "/etc/ld.so.cache") -> Box:
        """Where the loader finds a library; None: nowhere."""
        found = path and {"path": path, "source": source, "real": real or path.rsplit("/", 1)[-1]}
        return self.answer(f"library {name}", found)

    def nvml(self, **overrides: object) -> Box:
        """Lines of the profile changed: `nvml(**{"0.err.*": 15})`; None removes the line."""
        self._overrides.update(overrides)
        return self

    def given(self, **context: Any) -> Box:
        """What is known beside the machine: expected_gpus, rates, declared."""
        self.context.update(context)
        return self

    # --- judged

    def around(self, level: str = "quick") -> Surroundings:
        looks = dict(self.looks)
        if self.profile:
            looks.setdefault(
                ("command", "nvml health"), _nvml_look(self.profile, tuple(sorted(self._overrides.items())))
            )
            cuda = cuda_looks(_libraries(), self.profile, self._overrides, looks, deep=level in ("standard", "deep"))
            looks = cuda | looks
        return Surroundings(
            root=Path("/nonexistent"),
            environ={},
            kernel=Kernel("Linux", self.kernel, self.arch, self.name),
            libc=self.libc,
            python="python3",
            memory=_Box(looks, otherwise=Look("absent", why="it is not there")),
        )

    def document(self, level: str = "quick") -> dict[str, Any]:
        """The snapshot document of the box."""
        around = self.around()
        around = replace(around, memory=_Written(around.memory))
        gather(around, level)
        return document(Outcome("gpusetup.snapshot/1", "snapshot", snapshot_data(around, level)))

    def facts(self, level: str = "quick") -> Facts:
        context = Context(**{"now": NOW, "matrix": shipped, **self.context})
        return Facts(gather(self.around(level), level), context)

    def results(self, level: str = "quick") -> dict[str, Any]:
        """Result by id of every check, of whatever level."""
        return {result.id: result for result in run_checks(self.facts(level))}

    def diagnosis(self, level: str = "quick") -> tuple[str | None, tuple[str, ...]]:
        """What leads the report, and what it explains."""
        return lead(tuple(self.results(level).values()))


os.environ.setdefault("GPUSETUP_SITE", "none")
