"""The oldest torch of the matrix: plan, install and accept with the companions of its time, on the CPU. 2.2 GB cold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
V100 = ["--gpu", "Tesla V100-SXM2-16GB", "--driver", "525.147.05", "--arch", "x86_64", "--glibc", "2.28"]


def document(*words: str) -> dict:
    command = [sys.executable, "-m", "provision", *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_torch_2_0_is_planned_installed_and_accepted(tmp_path):
    env = tmp_path / "torch-2.0"
    plan = document("plan", "--torch", "2.0", *V100, "--python", "3.11")
    assert plan["data"]["torch"] == "2.0.1"
    assert {"numpy<2", "transformers>=4.30,<4.50"} <= set(plan["data"]["requirements"])
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    receipt = document("install", str(tmp_path / "plan.json"), "--env", str(env))["data"]
    held = {row["name"]: row["version"] for row in receipt["distributions"]}
    assert held["torch"].startswith("2.0.1")
    assert held["numpy"].startswith("1.")
    assert held["transformers"].startswith("4.4")
    accepted = document("accept", "--env", str(env), "--cpu")["data"]
    assert (accepted["verdict"], accepted["device_class"]) == ("accepted", "cpu")
    assert accepted["software"]["torch"].startswith("2.0.1")
