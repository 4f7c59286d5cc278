"""Steps of a driver plan, run on a pretended machine: in order, once, provable, resumable, and taken back."""

import contextlib
import os
import random
import signal
import stat
import threading
import time

import pytest

from provision.drivers.account import rehearse, run_of
from provision.drivers.hand import Watch
from provision.drivers.journal import Book, journal_text, locked, open_run, parse_journal, runs
from provision.drivers.records import Goal
from provision.drivers.running import carry_out
from provision.drivers.steps import FetchKey, Packages, Proof, Reboot, RemoveFile, Run, Step, WriteFile
from provision.drivers.undoing import take_back
from provision.errors import InputError, InstallError

DRIVER = "nvidia-driver-580-server-open"
CONF = "/etc/modprobe.d/gpusetup.conf"


def installed(name):
    return Proof(("is-installed", name), f"{name} is installed", matches="installed")


REFRESH = Step("refresh", "the newest lists", (Packages("apt", "refresh"),))
INSTALL = Step(
    "driver-packages",
    "the driver",
    (Packages("apt", "install", (DRIVER,)),),
    undo=(Packages("apt", "remove", (DRIVER,)),),
    done_when=(installed(DRIVER),),
)
CONFIGURE = Step(
    "module-options",
    "nouveau must not take the GPU",
    (WriteFile(CONF, "blacklist nouveau\n"), Run(("update-initramfs", "-u"))),
    undo=(RemoveFile(CONF), Run(("update-initramfs", "-u"))),
)
HOLD = Step(
    "hold-driver",
    "no upgrade between two starts",
    (Packages("apt", "hold", (DRIVER,)),),
    undo=(Packages("apt", "unhold", (DRIVER,)),),
)
REBOOT = Step("reboot", "loads the module", (Reboot(),))
AFTER = Step("persistence", "keeps the driver loaded", (Run(("systemctl", "enable-persistenced")),))
STEPS = (REFRESH, INSTALL, CONFIGURE, HOLD, REBOOT, AFTER)


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir(mode=0o700)
    return folder


def quiet(_event):
    pass


def states(book):
    return {entry.id: entry.state for entry in book.journal.entries}


def reopened(base):
    """The run as another process finds it."""
    return open_run(base, runs(base)[0])


def finish(machine, base, steps=STEPS):
    """A run to its end, over a start of the machine."""
    book = Book.begin(base, steps, Goal())
    assert carry_out(book, machine.hand(), quiet).kind == "reboot"
    machine.boot("boot-2")
    book = reopened(base)
    assert carry_out(book, machine.hand(), quiet).kind == "finished"
    return book


def test_steps_run_in_order_up_to_the_reboot_and_go_on_after_it(machine, base):
    book = Book.begin(base, STEPS, Goal())
    assert carry_out(book, machine.hand(), quiet).kind == "reboot"
    first = machine.calls()
    assert first == [
        "apt-get update",
        f"apt-get install {DRIVER}",
        "update-initramfs ",
        f"apt-mark hold {DRIVER}",
    ]
    assert run_of(book).needs_reboot
    assert run_of(book).go_on == "gpusetup driver install --resume"
    # Asked again before the machine was started: the same answer, and nothing is run.
    assert carry_out(reopened(base), machine.hand(), quiet).kind == "reboot"
    assert machine.calls() == first
    machine.boot("boot-2")
    book = reopened(base)
    assert carry_out(book, machine.hand(), quiet).kind == "finished"
    assert machine.calls()[len(first) :] == ["systemctl enable-persistenced"]
    assert set(states(book).values()) == {"done"}
    assert not run_of(book).needs_reboot
    assert run_of(book).go_on is None


def test_the_machine_is_restarted_only_when_that_was_asked_for(machine, base):
    book = Book.begin(base, (REBOOT,), Goal())
    assert carry_out(book, machine.hand(), quiet).kind == "reboot"
    assert machine.calls() == []
    assert carry_out(book, machine.hand(), quiet, may_reboot=True).kind == "reboot"
    assert machine.calls() == ["systemctl reboot"]


