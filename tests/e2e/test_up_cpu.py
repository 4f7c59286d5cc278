"""The main job with real packages on the CPU: install, train, judge, report, and the quick second run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "provision" / "schemas"
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("up")


def environ(place: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GPUSETUP_")}
    return kept | {"XDG_DATA_HOME": str(place / "data"), "PYTHONPATH": str(ROOT)}


def gpusetup(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "provision", *words]
    return subprocess.run(
        command, cwd=place, env=environ(place), capture_output=True, text=True, check=False, timeout=900
    )


@pytest.fixture(scope="module")
def first(place):
    """The first `up`, with --cpu so that a box with a GPU runs the same test."""
    return gpusetup(place, "up", "--cpu", "--env", "env", "--report", "report.json", "--json")


def test_the_first_run_ends_accepted_on_the_cpu(first):
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["data"]["acceptance"]["verdict"] == "accepted"
    assert report["data"]["acceptance"]["device_class"] == "cpu"
    assert report["data"]["plan"]["variant"] == "cpu"
    assert report["data"]["receipt"]["build"]["variant"] == "cpu"
    assert report["data"]["acceptance"]["throughput"]["samples_per_s"] > 0


def test_the_report_is_the_document_and_validates(first, place):
    document = json.loads((place / "report.json").read_text())
    assert document == json.loads(first.stdout)
    schema = json.loads((SCHEMAS / "report-1.json").read_text())
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


def test_installed_versions_equal_the_plan(first, place):
    plan = json.loads((place / "report.json").read_text())["data"]["plan"]
    code = "import torch; print(torch.__version__, torch.version.cuda)"
    done = subprocess.run([place / "env/bin/python", "-Ic", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{plan['torch']}+{plan['variant']}", "None"]


def test_a_person_reads_the_verdict_last(first, place):
    shown = gpusetup(place, "report", "show", "report.json")
    assert shown.returncode == 0
    verdict = [line for line in shown.stdout.splitlines() if line.startswith("verdict")]
    assert verdict == ["verdict  accepted (cpu)"]
    assert max(len(line) for line in shown.stdout.splitlines() if str(place) not in line) <= 80


def test_a_second_install_answers_from_the_receipt_without_importing_torch(first, place):
    started = time.monotonic()
    done = gpusetup(place, "install", "--cpu", "--env", "env", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["data"]["reused"] is True
    assert (
        time.monotonic() - started < 10
    )  # the bar is 1 s on a quiet machine; an import of torch takes longer than 10 here


def test_accept_alone_runs_in_the_environment_with_another_seed_and_stops_at_a_signal(first, place):
    """SIGINT in mid-training: exit 130, no child left, the environment still there."""
    command = [sys.executable, "-m", "provision", "accept", "--env", "env", "--seed", "5"]
    child = subprocess.Popen(command, cwd=place, env=environ(place), stderr=subprocess.PIPE, text=True)
    time.sleep(12)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    left = subprocess.run(["pgrep", "-f", f"{place}/env/bin/python"], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    assert (place / "env/bin/python").exists()


def test_a_damaged_environment_is_made_again(first, place):
    """A file that someone removed by hand is noticed without importing anything."""
    next((place / "env").glob("lib/python*/site-packages/transformers/__init__.py")).unlink()
    done = gpusetup(place, "install", "--cpu", "--env", "env", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["data"]["reused"] is False
