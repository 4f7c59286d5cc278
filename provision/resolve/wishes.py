"""What the user asked for, from words to predicates over releases, CUDA versions and Pythons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..records import Evidence

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from ..matrix.model import Numbers
    from ..records import Request
    from ..versions import CudaVersion

MAX_WORDS: Final = 200
"""Longest wish that is read; nobody writes more by hand."""

_PREFIX: Final = re.compile(r"\d{1,4}(?:\.\d{1,4}){0,2}", re.ASCII)
_VARIANT: Final = re.compile(r"cu\d{3}", re.ASCII)
_PYTHON: Final = re.compile(r"(3\.\d{1,2})(?:\.\d{1,3})?(t?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Versions:
    """A wish for versions: a prefix ('2.0' is 2.0.*) or a PEP 440 specifier."""

    text: str
    prefix: Numbers = ()
    specifier: SpecifierSet | None = None

    def allows(self, version: str) -> bool:
        """Whether the version is wished for."""
        if self.specifier is not None:
            return self.specifier.contains(version, prereleases=True)
        return tuple(int(part) for part in version.split(".")[: len(self.prefix)]) == self.prefix


@dataclass(frozen=True, slots=True)
class CudaWish:
    """A wish for a CUDA version: one variant, or versions."""

    text: str
    variant: str | None = None
    versions: Versions | None = None

    def allows(self, variant: str, cuda: CudaVersion | None) -> bool:
        """Whether the build is wished for; a CPU build never is."""
        if cuda is None:
            return False
        return variant == self.variant if self.versions is None else self.versions.allows(str(cuda))


@dataclass(frozen=True, slots=True)
class BuildWish:
    """Builds that somebody asks about: by variant, by version, or both."""

    text: str
    variant: str | None = None
    versions: Versions | None = None

    def means(self, torch: str, variant: str) -> bool:
        """Whether the build is one of them."""
        return self.variant in (None, variant) and (self.versions is None or self.versions.allows(torch))


@dataclass(frozen=True, slots=True)
class Wishes:
    """A request with its words understood; None: no wish."""

    torch: Versions | None = None
    cuda: CudaWish | None = None
    transformers: Versions | None = None
    python: str | None = None
    """3.12, or 3.14t for the free-threaded build."""


def understand(request: Request) -> Wishes:
    """The wishes of a request; UsageError that names the word, what was found and what was expected."""
    if request.cpu and request.cuda:
        raise _refused("--cuda", request.cuda, "no --cuda beside --cpu: a CPU build has no CUDA")
    return Wishes(
        torch=_versions("--torch", request.torch, "a version such as 2.9 or a specifier such as >=2.6,<2.10"),
        cuda=_cuda(request.cuda),
        transformers=_versions(
            "--transformers", request.transformers, "a version such as 4.57 or a specifier such as >=5"
        ),
        python=_python(request.python),
    )


def builds_asked_about(request: Request) -> tuple[BuildWish, ...]:
    """The builds of --why-not; UsageError as for the other words."""
    return tuple(_build(text) for text in request.why_not)


def _build(text: str) -> BuildWish:
    expected = "a variant such as cu130 or cpu, a torch version such as 2.9, or both: 2.9.1+cu130"
    words, _, variant = text.strip().rpartition("+")
    if not _VARIANT.fullmatch(variant) and variant != "cpu":
        words, variant = text.strip(), ""
    versions = _versions("--why-not", words, expected) if words or not variant else None
    return BuildWish(text.strip(), variant or None, versions)


def _refused(option: str, found: str, expected: str) -> UsageError:
    return UsageError(
        f"{option} {found!r} is not understood: expected {expected}.",
        evidence=(Evidence(option, found, source="command line", needs=expected),),
    )


def _versions(option: str, text: str | None, expected: str) -> Versions | None:
    if text is None:
        return None
    words = text.strip()
    if not words or len(words) > MAX_WORDS:
        raise _refused(option, text[:MAX_WORDS], expected)
    if _PREFIX.fullmatch(words):
        return Versions(words, prefix=tuple(int(part) for part in words.split(".")))
    # packaging is loaded for specifiers alone: it takes a fifth of the time of a cold plan.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        specifier = SpecifierSet(words)
    except InvalidSpecifier:
        raise _refused(option, text, expected) from None
    return Versions(words, specifier=specifier)


def _cuda(text: str | None) -> CudaWish | None:
    if text is None:
        return None
    words = text.strip()
    expected = "a variant such as cu128, a version such as 12.8 or a specifier such as <13 (--cpu asks for a CPU build)"
    if _VARIANT.fullmatch(words):
        return CudaWish(words, variant=words)
    if words[:1].isalpha():
        raise _refused("--cuda", text, expected)
    return CudaWish(words, versions=_versions("--cuda", words, expected))


def _python(text: str | None) -> str | None:
    if text is None:
        return None
    match = _PYTHON.fullmatch(text.strip())
    if not match:
        raise _refused("--python", text, "a Python such as 3.12, or 3.14t for the free-threaded build")
    return match[1] + match[2]
