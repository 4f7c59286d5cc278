"""An installation that is cut short at every single call on the file system, one after the other."""

from __future__ import annotations

import contextlib

import pytest
from pretended import Scene, cut_short, order, pretend

from provision.errors import InstallError
from provision.install import environment
from provision.install.apply import install
from provision.install.inventory import remove, rollback
from provision.install.journal import PHASES, read_journal

MOST = 400


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = Scene(tmp_path)
    monkeypatch.setattr(environment, "flush", lambda _: None)  # no kill tells it from a power loss
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(environment, "users_of", lambda _: {})  # a look at every process of the machine
    made.ran = []
    pretend(monkeypatch, made.ran)
    return made


def install_all(scene, *versions, **more):
    for version in versions:
        install(order(scene.env, version, **more))


def every_cut(scene, work, how="kill"):
    """The state after each cut, one after the other; at least as many as an installation has phases."""
    scene.keep()
    for number in range(1, MOST):
        scene.restore()
        ended = cut_short(work, number, how)
        if ended == "ended":
            assert number > 5
            return
        yield ended
    raise AssertionError("the work does not end")


CASES = [
    ("kill", ()),
    pytest.param("kill", ("2.0.1", "2.1.0", "2.2.0"), marks=pytest.mark.e2e),
    pytest.param("interrupt", ("2.0.1", "2.2.0"), marks=pytest.mark.e2e),
    pytest.param("full", ("2.2.0",), marks=pytest.mark.e2e),
]


@pytest.mark.parametrize(("how", "before"), CASES, ids=["kill-first", "kill-fourth", "interrupt-third", "full-second"])
def test_an_install_cut_short_anywhere(scene, before, how):
    install_all(scene, *before)
    old = before[-1] if before else None
    previous = scene.store.current
    seen = set()
    for _ in every_cut(scene, lambda: install(order(scene.env)), how):
        seen.add(scene.torch())
        assert scene.torch() in {old, "2.4.1"}
        install(order(scene.env))
        assert scene.torch() == "2.4.1"
        assert scene.strays() == []
        assert scene.store.finished() == (scene.store.current, *([previous] if previous else []))
    assert old in seen


@pytest.mark.parametrize("how", ["full", pytest.param("interrupt", marks=pytest.mark.e2e)])
def test_a_first_install_that_fails_leaves_at_most_its_log(scene, how):
    for _ in every_cut(scene, lambda: install(order(scene.env)), how):
        if scene.torch() is None:
            assert set(scene.strays()) <= {scene.store.log.name}
            assert not scene.store.folder.exists() or not list(scene.store.folder.iterdir())


@pytest.mark.e2e
def test_a_run_that_goes_on_cut_short_again(scene):
    """From each of the states that the first one can leave a journal in."""
    install_all(scene, "2.0.1")
    states = {}
    scene.keep()
    for number in range(1, MOST):
        scene.restore()
        if cut_short(lambda: install(order(scene.env)), number) == "ended":
            break
        journal = read_journal(scene.store)
        if journal is not None and scene.torch() == "2.0.1":
            states.setdefault(journal.finished, number)
    assert list(states) == [PHASES[:1], PHASES[:2], PHASES]
    for first in states.values():
        for second in range(1, MOST, 2):
            scene.restore()
            cut_short(lambda: install(order(scene.env)), first)
            if cut_short(lambda: install(order(scene.env)), second) == "ended":
                break
            assert scene.torch() in {"2.0.1", "2.4.1"}
            install(order(scene.env))
            assert (scene.torch(), scene.strays(), len(scene.store.finished())) == ("2.4.1", [], 2)


def test_a_rollback_cut_short_anywhere(scene):
    install_all(scene, "2.0.1", "2.1.0", keep=3)
    for _ in every_cut_of_few(scene, lambda: rollback(scene.env)):
        assert scene.torch() in {"2.0.1", "2.1.0"}
        rollback(scene.env, scene.store.finished()[-1].name)
        assert scene.torch() == "2.0.1"
        assert scene.strays() == []


def every_cut_of_few(scene, work):
    scene.keep()
    for number in range(1, MOST):
        scene.restore()
        if cut_short(work, number) == "ended":
            assert number > 2
            return
        yield number


@pytest.mark.e2e
def test_a_removal_cut_short_anywhere_is_finished_by_the_next_run(scene):
    install_all(scene, "2.0.1", "2.1.0")
    for _ in every_cut_of_few(scene, lambda: remove(scene.env)):
        assert scene.torch() in {None, "2.1.0"}
        if (scene.store.folder / "removing").exists():
            install(order(scene.env))
            assert [folder.name for folder in scene.store.finished()] == [scene.store.current.name]
            assert scene.strays() == []
        with contextlib.suppress(InstallError):  # where nothing is left to remove
            remove(scene.env)
        assert list(scene.folder.iterdir()) == []


def test_the_removal_of_one_cut_short_anywhere(scene):
    install_all(scene, "2.0.1", "2.1.0")
    name = scene.store.finished()[-1].name
    for _ in every_cut_of_few(scene, lambda: remove(scene.env, name)):
        assert scene.torch() == "2.1.0"
        is_marked = list(scene.store.folder.glob("*.part"))
        install(order(scene.env, "2.1.0"))
        assert scene.strays() == []
        assert len(scene.store.finished()) == (1 if is_marked or not (scene.store.folder / name).exists() else 2)