def test_a_step_that_is_done_already_is_passed_over(machine, base):
    machine.say(f"installed/{DRIVER}")
    book = Book.begin(base, (INSTALL,), Goal())
    assert carry_out(book, machine.hand(), quiet).kind == "finished"
    assert states(book) == {"driver-packages": "passed-over"}
    assert machine.calls() == []
    # What the run did not do is not taken back either.
    assert take_back(book, machine.hand(), quiet).kind == "undone"
    assert machine.installed() == [DRIVER]


def test_a_precondition_that_fails_refuses_the_step_with_its_words(machine, base):
    needs = Proof(("is-installed", "headers"), "the headers are installed", do="apt-get install headers")
    step = Step("driver-packages", "the driver", INSTALL.actions, needs=(needs,))
    book = Book.begin(base, (REFRESH, step), Goal())
    ending = carry_out(book, machine.hand(), quiet)
    assert (ending.kind, ending.error.code) == ("failed", "precondition-failed")
    assert "the headers are installed" in ending.error.happened
    assert ending.error.do[0] == "apt-get install headers"
    assert machine.calls() == ["apt-get update"]
    machine.say("installed/headers")
    assert carry_out(reopened(base), machine.hand(), quiet).kind == "finished"
    assert machine.calls() == ["apt-get update", f"apt-get install {DRIVER}"]


def test_a_step_that_is_still_not_done_is_a_failure_of_its_own(machine, base):
    step = Step("driver-packages", "the driver", INSTALL.actions, done_when=(installed("libcuda1"),))
    book = Book.begin(base, (step,), Goal())
    ending = carry_out(book, machine.hand(), quiet)
    assert ending.error.code == "step-not-done"
    assert "libcuda1 is installed" in ending.error.happened


def test_a_failing_command_is_quoted_and_the_run_goes_on_once_it_works(machine, base):
    machine.say("fail-install")
    book = Book.begin(base, STEPS, Goal())
    ending = carry_out(book, machine.hand(), quiet)
    assert ending.error.code == "step-failed"
    found = {item.name: item.value for item in ending.error.evidence}
    assert found["exit status"] == 100
    assert "E: install went wrong" in found["output"]
    assert states(book)["driver-packages"] == "failed"
    assert states(book)["hold-driver"] == "pending"
    machine.forget("fail-install")
    assert carry_out(reopened(base), machine.hand(), quiet).kind == "reboot"
    # What dpkg may have left half done is finished before it is asked again.
    assert machine.calls().count("dpkg ") == 1
    assert machine.installed() == [DRIVER]


def test_a_program_that_is_missing_is_named(machine, base):
    book = Book.begin(base, (Step("dnf", "another manager", (Packages("dnf", "refresh"),)),), Goal())
    ending = carry_out(book, machine.hand(), quiet)
    assert "`dnf makecache`: it cannot be started: No such file or directory" in ending.error.happened


def test_a_package_manager_that_would_remove_a_desktop_is_not_run(machine, base):
    machine.say("removes", f"gnome-shell\n{DRIVER}\n")
    book = Book.begin(base, (INSTALL,), Goal())
    ending = carry_out(book, machine.hand(), quiet)
    assert ending.error.code == "would-remove-packages"
    assert ending.error.evidence[0].value == ("gnome-shell",)
    assert machine.calls() == []


def test_packages_that_the_step_names_may_go(machine, base):
    machine.say("removes", "nvidia-driver-535\nlibnvidia-compute-535\n")
    old = Packages("apt", "remove", ("nvidia-driver-535", "libnvidia-*-535"))
    book = Book.begin(base, (Step("replace", "another branch", (old, *INSTALL.actions)),), Goal())
    assert carry_out(book, machine.hand(), quiet).kind == "finished"


