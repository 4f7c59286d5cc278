"""Every emitted document validates against its shipped schema; the schemas are those of the records."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from provision.cli import COMMANDS, run
from provision.documents.schema import document_schemas
from tests.bench.matrix import shipped

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "provision" / "schemas"


def schema_for(document: dict) -> dict:
    name = document["schema"].removeprefix("gpusetup.").replace("/", "-")
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_committed_schemas_are_generated_from_the_records():
    for name, schema in document_schemas().items():
        committed = json.loads((FOLDER / f"{name}.json").read_text())
        assert committed == json.loads(json.dumps(schema)), f"run python -m provision.documents.schema ({name})"
    assert {path.stem for path in FOLDER.glob("*.json")} == set(document_schemas())


def test_every_command_has_the_schema_of_its_document():
    for _, schema in COMMANDS.values():
        assert (FOLDER / f"{schema.replace('/', '-')}.json").exists()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda p: p.stem)
def test_schemas_are_schemas(path):
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "words",
    [
        ["detect"],
        ["check"],
        ["check", "--level", "instant", "--skip", "driver"],
        ["check", "--list"],
        ["check", "--only", "nonsense"],
        ["plan"],
        ["plan", "--gpu", "NVIDIA H100 80GB HBM3*8", "--driver", "535.104.05", "--python", "3.11"],
        ["plan", "--compute-capability", "3.5", "--driver", "470.82.01", "--python", "3.11"],
        ["plan", "--from", "/no/such/file"],
        ["plan", "--from", str(ROOT / "docs" / "examples" / "fleet")],
        ["plan", "--from", str(ROOT / "docs" / "examples" / "fleet"), "--cpu"],
        ["plan", "--from", str(ROOT / "tests" / "contract")],
        ["explain", "driver-too-old"],
        ["matrix", "show"],
        ["matrix", "show", "--gpu", "H100"],
        ["matrix", "show", "--torch", "2.9", "--cuda", "12", "--driver", "535.104.05"],
        ["matrix", "show", "--driver", "1"],
        ["matrix", "validate"],
        ["report", "show", "/no/such/file"],
        ["accept", "--env", "/no/such/env"],
        ["env", "list", "--env", "/no/such/env"],
        ["env", "rollback", "--env", "/no/such/env"],
        ["bundle", "verify", "/no/such/folder"],
        ["driver", "plan"],
        ["nonsense"],
        ["report", "nonsense"],
    ],
    ids=lambda words: " ".join(words).replace(str(ROOT), "."),
)
def test_what_a_command_emits_validates(words, capsys):
    code = run([*words, "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema_for(document), cls=jsonschema.Draft202012Validator)
    assert document["exit_code"] == code


def test_an_audit_without_an_index_is_a_document(monkeypatch, capsys):
    for name, value in (("PIP_CONFIG_FILE", os.devnull), ("UV_NO_CONFIG", "1"), ("NETRC", os.devnull)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    assert run(["matrix", "audit", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["command"]) == ("gpusetup.matrix-audit/1", "matrix audit")
    assert document["findings"][0]["id"] == "index-not-reachable"
    jsonschema.validate(document, schema_for(document), cls=jsonschema.Draft202012Validator)


def test_the_kept_audit_is_of_this_matrix_and_names_no_registry():
    text = (FOLDER.parents[1] / "benchmarks/matrix_audit/result.json").read_text()
    document = json.loads(text)
    jsonschema.validate(document, schema_for(document), cls=jsonschema.Draft202012Validator)
    assert "://" not in text
    assert document["data"]["matrix"]["revision"] == shipped().revision
    assert document["data"]["summary"]["drift"] == 0
    assert document["data"]["summary"]["same"] > 800
