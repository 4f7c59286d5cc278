"""Compares the finished environment with the plan: what the probe saw in, one record per comparison out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ..errors import InstallError
from ..records import Distribution, Evidence, Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Build
    from .lock import Lock

Seen = dict[str, Any]
"""The probe's result: fact -> {"value": ...} or {"failure": ...}."""


def verify(seen: Seen, build: Build, lock: Lock) -> tuple[Verification, ...]:
    """Every comparison that applies, failed ones too, in a fixed order."""
    found = [_installed(seen, lock)]
    cuda = str(build.cuda_runtime_version) if build.cuda_runtime_version else None
    found.append(_equal(seen, "torch-version", build.local_version))
    found.append(_equal(seen, "torch-cuda-version", cuda))
    if build.kind == "cuda":
        found.append(_present(seen, "torch-arch-list", "architectures that the wheel was built for"))
    found += [_present(seen, fact, wish) for fact, wish in _WORKING if fact in seen]
    return tuple(found)


_WORKING = (
    ("numpy-bridge", "tensors convert to numpy arrays"),
    ("transformers-bert", "BertForSequenceClassification imports"),
    ("cuda-kernel", "a kernel runs on every GPU"),
)


def _value(seen: Seen, fact: str) -> tuple[Any, str | None]:
    entry = seen.get(fact)
    if not isinstance(entry, dict) or not ({"value", "failure"} & entry.keys()):
        return None, "the probe did not report it"
    failure = entry.get("failure")
    return entry.get("value"), str(failure) if failure is not None else None


def _equal(seen: Seen, fact: str, expected: str | None) -> Verification:
    value, failure = _value(seen, fact)
    found = failure or (str(value) if value is not None else None)
    return Verification(fact, expected, found, passed=failure is None and found == expected)


def _present(seen: Seen, fact: str, expected: str) -> Verification:
    value, failure = _value(seen, fact)
    if failure is not None and failure.startswith("AttributeError"):
        # A build that lacks the very function that would tell is not known to be broken, only not known to work.
        return Verification(fact, expected, f"could not be looked at: {failure}", passed=None)
    found = failure or (str(value) if value else None)
    return Verification(fact, expected, found, passed=failure is None and bool(value))


def _installed(seen: Seen, lock: Lock) -> Verification:
    """The environment holds exactly the locked distributions."""
    value, failure = _value(seen, "distributions")
    wanted = {(wheel.name, _version(wheel.version)) for wheel in lock.wheels}
    try:
        held = {(canonicalize_name(name), _version(version)) for name, version in value or ()}
    except (TypeError, ValueError):
        failure, held = failure or "the probe's list cannot be read", set()
    odd = sorted(f"{name} {version}" for name, version in wanted ^ held)
    found = failure or (f"{len(held)}, differing in {', '.join(odd)}" if odd else str(len(held)))
    return Verification("installed-distributions", str(len(wanted)), found, passed=failure is None and not odd)


def _version(text: str) -> str:
    # A wheel's file name and its metadata may spell one version differently: 2.13.0+CPU and 2.13.0+cpu.
    try:
        return str(Version(text))
    except InvalidVersion:
        return text


def distributions(seen: Seen, lock: Lock) -> tuple[Distribution, ...]:
    """What the environment says it holds, each with the artifact that the lock gives for that version."""
    value, _ = _value(seen, "distributions")
    artifacts = {(wheel.name, _version(wheel.version)): wheel for wheel in lock.wheels}
    result = []
    for name, version in value or ():
        wheel = artifacts.get((canonicalize_name(name), _version(version)))
        result.append(
            Distribution(
                canonicalize_name(name), version, wheel.sha256 if wheel else None, wheel.source if wheel else None
            )
        )
    return tuple(result)


class AnotherBuildError(InstallError):
    """A wheel without a label turned out to be another build than the matrix says of that source."""


_IDENTITY = frozenset(("torch-version", "torch-cuda-version"))


def require_passed(verified: Sequence[Verification], *, is_labelled: bool) -> None:
    """InstallError that lists every failed comparison; the environment is then not put in place.

    AnotherBuildError when nothing but the identity of a wheel without a local label differs.
    """
    failed = [item for item in verified if item.passed is False]
    if not failed:
        return
    is_other = not is_labelled and {item.id for item in failed} <= _IDENTITY
    raise (AnotherBuildError if is_other else InstallError)(
        f"The new environment is not what the plan asked for: {', '.join(item.id for item in failed)}.",
        code="verification-failed",
        evidence=tuple(
            Evidence(item.id, item.found, source="the new environment", needs=item.expected) for item in failed
        ),
    )
