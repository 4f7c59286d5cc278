"""Long children: lines as they come, silence, limits, nothing left running."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from provision.install.running import run_streaming


def run(code, **more):
    environ = {"PATH": os.environ["PATH"]}
    return run_streaming([sys.executable, "-c", code], environment=environ, folder=Path("/"), **more)


def test_lines_of_both_streams_and_the_status():
    seen = []
    code = (
        "import sys; print('a\\rb', flush=True); print('c', file=sys.stderr, flush=True); print('d', end=''); exit(3)"
    )
    done = run(code, on_line=seen.append)
    assert (done.returncode, seen, done.lines) == (3, ["a", "b", "c", "d"], ("a", "b", "c", "d"))
    assert not done.was_silent


def test_silence_ends_it_with_all_it_started():
    code = "import subprocess; print(subprocess.Popen(['sleep', '50']).pid, flush=True); import time; time.sleep(50)"
    start = time.monotonic()
    done = run(code, silence_s=0.4)
    assert done.was_silent
    assert time.monotonic() - start < 5
    time.sleep(0.1)
    state = Path(f"/proc/{done.lines[0]}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_writing_counts_as_life():
    code = "import time\nwith open('/dev/null', 'wb', 0) as f:\n for _ in range(12): time.sleep(0.1); f.write(b'x')"
    assert not run(code, silence_s=0.6).was_silent


def test_what_it_writes_is_told_while_it_runs():
    seen = []
    code = "import time\nf = open('/dev/null', 'wb', 0)\nfor _ in range(14): time.sleep(0.1); f.write(b'x' * 10**6)"
    assert run(code, on_written=seen.append).returncode == 0
    assert seen
    assert 10**6 < seen[0] < 15 * 10**6


def test_limit_on_the_whole_run():
    assert run("import time\nwhile 1: print(1, flush=True); time.sleep(0.05)", limit_s=0.4).was_silent


def test_program_that_is_not_there():
    done = run_streaming(["/no/such/program"], environment={}, folder=Path("/"))
    assert done.returncode == 1
    assert done.lines == ("/no/such/program cannot be started: No such file or directory",)
