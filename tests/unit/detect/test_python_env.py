from __future__ import annotations

import os
import sys

import pytest

from provision.detect.python_env import (
    detect_python,
    parse_conda_name,
    parse_executable_name,
    parse_pyenv_name,
    parse_uv_name,
    running_interpreter,
)
from provision.detect.surroundings import Kernel, Surroundings


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


def test_interpreters_of_conda_and_opt_stand_behind(tmp_path):
    root, home = tmp_path / "root", tmp_path / "home"
    base, named, elsewhere = home / "miniconda3", home / "miniconda3/envs/old", tmp_path / "srv/env"
    records = {
        base: "python-3.12.9-h5148396_0.json",
        named: "python-3.9.19-0_73_pypy.json",
        elsewhere: "python-3.11.9-hb806964_0_cpython.json",
    }
    for place, record in records.items():
        executable(place / "bin/python3")
        (place / "conda-meta").mkdir()
        for name in (record, "python-dateutil-2.9.0-py312h06a4308_2.json", "history"):
            (place / "conda-meta" / name).write_text("{}")
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{base}\n{elsewhere}\nnot a path\n")
    executable(root / "usr/bin/python3.11")
    executable(root / "opt/python/3.13.2/bin/python3.13")
    around = Surroundings(root=root, environ={"HOME": str(home)})
    _, others, _ = detect_python(around)
    assert [(one.version, one.implementation) for one in others] == [
        ("3.13", "cpython"),
        ("3.12.9", "cpython"),
        ("3.11", "cpython"),
        ("3.11.9", "cpython"),
        ("3.9.19", "pypy"),
    ]
    assert others[2].executable == str(root / "usr/bin/python3.11"), "the system's before conda's"


def test_names_of_condas_records():
    assert parse_conda_name("python-3.13.1-h9a34b6e_5_cp313t.json") == ("3.13.1", "cpython", True)
    assert parse_conda_name("python-3.13.1-h4f43103_105_cp313.json") == ("3.13.1", "cpython", False)
    assert parse_conda_name("python-3.14.0rc2-h5b2de51_0_cp314.json") == ("3.14.0rc2", "cpython", False)
    assert parse_conda_name("python-dateutil-2.9.0-py_0.json") is None
    assert parse_conda_name("python_abi-3.12-5_cp312.json") is None


def elf(path, *, bits=64, machine=62):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = b"\x7fELF" + bytes([bits // 32, 1, 1, *[0] * 9, 2, 0]) + machine.to_bytes(2, "little")
    path.write_bytes(head + b"\0" * 44)
    path.chmod(0o755)
    return path


def test_what_no_environment_can_be_made_from_is_named_with_its_reason(tmp_path):
    folder = tmp_path / "bin"
    elf(folder / "python3.13")
    elf(folder / "python3.12", bits=32)
    elf(folder / "python3.11", machine=183)
    (folder / "python3.10").symlink_to("/nowhere/python3.10")
    elf(folder / "python3.9").chmod(0o644)
    (folder / "python3.8").write_text("no program")
    (folder / "python3.8").chmod(0o755)
    (folder / "python3.7").mkdir()
    home = tmp_path / "home"
    (home / ".pyenv/versions/3.14.0/lib").mkdir(parents=True)
    around = Surroundings(
        root=tmp_path / "empty",
        environ={"PATH": str(folder), "HOME": str(home)},
        kernel=Kernel("Linux", "6.1", "x86_64", "box"),
    )
    _, others, readings = detect_python(around)
    assert [one.version for one in others] == ["3.13"]
    found = {reading.failure for reading in readings if reading.name == "python.unusable"}
    assert found == {
        f"3.14.0 {home}/.pyenv/versions/3.14.0/bin/python3: no file",
        f"3.12 {folder}/python3.12: a 32-bit build; torch has 64-bit wheels only",
        f"3.11 {folder}/python3.11: built for aarch64, this machine is x86_64",
        f"3.10 {folder}/python3.10: a link that leads nowhere",
        f"3.9 {folder}/python3.9: this user may not execute it",
        f"3.8 {folder}/python3.8: it is not a program",
        f"3.7 {folder}/python3.7: no file",
    }


def test_snapshot_of_an_earlier_release_has_no_reasons(tmp_path):
    row = ["/usr/bin", "3.12", "cpython", False, "/usr/bin/python3.12", "/usr/bin/python3.12"]
    around = Surroundings(root=tmp_path, environ={})
    around.answer("python.interpreters", lambda: [["running interpreter", *row[1:]], [*row[:5], "/elsewhere"]])
    assert [one.version for one in detect_python(around)[1]] == ["3.12"]
