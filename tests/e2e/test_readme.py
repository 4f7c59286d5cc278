"""Every command line of the README works as printed, in a fresh clone, with a fresh home."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from provision.cli import run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

#: Commands whose exit code says something about the machine, not about the README.
ALSO_RIGHT = {"./gpusetup up --require-gpu": 3}


def command_lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_first_two_commands_are_the_two_set_up_commands():
    assert command_lines()[:2] == ["./gpusetup up", "./run-tests"]


def test_the_shown_plan_is_what_the_command_prints(capsys):
    """Offline and typed in, so it is the same on every machine."""
    words = next(line for line in command_lines() if line.startswith("./gpusetup plan --gpu"))
    assert run(shlex.split(words)[1:]) == 0
    shown = README.split("The first prints")[1].split("```text\n")[1].split("```")[0]
    assert capsys.readouterr().out == shown


def test_the_shown_fleet_is_what_the_command_prints(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = next(line for line in command_lines() if line.startswith("./gpusetup plan --from docs"))
    assert run(shlex.split(words)[1:]) == 0
    shown = README.split("It names the newest build")[1].split("```text\n")[1].split("```")[0]
    assert capsys.readouterr().out == shown


@pytest.mark.e2e
def test_every_command_line_works_as_printed(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("GPUSETUP_", "XDG_", "VIRTUAL_ENV"))}
    environ |= {"HOME": str(tmp_path / "home"), "UV_CACHE_DIR": str(_uv_cache())}
    (tmp_path / "home").mkdir()
    for line in command_lines():
        if line == "./run-tests":
            continue  # this very test is run by it
        done = subprocess.run(
            ["sh", "-c", line], cwd=clone, env=environ, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode in (0, ALSO_RIGHT.get(line)), f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    if "./gpusetup up" in command_lines():
        assert (tmp_path / "home/.local/share/gpusetup/env/bin/python").exists()


def _uv_cache() -> Path:
    """The cache that is there already: what is tested is the commands, not the network."""
    uv = shutil.which("uv", path=f"{ROOT}/.venv-tests/bin:{os.environ['PATH']}")
    done = subprocess.run([uv or "uv", "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())
