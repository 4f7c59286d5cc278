"""The launcher of a clone: made once, whole or not at all, wherever the clone lies."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARRIED = (
    "gpusetup",
    "run-tests",
    "bootstrap.sh",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "provision",
    "harness",
    "dockerfiles",
    "matrix.yaml",
)


TOOLS = ("sh", "rm", "mv", "mkdir", "cat", "cksum", "readlink")
VERSION = "gpusetup 0.1.0\n"


def copied_to(folder: Path) -> Path:
    folder.mkdir()
    for name in CARRIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def clone(tmp_path) -> Path:
    """The parts of a clone that the launcher needs."""
    return copied_to(tmp_path / "my clone")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A clone at an odd path, whose environment three starts made at once, with pip told to install elsewhere."""
    clone = copied_to(tmp_path_factory.mktemp("odd") / "a b|c&d\\e'f")
    elsewhere = str(clone.parent / "elsewhere")
    three_at_once(clone, PIP_USER="1", PIP_TARGET=elsewhere, PIP_PREFIX=elsewhere, PIP_REQUIRE_VIRTUALENV="1")
    assert hidden(clone) == {".venv"}
    return clone


def three_at_once(clone: Path, **environ: str) -> None:
    for child in [start(clone, "--version", **environ) for _ in range(3)]:
        code, out, err = finish(child)
        assert (code, out) == (0, VERSION), err


def start(clone: Path, *words: str, before: tuple[str, ...] = (), **environ: str) -> subprocess.Popen[str]:
    command = [*before, str(clone / "gpusetup"), *words]
    pipe, environ = subprocess.PIPE, {**os.environ, **environ}
    # Tests that were started under nohup ignore SIGHUP, and a shell can't take back what it was born with.
    before_tests = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ, start_new_session=True)
    finally:
        signal.signal(signal.SIGHUP, before_tests)


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=180)
    return child.returncode, out, err


def hidden(clone: Path) -> set[str]:
    return {path.name for path in clone.iterdir() if path.name.startswith(".")}


@pytest.mark.e2e
def test_starts_after_the_first_are_quick_without_cmp_and_through_a_link(made, tmp_path):
    assert finish(start(made, "--version", PATH=str(tools(tmp_path)))) == (0, VERSION, "")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gpusetup").symlink_to(made / "gpusetup")
    assert finish(start(tmp_path / "bin", "--version")) == (0, VERSION, "")


@pytest.mark.e2e
def test_scripts_and_activate_name_the_place_of_the_environment(made):
    for name in ("bin/activate", "bin/gpusetup", "pyvenv.cfg"):
        text = (made / ".venv" / name).read_text()
        assert re.search(r"\.venv\.[0-9]", text) is None, name
    done = subprocess.run([made / ".venv/bin/gpusetup", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == VERSION


@pytest.mark.e2e
def test_an_upgraded_python_means_a_new_environment_once(made):
    (library,) = (made / ".venv/lib").glob("python3.*")
    library.rename(library.with_name("python3.1"))
    left = [made / f".venv.{suffix}" for suffix in ("4194305", "4194305.log", "old.4194305")]  # above any pid
    for path in left:
        path.mkdir()
    three_at_once(made)
    assert not any(path.exists() for path in left)
    old = hidden(made) - {".venv"}  # one start replaced it, and left it to whoever may be running in it
    assert [name.startswith(".venv.old.") for name in old] == [True]
    assert finish(start(made, "--version")) == (0, VERSION, "")


@pytest.mark.e2e
def test_a_clone_that_cannot_be_written_to_has_its_environment_in_the_cache(clone, tmp_path):
    clone.chmod(0o555)
    unprivileged = drop_privilege()
    code, out, err = finish(start(clone, "--version", before=unprivileged, XDG_CACHE_HOME=str(tmp_path / "cache")))
    assert (code, out) == (0, VERSION), err
    assert hidden(clone) == set()
    assert len(list((tmp_path / "cache/gpusetup").glob("*/.venv/made-in"))) == 1


def test_no_place_to_write_to_is_said(clone):
    clone.chmod(0o555)
    code, _, err = finish(start(clone, before=drop_privilege(), XDG_CACHE_HOME=str(clone)))
    assert code == 5
    assert "neither can be written to" in err
    assert "do   XDG_CACHE_HOME=" in err


def test_an_old_pip_without_ensurepip_and_uv_is_said(clone, tmp_path):
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh
case $* in
*ensurepip*) exit 1 ;;
*'-m pip --python'*) echo 'no such option: --python'; exit 2 ;;
esac
exec '{sys.executable}' "$@"
""")
    python.chmod(0o755)
    code, _, err = finish(start(clone, PATH=str(tools(tmp_path)), GPUSETUP_PYTHON=str(python)))
    assert code == 5
    assert "neither ensurepip nor pip 22.3 or newer" in err
    assert hidden(clone) == set()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-k", "plan"], ["-k", "plan", "{root}/tests"]),
        (["mine.py::test_it"], ["mine.py::test_it"]),
        (["--junitxml", "out.xml", "sub"], ["--junitxml", "out.xml", "sub"]),
    ],
)
def test_paths_to_run_tests_are_read_from_where_one_stands(clone, tmp_path, words, expected):
    (clone / "bootstrap.sh").write_text(f"make_environment() {{ env_python='{tools(tmp_path)}/echo'; }}\n")
    place = tmp_path / "place"
    (place / "sub").mkdir(parents=True)
    (place / "mine.py").touch()
    (place / "out.xml").touch()
    done = subprocess.run([clone / "run-tests", *words], cwd=place, capture_output=True, text=True, check=True)
    named = ["-m", "pytest", "-c", "{root}/pyproject.toml", "--rootdir", "{root}", *expected]
    assert done.stdout == " ".join(named).format(root=clone.resolve()) + "\n"
    done = subprocess.run([clone / "run-tests", *words], cwd=clone, capture_output=True, text=True, check=True)
    assert done.stdout == " ".join(["-m", "pytest", *words]) + "\n"


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


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_stopped_first_start_leaves_nothing(clone, number):
    child = start(clone, "--version")
    time.sleep(1)
    os.killpg(child.pid, number)
    assert finish(child)[0] == 128 + number
    assert hidden(clone) == set()


def test_a_missing_python_is_said(clone, tmp_path):
    code, _, err = finish(start(clone, "--version", PATH=str(tools(tmp_path))))
    assert code == 5
    assert "needs Python 3.10 or newer" in err


def tools(place: Path) -> Path:
    """A PATH with the shell's tools, without cmp and Python."""
    folder = place / "tools"
    folder.mkdir()
    for name in (*TOOLS, "echo"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def drop_privilege() -> tuple[str, ...]:
    """What to put before a command so that root, too, minds the modes of folders."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root, and no setpriv")
    return ("setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override")
