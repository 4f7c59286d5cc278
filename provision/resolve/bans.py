"""What a site file has against a build on a driver and a Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..matrix.site import Ban
    from ..versions import DriverVersion
    from .candidates import Candidate
    from .situation import Situation


def site_ban(
    situation: Situation, candidate: Candidate, driver: DriverVersion | None, python: str | None = None
) -> Ban | None:
    """The entry of the site file that forbids the build on that driver; None: there is none."""
    site = situation.catalogue.matrix.site
    if site is None:
        return None
    branch = driver_branch(situation, driver)
    return site.ban(candidate.release.key, candidate.variant.name, branch=branch, python=python)


def driver_branch(situation: Situation, driver: DriverVersion | None) -> int | None:
    """The branch of a driver of this machine; Windows numbers lie between the branches, Tegra's belong to none."""
    if driver is None or situation.driver.is_tegra:
        return None
    row = situation.catalogue.matrix.branch_of(driver) if situation.driver.is_windows else None
    return row.branch if row else driver.branch
