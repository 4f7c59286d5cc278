"""Driver plans carried out by gpusetup's runner: real package managers, empty packages (tests/bench/driver_box.py)."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provision.drivers.render_sh import render_sh
from provision.drivers.steps import Packages
from provision.drivers.words import packages_argv
from tests.bench.driver_box import APT, DNF, KINDS, DriverBox, missing_programs
from tests.bench.throwaway import why_not

pytestmark = pytest.mark.e2e

SWITCHED = KINDS["hopper-switched"]
ADA = KINDS["ada"]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """Where published archives stay for the next test."""
    reason = why_not(tmp_path_factory.mktemp("trial"))
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("shelf")
    yield folder
    for home in folder.glob("*/gpg-*"):  # gpg starts an agent per key ring, which would outlive the tests
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


@pytest.fixture
def box(shelf, tmp_path):
    """`box("ubuntu 24.04", gpus)`: a started box; packages of this machine's own must be as before."""
    started = []
    before = _own_packages()

    def make(distribution, gpus=ADA, age="new"):
        reason = missing_programs(distribution)
        if reason:
            pytest.skip(reason)
        made = DriverBox(tmp_path / f"box{len(started)}", distribution, gpus, age=age, shelf=shelf)
        started.append(made)
        return made.__enter__()

    yield make
    for made in started:
        made.__exit__(None, None, None)
        shutil.rmtree(made.box.folder, ignore_errors=True)
    assert _own_packages() == before


def _own_packages():
    path = Path("/var/lib/dpkg/status")
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def finish(box, plan):
    account = box.carry_out(plan)
    assert account["kind"] == "finished", box.log_of(account)
    return account


def of_driver(have):
    return {name: version for name, version in have.items() if re.search("nvidia|libcuda|cuda-drivers", name)}


def of_release(have, release):
    """Packages of that very release of the driver; Debian's nvidia-kernel-common, say, has versions of its own."""
    return {name: version for name, version in have.items() if re.match(rf"(\d+:)?{re.escape(release)}-", version)}


def loaded(box):
    """Release of the module that is loaded, as the pretended kernel tells it."""
    return box.run("cat", "/sys/module/nvidia/version").out.strip() or None


# --- from nothing to a driver, again, and back --------------------------------------------------


@pytest.mark.parametrize("distribution", ["ubuntu 24.04", "debian 11", "debian 12", "debian 13"])
def test_every_distribution_there_again_and_back(box, distribution):
    machine = box(distribution)
    packages, settings = machine.installed(), machine.settings()
    plan = machine.plan(container_toolkit=True)

    account = finish(machine, plan)
    assert set(account["steps"].values()) <= {"done", "passed-over"}
    assert loaded(machine).startswith(f"{plan.branch}.")
    after = machine.installed()
    assert packages.items() <= after.items(), "a package that has nothing to do with the driver was changed"
    assert {version.split(".")[0].split(":")[-1] for name, version in of_driver(after).items() if "utils" in name} <= {
        str(plan.branch)
    }

    undone = machine.take_back()
    assert undone["kind"] == "undone", machine.log_of(undone)
    machine.run(*_AUTOREMOVE[_manager(distribution)])
    assert machine.installed() == packages
    assert machine.settings() == settings


_AUTOREMOVE = {
    "apt": ("apt-get", "-y", "autoremove", "--purge"),
    "dnf": ("dnf", "-y", "autoremove"),
    "zypper": ("zypper", "--non-interactive", "remove", "--clean-deps", "nvidia-persistenced"),
}


def _manager(distribution):
    return "apt" if distribution in APT else "dnf" if distribution in DNF else "zypper"


@pytest.mark.parametrize("distribution", ["ubuntu 24.04"])
def test_a_second_run_finds_every_step_done(box, distribution):
    machine = box(distribution, SWITCHED)
    plan = machine.plan(container_toolkit=True, cuda_toolkit="12.8")
    finish(machine, plan)
    packages = machine.installed()
    account = finish(machine, plan)
    acted = [name for name, state in account["steps"].items() if state != "passed-over"]
    assert [name for name in acted if name not in ("refresh", "reboot") and not name.endswith("-lists")] == []
    assert machine.installed() == packages


