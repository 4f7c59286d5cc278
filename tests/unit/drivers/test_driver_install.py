"""`driver install` and `driver undo`: consent, root, documents and exit codes, on a pretended machine."""

import io
import json
import os
import signal
import threading
import time

import driver_boxes
import jsonschema
import pytest

import provision.commands.driver_install as commands
from provision import driver_setup
from provision.cli import run
from provision.documents.schema import document_schemas
from provision.drivers.account import undo_lines
from provision.drivers.journal import Book, open_run
from provision.drivers.plan import DriverPlan
from provision.drivers.records import Goal
from provision.drivers.steps import Packages, Proof, Reboot, Run, Step
from provision.drivers.verification import verify
from provision.errors import NoBuildError, UsageError
from provision.examined import Examined
from provision.records import Driver, Gpu, GpuState, Machine, Reading
from provision.versions import DriverVersion

PACKAGE = "nvidia-driver-580"
STEPS = (
    Step(
        "driver",
        "branch 580",
        (Packages("apt", "install", (PACKAGE,)),),
        undo=(Packages("apt", "remove", (PACKAGE,)),),
        done_when=(Proof(("is-installed", PACKAGE), "it is installed", "installed"),),
    ),
    Step("reboot", "loads the module", (Reboot(),)),
)
SCHEMA = document_schemas()["driver-plan-1"]


def plan(*steps):
    return DriverPlan(580, "open", ("Hopper",), "ubuntu 24.04", "distro", "13.0", steps)


def with_driver(version="580.95.05", module="open", state=GpuState.USABLE):
    driver = Driver(driver_version=DriverVersion(version), kernel_module=module)
    return Machine(driver=driver, gpus=(Gpu(0),), gpu_state=state)


@pytest.fixture
def box(machine, monkeypatch, tmp_path):
    """A machine with a plan, seen by the commands as this one."""
    machine.plan = plan(*STEPS)
    machine.seen = with_driver()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(driver_setup, "machine_hand", lambda **_: machine.hand())
    monkeypatch.setattr(driver_setup, "require_root", lambda _: None)
    monkeypatch.setattr(commands, "_plan", lambda _: machine.plan)
    monkeypatch.setattr("provision.examined.examine_host", lambda: Examined(machine.seen))
    return machine


@pytest.fixture
def typed(capsys):
    """`typed("driver install --yes")` gives the exit code and the document."""

    def call(words):
        code = run([*words.split(), "--json"])
        document = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, SCHEMA)
        assert document["exit_code"] == code
        return code, document

    return call


def ids(document):
    return [finding["id"] for finding in document["findings"]]


def test_install_stops_before_the_restart_and_resumes_after_it(box, typed):
    code, document = typed("driver install --yes")
    assert (code, document["status"], ids(document)) == (0, "ok", ["reboot-needed"])
    done = document["data"]["run"]
    assert [(step["id"], step["state"]) for step in done["steps"]] == [("driver", "done"), ("reboot", "running")]
    assert done["needs_reboot"]
    assert done["go_on"] == "gpusetup driver install --resume"
    assert done["journal"].endswith(done["journal"].rpartition("/")[2])
    assert document["data"]["branch"] == 580
    assert document["data"]["steps"][0]["id"] == "driver"

    code, document = typed("driver install --yes")
    assert (code, ids(document)) == (5, ["driver-run-unfinished"])

    code, document = typed("driver install --resume --yes")
    assert (code, ids(document)) == (0, ["reboot-needed"])

    box.boot("boot-2")
    code, document = typed("driver install --resume --yes")
    assert (code, ids(document), document["data"]["run"]["state"]) == (0, [], "finished")
    assert box.calls() == [f"apt-get install {PACKAGE}"]

    code, document = typed("driver undo --yes")
    assert (code, ids(document), document["data"]["run"]["state"]) == (0, ["reboot-needed"], "undone")
    assert box.installed() == []
    code, document = typed("driver undo --yes")
    assert (code, ids(document)) == (2, ["usage"])
    code, document = typed("driver install --resume --yes")
    assert (code, ids(document)) == (2, ["usage"])