def test_a_command_that_asks_is_refused_where_nobody_sits(machine, base):
    step = Step("enrol-key", "Secure Boot", (Run(("mokutil", "--import", "x"), asks="a password"),))
    ending = carry_out(Book.begin(base, (step,), Goal()), machine.hand(), quiet)
    assert "it asks questions, and there is no terminal" in ending.error.happened


# --- files and the way back


def test_undo_restores_every_file_as_it_was(machine, base):
    machine.put(CONF, "options nvidia NVreg_Foo=1\n# ä\n", mode=0o640)
    machine.put("/etc/apt/real.sources", "deb old\n")
    (machine.root / "etc/apt/link.sources").symlink_to("real.sources")
    machine.put("/etc/unwanted", "stays\n")
    machine.keys["https://example.org/key"] = b"x"
    before = machine.tree()
    steps = (
        Step(
            "files",
            "many",
            (
                WriteFile("/etc/apt/link.sources", "deb new\n"),
                WriteFile("/usr/share/new/folder/file", "new\n", 0o600),
                RemoveFile("/etc/unwanted"),
                RemoveFile("/etc/not-there"),
            ),
            undo=(RemoveFile("/usr/share/new/folder/file"),),
        ),
        CONFIGURE,
    )
    book = Book.begin(base, steps, Goal())
    assert carry_out(book, machine.hand(), quiet).kind == "finished"
    during = machine.tree()
    assert during["etc/apt/link.sources"][1] == b"deb new\n"
    assert stat.S_IMODE(during["usr/share/new/folder/file"][0]) == 0o600
    assert "etc/unwanted" not in during
    assert run_of(book).take_back[0] == f"restore {CONF}"
    assert take_back(reopened(base), machine.hand(), quiet).kind == "undone"
    assert machine.tree() == before
    assert machine.calls() == ["update-initramfs ", "update-initramfs "]


def test_a_file_that_somebody_changed_since_is_left_alone(machine, base):
    book = Book.begin(base, (CONFIGURE,), Goal())
    carry_out(book, machine.hand(), quiet)
    machine.put(CONF, "mine\n")
    assert take_back(book, machine.hand(), quiet).kind == "undone"
    assert (machine.root / CONF.lstrip("/")).read_text() == "mine\n"
    assert book.journal.entries[0].said == f"{CONF} was changed since and is left alone"


def test_undo_goes_backwards_and_says_that_a_restart_is_due(machine, base):
    book = finish(machine, base)
    calls = len(machine.calls())
    assert take_back(book, machine.hand(), quiet).kind == "undone"
    assert machine.calls()[calls:] == [f"apt-mark unhold {DRIVER}", "update-initramfs ", f"apt-get remove {DRIVER}"]
    assert machine.installed() == []
    assert run_of(book).needs_reboot
    assert run_of(book).take_back == ()
    # A second undo finds nothing to do.
    assert take_back(reopened(base), machine.hand(), quiet).kind == "undone"
    assert len(machine.calls()) == calls + 3


def test_an_undo_that_fails_is_finished_by_the_next_one(machine, base):
    book = finish(machine, base)
    machine.say("fail-remove")
    assert take_back(book, machine.hand(), quiet).error.code == "step-failed"
    assert states(book)["hold-driver"] == "undone"
    machine.forget("fail-remove")
    assert take_back(reopened(base), machine.hand(), quiet).kind == "undone"
    assert machine.calls().count(f"apt-mark unhold {DRIVER}") == 1
    assert machine.installed() == []


def test_after_an_undo_that_failed_the_run_can_go_forward_again(machine, base):
    book = finish(machine, base)
    machine.say("fail-remove")
    take_back(book, machine.hand(), quiet)
    machine.forget("fail-remove")
    book = reopened(base)
    assert carry_out(book, machine.hand(), quiet).kind == "reboot"  # the hold and all after it are done anew
    assert machine.installed() == [DRIVER]
    assert [path.name for path in (machine.state / "held").iterdir()] == [DRIVER]


