"""A real install that is killed, interrupted or out of disk, again and again: what was there works, the next run ends.

benchmarks/interruptions does the same some hundred times and keeps what it saw.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import pytest

from tests.bench import index as bench_index
from tests.bench.interrupting import PHASES, ROOT, TORCHES, Box, alternating, make_site

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def box(site, tmp_path):
    (tmp_path / "place").mkdir()
    with bench_index.serving(site) as (address, _):
        yield Box(tmp_path, address)


@pytest.fixture
def dice():
    seed = int(os.environ.get("GPUSETUP_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}")
    return random.Random(seed)


def test_thirty_kills_at_random_moments(box, dice):
    torches = alternating()
    old = next(torches)
    assert box.run(*box.install_words(old))[0] == 0
    hit = set()
    for _ in range(30):
        new = next(torches)
        cut = box.cut(new, dice)
        hit.add(cut.phase)
        assert cut.status in {-signal.SIGKILL, 0}
        assert box.torch() in {old, new}, cut
        box.recovered(new)
        old = new
    assert len(hit) > 2, hit


def test_first_installs_that_are_killed(box, dice):
    for phase in PHASES:
        box.cut(TORCHES[0], dice, phase=phase)
        assert box.torch() in {None, TORCHES[0]}
        box.recovered(TORCHES[0])
        assert box.run("env", "remove", "--yes")[0] == 0
        assert list(box.env.parent.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_that_can_be_caught(box, dice, number, status):
    """On a first install nothing but the log stays; later, what the next run can go on with."""
    for phase in PHASES[1:6]:
        cut = box.cut(TORCHES[0], dice, phase=phase, number=number)
        assert cut.status == status or cut.phase in {"start", "end"}, cut
        if box.torch() is None:
            assert box.strays() in ([], [".env.gpusetup.log"])
            assert not box.store.exists()
        box.recovered(TORCHES[0])
        box.run("env", "remove", "--yes")
        assert list(box.env.parent.iterdir()) == []
    torches = alternating()
    old = next(torches)
    box.run(*box.install_words(old))
    for phase in PHASES[1:6]:
        new = next(torches)
        cut = box.cut(new, dice, phase=phase, number=number)
        assert cut.status == status or cut.phase in {"start", "end"}, cut
        assert box.torch() in {old, new}
        box.recovered(new)
        old = new


FULL = """
import random, subprocess, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from tests.bench.interrupting import Box, alternating
box, dice = Box(Path({folder!r}), {site!r}), random.Random({seed!r})
disk = str(box.env.parent)
def size(text):
    subprocess.run(["mount", "-o", "remount,size=" + text, disk], check=True)
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "bench", disk], check=False).returncode:
    sys.exit("cannot mount")
torches = alternating()
old = next(torches)
assert box.run(*box.install_words(old))[0] == 0
codes = []
for number in range(10):
    new = next(torches)
    used = int(subprocess.run(["df", "-k", "--output=used", disk], capture_output=True, text=True).stdout.split()[1])
    size(str(used + dice.choice([0, 8, 40, 400, 1500, 3000, 5000])) + "k")
    code, document = box.run(*box.install_words(new))
    codes.append(code)
    if code:
        assert document["findings"][0]["id"] == "disk-full", document
    assert box.torch() in (old, new)
    assert code == 0 or box.strays() in ([], [".env.gpusetup.log"]), box.strays()
    size("256m")
    box.recovered(new)
    old = new
print(sorted(set(codes)))
"""


def test_a_disk_that_is_full_at_random_sizes(site, tmp_path, dice):
    (tmp_path / "place").mkdir()
    paths = [str(ROOT), *(item for item in sys.path if item)]
    seed = dice.randrange(2**32)
    script = tmp_path / "full.py"
    script.write_text(FULL.format(paths=paths, folder=str(tmp_path), site=site.as_uri(), seed=seed))
    argv = ["unshare", "--mount", "--map-root-user", sys.executable, str(script)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here to make a small disk with")
    if "cannot mount" in done.stderr or done.stderr.startswith("unshare:"):
        pytest.skip("this user may not mount a small disk")
    assert done.stdout.strip() in ("[5]", "[0, 5]"), done.stdout + done.stderr
