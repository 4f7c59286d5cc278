"""The launcher of a clone: made once, whole or not at all, wherever the clone lies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARRIED = (
    "gpusetup",
    "bootstrap.sh",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "provision",
    "harness",
    "dockerfiles",
    "matrix.yaml",
)


@pytest.fixture
def clone(tmp_path) -> Path:
    """The parts of a clone that the launcher needs, in a folder with a blank in its name."""
    folder = tmp_path / "my clone"
    folder.mkdir()
    for name in CARRIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def start(clone: Path, *words: str, **environ: str) -> subprocess.Popen[str]:
    command = [str(clone / "gpusetup"), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environ}, start_new_session=True
    )


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=180)
    return child.returncode, out, err


def hidden(clone: Path) -> set[str]:
    return {path.name for path in clone.iterdir() if path.name.startswith(".")}


@pytest.mark.e2e
def test_two_first_starts_at_once_and_then_a_quick_one(clone):
    both = [start(clone, "--version"), start(clone, "--version")]
    for child in both:
        code, out, err = finish(child)
        assert (code, out) == (0, "gpusetup 0.1.0\n"), err
    assert hidden(clone) == {".venv"}
    code, _, err = finish(start(clone, "--version"))
    assert (code, err) == (0, "")
    script = subprocess.run([clone / ".venv/bin/gpusetup", "--version"], capture_output=True, text=True, check=True)
    assert script.stdout == "gpusetup 0.1.0\n"


@pytest.mark.e2e
def test_an_interrupted_first_start_leaves_nothing_and_shows_no_traceback(clone):
    child = start(clone, "--version")
    time.sleep(1.5)
    os.killpg(child.pid, signal.SIGINT)
    code, _, err = finish(child)
    assert code in (130, -signal.SIGINT)
    assert "Traceback" not in err
    assert hidden(clone) == set()


@pytest.mark.e2e
def test_an_index_out_of_reach_is_said_and_leaves_nothing(clone, tmp_path):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    nowhere |= {"PIP_FIND_LINKS": str(tmp_path), "PIP_CACHE_DIR": str(tmp_path / "cache")}
    code, out, err = finish(start(clone, "--version", **nowhere))
    assert (code, out) == (5, "")
    assert "could not be made" in err
    assert hidden(clone) == set()


def test_a_missing_python_is_said(clone):
    code, _, err = finish(start(clone, "--version", PATH=f"{_tools(clone)}"))
    assert code == 5
    assert "needs Python 3.10 or newer" in err


def _tools(clone: Path) -> Path:
    """A PATH with the shell's tools and no Python."""
    folder = clone.parent / "tools"
    folder.mkdir()
    for name in ("sh", "dirname", "cmp", "rm", "cp", "mv"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder
