"""`check`, `snapshot` and `expect` as people and scripts use them, on snapshots of boxes and on this machine."""

from __future__ import annotations

import json
import shutil

import jsonschema
import pytest

from provision.cli import run
from provision.documents.schema import document_schemas
from tests.boxes.healthy import BOXES, h100x8, l40s, t4

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

SCHEMAS = document_schemas()


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def box_file(tmp_path):
    def write(box, level="quick"):
        path = tmp_path / f"{box.name}.json"
        path.write_text(json.dumps(box.document(level)))
        return str(path)

    return write


def answer(capsys, *words):
    code = run([*words, "--json"])
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, SCHEMAS[value["schema"].removeprefix("gpusetup.").replace("/", "-")])
    return code, value


@pytest.mark.parametrize("make", BOXES, ids=lambda make: make.__name__)
def test_a_healthy_machine_ends_with_0_and_no_cause(make, box_file, capsys):
    code, value = answer(capsys, "check", "--from", box_file(make()), "--strict")
    assert (code, value["data"]["cause"]) == (0, None)
    assert {row["status"] for row in value["findings"]} <= {"unknown"}
    assert value["data"]["summary"]["pass"] + value["data"]["summary"]["skip"] > 10


def test_a_sick_machine_ends_with_1_and_leads_with_its_cause(box_file, capsys):
    sick = l40s().nvml(**{"err.nvmlInitWithFlags": 18, "err.nvmlInit_v2": 18})
    code, value = answer(capsys, "check", "--from", box_file(sick))
    assert (code, value["data"]["cause"]) == (1, "driver.kmd_umd_match")
    assert value["findings"][0]["id"] == "driver.kmd_umd_match"
    assert "driver.nvml_init" in value["data"]["folded"]


def test_a_gpu_that_is_asked_for_and_missing_is_3(box_file, capsys):
    sick = l40s().nvml(**{"1.err.*": 15})
    assert run(["check", "--from", box_file(sick), "--require-gpu=2"]) == 3
    assert "1 usable GPU" in capsys.readouterr().err


def test_a_snapshot_plans_and_detects_too(box_file, capsys):
    path = box_file(h100x8())
    code, value = answer(capsys, "detect", "--from", path)
    assert (code, len(value["data"]["gpus"])) == (0, 8)
    code, value = answer(capsys, "plan", "--from", path)
    assert (code, value["data"]["variant"][:2]) == (0, "cu")


def test_a_snapshot_of_this_machine_is_a_document_and_is_checked_like_the_machine(tmp_path, capsys):
    path = tmp_path / "here.json"
    assert run(["snapshot", str(path)]) == 0
    jsonschema.validate(json.loads(path.read_text()), SCHEMAS["snapshot-1"])
    capsys.readouterr()
    _, there = answer(capsys, "check", "--from", str(path))
    _, here = answer(capsys, "check")
    told = [[(row["id"], row["status"]) for row in one["data"]["checks"]] for one in (there, here)]
    assert told[0] == told[1]


def test_a_redacted_snapshot_says_so_and_names_nobody(box_file, tmp_path, capsys):
    code, value = answer(capsys, "snapshot", "--redact", "--level", "instant")
    assert (code, value["data"]["is_redacted"], value["data"]["kernel"]["hostname"]) == (0, True, "host")


def test_expectations_travel(box_file, tmp_path, capsys):
    team = tmp_path / "team.json"
    assert run(["expect", "create", str(team), "--from", box_file(l40s())]) == 0
    jsonschema.validate(json.loads(team.read_text()), SCHEMAS["expectation-1"])
    capsys.readouterr()
    code, value = answer(capsys, "expect", "check", str(team), "--from", box_file(l40s()))
    assert (code, value["data"]["summary"]["fail"]) == (0, 0)
    code, value = answer(capsys, "check", "--expect", str(team), "--from", box_file(t4("535.183.01")))
    assert code == 1
    assert {row["id"] for row in value["data"]["checks"] if row["status"] == "fail"} >= {"expect.gpus", "expect.driver"}


def test_a_broken_file_of_expectations_is_7_with_its_place(tmp_path, capsys):
    team = tmp_path / "team.json"
    run(["expect", "create", str(team)])
    value = json.loads(team.read_text())
    value["data"]["facts"].append({"name": "gpu.colour", "must_be": "equal", "value": "green", "unit": None})
    team.write_text(json.dumps(value))
    capsys.readouterr()
    assert run(["expect", "check", str(team)]) == 7
    assert "data.facts" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--fix", "--from", "x.json"),
        ("--yes",),
        ("--fix", "--nagios"),
        ("--env", "/nowhere"),
        ("--level", "never"),
        ("--only", "gpu.nothing"),
    ],
)
def test_words_that_do_not_fit_are_2(words, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code = run(["check", *words])
    assert code == (3 if "--nagios" in words else 2)
    capsys.readouterr()


def test_instant_asks_no_driver(box_file, capsys):
    code, value = answer(capsys, "check", "--from", box_file(l40s(), "instant"), "--level", "instant")
    assert code == 0
    assert value["data"]["level"] == "instant"
    assert {row["id"] for row in value["data"]["checks"]}.isdisjoint({"driver.nvml_init", "gpu.mig_state"})


def test_fix_on_a_healthy_machine_says_that_nothing_is_to_mend(capsys):
    assert run(["check", "--fix", "--yes", "--only", "wheel.*"]) == 0
    assert "There is nothing to mend." in capsys.readouterr().err
