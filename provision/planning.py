"""From machines to plans: one machine, its container, a fleet, and what the sources hold of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from .documents.plan import passed_over
from .errors import InputError, NoBuildError, NoUsableGpuError
from .gate import require_left_gpus, require_plannable, without_lost_gpus
from .records import Evidence, GpuState, MatrixIdentity, Plan, Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .documents.fleet import FleetData
    from .examined import Examined
    from .fleet import Member, Remarks
    from .matrix.tables import Matrix
    from .records import Build, Companion, Machine, Rejection, Resolution
    from .resolve import Catalogue


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or line of a fleet."""

    name: str
    """What the machine is called where it does not say a host name."""
    source: str
    """File, or file:line."""
    found: Examined | InputError


def plan_for(examined: Examined, request: Request, matrix: Matrix, *, catalogue: Catalogue | None = None) -> Plan:
    """The plan of a machine, offline. NoUsableGpuError when it has a GPU that can't be used.

    Whoever plans many machines passes one catalogue, and is told nothing of companions.
    """
    from .resolve import resolve

    require_plannable(examined.machine, request, examined.findings)
    machine = without_lost_gpus(examined.machine)
    if request.container:
        return _container_plan(machine, request, matrix)
    resolution = resolve(machine, request, matrix, catalogue=catalogue)
    require_left_gpus(machine, request, resolution.gpus_left_out)
    resolution = _with_site(resolution, matrix)
    return Plan(
        build=resolution.chosen,
        resolution=resolution,
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        request=request,
        findings=resolution.notes,
        companions=() if catalogue else companions_of_build(resolution.chosen, request, matrix),
    )


def _with_site(resolution: Resolution, matrix: Matrix) -> Resolution:
    """The resolution with a line that says that a site file counts, where one does."""
    if matrix.site is None:
        return resolution
    return replace(resolution, assumptions=(*resolution.assumptions, matrix.site.summary))


def _container_plan(machine: Machine, request: Request, matrix: Matrix) -> Plan:
    """The plan of a machine with an image instead of an environment."""
    from .resolve.images import resolve_images

    found = resolve_images(machine, request, matrix)
    resolution = _with_site(found.resolution, matrix)
    return Plan(
        build=None,
        resolution=resolution,
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        request=request,
        findings=resolution.notes,
        image=found.images[0] if found.images else None,
        other_images=found.images[1:],
    )


def companions_of_build(build: Build | None, request: Request, matrix: Matrix) -> tuple[Companion, ...]:
    """What works beside a build, by the matrix."""
    from .matrix.companions import companions_of
    from .resolve.wishes import understand

    release = matrix.release(build.torch) if build else None
    if build is None or release is None:
        return ()
    wish = understand(request).transformers
    has_triton = build.cuda_runtime_version is not None and "linux" in build.wheel_tag
    return companions_of(matrix, release, build.python, has_triton=has_triton, allows=wish.allows if wish else None)


def plan_fleet(entries: Iterable[Entry], request: Request, matrix: Matrix) -> FleetData:
    """The plans of many machines, offline, and what they share. What can't be read or planned is a row like the others.

    InputError when there is no entry at all.
    """
    from .fleet import Remarks, survey
    from .resolve import Catalogue

    catalogue, remarks, failures = Catalogue(matrix), Remarks(), Failures({})
    # One at a time: of ten thousand machines only the rows and what they share are kept.
    members = (_member(entry, request, catalogue, remarks, failures) for entry in entries)
    return survey(members, request, MatrixIdentity(matrix.revision, matrix.read_on), remarks)


_MOST_FAILURES: Final = 4096


class Failures(NamedTuple):
    """Errors of machines without a build, kept for those that were judged alike: by the very tuple of their reasons."""

    known: dict[int, tuple[tuple[Rejection, ...], NoBuildError, tuple[Rejection, ...]]]

    def of(self, plan: Plan) -> tuple[NoBuildError, tuple[Rejection, ...]]:
        """The error of a plan without a build, and one reason of each rule."""
        rejections = plan.resolution.rejections
        kept = self.known.get(id(rejections))
        if kept is None:
            # The tuple is kept with it, so that its identity stays its own.
            kept = (rejections, no_build(plan), tuple(_one_of_each_rule(plan).values()))
            if len(self.known) < _MOST_FAILURES:
                self.known[id(rejections)] = kept
        return kept[1], kept[2]


def _member(entry: Entry, request: Request, catalogue: Catalogue, remarks: Remarks, failures: Failures) -> Member:
    from .fleet import Member, member_of, row_error

    if isinstance(entry.found, InputError):
        return Member(entry.name, entry.source, error=row_error(entry.found))
    machine = entry.found.machine
    try:
        plan = plan_for(entry.found, request, catalogue.matrix, catalogue=catalogue)
    except NoUsableGpuError as err:
        return member_of(machine, entry.name, entry.source, error=err)
    remarks.add(plan.resolution)
    kept = replace(plan.resolution, assumptions=(), notes=())  # they are counted
    if plan.build is not None:
        return member_of(machine, entry.name, entry.source, resolution=kept)
    error, reasons = failures.of(plan)
    return member_of(machine, entry.name, entry.source, resolution=kept, error=error, rejections=reasons)


