"""Pure functions of the step number: the learning rate and the order of the samples."""

from __future__ import annotations

import random
from typing import Iterator, Sequence

from .corpus import shuffled

SORT_WINDOW = 8
"""Batches that are filled together, shortest messages first, so that little padding is computed."""


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Factor of the peak learning rate for `step` (from 0): a linear rise to 1, then a linear fall.

    The first step already learns (1 / warm-up steps) and so does the last one (1 / falling steps).
    """
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def batches(lengths: Sequence[int], batch: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of sample numbers; samples 2k and 2k + 1 are a mirror pair and stay together.

    With both mirrors in one batch the words cancel out of the gradient, and what is left is the binding to learn.
    A remainder of an epoch that fills no batch is dropped.
    """
    source = random.Random(seed)
    per_batch = batch // 2
    while True:
        pairs = shuffled(len(lengths) // 2, source)
        for start in range(0, len(pairs), per_batch * SORT_WINDOW):
            window = sorted(pairs[start : start + per_batch * SORT_WINDOW], key=lambda pair: lengths[2 * pair])
            groups = [window[at : at + per_batch] for at in range(0, len(window), per_batch)]
            for number in shuffled(len(groups), source):
                if len(groups[number]) == per_batch:
                    yield [sample for pair in groups[number] for sample in (2 * pair, 2 * pair + 1)]
