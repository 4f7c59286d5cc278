"""Detection where the real /sys and /proc are those of a GPU host: a private mount namespace, root only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GPUHOST = ROOT / "tests/bench/gpuhost.sh"
PROGRAM = (
    "from provision.detect import detect_machine; m = detect_machine();"
    " print(m.gpu_state.value, m.gpus[0].pci_device_id)"
)


def can_unshare():
    if os.geteuid() != 0:
        return False
    trial = ["unshare", "-m", "mount", "-t", "tmpfs", "t", "/mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not can_unshare(), reason="needs root and mount namespaces")]


def on_host(version, device, *argv, env):
    command = [GPUHOST, version, device, sys.executable, *argv]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_card_without_driver(fake_nvml):
    env = {key: value for key, value in fake_nvml("a100x2", with_smi=False).items() if key != "LD_LIBRARY_PATH"}
    done = on_host("", "20b2", "-c", PROGRAM, env=env)
    assert done.stdout.split() == ["unusable", "10de:20b2"], done.stderr


def test_card_with_driver(fake_nvml):
    done = on_host("550.90.07", "20b2", "-c", PROGRAM, env=fake_nvml("a100x2"))
    assert done.stdout.split() == ["usable", "10de:20b2"], done.stderr


def test_detect_command_says_unusable(fake_nvml):
    env = {key: value for key, value in fake_nvml("a100x2", with_smi=False).items() if key != "LD_LIBRARY_PATH"}
    done = on_host("", "20b2", "-m", "provision", "detect", "--json", env=env)
    assert json.loads(done.stdout)["data"]["gpu_state"] == "unusable"
