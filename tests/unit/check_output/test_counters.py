"""Counters of earlier checks: rates within a boot, and a store that never is an error."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from provision.counters import (
    MOST_SNAPSHOTS,
    CounterHistory,
    Snapshot,
    counters_text,
    keep_counters,
    parse_counters,
    rates,
    read_counters,
)

BOOT = "0f6c2c9e-7f0e-4a51-9d0d-2f3f6a1f6b11"
OTHER_BOOT = "1f6c2c9e-7f0e-4a51-9d0d-2f3f6a1f6b11"


def snapshot(taken_at, gpu="GPU-a", boot=BOOT, **counters):
    return Snapshot(boot, gpu, taken_at, counters)


def test_a_rate_is_the_growth_and_its_seconds():
    now = snapshot(160.0, retired=3, replays=7, new=1)
    assert rates(snapshot(100.0, retired=3, replays=5, gone=1), now) == {"retired": (0, 60.0), "replays": (2, 60.0)}


@pytest.mark.parametrize(
    "previous",
    [
        None,
        snapshot(100.0, boot=OTHER_BOOT, replays=5),
        snapshot(100.0, gpu="GPU-b", replays=5),
        snapshot(160.0, replays=5),
        snapshot(170.0, replays=5),
        snapshot(100.0, replays=8),
    ],
)
def test_no_rate_without_a_fitting_snapshot(previous):
    assert rates(previous, snapshot(160.0, replays=7)) == {}


def test_snapshots_are_kept_and_found_again(tmp_path):
    keep_counters(tmp_path, [snapshot(1.0, replays=1), snapshot(1.0, "GPU-b", replays=9)])
    keep_counters(tmp_path, [snapshot(2.0, replays=2)])
    history = read_counters(tmp_path, BOOT)
    assert history.note is None
    assert history.latest("GPU-a") == snapshot(2.0, replays=2)
    assert history.latest("GPU-b") == snapshot(1.0, "GPU-b", replays=9)
    assert history.since("GPU-a", 1.5) == snapshot(1.0, replays=1)
    assert history.since("GPU-a", 0.5) is None
    assert history.latest("GPU-c") is None
    assert read_counters(tmp_path, OTHER_BOOT) == CounterHistory()


def test_the_newest_of_each_gpu_are_kept():
    old = tuple(snapshot(float(n)) for n in range(MOST_SNAPSHOTS))
    kept = CounterHistory((*old, snapshot(0.5, "GPU-b"))).with_([snapshot(99.0)])
    assert len(kept) == MOST_SNAPSHOTS + 1
    assert kept[0] == snapshot(0.5, "GPU-b")
    assert kept[1] == snapshot(1.0)
    assert kept[-1] == snapshot(99.0)


def test_a_file_that_is_damaged_counts_as_none_with_a_note(tmp_path):
    keep_counters(tmp_path, [snapshot(1.0, replays=1)])
    path = tmp_path / "counters" / f"{BOOT}.json"
    path.write_bytes(path.read_bytes()[:-3])
    history = read_counters(tmp_path, BOOT)
    assert history.snapshots == ()
    assert str(path) in history.note
    keep_counters(tmp_path, [snapshot(2.0, replays=2)])
    assert read_counters(tmp_path, BOOT) == CounterHistory((snapshot(2.0, replays=2),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"snapshots": [1]}',
        json.dumps({"snapshots": [{"gpu": 1, "taken_at": 1, "counters": {}}]}),
        json.dumps({"snapshots": [{"gpu": "a", "taken_at": "nan", "counters": {}}]}),
        json.dumps({"snapshots": [{"gpu": "a", "taken_at": 1, "counters": {"x": 1.5}}]}),
        json.dumps({"snapshots": [{"gpu": "a", "taken_at": 1, "counters": {"x": True}}]}),
        "[" * 100_000,
    ],
)
def test_what_is_no_history_is_refused(text):
    with pytest.raises(ValueError):
        parse_counters(text, boot_id=BOOT)


def test_text_and_back():
    taken = (snapshot(1.5, replays=2**40), snapshot(2.0, "GPU-b"))
    assert parse_counters(counters_text(taken), boot_id=BOOT) == taken


def test_a_boot_id_is_never_a_path(tmp_path):
    keep_counters(tmp_path, [snapshot(1.0, boot="../../x")])
    assert read_counters(tmp_path, "../../x") == CounterHistory()
    assert list(tmp_path.iterdir()) == []


def test_checks_that_run_beside_each_other_leave_a_whole_file(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: keep_counters(tmp_path, [snapshot(float(n), replays=n)]), range(40)))
    history = read_counters(tmp_path, BOOT)
    assert history.note is None
    assert history.snapshots
    assert all(one.counters == {"replays": int(one.taken_at)} for one in history.snapshots)


def test_a_folder_that_can_not_be_written_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    keep_counters(tmp_path / "file", [snapshot(1.0)])
    assert read_counters(tmp_path / "file", BOOT) == CounterHistory()