def test_what_a_failed_step_did_not_come_to_do_does_not_stop_its_undo(machine, base):
    machine.say("fail-hold")
    machine.say("fail-unhold")
    book = Book.begin(base, STEPS, Goal())
    assert carry_out(book, machine.hand(), quiet).kind == "failed"
    assert take_back(book, machine.hand(), quiet).kind == "undone"
    assert machine.installed() == []


# --- keys


def test_a_key_of_another_fingerprint_is_never_installed(machine, base):
    from provision.drivers.keys import fingerprint_of

    key = b"\x99\x00\x06\x04\x00\x00\x00\x00\x01"  # one primary key packet of version 4
    machine.keys["https://example.org/key"] = key
    path = "/usr/share/keyrings/x.gpg"
    wrong = Step("key", "signed packages", (FetchKey("https://example.org/key", path, "0" * 40),))
    ending = carry_out(Book.begin(base, (wrong,), Goal()), machine.hand(), quiet)
    assert ending.error.code == "key-fingerprint-mismatch"
    assert not (machine.root / path.lstrip("/")).exists()
    assert fingerprint_of(key) == ending.error.evidence[0].value


def test_a_key_that_can_not_be_fetched_is_a_finding(machine, base):
    step = Step("key", "signed packages", (FetchKey("https://example.org/none", "/etc/k.gpg", "0" * 40),))
    ending = carry_out(Book.begin(base, (step,), Goal()), machine.hand(), quiet)
    assert ending.error.code == "key-not-fetched"


# --- rehearsal, lock, loading


def test_a_rehearsal_changes_nothing_and_says_what_is_done_and_what_is_missing(machine):
    machine.say(f"installed/{DRIVER}")
    needy = Step("more", "x", (Packages("apt", "install", ("a",)),), needs=(installed("headers"),))
    before = machine.tree()
    run = rehearse((REFRESH, INSTALL, needy), machine.hand())
    assert [step.state for step in run.steps] == ["pending", "passed-over", "pending"]
    assert run.steps[2].said == "does not hold yet: headers is installed"
    assert machine.calls() == []
    assert machine.tree() == before


def test_two_runs_at_once_are_refused(base):
    with locked(base):
        with pytest.raises(InstallError) as caught:
            with locked(base):
                pass
    assert caught.value.code == "driver-run-busy"
    assert f"process {os.getpid()}" in str(caught.value.evidence[0].value)


def test_a_driver_that_can_be_loaded_needs_no_restart(machine, base):
    machine.put("/proc/modules", "ext4 1 1 - Live 0x0\n")
    book = Book.begin(base, (REBOOT,), Goal())
    assert carry_out(book, machine.hand(), quiet, may_load=True).kind == "finished"
    assert machine.calls() == ["modprobe nvidia", "nvidia-smi "]


@pytest.mark.parametrize("module", ["nouveau", "nvidia"])
def test_a_driver_is_not_loaded_beside_another_one(module, machine, base):
    machine.put("/proc/modules", f"ext4 1 1 - Live 0x0\n{module} 1 1 - Live 0x0\n")
    book = Book.begin(base, (REBOOT,), Goal())
    assert carry_out(book, machine.hand(), quiet, may_load=True).kind == "reboot"
    assert machine.calls() == []


# --- signals and programs that outlive us


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_package_manager(number, machine, base):
    machine.say("slow-install", "0.4")
    book, told = Book.begin(base, STEPS, Goal()), []

    def interrupt():
        while f"apt-get install {DRIVER}" not in machine.calls():
            time.sleep(0.01)
        for _ in range(2):
            os.kill(os.getpid(), number)
            time.sleep(0.05)

    thread = threading.Thread(target=interrupt)
    thread.start()
    before = signal.getsignal(number)
    ending = carry_out(book, machine.hand(), told.append)
    thread.join()
    assert (ending.kind, ending.signal) == ("stopped", number)
    assert signal.getsignal(number) == before
    assert "apt-get ended: install" in (machine.state / "ended").read_text()
    assert any("as soon as the action that runs has ended" in event.text for event in told)
    assert machine.calls()[-1] == f"apt-get install {DRIVER}"
    assert carry_out(reopened(base), machine.hand(), quiet).kind == "reboot"
    assert machine.unpacked() == [DRIVER]


