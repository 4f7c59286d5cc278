"""Programs that hang, flood or ignore signals: `check` ends in time, and at once on Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.e2e

PROGRAMS = "journalctl dmesg systemctl chronyc dpkg-query dkms modinfo mokutil docker nvidia-smi podman nvidia-ctk"
HANGS = "#!/bin/sh\ntrap '' TERM INT HUP\nsleep 600 & wait; sleep 600\n"
FLOODS = "#!/bin/sh\nexec yes 'NVRM: Xid (PCI:0000:01:00): 79, pid=1, name=x, GPU has fallen off the bus.'\n"


def command(tmp_path, script, *words):
    for name in PROGRAMS.split():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-m", "provision", *words],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


@pytest.mark.parametrize("script", [HANGS, FLOODS], ids=["hang", "flood"])
def test_check_ends_although_every_program_does_not(tmp_path, script):
    started = time.monotonic()
    child = command(tmp_path, script, "check", "--json")
    out, err = child.communicate(timeout=90)
    assert time.monotonic() - started < 60
    assert child.returncode in (0, 1), err
    assert {one["status"] for one in json.loads(out)["data"]["checks"]}.isdisjoint({"crashed"})
    assert "Traceback" not in err


def test_ctrl_c_ends_a_check_at_once(tmp_path):
    child = command(tmp_path, HANGS, "check")
    time.sleep(1.5)
    assert child.poll() is None
    started = time.monotonic()
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert time.monotonic() - started < 2
    assert child.returncode == 130
    assert "Traceback" not in err


def test_no_program_is_left_behind(tmp_path):
    child = command(tmp_path, HANGS.replace("sleep 600", f"sleep 600.{os.getpid()}"), "check")
    time.sleep(1.5)
    os.kill(child.pid, signal.SIGINT)
    child.communicate(timeout=20)
    time.sleep(0.3)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"sleep 600.{os.getpid()}" not in listed
