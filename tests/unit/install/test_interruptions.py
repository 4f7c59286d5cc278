"""What an interrupted, refused or contended installation leaves behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import index as bench_index
import pytest
from install_orders import TAG, build

from provision.errors import InstallError
from provision.install import environment
from provision.install.apply import install
from provision.install.configuration import read_configuration
from provision.install.environment import Store

TORCH = f"/whl/cpu/torch/torch-{{}}%2Bcpu-{TAG}-{TAG}-linux_x86_64.whl$"
CHILD = """
import pickle, sys
sys.path[:0] = {paths!r}
from provision.install.apply import install
order = pickle.loads({order!r})
print("ready", flush=True)
install(order)
"""


def nothing():
    """No built-in index."""


def started(order, tmp_path):
    """A process that installs an order and hangs in the download of torch."""
    paths = [item for item in sys.path if item]
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD.format(paths=paths, order=pickle.dumps(replace(order, builtin=nothing)))))
    environ = {**os.environ, "UV_NO_CACHE": "1"}
    child = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environ, text=True)
    assert child.stdout.readline() == "ready\n"
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if list((tmp_path / ".env.gpusetup").glob("*.part/locked/pylock.toml")):
            time.sleep(0.3)
            return child
        time.sleep(0.02)
    raise AssertionError("the child did not get as far as the installation")


def torch_of(tmp_path):
    argv = [tmp_path / "env/bin/python", "-Ic", "import torch; print(torch.__version__)"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


SIGNALS = [
    (signal.SIGKILL, -9),
    pytest.param(signal.SIGTERM, 143, marks=pytest.mark.e2e),
    pytest.param(signal.SIGINT, -2, marks=pytest.mark.e2e),
]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_interrupted_install_leaves_the_old_environment_and_the_next_run_finishes(
    order, server, tmp_path, number, status
):
    install(order())
    old = (tmp_path / "env").resolve()
    server[1].faults[TORCH.format("2.0.1")] = "hang"
    wanted = order(build("2.0.1"), digest="plan-2")
    child = started(wanted, tmp_path)
    child.send_signal(number)
    assert child.wait(10) == status
    child.stdout.close()
    assert torch_of(tmp_path) == "2.4.1+cpu"
    if number != signal.SIGKILL:
        left = sorted(item.name for item in (tmp_path / ".env.gpusetup").iterdir())
        assert left == [old.name, "journal.json", "lock"]
    assert (tmp_path / ".env.gpusetup.log").exists()
    server[1].faults.clear()
    receipt = install(wanted)
    assert (receipt.reused, receipt.resumed) == (False, ("resolve",))
    assert torch_of(tmp_path) == "2.0.1+cpu"
    left = {item.name for item in (tmp_path / ".env.gpusetup").iterdir()}
    assert left == {old.name, (tmp_path / "env").resolve().name, "lock"}
    assert not (tmp_path / ".env.gpusetup.log").exists()


def test_second_run_says_who_holds_the_environment(order, tmp_path):
    store = Store.of(tmp_path / "env")
    with environment.locked(store), pytest.raises(InstallError) as caught:
        install(order())
    assert caught.value.code == "environment-busy"
    assert f"process {os.getpid()} on " in str(caught.value.evidence[0].value)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_gpusetup_did_not_make_is_refused_and_untouched(order, tmp_path, kind):
    path = tmp_path / "env"
    other = tmp_path / "other"
    other.mkdir()
    if kind == "folder":
        path.mkdir()
        (path / "precious").write_text("1")
    elif kind == "file":
        path.write_text("1")
    else:
        path.symlink_to(other)
    with pytest.raises(InstallError) as caught:
        install(order())
    assert caught.value.code == "environment-foreign"
    assert not (tmp_path / ".env.gpusetup").exists()
    assert path.is_symlink() == (kind == "link")


def test_empty_folder_becomes_the_environment(order, tmp_path):
    (tmp_path / "env").mkdir()
    install(order())
    assert torch_of(tmp_path) == "2.4.1+cpu"


@pytest.mark.e2e
def test_installer_that_falls_silent_is_ended(order, server, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_NO_CACHE", "1")
    server[1].faults[TORCH.format("2.4.1")] = "hang"
    wanted = order()
    with pytest.raises(InstallError) as caught:
        install(replace(wanted, limits=replace(wanted.limits, silence_s=1.0)))
    assert caught.value.code == "install-silent"
    assert not (tmp_path / "env").exists()


def test_place_that_cannot_be_written_is_named(order, tmp_path):
    (tmp_path / "file").write_text("1")
    with pytest.raises(InstallError) as caught:
        install(order(env=tmp_path / "file" / "env"))
    assert caught.value.code == "environment-not-writable"
    assert caught.value.evidence[0].value == "Not a directory"


@pytest.mark.e2e
def test_probe_that_never_answers_is_ended(order, site, tmp_path):
    """A torch whose import hangs: the verification has a deadline of its own."""
    folder = tmp_path / "links"
    bench_index.make_torch(folder, "2.5.0+cpu", None, python=TAG, extra="import time; time.sleep(60)")
    values = {"PIP_CONFIG_FILE": "/dev/null", "UV_FIND_LINKS": str(folder), "UV_NO_CONFIG": "1"}
    values["UV_DEFAULT_INDEX"] = f"{site.as_uri()}/general"
    wanted = order(build("2.5.0", requirements=()), configuration=read_configuration(values))
    with pytest.raises(InstallError) as caught:
        install(replace(wanted, limits=replace(wanted.limits, verify_s=1.0)))
    assert caught.value.code == "verification-failed"
    assert "no sign of life for 1 s" in caught.value.happened


FULL = """
import pickle, subprocess, sys
sys.path[:0] = {paths!r}
from provision.errors import InstallError
from provision.install.apply import install
order = pickle.loads({order!r})
disk = str(order.environment.parent)
mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "bench", disk], check=False).returncode == 0
if not mounted:
    sys.exit("cannot mount")
try:
    install(order)
except InstallError as err:
    print(err.code, sorted(item.name for item in order.environment.parent.iterdir()))
subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
print(len(install(order).distributions))
"""


def test_full_disk_is_named_and_the_next_run_with_space_finishes(order, tmp_path):
    paths = [item for item in sys.path if item]
    wanted = order(env=tmp_path / "disk" / "env")
    (tmp_path / "disk").mkdir()
    script = tmp_path / "full.py"
    script.write_text(FULL.format(paths=paths, order=pickle.dumps(replace(wanted, builtin=nothing))))
    argv = ["unshare", "--mount", "--map-root-user", sys.executable, str(script)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here to make a small disk with")
    if "cannot mount" in done.stderr or done.stderr.startswith("unshare:"):
        pytest.skip("this user may not mount a small disk")
    assert done.stdout.splitlines() == ["disk-full ['.env.gpusetup.log']", "5"], done.stderr
