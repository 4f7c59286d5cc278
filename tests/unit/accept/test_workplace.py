"""The folder of an acceptance run, and those that killed runs left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from provision.accept.workplace import PREFIX, remove_left, workplace

CHILD = """
import os, subprocess, sys, tempfile
sys.path[:0] = {paths!r}
tempfile.tempdir = {folder!r}
from provision.accept.workplace import workplace
with workplace() as (place, in_use):
    if {leaves_child}:
        none = subprocess.DEVNULL
        subprocess.Popen(["sleep", "60"], pass_fds=(in_use,), stdin=none, stdout=none, stderr=none)
    print(place, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def aged(path):
    os.utime(path, (1.0, 1.0))
    return path


def killed(folder, *, leaves_child=False):
    """The folder of a run that was killed, an hour ago."""
    paths = [item for item in sys.path if item]
    text = CHILD.format(paths=paths, folder=str(folder), leaves_child=leaves_child)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    return aged(Path(done.stdout.strip()))


def test_the_next_run_removes_what_a_killed_one_left(place):
    left = killed(place)
    with workplace() as (folder, _):
        assert not left.exists()
        assert list(place.iterdir()) == [folder]
    assert list(place.iterdir()) == []


def test_what_somebody_works_in_stays(place):
    with workplace() as (folder, _):
        aged(folder)
        remove_left()
        assert folder.exists()


def test_what_a_child_still_works_in_stays(place):
    left = killed(place, leaves_child=True)
    remove_left()
    assert left.exists()
    (pid,) = (int(path.parts[2]) for path in Path("/proc").glob("[0-9]*/fd/*") if _leads(path, left))
    os.kill(pid, 9)
    while left.exists():
        remove_left()


def _leads(path, folder):
    try:
        return path.readlink() == folder
    except OSError:
        return False


def test_what_is_not_ours_stays(place):
    """A file, a link, a folder that was made this moment."""
    target = place / "precious"
    target.mkdir()
    (place / f"{PREFIX}link").symlink_to(target)
    (place / f"{PREFIX}file").write_text("1")
    (place / f"{PREFIX}young").mkdir()
    remove_left()
    assert len(list(place.iterdir())) == 4
