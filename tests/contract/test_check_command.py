"""`gpusetup check` as scripts call it: which checks, which files, which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from provision.cli import run
from provision.console import Console

SCHEMA = json.loads((Path(__file__).parents[2] / "provision" / "schemas" / "check-1.json").read_text())

#: nvidia-smi on a box whose driver was exchanged while its module stayed loaded.
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.54\n"
HEALTHY = """\
| NVIDIA-SMI 570.133.20    Driver Version: 570.133.20    CUDA Version: 12.8 |
|   0  NVIDIA L40S    Off  | 00000000:01:00.0 Off |                       0 |
"""


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.delenv("GPUSETUP_SUPPRESSIONS", raising=False)


@pytest.fixture
def sick(tmp_path):
    path = tmp_path / "sick.txt"
    path.write_text(MISMATCH)
    return str(path)


@pytest.fixture
def healthy(tmp_path):
    path = tmp_path / "healthy.txt"
    path.write_text(HEALTHY)
    return str(path)


def document(capsys, *words, code):
    assert run(["check", *words, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft202012Validator)
    return found


def test_the_cause_is_said_first_and_the_exit_code_is_1(sick, capsys):
    assert run(["check", "--from", sick]) == 1
    out = capsys.readouterr().out
    assert out.startswith("cause    driver.kmd_umd_match  FAIL\n")
    assert out.isascii()
    commands = ("do       ", "risky    ", "         sudo ")  # a command is never broken
    assert max(len(line) for line in out.splitlines() if not line.startswith(commands)) <= 80
    assert out.splitlines()[-1].startswith("FAIL ")


def test_the_document_names_cause_and_what_it_explains(sick, capsys):
    data = document(capsys, "--from", sick, code=1)["data"]
    assert data["cause"] == "driver.kmd_umd_match"
    assert "driver.nvml_init" in data["folded"]
    assert data["level"] == "quick"


def test_a_machine_from_elsewhere_may_be_well(healthy, capsys):
    data = document(capsys, "--from", healthy, code=0)["data"]
    assert data["cause"] is None
    assert data["summary"]["fail"] == 0
    assert data["summary"]["pass"] > 0


def test_only_skip_and_level_choose(healthy, capsys):
    def ids(*words):
        return [row["id"] for row in document(capsys, "--from", healthy, *words, code=0)["data"]["checks"]]

    chosen = ids("--only", "driver.uvm,gpu", "--skip", "gpu.mig_*")
    assert {one.partition(".")[0] for one in chosen} == {"driver", "gpu"}
    assert [one for one in chosen if one.startswith("driver.")] == ["driver.uvm"]
    assert "gpu.compute_mode" in chosen
    assert "gpu.mig_state" not in chosen
    assert set(ids("--level", "instant")) < set(ids())
    assert "driver.nvml_init" not in ids("--level", "instant")


def test_a_suppressed_failure_counts_neither_for_the_exit_code_nor_as_cause(sick, tmp_path, capsys, monkeypatch):
    path = tmp_path / "known.yaml"
    folded = document(capsys, "--from", sick, code=1)["data"]["folded"]
    entry = "- {id: %s, until: 2999-12-31, reason: the reboot is planned, by: ops}\n"
    path.write_text("".join(entry % id_ for id_ in ("driver.kmd_umd_match", *folded)))
    found = document(capsys, "--from", sick, "--suppressions", str(path), code=0)
    rows = {row["id"]: row for row in found["data"]["checks"]}
    assert found["data"]["cause"] is None
    assert found["data"]["summary"]["suppressed"] == 1 + len(folded)
    assert rows["driver.kmd_umd_match"]["status"] == "suppressed"
    assert rows["driver.kmd_umd_match"]["suppressed"] == {
        "was": "fail",
        "until": "2999-12-31",
        "reason": "the reboot is planned",
        "by": "ops",
        "place": f"{path}:1",
    }
    monkeypatch.setenv("GPUSETUP_SUPPRESSIONS", str(path))
    assert run(["check", "--from", sick]) == 0
    assert run(["check", "--from", sick, "--suppressions", "none"]) == 1


def test_a_cause_does_not_explain_what_is_suppressed_or_was_not_chosen(sick, tmp_path, capsys):
    path = tmp_path / "known.yaml"
    path.write_text("- {id: driver.nvml_init, until: 2999-12-31, reason: known}\n")
    for words in (["--suppressions", str(path)], ["--skip", "driver.nvml_init"]):
        data = document(capsys, "--from", sick, *words, code=1)["data"]
        assert data["cause"] == "driver.kmd_umd_match"
        assert "driver.nvml_init" not in data["folded"]
        assert all("driver.nvml_init" not in row["leads"] for row in data["checks"])


def test_an_expired_entry_warns_and_with_strict_fails(healthy, tmp_path, capsys):
    path = tmp_path / "known.yaml"
    path.write_text("- {id: driver.uvm, until: 2020-01-01, reason: long ago}\n")
    words = ["--from", healthy, "--suppressions", str(path)]
    assert [f["id"] for f in document(capsys, *words, code=0)["findings"]][-1] == "suppression-expired"
    document(capsys, *words, "--strict", code=1)


def test_a_mistake_in_the_file_is_exit_7(healthy, tmp_path, capsys):
    path = tmp_path / "known.yaml"
    path.write_text("- {id: driver.uvm, until: tomorrow, reason: x}\n")
    found = document(capsys, "--from", healthy, "--suppressions", str(path), code=7)
    assert found["findings"][0]["happened"].startswith(f"{path}: [0].until (line 1): found 'tomorrow', expected")


def test_files_for_ci_and_monitoring(sick, tmp_path, capsys):
    junit, prometheus = tmp_path / "check.xml", tmp_path / "gpusetup.prom"
    assert run(["check", "--from", sick, "--junit", str(junit), "--prometheus", str(prometheus)]) == 1
    root = ET.fromstring(junit.read_bytes())  # noqa: S314  our own text
    assert int(root.get("failures")) >= 1
    assert 'gpusetup_check_status{id="driver.kmd_umd_match",component="driver",status="fail"} 1\n' in (
        prometheus.read_text()
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["check.xml", "gpusetup.prom", "sick.txt"]


def test_files_are_written_though_too_few_gpus_end_the_command(sick, tmp_path, capsys):
    junit = tmp_path / "check.xml"
    assert run(["check", "--from", sick, "--junit", str(junit), "--require-gpu"]) == 3
    assert ET.fromstring(junit.read_bytes()).tag == "testsuites"  # noqa: S314  our own text


@pytest.mark.parametrize("option", ["--junit", "--prometheus"])
def test_a_place_that_can_not_be_written_is_told_before_the_work(option, tmp_path, capsys):
    assert run(["check", option, str(tmp_path / "no" / "file")]) == 2
    assert f"{option}: {tmp_path}" in " ".join(capsys.readouterr().err.split())


def test_a_disk_that_fills_up_is_a_failure(healthy, capsys):
    assert run(["check", "--from", healthy, "--prometheus", "/dev/full"]) == 1
    assert "/dev/full could not be written: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        (["--from", "sick"], 2, "CRITICAL - driver.kmd_umd_match: "),
        (["--from", "healthy"], 0, "OK - "),
        (["--from", "healthy", "--require-gpu=2"], 2, "CRITICAL - 1 usable GPU"),
        (["--from", "/no/such/file"], 3, "UNKNOWN - bad-input: "),
        (["--only", "nonsense"], 3, "UNKNOWN - usage: --only: "),
        (["--nonsense"], 3, "UNKNOWN - No such option"),
        (["--level", "slow"], 3, "UNKNOWN - Invalid value for '--level'"),
    ],
)
def test_nagios_has_one_line_and_its_own_exit_codes(words, code, word, sick, healthy, capsys):
    places = {"sick": sick, "healthy": healthy}
    assert run(["check", "--nagios", *(places.get(one, one) for one in words)]) == code
    captured = capsys.readouterr()
    assert captured.out.startswith(f"GPUSETUP {word}")
    assert captured.out.count("\n") == 1
    assert captured.err == ""


def test_nagios_and_a_document_exclude_each_other(capsys):
    assert run(["check", "--nagios", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["findings"][0]["id"] == "usage"


def test_the_list_is_a_table_and_rows(capsys):
    assert run(["check", "--list", "--only", "driver"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "driver"
    assert lines[1].split()[:2] == ["driver.arch_supported", "instant"]
    assert max(map(len, lines)) <= 80
    assert run(["check", "--list", "--level", "instant", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "gpusetup.check-list/1"
    assert {row["level"] for row in found["data"]["checks"]} == {"instant"}
    assert all(row["title"].endswith(".") for row in found["data"]["checks"])


def test_a_fleet_is_not_checked(tmp_path, capsys):
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "one.txt").write_text(HEALTHY)
    assert run(["check", "--from", str(tmp_path / "fleet")]) == 2
    assert "expected one" in capsys.readouterr().err


def test_a_pipe_gets_no_colour_and_no_marks(healthy, capsys):
    assert not Console().out.has_colour
    assert run(["check", "--from", healthy, "-v"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert "skipped: does not apply here" in out
