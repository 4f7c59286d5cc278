"""An installation whose commands are a few files: every call of it on the file system can be counted and cut short."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from install_orders import PYTHON, QUICK, build

from provision.install import apply
from provision.install.apply import Order
from provision.install.configuration import read_configuration
from provision.install.environment import Store
from provision.install.lock import Lock, LockedWheel
from provision.install.receipt import changes_of, read_receipt
from provision.install.running import Completed
from provision.records import HeldWheel, Interpreter, Source

SITE = f"lib/python{PYTHON}/site-packages"
INTERPRETER = Interpreter(sys.version.split()[0], executable=sys.executable)
EVENTS = frozenset(
    ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate", "shutil.rmtree", "os.utime")
)


def order(env, torch="2.4.1", **more):
    """An order whose plan is its torch version."""
    values = {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/nowhere"}
    return Order(
        candidates=(build(torch, requirements=()),),
        plan_digest=more.pop("digest", torch),
        environment=env,
        interpreters=(INTERPRETER,),
        configuration=read_configuration(values),
        limits=QUICK,
        builtin=lambda: None,
        **more,
    )


def pretend(monkeypatch, ran):
    """Let installs run no command; the labels of those that they would have run go to the list."""

    def choose(run):
        ran.append("choose")
        run.run(apply.Step("resolve", ("true",), {}))
        chosen = run.order.candidates[0]
        location = run.order.configuration.find_links[0]
        wheel = LockedWheel(
            "torch", chosen.local_version, f"torch-{chosen.local_version}.whl", "file:///t.whl", "0" * 64, 1
        )
        held = HeldWheel(Source("flat", "file:///"), wheel.filename)
        return apply.Chosen(chosen, held, location, INTERPRETER, Lock((wheel,)))

    def step(run, one, *, limit_s=None):
        ran.append(one.label)
        run.log_path.open("a").close()
        _STEPS[one.label](run, one)
        return Completed(one.argv, 0, (), 0.0)

    monkeypatch.setattr(apply, "choose", choose)
    monkeypatch.setattr(apply, "unpacked_bytes", lambda _: None)
    monkeypatch.setattr(apply._Run, "run", step)
    monkeypatch.setattr(apply, "require_uv", lambda: "uv")


def _venv(run, step):
    (run.folder / "bin").mkdir(parents=True)
    (run.folder / "bin/python").symlink_to(sys.executable)
    (run.folder / SITE).mkdir(parents=True)


def _install(run, step):
    distribution(run.folder, "torch", run.order.candidates[0].local_version)


def _verify(run, step):
    version = run.order.candidates[0].local_version
    seen = {
        "python": PYTHON,
        "distributions": [["torch", version]],
        "torch-version": version,
        "torch-cuda-version": None,
    }
    Path(step.argv[-1]).write_text(json.dumps({name: {"value": value} for name, value in seen.items()}))


_STEPS = {"resolve": lambda run, step: None, "venv": _venv, "install": _install, "verify": _verify}


def distribution(folder, name, version, **more):
    """Put a distribution with one module into an environment, as an installer does."""
    site = folder / SITE
    (site / name).mkdir()
    text = f"__version__ = {version!r}\n"
    (site / name / "__init__.py").write_text(text)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,,{len(text)}\n{info.name}/RECORD,,\n")
    for file, content in more.items():
        (info / file).write_text(content)


# --- cutting short ------------------------------------------------------------------------------


def cut_short(work, number, how="kill"):
    """Run `work` in a child until its N-th call on the file system: killed there, or met by an error.

    Gives "killed" or "raised", and "ended" when there was no such call. The hook cannot be taken off again, so that
    only a child may have it.
    """
    pid = os.fork()
    if pid == 0:
        status, count = 9, 0

        def hook(event, arguments):
            nonlocal count
            if event not in EVENTS or (event == "open" and not _writes(arguments)):
                return
            count += 1
            if count != number:
                return
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt if how == "interrupt" else OSError(errno.ENOSPC, "No space left on device")

        try:
            sys.addaudithook(hook)
            work()
            status = 0 if count < number else 4  # met, and gone on nevertheless
        except BaseException:  # noqa: BLE001 - nothing of the child may reach pytest
            status = 3
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return "killed" if os.WIFSIGNALED(status) else {0: "ended", 3: "raised", 4: "went on"}[os.WEXITSTATUS(status)]


def _writes(arguments):
    _, mode, flags = arguments
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if mode is None else not set(mode).isdisjoint("wax+")


class Scene:
    """A folder that is brought back to one state again and again."""

    def __init__(self, folder):
        self.folder = folder / "box"
        self.env = self.folder / "env"
        self._kept = folder / "kept"
        self.folder.mkdir()

    def keep(self):
        """This is the state to come back to."""
        shutil.copytree(self.folder, self._kept, symlinks=True)

    def restore(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder, symlinks=True)

    @property
    def store(self):
        return Store.of(self.env)

    def torch(self):
        """Version in the environment that the path leads to, which has to be whole; None where there is none."""
        current = self.store.current
        if current is None:
            assert not self.env.exists()
            return None
        receipt = read_receipt(current)
        assert changes_of(current, replace(receipt, reused=False)) == ()
        return receipt.build.torch

    def strays(self):
        """Names that no run which ended well leaves."""
        store = self.store
        known = {store.folder, *store.finished(), store.folder / "lock", store.path}
        inside = store.folder.iterdir() if store.folder.exists() else ()
        return sorted(item.name for item in {*self.folder.iterdir(), *inside} - known)
