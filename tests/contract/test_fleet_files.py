"""Folders and JSON lines of many machines, broken ones among them: what can't be read is a row, never the end."""

from __future__ import annotations

import io
import json
import os
import sys
from types import SimpleNamespace

import pytest

from provision.cli import run
from provision.commands import fleets

BOX = {"host": {"hostname": "a"}, "python": {"version": "3.12.3"}, "driver": {"driver_version": "580.82.07"}}
BOX |= {"gpus": [{"name": "NVIDIA L40S"}]}
TABLE = """\
| NVIDIA-SMI 570.133.20    Driver Version: 570.133.20    CUDA Version: 12.8 |
|   0  NVIDIA L40S    Off  | 00000000:01:00.0 Off |                       0 |
"""


def named(name: str, **more) -> dict:
    return BOX | {"host": {"hostname": name}} | more


def planned(path, capsys, *words: str) -> tuple[int, dict]:
    code = run(["plan", "--from", str(path), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def rows_of(document: dict) -> list[tuple[str, str | None]]:
    return [(row["name"], row["error"] and row["error"]["happened"]) for row in document["data"]["machines"]]


def test_every_file_of_a_folder_in_the_order_of_names(tmp_path, capsys):
    (tmp_path / "b.json").write_text(json.dumps(named("second")))
    (tmp_path / "a.txt").write_text(TABLE)
    (tmp_path / "c.json").write_bytes(json.dumps({"schema": "gpusetup.machine/1", "data": BOX}).encode())
    (tmp_path / "d.jsonl").write_text(json.dumps(named("d1")) + "\n\n" + json.dumps(named("d2")) + "\n")
    (tmp_path / ".hidden.json").write_text("nonsense")
    (tmp_path / "rack").mkdir()
    (tmp_path / "rack" / "e.json").write_text("nonsense")
    code = run(["plan", "--from", str(tmp_path), "--json"])
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (code, document["schema"], document["status"]) == (0, "gpusetup.fleet-plan/1", "ok")
    assert rows_of(document) == [("a.txt", None), ("second", None), ("a", None), ("d1", None), ("d2", None)]
    assert document["data"]["machines"][3]["source"] == f"{tmp_path}/d.jsonl:1"
    assert captured.err == "Sub-folders are not entered; 1 left out.\n"


def test_broken_files_are_rows_and_the_rest_is_planned(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fleets, "LARGEST_FILE", 2000)
    (tmp_path / "good.json").write_text(json.dumps(BOX))
    (tmp_path / "cut.json").write_text('{"gpus": [')
    (tmp_path / "deep.json").write_text('{"gpus": ' + "[" * 1900)
    (tmp_path / "large.json").write_text(" " * 2001)
    (tmp_path / "latin.json").write_bytes(b'{"host": {"hostname": "caf\xe9"}}')
    (tmp_path / "notes.txt").write_text("buy more GPUs\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "typed.json").write_text('{"gpus": [{"index": "one"}]}')
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "out.json").symlink_to("/etc/hostname")
    (tmp_path / "alias.json").symlink_to(tmp_path / "good.json")
    os.mkfifo(tmp_path / "pipe.jsonl")
    os.mkfifo(tmp_path / "pipe.json")
    code, document = planned(tmp_path, capsys)
    assert (code, document["exit_code"]) == (7, 7)
    said = {
        row["source"].rpartition("/")[2]: row["error"] and row["error"]["happened"]
        for row in document["data"]["machines"]
    }
    assert [name for name, error in said.items() if error is None] == ["alias.json", "good.json"]
    assert "line 1 column 11: not JSON" in said["cut.json"]
    assert "larger than 2000 bytes" in said["large.json"]
    assert "not UTF-8" in said["latin.json"]
    assert "its first line is 'buy more GPUs'" in said["notes.txt"]
    assert "it is empty" in said["empty"]
    assert "data.gpus[0].index: expected a whole number, found 'one'" in said["typed.json"]
    assert "a link that leads out of the folder" in said["out.json"]
    assert "No such file" in said["gone.json"] or "out of the folder" in said["gone.json"]
    assert "not a regular file" in said["pipe.json"]
    assert "not a regular file" in said["pipe.jsonl"]
    assert document["data"]["common"]["machines"] == document["data"]["summary"]["machines"] == 2


LINES = [
    json.dumps(named("one")),
    "",
    '{"gpus": [',
    "nonsense",
    json.dumps({"schema": "gpusetup.plan/1", "data": {}}),
    "[" * 5000,
    '{"a":' * 5000,
    json.dumps(named("seven", gpus=[{"index": 2**70}])),
    '{"host": {"hostname": "x\\u001b[31m"}, "driver": {"driver_version": "580.82.07"}, "gpus": [{"name": "L40S"}]}',
]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ""])
def test_broken_lines_are_rows_with_their_numbers(suffix, tmp_path, capsys):
    path = tmp_path / f"fleet{suffix}"
    path.write_text("\n".join(LINES))
    code, document = planned(path, capsys)
    assert code == 7
    rows = rows_of(document)
    assert [name.removeprefix(str(tmp_path)) for name, _ in rows] == [
        "one",
        *(f"/fleet{suffix}:{number}" for number in range(3, 9)),
        "x[31m",
    ]
    errors = [error.removeprefix(f"{path}:") for _, error in rows[1:-1]]
    assert errors[0].startswith("3: line 1 column")
    assert errors[1] == "4: expected one machine document (JSON) per line, found 'nonsense'"
    assert errors[2] == "5: schema: expected 'gpusetup.machine/1', found 'gpusetup.plan/1'"
    assert errors[3].startswith("6: expected one machine document (JSON) per line, found '[[[")
    assert errors[4].startswith("7: ")
    assert errors[5].startswith("8: data.gpus[0].index: expected a number that a fact can have")