def test_a_failure_is_exit_5_with_what_was_done_and_how_to_take_it_back(box, typed):
    box.say("fail-install")
    code, document = typed("driver install --yes")
    assert (code, ids(document)) == (5, ["step-failed"])
    assert document["data"]["run"]["state"] == "failed"
    assert document["data"]["run"]["take_back"] == [f"apt-get remove --yes {PACKAGE}"]
    do = document["findings"][0]["do"]["safe"]
    assert any("driver undo" in line for line in do)
    assert any("driver install --resume" in line for line in do)


def test_a_run_can_be_left_for_a_new_plan(box, typed):
    box.say("fail-install")
    typed("driver install --yes")
    box.forget("fail-install")
    code, document = typed("driver install --yes --fresh")
    assert (code, ids(document)) == (0, ["reboot-needed"])


@pytest.mark.parametrize("words", ["driver install", "driver undo"])
def test_without_a_terminal_nothing_is_changed_unasked(words, box, typed):
    code, document = typed(words)
    assert (code, ids(document)) == (2, ["usage"])
    assert "--yes" in document["findings"][0]["happened"]
    assert box.calls() == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("answer", "calls"), [("\n", 0), ("n\n", 0), ("y\n", 1)])
def test_the_question_has_no_as_its_default(answer, calls, box, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert run(["driver", "install"]) == 0
    captured = capsys.readouterr()
    assert "branch 580" in captured.err
    assert "Run these steps? [y/N]" in captured.err
    assert len(box.calls()) == calls
    assert ("Nothing was changed." in captured.out) == (calls == 0)


def test_a_dry_run_needs_no_root_and_changes_nothing(box, typed, monkeypatch):
    def refuse(_command):
        raise UsageError("root")

    monkeypatch.setattr(driver_setup, "require_root", refuse)
    before = box.tree()
    code, document = typed("driver install --dry-run")
    assert (code, document["data"]["run"]["state"], document["data"]["run"]["journal"]) == (0, "rehearsed", None)
    assert (box.calls(), box.tree()) == ([], before)
    assert run(["driver", "install", "--yes"]) == 2


def test_who_is_not_root_gets_the_line_with_sudo(monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["/opt/gpusetup/bin/gpusetup", "driver", "install", "--yes"])
    assert run(["driver", "install", "--yes"]) == 2
    assert "sudo /opt/gpusetup/bin/gpusetup driver install --yes" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_ends_the_command_after_the_package_manager(number, expected, box, typed):
    box.say("slow-install", "0.3")

    def interrupt():
        while not box.calls():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code, document = typed("driver install --yes")
    thread.join()
    assert (code, ids(document), document["data"]["run"]["state"]) == (expected, ["driver-run-stopped"], "stopped")
    assert box.installed() == [PACKAGE]


def test_nothing_to_do_is_said(box, typed):
    box.plan = plan()
    code, document = typed("driver install --yes")
    assert (code, document["data"]["run"]["steps"]) == (0, [])


def test_a_command_that_asks_is_refused_before_anything_is_done(box, typed):
    box.plan = plan(*STEPS, Step("enrol-key", "Secure Boot", (Run(("mokutil", "--import", "k"), asks="a password"),)))
    code, document = typed("driver install --yes")
    assert (code, ids(document)) == (2, ["usage"])
    assert "mokutil --import k" in document["findings"][0]["happened"]
    assert box.calls() == []


@pytest.mark.parametrize("words", ["--resume --fresh", "--resume --dry-run", "--resume --resume-at-boot"])
def test_words_that_do_not_fit_together(words, box, typed):
    assert typed(f"driver install {words}")[0] == 2


def test_a_unit_goes_on_after_the_restart_and_is_gone_then(box, typed, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/odd %name/gpusetup", "driver", "install"])
    before = box.tree()
    assert typed("driver install --yes --resume-at-boot")[0] == 0
    unit = box.root / "etc/systemd/system/gpusetup-driver-resume.service"
    assert 'ExecStart="/opt/odd %%name/gpusetup" "driver" "install" "--resume" "--yes"\n' in unit.read_text()
    assert box.calls()[1:] == ["systemctl daemon-reload", "systemctl enable gpusetup-driver-resume.service"]
    box.boot("boot-2")
    assert typed("driver install --resume --yes")[1]["data"]["run"]["state"] == "finished"
    assert not unit.exists()
    assert box.calls()[3:] == ["systemctl disable gpusetup-driver-resume.service", "systemctl daemon-reload"]
    box.boot("boot-1")
    assert typed("driver undo --yes")[0] == 0
    assert box.tree() == before


def test_without_a_restart_there_is_no_unit(box, typed):
    box.plan = plan(STEPS[0])
    assert typed("driver install --yes --resume-at-boot")[0] == 0
    assert box.calls() == [f"apt-get install {PACKAGE}"]


def test_a_journal_that_can_not_be_read_is_exit_7(box, typed, tmp_path):
    typed("driver install --yes")
    next((tmp_path / "data/gpusetup/driver").glob("*/journal.json")).write_text("{")
    code, document = typed("driver install --resume --yes")
    assert (code, ids(document)) == (7, ["driver-journal-malformed"])
    assert typed("driver install --yes --fresh")[0] == 0


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (with_driver(), []),
        (with_driver(version="570.1.2"), ["driver-branch-differs"]),
        (with_driver(module="proprietary"), ["kernel-module-differs"]),
        (with_driver(module=None), []),
        (with_driver(state=GpuState.UNUSABLE), ["driver-not-answering"]),
        (Machine(readings=(Reading("nvml.init", "nvml", failure="no driver"),)), ["driver-not-answering"]),
    ],
)
def test_what_must_be_there_after_the_last_step(seen, found, box, typed):
    assert [finding.id for finding in verify(seen, Goal(580, "open"))] == found
    assert verify(seen, Goal()) == () or found == ["driver-not-answering"]
    box.plan, box.seen = plan(STEPS[0]), seen
    code, document = typed("driver install --yes")
    assert (code, ids(document)) == (5 if found else 0, found)


