from __future__ import annotations

from itertools import islice

import pytest

from harness.schedule import batches, learning_rate_factor


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (11, 89 / 90), (55, 0.5), (99, 1 / 90), (100, 0.0), (150, 0.0)],
)
def test_linear_rise_then_linear_fall(step, factor):
    assert learning_rate_factor(step, 100, 0.1) == pytest.approx(factor)


def test_no_step_of_the_run_has_a_rate_of_zero():
    assert all(learning_rate_factor(step, 37, 0.05) > 0 for step in range(37))


def test_one_step_learns():
    assert learning_rate_factor(0, 1, 0.05) == 1.0


def test_mirrors_stay_together_and_an_epoch_holds_each_once():
    lengths = [10 + number % 7 for number in range(64)]
    epoch = list(islice(batches(lengths, 8, seed=1), 8))
    assert sorted(sample for batch in epoch for sample in batch) == list(range(64))
    for batch in epoch:
        assert {sample ^ 1 for sample in batch} == set(batch)


def test_order_depends_on_the_seed_alone():
    def first(seed):
        return list(islice(batches([5] * 100, 8, seed), 20))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_a_remainder_fills_no_batch():
    assert {len(batch) for batch in islice(batches([5] * 22, 8, seed=1), 6)} == {8}


def test_batches_hold_similar_lengths():
    lengths = [number // 2 for number in range(512)]
    spread = [max(lengths[s] for s in b) - min(lengths[s] for s in b) for b in islice(batches(lengths, 16, 3), 32)]
    assert sum(spread) / len(spread) < 100
