from __future__ import annotations

import pytest

from harness.contract import HostLoad, StepTime, Throughput
from harness.measure import (
    Interval,
    host_load,
    macro_f1,
    percentile,
    quality,
    smoothed_ends,
    throughput,
    variation,
    warmup_steps,
)

WINDOW = Interval(seconds=4.0, samples=80, tokens=2000, step_times_s=(1.0, 1.0, 2.0), data_wait_s=0.5)


@pytest.mark.parametrize(("steps", "expected"), [(1100, 50), (200, 20), (20, 5), (5, 4), (1, 0)])
def test_warmup_rule(steps, expected):
    assert warmup_steps(steps) == expected


def test_percentiles_interpolate():
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert percentile([1.0, 2.0], 0.9) == pytest.approx(1.9)
    assert percentile([7.0], 0.99) == 7.0


def test_variation_is_sample_deviation_over_mean():
    assert variation([1.0, 3.0]) == pytest.approx(2**0.5 / 2)
    assert variation([1.0]) is None
    assert variation([0.0, 0.0]) is None


def test_rate_is_totals_over_the_wall_clock():
    rates = throughput(WINDOW, planned_steps=8, executed_steps=8, warmup=5, incomparable=None)
    assert rates == Throughput(
        comparable=True,
        samples_per_s=20.0,
        tokens_per_s=500.0,
        step_time_s=StepTime(1.0, pytest.approx(1.8), pytest.approx(1.98)),
        cv=pytest.approx(0.4330127),
        warmup_steps=5,
        data_wait_share=0.125,
        window_s=4.0,
    )


def test_rate_refused_when_steps_differ_from_the_plan():
    rates = throughput(WINDOW, planned_steps=9, executed_steps=8, warmup=5, incomparable=None)
    assert rates.samples_per_s is None
    assert rates.tokens_per_s is None
    assert not rates.comparable
    assert rates.reason == "8 steps were executed and 9 were planned, so there is no rate"


def test_rate_refused_for_an_empty_window():
    rates = throughput(Interval(0.0, 0, 0, (), 0.0), planned_steps=1, executed_steps=1, warmup=0, incomparable=None)
    assert (rates.samples_per_s, rates.reason) == (None, "no step is left after the warm-up, so there is no rate")


def test_incomparable_rate_says_why():
    rates = throughput(WINDOW, planned_steps=8, executed_steps=8, warmup=5, incomparable="too small")
    assert (rates.comparable, rates.reason, rates.samples_per_s) == (False, "too small", 20.0)


def test_smoothed_ends_are_means_of_a_tenth():
    assert smoothed_ends([float(number) for number in range(20)]) == (0.5, 18.5)
    assert smoothed_ends([3.0]) == (3.0, 3.0)
    assert smoothed_ends([]) == (None, None)


def test_macro_f1():
    assert macro_f1([0, 0, 1, 1], [0, 1, 1, 1], 2) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert macro_f1([0], [0], 2) == 0.5


def test_quality():
    found = quality([0, 1, 1, 0], [0, 1, 0, 0], 2, [2.0, 1.0], 0.25)
    assert (found.accuracy, found.chance, found.majority_baseline, found.samples) == (0.75, 0.5, 0.75, 4)
    assert (found.first_loss, found.last_loss, found.eval_loss) == (2.0, 1.0, 0.25)


def test_quality_keeps_what_is_not_a_number_out():
    found = quality([0], [0], 2, [float("nan")], float("inf"))
    assert (found.first_loss, found.last_loss, found.eval_loss) == (None, None, None)


def test_foreign_load_is_what_was_busy_and_not_ours():
    before = [100, 0, 50, 1000, 10, 0, 0, 5, 0, 0]
    after = [300, 0, 100, 1700, 20, 0, 0, 45, 0, 0]
    load = host_load(before, after, own_s=2.0, ticks_per_s=100, cores=2)
    # 1000 ticks: 200 user + 50 system busy, of which 200 are ours; 700 idle, 10 waiting, 40 stolen.
    assert load == HostLoad(foreign_share=0.05, steal_share=0.04, cores=2)


@pytest.mark.parametrize("after", [None, [1, 2], [0] * 8])
def test_load_is_unknown_without_counters(after):
    load = host_load([0] * 8, after, own_s=1.0, ticks_per_s=100, cores=2)
    assert (load.foreign_share, load.steal_share) == (None, None)
