"""What a person reads of a run of driver steps."""

from provision.drivers.records import DriverRun, RunStep
from provision.report.driver_run import render_driver_run
from provision.report.style import Style
from provision.report.summary import driver_text

STEPS = (
    RunStep("kernel-headers", "passed-over"),
    RunStep("driver", "done", seconds=83.2),
    RunStep("reboot", "running", seconds=0.0),
)


def test_a_run_that_waits_for_the_restart():
    run = DriverRun(
        "waiting-for-reboot",
        STEPS,
        needs_reboot=True,
        journal="/var/lib/gpusetup/driver/20261124T020000",
        go_on="gpusetup driver install --resume",
        take_back=("apt-get remove --yes nvidia-driver-580",),
    )
    assert render_driver_run(run, Style()).splitlines() == [
        "skip     kernel-headers  done already",
        "ok       driver          done  83.2 s",
        "warn     reboot          waits for the restart",
        "journal  /var/lib/gpusetup/driver/20261124T020000",
        "undo     gpusetup driver undo, which does:",
        "  apt-get remove --yes nvidia-driver-580",
        "next     restart the machine, then: gpusetup driver install --resume",
        "warn     waiting for a restart of the machine",
    ]
    assert driver_text(run) == "2 of 3 steps are done; a restart is due"


def test_a_rehearsal_names_what_does_not_hold_yet():
    run = DriverRun("rehearsed", (RunStep("driver", said="does not hold yet: a GPU is there"),))
    assert render_driver_run(run, Style()).splitlines() == [
        "skip     driver  pending",
        "note     driver: does not hold yet: a GPU is there",
        "ok       rehearsed; nothing has been changed",
    ]


def test_a_run_without_steps():
    assert render_driver_run(DriverRun("finished", ()), Style()) == "ok       all steps are done"