def check_sources(plan: Plan, machine: Machine, matrix: Matrix, *, is_here: bool, torch_index: str | None) -> Plan:
    """The plan with what the sources that are configured here really hold for that machine."""
    from .install.availability import asked, platforms_of
    from .install.configuration import read_configuration
    from .install.looking import look

    platforms = None if is_here else platforms_of(machine.host)
    configuration = replace(read_configuration(torch_index=torch_index), known_day=matrix.read_on)
    looked = look(plan.resolution.candidates, configuration, platforms=platforms)
    choice = looked.choice
    return replace(
        plan,
        build=choice.build or plan.build,
        companions=companions_of_build(choice.build or plan.build, plan.request, matrix),
        availability=choice.availability,
        wheel=choice.wheel,
        asked=asked(looked.answers),
        download_bytes=choice.wheel.size_bytes if choice.wheel else None,
        resolution=replace(plan.resolution, rejections=(*choice.rejections, *plan.resolution.rejections)),
    )


def ask_for_torch(examined: Examined, matrix: Matrix) -> list[list[str | int | float | None]]:
    """Address, name, why it did not answer, torch wheels and seconds of every source of the build for this machine.

    Addresses are without credentials. Empty where nothing fits the machine, as there is nothing to ask for then.
    """
    from .install.configuration import read_configuration
    from .install.looking import sources_for
    from .install.lookup import ask_sources, make_fetcher

    wish = Request(cpu=examined.machine.gpu_state is not GpuState.USABLE)
    build = plan_for(examined, wish, matrix).build
    if build is None:
        return []
    configuration = read_configuration()
    if configuration.offline:
        return []
    wanted = sources_for([build], configuration)
    answers = ask_sources(wanted, "torch", fetcher=make_fetcher(configuration, None))
    return [
        [
            answer.location.url,
            answer.location.source.name,
            answer.failure,
            sum(file.filename.endswith(".whl") for file in answer.files),
            round(answer.seconds, 3),
        ]
        for answer in answers
    ]


_BUILD_REQUEST_RULES: Final = frozenset(("not-asked-for", "image-not-asked-for"))
_REQUEST_RULES: Final = _BUILD_REQUEST_RULES | {"python-tag-missing", "no-transformers-pair"}


def no_build(plan: Plan) -> NoBuildError:
    """The error of a plan without a build: one reason of each kind, newest build first, and what would help."""
    reasons = [
        Evidence(r.image or f"torch {r.torch}+{r.variant}", f"{r.rule}: {r.found}", source=r.source, needs=r.needs)
        for r in _one_of_each_rule(plan).values()
    ]
    unlocks = [f"{u.words} admits torch {u.torch}+{u.variant}" for u in plan.resolution.unlocks]
    asked = _in_the_way(plan)
    drop = [f"gpusetup plan, without {' and '.join(asked)}"] if asked else []
    what = "image" if plan.request.container else "build"
    return NoBuildError(
        f"No {what} in the matrix fits this machine and this request.", evidence=reasons, do=(*unlocks, *drop)
    )


def _in_the_way(plan: Plan) -> list[str]:
    """The fewest options that alone keep some build out; empty where leaving them out helps nothing."""
    rules: dict[tuple[str | None, ...], set[str]] = {}
    for no in passed_over(plan):
        rules.setdefault((no.torch, no.variant, no.image), set()).add(no.rule)
    broken = min((some for some in rules.values() if some <= _REQUEST_RULES), key=len, default=set[str]())
    request, is_build_asked = plan.request, bool(broken & _BUILD_REQUEST_RULES)
    wishes = {"--torch": request.torch and is_build_asked, "--cuda": request.cuda and is_build_asked}
    wishes["--python"] = request.python and bool(broken - {"not-asked-for"})
    return [name for name, wish in wishes.items() if wish]


def _one_of_each_rule(plan: Plan) -> dict[str, Rejection]:
    """Of the builds that were passed over the newest that each rule refuses."""
    by_rule: dict[str, Rejection] = {}
    for rejection in passed_over(plan):
        by_rule.setdefault(rejection.rule, rejection)
    return by_rule


def not_held(plan: Plan) -> NoBuildError:
    """The error of a plan that fits and that no source holds; its evidence is what every source said."""
    name = plan.build.local_version if plan.build else "torch"
    return NoBuildError(
        f"No configured package source holds torch {name}, nor another build that fits.",
        code="not-in-sources",
        evidence=[Evidence(said.source.url, said.answer, source=said.source.name) for said in plan.asked],
        do=("name a source that holds it: --torch-index ADDRESS, or find-links in pip's configuration",),
    )
