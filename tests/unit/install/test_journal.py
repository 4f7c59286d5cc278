"""What a run takes up from one that was interrupted, and what makes it start over."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pretended import INTERPRETER, Scene, cut_short, order, pretend

from provision.errors import InstallError
from provision.install import apply, environment, journal
from provision.install.apply import install
from provision.install.journal import MAX_AGE_S, PHASES, doubt, read_journal, situation
from provision.install.receipt import read_receipt


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = Scene(tmp_path)
    monkeypatch.setattr(environment, "flush", lambda _: None)
    made.ran = []
    pretend(monkeypatch, made.ran)
    install(order(made.env, "2.0.1"))
    made.keep()
    return made


FIRST_CALL = {}


def interrupted(scene, last):
    """The state after a kill when `last` was the last phase that had ended."""
    for number in range(FIRST_CALL.get(last, 1), 200):
        scene.restore()
        cut_short(lambda: install(order(scene.env)), number)
        left = read_journal(scene.store)
        if left is not None and left.finished[-1] == last and scene.torch() == "2.0.1":
            FIRST_CALL[last] = number
            scene.ran.clear()
            return left
    raise AssertionError(f"never interrupted after {last}")


def installed(scene, wanted=None):
    """The receipt of the next run, and what it told."""
    told = []
    receipt = install(
        wanted or order(scene.env), lambda event: told.append(event.text) if event.kind == "note" else None
    )
    assert scene.strays() == []
    return receipt, told


@pytest.mark.parametrize(
    ("last", "ran", "told"),
    [
        ("resolve", ["venv", "install", "verify"], "versions and files are chosen"),
        ("install", ["verify"], "installed, not verified"),
        ("verify", [], "installed and verified, not in place"),
    ],
)
def test_the_next_run_goes_on_where_the_interrupted_one_was(scene, last, ran, told):
    left = interrupted(scene, last)
    receipt, notes = installed(scene)
    assert scene.ran == ran
    assert notes == [f"going on after an interrupted run: {told}"]
    assert receipt.resumed == PHASES[: PHASES.index(last) + 1]
    assert (scene.store.current.name == left.folder) == (last != "resolve")
    assert receipt.distributions[0].version == "2.4.1+cpu"
    assert installed(scene) == (replace(read_receipt(scene.env), reused=True), [])


CHANGED = [
    ("plan_digest", "x", "it was for another plan"),
    ("backend", "pip", "it installed with pip"),
    ("host", "other x86_64", "it ran on other x86_64"),
    ("python", "/opt/python 3.9.1", "it was for /opt/python 3.9.1, which is not there as it was"),
    ("lock", None, "an address of its files may hold a token and was not kept"),
    ("started_at", 1.0, "the package sources were asked more than a day ago"),
    ("started_at", 1e11, "it began in the future"),
]


@pytest.mark.parametrize(("field", "value", "why"), CHANGED)
def test_whatever_does_not_fit_means_starting_over(scene, field, value, why):
    left = interrupted(scene, "verify")
    journal.Book(scene.store).begin(replace(left, **{field: value}))
    receipt, told = installed(scene)
    assert told == [f"starting over after an interrupted run: {why}"]
    assert scene.ran == ["choose", "resolve", "venv", "install", "verify"]
    assert receipt.resumed == ()
    assert not (scene.store.folder / left.folder).exists()


def test_a_resolution_is_taken_up_for_a_day(scene):
    left = interrupted(scene, "resolve")
    now = replace(situation(left.plan_digest, left.backend, (INTERPRETER,), None), now=left.started_at + MAX_AGE_S)
    assert doubt(left, now) is None
    assert doubt(left, replace(now, now=now.now + 1)) == "the package sources were asked more than a day ago"


def test_files_that_another_kernel_wrote_are_not_believed(scene):
    """After a power loss a file may be there and be cut off; what was resolved is in a file that was flushed."""
    left = interrupted(scene, "verify")
    journal.Book(scene.store).begin(replace(left, boot="another"))
    receipt, _ = installed(scene)
    assert receipt.resumed == ("resolve",)
    assert scene.ran == ["venv", "install", "verify"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "journal": {"folder": 3}}', "[" * 100_000]
)
def test_a_journal_that_cannot_be_read_is_none(scene, text):
    interrupted(scene, "verify")
    (scene.store.folder / "journal.json").write_text(text)
    assert read_journal(scene.store) is None
    receipt, _ = installed(scene)
    assert receipt.resumed == ()


@pytest.mark.parametrize("name", ["../../precious", "/", "", ".."])
def test_a_journal_never_leads_outside_the_store(scene, name):
    interrupted(scene, "verify")
    path = scene.store.folder / "journal.json"
    document = json.loads(path.read_text())
    document["journal"]["folder"] = name
    path.write_text(json.dumps(document))
    assert read_journal(scene.store) is None


def test_fresh_starts_over(scene):
    interrupted(scene, "verify")
    receipt, told = installed(scene, order(scene.env, is_fresh=True))
    assert told == ["starting over after an interrupted run: --fresh was asked for"]
    assert receipt.resumed == ()


@pytest.mark.parametrize("last", ["install", "verify"])
def test_what_was_changed_in_between_is_made_anew(scene, last):
    left = interrupted(scene, last)
    next((scene.store.folder / left.folder).glob("lib/*/site-packages/torch/__init__.py")).write_text("")
    receipt, told = installed(scene)
    assert told[-1] == (
        "starting over after an interrupted run: The environment that an interrupted run left is not whole."
    )
    assert receipt.resumed == ()
    assert scene.torch() == "2.4.1"


def test_an_error_is_no_interruption(scene, monkeypatch):
    def fail(*_):
        raise InstallError("no")

    monkeypatch.setattr("provision.install.apply._probe", fail)
    with pytest.raises(InstallError) as caught:
        install(order(scene.env))
    assert scene.strays() == [".env.gpusetup.log"]
    assert [(item.name, item.value) for item in caught.value.evidence] == [("log", str(scene.store.log))]


def test_another_plan_removes_what_was_interrupted(scene):
    left = interrupted(scene, "install")
    installed(scene, order(scene.env, "2.5.0"))
    assert not (scene.store.folder / left.folder).exists()
    assert scene.torch() == "2.5.0"


def test_a_run_that_finds_everything_there_removes_what_was_interrupted(scene):
    interrupted(scene, "install")
    assert installed(scene, order(scene.env, "2.0.1"))[0].reused
    assert len(scene.store.finished()) == 1


def test_no_token_is_written_down(scene, monkeypatch):
    chosen = apply.choose

    def with_query(run):
        found = chosen(run)
        (wheel,) = found.lock.wheels
        return replace(found, lock=replace(found.lock, wheels=(replace(wheel, url="https://h/t.whl?token=s3cret"),)))

    monkeypatch.setattr(apply, "choose", with_query)
    for number in range(1, 200):
        scene.restore()
        if cut_short(lambda: install(order(scene.env)), number) == "ended":
            break
        for path in scene.folder.rglob("*"):
            is_private = any(part.suffix == ".part" and part.stat().st_mode & 0o077 == 0 for part in path.parents)
            assert is_private or not path.is_file() or b"s3cret" not in path.read_bytes(), path
