"""The Python of an environment: asked before it is used, named where it is missing, fetched where that was said."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

import pytest
from install_orders import PYTHON

from provision.errors import InstallError
from provision.install.apply import install, rehearse
from provision.install.backends import Step
from provision.install.interpreters import Answer, interpreters_of, system_steps, why_not
from provision.install.pythons import PythonChoice, ask, chosen_python
from provision.install.running import Completed
from provision.records import Host, Interpreter, Reading

HOST = Host(os="ubuntu", os_version="24.04")


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def wrapper(path):
    """An interpreter that is not the one that runs the tests, and is it all the same."""
    return program(path, f'exec {sys.executable} "$@"')


def choice(python, *executables, **more):
    there = tuple(Interpreter(python.removesuffix("t"), executable=one) for one in executables)
    return PythonChoice(python, there, more.pop("backend", "uv"), more.pop("host", HOST), **more)


def test_an_interpreter_says_what_it_is():
    found = ask(sys.executable, backend="pip")
    assert (found.failure, found.bits, found.lacks) == (None, 64, ())
    assert found.tag == f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert found.version == sys.version.split()[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sleep 60", "it gave no answer within 0.3 s"),
        ("kill -SEGV $$", "it ended with signal 11"),
        ("echo pyenv: version is not installed >&2; exit 127", "it ended with exit status 127: pyenv: version is not"),
        ("echo hello", "what it printed is not an answer"),
        ("echo '{\"minor\": 3}'", "what it printed is not an answer"),
    ],
)
def test_crashing_hanging_and_babbling_interpreters_are_answers_too(tmp_path, text, said):
    start = time.monotonic()
    found = ask(program(tmp_path / "python", text), backend="uv", deadline_s=0.3 if "sleep" in text else 10)
    assert (found.failure or "").startswith(said), found
    assert time.monotonic() - start < 5


def test_file_that_is_not_a_program(tmp_path):
    (tmp_path / "python").write_bytes(b"\x7fELF not really")
    (tmp_path / "python").chmod(0o755)
    assert (ask(str(tmp_path / "python"), backend="uv").failure or "").startswith("it cannot be started: ")


@pytest.mark.parametrize(
    ("answer", "python", "reason"),
    [
        (Answer("3.12.1", "cp312"), "3.12", None),
        (Answer("3.12.1", "cp312", bits=32), "3.12", "a 32-bit build; torch has 64-bit wheels only"),
        (Answer("3.14.0", "cp314t"), "3.14", "it is cp314t 3.14.0, not Python 3.14"),
        (Answer("3.10.14", "pp310"), "3.10", "it is pp310 3.10.14, not Python 3.10"),
        (Answer("3.12.1", "cp312", lacks=("ctypes", "ssl")), "3.12", "its standard library lacks ctypes, ssl"),
    ],
)
def test_reasons_against_an_interpreter(answer, python, reason):
    assert why_not(answer, python) == reason


def test_free_threaded_and_other_implementations_do_not_stand_in():
    usual, free = Interpreter("3.14.0", executable="/a"), Interpreter("3.14.0", is_free_threaded=True, executable="/b")
    there = (Interpreter("3.14.0", "pypy", executable="/c"), free, Interpreter("3.14"), usual)
    assert interpreters_of("3.14", there) == (usual,)
    assert interpreters_of("3.14t", there) == (free,)


def test_the_next_one_is_taken_where_the_first_will_not_do(tmp_path):
    bad, good = program(tmp_path / "bad/python3", "exit 3"), wrapper(tmp_path / "good/python3")
    assert chosen_python(choice(PYTHON, bad, good)).executable == good


def test_none_will_do(tmp_path):
    lacking = program(
        tmp_path / "python3",
        """echo '{"version": "3.12.1", "implementation": "cpython", "minor": [3, 12], "free": false, "bits": 64,
        "lacks": ["_ctypes", "venv"]}'""",
    )
    broken = program(tmp_path / "other/python3", "exit 3")
    with pytest.raises(InstallError) as caught:
        chosen_python(choice("3.12", lacking, broken, backend="pip"))
    assert caught.value.code == "python-unusable"
    assert caught.value.exit_code == 5
    assert [(item.name, item.value) for item in caught.value.evidence] == [
        (lacking, "its standard library lacks ctypes, venv"),
        (broken, "it ended with exit status 3"),
    ]
    assert "--python-download" in " ".join(caught.value.do)
    assert caught.value.risky == ("sudo apt-get install python3.12",)


