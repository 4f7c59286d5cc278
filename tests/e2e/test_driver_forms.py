"""The forms of driver plans as their own tools read them: shellcheck, Ansible."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from provision.drivers.render_ansible import render_ansible
from provision.drivers.render_sh import render_sh
from tests.bench.driver_box import KINDS, machine, plan_for, stubs_of

pytestmark = pytest.mark.e2e

DISTRIBUTIONS = ["ubuntu 24.04", "debian 12", "rhel 9", "fedora 44", "sles 15", "amzn 2023"]


def _program(name):
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def _plan(distribution, kind="hopper-switched"):
    kernel = stubs_of(distribution).kernel_of(distribution)
    return plan_for(machine(distribution, KINDS[kind], kernel=kernel), container_toolkit=True, cuda_toolkit="newest")


def test_shellcheck_finds_nothing_in_the_scripts(tmp_path):
    files = []
    for distribution in DISTRIBUTIONS:
        files.append(tmp_path / f"{distribution.replace(' ', '-')}.sh")
        files[-1].write_text(render_sh(_plan(distribution)), encoding="utf-8")
    command = [_program("shellcheck"), "--severity=style", *files]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_shells_can_read_the_scripts(shell):
    for distribution in DISTRIBUTIONS:
        script = render_sh(_plan(distribution))
        subprocess.run([_program(shell), "-n"], input=script, text=True, check=True)


def test_ansible_can_read_the_tasks(tmp_path):
    names = []
    for distribution in DISTRIBUTIONS:
        names.append(f"{distribution.replace(' ', '-')}.yaml")
        (tmp_path / names[-1]).write_text(render_ansible(_plan(distribution)), encoding="utf-8")
    play = [{"hosts": "localhost", "become": True, "tasks": [{"import_tasks": name} for name in names]}]
    (tmp_path / "play.yaml").write_text(yaml.safe_dump(play), encoding="utf-8")
    command = [_program("ansible-playbook"), "--syntax-check", "-i", "localhost,", tmp_path / "play.yaml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
