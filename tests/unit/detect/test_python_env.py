from __future__ import annotations

import os
import sys

import pytest

from provision.detect.python_env import (
    detect_python,
    parse_executable_name,
    parse_pyenv_name,
    parse_uv_name,
    running_interpreter,
)
from provision.detect.surroundings import Surroundings


def executable(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 9\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("python3.12", ("3.12", "cpython", False)),
        ("python3.13t", ("3.13", "cpython", True)),
        ("pypy3.10", ("3.10", "pypy", False)),
        ("python3.12-config", None),
        ("python3", None),
        ("python2.7", None),
    ],
)
def test_executable_names(name, found):
    assert parse_executable_name(name) == found


def test_folder_names_of_pyenv_and_uv():
    assert parse_pyenv_name("3.12.1") == ("3.12.1", "cpython", False)
    assert parse_pyenv_name("3.14.0rc2t") == ("3.14.0rc2", "cpython", True)
    assert parse_pyenv_name("pypy3.10-7.3.12") == ("3.10", "pypy", False)
    assert parse_pyenv_name("miniconda3-3.11-24.1.2-0") is None
    assert parse_uv_name("cpython-3.13.0+freethreaded-linux-x86_64-gnu") == ("3.13.0", "cpython", True)
    assert parse_uv_name("cpython-3.12-linux-x86_64-gnu") is None
    assert parse_uv_name("cpython-3.12.4-linux-x86_64-musl") is None


def test_running_interpreter_is_the_base_one():
    running = running_interpreter()
    assert running.minor == sys.version_info[:2]
    assert os.path.realpath(running.executable) == os.path.realpath(sys._base_executable)


def test_interpreters_are_found_by_name_newest_first_and_never_started(tmp_path):
    home = tmp_path / "home"
    executable(home / ".pyenv/versions/3.12.1/bin/python3")
    executable(home / ".pyenv/shims/python3.9")
    executable(home / ".local/share/uv/python/cpython-3.13.0-linux-x86_64-gnu/bin/python3")
    executable(tmp_path / "bin/python3.10")
    executable(tmp_path / "bin/python3.14t")
    executable(tmp_path / "venv/bin/python3.8")
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "bin/python3.12").symlink_to(home / ".pyenv/versions/3.12.1/bin/python3")
    path = os.pathsep.join(str(one) for one in (home / ".pyenv/shims", tmp_path / "venv/bin", tmp_path / "bin"))
    around = Surroundings(root=tmp_path / "empty", environ={"HOME": str(home), "PATH": path})
    _, others, readings = detect_python(around)
    assert [one.version for one in others] == ["3.13.0", "3.12.1", "3.10", "3.14"]
    assert others[-1].is_free_threaded
    assert sum(reading.name == "python.other" for reading in readings) == 4


def test_file_without_execute_permission_is_no_interpreter(tmp_path):
    (tmp_path / "python3.10").write_text("")
    around = Surroundings(root=tmp_path / "empty", environ={"PATH": str(tmp_path)})
    assert detect_python(around)[1] == ()
