"""`gpusetup env` as people and scripts meet it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import jsonschema
import pytest
from pretended import SITE, Scene, order, pretend

from provision.cli import run
from provision.documents.environments import EnvironmentRow, EnvironmentsData
from provision.install.apply import install
from provision.records import PackageChange
from provision.report.environments import render_environments
from provision.report.style import Style

SCHEMA = Path(__file__).parents[3] / "provision/schemas/environments-1.json"


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = Scene(tmp_path)
    pretend(monkeypatch, [])
    for version in ("2.0.1", "2.1.0"):
        install(order(made.env, version))
    return made


@pytest.fixture
def told(capsys):
    """Runs a command; gives its exit code and document, which has to be a valid one."""

    def tell(*words):
        code = run([*words, "--json"])
        document = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, json.loads(SCHEMA.read_text()))
        return code, document

    return tell


def test_list_rollback_and_remove(scene, told):
    option = ("--env", str(scene.env))
    code, document = told("env", "list", *option)
    new, old = (row["name"] for row in document["data"]["environments"])
    assert (code, document["data"]["current"], document["data"]["path"]) == (0, new, str(scene.env))
    code, document = told("env", "rollback", *option)
    assert (code, document["data"]["current"]) == (0, old)
    code, document = told("env", "remove", *option, "--name", old, "--yes")
    assert (code, document["findings"][0]["id"]) == (5, "environment-current")
    code, document = told("env", "remove", *option, "--name", new, "--yes")
    assert (code, document["data"]["removed"], len(document["data"]["environments"])) == (0, [new], 1)
    code, document = told("env", "remove", *option, "--yes")
    assert (code, document["data"]["removed"], document["data"]["current"]) == (0, [old], None)
    assert list(scene.folder.iterdir()) == []


def test_the_place_is_that_of_install(scene, told, monkeypatch):
    monkeypatch.setenv("GPUSETUP_ENV", str(scene.env))
    assert told("env", "list")[1]["data"]["path"] == str(scene.env)


def test_a_damaged_one_says_how(scene, told):
    old = scene.store.finished()[1]
    (old / SITE / "torch/__init__.py").unlink()
    code, document = told("env", "rollback", "--env", str(scene.env))
    (finding,) = document["findings"]
    assert (code, finding["id"]) == (5, "environment-damaged")
    assert finding["do"]["safe"][1].endswith(f"gpusetup env rollback --env {scene.env} --to {old.name}")
    assert told("env", "rollback", "--env", str(scene.env), "--to", old.name)[0] == 0


def test_nothing_is_removed_where_nobody_can_be_asked(scene, told, capsys, monkeypatch):
    assert told("env", "remove", "--env", str(scene.env))[0] == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(["env", "remove", "--env", str(scene.env)]) == 2
    assert "found no terminal to ask at, expected --yes" in " ".join(capsys.readouterr().err.split())
    assert len(scene.store.finished()) == 2


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 130, 2), ("", 130, 2), ("y\n", 0, 0)])
def test_a_person_is_asked(scene, capsys, monkeypatch, answer, code, left):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    names = [folder.name for folder in scene.store.finished()]
    assert run(["env", "remove", "--env", str(scene.env)]) == code
    asked = capsys.readouterr().err.splitlines()[0]
    assert asked == f"To be removed behind {scene.env}: {names[0]} (current), {names[1]}"
    assert len(scene.store.finished()) == left


ROW = EnvironmentRow(
    name="20261124T101500.250000",
    path="/srv/.env.gpusetup/20261124T101500.250000",
    is_current=True,
    state="whole",
    damage=None,
    torch="2.9.1",
    variant="cu130",
    python="3.12.3",
    backend="uv",
    made_at="2026-11-24T10:15:00Z",
    own_bytes=150 * 2**20,
    shared_bytes=6 * 2**30,
    changes=(PackageChange("jupyter", "1.1.1", None, "jupyter==1.1.1"),),
)
SHOWN = """\
env      /srv/env
ok       20261124T101500.250000  whole, current  torch 2.9.1+cu130
         Python 3.12.3  uv  150 MiB and 6.0 GiB shared
         added since: jupyter
FAIL     20261123T090000.120000  damaged  0 MiB and 0 MiB shared
         its receipt is missing or can't be read
ok       current: 20261124T101500.250000
"""


def test_how_they_are_shown():
    damaged = EnvironmentRow(
        *("20261123T090000.120000", "/srv/x", False, "damaged", "its receipt is missing or can't be read"),
        *(None, None, None, None, None, 0, 0),
    )
    data = EnvironmentsData("/srv/env", ROW.name, (ROW, damaged))
    assert render_environments(data, Style(width=80)) == SHOWN.rstrip("\n")
