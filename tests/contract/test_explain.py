"""Every id that a user can meet has a page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from provision.cli import run
from provision.explain import known_ids, page
from tests.bench.matrix import shipped

ROOT = Path(__file__).parents[2] / "provision"
ID = re.compile(r"[a-z]+(?:[-.][a-z_0-9]+)*")


def ids_in_source() -> set[str]:
    """Literal ids of errors (`code=...` and class attributes) and of findings (first argument)."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            values = []
            if isinstance(node, ast.Call):
                values += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                if isinstance(node.func, ast.Name) and node.func.id in ("Finding", "Criterion"):
                    values += node.args[:1]
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
                values.append(node.value)
            found |= {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}
    return found


def test_the_source_names_many_ids():
    assert len(ids_in_source()) > 20


@pytest.mark.parametrize("id_", sorted(ids_in_source()))
def test_every_id_in_the_source_has_a_page(id_):
    assert ID.fullmatch(id_)
    assert page(id_), id_


@pytest.mark.parametrize("id_", known_ids())
def test_pages_are_sentences(id_):
    text = page(id_)
    assert text[0].isupper() or text.startswith(("gpusetup", "torch", "uv"))
    assert text.rstrip().endswith((".", "`", ")", ":"))


def test_explain_prints_the_page(capsys):
    assert run(["explain", "driver-too-old"]) == 0
    assert capsys.readouterr().out.startswith("driver-too-old\n\n")


def test_a_near_miss_is_suggested(capsys):
    assert run(["explain", "driver-to-old"]) == 2
    assert "gpusetup explain driver-too-old" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("id_", "beginning", "part"),
    [
        ("xid-79", "GPU lost from the bus. ", "switch the machine off and on"),
        ("xid-154", "Driver names what is to be done. ", "`to 0x1 (`: reset, reset the GPU"),
        ("sxid-12020", "Sequence broken. ", "restart the machine"),
        ("nvml-18", "ERROR_LIB_RM_VERSION_MISMATCH: ", "Restart the machine"),
        ("cuda-803", "SystemDriverMismatch: ", "libcuda"),
    ],
)
def test_numbers_have_pages_with_their_source(id_, beginning, part):
    text = page(id_)
    assert text.startswith(beginning)
    assert part in text
    assert "\n\nFrom: " in text


def test_the_doubt_of_a_number_is_said():
    assert "\n\nNot certain: " in page("xid-56")


def test_every_number_of_the_matrix_has_a_page(monkeypatch):
    monkeypatch.setattr("provision.matrix.default_matrix", lambda _: shipped())  # once for all of them
    faults = shipped().faults
    numbered = {"xid": faults.xids, "sxid": faults.sxids, "nvml": faults.nvml_errors, "cuda": faults.cuda_errors}
    for kind, rows in numbered.items():
        for row in rows:
            assert page(f"{kind}-{row.number}").endswith("."), (kind, row.number)


@pytest.mark.parametrize("id_", ["xid-2", "xid-", "xid-79x", "sxid-1", "nvml-777", "cuda-1"])
def test_an_unknown_number_has_none(id_, capsys):
    assert page(id_) is None
    assert run(["explain", id_]) == 2
    assert f"Nothing has the id {id_!r}." in capsys.readouterr().err


def test_explain_prints_the_row_of_an_xid(capsys):
    assert run(["explain", "xid-79"]) == 0
    assert capsys.readouterr().out.startswith("xid-79\n\nGPU lost from the bus.")
