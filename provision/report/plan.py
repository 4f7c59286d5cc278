"""A plan as lines: the choice, why not the newer ones, what would admit them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..documents.plan import alternatives, passed_over
from ..versions import torch_order
from .style import gib

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..records import Build, Image, Plan, Rejection
    from .style import Style

#: Lines of passed-over builds before the rest is counted only.
_SHOWN = 6


def render_plan(plan: Plan, style: Style, *, top: int = 0) -> str:
    """The choice first, then the reasons, then a verdict line."""
    lines = [] if plan.build is None else list(_choice(plan.build, plan, style))
    lines += [] if plan.image is None else list(_image(plan.image, style))
    for out in plan.resolution.gpus_left_out:
        reason = f"GPU {out.index} ({out.name}): {out.rule}: found {out.found}, needs {out.needs}"
        lines += style.block(style.mark("warn"), f"left out: {reason}")
    for other in alternatives(plan, top):
        if other.container is not None:
            lines.append(style.row("next", other.container.image, f"torch {other.torch}"))
            continue
        kind = f"CUDA {other.cuda_runtime_version}" if other.cuda_runtime_version else "CPU build"
        lines.append(style.row("next", f"torch {other.torch}+{other.variant}", kind, f"Python {other.python}"))
    over = passed_over(plan)
    lines += _asked_about(plan, over, style)
    merged = list(_merged(_weightiest(plan, over)))
    for text, rejection in merged[:_SHOWN]:
        lines += _passed(text, rejection, style)
    if len(merged) > _SHOWN:
        lines.append(style.row("", f"... {len(merged) - _SHOWN} more lines with --json"))
    for said in plan.asked:
        lines += style.block("asked", f"{said.source.url}: {said.answer} ({said.source.name})")
    for unlock in plan.resolution.unlocks:
        lines.append(style.row("unlock", unlock.words, f"admits torch {unlock.torch}+{unlock.variant}"))
    for assumption in plan.resolution.assumptions:
        lines += style.block("assumed", assumption)
    lines += _verdict(plan, len(over), style)
    return "\n".join(lines)


def _choice(build: Build, plan: Plan, style: Style) -> Iterator[str]:
    yield style.row(
        "choice",
        style.paint(f"torch {build.local_version}", "strong"),
        f"CUDA {build.cuda_runtime_version}" if build.cuda_runtime_version else "CPU build",
        f"Python {build.python}",
    )
    yield style.row("wheel", build.wheel_tag)
    yield from style.block("with", ", ".join(build.requirements[1:]))
    if plan.wheel is not None:
        size = gib(plan.wheel.size_bytes) if plan.wheel.size_bytes else ""
        yield style.row("source", plan.wheel.source.url, f"({plan.wheel.source.name})", size)


_NOT_ASKED_FOR = ("not-asked-for", "image-not-asked-for")
_BASES = {
    "native": "the driver implements its CUDA",
    "minor-version": "by minor version compatibility",
    "forward": "by forward compatibility",
}


def _image(image: Image, style: Style) -> Iterator[str]:
    yield style.row("image", style.paint(image.image, "strong"), image.platform)
    if image.digest:
        yield style.row("", image.digest)
    inside = f"torch {image.torch}", f"CUDA {image.cuda_runtime_version}", f"Python {image.python or 'not read'}"
    yield style.row("inside", *inside, _BASES.get(image.basis or "", ""))
    if image.requirements:
        yield from style.block("add", ", ".join(image.requirements))
    yield from style.block("run", " ".join(("docker run --rm -it", *image.run_flags, image.image)))


def _weightiest(plan: Plan, over: tuple[Rejection, ...]) -> tuple[Rejection, ...]:
    """The reasons that a line is worth: of a build that nobody asked for that one alone, of --why-not none again."""
    unwanted = {(r.torch, r.variant) for r in over if r.rule in _NOT_ASKED_FOR}
    return tuple(
        r
        for r in over
        if (r.torch, r.variant) not in plan.resolution.asked_about
        and (r.rule in _NOT_ASKED_FOR or (r.torch, r.variant) not in unwanted)
    )


def _asked_about(plan: Plan, over: tuple[Rejection, ...], style: Style) -> Iterator[str]:
    """Every reason against the builds of --why-not."""
    about, build, image = plan.resolution.asked_about, plan.build, plan.image
    if image is not None and (image.torch, image.variant) in about:
        yield from style.block("why not", f"{image.image} is the choice")
    if build is not None and (build.torch, build.variant) in about:
        yield from style.block("why not", f"torch {build.local_version} is the choice")
    for text, rejection in _merged(tuple(r for r in over if (r.torch, r.variant) in about)):
        found = f"found {rejection.found}, " if rejection.found else ""
        yield from style.block("why not", f"{text}: {rejection.rule}: {found}needs {rejection.needs}")


def _merged(rejections: tuple[Rejection, ...]) -> Iterator[tuple[str, Rejection]]:
    """Builds that fail alike become one line: 'torch 2.12.0 to 2.15.0 cu130, cu132'."""
    alike: dict[tuple[str, str, str], list[Rejection]] = {}
    for rejection in rejections:
        # What no source holds is one reason, however many wheel names it has.
        needs = "" if rejection.rule == "not-in-sources" else rejection.needs
        # Nor is it worth a line per version that the version is not the one that was asked for.
        found = "" if rejection.found == rejection.torch else rejection.found
        alike.setdefault((rejection.rule, found, needs), []).append(rejection)
    for group in alike.values():
        versions = sorted({r.torch for r in group}, key=torch_order)
        variants = sorted({r.variant for r in group})
        torch = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
        kinds = ", ".join(variants) if len(variants) <= 4 else f"{variants[0]} to {variants[-1]}"
        is_own_version = group[0].found == group[0].torch
        yield f"torch {torch} {kinds}", replace(group[0], found="" if is_own_version else group[0].found)


def _passed(text: str, rejection: Rejection, style: Style) -> list[str]:
    found = f"found {rejection.found}, " if rejection.found else ""
    reason = f"{text}: {rejection.rule}: {found}needs {rejection.needs}"
    return style.block("passed", reason)


def _verdict(plan: Plan, over: int, style: Style) -> list[str]:
    if plan.image is not None:
        return style.block(style.mark("pass"), f"1 image chosen, {over} passed over; no registry asked")
    if plan.build is None:
        what = "image" if plan.request.container else "build"
        return style.block(style.mark("fail"), f"no {what} fits; {over} passed over")
    looked = {
        "not looked": "no source asked (--check-sources asks)",
        "held": "a source holds it",
        "not held": "no source holds it",
        "partly looked": "not every source answered",
    }[plan.availability]
    return style.block(style.mark("pass"), f"1 build chosen, {over} passed over; {looked}")
