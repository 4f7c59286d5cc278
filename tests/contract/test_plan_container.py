"""`gpusetup plan --container`: the document, the words, and what refuses it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from provision.cli import run

H100 = ["--gpu", "NVIDIA H100 80GB HBM3", "--driver", "535.104.05", "--arch", "x86_64", "--os", "ubuntu 22.04"]
SCHEMA = Path(__file__).parents[2] / "provision" / "schemas" / "plan-1.json"


def document(capsys, *words):
    code = run(["plan", "--container", *words, "--json"])
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert found["exit_code"] == code
    return found


def test_the_document_holds_the_image_and_what_is_inside(capsys):
    data = document(capsys, *H100)["data"]
    assert data["container"]["image"] == "pytorch/pytorch:2.14.0-cuda12.6-cudnn9-runtime"
    assert data["container"]["basis"] == "minor-version"
    assert data["container"]["platform"] == "linux/amd64"
    assert data["container"]["digest"] is None
    assert "--gpus all" in data["container"]["run_flags"]
    assert (data["torch"], data["variant"], data["cuda_runtime_version"]) == ("2.14.0", "cu126", "12.6")
    assert data["python"] is None
    assert (data["build"], data["wheel_tag"], data["sources"]) == (None, None, [])
    assert data["requirements"] == ["transformers>=4.48,<6", "safetensors>=0.3.1"]
    assert data["request"]["container"] is True
    assert data["availability"] == "not looked"


def test_what_was_passed_over_is_newer_and_names_its_image_and_rule(capsys):
    rows = document(capsys, *H100)["data"]["passed_over"]
    assert {row["torch"] for row in rows} == {"2.14.0", "2.14.1"}
    assert {row["rule"] for row in rows} == {"image-driver-too-old", "image-fact-unknown"}
    row = next(row for row in rows if row["image"] == "pytorch/pytorch:2.14.0-cuda13.0-cudnn9-runtime")
    assert (row["found"], row["needs"]) == ("driver 535.104.05", "driver 580.65.06 or newer")


def test_no_image_is_exit_4_with_reasons_and_unlocks(capsys):
    found = document(capsys, "--gpu", "RTX 4090", "--driver", "470.82.01")
    assert (found["exit_code"], found["status"]) == (4, "failed")
    assert (found["data"]["torch"], found["data"]["container"]) == (None, None)
    assert "image-needs-data-center-gpu" in {row["rule"] for row in found["data"]["passed_over"]}
    assert [row["to"] for row in found["data"]["unlocks"]] == ["520", "525.60.13"]
    assert found["findings"][0]["happened"] == "No image in the matrix fits this machine and this request."


def test_a_plan_of_wheels_has_no_container(capsys):
    assert run(["plan", *H100, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["container"] is None
    assert data["build"]["torch"] == data["torch"]


def test_top_names_the_next_best_images(capsys):
    rows = document(capsys, *H100, "--top", "3")["data"]["alternatives"]
    assert [row["container"]["image"] for row in rows] == [
        "pytorch/pytorch:2.14.0-cuda12.6-cudnn9-devel",
        "pytorch/pytorch:2.13.0-cuda12.6-cudnn9-runtime",
        "pytorch/pytorch:2.13.0-cuda12.6-cudnn9-devel",
    ]
    assert (rows[0]["torch"], rows[0]["variant"], rows[0]["wheel_tag"]) == ("2.14.0", "cu126", None)


def test_why_not_tells_of_an_image_that_is_older_than_the_choice(capsys):
    rows = document(capsys, *H100, "--why-not", "2.9.1+cu128", "--why-not", "2.13.0+cu130")["data"]["passed_over"]
    said = {(row["image"].partition(":")[2], row["rule"]) for row in rows if row["torch"] in ("2.9.1", "2.13.0")}
    assert ("2.9.1-cuda12.8-cudnn9-runtime", "newest-torch") in said
    assert ("2.13.0-cuda13.0-cudnn9-runtime", "image-driver-too-old") in said


def test_why_not_of_an_image_that_does_not_exist_is_refused(capsys):
    assert document(capsys, *H100, "--why-not", "2.15.0")["exit_code"] == 2


def test_people_get_the_line_that_runs_it(capsys):
    assert run(["plan", "--container", *H100]) == 0
    text = " ".join(capsys.readouterr().out.split())
    image = "pytorch/pytorch:2.14.0-cuda12.6-cudnn9-runtime"
    assert f"docker run --rm -it --gpus all --ipc=host --ulimit memlock=-1 --ulimit stack=67108864 {image}" in text
    assert "1 image chosen" in text


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--check-sources"], 2),
        (["--cuda", "nonsense"], 2),
        (["--cpu"], 4),
        (["--torch", "1.0"], 4),
        (["--require-gpu", "2"], 3),
    ],
)
def test_what_does_not_go_with_an_image(words, code, capsys):
    assert document(capsys, *H100, *words)["exit_code"] == code


def test_install_refuses_a_plan_of_an_image(tmp_path, capsys):
    made = document(capsys, *H100)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    assert run(["install", str(path), "--env", str(tmp_path / "env"), "--json"]) == 2
    finding = json.loads(capsys.readouterr().out)["findings"][0]
    assert finding["id"] == "usage"
    assert "plans the image pytorch/pytorch:2.14.0-cuda12.6-cudnn9-runtime" in finding["happened"]
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize("rule", ["image-driver-too-old", "image-fact-unknown", "forward-compatibility"])
def test_rules_of_images_have_pages(rule, capsys):
    assert run(["explain", rule]) == 0
    assert capsys.readouterr().out.startswith(f"{rule}\n\n")
