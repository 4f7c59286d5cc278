"""The command line that scripts rely on: names, options, exit codes, one document on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from provision import __version__
from provision.cli import COMMANDS, SUBCOMMANDS, gpusetup, run
from provision.errors import ExitCode, GpusetupError

SURFACE = {
    "detect": ["--from", "--require-gpu", "--json"],
    "check": [
        *("--level", "--only", "--skip", "--list", "--from", "--env", "--expect", "--expect-gpus", "--host-class"),
        *("--since-boot", "--suppressions", "--require-gpu", "--fix", "--yes", "--strict"),
        *("--junit", "--prometheus", "--nagios", "-v", "--json"),
    ],
    "expect create": ["--from", "--env", "--json"],
    "expect check": ["--from", "--env", "-v", "--json"],
    "snapshot": ["--level", "--env", "--redact", "--json"],
    "plan": [
        *("--torch", "--cuda", "--transformers", "--python", "--cpu", "--require-gpu"),
        *("--from", "--gpu", "--driver", "--compute-capability", "--glibc", "--arch", "--os"),
        *("--container", "--why-not", "--top", "--check-sources", "--torch-index", "--site", "--json"),
    ],
    "install": [
        *("--torch", "--cuda", "--transformers", "--python", "--cpu", "--require-gpu"),
        *("--env", "--backend", "--torch-index", "--site", "--fresh", "--dry-run", "--json"),
    ],
    "accept": ["--env", "--preset", "--seed", "--cpu", "--strict", "--require-gpu", "--json"],
    "up": [
        *("--torch", "--cuda", "--transformers", "--python", "--cpu", "--require-gpu"),
        *("--env", "--backend", "--torch-index", "--site", "--fresh", "--seed", "--report", "--strict"),
        *("--with-driver", "--yes", "--json"),
    ],
    "driver install": [
        *("--cuda", "--branch", "--torch", "--kernel-module", "--source", "--with", "--site"),
        *("--resume", "--fresh", "--dry-run", "--yes", "--reboot", "--resume-at-boot", "--json"),
    ],
    "driver undo": ["--yes", "--json"],
    "report show": ["--json"],
    "driver plan": [
        *("--from", "--gpu", "--driver", "--compute-capability", "--glibc", "--arch", "--os"),
        *("--cuda", "--branch", "--torch", "--kernel-module", "--source", "--with", "--format", "--site", "--json"),
    ],
    "matrix validate": ["--site", "--json"],
    "matrix show": ["--torch", "--cuda", "--gpu", "--driver", "--site", "--json"],
    "matrix audit": ["--torch", "--json"],
    "explain": ["--json"],
}


def leaf_commands() -> dict[str, click.Command]:
    context = click.Context(gpusetup)
    leaves = {}
    for name in COMMANDS:
        command = gpusetup.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            leaves |= {f"{name} {sub}": command.commands[sub] for sub in command.commands}
        else:
            leaves[name] = command
    return leaves


def test_commands_and_options_are_those_that_are_written_down():
    found = {
        name: [o.opts[0] for o in command.params if isinstance(o, click.Option)]
        for name, command in leaf_commands().items()
    }
    assert found == SURFACE


@pytest.mark.parametrize("name", sorted(SURFACE))
def test_help_shows_an_example(name, capsys):
    assert run([*name.split(), "--help"]) == 0
    assert f"gpusetup {name.split()[0]}" in capsys.readouterr().out.split("Example")[1]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_short_help_in_the_listing_is_that_of_the_command(name):
    command = gpusetup.get_command(click.Context(gpusetup), name)
    assert command.help.splitlines()[0] == COMMANDS[name][0]


def test_exit_codes_are_those_of_the_interface():
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NO_GPU": 3,
        "NO_BUILD": 4,
        "INSTALL_FAILED": 5,
        "HARNESS_FAILED": 6,
        "BAD_INPUT": 7,
        "BUG": 70,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_each_error_class_has_its_own_exit_code():
    codes = [error.exit_code for error in GpusetupError.__subclasses__()]
    assert len(codes) == len(set(codes)) == 6


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["plan", "--gpu", "No Such GPU 9000"], 2),
        (["plan", "--driver", "new"], 2),
        (["plan", "--nonsense"], 2),
        (["nonsense"], 2),
        (["plan", "--from", "/no/such/file"], 7),
        (["plan", "--from", "/no/such/fleet.jsonl"], 7),
        (["report", "show", "/no/such/file"], 7),
        (["matrix", "validate", "/no/such/file"], 7),
        (["accept", "--env", "/no/such/env"], 6),
        (["explain", "no-such-id"], 2),
        (["plan", "--compute-capability", "3.5", "--driver", "470.82.01", "--python", "3.11"], 4),
    ],
)
def test_errors_are_one_document_with_their_exit_code(words, code, capsys):
    assert run([*words, "--json"]) == code
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["exit_code"] == code
    assert document["status"] == "failed"
    assert document["findings"][0]["happened"]
    assert document["findings"][0]["more"].startswith("gpusetup explain ")
    assert "Traceback" not in captured.err


SITE = "schema: gpusetup.site/1\nforbid:\n- {variant: 'cu13*', reason: not here}\n"


def test_a_site_file_forbids_builds(tmp_path, capsys, monkeypatch):
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    words = ["plan", "--gpu", "NVIDIA H100 80GB HBM3", "--driver", "580.95.05", "--python", "3.12", "--json"]

    def planned(*more):
        assert run([*words, *more]) == 0
        return json.loads(capsys.readouterr().out)["data"]

    free, named = planned(), planned("--site", str(path))
    monkeypatch.setenv("GPUSETUP_SITE", str(path))
    assert planned()["matrix"] == named["matrix"]
    assert planned("--site", "none")["matrix"] == free["matrix"]
    assert (free["variant"], named["variant"]) == ("cu130", "cu126")
    assert named["matrix"]["revision"].startswith(free["matrix"]["revision"] + "+site.")
    assert named["assumptions"][-1] == f"The site file {path} counts: 1 entry that forbids builds."
    assert [
        (no["rule"], no["found"], no["needs"], no["source"]) for no in named["passed_over"] if no["torch"] == "2.14.1"
    ] == [("forbidden-by-site", "cu13*", "not here", f"{path}:3")] * 2


@pytest.mark.parametrize("words", [["plan"], ["matrix", "show"], ["matrix", "validate"], ["driver", "plan"]])
def test_a_site_file_with_a_mistake_is_never_passed_over(words, tmp_path, capsys, monkeypatch):
    path = tmp_path / "site.yaml"
    path.write_text(SITE.replace("reason", "because"))
    monkeypatch.setenv("GPUSETUP_SITE", str(path))
    option = ["--site", str(path)] if words[0] == "matrix" else []
    assert run([*words, *option]) == 7
    told = " ".join(capsys.readouterr().err.split())
    assert f"{path}: forbid[0] (line 3): found no key 'reason', expected the key reason" in told


def test_a_site_file_is_validated_on_top_of_the_matrix(tmp_path, capsys):
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    assert run(["matrix", "validate", str(path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["path"] == str(path)
    assert data["site"]["forbids"] == [{"what": "cu13*", "reason": "not here", "place": f"{path}:3"}]


def test_a_plan_file_excludes_a_site_file(tmp_path, capsys):
    assert run(["install", str(tmp_path / "plan.json"), "--site", "site.yaml", "--env", str(tmp_path / "env")]) == 2
    assert "--site counts where a plan is made" in " ".join(capsys.readouterr().err.split())


def test_errors_for_people_go_to_stderr(capsys):
    assert run(["plan", "--from", "/no/such/file"]) == 7
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "/no/such/file: cannot be read: No such file or directory" in captured.err


LIST = "GPU 0: NVIDIA L40S (UUID: x)\n"
TABLE = """\
| NVIDIA-SMI 570.133.20    Driver Version: 570.133.20    CUDA Version: 12.8 |
|   0  NVIDIA L40S    Off  | 00000000:01:00.0 Off |                       0 |
"""


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (TABLE.encode(), 0),
        (TABLE.encode("utf-16"), 0),  # what a Windows shell writes
        (b"\xef\xbb\xbf" + TABLE.encode(), 0),
        (b"\xe9\xff caf\xe9\n" + TABLE.encode(), 0),
        (LIST.encode(), 0),
        (b"No devices were found\n", 3),
        (b"\xef\xbb\xbf" + b'{"gpus": [{"name": "NVIDIA L40S"}]}', 0),
        (b'{"gpus": [{"name": "caf\xe9"}]}', 7),
        (b'{"gpus": ' + b"1" * 5000 + b"}", 7),
        (b"nothing of the kind", 7),
        (b"", 7),
    ],
)
def test_a_machine_from_a_file(raw, code, tmp_path, capsys):
    path = tmp_path / "paste"
    path.write_bytes(raw)
    assert run(["plan", "--from", str(path), "--json"]) == code
    assert json.loads(capsys.readouterr().out)["exit_code"] == code


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gpusetup {__version__}\n"


@pytest.mark.parametrize("words", [[], ["report"]])
def test_no_command_is_answered_with_the_help_as_it_is(words, capsys):
    assert run(words) in (0, 2)  # click before 8.2 exits 0
    captured = capsys.readouterr()
    assert "Usage: gpusetup" in (captured.out + captured.err).splitlines()[0]


@pytest.mark.parametrize("words", [["nonsense"], ["report", "nonsense"]])
def test_an_unknown_command_is_named(words, capsys):
    assert run(words) == 2
    assert "'nonsense'" in capsys.readouterr().err


def test_the_groups_are_those_of_the_commands():
    names = {f"{name} {sub}" for name, subs in SUBCOMMANDS.items() for sub in subs}
    assert names == {name for name in leaf_commands() if " " in name}


@pytest.mark.parametrize(
    ("words", "name", "schema"),
    [
        (["report", "show", "/no/such/file"], "report show", "gpusetup.report/1"),
        (["matrix", "validate", "--nonsense"], "matrix validate", "gpusetup.matrix/1"),
        (["report", "nonsense"], "report", "gpusetup.report/1"),
        (["plan", "--nonsense"], "plan", "gpusetup.plan/1"),
        (["nonsense"], "nonsense", "gpusetup.error/1"),
    ],
)
def test_an_error_names_its_command_in_full(words, name, schema, capsys):
    run([*words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["schema"]) == (name, schema)


REPORT = '{"schema": "gpusetup.report/1", "status": "ok", "exit_code": 0, "findings": [], "data": %s}'


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (REPORT % "{}", 0),
        ("\ufeff" + REPORT % "{}", 0),
        (REPORT % '{"machine": {"host": {"hostname": "box\\ud800"}}}', 0),
        (REPORT % '{"seconds": {"accept": NaN}}', 7),
        (REPORT % '{"seconds": {"accept": 1e999}}', 7),
        (REPORT % ('{"seconds": {"accept": ' + "1" * 5000 + "}}"), 7),
        (REPORT % ('{"seconds": {"accept": ' + "1" * 400 + "}}"), 7),
        (REPORT % ("[" * 100_000), 7),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_hostile_report_is_shown_or_refused(raw, code, options, tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_text(raw, encoding="utf-8")
    assert run(["report", "show", str(path), *options]) == code
    captured = capsys.readouterr()
    (captured.out + captured.err).encode("utf-8")


def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "report.json")
    assert run(["report", "show", str(tmp_path / "report.json")]) == 7
    assert "not a regular file" in capsys.readouterr().err


def in_shell(words: str, redirection: str) -> tuple[int, str]:
    """Exit code of the command line and what it wrote to stderr."""
    line = f"set -o pipefail; {sys.executable} -m provision {words} {redirection}"
    root = Path(__file__).parents[2]
    done = subprocess.run(["bash", "-c", line], cwd=root, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", ["explain usage", "explain usage --json", "--version", "--help"])
def test_an_answer_that_nobody_reads_is_no_bug(words):
    assert in_shell(words, ">&-") == (0, "")
    assert in_shell(words, "<&- >&- 2>&-") == (0, "")
    assert in_shell(words, "| true") == (0, "")
    assert in_shell(words, ">/dev/full") == (1, "The answer could not be written: No space left on device.\n")


def test_a_failure_keeps_its_exit_code_where_its_answer_is_lost():
    assert in_shell("nonsense --json", ">/dev/full")[0] == 2
    assert in_shell("nonsense", "2>/dev/full")[0] == 2
    assert in_shell("nonsense --json", "| true")[0] == 2


def test_pages_fit_the_width(capsys):
    run(["explain"])
    for name in capsys.readouterr().out.split():
        run(["explain", name])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80, name