def test_a_line_that_is_too_long_is_skipped_and_the_next_one_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fleets, "LONGEST_LINE", 300)
    path = tmp_path / "fleet.jsonl"
    long = json.dumps(named("long", assumptions=["x" * 2000]))
    path.write_text("\n".join([json.dumps(named("one")), long, json.dumps(named("three"))]))
    code, document = planned(path, capsys)
    assert code == 7
    assert rows_of(document) == [
        ("one", None),
        (f"{path}:2", f"{path}:2: longer than 300 bytes; this is no machine"),
        ("three", None),
    ]


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("MOST_MACHINES", 2, "more than 2 "), ("MOST_BYTES", 400, "larger than 400 bytes")],
)
def test_a_fleet_past_all_bounds_is_refused_as_a_whole(limit, value, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fleets, limit, value)
    (tmp_path / "fleet.jsonl").write_text("\n".join(json.dumps(named(f"n{n}")) for n in range(4)))
    code, document = planned(tmp_path / "fleet.jsonl", capsys)
    assert (code, document["data"]) == (7, None)
    assert message in document["findings"][0]["happened"]


def test_a_folder_with_too_many_files_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fleets, "MOST_MACHINES", 2)
    for number in range(3):
        (tmp_path / f"{number}.json").write_text("{}")
    assert planned(tmp_path, capsys)[0] == 7


@pytest.mark.parametrize("content", [None, "", "\n \n"])
def test_a_fleet_of_nothing_is_an_error(content, tmp_path, capsys):
    path = tmp_path
    if content is not None:
        path = tmp_path / "fleet.jsonl"
        path.write_text(content)
    code, document = planned(path, capsys)
    assert code == 7
    assert "no machine in it" in document["findings"][0]["happened"]


def on_stdin(monkeypatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))


def test_lines_on_standard_input_are_a_fleet_and_one_document_is_a_machine(capsys, monkeypatch):
    line = json.dumps(BOX).encode()
    for raw, schema in (
        (line + b"\n" + line, "fleet-plan"),
        (b"\xef\xbb\xbf" + line + b"\n\n" + line + b"\n", "fleet-plan"),
        (line + b"\n", "plan"),
        (json.dumps(BOX, indent=2).encode(), "plan"),
        (TABLE.encode(), "plan"),
    ):
        on_stdin(monkeypatch, raw)
        code, document = planned("-", capsys)
        assert (code, document["schema"]) == (0, f"gpusetup.{schema}/1"), raw
    on_stdin(monkeypatch, line + b"\nnonsense\n")
    code, document = planned("-", capsys)
    assert (code, rows_of(document)[1][0]) == (7, "standard input:2")


def test_options_count_for_every_machine(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(named(name)))
    (tmp_path / "c.json").write_text(json.dumps({"host": {"hostname": "c"}, "gpus": []}))
    code, document = planned(tmp_path, capsys, "--require-gpu")
    assert code == 3
    assert document["data"]["machines"][2]["error"]["exit_code"] == 3
    code, document = planned(tmp_path, capsys, "--cpu", "--torch", "2.9", "--python", "3.11")
    assert code == 0
    common = document["data"]["common"]
    assert (common["torch"][:4], common["variant"], common["python"]) == ("2.9.", "cpu", "3.11")
    code, document = planned(tmp_path, capsys)
    assert (code, document["data"]["outside"][0]["rule"]) == (4, "cpu-plan")


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--from", "FLEET", "--check-sources"],
        ["plan", "--from", "FLEET", "--gpu", "L40S"],
        ["plan", "--from", "FLEET", "--torch", "new"],
        ["install", "FLEET"],
        ["up", "--from", "FLEET"],
    ],
)
def test_what_a_fleet_is_not_for_is_a_usage_error(words, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(BOX))
    assert run([str(tmp_path) if word == "FLEET" else word for word in words]) == 2
    assert "Traceback" not in capsys.readouterr().err
