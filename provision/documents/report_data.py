"""The `data` of report/1: everything that `up` learned, apart from what a plan needs, so that a plan loads less."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..acceptance import Acceptance
from ..drivers.records import DriverRun
from ..records import Machine
from .check import CheckData
from .plan import PlanData
from .receipt import ReceiptData


@dataclass(frozen=True, slots=True)
class ReportData:
    """Data of report/1: the data of the other documents; null where a stage was not reached."""

    machine: Machine | None = None
    check: CheckData | None = None
    plan: PlanData | None = None
    receipt: ReceiptData | None = None
    acceptance: Acceptance | None = None
    driver: DriverRun | None = None
    """The run of driver steps; null without --with-driver, and where nothing had to be done."""
    started_at: str | None = None
    """UTC time of the start, ISO 8601."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds of each stage."""

    def machine_name(self) -> str:
        """Host name as a part of a file name."""
        name = (self.machine.host.hostname if self.machine else None) or "machine"
        return re.sub(r"[^A-Za-z0-9.-]", "_", name)[:64]
