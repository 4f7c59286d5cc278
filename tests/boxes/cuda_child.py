"""What the child that asks libcuda says on a pretended box: the real child, on the fake libcuda."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import provision.detect
from provision.detect.memory import Look, Recorder
from provision.detect.surroundings import Surroundings
from tests.bench import build

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROBE = Path(provision.detect.__file__).with_name("cuda_probe.py")
_ASKED = re.compile(
    r"cuda(\.\w+)?|count|driver|([\d*]+\.)?(name|uuid|pci|cc|mig|mig_instances|mig_uuid\.\d|compute_mode|display_active|"
    r"corrupt|hidden|(err|sleep|crash)\.cu\w+)"
)
"""Lines of a profile that the fake libcuda reads: cases that change others share one answer."""
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")


def cuda_looks(
    libraries: Path, profile: str, overrides: Mapping[str, object], looks: Mapping[tuple[str, str], Look], *, deep: bool
) -> dict[tuple[str, str], Look]:
    """The commands that the probes start, `deep` those of a context on every device too."""
    library = looks.get(("answer", "library libcuda.so.1"))
    if library is None or library.value is None:
        return {("command", "cuda"): _no_library()}
    path = f"{library.value['path'].rpartition('/')[0]}/{library.value['real']}"
    asked = tuple(sorted((key, value) for key, value in overrides.items() if _ASKED.fullmatch(key)))
    variables = tuple(
        (name, looks["variable", name].value or "")
        for name in _VARIABLES
        if ("variable", name) in looks and looks["variable", name].state != "absent"
    )
    found = {("command", "cuda"): _said(libraries, profile, asked, variables, ("init",), path)}
    for gpu in range(_count(found["command", "cuda"]) if deep else 0):
        look = _said(libraries, profile, asked, variables, ("context", str(gpu)), path)
        found["command", f"cuda context {gpu}"] = look
    return found


@cache
def _said(
    libraries: Path,
    profile: str,
    overrides: tuple[tuple[str, object], ...],
    variables: tuple[tuple[str, str], ...],
    words: tuple[str, ...],
    path: str,
) -> Look:
    build.build_fake_cuda(libraries)
    conf = build.write_conf(libraries / f"cuda-{abs(hash((profile, overrides)))}.conf", profile, **dict(overrides))
    memory = Recorder()
    around = Surroundings(environ=build.environment(libraries, conf) | dict(variables), memory=memory)
    around.ask("cuda", [around.python, "-I", "-S", str(_PROBE), *words], deadline_s=2.0)
    look = memory.looks["command", "cuda"]
    lines = look.value["stdout"].replace(str(libraries / "libcuda.so.1"), path)
    return Look("present", {**look.value, "stdout": lines})


def _count(look: Look) -> int:
    counted = re.search(r'"fact": "count", "gpu": null, "value": (\d+)', look.value["stdout"])
    return int(counted[1]) if counted else 0


def _no_library() -> Look:
    why = "libcuda.so.1: cannot open shared object file: No such file or directory"
    lines = ({"at": "dlopen", "gpu": None}, {"fact": "library", "gpu": None, "code": None, "failure": why})
    value = {"stdout": "".join(json.dumps(line) + "\n" for line in lines), "stderr": "", "returncode": 0}
    flags = {"timed_out": False, "abandoned": False, "truncated": False, "failure": None, "duration_s": 0.03}
    return Look("present", {**value, **flags})
