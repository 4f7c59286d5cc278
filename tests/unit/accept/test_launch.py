"""The child that misbehaves: a fake interpreter, which is a shell script that gets the harness's arguments."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import pytest

from harness.contract import Job, Report, dump
from provision.accept.launch import (
    Deadlines,
    Progress,
    build_archive,
    child_environment,
    launch,
    parse_progress,
)
from provision.errors import HarnessError

JOB = Job(device="cpu", steps=1)
QUICK = Deadlines(silence_s=1.0, total_s=5.0, grace_s=0.5)


@pytest.fixture
def target(tmp_path):
    """Makes an interpreter out of shell lines; $report is where the report goes, $pids where process ids are noted."""

    def make(script: str) -> str:
        path = tmp_path / "python"
        head = f'#!/bin/sh\nshift 6\nreport=$1\npids={tmp_path}/pids\necho $$ >> "$pids"\n'
        path.write_text(head + script)
        path.chmod(0o755)
        return str(path)

    return make


def run(python: str, deadlines: Deadlines = QUICK, progress: list[Progress] | None = None) -> Report:
    return launch(python, JOB, on_progress=(progress if progress is not None else []).append, deadlines=deadlines)


def survivors(folder: Path) -> list[int]:
    """Processes among the noted ones that are still there."""
    alive = []
    for line in (folder / "pids").read_text().split():
        try:
            state = Path(f"/proc/{line}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            continue
        if state not in "ZX":
            alive.append(int(line))
    return alive


def writes(report: Report) -> str:
    return f"cat > \"$report\" <<'END'\n{dump(report)}END\n"


def test_report_and_progress_come_back(target):
    progress: list[Progress] = []
    script = """echo '{"event": "step", "step": 3, "steps": 9, "loss": 0.5}'\necho hello\n""" + writes(
        Report("completed", JOB)
    )
    assert run(target(script), progress=progress) == Report("completed", JOB)
    assert progress == [Progress("step", step=3, steps=9, loss=0.5), Progress("note", text="hello")]


def test_a_report_of_failure_is_a_report(target):
    assert run(target(writes(Report("failed", JOB, "why")) + "exit 12\n")).reason == "why"


def test_crash_gives_the_end_of_stderr(target, tmp_path):
    with pytest.raises(HarnessError) as caught:
        run(target("for i in $(seq 30); do echo line $i >&2; done\nexit 3\n"))
    assert caught.value.happened == "The acceptance run ended without a report, exit status 3."
    shown = caught.value.evidence[1].value
    assert isinstance(shown, str)
    assert shown.splitlines() == [f"line {number}" for number in range(11, 31)]
    assert survivors(tmp_path) == []


def test_killed_child_is_named(target):
    with pytest.raises(HarnessError, match="killed by SIGKILL"):
        run(target("kill -9 $$\n"))


def test_silence_ends_the_child(target, tmp_path):
    began = time.monotonic()
    with pytest.raises(HarnessError, match="silent for 1 s") as caught:
        run(target('echo last words >&2\nsleep 60 &\necho $! >> "$pids"\nwait\n'))
    assert caught.value.code == "harness-timed-out"
    assert caught.value.evidence[0].value == "last words"
    assert time.monotonic() - began < 5
    assert survivors(tmp_path) == []


def test_talking_forever_ends_at_the_total_deadline(target, tmp_path):
    with pytest.raises(HarnessError, match="longer than 2 s"):
        run(target("while :; do echo '{}'; sleep 0.1; done\n"), Deadlines(silence_s=1.0, total_s=2.0, grace_s=0.5))
    assert survivors(tmp_path) == []


def test_child_that_ignores_sigterm_is_killed(target, tmp_path):
    with pytest.raises(HarnessError, match="silent"):
        run(target("trap '' TERM\nwhile :; do sleep 0.2; done\n"))
    assert survivors(tmp_path) == []


def test_sigterm_comes_first(target, tmp_path):
    with pytest.raises(HarnessError, match="silent"):
        run(target(f"trap 'echo bye > {tmp_path}/bye; exit 0' TERM\nwhile :; do sleep 0.1; done\n"))
    assert (tmp_path / "bye").read_text() == "bye\n"


def test_grandchild_that_holds_the_pipes_does_not_hang_the_run(target, tmp_path):
    script = 'sleep 60 &\necho $! >> "$pids"\n' + writes(Report("completed", JOB))
    began = time.monotonic()
    assert run(target(script), Deadlines()).status == "completed"
    assert time.monotonic() - began < 30
    assert survivors(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_exception_in_the_callback_leaves_no_child(target, tmp_path, error):
    def interrupt(_: Progress) -> None:
        raise error

    with pytest.raises(error):
        launch(target("echo x\nsleep 60\n"), JOB, on_progress=interrupt, deadlines=QUICK)
    assert survivors(tmp_path) == []


def test_line_without_an_end_is_cut(target):
    progress: list[Progress] = []
    with pytest.raises(HarnessError, match="without a report"):
        run(target("head -c 300000 /dev/zero | tr '\\0' x\n"), progress=progress)
    assert progress
    assert all(len(one.text or "") <= 65536 for one in progress)


def test_interpreter_that_is_not_there(tmp_path):
    with pytest.raises(HarnessError, match="cannot be started: No such file"):
        run(str(tmp_path / "nothing"))


@pytest.mark.parametrize("content", ["nonsense", '{"schema": "gpusetup.harness-report/9"}'])
def test_report_that_is_no_report(target, content):
    with pytest.raises(HarnessError, match="cannot be read"):
        run(target(f"echo '{content}' > \"$report\"\n"))


def test_nothing_is_left_in_the_temporary_folder(target, tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    run(target(writes(Report("completed", JOB))))
    assert list(place.iterdir()) == []


def test_archive_is_the_same_twice_and_complete(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = build_archive(tmp_path / "a"), build_archive(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    names = zipfile.ZipFile(first).namelist()
    assert "__main__.py" in names
    assert {"harness/__init__.py", "harness/__main__.py", "harness/contract.py", "harness/train.py"} <= set(names)


def test_child_sees_little_of_the_callers_environment():
    seen = child_environment(
        JOB, {"PATH": "/bin", "PYTHONPATH": "/evil", "SECRET_TOKEN": "x", "CUDA_VISIBLE_DEVICES": "1"}
    )
    assert seen == {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "1",
        "LC_ALL": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    assert "OMP_WAIT_POLICY" not in child_environment(Job(device="cuda"), {})


@pytest.mark.parametrize("line", ["", "[1]", "{", '{"event": 3}', "\x00"])
def test_line_that_is_no_progress_is_a_note(line):
    assert parse_progress(line) == Progress("note", text=line)


def test_progress_fields_of_another_type_are_unknown():
    assert parse_progress('{"event": "step", "step": "3", "steps": true, "loss": []}') == Progress("step")


def test_real_interpreter_refuses_a_bad_job_with_its_words(tmp_path, monkeypatch):
    import sys

    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    with pytest.raises(HarnessError, match="exit status 2") as caught:
        launch(sys.executable, Job(device="tpu"), on_progress=lambda _: None, deadlines=Deadlines(60, 60, 1))
    assert caught.value.evidence[1].value == 'job.device: found "tpu", expected one of cuda, cpu'


@pytest.mark.e2e
def test_real_harness_runs_from_its_archive(tmp_path, monkeypatch):
    """Three steps in the interpreter of the tests, with nothing of the repository on its path."""
    import sys

    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    progress: list[Progress] = []
    job = Job(device="cpu", steps=3, threads=1)
    report = launch(sys.executable, job, on_progress=progress.append, deadlines=Deadlines(120, 120, 1))
    assert report.status == "completed"
    assert report.job == job
    assert report.counts is not None
    assert report.counts.executed_steps == 3
    assert progress[0] == Progress("phase", name="import")
    assert report.phases[0].name == "import"
