"""The machine as the rules see it: every fact that decides, read once, and what stands in for missing ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..records import GpuState
from .candidates import python_name
from .devices import devices_of, gpus_under
from .driver import driver_facts
from .system import assume_new_enough, system_of
from .wishes import Wishes, understand

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..records import Interpreter, Machine, Request
    from .box import Objection
    from .candidates import Catalogue
    from .devices import Gpus
    from .driver import DriverFacts
    from .system import System

BoxQuestion = Callable[["Situation"], "Objection | None"]


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """Everything that the rules ask about one machine and one request."""

    catalogue: Catalogue
    wishes: Wishes
    is_cpu: bool
    """Whether CPU builds are wanted: asked for, or no GPU is there."""
    system: System
    gpus: Gpus
    driver: DriverFacts
    pythons: tuple[str, ...]
    """Pythons that may be used, the preferred first: 3.12, 3.14t."""
    python_failure: str | None
    pythons_to_fetch: frozenset[str]
    """Those of them that are not on the machine and may be fetched (--python-download)."""
    assumptions: tuple[str, ...]
    objections: dict[BoxQuestion, Objection | None] = field(default_factory=dict, init=False, repr=False)
    """Answers about the box itself: every candidate asks the same ones."""

    def objection(self, ask: BoxQuestion) -> Objection | None:
        """What speaks against the box, asked once."""
        if ask not in self.objections:
            self.objections[ask] = ask(self)
        return self.objections[ask]

    @property
    def platform(self) -> str:
        """That of the system: linux_x86_64."""
        return self.system.platform

    @property
    def asked_builds(self) -> tuple[str | None, str | None] | None:
        """The words of --torch and --cuda; None when neither was given."""
        torch, cuda = self.wishes.torch, self.wishes.cuda
        return (torch.text if torch else None, cuda.text if cuda else None) if torch or cuda else None

    @property
    def key(self) -> tuple[object, ...]:
        """Everything that the rules ask about, so that equal keys are judged alike."""
        asked = (self.wishes.torch, self.wishes.cuda, self.wishes.transformers)
        return (
            self.is_cpu,
            self.system,
            self.gpus.boards,
            self.driver.key,
            self.driver.kernel_module,
            self.pythons,
            self.python_failure,
            tuple([wish.text if wish else None for wish in asked]),
        )


def python_of(interpreter: Interpreter) -> str:
    """3.12, or 3.14t; another implementation keeps its name: pypy3.10; a version that is none stays as it is."""
    try:
        major, minor = interpreter.minor
    except ValueError:
        return f"{interpreter.implementation} {interpreter.version}"
    prefix = "" if interpreter.implementation == "cpython" else interpreter.implementation
    return f"{prefix}{major}.{minor}{'t' if interpreter.is_free_threaded else ''}"


def situate(machine: Machine, request: Request, catalogue: Catalogue) -> Situation:
    """The situation of a machine with a request."""
    matrix, wishes = catalogue.matrix, understand(request)
    assumptions = list(machine.assumptions)
    # GPUs that are listed count even where nobody judged their state: they never become a CPU plan in silence.
    is_cpu = request.cpu or (machine.gpu_state is GpuState.NONE and not machine.gpus)
    devices = () if is_cpu else devices_of(machine, matrix, assumptions)
    system = system_of(machine, assumptions)
    driver = driver_facts(machine, None if is_cpu else machine.driver, devices, matrix, assumptions)
    assume_new_enough(system, assumptions)
    pythons, python_failure = _pythons(machine, wishes, matrix, assumptions)
    there = set(_pythons(machine, Wishes(), matrix, [])[0]) if machine.python else set(pythons)
    if request.python_download and not wishes.python:
        pythons = (*pythons, *(new for new in _published(catalogue, system, is_cpu=is_cpu) if new not in pythons))
    return Situation(
        catalogue=catalogue,
        wishes=wishes,
        is_cpu=is_cpu,
        system=system,
        gpus=gpus_under(driver, devices, matrix),
        driver=driver,
        pythons=pythons,
        python_failure=python_failure,
        pythons_to_fetch=frozenset(pythons) - there if request.python_download else frozenset(),
        assumptions=tuple(dict.fromkeys(assumptions)),
    )


def _pythons(
    machine: Machine, wishes: Wishes, matrix: Matrix, assumptions: list[str]
) -> tuple[tuple[str, ...], str | None]:
    if wishes.python:
        return (wishes.python,), None
    found = [machine.python] if machine.python else []
    # Of the others the default builds come first: compiled companions have wheels for them.
    others = sorted(machine.interpreters, key=lambda other: other.is_free_threaded or other.implementation != "cpython")
    names = dict.fromkeys(python_of(interpreter) for interpreter in (*found, *others))
    if names:
        return tuple(names), None
    if failure := machine.failure_of("python.version"):
        return (), failure
    assumptions.append(f"The Python is not known: {' or '.join(matrix.assumed_pythons)} is assumed.")
    return matrix.assumed_pythons, None


def _published(catalogue: Catalogue, system: System, *, is_cpu: bool) -> tuple[str, ...]:
    """Pythons with the GIL that any build has wheels for on that platform, the newest first."""
    tags = {
        tag
        for candidate in catalogue.candidates(system.platform, is_cpu=is_cpu)
        if candidate.wheels is not None
        for tag in candidate.wheels.pythons
        if tag[3:].isdigit()
    }
    return tuple(python_name(tag) for tag in sorted(tags, key=lambda tag: int(tag[3:]), reverse=True))
