"""The `data` of plan/1, from a plan and back."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..errors import InputError
from ..records import (
    Asked,
    Basis,
    Build,
    Companion,
    GpuLeftOut,
    HeldWheel,
    Image,
    MatrixIdentity,
    Plan,
    Rejection,
    Request,
    Resolution,
    Source,
    Unlock,
)
from ..versions import CudaVersion, torch_order
from .codec import encode

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Gives:
    """What an unlock would admit."""

    torch: str
    variant: str


@dataclass(frozen=True, slots=True)
class UnlockRow:
    """One change that would admit a newer build."""

    change: str
    from_: str
    to: str
    gives: Gives


@dataclass(frozen=True, slots=True)
class ContainerChoice:
    """The image of a container plan; torch, variant and python of the plan are those inside."""

    image: str
    digest: str | None = None
    family: Literal["ngc", "pytorch"] | None = None
    platform: str | None = None
    """linux/amd64 or linux/arm64."""
    basis: Basis | None = None
    """What its CUDA stands on with the driver of the host."""
    run_flags: tuple[str, ...] = ()
    """Flags of `docker run` that it needs."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A package source of a plan; `answer` is what it said about torch, null while nobody asked."""

    kind: Literal["index", "flat"]
    url: str
    name: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another build or image that fits, with the head fields of a plan."""

    torch: str
    variant: str
    cuda_runtime_version: CudaVersion | None
    python: str | None
    wheel_tag: str | None
    requirements: tuple[str, ...]
    sources: tuple[SourceRow, ...]
    container: ContainerChoice | None


@dataclass(frozen=True, slots=True)
class PlanData:
    """Data of plan/1. `fallbacks` are further builds of the same kind that fit, best first."""

    torch: str | None
    variant: str | None
    cuda_runtime_version: CudaVersion | None
    python: str | None
    wheel_tag: str | None
    requirements: tuple[str, ...]
    sources: tuple[SourceRow, ...]
    container: ContainerChoice | None
    passed_over: tuple[Rejection, ...]
    unlocks: tuple[UnlockRow, ...]
    assumptions: tuple[str, ...]
    availability: Literal["not looked", "held", "not held", "partly looked"]
    download_bytes: int | None
    matrix: MatrixIdentity
    gpus_left_out: tuple[GpuLeftOut, ...] = ()
    """GPUs of a mixed box that the plan is not for."""
    alternatives: tuple[Alternative, ...] = ()
    """With --top: the builds that come after the choice, best first."""
    build: Build | None = None
    wheel: HeldWheel | None = None
    fallbacks: tuple[Build, ...] = ()
    request: Request = field(default_factory=Request)
    companions: tuple[Companion, ...] = ()
    """What works beside the build, not installed by default."""


def alternatives(plan: Plan, count: int) -> tuple[Alternative, ...]:
    """The best builds after the choice, each on its preferred Python; of a container plan the best images."""
    if plan.image is not None:
        return tuple(_other_image(image) for image in plan.other_images[:count])
    first: dict[tuple[str, str], Build] = {}
    for build in plan.resolution.candidates:
        first.setdefault((build.torch, build.variant), build)
    if plan.build:
        first.pop((plan.build.torch, plan.build.variant), None)
    return tuple(
        Alternative(
            torch=build.torch,
            variant=build.variant,
            cuda_runtime_version=build.cuda_runtime_version,
            python=build.python,
            wheel_tag=build.wheel_tag,
            requirements=build.requirements,
            sources=(SourceRow("index", build.index, "matrix"),),
            container=None,
        )
        for build in list(first.values())[:count]
    )


def _other_image(image: Image) -> Alternative:
    return Alternative(
        torch=image.torch,
        variant=image.variant,
        cuda_runtime_version=image.cuda_runtime_version,
        python=image.python,
        wheel_tag=None,
        requirements=image.requirements,
        sources=(),
        container=_container(image),
    )


def plan_data(plan: Plan, *, top: int = 0) -> PlanData:
    """The document of a plan, with as many alternatives as are asked for."""
    build, chosen = plan.build, plan.build or plan.image
    return PlanData(
        torch=chosen.torch if chosen else None,
        variant=chosen.variant if chosen else None,
        cuda_runtime_version=chosen.cuda_runtime_version if chosen else None,
        python=chosen.python if chosen else None,
        wheel_tag=build.wheel_tag if build else None,
        requirements=chosen.requirements if chosen else (),
        sources=_source_rows(plan),
        container=_container(plan.image),
        passed_over=passed_over(plan),
        unlocks=tuple(UnlockRow(u.change, u.from_, u.to, Gives(u.torch, u.variant)) for u in plan.resolution.unlocks),
        assumptions=plan.resolution.assumptions,
        availability=plan.availability,
        download_bytes=plan.download_bytes,
        matrix=plan.matrix,
        gpus_left_out=plan.resolution.gpus_left_out,
        alternatives=alternatives(plan, top),
        build=build,
        wheel=plan.wheel,
        fallbacks=tuple(b for b in plan.resolution.candidates if b != build),
        request=plan.request,
        companions=plan.companions,
    )


def _container(image: Image | None) -> ContainerChoice | None:
    if image is None:
        return None
    return ContainerChoice(
        image=image.image,
        digest=image.digest,
        family=image.family,
        platform=image.platform,
        basis=image.basis,
        run_flags=image.run_flags,
    )


def _source_rows(plan: Plan) -> tuple[SourceRow, ...]:
    """The sources that were asked; before anybody looked, the index that the matrix names."""
    if plan.asked:
        return tuple(SourceRow(a.source.kind, a.source.url, a.source.name, a.answer) for a in plan.asked)
    return (SourceRow("index", plan.build.index, "matrix"),) if plan.build else ()


_PYTHON = re.compile(r"3\.\d{1,2}t?")
_VARIANT = re.compile(r"cpu|cu\d{2,3}")


def _require_sound(build: Build, where: str) -> None:
    """InputError when a build of a document could make an installer do anything but install named packages."""
    # Only for plan files: loading them takes a tenth of a cold plan.
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion, Version

    if not _PYTHON.fullmatch(build.python):
        raise InputError(f"{where}.python: found {build.python!r}, expected 3.12 or 3.14t")
    if not _VARIANT.fullmatch(build.variant):
        raise InputError(f"{where}.variant: found {build.variant!r}, expected cpu or cu126")
    try:
        Version(build.torch)
    except InvalidVersion as err:
        raise InputError(f"{where}.torch: found {build.torch!r}, expected a version such as 2.9.1") from err
    if "@" in build.index or not build.index.startswith("https://"):
        raise InputError(f"{where}.index: expected an https address without a login; --torch-index names a mirror")
    for number, line in enumerate(build.requirements):
        try:
            requirement = Requirement(line)
        except InvalidRequirement as err:
            raise InputError(f"{where}.requirements[{number}]: found {line!r}, expected name and versions") from err
        if requirement.url or (number == 0) != (requirement.name == "torch"):
            raise InputError(f"{where}.requirements[{number}]: found {line!r}; torch stands first, addresses nowhere")


_SEEN_ONLY_BY_LOOKING = ("not-in-sources", "wheel-is-another-build")


def passed_over(plan: Plan) -> tuple[Rejection, ...]:
    """Rejections that a reader asks about: newer than the choice, or asked for by name.

    Of several Pythons the reasons of the chosen one are told; a build that fits on any of them is not passed over.
    """
    fitting = {(build.torch, build.variant) for build in plan.resolution.candidates}
    python = plan.build.python if plan.build else next((r.python for r in plan.resolution.rejections if r.python), None)
    refused = tuple(
        r
        for r in plan.resolution.rejections
        if r.rule in _SEEN_ONLY_BY_LOOKING
        or r.python is None
        or (r.python == python and (r.torch, r.variant) not in fitting)
    )
    head = plan.build or plan.image
    if head is None:
        return refused
    chosen = torch_order(head.torch)
    asked = bool(plan.request.torch or plan.request.cuda)
    about = plan.resolution.asked_about
    return tuple(r for r in refused if asked or (r.torch, r.variant) in about or torch_order(r.torch) >= chosen)


def plan_from_data(data: PlanData, *, origin: str = "plan") -> Plan:
    """The plan of a document, ready to be installed; InputError when an edited field contradicts or oversteps."""
    for where, build in (("build", data.build), *((f"fallbacks[{n}]", b) for n, b in enumerate(data.fallbacks))):
        if build is not None:
            _require_sound(build, f"{origin}: data.{where}")
    head = (data.build.torch, data.build.variant, data.build.python) if data.build else (None, None, None)
    if (data.torch, data.variant, data.python) != head:
        raise InputError(
            f"{origin}: data.torch, variant and python are {data.torch}, {data.variant}, {data.python}; "
            f"data.build says {head[0]}, {head[1]}, {head[2]}. A plan is made by `gpusetup plan`, not by hand."
        )
    candidates = (data.build, *data.fallbacks) if data.build else data.fallbacks
    resolution = Resolution(
        candidates=candidates,
        rejections=data.passed_over,
        unlocks=tuple(Unlock(u.change, u.from_, u.to, u.gives.torch, u.gives.variant) for u in data.unlocks),
        assumptions=data.assumptions,
        gpus_left_out=data.gpus_left_out,
    )
    return Plan(
        build=data.build,
        resolution=resolution,
        matrix=data.matrix,
        request=data.request,
        availability=data.availability,
        wheel=data.wheel,
        asked=tuple(
            Asked(Source(row.kind, row.url, row.name), row.answer) for row in data.sources if row.answer is not None
        ),
        download_bytes=data.download_bytes,
        companions=data.companions,
    )


def plan_digest(plan: Plan, *, sources: Sequence[Source]) -> str:
    """Identity of what a plan would install from these sources: equal digests mean that nothing needs to be done.

    What the sources held is left out: which candidate was taken is in the receipt.
    """
    left_out = tuple(out.index for out in plan.resolution.gpus_left_out)
    identity = encode([plan.resolution.candidates, left_out, plan.matrix.revision, tuple(sources)])
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
