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
        # Mean - 3 deviations of 20 seeds is 0.989 in fp32 (lowest seed 0.985) and 0.978 in bf16 (lowest 0.973): both
        # distributions have a tail below. 0.95 leaves it room and stays far above what must fail: 0.50 for the best bag
        # of words, 0.36 for the best sabotage.
        accuracy=0.95,
        # Healthy runs end below 0.04, sabotaged ones above 0.79.
        loss_ratio=0.5,
        data_digest="2db1573684f5eda5bf90723ba6ee6f076972391c79cf06c9218c16121f5ef163",
        source="20 seeds each in fp32 and bf16, mean - 3 sd 0.989 and 0.978, lowered to 0.95: benchmarks/smoke_seeds",
    ),
}

FOREIGN_LOAD_SHARE = 0.05
"""Share of the host's CPU time above which others' load makes a CPU rate unfit for a comparison."""

DATA_WAIT_SHARE = 0.05
"""Share of the window that may pass waiting for data before the rate says more about the host than the device."""
