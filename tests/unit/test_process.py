from __future__ import annotations

import os
import sys
import time

import pytest

from provision.process import run


def test_output_and_status():
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], deadline_s=5)
    assert (done.returncode, done.stdout, done.stderr, done.ok) == (3, "out\n", "err\n", False)


def test_missing_program_is_a_result():
    done = run(["/nonexistent/program"], deadline_s=5)
    assert done.failure == "No such file or directory"
    assert done.returncode is None


def test_deadline_kills_the_whole_group_and_keeps_the_output(tmp_path):
    started = time.monotonic()
    script = f"echo begun; (sleep 30; touch {tmp_path}/survived) & trap '' TERM; wait; sleep 30"
    done = run(["sh", "-c", script], deadline_s=0.3)
    assert done.timed_out
    assert done.stdout == "begun\n"
    assert time.monotonic() - started < 2
    assert done.returncode == -9


def test_silence_ends_a_program_that_stops_talking():
    done = run(
        ["sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; sleep 30"], deadline_s=20, silence_s=0.4
    )
    assert done.timed_out
    assert done.stdout.split() == ["1", "2", "3", "4", "5", "6"]


def test_grandchild_that_keeps_the_pipe_open_is_not_waited_for():
    started = time.monotonic()
    done = run(
        [sys.executable, "-S", "-c", "import os, time\nif os.fork() == 0:\n os.setsid(); time.sleep(3)"], deadline_s=10
    )
    assert done.returncode == 0
    assert not done.timed_out
    assert time.monotonic() - started < 2


def test_program_that_closes_its_output_still_has_a_deadline():
    assert run(["sh", "-c", "exec >&- 2>&-; sleep 30"], deadline_s=0.3).timed_out


def test_output_is_bounded():
    done = run(["sh", "-c", "yes | head -c 3000000"], deadline_s=20, keep_bytes=1000)
    assert len(done.stdout) == 1000
    assert done.truncated
    assert done.returncode == 0


def test_broken_bytes_are_replaced():
    assert run(["printf", r"a\377b"], deadline_s=5).stdout == "a\ufffdb"


def test_environment_and_folder(tmp_path):
    done = run(["/bin/sh", "-c", "echo $ONLY; pwd"], deadline_s=5, env={"ONLY": "this"}, cwd=tmp_path)
    assert done.stdout.split() == ["this", os.path.realpath(tmp_path)]


def test_a_survivor_of_sigkill_is_abandoned(monkeypatch):
    monkeypatch.setattr("provision.process._REAP_S", 0.2)
    monkeypatch.setattr("os.killpg", lambda *_: None)
    done = run(["sleep", "1"], deadline_s=0.2)
    assert done.abandoned
    assert done.timed_out
    assert done.returncode is None
    assert done.duration_s < 0.9


def test_interrupt_ends_the_child(monkeypatch):
    killed = []
    monkeypatch.setattr("provision.process._Kept.read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    real = os.killpg
    monkeypatch.setattr("os.killpg", lambda *args: (killed.append(args), real(*args)))
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "30"], deadline_s=5)
    assert killed
