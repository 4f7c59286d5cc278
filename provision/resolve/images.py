"""The choice of a container image: every image of the matrix judged by every rule, and what would unlock more. Pure.

Preference: the newest torch, a CUDA that the driver implements before minor version compatibility before forward
compatibility, the higher CUDA, certain facts before doubtful ones, runtime before devel. An image that somebody built
for a machine would be one more family of candidates before the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..records import Evidence, Finding, Image, Resolution, Unlock
from .candidates import Catalogue
from .driver_unlocks import oldest_driver
from .image_candidates import image_candidates, torch_order
from .image_rules import (
    DRIVER_IMAGE_RULES,
    IMAGE_RULES,
    LAST_RESORT_IMAGE_RULES,
    PLATFORMS,
    SHARED_IMAGE_RULES,
    basis_of,
    driver_cuda,
    driver_floor,
    rejected,
    unknown_gpus,
)
from .situation import situate
from .wishes import builds_asked_about

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..matrix import Matrix
    from ..matrix.model import Numbers
    from ..records import Basis, Machine, Rejection, Request
    from ..versions import DriverVersion
    from .image_candidates import ImageCandidate
    from .situation import Situation

_BASES: Final[tuple[Basis, ...]] = ("native", "minor-version", "forward")


@dataclass(frozen=True, slots=True)
class ImageResolution:
    """Images that fit, best first, and everything else that a resolution holds."""

    images: tuple[Image, ...]
    resolution: Resolution


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """What the rules say about one image."""

    candidate: ImageCandidate
    against: tuple[Rejection, ...]
    last_resort: tuple[Rejection, ...]

    @property
    def fits(self) -> bool:
        return not self.against and self.candidate.cuda is not None


def resolve_images(
    machine: Machine, request: Request, matrix: Matrix, *, catalogue: Catalogue | None = None
) -> ImageResolution:
    """The images that fit the machine and the request, best first, with the reasons against all others.

    UsageError when a word of the request is not understood.
    """
    situation = situate(machine, request, catalogue or Catalogue(matrix))
    outcomes = [_judge(situation, candidate) for candidate in image_candidates(situation.catalogue)]
    fitting = [outcome for outcome in outcomes if outcome.fits]
    firm = [outcome for outcome in fitting if not outcome.last_resort]
    chosen = sorted(firm or fitting, key=lambda outcome: _preference(situation, outcome.candidate))
    images = tuple(_image(situation, outcome.candidate) for outcome in chosen)
    rejections = [no for outcome in outcomes for no in outcome.against or (outcome.last_resort if firm else ())]
    best = chosen[0].candidate if chosen else None
    asked_about = _asked_about(request, outcomes)
    behind = (*_less_preferred(situation, chosen), *_behind(chosen, asked_about))
    resolution = Resolution(
        candidates=(),
        rejections=(*rejections, *behind),
        unlocks=tuple(_unlocks(situation, outcomes, best)),
        assumptions=_assumptions(situation),
        notes=tuple(_notes(situation, chosen[0] if chosen else None, images[0] if images else None)),
        asked_about=asked_about,
    )
    return ImageResolution(images, resolution)


def _assumptions(situation: Situation) -> tuple[str, ...]:
    """What had to be assumed of the host; its glibc and its Python decide nothing here."""
    held = [text for text in situation.assumptions if not text.startswith(("The glibc", "The Python"))]
    if situation.driver.is_tegra and situation.driver.driver_cuda_version:
        known, cuda = situation.catalogue.matrix.containers, situation.driver.driver_cuda_version
        names = {row.version: None for cc in situation.gpus.capabilities for row in known.jetpacks_with(cuda, cc)}
        held.append(f"The JetPack is one with CUDA {cuda}: {' or '.join(names) or 'none that the matrix knows'}.")
    return tuple(held)


def _judge(situation: Situation, candidate: ImageCandidate) -> _Outcome:
    against = tuple(no for rule in (*IMAGE_RULES, *SHARED_IMAGE_RULES) if (no := rule(situation, candidate)))
    last_resort = tuple(no for rule in LAST_RESORT_IMAGE_RULES if (no := rule(situation, candidate)))
    return _Outcome(candidate, against, () if against and candidate.cuda else last_resort)


def _preference(situation: Situation, candidate: ImageCandidate) -> tuple[object, ...]:
    basis = basis_of(situation, candidate)
    cuda = candidate.cuda or (0, 0)
    return (
        *torch_order(candidate),
        _BASES.index(basis) if basis else len(_BASES),
        (-cuda[0], -cuda[1]),
        bool(candidate.doubts),
        candidate.is_devel,
    )


def _image(situation: Situation, candidate: ImageCandidate) -> Image:
    known = situation.catalogue.matrix.containers
    is_igpu = situation.driver.is_tegra and candidate.igpu_reference is not None
    digest = candidate.ngc.digest if candidate.ngc and not is_igpu else None
    return Image(
        image=candidate.igpu_reference if is_igpu and candidate.igpu_reference else candidate.reference,
        family=candidate.family,
        digest=digest,
        platform=PLATFORMS[situation.platform],
        torch=candidate.torch,
        variant=candidate.variant,
        cuda_runtime_version=candidate.cuda,
        python=candidate.python,
        basis=basis_of(situation, candidate),
        run_flags=known.jetson_run_flags if situation.driver.is_tegra else known.run_flags,
        requirements=_requirements(situation, candidate),
        doubts=candidate.doubts,
    )


def _requirements(situation: Situation, candidate: ImageCandidate) -> tuple[str, ...]:
    """What the acceptance workload needs beside the torch of the image."""
    version = ".".join(map(str, candidate.release))
    release, wish = situation.catalogue.matrix.release(version), situation.wishes.transformers
    if release is None:
        return ()
    transformers = f"transformers{release.companions.transformers}"
    if wish:
        transformers += f",{wish.specifier}" if wish.specifier is not None else f",=={wish.text}.*"
    limit = release.companions.safetensors
    return (transformers, f"safetensors>=0.3.1,{limit}" if limit else "safetensors>=0.3.1")


def _less_preferred(situation: Situation, chosen: list[_Outcome]) -> list[Rejection]:
    """Images of the chosen torch with a higher CUDA, which fit and stand behind the choice."""
    if not chosen:
        return []
    best = chosen[0].candidate
    return [
        rejected(
            other,
            "native-cuda",
            f"a driver that implements CUDA {driver_cuda(situation)}",
            f"CUDA {other.cuda}, else it relies on {_WORDS[basis]}",
        )
        for outcome in chosen[1:]
        if (other := outcome.candidate).torch == best.torch
        and other.cuda
        and best.cuda
        and other.cuda > best.cuda
        and (basis := basis_of(situation, other)) in _WORDS
    ]


_WORDS: Final[dict[Basis | None, str]] = {
    "minor-version": "minor version compatibility",
    "forward": "forward compatibility",
}


def _asked_about(request: Request, outcomes: list[_Outcome]) -> frozenset[tuple[str, str]]:
    """Torch and variant of every image that --why-not asks about; UsageError for a word that means none."""
    meant: set[tuple[str, str]] = set()
    for wish in builds_asked_about(request):
        found = {
            (candidate.torch, candidate.variant)
            for outcome in outcomes
            if wish.means(".".join(map(str, (candidate := outcome.candidate).release)), candidate.variant)
        }
        if not found:
            raise UsageError(
                f"--why-not {wish.text!r}: the matrix has no such image.", do=("gpusetup plan --container",)
            )
        meant |= found
    return frozenset(meant)


def _behind(chosen: list[_Outcome], asked_about: frozenset[tuple[str, str]]) -> list[Rejection]:
    """Images that somebody asks about, which fit and stand behind the choice."""
    behind = []
    best = chosen[0].candidate if chosen else None
    for outcome in chosen[1:]:
        other = outcome.candidate
        name = (other.torch, other.variant)
        if best is None or name not in asked_about or name == (best.torch, best.variant):
            continue
        is_higher = other.cuda is not None and best.cuda is not None and other.cuda > best.cuda
        if other.torch == best.torch and is_higher:
            continue  # told as native-cuda already
        rule = "highest-cuda" if other.torch == best.torch else "newest-torch"
        behind.append(
            rejected(other, rule, "it fits", f"to come before {best.reference}, which fits too", "preference")
        )
    return behind


def _unlocks(situation: Situation, outcomes: list[_Outcome], best: ImageCandidate | None) -> Iterator[Unlock]:
    """Per newer torch the least driver that would admit it, where the driver alone is in its way."""
    if situation.driver.is_tegra or situation.is_cpu:
        return
    limit = torch_order(best) if best else None
    rows = {device.architecture for device in situation.gpus.devices if device.architecture}
    oldest = oldest_driver(situation)
    least = [oldest] if oldest else []
    last = min((row.last_branch for row in rows if row.last_branch is not None), default=None)
    steps: list[tuple[DriverVersion, ImageCandidate]] = []
    for outcome in outcomes:
        candidate = outcome.candidate
        is_newer = limit is None or torch_order(candidate) < limit
        floor = driver_floor(situation, candidate)
        if not is_newer or floor is None or not outcome.against or not candidate.is_seen or candidate.is_devel:
            continue
        if any(no.rule not in DRIVER_IMAGE_RULES for no in outcome.against):
            continue
        if any(unknown_gpus(situation, candidate)) or situation.platform not in candidate.on:
            continue
        needed = max((floor, *least))
        if last is None or needed.branch <= last:
            steps.append((needed, candidate))
    steps.sort(key=lambda step: _unlock_order(situation, *step))
    found = str(situation.driver.driver_version) if situation.driver.driver_version else "unknown"
    paying: list[Unlock] = []
    paid: tuple[Numbers, bool] | None = None
    for needed, candidate in steps:
        if paid is None or torch_order(candidate) < paid:
            paid = torch_order(candidate)
            paying.append(Unlock("driver", found, str(needed), candidate.torch, candidate.variant))
    # Where the driver is not known nothing says which steps are still ahead: the one that admits most.
    yield from paying if situation.driver.driver_version is not None else paying[-1:]


def _unlock_order(situation: Situation, driver: DriverVersion, candidate: ImageCandidate) -> tuple[object, ...]:
    """The smallest driver first; of one torch the CUDA that would then be preferred."""
    branch, cuda = situation.catalogue.matrix.branch_of(driver), candidate.cuda or (0, 0)
    relies = branch is not None and cuda > branch.cuda
    return driver, torch_order(candidate), relies, (-cuda[0], -cuda[1])


def _notes(situation: Situation, chosen: _Outcome | None, image: Image | None) -> Iterator[Finding]:
    if chosen is None or image is None:
        return
    candidate = chosen.candidate
    for no in chosen.last_resort:
        happened = f"No image whose facts were all read fits. Of the chosen one is {no.found}."
        yield Finding("image-fact-unknown", "unknown", happened, (Evidence("row", candidate.place),))
    forward = situation.catalogue.matrix.forward_row(candidate.cuda) if candidate.cuda else None
    doubts = list(candidate.doubts)
    if image.basis == "forward" and forward and forward.doubtful:
        doubts.append(f"forward compatibility of CUDA {forward.cuda}: {forward.doubtful}")
    if doubts:
        happened = f"What the chosen image stands on is not certain: {'; '.join(doubts)}."
        yield Finding("row-doubtful", "warn", happened, (Evidence("row", candidate.place),))
    implemented, cuda = str(driver_cuda(situation)), str(candidate.cuda)
    evidence = (Evidence("driver CUDA version", implemented, needs=cuda),)
    relies = f"The driver implements CUDA {implemented}; CUDA {cuda} of the image relies on"
    if image.basis == "minor-version":
        happened = f"{relies} minor version compatibility."
        yield Finding("minor-version-compatibility", "pass", happened, evidence)
    if image.basis == "forward":
        happened = f"{relies} the compatibility package inside."
        yield Finding("forward-compatibility", "warn", happened, evidence)
