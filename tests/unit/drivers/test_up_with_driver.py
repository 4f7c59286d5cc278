"""`up --with-driver`: when the driver is changed, when not, and what it means for the job."""

import json
from dataclasses import replace
from pathlib import Path

import driver_boxes
import pytest

from provision import driver_stage, pipeline
from provision.cli import run
from provision.driver_setup import DriverJob
from provision.driver_stage import DriverStage, bring_driver, lacks_driver
from provision.drivers.plan import DriverPlan
from provision.drivers.steps import Packages, Proof, Reboot, Step
from provision.errors import ExitCode, InputError, NoBuildError, UsageError
from provision.examined import Examined
from provision.pipeline import AcceptOptions, InstallOptions
from provision.records import Driver, Gpu, GpuState, Host, Interpreter, Machine, Request
from provision.versions import ComputeCapability, CudaVersion, DriverVersion, Glibc
from tests.bench.matrix import shipped

PACKAGE = "nvidia-driver-580"
INSTALL = Step(
    "driver",
    "branch 580",
    (Packages("apt", "install", (PACKAGE,)),),
    undo=(Packages("apt", "remove", (PACKAGE,)),),
    done_when=(Proof(("is-installed", PACKAGE), "it is installed", "installed"),),
)
REBOOT = Step("reboot", "loads the module", (Reboot(),))
PLAN = DriverPlan(580, "open", ("Hopper",), "ubuntu 24.04", "distro", "13.0", (INSTALL, REBOOT))
WITHOUT = Examined(driver_boxes.machine("NVIDIA H100 80GB HBM3"))


def with_driver(release="580.95.05", cuda="13.0"):
    host = Host(system="linux", os="ubuntu", os_version="24.04", arch="x86_64", glibc=Glibc(2, 39))
    gpu = Gpu(0, name="NVIDIA H100 80GB HBM3", compute_capability=ComputeCapability(9, 0), in_nvml=True)
    version = DriverVersion(release)
    driver = Driver(version, CudaVersion.parse(cuda), "open", version, version)
    python = Interpreter("3.12.3", executable="/usr/bin/python3")
    return Examined(Machine(host=host, python=python, driver=driver, gpus=(gpu,), gpu_state=GpuState.USABLE))


@pytest.fixture
def stage(machine, tmp_path, monkeypatch):
    """The stage on a pretended machine; what was asked is in `machine.asked`."""
    monkeypatch.setattr(driver_stage, "_plan", lambda *_: PLAN)
    machine.asked, machine.answer, machine.seen = [], True, with_driver().machine

    def agrees(plan):
        machine.asked.append(plan.branch)
        return machine.answer

    hand = machine.hand()
    job = DriverJob(tmp_path / "runs", hand, lambda _: None, lambda: machine.seen, may_load=True)
    return DriverStage(job, lambda: None, agrees)


def brought(stage, examined, **wish):
    return bring_driver(stage, examined, Request(**wish), shipped())


def test_a_box_whose_driver_is_fine_is_left_alone(stage, machine):
    assert not lacks_driver(with_driver(), Request(), shipped())
    assert brought(stage, with_driver()) is None
    assert (machine.calls(), machine.asked) == ([], [])


def test_a_box_without_a_gpu_or_with_a_wish_for_the_cpu_is_left_alone(stage, machine):
    assert brought(stage, Examined(Machine())) is None
    assert brought(stage, WITHOUT, cpu=True) is None
    assert machine.asked == []


def test_a_driver_that_is_too_old_for_every_build_is_one_to_change():
    assert lacks_driver(with_driver("418.40.04", "10.1"), Request(), shipped())
    assert lacks_driver(with_driver("525.85.12", "12.0"), Request(cuda="cu130"), shipped())
    assert not lacks_driver(with_driver(), Request(torch="0.1"), shipped())


def test_who_says_no_keeps_the_box_as_it_is(stage, machine):
    machine.answer = False
    assert brought(stage, WITHOUT) is None
    assert (machine.calls(), machine.asked) == ([], [580])


