from __future__ import annotations

import os

import pytest

from harness.cores import parse_quota, read_cpu_ticks, usable_cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [
        ("150000 100000\n", "", 1.5),
        ("max 100000\n", "", None),
        ("400000\n", "100000\n", 4.0),
        ("-1\n", "100000\n", None),
        ("", "", None),
        ("100000 0", "", None),
    ],
)
def test_quota(quota, period, cores):
    assert parse_quota(quota, period) == cores


def test_cores_stay_within_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= usable_cores() <= len(before)


def test_ticks_only_grow():
    early, late = read_cpu_ticks(), read_cpu_ticks()
    assert early is not None
    assert late is not None
    assert sum(late[:8]) >= sum(early[:8]) > 0
