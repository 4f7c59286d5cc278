"""The wheel carries what it needs and runs where nothing of the repository is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_carries_matrix_dockerfiles_schemas_and_harness(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"provision/matrix.yaml", "provision/dockerfiles/README.md", "provision/schemas/report-1.json"} <= names
    harness = {p.relative_to(ROOT).as_posix() for p in (ROOT / "harness").rglob("*") if p.is_file()}
    assert {name for name in harness if "__pycache__" not in name} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


@pytest.mark.e2e
def test_the_wheel_runs_in_a_clean_environment_elsewhere(wheel, tmp_path):
    target = tmp_path / "env"
    venv.create(target, with_pip=True)
    python = target / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-qq", str(wheel)], check=True, timeout=300)
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": ""}

    def gpusetup(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(target / "bin" / "gpusetup"), *words]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)

    assert gpusetup("--version").stdout.startswith("gpusetup ")
    plan = json.loads(gpusetup("plan", "--gpu", "NVIDIA H100 80GB HBM3", "--driver", "535.104.05", "--json").stdout)
    assert plan["data"]["cuda_runtime_version"].startswith("12.")
    assert json.loads(gpusetup("detect", "--json").stdout)["data"]["host"]["system"] == "linux"
    validated = json.loads(gpusetup("matrix", "validate", "--json").stdout)
    assert str(target) in validated["data"]["path"]