def test_a_missing_driver_is_installed_up_to_the_restart_and_the_next_up_goes_on(stage, machine):
    outcome = brought(stage, WITHOUT)
    assert (outcome.is_done, outcome.run.needs_reboot) == (False, True)
    with pytest.raises(driver_stage.NoUsableGpuError) as caught:
        driver_stage.require_done(outcome)
    assert caught.value.code == "reboot-needed"
    assert "gpusetup up --with-driver" in caught.value.risky[1]
    machine.boot("boot-2")
    outcome = brought(stage, with_driver())
    assert outcome.is_done
    driver_stage.require_done(outcome)
    assert machine.asked == [580]  # the plan of a run that waits was agreed to
    assert machine.calls() == [f"apt-get install {PACKAGE}"]
    assert brought(stage, with_driver()) is None


def test_a_failed_run_on_a_box_whose_driver_came_otherwise_is_left_alone(stage, machine):
    machine.say("fail-install")
    outcome = brought(stage, WITHOUT)
    with pytest.raises(driver_stage.InstallError) as caught:
        driver_stage.require_done(outcome)
    assert (caught.value.code, caught.value.exit_code) == ("step-failed", ExitCode.INSTALL_FAILED)
    assert brought(stage, with_driver()) is None
    machine.forget("fail-install")
    assert brought(stage, WITHOUT).run.needs_reboot


def test_a_journal_that_can_not_be_read_stops_only_who_needs_it(stage, machine):
    folder = brought(stage, WITHOUT).run.journal
    (Path(folder) / "journal.json").write_text("{")
    assert brought(stage, with_driver()) is None
    with pytest.raises(InputError):
        brought(stage, WITHOUT)


def test_a_driver_that_can_be_loaded_at_once_needs_no_restart(stage, machine):
    machine.put("/proc/modules", "ext4 1 1 - Live 0x0\n")
    assert brought(stage, WITHOUT).is_done
    assert machine.calls() == [f"apt-get install {PACKAGE}", "modprobe nvidia", "nvidia-smi "]


def test_up_looks_again_once_the_driver_is_there(stage, machine, monkeypatch, tmp_path):
    looks = [WITHOUT, with_driver()]
    stage = replace(stage, job=replace(stage.job))
    monkeypatch.setattr(driver_stage, "_plan", lambda *_: replace(PLAN, steps=(INSTALL,)))
    monkeypatch.setattr(pipeline, "_look", lambda *_: looks.pop(0))
    planned = []

    def plan_for(examined, *_):
        planned.append(examined)
        raise NoBuildError("enough")

    monkeypatch.setattr(pipeline, "plan_for", plan_for)
    report = pipeline.up(
        Request(), InstallOptions(tmp_path), lambda _: None, AcceptOptions(), started_at="now", driver=stage
    )
    assert planned == [with_driver()]
    assert report.data.driver.state == "finished"
    assert report.exit_code is ExitCode.NO_BUILD


def test_up_stops_at_the_restart_with_the_command_to_go_on(stage, machine, monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "_look", lambda *_: WITHOUT)
    report = pipeline.up(
        Request(), InstallOptions(tmp_path), lambda _: None, AcceptOptions(), started_at="now", driver=stage
    )
    assert report.exit_code is ExitCode.NO_GPU
    assert report.findings[0].id == "reboot-needed"
    assert report.data.driver.needs_reboot


def test_who_may_not_change_the_driver_is_told(stage, machine):
    def refuse():
        raise UsageError("root")

    with pytest.raises(UsageError):
        brought(replace(stage, require_allowed=refuse), WITHOUT)
    assert machine.calls() == []


def test_yes_alone_is_refused(capsys):
    assert run(["up", "--yes", "--json"]) == 2
    assert "--with-driver" in json.loads(capsys.readouterr().out)["findings"][0]["happened"]