def test_a_resumed_run_waits_for_the_program_that_a_killed_one_left_behind(machine, base):
    machine.say("slow-install", "0.5")
    pid = os.fork()
    if not pid:
        book = Book.begin(base, STEPS, Goal())
        carry_out(book, machine.hand(), quiet)
        os._exit(0)
    while f"apt-get install {DRIVER}" not in machine.calls() or reopened(base).journal.child is None:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    told = []
    assert carry_out(reopened(base), machine.hand(), told.append).kind == "reboot"
    assert any("which the run before has started" in event.text for event in told)
    assert machine.unpacked() == [DRIVER]  # it ended by itself, and its step is proven done


def test_a_silent_program_is_told_of_and_only_some_are_ended(machine, tmp_path, monkeypatch):
    monkeypatch.setattr("provision.drivers.hand.SILENCE_S", 0.1)
    monkeypatch.setattr("provision.drivers.hand.LONGEST_SILENCE_S", 0.3)
    silences = []
    watch = Watch(silent=silences.append)
    slept = machine.hand().act(("sleep", "0.8"), tmp_path / "log", watch, may_end=False)
    assert slept.returncode == 0
    assert len(silences) == 1
    ended = machine.hand().act(("sleep", "20"), tmp_path / "log", watch, may_end=True)
    assert "was silent" in ended.failure


# --- the journal


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.e2e)])
def test_a_killed_run_goes_on_from_every_transition(stride, tmp_path):
    """SIGKILL before and after each write of the journal and each touch of the machine, until none is left."""
    point = 0
    while sweep(point, tmp_path / f"sweep-{point}"):
        point += stride
    assert point > 40


def sweep(point, folder):
    """Kill a run at one point, then let others finish it; False when the run ended before that point."""
    from pretended_machine import PretendedMachine

    machine, base = PretendedMachine(folder / "machine"), folder / "runs"
    base.mkdir(mode=0o700)
    machine.put(CONF, "before\n")
    before = machine.tree()
    pid = os.fork()
    if not pid:
        left = [point]

        def killing(function):
            def call(*words, **named):
                for _ in range(2):
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1
                    result = function(*words, **named) if _ == 0 else result  # noqa: F821
                return result

            return call

        Book.write = killing(Book.write)
        hand = machine.hand()
        for name in ("act", "write", "remove"):
            setattr(hand, name, killing(getattr(hand, name)))
        carry_out(Book.begin(base, STEPS, Goal()), hand, quiet)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    was_killed = os.WIFSIGNALED(status)
    if not runs(base):  # before anything was written down, and before anything was done
        assert machine.calls() == []
        return was_killed
    assert carry_out(reopened(base), machine.hand(), quiet).kind == "reboot"
    machine.boot("boot-2")
    book = reopened(base)
    assert carry_out(book, machine.hand(), quiet).kind == "finished"
    assert set(states(book).values()) <= {"done", "passed-over"}
    assert machine.unpacked() == [DRIVER]
    assert machine.calls().count("systemctl enable-persistenced") == 1
    assert (machine.root / CONF.lstrip("/")).read_text() == "blacklist nouveau\n"
    machine.boot("boot-1")
    assert take_back(book, machine.hand(), quiet).kind == "undone"
    assert machine.tree() == before
    assert machine.installed() == []
    return was_killed


def test_every_transition_is_on_the_disk_with_its_name(machine, base, flushed):
    """The file before it gets its name, then the folder that holds the name."""
    book = Book.begin(base, STEPS, Goal())
    written = str(book.folder / ".journal.json.gpusetup-new")
    assert flushed == [written, str(book.folder)]
    carry_out(book, machine.hand(), quiet)
    conf = machine.root / CONF.lstrip("/")
    assert str(conf.with_name(f".{conf.name}.gpusetup-new")) in flushed
    assert flushed.count(written) > 10