@pytest.mark.parametrize(
    ("os_name", "version", "python", "steps"),
    [
        ("ubuntu", "24.04", "3.12", ("sudo apt-get install python3.12",)),
        (
            "ubuntu",
            "22.04",
            "3.12",
            (
                "sudo add-apt-repository ppa:deadsnakes/ppa",
                "sudo apt-get update && sudo apt-get install python3.12",
            ),
        ),
        ("ubuntu", "25.04", "3.12", ()),
        ("debian", "12", "3.11", ("sudo apt-get install python3.11",)),
        ("debian", "12", "3.12", ()),
        ("rocky", "9.4", "3.12", ("sudo dnf install python3.12",)),
        ("rhel", "9.4", "3.13", ()),
        ("amzn", "2023", "3.13", ("sudo dnf install python3.13",)),
        ("fedora", "42", "3.10", ("sudo dnf install python3.10",)),
        ("fedora", "42", "3.14t", ()),
        ("arch", None, "3.12", ()),
    ],
)
def test_commands_of_the_distribution(os_name, version, python, steps):
    assert system_steps(python, Host(os=os_name, os_version=version)) == steps


def test_missing_python_names_what_is_there_and_every_cure(order):
    unusable = Reading("python.unusable", "pyenv", failure="3.9.1 /p/python3: a 32-bit build")
    wanted = replace(
        order(),
        interpreters=(Interpreter("3.6.15", executable="/usr/bin/python3.6"),),
        unusable_pythons=(unusable,),
        host=Host(os="fedora", os_version="42"),
    )
    with pytest.raises(InstallError) as caught:
        install(wanted)
    error = caught.value
    assert (error.code, error.exit_code) == ("python-missing", 5)
    assert error.happened == f"Python {PYTHON} is not on this machine."
    there, of_no_use = error.evidence
    assert (there.value, there.needs) == (("3.6.15 /usr/bin/python3.6",), PYTHON)
    assert (of_no_use.value, of_no_use.source) == (unusable.failure, "pyenv")
    assert "--python-download" in error.do[0]
    assert error.risky == (f"sudo dnf install python{PYTHON}",)


def test_chosen_interpreter_that_hangs_is_not_waited_for(tmp_path):
    with pytest.raises(InstallError) as caught:
        chosen_python(choice(PYTHON, program(tmp_path / "python3", "sleep 60")), deadline_s=0.2)
    assert caught.value.evidence[0].value == "it gave no answer within 0.2 s"


# --- fetching


def step(uv, tmp_path):
    argv = (uv, "python", "install", "--no-bin", PYTHON)
    return Step("python", argv, {"PATH": os.environ["PATH"]})


def test_fetched_python_is_asked_for_by_uv(tmp_path):
    uv = program(tmp_path / "uv", f'test "$UV_PYTHON_DOWNLOADS" = never && echo {sys.executable}')
    ran = []

    def fetch(one):
        ran.append(one.argv)
        return Completed(one.argv, 0, (), 0.1)

    found = chosen_python(choice(PYTHON), step=step(uv, tmp_path), run_step=fetch)
    assert found == Interpreter(PYTHON, executable=sys.executable)
    assert ran == [(uv, "python", "install", "--no-bin", PYTHON)]


@pytest.mark.parametrize(
    ("lines", "code", "evidence"),
    [
        (("error: No download found for request: cpython-3.99-linux",), "python-missing", "uv knows none for this"),
        (("error: Request failed", "  cause: dns error"), "python-download-failed", "error: Request failed\n  cause"),
    ],
)
def test_python_that_cannot_be_fetched(tmp_path, lines, code, evidence):
    with pytest.raises(InstallError) as caught:
        chosen_python(
            choice(PYTHON),
            step=step("/nowhere/uv", tmp_path),
            run_step=lambda one: Completed(one.argv, 1, lines, 0.1),
        )
    assert caught.value.code == code
    assert str(caught.value.evidence[-1].value).startswith(evidence)


def test_rehearsal_fetches_nothing_and_says_that_it_would(order, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    rehearsal = rehearse(replace(order(), interpreters=(), python_download=True))
    assert [label for label, _ in rehearsal.steps] == ["python", "venv", "install"]
    assert rehearsal.steps[0][1][1:] == ("python", "install", "--no-bin", PYTHON)
    assert not (tmp_path / "pythons").exists()


def test_without_the_option_nothing_is_fetched(order, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "automatic")
    with pytest.raises(InstallError, match="is not on this machine"):
        install(replace(order(), interpreters=()))
    assert not (tmp_path / "pythons").exists()
