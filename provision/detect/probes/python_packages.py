"""A Python environment, read from its files and never modified."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from ...plain_text import plain
from ...records import Reading
from . import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_SCAN_S = 20.0
"""Deadline of the scan: 0.2 s on a local disk, seconds on a cold network filesystem."""
_IMPORT_S = 120.0
"""Deadline of `import torch`: it takes 1 to 5 s from a local disk, and minutes from a busy network filesystem."""
NOT_TRIED = "not tried"
"""How the failure of an import begins that was not started."""
_COMPILERS = ("cc", "gcc", "clang")
"""What triton looks for when CC is not set."""
_PROGRAM = re.compile(r"[\w./+-]{1,200}")
_PRECISION = re.compile(r"no|fp16|bf16|fp8")

_IMPORT = """
import json, sys, time
began = time.perf_counter()
try:
    import torch
except BaseException as err:
    told = {"failure": f"{type(err).__name__}: {err}"[:400]}
else:
    told = {"seconds": round(time.perf_counter() - began, 3), "version": str(torch.__version__),
            "cuda": torch.version.cuda, "arch": torch.cuda.get_arch_list()}
    if not told["arch"] and torch.version.cuda and hasattr(torch._C, "_cuda_getArchFlags"):
        told["arch"] = torch._C._cuda_getArchFlags().split()  # releases before 2.1 ask for a GPU first
    try:
        told["cudnn"] = torch.backends.cudnn.version()
    except BaseException as err:
        told["cudnn_failure"] = f"{type(err).__name__}: {err}"[:400]
