"""The bars of the presets, with where they come from. Data alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """What a run of one preset must reach, for one version of its data."""

    accuracy: float
    """Least held-out accuracy."""
    loss_ratio: float
    """Most that the mean loss of the last tenth of the steps may be, as a share of that of the first tenth."""
    data_digest: str
    """Digest of the data that the bar was set on; it says nothing about other data."""
    source: str


BARS = {
    "smoke": Bar(
        accuracy=0.9,
        loss_ratio=0.5,
        data_digest="2db1573684f5eda5bf90723ba6ee6f076972391c79cf06c9218c16121f5ef163",
        source="mean - 3 standard deviations of 20 seeds, benchmarks/smoke_seeds/results.json",
    ),
}

FOREIGN_LOAD_SHARE = 0.05
"""Share of the host's CPU time above which others' load makes a CPU rate unfit for a comparison."""

DATA_WAIT_SHARE = 0.05
"""Share of the window that may pass waiting for data before the rate says more about the host than the device."""
