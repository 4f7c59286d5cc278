"""`check --fix`: only known remedies are run, each when somebody agrees, and all of it is written down."""

from __future__ import annotations

import json

import pytest

from provision.fixing import fix, offers, undo_of, write_log
from provision.process import Completed
from provision.records import CheckResult
from tests.boxes.remedies import misplaced


def result(*safe, status="fail", id_="driver.uvm"):
    return CheckResult(id_, id_.split(".")[0], status, "It is broken.", safe=safe)


@pytest.mark.parametrize(
    ("step", "undo"),
    [
        ("sudo modprobe nvidia_uvm", "sudo modprobe -r nvidia_uvm"),
        ("sudo modprobe nvidia-uvm    (until the next start)", "sudo modprobe -r nvidia-uvm"),
        ("sudo systemctl enable --now nvidia-persistenced", "sudo systemctl disable --now nvidia-persistenced"),
        ("sudo systemctl restart nvidia-dcgm", "sudo systemctl stop nvidia-dcgm"),
        ("sudo systemctl unmask nvidia-fabricmanager", "sudo systemctl mask nvidia-fabricmanager"),
        ("sudo nvidia-smi -rac    (if nobody wants them fixed)", "set the clocks again"),
        ("sudo nvidia-smi -i 3 -c 0", "sudo nvidia-smi -c <the mode before>"),
    ],
)
def test_a_fix_is_known_with_what_undoes_it(step, undo):
    assert undo_of(step) == undo


@pytest.mark.parametrize(
    "step",
    [
        "lspci -nn -d 10de:",
        "sudo modprobe nvidia_uvm; rm -rf /",
        "sudo modprobe nvidia_uvm && reboot",
        "sudo modprobe evil",
        "sudo nvidia-smi --gpu-reset -i 0",
        "restart this container",
        "sudo systemctl enable --now nvidia-persistenced    (on the host of this container)",
        "sudo systemctl restart nvidia-fabricmanager    (only while nothing uses a GPU)",
        "sudo systemctl restart nvidia-fabricmanager",
        "sudo nvidia-smi -i 3 -pl 700",
        "sudo systemctl stop docker",
    ],
)
def test_nothing_else_is_a_fix(step):
    assert undo_of(step) is None


def test_offers_are_made_once_and_only_for_problems():
    found = offers(
        (
            result("lspci", "sudo modprobe nvidia_uvm"),
            result("sudo modprobe nvidia_uvm", id_="cuda.init"),
            result("sudo nvidia-smi -pm 1", status="pass", id_="driver.persistence"),
        )
    )
    assert [(one.check, one.command) for one in found] == [("driver.uvm", "sudo modprobe nvidia_uvm")]


def test_what_is_agreed_to_is_run_without_a_shell_and_written_down(tmp_path, monkeypatch):
    ran = []

    def runner(words, *, deadline_s):
        ran.append(words)
        return Completed(tuple(words), returncode=0 if "nvidia_uvm" in words else 1, stderr="no such unit\n")

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    found = offers((result("sudo modprobe nvidia_uvm", "sudo nvidia-smi -pm 1", "sudo systemctl start docker"),))
    done = fix(found, runner, lambda offer: "-pm" not in offer.command)
    assert ran == [["sudo", "-n", "modprobe", "nvidia_uvm"], ["sudo", "-n", "systemctl", "start", "docker"]]
    assert [(one.is_done, one.said) for one in done] == [
        (True, "no such unit"),
        (False, "not wanted"),
        (False, "no such unit"),
    ]
    log = tmp_path / "logs" / "fixes.jsonl"
    write_log(log, done)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["command"], row["done"]) for row in rows] == [(one.command, one.is_done) for one in done]


def test_root_needs_no_sudo(monkeypatch):
    ran = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    fix(
        offers((result("sudo modprobe nvidia_uvm"),)),
        lambda words, **_: ran.append(words) or Completed(tuple(words), returncode=0),
        lambda _: True,
    )
    assert ran == [["modprobe", "nvidia_uvm"]]


def test_remedies_are_held_against_what_can_be_undone():
    assert misplaced((result("sudo modprobe nvidia_uvm", "gpusetup install --env NEW", "lspci"),)) == []
    wrong = ("python -m pip install x", "sudo modprobe evil", "sudo reboot")
    assert misplaced((result(*wrong),)) == list(wrong)
