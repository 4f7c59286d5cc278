"""Environments behind a path: listed, gone back to, removed, kept where they were changed or are in use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from pretended import SITE, Scene, distribution, order, pretend

from provision.errors import InstallError
from provision.install import environment
from provision.install.apply import install
from provision.install.environment import Store
from provision.install.inventory import inventory, remove, rollback
from provision.install.receipt import changes_of, read_receipt
from provision.recorded import environment_findings


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = Scene(tmp_path)
    made.ran = []
    pretend(monkeypatch, made.ran)
    return made


def made(scene, *versions, **more):
    """Names of the environments that were made, in order."""
    return [_made(scene, version, **more) for version in versions]


def _made(scene, version, **more):
    install(order(scene.env, version, **more))
    return scene.store.current.name


# --- list ---------------------------------------------------------------------------------------


def test_every_environment_with_its_state(scene):
    names = made(scene, "2.0.1", "2.1.0", "2.2.0", "2.3.0", keep=4)
    (scene.store.folder / names[0] / SITE / "torch/__init__.py").unlink()
    (scene.store.folder / names[1] / "gpusetup-receipt.json").unlink()
    (scene.store.folder / f"{names[2]}.part").mkdir()
    distribution(scene.env, "extra", "1.0")
    data = inventory(scene.env)
    assert data.current == names[3]
    assert [(row.name, row.state, row.damage, row.torch) for row in data.environments] == [
        (names[3], "whole", None, "2.3.0"),
        (names[2], "unfinished", None, "2.2.0"),
        (names[1], "damaged", "its receipt is missing or can't be read", None),
        (names[0], "damaged", "torch 2.0.1+cpu: found torch/__init__.py is missing", "2.0.1"),
    ]
    current = data.environments[0]
    assert [change.text for change in current.changes] == ["extra 1.0 was added"]
    assert (current.variant, current.backend, current.is_current) == ("cpu", "uv", True)
    assert current.made_at.startswith(f"{names[3][:4]}-{names[3][4:6]}-{names[3][6:8]}T")


def test_what_a_cache_holds_too_is_counted_apart(scene, tmp_path):
    made(scene, "2.0.1")
    before = inventory(scene.env).environments[0]
    (scene.env / "own").write_bytes(b"x" * 100_000)
    (tmp_path / "cached").write_bytes(b"x" * 200_000)
    os.link(tmp_path / "cached", scene.env / "shared")
    os.link(scene.env / "own", scene.env / "twice")
    after = inventory(scene.env).environments[0]
    assert 100_000 <= after.own_bytes - before.own_bytes < 150_000
    assert 200_000 <= after.shared_bytes - before.shared_bytes < 250_000


def test_a_moved_environment_is_named(scene, tmp_path):
    made(scene, "2.0.1")
    other = tmp_path / "other"
    scene.folder.rename(other)
    (row,) = inventory(other / "env").environments
    assert (row.state, row.damage) == ("moved", f"it was made for {scene.env}, which its scripts still name")


def test_nothing_is_no_error_and_leaves_nothing(scene):
    assert inventory(scene.env).environments == ()
    assert list(scene.folder.iterdir()) == []


# --- rollback -----------------------------------------------------------------------------------


def test_going_back_and_forth(scene):
    first, second = made(scene, "2.0.1", "2.1.0")
    assert (rollback(scene.env), scene.torch()) == (first, "2.0.1")
    assert (rollback(scene.env), scene.torch()) == (second, "2.1.0")
    assert (rollback(scene.env, second), scene.torch()) == (second, "2.1.0")


def test_what_was_gone_back_to_stays_when_the_next_one_is_made(scene):
    first, _ = made(scene, "2.0.1", "2.1.0")
    rollback(scene.env)
    (third,) = made(scene, "2.2.0")
    assert [folder.name for folder in scene.store.finished()] == [third, first]
    assert rollback(scene.env) == first


def test_a_damaged_one_has_to_be_named(scene):
    first, _ = made(scene, "2.0.1", "2.1.0")
    (scene.store.folder / first / SITE / "torch/__init__.py").write_text("")
    with pytest.raises(InstallError) as caught:
        rollback(scene.env)
    assert caught.value.code == "environment-damaged"
    assert caught.value.evidence[0].value == "torch 2.0.1+cpu: found torch/__init__.py has 0 bytes, not 26"
    assert rollback(scene.env, first) == first


def test_a_link_that_somebody_removed_is_made_again(scene):
    (name,) = made(scene, "2.0.1")
    scene.env.unlink()
    assert (rollback(scene.env), scene.torch()) == (name, "2.0.1")


@pytest.mark.parametrize("name", [None, "nonsense", "../box"])
def test_going_back_to_nothing_is_refused(scene, name):
    made(scene, "2.0.1")
    with pytest.raises(InstallError) as caught:
        rollback(scene.env, name)
    assert caught.value.code == "environment-missing"
    assert scene.torch() == "2.0.1"


def test_two_do_not_switch_at_once(scene):
    made(scene, "2.0.1", "2.1.0")
    with environment.locked(scene.store), pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment.locked.__wrapped__, "__kwdefaults__", {"wait_s": 0.1, "on_wait": lambda _: None})
        with pytest.raises(InstallError) as caught:
            rollback(scene.env)
    assert caught.value.code == "environment-busy"


# --- remove -------------------------------------------------------------------------------------


def test_one_or_all(scene):
    first, second = made(scene, "2.0.1", "2.1.0")
    with pytest.raises(InstallError) as caught:
        remove(scene.env, second)
    assert caught.value.code == "environment-current"
    assert remove(scene.env, first) == (first,)
    assert [folder.name for folder in scene.store.finished()] == [second]
    assert remove(scene.env) == (second,)
    assert list(scene.folder.iterdir()) == []
    with pytest.raises(InstallError) as caught:
        remove(scene.env)
    assert caught.value.code == "environment-missing"
    assert list(scene.folder.iterdir()) == []


def test_what_gpusetup_did_not_make_is_never_removed(scene):
    scene.env.mkdir()
    (scene.env / "precious").write_text("1")
    for act in (remove, rollback, inventory):
        with pytest.raises(InstallError) as caught:
            act(scene.env)
        assert caught.value.code == "environment-foreign"
    assert (scene.env / "precious").exists()


# --- in use -------------------------------------------------------------------------------------


@pytest.fixture
def busy(scene):
    """A process that was started from the first of two environments."""
    first, _ = made(scene, "2.0.1", "2.1.0")
    python = scene.store.folder / first / "bin/python"
    child = subprocess.Popen(
        [python, "-c", "print(1, flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    yield first, child
    if child.poll() is None:
        child.communicate(b"\n")


def test_an_environment_in_use_is_not_pruned(scene, busy):
    first, child = busy
    receipt = install(order(scene.env, "2.2.0"))
    (used,) = receipt.in_use
    assert (used.name, used.pid) == (first, child.pid)
    assert len(scene.store.finished()) == 3
    (finding,) = environment_findings(receipt)
    assert (finding.id, finding.status) == ("environment-in-use", "warn")
    child.communicate(b"\n")
    assert install(order(scene.env, "2.3.0")).in_use == ()
    assert len(scene.store.finished()) == 2


def test_an_environment_in_use_is_not_removed(scene, busy):
    for name in (None, busy[0]):
        with pytest.raises(InstallError) as caught:
            remove(scene.env, name)
        assert caught.value.code == "environment-in-use"
        assert f"process {busy[1].pid} (" in str(caught.value.evidence[0].value)
    assert scene.torch() == "2.1.0"
    assert len(scene.store.finished()) == 2


def test_a_process_that_only_maps_a_file_of_it_counts(scene):
    first, _ = made(scene, "2.0.1", "2.1.0")
    path = scene.store.folder / first / SITE / "torch/__init__.py"
    code = "import mmap, sys; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, prot=1); f.close(); sys.argv.clear()"
    code += "; print(1, flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, os.path.relpath(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    assert [item.pid for item in environment.users_of((path.parents[4],)).values()] == [child.pid]
    child.communicate(b"\n")
    assert environment.users_of((path.parents[4],)) == {}


# --- changed by hand ----------------------------------------------------------------------------


def test_an_edited_environment_is_named_and_kept(scene):
    (name,) = made(scene, "2.0.1")
    distribution(scene.env, "jupyter", "1.1.1")
    distribution(scene.env, "mine", "0.1", **{"direct_url.json": '{"url": "file:///somewhere", "dir_info": {}}'})
    distribution(scene.env, "pip", "25.0")
    same = install(order(scene.env, "2.0.1"))
    assert same.reused
    (finding,) = environment_findings(same)
    assert (finding.id, [item.name for item in finding.evidence]) == ("environment-extended", ["jupyter", "mine"])
    (scene.env / SITE / "torch/__init__.py").unlink()
    told = []
    receipt = install(
        order(scene.env, "2.0.1", keep=1), lambda event: told.append((event.kind, event.phase, event.text))
    )
    assert not receipt.reused
    notes = [text for kind, _, text in told if kind == "note"]
    assert notes == [
        (
            f"{scene.env} was changed since it was made: torch 2.0.1+cpu: found torch/__init__.py is missing, "
            "jupyter 1.1.1 was added, mine 0.1 was added"
        )
    ]
    assert told.index(("note", "journal", notes[0])) < told.index(("phase", "switch", ""))
    (finding,) = environment_findings(receipt)
    assert finding.id == "environment-changed"
    assert finding.happened == (
        "The environment had been changed since it was made, so a new one stands beside it."
        " jupyter, mine is not in the new one."
    )
    assert finding.safe == (
        f"uv pip install --python {scene.env}/bin/python jupyter==1.1.1",
        f"to have the changed one back: gpusetup env rollback --env {scene.env}",
    )
    assert rollback(scene.env, name) == name
    assert (scene.env / SITE / "jupyter").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda site: (site / "torch/__init__.py").unlink(), "torch 2.0.1+cpu: found torch/__init__.py is missing"),
        (lambda site: shutil.rmtree(site / "torch-2.0.1+cpu.dist-info"), "torch 2.0.1+cpu is gone"),
        (shutil.rmtree, "python 3.11: found no site-packages"),
    ],
)
def test_what_is_gone_is_named(scene, change, text):
    made(scene, "2.0.1")
    receipt = read_receipt(scene.env)
    change(scene.env / SITE)
    assert [one.text for one in changes_of(scene.env, replace(receipt, python="3.11"))] == [text]
    assert install(order(scene.env, "2.0.1")).changes


def test_an_upgrade_by_hand_is_named(scene):
    made(scene, "2.0.1")
    site = scene.env / SITE
    shutil.rmtree(site / "torch")
    shutil.rmtree(site / "torch-2.0.1+cpu.dist-info")
    distribution(scene.env, "torch", "2.9.0")
    assert [one.text for one in install(order(scene.env, "2.0.1")).changes] == ["torch 2.0.1+cpu: found 2.9.0"]


def test_versions_that_are_spelled_differently_are_the_same(scene):
    made(scene, "2.0.1")
    receipt = read_receipt(scene.env)
    (torch,) = receipt.distributions
    assert changes_of(scene.env, replace(receipt, distributions=(replace(torch, version="2.00.1+CPU"),))) == ()


# --- the lock -----------------------------------------------------------------------------------


def test_a_store_that_goes_while_another_run_waits_is_made_anew(tmp_path):
    """Runs that leave nothing behind: no two are inside at once, whoever removed the lock file they wait for."""
    store, inside, most = Store.of(tmp_path / "new" / "place" / "env"), [], []

    failures = []

    def run():
        try:
            for _ in range(10):
                with environment.locked(store, wait_s=300.0):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
        except OSError as err:
            failures.append(err)

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, max(most), len(most)) == ([], 1, 50)
    assert not store.folder.exists()


def test_a_store_that_cannot_be_read_is_named(scene, monkeypatch):
    made(scene, "2.0.1")

    def refuse(_):
        raise PermissionError(13, "Permission denied", str(scene.store.folder))

    monkeypatch.setattr(Store, "folders", refuse)
    with pytest.raises(InstallError) as caught:
        inventory(scene.env)
    assert caught.value.happened == f"{scene.store.folder} cannot be read: Permission denied."
