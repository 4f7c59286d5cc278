"""Which plan of a bundle a machine can be given, and why it can't be given the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InstallError, NoBuildError, UsageError
from ..install.availability import tag_order
from ..records import Evidence, GpuState, Request
from .target import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..records import Interpreter, Machine, Plan, Rejection
    from .manifest import BundledPlan, Manifest


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a machine can't be given a plan."""

    rule: str
    found: str
    needs: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan of the bundle that fits."""

    bundled: BundledPlan
    admitted: Plan
    """What this machine's own plan says about that very build."""


@dataclass(frozen=True, slots=True)
class Here:
    """The machine that is installed on."""

    machine: Machine
    platforms: tuple[str, ...]
    """Platform tags that it takes, best first."""
    interpreters: tuple[Interpreter, ...]
    wants_cpu: bool
    plan_for: Callable[[Request], Plan]
    """The machine's own plan for a request; NoUsableGpuError where it has a GPU that can't be used."""


def named(manifest: Manifest, name: str | None) -> tuple[BundledPlan, ...]:
    """The plans that may be chosen from; UsageError when there is none of that name."""
    if name is None:
        return manifest.plans
    found = tuple(plan for plan in manifest.plans if plan.name == name)
    if not found:
        there = ", ".join(plan.name for plan in manifest.plans)
        raise UsageError(f"The bundle holds no plan {name!r}; it holds {there}.")
    return found


def choose(plans: Sequence[BundledPlan], here: Here, *, is_cpu_meant: Callable[[BundledPlan], bool]) -> Offer:
    """The plan that fits best; NoBuildError (`bundle-misfit`) with the rule that each fails otherwise.

    InstallError (`python-missing`) where Python is all that is missing. `is_cpu_meant` says of a CPU plan whether
    somebody asked for the CPU; a box with a GPU gets none otherwise.
    """
    offers: list[Offer] = []
    misfits: list[tuple[BundledPlan, Misfit]] = []
    for plan in plans:
        judged = _judge(plan, here, is_cpu_meant=is_cpu_meant(plan))
        if isinstance(judged, Offer):
            offers.append(judged)
        else:
            misfits.append((plan, judged))
    if not offers:
        raise _none(misfits, here)
    if len(offers) == 1:
        return offers[0]
    order = _order(here, wants_cpu=all(offer.bundled.variant == "cpu" for offer in offers))
    last = len(order)
    return min(offers, key=lambda offer: (offer.bundled.variant == "cpu", order.get(_head(offer.bundled), last)))


def _order(here: Here, *, wants_cpu: bool) -> dict[tuple[str, str, str], int]:
    """Place of every build in the machine's own preference."""
    candidates = here.plan_for(Request(cpu=wants_cpu)).resolution.candidates
    return {(build.torch, build.variant, build.python): rank for rank, build in enumerate(candidates)}


def _head(plan: BundledPlan) -> tuple[str, str, str]:
    return plan.torch, plan.variant, plan.target.python


def _judge(plan: BundledPlan, here: Here, *, is_cpu_meant: bool) -> Offer | Misfit:
    misfit = _by_host(plan, here) or _by_kind(plan, here, is_cpu_meant=is_cpu_meant) or _by_python(plan, here)
    if misfit is not None:
        return misfit
    admitted = here.plan_for(_question(plan))
    for build in admitted.resolution.candidates:
        if (build.torch, build.variant, build.python) == _head(plan):
            return Offer(plan, admitted)
    return _refusal(plan, admitted.resolution.rejections)


def _by_host(plan: BundledPlan, here: Here) -> Misfit | None:
    host, target = here.machine.host, plan.target
    if host.arch != target.arch:
        return Misfit("another-architecture", str(host.arch), target.arch)
    if host.glibc is not None and host.glibc < target.glibc:
        return Misfit("glibc-too-old", str(host.glibc), f"{target.glibc} or newer")
    tags = tag_order(target.python, here.platforms)
    unfit = [wheel.path.rpartition("/")[2] for wheel in plan.wheels if not fits(wheel.path.rpartition("/")[2], tags)]
    return Misfit("wheel-does-not-fit", unfit[0], "wheels that this machine takes") if unfit else None


def _by_kind(plan: BundledPlan, here: Here, *, is_cpu_meant: bool) -> Misfit | None:
    state = here.machine.gpu_state
    if plan.variant != "cpu":
        if here.wants_cpu:
            return Misfit("not-asked-for", plan.variant, "a CPU build, as --cpu says")
        return Misfit("no-gpu", "no NVIDIA GPU", f"a GPU for {plan.variant}") if state is GpuState.NONE else None
    if state is GpuState.NONE or is_cpu_meant:
        return None
    here.plan_for(Request())  # a GPU that can't be used is told by its cause, and never becomes a CPU plan
    return Misfit("cpu-not-asked-for", "a GPU that can be used", "--cpu, for a CPU environment all the same")


def _by_python(plan: BundledPlan, here: Here) -> Misfit | None:
    python = plan.target.python
    if any(item.executable and item.tag == f"cp{python.replace('.', '')}" for item in here.interpreters):
        return None
    there = ", ".join(dict.fromkeys(item.version for item in here.interpreters)) or "none"
    return Misfit("python-missing", there, python)


def _question(plan: BundledPlan) -> Request:
    """Asks the machine's own plan about that one build."""
    is_cpu = plan.variant == "cpu"
    return Request(
        torch=f"=={plan.torch}", cuda=None if is_cpu else plan.variant, python=plan.target.python, cpu=is_cpu
    )


def _refusal(plan: BundledPlan, rejections: Sequence[Rejection]) -> Misfit:
    """The rule that this machine's plan refuses the build by."""
    about = [no for no in rejections if (no.torch, no.variant) == (plan.torch, plan.variant)]
    about.sort(key=lambda no: no.python not in (None, plan.target.python))
    if about:
        return Misfit(about[0].rule, about[0].found, about[0].needs)
    return Misfit("not-in-matrix", f"torch {plan.torch}+{plan.variant}", "a build that the matrix knows")


def _none(misfits: Sequence[tuple[BundledPlan, Misfit]], here: Here) -> InstallError | NoBuildError:
    if all(misfit.rule == "python-missing" for _, misfit in misfits):
        pythons = ", ".join(dict.fromkeys(plan.target.python for plan, _ in misfits))
        return InstallError(
            f"Python {pythons} is not on this machine, and the bundle is made for it.",
            code="python-missing",
            evidence=tuple(Evidence(plan.name, misfit.found, needs=misfit.needs) for plan, misfit in misfits),
            do=(
                f"install Python {pythons} with the system's packages",
                "or make a bundle for a Python that is there: gpusetup plan --python X.Y",
            ),
        )
    where = f"{here.machine.host.arch}, glibc {here.machine.host.glibc}"
    return NoBuildError(
        f"No plan of the bundle fits this machine ({where})."
        if len(misfits) > 1
        else f"The plan of the bundle does not fit this machine ({where}).",
        code="bundle-misfit",
        evidence=tuple(
            Evidence(
                f"{plan.name}: torch {plan.torch}+{plan.variant}", f"{misfit.rule}: {misfit.found}", needs=misfit.needs
            )
            for plan, misfit in misfits
        ),
        do=(
            "record this machine: gpusetup detect --json > machine.json",
            "where there is a network: gpusetup plan --from machine.json --json > plan.json",
            "then there: gpusetup bundle create plan.json --output DIR",
        ),
    )
