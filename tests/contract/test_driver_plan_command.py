"""`gpusetup driver plan`: machines from words and files, forms, the document, and what refuses it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from provision.cli import run

SCHEMA = Path(__file__).parents[2] / "provision" / "schemas" / "driver-plan-1.json"
T4 = ["--gpu", "Tesla T4", "--os", "ubuntu 24.04"]


def document(capsys, *words):
    code = run(["driver", "plan", *words, "--json"])
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert found["exit_code"] == code
    return found


def test_the_document_has_the_steps_as_commands_and_as_data(capsys):
    data = document(capsys, *T4, "--branch", "580")["data"]
    assert (data["branch"], data["kernel_module"], data["architectures"]) == (580, "open", ["Turing"])
    assert (data["distribution"], data["source"], data["found"]) == ("ubuntu 24.04", "distro", None)
    driver = next(step for step in data["steps"] if step["id"] == "driver")
    assert driver["command"].startswith("apt-get install --yes linux-modules-nvidia-580-server-open-generic ")
    assert driver["undo"].startswith("apt-get remove --yes ")
    assert driver["actions"][0]["kind"] == "packages"
    assert all(proof["argv"] and proof["means"] for proof in [*driver["needs"], *driver["done_when"]])
    assert [step["is_reboot"] for step in data["steps"]][-1] is True


def test_a_typed_machine_has_no_driver_unless_one_was_typed(capsys):
    assert document(capsys, *T4)["data"]["steps"]
    assert document(capsys, *T4, "--driver", "580.95.05")["data"]["steps"] == []


def test_a_machine_document_and_a_paste_are_taken(capsys, tmp_path):
    path = tmp_path / "machine.json"
    path.write_text(
        json.dumps({"host": {"os": "debian", "os_version": "12", "arch": "x86_64"}, "gpus": [{"name": "NVIDIA A10"}]})
    )
    assert document(capsys, "--from", str(path))["data"]["distribution"] == "debian 12"


@pytest.mark.parametrize(
    ("form", "beginning"), [("text", "driver   branch "), ("sh", "#!/bin/sh\n"), ("cloud-init", "#cloud-config\n")]
)
def test_forms(form, beginning, capsys):
    assert run(["driver", "plan", *T4, "--format", form]) == 0
    assert capsys.readouterr().out.startswith(beginning)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([*T4, "--with", "beer"], 2, "--with: found 'beer'"),
        ([*T4, "--with", "container-toolkit=2"], 2, "--with: found 'container-toolkit=2'"),
        ([*T4, "--branch", "1"], 2, "no driver branch 1"),
        (["--gpu", "Tesla T4", "--os", "wsl"], 4, "that of Windows"),
        (["--gpu", "Tesla T4", "--os", "windows"], 4, "for Linux"),
        (["--gpu", "Tesla T4", "--os", "jetpack 6.2"], 4, "comes with JetPack"),
        (["--gpu", "Tesla T4", "--os", "alpine 3.20"], 4, "steps of alpine 3.20 are not written"),
        (["--gpu", "Tesla T4", "--os", "rhel 10"], 4, "fingerprint"),
        (["--os", "ubuntu 24.04"], 3, "no driver is needed"),
    ],
)
def test_refusals_have_their_exit_code_and_their_reason(words, code, said, capsys):
    assert run(["driver", "plan", *words]) == code
    assert said in " ".join(capsys.readouterr().err.split())
