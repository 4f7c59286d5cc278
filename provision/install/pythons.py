"""EDGE: starts the interpreter that is about to be used and asks what it is; fetches one with uv when that was asked.

Detection knows interpreters by their names. A name may lie, a build may lack parts, a wrapper may hang: each is found
here, before anything is made from it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import InstallError
from ..process import run
from ..records import Evidence, Interpreter
from .children import python_not_fetched
from .interpreters import Answer, interpreters_of, python_missing, python_unusable, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..records import Host, Reading
    from .backends import Step
    from .running import Completed

ASK_S: Final = 10.0
"""Seconds that an interpreter may take to say what it is."""
_NEEDED: Final = {"ctypes": "_ctypes", "zlib": "zlib"}
"""What torch and the unpacking of wheels import, with the module of each that a build may lack."""
_NEEDED_BY_PIP: Final = {"venv": "venv", "ssl": "_ssl"}
_QUESTION: Final = """
import importlib.util, json, struct, sys, sysconfig
names = sys.argv[1:]
print(json.dumps({
    "version": sys.version.split()[0],
    "implementation": sys.implementation.name,
    "minor": list(sys.version_info[:2]),
    "free": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "bits": 8 * struct.calcsize("P"),
    "lacks": [name for name in names if importlib.util.find_spec(name) is None],
}))
"""


def ask(executable: str, *, backend: str, deadline_s: float = ASK_S) -> Answer:
    """What an interpreter says of itself; never raises for one that crashes, hangs or talks nonsense."""
    needed = {**_NEEDED, **(_NEEDED_BY_PIP if backend == "pip" else {})}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # -S: neither site-packages nor .pth files of the interpreter run.
    done = run([executable, "-ISc", _QUESTION, *needed.values()], deadline_s=deadline_s, env=environ)
    if done.failure is not None:
        return Answer(failure=f"it cannot be started: {done.failure}")
    if done.timed_out:
        return Answer(failure=f"it gave no answer within {deadline_s:g} s")
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        status = done.returncode or 0
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        return Answer(failure=f"it ended with {ended}" + (f": {said[-1][:200]}" if said else ""))
    try:
        return _answer(json.loads(done.stdout), {module: name for name, module in needed.items()})
    except (ValueError, KeyError, TypeError, RecursionError):
        return Answer(failure="what it printed is not an answer")


def _answer(said: Any, names: Mapping[str, str]) -> Answer:
    implementation, (major, minor) = str(said["implementation"]), said["minor"]
    prefix = {"cpython": "cp", "pypy": "pp"}.get(implementation, implementation)
    return Answer(
        version=str(said["version"]),
        tag=f"{prefix}{int(major)}{int(minor)}{'t' if said['free'] else ''}",
        bits=int(said["bits"]),
        lacks=tuple(names.get(str(module), str(module)) for module in said["lacks"]),
    )


@dataclass(frozen=True, slots=True)
class PythonChoice:
    """Which Python is wanted, of what there is, for which installer."""

    python: str
    """3.11, 3.14t."""
    interpreters: tuple[Interpreter, ...]
    backend: str
    host: Host
    unusable: tuple[Reading, ...] = ()

    @property
    def missing(self) -> InstallError:
        """The error where that Python is not there."""
        return python_missing(self.python, self.interpreters, host=self.host, unusable=self.unusable)


def chosen_python(
    choice: PythonChoice,
    *,
    step: Step | None = None,
    run_step: Callable[[Step], Completed] | None = None,
    deadline_s: float = ASK_S,
) -> Interpreter:
    """The first interpreter of that version that will do, else the one that `step` brings.

    InstallError: `python-missing`, `python-unusable` where some are there and none will do, `python-download-failed`.
    With a step and nothing to run it (a rehearsal) the interpreter is to come: it has no executable yet.
    """
    try:
        found = _working(choice, deadline_s)
        error = choice.missing
    except InstallError as err:
        found, error = None, err
    if found is not None:
        return found
    if step is None:
        raise error
    if run_step is None:
        return Interpreter(choice.python.removesuffix("t"), is_free_threaded=choice.python.endswith("t"))
    return _fetched(choice, step, run_step(step), error)


def _working(choice: PythonChoice, deadline_s: float) -> Interpreter | None:
    """The first that will do; None when there is none of that version. The one that runs us is not asked."""
    reasons: list[tuple[Interpreter, str]] = []
    ours = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    for item in interpreters_of(choice.python, choice.interpreters):
        executable = str(item.executable)
        if os.path.realpath(executable) == ours:
            return item
        why = why_not(ask(executable, backend=choice.backend, deadline_s=deadline_s), choice.python)
        if why is None:
            return item
        reasons.append((item, why))
    if reasons:
        raise python_unusable(choice.python, reasons, host=choice.host)
    return None


def _fetched(choice: PythonChoice, step: Step, done: Completed, error: InstallError) -> Interpreter:
    """The interpreter that uv has put into its own folder."""
    if done.returncode != 0 or done.was_silent:
        if any("No download found for request" in line for line in done.lines):
            known = Evidence("download", "uv knows none for this machine", source="uv python install")
            raise InstallError(error.happened, code=error.code, evidence=(*error.evidence, known), risky=error.risky)
        raise python_not_fetched(done, choice.python)
    uv = step.argv[0]
    argv = [uv, "python", "find", "--managed-python", "--no-project", choice.python]
    found = run(argv, deadline_s=ASK_S, env={**step.environment, "UV_PYTHON_DOWNLOADS": "never"})
    executable = found.stdout.strip()
    if not found.ok or not executable:
        raise error
    version, is_free_threaded = choice.python.removesuffix("t"), choice.python.endswith("t")
    return Interpreter(version, is_free_threaded=is_free_threaded, executable=executable)
