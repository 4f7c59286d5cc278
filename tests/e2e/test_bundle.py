"""A bundle from the command line to an environment, through its own launcher, where there is no network.

torch is a stand-in of a few lines; what gpusetup itself needs is real and comes from the configured package sources.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

import index as bench_index  # noqa: E402

from provision import __version__  # noqa: E402
from provision.documents.envelope import Outcome, document, dumps  # noqa: E402
from provision.documents.plan import plan_data  # noqa: E402
from provision.records import Build, MatrixIdentity, Plan, Request, Resolution  # noqa: E402
from tests.bench.matrix import shipped  # noqa: E402

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
VERSION = f"gpusetup {__version__}\n"
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
pytestmark = pytest.mark.e2e


def cut() -> tuple[str, ...]:
    """The start of a command that runs without a network."""
    try:
        done = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    except OSError:
        return ()
    return ("unshare", "--net") if done.returncode == 0 else ()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """Made by the command line from a plan file, with a blank and a quote in its path."""
    folder = tmp_path_factory.mktemp("odd") / "a b'c"
    bench_index.make_torch(folder / "whl/cpu/torch", "2.4.1+cpu", None, python=TAG, requires=())
    bench_index.write_pages(folder / "whl")
    build = Build(
        torch="2.4.1",
        variant="cpu",
        cuda_runtime_version=None,
        python=PYTHON,
        wheel_tag=f"{TAG}-{TAG}-linux_x86_64",
        requirements=("torch==2.4.1",),
        index="https://wheels.invalid/whl/cpu",
    )
    plan = Plan(
        build=build,
        resolution=Resolution(candidates=(build,), rejections=()),
        matrix=MatrixIdentity(shipped().revision, shipped().read_on),
        request=Request(cpu=True),
    )
    (folder / "plan.json").write_text(dumps(document(Outcome("gpusetup.plan/1", "plan", plan_data(plan)))))
    words = ["bundle", "create", str(folder / "plan.json"), "--output", str(folder / "bundle")]
    words += ["--torch-index", (folder / "whl").as_uri(), "--host-python", PYTHON, "--json"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "provision", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "bundle"


def start(bundle: Path, home: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    """The launcher in an empty environment, without a network, by its path from somewhere else."""
    home.mkdir(exist_ok=True)
    environ = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **more}
    command = [*cut(), "sh", str(bundle / "gpusetup"), *words]
    return subprocess.Popen(
        command,
        cwd=home,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=300)
    return child.returncode, out, err


@pytest.mark.skipif(not cut(), reason="a network namespace of one's own takes root or a user namespace")
@pytest.mark.parametrize("backend", ["uv", "pip"])
def test_install_without_a_network_through_the_launcher(bundle, tmp_path, backend):
    before = {path: path.stat().st_mtime_ns for path in bundle.rglob("*")}
    code, out, err = ended(start(bundle, tmp_path / "home", "bundle", "verify", str(bundle)))
    assert code == 0, out + err
    words = ["install", "--bundle", str(bundle), "--env", str(tmp_path / "env"), "--backend", backend, "--json"]
    code, out, err = ended(start(bundle, tmp_path / "home", *words))
    assert code == 0, err
    assert json.loads(out)["data"]["build"]["variant"] == "cpu"
    assert "making its own environment" not in err  # the first command did that
    shown = subprocess.run(
        [tmp_path / "env/bin/python", "-Ic", "import torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "2.4.1+cpu\n"
    assert {path: path.stat().st_mtime_ns for path in bundle.rglob("*")} == before
    outside = {path.name for path in (tmp_path / "home").iterdir()}
    assert outside <= {".cache", ".local"}


def test_three_starts_at_once_make_one_environment_whatever_pip_was_told(bundle, tmp_path):
    more = {"PIP_TARGET": str(tmp_path / "elsewhere"), "PIP_USER": "1", "PIP_INDEX_URL": "http://192.0.2.1/simple"}
    children = [start(bundle, tmp_path / "home", "--version", **more) for _ in range(3)]
    assert [ended(child)[:2] for child in children] == [(0, VERSION)] * 3
    made = list((tmp_path / "home/.cache/gpusetup").iterdir())
    assert len([path for path in made if path.name.startswith("bundle-")]) == 1
    assert not (tmp_path / "elsewhere").exists()


def test_a_start_that_was_killed_leaves_nothing_that_counts(bundle, tmp_path):
    child = start(bundle, tmp_path / "home", "--version")
    time.sleep(0.6)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert ended(start(bundle, tmp_path / "home", "--version"))[:2] == (0, VERSION)
    assert len(list((tmp_path / "home/.cache/gpusetup").glob("bundle-*"))) == 1


def test_a_python_that_is_not_served_is_named_with_those_that_are(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (list_,) = (copy / "tool").glob("requirements-*")
    list_.rename(list_.with_name("requirements-3.99-x86_64.txt"))
    code, _, err = ended(start(copy, tmp_path / "home", "--version"))
    assert code == 5
    assert "needs   3.99-x86_64" in err
    assert PYTHON in err


def test_a_damaged_tool_is_refused_by_its_hash(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (click,) = (copy / "tool").glob("click-*")
    click.write_bytes(click.read_bytes() + b"\0")
    code, _, err = ended(start(copy, tmp_path / "home", "--version"))
    assert code == 5
    assert "its files may be damaged" in err
    assert not list((tmp_path / "home/.cache/gpusetup").glob("bundle-*"))


def test_without_a_home_it_says_what_to_set(bundle, tmp_path):
    code, _, err = ended(start(bundle, tmp_path / "home", "--version", HOME=""))
    assert code == 5
    assert "XDG_CACHE_HOME=" in err
    more = {"HOME": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert ended(start(bundle, tmp_path / "home", "--version", **more))[:2] == (0, VERSION)