GARBAGE = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"schema": "gpusetup.driver-journal/1"}',
    b"[" * 100_000,
    b'{"schema": "gpusetup.driver-journal/1", "id": ' + b"1" * 5000 + b"}",
    b" " * (5 * 1024 * 1024),
]


@pytest.mark.parametrize("raw", GARBAGE, ids=range(len(GARBAGE)))
def test_a_journal_that_is_none_is_refused(raw, base):
    book = Book.begin(base, STEPS, Goal())
    (book.folder / "journal.json").write_bytes(raw)
    with pytest.raises(InputError) as caught:
        reopened(base)
    assert caught.value.code == "driver-journal-malformed"
    assert "journal.json" in caught.value.happened


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"apt"', '"pacman"'),
        (DRIVER, "malware"),  # the digest is that of other steps
        ('"id": "refresh"', '"id": "../../x"'),
        ('"state": "running"', '"state": "great"'),
    ],
)
def test_a_changed_journal_is_refused(before, after, base):
    book = Book.begin(base, STEPS, Goal())
    path = book.folder / "journal.json"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(InputError):
        reopened(base)


def test_whatever_happens_to_a_journal_its_steps_are_those_that_were_agreed_to(base):
    """Every broken copy is refused, or holds the very same steps: only what was agreed to is ever run."""
    book = Book.begin(base, STEPS, Goal())
    text, chance, believed = journal_text(book.journal), random.Random(20261124), []
    for _ in range(400):
        place, length = chance.randrange(len(text)), chance.randrange(1, 40)
        instead = chance.choice(["", "null", '"x"', "7", text[place // 2 :][:length]])
        with contextlib.suppress(InputError):
            believed.append(parse_journal(text[:place] + instead + text[place + length :], where="journal"))
    assert 0 < len(believed) < 100
    assert {journal.steps for journal in believed} == {STEPS}


def test_a_journal_that_others_can_write_is_not_believed(base):
    book = Book.begin(base, STEPS, Goal())
    (book.folder / "journal.json").chmod(0o666)
    with pytest.raises(InputError, match="others than user"):
        reopened(base)
    (book.folder / "journal.json").chmod(0o600)
    book.folder.chmod(0o777)
    with pytest.raises(InputError, match="others than user"):
        reopened(base)
    book.folder.chmod(0o700)
    assert reopened(base).journal == book.journal


def test_a_journal_that_is_a_link_or_a_pipe_is_refused(base, tmp_path):
    book = Book.begin(base, STEPS, Goal())
    path = book.folder / "journal.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError):
        reopened(base)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        reopened(base)


@pytest.mark.parametrize(
    "step",
    [
        Step("Bad Id", "x", ()),
        Step("path", "x", (WriteFile("relative", ""),)),
        Step("path", "x", (RemoveFile("/etc/../../x"),)),
        Step("proof", "x", (), needs=(Proof(("true",), "x", matches="("),)),
        Step("names", "x", (Packages("apt", "install", ("--allow-unauthenticated",)),)),
        Step("argv", "x", (Run(()),)),
        Step("text", "x", (WriteFile("/etc/x", "bell \a"),)),
    ],
)
def test_steps_that_could_not_be_read_back_are_refused_before_the_first(step, base):
    with pytest.raises(InputError):
        Book.begin(base, (step,), Goal())
    assert runs(base) == ()


def test_a_full_disk_stops_the_run_with_its_name(machine, base, monkeypatch):
    book = Book.begin(base, STEPS, Goal())

    def full(*_words, **_named):
        raise OSError(28, "No space left on device", "/var/lib/gpusetup")

    monkeypatch.setattr("provision.drivers.journal.write_durably", full)
    ending = carry_out(book, machine.hand(), quiet)
    assert (ending.kind, ending.error.code) == ("failed", "driver-journal-not-writable")
    assert machine.calls() == []
