"""Check driver.branch_life, the last of all: an old driver breaks nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .driver_facts import architecture_of

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_KINDS = {"LTS": "long-term", "PB": "production", "NFB": "new feature"}
_SOON_DAYS = 90


@check("driver.branch_life", level="instant", needs=("gpu",), not_on=("jetson", "wsl"))
def branch_life(facts: Facts, say: Verdict) -> Finding:
    """The driver's branch still gets fixes.

    What it finds
        A driver of a branch that NVIDIA no longer maintains.

    Why it matters
        Such a driver works as before. It gets no more security fixes, and does not build on the kernels to come.

    How it is decided
        The leading number of the release is the branch; the matrix has the day on which its support ends, and the
        source of that. Past that day it warns (our proposal), unless the sources of the day differ: then, and in the
        last 90 days before it, it passes and says so. It passes as well where no later branch serves a
        GPU of the box.

    What to do
        Move to the long-term or production branch that `gpusetup driver plan` names, together with a restart that is
        due anyway.

    Sources
        NVIDIA Data Center Drivers, support matrix and release notes (read 2026-11).
    """
    driver = facts.machine.driver
    release = driver and (driver.kernel_module_version or driver.driver_version)
    if not release or facts.matrix is None or facts.context.now is None:
        return say.skipped("No driver release, or no date to compare it with.")
    row = facts.matrix.branch_of(release)
    if row is None or row.branch != release.branch:
        return say.skipped(f"The matrix does not list branch {release.branch}.")
    kind = f"{_KINDS[row.type]} " if row.type else ""
    if row.eol is None:
        return say.passed(f"Driver {release} is of the {kind}branch {row.branch}; the end of its support is not known.")
    now = datetime.fromtimestamp(facts.context.now, timezone.utc)
    left = (datetime.fromisoformat(row.eol).replace(tzinfo=timezone.utc) - now).days
    shown = Evidence("end_of_support", row.eol, source=f"matrix, branch {row.branch}", needs=now.date().isoformat())
    if row.doubtful and left < _SOON_DAYS:
        return say.passed(f"Support of the {kind}branch {row.branch} ends about {row.eol}; {row.doubtful}.", shown)
    if left < 0 and (old := next((gpu for gpu in facts.machine.gpus if _is_last_for(facts, gpu, row.branch)), None)):
        return say.passed(
            f"Support of branch {row.branch} ended on {row.eol}; it is the last that serves {old.name or 'this GPU'}.",
            shown,
        )
    if left < 0:
        return say.warned(
            f"Driver {release} is of the {kind}branch {row.branch}, whose support ended on {row.eol}.",
            shown,
            safe=("gpusetup driver plan",),
        )
    if left <= _SOON_DAYS:
        return say.passed(
            f"Driver {release} is of the {kind}branch {row.branch}, supported for {left} days more, until {row.eol}.",
            shown,
        )
    return say.passed(f"Driver {release} is of the {kind}branch {row.branch}, supported until {row.eol}.", shown)


def _is_last_for(facts: Facts, gpu: Gpu, branch: int) -> bool:
    row = architecture_of(facts, gpu)
    return row is not None and row.last_branch == branch


CHECKS = (branch_life,)
