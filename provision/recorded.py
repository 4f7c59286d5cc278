"""What an environment holds, held against what its receipt says that was installed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .records import Evidence, Finding, PackageChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .records import Receipt

SEEDS: Final = frozenset({"pip", "setuptools", "wheel", "uv", "distribute"})
"""What makers of environments put there themselves; it counts neither as missing from a receipt nor as added."""


def exchanged(recorded: Mapping[str, str], held: Mapping[str, str]) -> tuple[PackageChange, ...]:
    """Recorded distributions that are gone or have another version, in the order of the receipt.

    Both map canonical names to versions.
    """
    return tuple(
        PackageChange(name, held.get(name), version)
        for name, version in recorded.items()
        if name not in held or not is_same_version(held[name], version)
    )


def added(recorded: Mapping[str, str], held: Mapping[str, str]) -> tuple[str, ...]:
    """Names of distributions that came later, sorted."""
    return tuple(sorted(held.keys() - recorded.keys() - SEEDS))


def is_same_version(one: str, other: str) -> bool:
    """Whether two spellings name one version: a dist-info folder is called 2024.1 where its METADATA says 2024.01."""
    if one == other:
        return True
    from packaging.version import InvalidVersion, Version  # only where the spelling differs

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def environment_findings(receipt: Receipt) -> tuple[Finding, ...]:
    """What whoever changed the environment before this one, or still uses an old one, should know."""
    found = []
    if receipt.changes and receipt.reused:
        found.append(
            Finding(
                "environment-extended",
                "warn",
                "Packages were added to the environment since it was made. What was planned is there, so it is used.",
                tuple(Evidence(change.name, change.found, source="the environment") for change in receipt.changes),
                safe=(f"without them, in a new environment: gpusetup install --fresh --env {receipt.path}",),
            )
        )
    elif receipt.changes:
        extras = [change for change in receipt.changes if change.is_addition]
        requirements = [change.requirement for change in extras if change.requirement]
        safe = [f"uv pip install --python {receipt.path}/bin/python {' '.join(requirements)}"] if requirements else []
        missing = f" {', '.join(change.name for change in extras)} is not in the new one." if extras else ""
        found.append(
            Finding(
                "environment-changed",
                "warn",
                f"The environment had been changed since it was made, so a new one stands beside it.{missing}",
                tuple(
                    Evidence(change.name, change.found or "not there", source="the environment before", needs=needed)
                    for change in receipt.changes
                    for needed in [change.expected or "not in the receipt"]
                ),
                safe=(*safe, f"to have the changed one back: gpusetup env rollback --env {receipt.path}"),
            )
        )
    found += [
        Finding(
            "environment-in-use",
            "warn",
            f"The old environment {used.name} was not removed: a process still uses it.",
            (Evidence("process", used.pid, source="/proc"), Evidence("name", used.process, source="/proc")),
            safe=("end or restart the process; the next install removes the environment",),
        )
        for used in receipt.in_use
    ]
    return tuple(found)
