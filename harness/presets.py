"""What the presets train: sizes, steps and rates. Bars belong to whoever judges, not to the run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """One fixed workload."""

    name: str
    layers: int
    hidden: int
    heads: int
    longest: int
    """Most tokens of a message."""
    batch: int
    """Messages per optimizer step; even, because mirror pairs stay together."""
    steps: int
    learning_rate: float
    warmup_share: float
    """Share of the steps in which the learning rate rises."""
    betas: tuple[float, float]
    weight_decay: float
    clip_norm: float
    dropout: float
    initializer_range: float
    position_scale: float
    """Amplitude of the sinusoids that the position embeddings start from."""
    position_base: float
    """Ratio of the longest to the shortest wavelength of those sinusoids."""
    most_threads: int
    """CPU threads that are of use."""
    is_comparable: bool
    """Whether a GPU is busy enough for its throughput to be compared."""


SMOKE = Preset(
    name="smoke",
    layers=2,
    hidden=128,
    heads=4,
    longest=64,
    batch=16,
    steps=1400,
    learning_rate=1e-3,
    warmup_share=0.05,
    betas=(0.9, 0.98),
    weight_decay=0.01,
    clip_norm=1.0,
    dropout=0.0,
    initializer_range=0.08,
    position_scale=0.15,
    # Messages have up to 60 tokens: with the usual 10000 most channels would be constant over all of them.
    position_base=100.0,
    # These matrices are too small to share: on two quiet cores 572 samples/s with one thread, 356 with two. One
    # thread also gives the same sums on every number of cores.
    most_threads=1,
    is_comparable=False,
)

PRESETS = {preset.name: preset for preset in (SMOKE,)}
