"""EDGE: which candidate the configured sources hold, asking no more of them than the answer needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.tags import platform_tags

from ..errors import NoBuildError
from ..records import Evidence
from .addresses import local_path
from .availability import Choice, asked, choose_held
from .causes import CAUSES
from .lookup import SourceAnswer, ask_sources, builtin_index, default_index, make_fetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..records import Asked, Build
    from .causes import Cause
    from .configuration import Location, PackageConfiguration
    from .fetching import Deadlines


@dataclass(frozen=True, slots=True)
class Looked:
    """The choice and what every source said."""

    choice: Choice
    answers: tuple[SourceAnswer, ...]


def look(
    candidates: Sequence[Build],
    configuration: PackageConfiguration,
    *,
    deadlines: Deadlines | None = None,
    builtin: Callable[[], Location | None] = builtin_index,
    platforms: tuple[str, ...] | None = None,
) -> Looked:
    """The best candidate that a source holds; first asks about the best one, about the rest only when it must.

    `platforms` are the platform tags of the machine that is planned for, by default this one's.
    """
    candidates = [build for build in candidates if build.kind == candidates[0].kind]
    fetcher = make_fetcher(configuration, deadlines)
    platforms = platforms or tuple(platform_tags())
    answers: dict[str, SourceAnswer] = {}
    choice = Choice()
    for some in (candidates[:1], candidates):
        wanted = sources_for(some, configuration, builtin)
        fresh = [item for item in wanted if item.secret_url not in answers]
        may_ask = [item for item in fresh if not configuration.offline or local_path(item.secret_url)]
        answers |= {
            item.secret_url: SourceAnswer(item, failure="not asked: uv is set to offline")
            for item in fresh
            if item not in may_ask
        }
        answers |= {answer.location.secret_url: answer for answer in ask_sources(may_ask, "torch", fetcher=fetcher)}
        ordered = [answers[item.secret_url] for item in wanted]
        choice = choose_held(some, ordered, platforms=platforms)
        if choice.build is not None or len(some) == len(candidates):
            break
    return Looked(choice, tuple(answers.values()))


def sources_for(
    candidates: Sequence[Build],
    configuration: PackageConfiguration,
    builtin: Callable[[], Location | None] = builtin_index,
) -> tuple[Location, ...]:
    """Where those builds may be: the user's folders and indexes, then the variants' own, then the general index.

    The built-in general index takes no local version labels, so it is asked only about builds that it publishes
    without one; an index that the user put in its place may be a mirror with labels and is always asked.
    """
    if configuration.no_index:
        return configuration.find_links
    variants = {build.variant: configuration.variant_index(build.index, build.variant) for build in candidates}
    default = default_index(configuration, builtin if any(b.is_general_index_default for b in candidates) else _unasked)
    wanted = (
        *configuration.find_links,
        *configuration.extra_indexes,
        *variants.values(),
        *([default] if default else []),
    )
    return tuple({item.secret_url: item for item in reversed(wanted)}.values())[::-1]


def _unasked() -> Location | None:
    return None


def require_held(looked: Looked, candidates: Sequence[Build]) -> None:
    """NoBuildError with every source and its answer when nothing was found."""
    if looked.choice.build is not None:
        return
    best, causes = candidates[0], _causes(looked.answers)
    # Where no source answered, what keeps them all from it is the finding; else it is one more thing to mend.
    leading = causes[0] if causes and all(answer.failure for answer in looked.answers) else None
    happened = f"No configured package source holds torch {best.local_version} for Python {best.python}" + (
        f", nor any of {len(candidates) - 1} others that would fit." if len(candidates) > 1 else "."
    )
    source = next((answer.location.url for answer in looked.answers if answer.cause), "")
    raise NoBuildError(
        f"No package source could be asked. {leading.sentence.format(source=source)}" if leading else happened,
        code=leading.code if leading else "not-in-sources",
        evidence=tuple(
            Evidence(said.source.url, _not_here(said), source=said.source.name, needs=f"torch {best.local_version}")
            for said in asked(looked.answers)
        ),
        do=(
            *(step for cause in causes for step in cause.do),
            *(_NAME_A_SOURCE if leading is None else ()),
        ),
        risky=tuple(step for cause in causes for step in cause.risky),
    )


_NAME_A_SOURCE = (
    "name a source that holds it: --torch-index ADDRESS, or find-links in pip's configuration",
    "see what would fit otherwise: gpusetup plan --check-sources",
)


def _causes(answers: Sequence[SourceAnswer]) -> tuple[Cause, ...]:
    """Why sources gave no answer, each cause once; what explains the others first."""
    found = dict.fromkeys(answer.cause for answer in answers if answer.cause)
    return tuple(CAUSES[code] for code in sorted(found, key=lambda code: code != "clock-wrong"))


def _not_here(said: Asked) -> str:
    return f"{said.answer}, none of them this build" if said.answer[:1].isdigit() else said.answer