def test_roots_programs_are_found_where_su_left_them_out():
    assert (
        driver_setup._roots_environment({"PATH": "/usr/bin:/sbin"})["PATH"]
        == "/usr/bin:/sbin:/usr/local/sbin:/usr/sbin"
    )
    assert driver_setup._roots_environment({})["PATH"].endswith(":/usr/sbin:/sbin")


def test_the_running_kernel_is_filled_in(box, typed):
    box.plan = plan(Step("headers", "x", (Packages("apt", "install", ("linux-headers-{kernel}",)),)))
    typed("driver install --yes")
    assert box.calls() == [f"apt-get install linux-headers-{os.uname().release}"]


def planned(name, gpu):
    """The plan of a machine of that distribution; None where it has none, as without a key that somebody has read."""
    os, _, version = name.partition(" ")
    seen = driver_boxes.machine(gpu, os=os, version=version, arch="x86_64", kernel="6.8.0-31-generic")
    try:
        return driver_boxes.plan(seen, container_toolkit=True)
    except NoBuildError:
        return None


PLANS = {
    f"{row.name}, {gpu}": made
    for row in driver_boxes.MATRIX.driver_sources.distributions
    for gpu in ("NVIDIA H100 80GB HBM3", "Tesla P40")
    if (made := planned(row.name, gpu)) is not None
}


def test_most_distributions_have_plans():
    assert len(PLANS) > 15


@pytest.mark.parametrize("name", PLANS)
def test_the_steps_of_every_distribution_can_be_kept_and_read_back(name, tmp_path):
    """What a plan holds comes out of a journal as it went in: words, regular expressions, texts of files."""
    made = PLANS[name]
    assert made.steps
    tmp_path.chmod(0o700)
    book = Book.begin(tmp_path, driver_setup.for_this_kernel(made.steps), Goal(made.branch, made.kernel_module))
    assert open_run(tmp_path, book.journal.id).journal == book.journal
    assert len(undo_lines(book.journal.steps, book.journal.entries)) == 0