# --- upgrades -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "wish"),
    [
        ("ubuntu 24.04", {}),
    ],
)
def test_an_upgrade_of_everything_leaves_the_driver_alone(box, distribution, wish):
    machine = box(distribution, ADA, age="old")
    finish(machine, machine.plan(**wish))
    driver, release = of_driver(machine.installed()), loaded(machine)
    machine.grow()
    machine.run("apt-get", "update").ok()
    machine.run("apt-get", "-y", "dist-upgrade").ok()
    after = machine.installed()
    assert after["openssh-server"].endswith(("-4", "-3"))
    assert of_driver(after) == driver
    machine.restart()
    assert loaded(machine) == release, "the kernel that an upgrade brought has no module of the driver"


@pytest.mark.parametrize(
    ("distribution", "kind", "wish"),
    [
        ("ubuntu 24.04", "ada", {"origin": "nvidia"}),
        ("ubuntu 24.04", "ada", {"origin": "nvidia", "branch": 550}),
        ("ubuntu 24.04", "desktop", {}),
        ("debian 12", "ada", {"origin": "nvidia"}),
        ("debian 12", "ada", {"origin": "distro"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value.replace(" ", ""),
)
def test_an_upgrade_takes_everything_but_a_driver_of_one_release(box, distribution, kind, wish):
    """Debian's own packages, and NVIDIA's: with and without a pin, the driver's parts stay what they were."""
    machine = box(distribution, KINDS[kind], age="old")
    finish(machine, machine.plan(**wish))
    driver = of_release(machine.installed(), loaded(machine))
    assert driver
    machine.grow()
    machine.run("apt-get", "update").ok()
    for word in ("upgrade", "dist-upgrade"):
        machine.run("apt-get", "-y", word).ok()
        assert of_release(machine.installed(), loaded(machine)) == driver
    assert machine.installed()["openssh-server"].endswith(("-3", "-4")), "nothing was upgraded at all"


#: Kinds of GPU whose plans need most: a fabric manager of the driver's release, names without `nvidia` in them.
RPM = [("rhel 9", "hopper-switched"), ("fedora 42", "volta"), ("sles 15", "hopper-switched")]


@pytest.mark.parametrize(("distribution", "kind"), RPM)
def test_rpm_packages_of_one_branch_an_upgrade_that_leaves_them_alone_and_back(box, distribution, kind):
    machine = box(distribution, KINDS[kind], age="old")
    packages, settings = machine.installed(), machine.settings()
    plan = machine.plan()
    finish(machine, plan)
    driver = of_driver(machine.installed())
    assert {version.split("-")[0].split("_")[0] for version in driver.values()} == {loaded(machine)}
    assert loaded(machine).startswith(f"{plan.branch}.")
    machine.grow()
    upgrade_everything(machine)
    assert of_driver(machine.installed()) == driver

    undone = machine.take_back()
    assert undone["kind"] == "undone", machine.log_of(undone)
    assert locks(machine) == []
    machine.run(*_AUTOREMOVE[_manager(distribution)]).ok()
    assert machine.installed() == {**packages, "openssh-server": machine.installed()["openssh-server"]}
    now = machine.settings()
    # What dnf and zypper leave: the stream as `dnf module reset` has it, a list of locks without a lock.
    assert {path for path in now if now[path] != settings.get(path)} <= {
        "/own/etc/dnf/modules.d/nvidia-driver.module",
        "/own/etc/zypp/locks",
    }


def upgrade_everything(machine):
    """As the distribution's manual says; another package than the driver's must have been upgraded by it."""
    before = machine.installed()["openssh-server"]
    if machine.distribution in DNF:
        machine.run("dnf", "-y", "--refresh", "upgrade").ok()
    else:
        machine.run("zypper", "--non-interactive", "refresh").ok()
        machine.run("zypper", "--non-interactive", "update").ok()
    assert machine.installed()["openssh-server"] != before


def locks(machine):
    """Entries of the list of locked packages."""
    if machine.distribution in DNF:
        return machine.run("dnf", "-q", "versionlock", "list").ok().split()
    return re.findall(r"^\d+ \| (\S+)", machine.run("zypper", "locks").ok(), re.MULTILINE)


def test_dnf_locks_exactly_what_is_installed_of_the_driver(box):
    machine = box("rhel 9", ADA, age="old")
    plan = machine.plan()
    finish(machine, plan)
    assert {line.partition("-3:")[0] for line in locks(machine)} == of_driver(machine.installed()).keys()
    (proof,) = step_of(plan, "hold-driver").done_when
    assert machine.run(*proof.argv).exit_code == 0
    machine.run("dnf", "-y", "versionlock", "delete", "libnvidia-cfg").ok()
    assert machine.run(*proof.argv).exit_code == 1
    an_upgrade_exchanges_the_driver_that_nobody_locks(machine, plan)


def test_zypper_would_upgrade_a_driver_that_nobody_locks(box):
    machine = box("sles 15", ADA, age="old")
    plan = machine.plan()
    finish(machine, plan)
    an_upgrade_exchanges_the_driver_that_nobody_locks(machine, plan)


def an_upgrade_exchanges_the_driver_that_nobody_locks(machine, plan):
    for action in step_of(plan, "hold-driver").undo:
        machine.run(*(packages_argv(action) if isinstance(action, Packages) else action.argv)).ok()
    driver = of_driver(machine.installed())
    machine.grow()
    upgrade_everything(machine)
    assert of_driver(machine.installed()) != driver


def step_of(plan, name):
    (found,) = [step for step in plan.steps if step.id == name]
    return found


def test_the_bench_shows_what_happens_without_a_hold(box):
    """The upgrade that the holds are tested with does change a driver that nobody holds."""
    machine = box("ubuntu 24.04", ADA, age="old")
    plan = machine.plan()
    finish(machine, plan)
    held = machine.run("apt-mark", "showhold").ok().split()
    machine.run("apt-mark", "unhold", *held).ok()
    driver = of_driver(machine.installed())
    machine.grow()
    machine.run("apt-get", "update").ok()
    machine.run("apt-get", "-y", "dist-upgrade").ok()
    assert of_driver(machine.installed()) != driver


# --- from one driver to another -----------------------------------------------------------------


NVIDIA = {"origin": "nvidia"}
CLOSED = {"branch": 580, "kernel_module": "proprietary"}
OPEN = {"branch": 580, "kernel_module": "open"}


@pytest.mark.parametrize(
    ("distribution", "first", "second", "age"),
    [
        ("ubuntu 24.04", {"branch": 580}, {"branch": 595}, "old"),
        ("ubuntu 24.04", {"branch": 580}, {"branch": 595, **NVIDIA}, "old"),
        ("ubuntu 24.04", {"branch": 595, **NVIDIA}, {"branch": 580}, "old"),
        ("ubuntu 24.04", {"branch": 580, **NVIDIA}, {"branch": 595, **NVIDIA}, "old"),
        ("ubuntu 24.04", {"branch": 595, **NVIDIA}, {"branch": 610, **NVIDIA}, "new"),
        ("ubuntu 22.04", CLOSED, OPEN, "new"),
        ("ubuntu 22.04", CLOSED, OPEN, "old"),
        ("debian 12", {"branch": 580, **NVIDIA}, {"branch": 595, **NVIDIA}, "old"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value).replace(" ", ""),
)
def test_a_switch_leaves_one_driver_and_can_be_taken_back(box, distribution, first, second, age):
    machine = box(distribution, age=age)
    others = machine.installed()
    finish(machine, machine.plan(**first))
    packages, settings, held = machine.installed(), machine.settings(), machine.run("apt-mark", "showhold").ok()
    release = loaded(machine)
    if age == "old":  # a box that nobody has upgraded since
        machine.grow()
    new = machine.plan(**second)
    assert new.steps, "the plan says that there is nothing to do"
    finish(machine, new)
    after = machine.installed()
    assert others.keys() <= after.keys()
    assert loaded(machine).startswith(f"{new.branch}.")
    modules = [name for name in after if re.match(r"nvidia-.*dkms|nvidia-kernel-source|linux-modules-nvidia", name)]
    assert modules
    assert all(("open" in name) == (new.kernel_module == "open") for name in modules), modules
    for word in ("upgrade", "dist-upgrade"):
        machine.run("apt-get", "-y", word).ok()
        assert of_driver(machine.installed()) == of_driver(after)

    undone = machine.take_back()
    assert undone["kind"] == "undone", machine.log_of(undone)
    machine.run("apt-get", "-y", "autoremove", "--purge").ok()
    machine.restart()
    back = machine.installed()
    if age == "new":
        assert of_driver(back) == of_driver(packages)
        assert loaded(machine) == release
    # What the archive has of the old branch by now is another release, for another kernel.
    assert {_without_numbers(name) for name in of_driver(back)} == {
        _without_numbers(name) for name in of_driver(packages)
    }
    assert loaded(machine).partition(".")[0] == release.partition(".")[0]
    assert machine.settings() == settings
    assert machine.run("apt-mark", "showhold").ok() == held


def _without_numbers(name):
    """A package's name without the release or the kernel in it."""
    return re.sub(r"-\d+\.\d+\.\d+(?:-\d+)?(?=-|$)", "", name)


@pytest.mark.parametrize(
    ("distribution", "first", "second"),
    [
        ("fedora 42", CLOSED, {"branch": 590}),  # both modules exclude each other
        ("sles 15", {"branch": 580}, {"branch": 595}),
    ],
)
def test_a_switch_of_rpm_packages_leaves_one_driver_of_one_release(box, distribution, first, second):
    machine = box(distribution, ADA, age="old")
    others = machine.installed()
    finish(machine, machine.plan(**first))
    machine.grow()  # a box that nobody has upgraded since
    new = machine.plan(**second)
    finish(machine, new)
    after = machine.installed()
    assert others.keys() <= after.keys()
    assert {version.split("-")[0].split("_")[0] for version in of_driver(after).values()} == {loaded(machine)}
    assert loaded(machine).startswith(f"{new.branch}.")
    modules = [name for name in after if re.match(r"kmod-nvidia|nvidia-(?:open-)?driver-G", name)]
    assert len(modules) == 1
    assert ("open" in modules[0]) == (new.kernel_module == "open")


# --- trust --------------------------------------------------------------------------------------


def test_a_key_with_another_fingerprint_is_not_taken(box):
    machine = box("debian 12")
    plan = machine.plan()
    packages = machine.installed()
    key = machine.mirror.key("somebody-else")
    (place,) = [path for path in machine.mirror.folder.rglob("*.pub") if "debian12" in str(path)]
    place.unlink()
    place.write_bytes(key.armored)
    account = machine.carry_out(plan)
    assert account["kind"] == "failed"
    assert account["code"] == "key-fingerprint-mismatch", account
    assert machine.installed() == packages
    assert machine.run("ls", "/etc/apt/sources.list.d").out.split() == ["debian.sources"]


def test_a_repository_that_somebody_else_signed_is_refused(box):
    machine = box("debian 12")
    plan = machine.plan()
    packages = machine.installed()
    (release,) = [path for path in machine.mirror.folder.rglob("InRelease") if "repos/debian12" in str(path)]
    text = release.read_text().replace("Origin: NVIDIA", "Origin: N")
    release.unlink()
    release.write_text(text)
    account = machine.carry_out(plan)
    assert account["kind"] == "failed"
    assert machine.installed() == packages


# --- the script that people take away -----------------------------------------------------------


@pytest.mark.parametrize("distribution", ["ubuntu 24.04", "rhel 9"])
def test_the_shell_script_does_what_the_runner_does(box, distribution):
    machine, other = box(distribution), box(distribution)
    finish(machine, machine.plan())
    plan = other.plan()
    script = render_sh(plan)
    other.box.path("/root/driver.sh").write_text(script, encoding="utf-8")
    first = other.run("sh", "/root/driver.sh")
    assert "reboot" in other.run("cat", "/var/log/pretended").out, f"{first.out[-3000:]}{first.err[-3000:]}"
    assert other.installed() == machine.installed()
    other.restart()
    again = other.run("sh", "/root/driver.sh")
    assert again.exit_code == 0, again.err
    assert other.installed() == machine.installed()


def test_the_interpreter_of_the_tests_runs_inside(box):
    """What the box shows of this machine includes the tests' own environment, wherever that stands."""
    machine = box("debian 12")
    said = machine.run(sys.executable, "-c", "import yaml, sys; print(sys.prefix)").ok()
    assert said.strip() == sys.prefix
