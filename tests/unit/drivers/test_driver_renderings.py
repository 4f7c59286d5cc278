"""The same steps as text, shell script, cloud-init and Ansible tasks: none says more or less than the others."""

import re
import shlex
import subprocess

import pytest
import yaml
from driver_boxes import machine, plan

from provision.drivers.job import only_key
from provision.drivers.render_ansible import render_ansible
from provision.drivers.render_cloud import render_cloud_init
from provision.drivers.render_sh import render_sh
from provision.drivers.steps import Packages, Reboot, WriteFile
from provision.drivers.words import command_of, packages_argv
from provision.errors import UsageError
from provision.report.driver import render_driver_plan
from provision.report.style import Style

UBUNTU = machine(*["NVIDIA H100 80GB HBM3"] * 8, kernel="6.8.0-79-generic")
DEBIAN = machine("Tesla T4", os="debian", version="12")
ROCKY = machine("NVIDIA A10", os="rocky", version="9.5", kernel="5.14.0-570.el9.x86_64")
SLES = machine("NVIDIA A10", os="sles", version="15.6")
BOXES = {"ubuntu": UBUNTU, "debian": DEBIAN, "rocky": ROCKY, "sles": SLES}


class _Loader(yaml.SafeLoader):
    """Ansible's own tag, which says that a string is no template."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(params=BOXES)
def made(request):
    return plan(BOXES[request.param], container_toolkit=True)


def actions_of(made):
    return [action for step in made.steps for action in step.actions]


def test_every_rendering_holds_every_action(made):
    text, script = render_driver_plan(made, Style()), render_sh(made)
    tasks = render_ansible(made)
    for action in actions_of(made):
        assert command_of(action) in text
        if isinstance(action, Packages):
            assert " ".join(
                shlex.quote(word) for word in packages_argv(action) if "{" not in word
            ) in script or "{" in repr(action)
            assert all(name.replace("{kernel}", "{{ ansible_kernel }}") in tasks for name in action.names)
        if isinstance(action, WriteFile):
            assert action.path in script
            assert action.path in tasks


def test_the_script_is_one_that_sh_can_read(made):
    script = render_sh(made)
    done = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert script.startswith("#!/bin/sh\n")
    assert "set -eu" in script
    assert script.index("done already") < script.index("reboot: done already")


def test_a_plan_without_steps_is_a_script_that_says_so():
    from driver_boxes import release

    made = plan(machine("Tesla T4", driver=release("580.95.05")))
    assert render_sh(made).rstrip().endswith("say 'nothing to do'")
    assert "nothing to do" in render_driver_plan(made, Style())
    assert yaml.safe_load(render_ansible(made))[0]["name"] == "nothing to do"


def test_a_kernel_that_nobody_named_is_asked_of_the_machine():
    made = plan(DEBIAN)
    assert '"linux-headers-$(uname -r)"' in render_sh(made)
    assert "linux-headers-{{ ansible_kernel }}" in render_ansible(made)


def test_cloud_init_runs_the_script_and_restarts_only_when_it_went_well(made):
    data = yaml.safe_load(render_cloud_init(made))
    assert render_cloud_init(made).startswith("#cloud-config\n")
    (file,) = data["write_files"]
    assert file["content"] == render_sh(made, with_reboot=False)
    assert "\nreboot" not in file["content"].replace(" ", "")
    assert data["power_state"] == {
        "mode": "reboot",
        "message": "the NVIDIA driver is loaded by a restart",
        "condition": "test -e /run/gpusetup-driver-done",
    }


def test_ansible_tasks_ask_before_they_act_and_use_its_own_modules(made):
    blocks = yaml.load(render_ansible(made), Loader=_Loader)  # noqa: S506  a safe loader with one more tag
    assert len(blocks) == len(made.steps)
    known = {"name", "when", "loop", "register", "failed_when", "changed_when", "check_mode", "environment"}
    for block, step in zip(blocks, made.steps, strict=True):
        modules = {key for task in block["block"] for key in task if key not in known}
        assert all(module.startswith("ansible.builtin.") for module in modules)
        names = [task["name"] for task in block["block"]]
        assert sum(" done when: " in name for name in names) == len(step.done_when)
        assert sum(" needs: " in name for name in names) == len(step.needs)
        assert block["vars"]["gpusetup_patterns"] == [p.matches or "" for p in (*step.done_when, *step.needs)]
    assert "ansible.builtin.reboot" in blocks[-1]["block"][-1]


@pytest.mark.parametrize(("render", "form"), [(render_cloud_init, "cloud-init"), (render_ansible, "ansible")])
def test_what_asks_a_person_is_not_written_for_where_nobody_sits(render, form):
    box = machine("Tesla T4", os="debian", version="12", readings={"kernel.secure_boot": True})
    made = plan(box)
    with pytest.raises(UsageError, match=f"--format {form}: the step enrol-key asks for a password"):
        render(made)
    assert "[ -t 0 ] || stop" in render_sh(made)


def test_the_text_keeps_to_80_columns_but_for_commands():
    made = plan(DEBIAN)
    commands = {f"  {command_of(action)}" for action in actions_of(made)}
    lines = render_driver_plan(made, Style()).splitlines()
    urls = re.compile(r"https://\S+")
    assert all(len(line) <= 80 or line in commands or urls.search(line) for line in lines)


# --- keys ---------------------------------------------------------------------------------------

GOOD, BAD = "A" * 40, "B" * 40
ONE = f"pub:-:4096:1:X:1::::::scESC::::::23::0:\nfpr:::::::::{GOOD}:\nuid:-::::1::X::x:\nsub:-:::\nfpr:::::::::{BAD}:\n"


@pytest.mark.parametrize(
    ("listing", "is_it"),
    [
        (ONE, True),
        ("tru::1:\n" + ONE, True),
        (ONE.replace(GOOD, BAD), False),
        (ONE + f"pub:-:x:\nfpr:::::::::{BAD}:\n", False),
        (f"pub:-:x:\nfpr:::::::::{BAD}:\n" + ONE, False),
        ("", False),
        ("pub:-:x:\n" + "uid:::x:\n" * 5000, False),
    ],
)
def test_a_file_counts_as_the_key_only_when_it_holds_that_key_and_no_other(listing, is_it):
    assert bool(re.search(only_key(GOOD), listing)) is is_it
    found = subprocess.run(["grep", "-Pzq", "--", only_key(GOOD)], input=listing.encode(), timeout=20, check=False)
    assert (found.returncode == 0) is is_it


def test_only_a_restart_restarts():
    assert [type(action) for action in actions_of(plan(UBUNTU))].count(Reboot) == 1