sys.stdout.write("\\n" + json.dumps(told) + "\\n")
"""


def _path(around: Surroundings) -> str | None:
    """The environment that was named with --env; None when none was."""
    # The command put it there. A snapshot that never had one answers None as well.
    path = around.answer("env.path", lambda: None)
    return path if isinstance(path, str) and path else None


# --- files --------------------------------------------------------------------------------------


def read_environment(around: Surroundings, machine: Machine) -> Iterable[Reading]:  # noqa: ARG001 -- a probe's form
    """What the environment holds, from its files; nothing when none was named."""
    path = _path(around)
    if path is None:
        return ()
    return readings_of(path, around.answer("env.scan", lambda: _scan(around, path)), around)


def _scan(around: Surroundings, path: str) -> dict[str, Any]:
    script = os.path.join(os.path.dirname(os.path.dirname(__file__)), "environment_scan.py")  # noqa: PTH118, PTH120 -- argv
    # -I and -B: neither the user's PYTHONPATH nor a __pycache__ of ours; -S starts faster.
    argv = [around.python, "-I", "-B", "-S", script, os.path.abspath(path)]  # noqa: PTH100 -- handed to argv
    ended = around.runner(argv, deadline_s=_SCAN_S, env=dict(around.environ))
    if ended.timed_out:
        return {"failure": f"{path} could not be read within {_SCAN_S:.0f} s: its filesystem may hang"}
    try:
        found = json.loads(ended.stdout)
    except ValueError:
        last = (ended.stderr.strip().splitlines() or [ended.failure or f"exit status {ended.returncode}"])[-1]
        return {"failure": f"{path} could not be read: {plain(last)}"}
    return found if isinstance(found, dict) else {"failure": f"{path} could not be read"}


def readings_of(path: str, scan: dict[str, Any] | None, around: Surroundings) -> Iterator[Reading]:
    """The scan as readings, one for each fact and one for each distribution."""
    failure = "the environment is not in the snapshot" if scan is None else scan.get("failure")
    if scan is None or failure:
        yield Reading("env.path", "--env", failure=failure)
        return
    yield Reading("env.path", "--env", path)
    yield Reading("env.kind", "pyvenv.cfg, conda-meta", scan["kind"])
    yield Reading("env.sees_system", "pyvenv.cfg", scan["sees_system"])
    yield Reading("env.filesystem", "/proc/self/mounts", scan["filesystem"])
    yield from _python_readings(scan)
    for row in scan["distributions"]:
        yield Reading("env.distribution", "dist-info", tuple(row))
    for name in ("duplicates", "requires", "missing", "shared", "conda"):
        for row in scan[name]:
            yield Reading(f"env.{name}", "conda-meta" if name == "conda" else "dist-info", tuple(row))
    for text in scan["broken"]:
        yield Reading("env.broken", "site-packages", text)
    yield from _torch_readings(scan)
    yield from _receipt_readings(scan["receipt"])
    yield from _toolchain(around)


def _python_readings(scan: dict[str, Any]) -> Iterator[Reading]:
    python = scan["python"]
    if python["version"] is None:
        yield Reading("env.python_version", "pyvenv.cfg, lib", failure="no file names the version of its Python")
    else:
        yield Reading("env.python_version", "pyvenv.cfg, lib", python["version"])
        major, minor = python["version"].split(".")[:2]
        kind = "pp" if python["implementation"] == "pypy" else "cp"
        free = "t" if python["is_free_threaded"] else ""
        yield Reading("env.python_tag", "pyvenv.cfg, lib", f"{kind}{major}{re.sub('[^0-9].*', '', minor)}{free}")
    yield Reading("env.python_runs", "bin/python", python["can_run"])
    if python["started"]:
        yield Reading("env.python_started", "bin/python3", python["started"])
    if scan["python_h"] is not None:
        yield Reading("env.python_h", "include/Python.h", scan["python_h"])


def _torch_readings(scan: dict[str, Any]) -> Iterator[Reading]:
    torch, place = scan["torch"], "torch/version.py"
    if torch is None:
        yield Reading("env.torch_version", place, failure="there is no folder torch")
        return
    if not torch["has_version"] or torch["version"] is None:
        yield Reading("env.torch_version", place, failure="torch/version.py is missing or states no version")
        return
    yield Reading("env.torch_version", place, torch["version"])
    # An empty word: the file says None. That is an answer, and another one than not having read it.
    yield Reading("env.torch_cuda", place, torch["cuda"] or "")
    yield Reading("env.torch_hip", place, torch["hip"] or "")
    yield Reading("env.torch_debug", place, bool(torch["debug"]))
    yield Reading("env.torch_cuda_library", "torch/lib", torch["cuda_library"])
    yield Reading("env.torch_own_cudart", "torch/lib", torch["own_cudart"])
    yield Reading("env.ptxas", "triton/backends/nvidia/bin", torch["ptxas"])
    if torch["cxx11_abi"] is not None:
        yield Reading("env.torch_cxx11_abi", "TorchConfig.cmake", torch["cxx11_abi"])
    if scan.get("torch_version_as_recorded") is not None:
        yield Reading("env.torch_as_recorded", "RECORD", scan["torch_version_as_recorded"])


def _receipt_readings(receipt: dict[str, Any] | None) -> Iterator[Reading]:
    place = "gpusetup-receipt.json"
    if receipt is None:
        return
    if receipt.get("failure"):
        yield Reading("env.receipt", place, failure=receipt["failure"])
        return
    yield Reading("env.receipt", place, (receipt["torch"], receipt["variant"]))
    yield Reading("env.receipt_left_out", place, tuple(receipt["left_out"]))
    for row in receipt["distributions"]:
        yield Reading("env.receipt_distribution", place, tuple(row))


def _toolchain(around: Surroundings) -> Iterator[Reading]:
    """What compiles for triton in this session: the variable CC, else a compiler on PATH."""
    named = around.variable("CC", _PROGRAM)
    if named.is_set:
        if named.value is None:
            yield Reading("env.compiler", "CC", failure="CC is set to more than a program's name")
            return
        # A path stands for itself: only a bare name is searched.
        found = named.value if "/" in named.value else around.program(named.value)
        yield Reading("env.compiler", "CC", found or "")
    else:
        found = next((path for name in _COMPILERS if (path := around.program(name))), "")
        yield Reading("env.compiler", "PATH", found)
    precision = around.variable("ACCELERATE_MIXED_PRECISION", _PRECISION)
    if precision.value:
        yield Reading("env.precision", "ACCELERATE_MIXED_PRECISION", precision.value)


# --- import -------------------------------------------------------------------------------------


def read_import(around: Surroundings, machine: Machine) -> Iterable[Reading]:  # noqa: ARG001 -- a probe's form
    """How `import torch` ends in a child of that environment, how long it takes, and which code the build holds."""
    path = _path(around)
    if path is None:
        return ()
    scan = around.answer("env.scan", lambda: _scan(around, path))
    if not scan or scan.get("failure") or not scan["torch"] or not scan["python"]["can_run"]:
        return ()
    ended = around.ask(
        "env.import", lambda: [_python_of(path), "-I", "-B", "-c", _IMPORT], deadline_s=_IMPORT_S, keep=kept_of_import
    )
    source = "import torch"
    if ended.timed_out:
        return (Reading("env.import_s", source, failure=f"it did not end within {_IMPORT_S:.0f} s"),)
    if ended.failure:
        return (Reading("env.import_s", source, failure=f"{NOT_TRIED}: {plain(ended.failure)}"),)
    told = parse_import(ended.stdout)
    if told is None or "failure" in told:
        last = (ended.stderr.strip().splitlines() or [""])[-1]
        # A signal ends Python without a word: a library that doesn't fit the CPU or the system.
        killed = f"ended by signal {-code}" if (code := ended.returncode or 0) < 0 else last or "it said nothing"
        return (Reading("env.import_s", source, failure=plain(told["failure"] if told else killed)),)
    return _import_readings(told, source)


def _python_of(path: str) -> str:
    folder = os.path.join(os.path.abspath(path), "bin")  # noqa: PTH118, PTH100 -- handed to argv
    # A system prefix may have python3 alone.
    name = next((one for one in ("python", "python3") if os.access(os.path.join(folder, one), os.X_OK)), "python")  # noqa: PTH118
    return os.path.join(folder, name)  # noqa: PTH118


def _import_readings(told: dict[str, Any], source: str) -> Iterator[Reading]:
    yield Reading("env.import_s", source, told["seconds"])
    yield Reading("env.arch_list", "torch.cuda.get_arch_list()", tuple(str(one) for one in told.get("arch") or ()))
    if told.get("cudnn_failure"):
        yield Reading("env.cudnn", "torch.backends.cudnn.version()", failure=plain(told["cudnn_failure"]))
    elif isinstance(told.get("cudnn"), int):
        yield Reading("env.cudnn", "torch.backends.cudnn.version()", told["cudnn"])


def kept_of_import(text: str) -> str:
    """The child's own line, else the last one that is there: packages may print anything before it."""
    lines = text.strip().splitlines()
    own = next((line for line in reversed(lines) if line.startswith(('{"seconds"', '{"failure"'))), None)
    return own or (lines[-1][:400] if lines else "")


# {"seconds": 1.9, "version": "2.9.1+cu128", "cuda": "12.8", "arch": ["sm_75", "sm_80"], "cudnn": 91002}
def parse_import(text: str) -> dict[str, Any] | None:
    """The last line of the child that is a JSON object; packages may print before it."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                return None
            has_form = isinstance(found, dict) and ("failure" in found or isinstance(found.get("seconds"), float))
            return found if has_form else None
    return None


PROBES: tuple[Probe, ...] = (
    Probe("environment", "quick", read_environment),
    Probe("environment_import", "standard", read_import, is_after_driver=True),
)
